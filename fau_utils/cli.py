"""The command ``fau``: parses, calls, prints. User errors end with one line and exit code 2."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fau_utils import cli_bench, cli_course, cli_own, cli_results, cli_train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The facial action unit book: run its chapters, build its pages.",
)

Root = Annotated[
    Path | None, typer.Option(help="Folder with notebooks/ and book/. Default: found from here.", show_default=False)
]

synth = typer.Typer(no_args_is_help=True, help="Rendered faces, which need no licence.")
app.add_typer(synth, name="synth")
app.add_typer(cli_bench.app, name="bench")
app.command()(cli_course.course)
app.add_typer(cli_own.models, name="models")
app.command()(cli_own.predict)


@app.callback()
def _fau() -> None:
    # keeps `book` a word of its own while there are few commands
    pass


@app.command()
def book(
    only: Annotated[
        list[str] | None, typer.Option(help="A chapter, by name or number; may be given again.", show_default=False)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="smoke, laptop, gpu or paper. Default: as each chapter says.", show_default=False),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Chapters at a time. Default: as cores and memory carry.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of chapters; may be given again."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Run also what is up to date.")] = False,
    no_html: Annotated[bool, typer.Option("--no-html", help="Only run the chapters.")] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Build the HTML although a chapter failed; its page says so.")
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show the chapters and their state, run nothing.")] = False,
    root: Root = None,
) -> None:
    """Run the chapters that changed and build the book."""
    from fau_utils.book import command

    options = command.Options(
        only=tuple(only or ()),
        budget=budget,
        settings=tuple(settings or ()),
        jobs=jobs,
        force=force,
        html=not no_html,
        keep_going=keep_going,
    )
    do = command.show if listing else command.make
    raise typer.Exit(do(root, options, _console()))


@app.command()
def pair(
    chapters: Annotated[list[str] | None, typer.Argument(help="Chapters; all when none is named.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing, fail where a pair differs.")] = False,
    root: Root = None,
) -> None:
    """Write the .ipynb of each chapter from its .py."""
    from fau_utils.book import command

    raise typer.Exit(command.pair(root, tuple(chapters or ()), check=check, console=_console()))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at this installation and say what to do. Exit 0: ready, 1: something is broken."""
    from fau_utils.book import doctor as examination

    also = (("face detector", cli_own.face_detector), ("models", cli_own.kept_models))
    findings = examination.examine(also=also, say=lambda what: sys.stderr.write(f"looking at {what}\n"))
    _show(examination.as_dict(findings) if as_json else examination.render(findings))
    raise typer.Exit(0 if examination.as_dict(findings)["ready"] else 1)


@app.command()
def check(
    dataset: Annotated[str, typer.Argument(help="bp4d, bp4dplus, disfa, disfaplus, gft, emotionet or affwild2.")],
    folder: Annotated[Path, typer.Argument(help="Where it is.", metavar="ROOT")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 when counts differ or files miss.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the reader, such as camera=right."),
    ] = None,
) -> None:
    """Hold a dataset's folder against published counts. Exit 0: usable, 1: damaged, 2: wrong usage, 3: see --strict."""
    from fau_utils.book.errors import UserError
    from fau_utils.data import readers
    from fau_utils.data.check import check as examine
    from fau_utils.data.options import parse

    try:
        options = parse(settings or (), readers.options_of(dataset), of=f"the reader of {dataset}")
        report = examine(dataset, folder, strict=strict, **options)
    except ValueError as error:
        raise UserError(str(error)) from None
    _show(report.as_dict() if as_json else report.render())
    raise typer.Exit(report.exit_code)


@app.command()
def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            help="bp4d, bp4dplus, disfa, disfaplus, gft, emotionet, affwild2, voxceleb1, voxceleb2, folder, lmdb, tar."
        ),
    ],
    folder: Annotated[Path, typer.Argument(help="Where it is.", metavar="ROOT")],
    out: Annotated[Path, typer.Argument(help="Folder to write; the same command goes on where it stopped.")],
    crop: Annotated[str, typer.Option(help="jaa, megraph, fmae, fgnet or none.")],
    size: Annotated[int, typer.Option(help="Side of the crops in px.")] = 224,
    form: Annotated[str, typer.Option(help="array (one uint8 array) or tar (WebDataset shards of JPEG).")] = "array",
    workers: Annotated[
        int | None, typer.Option(help="Processes. Default: one per CPU.", show_default=False, min=1)
    ] = None,
    retry_quarantined: Annotated[
        bool,
        typer.Option(
            "--retry-quarantined", help="Also try again what an earlier run left out; what is finished is not touched."
        ),
    ] = False,
    face_model: Annotated[
        Path | None, typer.Option(help="YuNet model file, for fmae and where landmarks miss.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the reader, such as camera=right."),
    ] = None,
) -> None:
    """Cut out every face of a dataset once, by a published recipe; what cannot be used is listed, not dropped."""
    from fau_utils.book.errors import UserError
    from fau_utils.data import readers
    from fau_utils.data.detector import NoDetector
    from fau_utils.data.options import parse
    from fau_utils.data.pool import WorkerKilled
    from fau_utils.data.prepare import prepare as cut_out

    try:
        options = parse(settings or (), readers.options_of(dataset), of=f"the reader of {dataset}")
        frames = readers.read(dataset, folder, **options)
        done = cut_out(
            frames, folder, out, crop=crop, size=size, form=form, workers=workers, face_model=face_model,
            retry_quarantined=retry_quarantined,
        )  # fmt: skip
    except (ValueError, NoDetector, WorkerKilled) as error:
        raise UserError(str(error)) from None
    _show(done.describe())


@app.command()
def forget(
    folder: Annotated[Path, typer.Argument(help="A folder of fau prepare.")],
    subjects: Annotated[list[str], typer.Argument(help="People as the manifest names them, such as bp4d/F001.")],
    runs: Annotated[
        Path | None, typer.Option(help="Folder of runs: those that these people took part in are listed.")
    ] = None,
) -> None:
    """Remove people from a prepared folder: overwrite their pixels and landmarks, drop them from every table."""
    from fau_utils.book.errors import UserError
    from fau_utils.data import forget as removal

    try:
        _show(removal.forget(folder, subjects).describe())
    except ValueError as error:
        raise UserError(str(error)) from None
    if runs is not None:
        found = removal.runs_with(runs, subjects)
        _show(
            "\n".join(["runs that knew them, to be trained again or removed:", *found]) if found else "no run knew them"
        )


app.command()(cli_train.train)
app.command(help=cli_results.HELP)(cli_results.results)


@app.command()
def score(
    runs: Annotated[list[Path], typer.Argument(help="Folder of a run; one per fold.")],
    protocol: Annotated[str, typer.Option(help="ours, fmae, megraph, jaa, fgnet, aunet or bp4dplus-fmae4.")] = "ours",
    resamples: Annotated[int, typer.Option(help="Of people, for intervals; 0 for none.", min=0)] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score saved predictions under a protocol, without training again."""
    from fau_utils.book.errors import UserError
    from fau_utils.results import scoring

    try:
        result = scoring.score_runs(runs, protocol=protocol, resamples=resamples)
    except ValueError as error:
        raise UserError(str(error)) from None
    _show(scoring.as_dict(result) if as_json else scoring.render(result))


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove sets; they are rendered again when needed.")] = False,
    older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", help="With --clear: only those unused for so long.", min=0)
    ] = None,
) -> None:
    """List the rendered sets that are cached, with size and age, or remove them."""
    from fau_utils.book.errors import UserError
    from fau_utils.data import cached

    if older_than is not None and not clear:
        raise UserError("--older-than says what --clear removes; give both, or neither")
    if not clear:
        _show(cached.render(cached.listing()))
        return
    removed = cached.clear(older_than=older_than or 0)
    _show(f"{len(removed)} sets removed, {sum(found.bytes for found in removed) / 1e6:,.1f} MB")


@synth.command()
def export(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    layout: Annotated[str, typer.Option(help="bp4d, bp4d+, disfa, disfa+, emotionet or affwild2.")],
    seed: Annotated[int, typer.Option(help="Another seed, other people.")] = 0,
    res: Annotated[int, typer.Option(help="Side of the pictures in px: 64, 112 or 224.")] = 112,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the layout, such as subjects=5 or tasks=T1,T6."),
    ] = None,
) -> None:
    """Write rendered faces in the layout of a dataset, with all its irregularities."""
    from fau_utils.book.errors import UserError
    from fau_utils.data import layouts
    from fau_utils.data.options import parse

    try:
        known = {name: kind for name, kind in layouts.options_of(layout).items() if name not in ("seed", "res")}
        options = parse(settings or (), known, of=f"the layout {layout}")
        frames = layouts.export(layout, out, seed=seed, res=res, **options)
    except ValueError as error:
        raise UserError(str(error)) from None
    _show(f"{out}: {len(frames):,} labelled frames of {len(frames.subjects)} people in the layout {layout}")


@synth.command()
def shards(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    faces: Annotated[int, typer.Option(help="Number in all.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, other people.")] = 0,
    res: Annotated[int, typer.Option(help="Side of the pictures in px: 64, 112 or 224.")] = 112,
    per_shard: Annotated[int, typer.Option(help="Faces in one file.")] = 1000,
) -> None:
    """Write rendered faces as WebDataset shards, to rehearse pretraining."""
    from fau_utils.book.errors import UserError
    from fau_utils.data.layouts import pretraining

    try:
        written = pretraining.write_shards(out, faces=faces, seed=seed, res=res, per_shard=per_shard)
    except ValueError as error:
        raise UserError(str(error)) from None
    pattern = out / f"faces-{{000000..{len(written) - 1:06d}}}.tar"
    _show(f"{faces:,} faces in {len(written)} shards: fau train mae --data '{pattern}' --size {res}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 a chapter failed, pages have a problem or a dataset is damaged, 2 a mistake of the user's or a folder that
    cannot be written, 3 counts differ and ``--strict`` was asked for, 4 done but for files that
    cannot be read (``fau predict``) or a damaged model (``fau models check``), 130 stopped.
    """
    from fau_utils.book.errors import Interrupted, UserError

    logging.basicConfig(
        level=os.environ.get("FAU_LOG", "WARNING").upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        code = app(arguments, prog_name="fau", standalone_mode=False)
    except UserError as error:
        return _say(str(error), 2)
    except Interrupted as error:
        return _say(f"stopped; {error}. The next run goes on from there", 130)
    except (KeyboardInterrupt, typer.Abort):
        return _say("stopped", 130)
    except BrokenPipeError:
        # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _say(_disk(error), 2)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of click, of which newer versions of typer bring their own
            return _say(error.format_message().replace("\n", " "), 2)
        if os.environ.get("FAU_DEBUG"):
            raise
        words = f"this is a bug: {type(error).__name__}: {error}".replace("\n", " ")
        return _say(f"{words} (FAU_DEBUG=1 shows where)", 1)
    return code if isinstance(code, int) else 0


def _console() -> Console:
    # a log file has no width: lines stay whole
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, soft_wrap=True, width=160)


def _show(result: object) -> None:
    if isinstance(result, dict):
        sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")
    else:
        _console().print(result)


def _say(message: str, code: int) -> int:
    Console(stderr=True, highlight=False).print(f"fau: {message}", markup=False, soft_wrap=True)
    return code


def _disk(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return f"cannot write{where}: {error.strerror or error}; make room or make it writable, then run again"


if __name__ == "__main__":
    sys.exit(main())
