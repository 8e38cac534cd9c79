"""Taking people out of a prepared folder, because they or their licence ask for it.

Their pixels and landmarks are overwritten on the disk, their samples leave the shards, and no table names them any
more. What was trained on them is not made to forget: :func:`runs_with` lists it.

Killed at any moment, the folder is refused by everybody else until the same call has ended its work.
"""

import json
import logging
import os
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.data.prepare_task import WORK
from fau_utils.data.stored import RowFile, write_shard, write_text
from fau_utils.frames import Frames
from fau_utils.progress import progress

log = logging.getLogger(__name__)

JOURNAL = "forget.json"
"""While it lies in a folder, somebody is being removed from it."""

_BLOCK = 256  # rows overwritten at a time
_TABLES = ("manifest.parquet", "quarantine.parquet")


@dataclass(frozen=True)
class Forgotten:
    """What was removed.

    Attributes
    ----------
    folder : Path
    people : int
    faces : int
        Crops that are gone.
    listed : int
        Rows of the quarantine that are gone.
    left : int
        Faces that are still there.
    """

    folder: Path
    people: int
    faces: int
    listed: int
    left: int

    def describe(self) -> str:
        """One line for the user."""
        return (
            f"{self.folder}: {self.people} people forgotten, {self.faces:,} faces removed, {self.left:,} left; the "
            "dataset itself and whatever was trained on them are as they were"
        )


def forget(folder: str | os.PathLike, subjects: Sequence[str]) -> Forgotten:
    """Remove people from a folder that :func:`fau_utils.data.prepare.prepare` finished.

    Parameters
    ----------
    folder : path-like
    subjects : sequence of str
        With their dataset in front, ``bp4d/F001``.

    Raises
    ------
    ValueError
        No finished preparation, somebody who is not in it, or nobody left.
    OSError
        The disk is full or cannot be written; the same call goes on.
    """
    folder, wanted = Path(folder), sorted(set(subjects))
    journal = folder / JOURNAL
    begun = json.loads(journal.read_text()) if journal.is_file() else None
    if begun is not None and begun["subjects"] != wanted:
        raise ValueError(f"{folder}: removing {', '.join(begun['subjects'])} was not finished; do that first")
    aside = folder / WORK / "forget"
    if begun is None:
        _refuse(folder, wanted)
        before = json.loads((folder / "plan.json").read_text()).get("forgotten", 0)  # how many, not who
        begun = {"subjects": wanted, "forgotten": before + len(wanted)}
        write_text(journal, json.dumps(begun))
    aside.mkdir(parents=True, exist_ok=True)
    for name in _TABLES:
        _lay_aside(folder / name, aside / name)
    manifest, quarantine = (Frames.read_parquet(aside / name) for name in _TABLES)
    gone, listed = (table.table["subject"].isin(wanted).to_numpy(bool) for table in (manifest, quarantine))
    kept = manifest.table[~gone].copy()
    if "shard" in kept:
        kept = _shards(folder, manifest.table[gone], kept, aside)
    else:
        _overwrite(folder / "images.npy", _rows(manifest, quarantine, wanted), 0)
    if (folder / "landmarks.npy").is_file():
        _overwrite(folder / "landmarks.npy", _rows(manifest, quarantine, wanted), np.nan)
    _account(folder, kept, quarantine.table[~listed], forgotten=begun["forgotten"])
    Frames(quarantine.table[~listed], scale=quarantine.scale).to_parquet(folder / "quarantine.parquet")
    Frames(kept, scale=manifest.scale).to_parquet(folder / "manifest.parquet")
    shutil.rmtree(folder / WORK)
    journal.unlink()
    return Forgotten(folder, len(wanted), int(gone.sum()), int(listed.sum()), len(kept))


def runs_with(runs: str | os.PathLike, subjects: Iterable[str]) -> list[str]:
    """Names of the runs whose test predictions or recorded people include somebody, sorted.

    Their weights may have learnt from that person; retrain or remove them.
    """
    wanted = set(subjects)
    found = []
    for record in sorted(Path(runs).glob("*/run.json")):
        text = record.read_text()
        if any(f'"{subject}"' in text for subject in wanted):
            found.append(record.parent.name)
            continue
        predictions = record.parent / "predictions.parquet"
        if predictions.is_file() and wanted & set(pd.read_parquet(predictions, columns=["subject"])["subject"]):
            found.append(record.parent.name)
    return found


def _refuse(folder: Path, wanted: list[str]) -> None:
    if not (folder / "manifest.parquet").is_file():
        raise ValueError(f"{folder}: expected a finished preparation with a manifest.parquet, found none")
    if not wanted:
        raise ValueError("expected somebody to forget; name people as the manifest does, such as bp4d/F001")
    people = set(Frames.read_parquet(folder / "manifest.parquet").subjects)
    listed = set(Frames.read_parquet(folder / "quarantine.parquet").subjects)
    strangers = [name for name in wanted if name not in people | listed]
    if strangers:
        some = ", ".join(sorted(people)[:3])
        raise ValueError(f"{folder} holds nobody called {', '.join(strangers)}; its people are {some} and so on")
    if people <= set(wanted):
        raise ValueError(f"{folder}: nobody would be left; remove the folder instead")


def _lay_aside(table: Path, place: Path) -> None:
    """Once its tables lie aside, nobody reads the folder, see ``open_prepared``."""
    if not place.exists():
        table.replace(place)


def _rows(manifest: Frames, quarantine: Frames, wanted: list[str]) -> np.ndarray:
    """Places in the arrays, of what was left out too: a landmark may be there without a picture."""
    tables = [t.table.loc[t.table["subject"].isin(wanted), "row"] for t in (manifest, quarantine)]
    return np.sort(pd.concat(tables).to_numpy("int64"))


def _overwrite(path: Path, rows: np.ndarray, value: float) -> None:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    file = RowFile(path, shape=array.shape, dtype=array.dtype.str)
    del array
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else []
    with progress(what=f"overwriting {path.name}", total=len(rows), unit="face") as bar:
        for run in runs:
            for first in range(int(run[0]), int(run[-1]) + 1, _BLOCK):
                count = min(_BLOCK, int(run[-1]) + 1 - first)
                file.write(first, np.full((count, *file.shape[1:]), value, file.dtype))
                bar.update(count)


def _shards(folder: Path, gone: pd.DataFrame, kept: pd.DataFrame, aside: Path) -> pd.DataFrame:
    """Shards without their samples; the places of all others in these shards are new."""
    forgotten = set(gone["key"])
    for name in progress(sorted(gone["shard"].unique()), what="rewriting", unit="shard"):
        path = folder / name
        if path.exists():
            with tarfile.open(path) as archive:
                members = {member.name: member for member in archive}
                keys = [n.removesuffix(".jpg") for n in members if n.endswith(".jpg")]
                samples = (
                    (key, *(archive.extractfile(members[f"{key}.{end}"]).read() for end in ("jpg", "json")))
                    for key in keys
                    if key not in forgotten
                )
                written = write_shard(path, ((k, i, json.loads(v)) for k, i, v in samples), scratch=aside)
            if not written:
                path.unlink()
        if path.exists():
            place = _places(path)
            rows = kept["shard"] == name
            for column, number in (("offset", 0), ("bytes", 1)):
                kept.loc[rows, column] = [place[key][number] for key in kept.loc[rows, "key"]]
    return kept


def _places(path: Path) -> dict[str, tuple[int, int]]:
    with tarfile.open(path) as archive:
        return {m.name.removesuffix(".jpg"): (m.offset_data, m.size) for m in archive if m.name.endswith(".jpg")}


def _account(folder: Path, kept: pd.DataFrame, quarantine: pd.DataFrame, *, forgotten: int) -> None:
    counts = quarantine["reason"].value_counts().sort_index()
    summary = {"kept": len(kept), "left_out": len(quarantine), "reasons": {k: int(n) for k, n in counts.items()}}
    write_text(folder / "summary.json", json.dumps(summary, indent=1))
    plan = json.loads((folder / "plan.json").read_text())
    write_text(folder / "plan.json", json.dumps({**plan, "forgotten": forgotten}, indent=1))
