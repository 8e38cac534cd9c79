"""``fau course``: what a lecturer hands out, made from the chapters."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def course(
    edition: Annotated[str, typer.Argument(help="student, instructor, slides or pdf.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; files of the same names are replaced.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="A chapter, by name or number; may be given again. Not for pdf.", show_default=False),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder with notebooks/ and book/. Default: found from here.", show_default=False),
    ] = None,
) -> None:
    """Write the chapters for a course: exercises as stubs or with solutions, slides, or the whole book as a PDF."""
    from fau_utils.book import chapters, pdf, project, slides
    from fau_utils.book import course as editions

    say = Console(highlight=False, soft_wrap=True).print
    found = project.find(root)
    if edition == "pdf":
        say(f"{pdf.make(found, out, say=say)}")
        return
    chosen = chapters.select(chapters.discover(found), only or ())
    if edition == "slides":
        decks = slides.make(found, chosen, out)
        say(f"{len(decks)} decks with {sum(deck.slides for deck in decks)} slides; open {out / 'index.html'}")
        return
    made = editions.make(found, chosen, edition, out)
    say(f"{len(made)} notebooks with {sum(one.exercises for one in made)} exercises in {out}")
