"""The command ``fau bench``: parses, calls, prints."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, help="A grid of runs, on this computer or a cluster.")

_Grid = Annotated[
    str,
    typer.Argument(help="A name in benchmarks/grids, such as laptop or gpu, or a file of your own.", metavar="GRID"),
]
_Out = Annotated[Path | None, typer.Option(help="Folder of results. Default: results/bench/GRID.", show_default=False)]
_Store = Annotated[Path, typer.Argument(help="Folder of results, such as results/bench/laptop.", metavar="STORE")]
_Jobs = Annotated[
    int | None,
    typer.Option(help="Cells at a time. Default: as many as GPUs or CPUs.", show_default=False, min=1),
]
_Executor = Annotated[
    str,
    typer.Option(
        help="local, or one of Snakemake's: slurm. `make snakemake` installs it into an environment of its own; one "
        "that is elsewhere is named in FAU_SNAKEMAKE."
    ),
]
_Words = Annotated[
    list[str] | None, typer.Option("--with", metavar="WORDS", help="For Snakemake, such as '--slurm-no-account'.")
]


@app.command()
def run(
    grid: _Grid,
    out: _Out = None,
    jobs: _Jobs = None,
    only: Annotated[list[str] | None, typer.Option(help="A method or cell, * for anything; again for more.")] = None,
    executor: _Executor = "local",
    words: _Words = None,
    dry: Annotated[bool, typer.Option("--dry", help="Say what would run and why.")] = False,
) -> None:
    """Run the cells that changed or were never finished; what is done stays. 1: some failed."""
    _run(grid, out, jobs, only, executor, words, dry=dry)


@app.command()
def retry(
    grid: _Grid,
    cells: Annotated[list[str] | None, typer.Argument(help="Failed cells; all when none is named.")] = None,
    out: _Out = None,
    jobs: _Jobs = None,
    executor: _Executor = "local",
    words: _Words = None,
) -> None:
    """Run also the cells that failed, which `run` leaves as they are."""
    _run(grid, out, jobs, None, executor, words, again=cells or [])


@app.command()
def status(store: _Store, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Done, running, failed and left, and the time left; reads files only. 1: some failed."""
    from fau_utils.bench import command

    with _mistakes():
        found = command.status(store, _console(), as_json=as_json)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    raise typer.Exit(found)


@app.command()
def export(
    store: _Store,
    to: Annotated[Path, typer.Argument(help="Folder for the tables.", metavar="FOLDER")],
    reference: Annotated[
        str | None, typer.Option(help="Keep it in the book, too, as the reference table of this name.")
    ] = None,
) -> None:
    """Write what is finished as CSV, LaTeX and a page, and name what is not."""
    from fau_utils.bench import export as tables

    with _mistakes():
        paths = tables.export(store, to)
        if reference is not None:
            paths.append(tables.reference(store, reference))
        for path in paths:
            _console().print(str(path), markup=False)


@app.command()
def clean(
    store: _Store,
    failed: Annotated[bool, typer.Option("--failed", help="Also cells that failed.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every cell.")] = False,
) -> None:
    """Remove cells that the grid no longer has."""
    from fau_utils.bench import command

    with _mistakes():
        raise typer.Exit(command.clean(store, _console(), failed=failed, everything=everything))


@app.command()
def kubernetes(
    grid: _Grid,
    to: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")],
    image: Annotated[str, typer.Option(help="Container image with this package.")],
    claim: Annotated[str, typer.Option(help="PersistentVolumeClaim that holds the results.")],
    mount: Annotated[str, typer.Option(help="Where the pods see it, and this computer too.")] = "/bench",
    jobs: _Jobs = None,
    namespace: Annotated[str, typer.Option()] = "default",
) -> None:
    """Plan a grid and write a Kubernetes Job that runs it. Its form is tested; it was not tried on a cluster."""
    from fau_utils.bench import kubernetes as kube

    with _mistakes():
        job = kube.Settings(image=image, claim=claim, mount=mount, namespace=namespace, parallelism=jobs or 8)
        _console().print(kube.write(grid, to, job), markup=False)


def _run(grid, out, jobs, only, executor, words, *, dry=False, again=None) -> None:
    from fau_utils.bench import command

    options = command.Options(
        jobs=jobs, executor=executor, only=tuple(only or ()), arguments=tuple(words or ()), dry=dry
    )
    with _mistakes():
        raise typer.Exit(command.run(grid, out, options, _console(), again=again))


@contextmanager
def _mistakes():
    from fau_utils.bench.local import Interrupted as Stopped
    from fau_utils.book.errors import Interrupted, UserError

    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from None
    except Stopped:
        raise Interrupted("cells that are finished are kept") from None


def _console() -> Console:
    # a log file has no width: lines stay whole
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, soft_wrap=True, width=160)
