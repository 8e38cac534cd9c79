"""All runs of a store as tables, asked with SQL: a folder of runs or of a benchmark, here or on object storage.

A store is named by a folder or by any URL that fsspec knows, ``s3://bucket/runs`` for instance (with ``s3fs``).
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from fau_utils.methods.contract import Method
from fau_utils.models.store import DESCRIPTION as PRETRAINED
from fau_utils.results.run import HISTORY, METRICS, PREDICTIONS, RECORD, SCHEMA, VALIDATION, WEIGHTS, DamagedRun, Run
from fau_utils.training import Predictions

log = logging.getLogger(__name__)

TABLES: dict[str, str] = {"predictions": PREDICTIONS, "metrics": METRICS, "history": HISTORY}

CELLS = "cells"
"""Folder of a benchmark in which each cell keeps its run; see :mod:`fau_utils.bench.store`."""

CELL_SCHEMA = 1
"""Layout of a cell's record that is read here; a newer one is passed over with a warning."""

VIEWS: tuple[str, ...] = ("scores", "runs", "metrics", "history", "predictions")
"""What :func:`query` can be asked; ``fau results --help`` lists the columns."""

_PLACE = ("method", "variant", "data", "protocol", "fold", "seed", "budget")


@dataclass(frozen=True)
class RemoteRun(Run):
    """A run that is in no folder of this computer; `path` is its place in the file system."""

    system: Any = field(default=None, repr=False)

    def predictions(self) -> Predictions:
        return Predictions.from_table(self._table(PREDICTIONS))

    def validation(self) -> Predictions | None:
        there = self.system.exists(f"{self.path}/{VALIDATION}")
        return Predictions.from_table(self._table(VALIDATION)) if there else None

    def metrics(self) -> pd.DataFrame:
        return self._table(METRICS)

    def history(self) -> pd.DataFrame:
        return self._table(HISTORY)

    def load_weights(self, method: Method) -> Method:
        from safetensors.torch import load

        if not self.system.exists(f"{self.path}/{WEIGHTS}"):
            raise FileNotFoundError(f"{self.path}: has no weights; write it with weights=True")
        method.load_state_dict(load(self.system.cat_file(f"{self.path}/{WEIGHTS}")))
        return method

    def _table(self, name: str) -> pd.DataFrame:
        with self.system.open(f"{self.path}/{name}", "rb") as file:
            return pd.read_parquet(file)


@dataclass(frozen=True)
class _Found:
    """A run with its cell in a benchmark, if any."""

    run: Run
    url: str
    cell: dict[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        nested = {name: json.dumps(v) if isinstance(v, dict) else v for name, v in self.run.record.items()}
        return {"run": self.run.id, "cell": self.cell.get("cell", ""), "path": self.url, **nested}

    @property
    def numbers(self) -> dict[str, Any]:
        """Where the run is in a grid, and what its cell measured; of a run alone what its parameters say."""
        parameters = self.run.record["parameters"]
        said = {name: _name(parameters.get(name)) for name in _PLACE} | {"seed": self.run.record.get("seed")}
        said |= self.cell.get("place") or {}
        result = self.cell.get("result") or {}
        plain = {name: v for name, v in result.items() if not isinstance(v, list | dict | str)}
        ids = {"run": self.run.id, "cell": self.cell.get("cell", ""), "path": self.url}
        return {**ids, **said, **plain, "finished": self.run.record.get("finished")}


def finished(root: str | os.PathLike) -> list[Run]:
    """The runs of a folder by id, or of a benchmark by cell.

    Unfinished ones and pretrained networks are passed over, a damaged one with a warning.

    Parameters
    ----------
    root : path or URL
        Folder of runs, or of a benchmark.

    Raises
    ------
    ValueError
        A URL of a kind that needs a package which is not installed.
    """
    return [found.run for found in _finished(root)]


def runs(root: str | os.PathLike) -> pd.DataFrame:
    """A row per run: ``run`` (its id), ``cell`` (empty outside a benchmark), ``path`` and the fields of its record,
    nested ones as JSON."""
    return pd.DataFrame([found.row for found in _finished(root)])


def query(root: str | os.PathLike, sql: str) -> pd.DataFrame:
    """Ask all runs of a store at once.

    Parameters
    ----------
    root : path or URL
        As of :func:`finished`.
    sql : str
        DuckDB's SQL over :data:`VIEWS`, each with the run's id in the column ``run`` and its cell in ``cell``.

    Raises
    ------
    FileNotFoundError
        When there is no finished run.
    ValueError
        As :func:`finished`.
    """
    import duckdb

    every = _finished(root)
    if not every:
        raise FileNotFoundError(f"{root}: expected at least one finished run, found none; run a benchmark first")
    system, _, local = _system(root)
    with duckdb.connect() as connection:
        if not local:
            connection.register_filesystem(system)
        connection.register("runs", pd.DataFrame([found.row for found in every]))
        for name, file in TABLES.items():
            files = [f"{found.url}/{file}" for found in every]
            connection.from_parquet(files, union_by_name=True, filename=True).create_view(f"raw_{name}")
            connection.execute(
                f"create view {name} as select runs.run, runs.cell, raw.* exclude (filename) from raw_{name} raw "
                f"join runs on raw.filename = runs.path || '/{file}'"
            )
        connection.register("scores", _scores(connection, every))
        return connection.execute(sql).df()


def _scores(connection: Any, every: list[_Found]) -> pd.DataFrame:
    """What cells say of themselves; F1 and AUC of the others are the means of their metrics."""
    sql = "select run, cell, 100 * avg(f1) as f1, 100 * avg(auc) as auc from metrics group by all"
    means = connection.execute(sql).df().set_index(["run", "cell"])
    table = pd.DataFrame([found.numbers for found in every])
    places = pd.MultiIndex.from_frame(table[["run", "cell"]])
    for name in ("f1", "auc"):
        derived = means[name].reindex(places).to_numpy()
        table[name] = table[name].fillna(pd.Series(derived, table.index)) if name in table else derived
    first = ["run", "cell", *_PLACE, "f1", "auc"]
    return table[[*first, *(name for name in table if name not in (*first, "path", "finished")), "finished"]]


def _finished(root: str | os.PathLike) -> list[_Found]:
    system, place, local = _system(root)
    found = []
    for path, cell in _places(system, place):
        try:
            run = Run.read(path) if local else _read(system, path)
        except DamagedRun as error:
            log.warning("skipped a run: %s", error)
            continue
        found.append(_Found(run, path if local else system.unstrip_protocol(path), cell))
    return found


def _places(system: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Folders that should be runs, each with the record of its cell."""
    for path in _folders(system, f"{place}/{CELLS}"):
        cell = _json(system, f"{path}/{RECORD}") or {}
        if cell.get("schema", 0) > CELL_SCHEMA:
            log.warning("skipped %s: has layout %s, this version reads up to %s", path, cell["schema"], CELL_SCHEMA)
        elif run := (cell.get("result") or {}).get("run"):
            yield f"{path}/{cell['folder']}/{run}", cell
    for path in _folders(system, place):
        name = path.rsplit("/", 1)[-1]
        if name != CELLS and not name.startswith(".") and not system.exists(f"{path}/{PRETRAINED}"):
            yield path, {}


def _folders(system: Any, place: str) -> list[str]:
    try:
        entries = system.ls(place, detail=True, refresh=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory")


def _read(system: Any, path: str) -> Run:
    """As :meth:`Run.read`, by way of a file system."""
    record = _json(system, f"{path}/{RECORD}")
    if record is None or not {"schema", "label", "parameters", "config_hash"} <= set(record):
        raise DamagedRun(f"{path}: expected a finished run, found no {RECORD} of one; run it again")
    if record["schema"] > SCHEMA:
        raise DamagedRun(f"{path}: has layout {record['schema']}, this version reads up to {SCHEMA}; update it")
    for name in TABLES.values():
        try:
            with system.open(f"{path}/{name}", "rb") as file:
                pq.read_metadata(file)
        except (OSError, ValueError) as error:
            raise DamagedRun(f"{path}/{name}: {error}; copy the run again") from None
    return RemoteRun(PurePosixPath(path), record, system)


def _json(system: Any, path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(system.cat_file(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _system(root: str | os.PathLike) -> tuple[Any, str, bool]:
    """File system, place in it, and whether that is a folder of this computer."""
    from fsspec.core import url_to_fs

    try:
        system, place = url_to_fs(os.fspath(root))
    except ImportError as error:
        raise ValueError(f"{root}: {error}") from None
    local = "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)
    # an absolute path would change what a relative one was called
    return system, Path(root).as_posix() if local and "://" not in os.fspath(root) else place.rstrip("/"), local


def _name(said: Any) -> Any:
    """A part of a run's parameters by its name."""
    return said.get("name") if isinstance(said, dict) else said
