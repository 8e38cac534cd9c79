"""All runs of a folder as tables, asked with SQL."""

import json
import logging
import os
from pathlib import Path

import pandas as pd

from fau_utils.models.store import DESCRIPTION as PRETRAINED
from fau_utils.results.run import HISTORY, METRICS, PREDICTIONS, DamagedRun, Run

log = logging.getLogger(__name__)

TABLES: dict[str, str] = {"predictions": PREDICTIONS, "metrics": METRICS, "history": HISTORY}


def finished(root: str | os.PathLike) -> list[Run]:
    """The runs of a folder, by id. Unfinished ones and pretrained networks are passed over, a damaged one with a
    warning."""
    found = []
    for path in sorted(Path(root).glob("*/")):
        if path.name.startswith(".") or (path / PRETRAINED).is_file():
            continue
        try:
            found.append(Run.read(path))
        except DamagedRun as error:
            log.warning("skipped a run: %s", error)
    return found


def runs(root: str | os.PathLike) -> pd.DataFrame:
    """A row per run: ``run`` (its id), ``path`` and the fields of its record, nested ones as JSON."""
    rows = [
        {
            "run": run.id,
            "path": str(run.path),
            **{name: json.dumps(v) if isinstance(v, dict) else v for name, v in run.record.items()},
        }
        for run in finished(root)
    ]
    return pd.DataFrame(rows)


def query(root: str | os.PathLike, sql: str) -> pd.DataFrame:
    """Ask all runs of a folder at once.

    Parameters
    ----------
    root : path
        Folder of runs.
    sql : str
        DuckDB's SQL over the views ``runs`` (see :func:`runs`; parameters as ``parameters->>'$.name'``),
        ``metrics`` (a row per run and AU), ``history`` and ``predictions`` (a row per run and face), each with
        the run's id in the column ``run``.

    Raises
    ------
    FileNotFoundError
        When the folder has no finished run.
    """
    import duckdb

    table = runs(root)
    if table.empty:
        raise FileNotFoundError(f"{root}: expected at least one finished run, found none; run a benchmark first")
    with duckdb.connect() as connection:
        connection.register("runs", table)
        for name, file in TABLES.items():
            files = [(Path(path) / file).as_posix() for path in table["path"]]
            connection.from_parquet(files, union_by_name=True, filename=True).create_view("raw_" + name)
            connection.execute(
                f"create view {name} as select parse_path(filename)[-2] as run, * exclude (filename) from raw_{name}"
            )
        return connection.execute(sql).df()
