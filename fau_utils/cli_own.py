"""The commands ``fau predict`` and ``fau models``: parse, call, print."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

models = typer.Typer(no_args_is_help=True, help="Trained detectors kept on this computer, each with a card.")

UNREADABLE = 4
"""Exit code when everything is done but some files could not be read, or one of the models is damaged."""

_EXAMPLES = """Find faces in pictures and videos, and write the probability of each action unit, or why there is none.

An action unit is a movement, not a feeling. Nothing is sent anywhere, and no picture is kept.

\b
fau predict film.mp4 -o film.csv --model MODEL
fau predict pictures/ film.mp4 -o all.csv --model MODEL --overlay look/
fau predict crops/ -o crops.csv --model MODEL --cropped
fau predict film.mp4 -o film.csv --model MODEL --neutral face --layout openface

Exit 0: done, 2: a mistake in the command, 4: done, but some files could not be read (listed at the end and in
OUT.json), 130: stopped; the same command goes on.
"""


def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, videos, folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table, .csv; OUT.json beside it says what it means.")],
    model: Annotated[str, typer.Option(help="Name or folder of a model, see fau models list.")],
    layout: Annotated[str, typer.Option(help="Columns: fau, pyfeat or openface.")] = "fau",
    cropped: Annotated[bool, typer.Option("--cropped", help="Each picture is a face already; search none.")] = False,
    detector: Annotated[
        str | None,
        typer.Option(help="mtcnn, or a YuNet file (.onnx; needs OpenCV). Default: mtcnn.", show_default=False),
    ] = None,
    neutral: Annotated[
        str, typer.Option(help="Subtract a person's own baseline: face (each tracked one), folder (one person), no.")
    ] = "no",
    overlay: Annotated[
        Path | None, typer.Option(help="Folder for annotated videos and a sheet of stills.", show_default=False)
    ] = None,
    step: Annotated[int, typer.Option(help="Look at every so many frames of a video.", min=1)] = 1,
    answer_all: Annotated[
        bool, typer.Option("--answer-all", help="Do not abstain; the reason is still given.")
    ] = False,
    resume: Annotated[bool, typer.Option(help="Go on with what an earlier call has begun.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    from fau_utils.book.errors import Interrupted, UserError
    from fau_utils.data.detector import NoDetector
    from fau_utils.own import finders
    from fau_utils.own import predict as own

    if cropped and detector:
        raise UserError("--cropped searches no faces and --detector says with what to search: give one of them")
    chosen = finders.CROPPED if cropped else detector or finders.MTCNN
    wanted = own.Wanted(
        tuple(inputs), out, model, detector=chosen, layout=layout, neutral=neutral, overlay=overlay, step=step,
        answer_all=answer_all, device=device, resume=resume,
    )  # fmt: skip
    try:
        done = own.predict(wanted)
    except (ValueError, NoDetector) as error:
        raise UserError(" ".join(str(error).split())) from None
    except KeyboardInterrupt:
        raise Interrupted("what was looked at is kept beside the table") from None
    _show(own.render(done))
    raise typer.Exit(UNREADABLE if done.unreadable else 0)


predict.__doc__ = _EXAMPLES


@models.command(name="list")
def list_models() -> None:
    """List the models that are kept: name, data, AUs, scores."""
    from fau_utils.own import cards

    _show(cards.table())


@models.command()
def add(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run of fau train.")],
    name: Annotated[str | None, typer.Option(help="Default: the run's.", show_default=False)] = None,
    data: Annotated[
        str | None,
        typer.Option(help="What it was trained on, as then; measures leakage, groups and range.", show_default=False),
    ] = None,
    crop: Annotated[str | None, typer.Option(help="As for fau prepare; known for synth.", show_default=False)] = None,
    licence: Annotated[str | None, typer.Option(help="Of the data, where it is not known.", show_default=False)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Keep a run as a model with a card.

    \b
    fau train cnn --data synth --out results/
    fau models add results/cnn-synth-s0-... --data synth --name teaching
    """
    from fau_utils.own import add as adding
    from fau_utils.own import cards

    with _mistakes():
        made = adding.add(run, name=name, data=data, crop=crop, licence=licence, device=device)
    _show(f"{made}\n{cards.render(made)}")


@models.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Names or folders; all when none is given.")] = None,
) -> None:
    """Hold every file of models against its hash. Exit 4 when one is damaged.

    \b
    fau models check
    fau models check teaching
    """
    from fau_utils.own import model

    with _mistakes():
        paths = [model.find(name) for name in names] if names else model.listing()
    broken = 0
    for path in paths:
        try:
            model.check(path)
        except model.BadModel as error:
            broken += 1
            _show(f"damaged   {error}")
        else:
            _show(f"as saved  {path.name}")
    raise typer.Exit(UNREADABLE if broken else 0)


@models.command()
def card(
    name: Annotated[str, typer.Argument(help="Name or folder of a model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a model is: data, licence, protocol, scores, leakage, groups, limits, and what it is not for.

    \b
    fau models card teaching
    """
    from fau_utils.own import cards
    from fau_utils.own import model as kept

    with _mistakes():
        path = kept.find(name)
        if as_json:
            sys.stdout.write(json.dumps(kept.check(path), indent=1) + "\n")
        else:
            _show(cards.render(path))


def face_detector():
    """For ``fau doctor``: whether faces can be found."""
    from fau_utils.book.doctor import Finding
    from fau_utils.data.detector import NoDetector
    from fau_utils.own import finders

    try:
        _, name = finders.finder()
    except NoDetector as error:
        return Finding("face detector", "worth knowing", "none, which fau predict and chapter 70 need", str(error))
    return Finding("face detector", "fine", f"{name}, for one's own pictures")


def kept_models():
    """For ``fau doctor``: whether the models that are kept are as they were saved."""
    from fau_utils.book.doctor import Finding
    from fau_utils.own import model

    kept = model.listing()
    if not kept:
        return Finding("models", "fine", "none kept; `fau models list` says how to get one")
    broken = []
    for path in kept:
        try:
            model.check(path)
        except model.BadModel:
            broken.append(path.name)
    if broken:
        return Finding("models", "worth knowing", f"damaged: {', '.join(broken)}", "`fau models check` says how")
    return Finding("models", "fine", f"{len(kept)} kept, as they were saved")


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turns what is wrong with names and folders into one line."""
    from fau_utils.book.errors import UserError

    try:
        yield
    except ValueError as error:
        raise UserError(" ".join(str(error).split())) from None


def _show(words: str) -> None:
    Console(highlight=False, soft_wrap=True).print(words, markup=False)
