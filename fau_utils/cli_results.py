"""The command ``fau results``: the runs of a store as a table, or any question to them in SQL."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

VIEWS: dict[str, str] = {
    "scores": "a row per run: run, cell, method, variant, data, protocol, fold, seed, budget, f1, auc, finished; means "
    "over AUs in percent. Cells of a benchmark also have what they measured: f1_tuned, ece, identity, hidden, fall, "
    "parameters, cpu_seconds, images_per_second, people, faces.",
    "runs": "a row per run: run, cell, path, label, parameters, config_hash, seed, budget, views, seconds, "
    "peak_memory, device, code_hash, git_revision, versions, finished, schema. parameters, budget and versions are "
    "JSON: parameters->>'$.method'.",
    "metrics": "a row per run and AU: run, cell, au, f1, auc, precision, recall, positives, negatives, unknown.",
    "history": "a row per logged step: run, cell, step, views, loss, and what else the method says.",
    "predictions": "a row per run and test face: run, cell, dataset, subject, clip, frame, camera, prob_AU1 ..., "
    "label_AU1 ...; never pixels.",
}
"""The views and their columns, here and not where they are made, so that help needs no torch; a test compares."""

HELP = "Show finished runs, or ask them anything in SQL.\n\n" + "\n\n".join(f"{k}: {v}" for k, v in VIEWS.items())

SHOWN = ("run", "cell", "method", "variant", "data", "protocol", "fold", "seed", "budget", "f1", "auc")
"""What a terminal is wide enough for."""


def results(
    store: Annotated[
        str,
        typer.Argument(
            help="Folder of runs (fau train --out), of a benchmark (results/bench/laptop), or a URL: s3://bucket/runs.",
            metavar="STORE",
        ),
    ],
    sql: Annotated[
        str | None, typer.Option(help="DuckDB's SQL over the views above, as in SELECT method, AVG(f1) ...")
    ] = None,
    table: Annotated[str, typer.Option(help=f"{', '.join(VIEWS)}.")] = "scores",
    csv: Annotated[Path | None, typer.Option(help="File for all columns instead.", show_default=False)] = None,
) -> None:
    import duckdb

    from fau_utils.book.errors import UserError
    from fau_utils.results import query

    if table not in VIEWS:
        raise UserError(f"no table {table!r}; there are {', '.join(VIEWS)}")
    try:
        found = query(store, sql or f"select * from {table}")
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from None
    except duckdb.Error as error:
        said = str(error).partition("\n\n")[0].replace("\n", " ")
        raise UserError(f"{said}; `fau results --help` lists views and columns") from None
    if csv is not None:
        csv.parent.mkdir(parents=True, exist_ok=True)
        found.to_csv(csv, index=False)
        _console().print(f"{len(found):,} rows in {csv}", markup=False)
        return
    _console().print(_rendered(found, of=None if sql else table))


def _rendered(found, *, of: str | None):
    """A table of rich: numbers to one decimal, what is the same in all rows or empty above it, 50 rows."""
    from rich.table import Table

    if of == "scores":
        found = found[[name for name in SHOWN if name in found and (found[name].notna() & (found[name] != "")).any()]]
        if "cell" in found:
            found = found.drop(columns="run")
    made = Table(caption=None if len(found) <= 50 else f"50 of {len(found):,} rows; --csv has all")
    for name in found:
        number = found[name].dtype.kind in "if"
        made.add_column(name, justify="right" if number else "left", overflow="fold" if not number else "ellipsis")
    for row in found.head(50).itertuples(index=False):
        made.add_row(*map(_word, row))
    return made


def _word(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:,.1f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"
    return "" if value is None else str(value)


def _console() -> Console:
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, soft_wrap=True, width=200)
