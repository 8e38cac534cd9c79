"""Trying again what a preparation left out, without touching what it finished.

A finished folder is taken back to the state of one that was killed: the account of every piece is put together from
the manifest and the quarantine, and accounts with rows that were left out are laid aside. Pieces whose account lies
aside are then done again, row by row: what was left out is tried, everything else is carried over.

Until the accounts are complete the folder is a finished one, and afterwards an unfinished one that any run completes,
so that a kill at any moment loses nothing.
"""

import heapq
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fau_utils.data import prepare_task
from fau_utils.data.prepare_task import KINDS, WORK, Decision, Job, account, cut_out, sample
from fau_utils.data.stored import RowFile, write_shard, write_text
from fau_utils.frames import KEY, Frames

_BLOCK = 4096  # rows of landmarks written at a time


def aside(job: Job, number: int) -> Path:
    """The account of a piece with rows to be tried again."""
    return job.out / WORK / "again" / f"{number:06d}.parquet"


def finished_rows(job: Job, number: int) -> int:
    """How many rows of a piece that lies aside are carried over; 0 for any other."""
    path = aside(job, number)
    return int((pd.read_parquet(path, columns=["reason"])["reason"] == "").sum()) if path.exists() else 0


def differing(out: Path, frames: Frames, *, renamed: dict[str, str], cuts: list[tuple[int, int]]) -> str | None:
    """How a table differs from that of a finished folder, of as many rows, in more than what was left out.

    None when it does not. Rows that were left out may have other pictures and landmarks now: these were found.

    Parameters
    ----------
    out : Path
    frames : Frames
        In the order of the preparation.
    renamed : dict of str to str
        Columns that have another name in the manifest.
    cuts : list of (int, int)
        Rows of each piece: a video that was found may change which images are in which shard.
    """
    before = _everything(out)
    now = frames.table.rename(columns=renamed)
    absent = [name for name in now if name not in before]
    if absent:
        return f"no column {absent[0]} there"
    left_out = (before["reason"] != "").to_numpy(bool)
    for name in now:
        changed = (_text(now[name]) != _text(before[name])).to_numpy(bool)
        if not (name in KEY or name.startswith("AU")):
            changed &= ~left_out
        if changed.any():
            row = int(changed.argmax())
            return f"{name} of row {row} is {before[name].iloc[row]} there, {now[name].iloc[row]} asked for"
    if "shard" in before:
        kept = before[~left_out]
        if kept["shard"].tolist() != shard_names(cuts, kept["row"]):
            return "finished images would be in other shards"
    return None


def shard_names(cuts: list[tuple[int, int]], rows: pd.Series) -> list[str]:
    """The shard of each row."""
    number = np.searchsorted([start for start, _ in cuts], rows.to_numpy(), side="right") - 1
    return [f"shard-{n:06d}.tar" for n in number]


def _text(cells: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(cells):  # 1 and 1.0 are one number
        cells = cells.astype("Float64")
    return cells.astype("string").fillna("\0")


def _everything(out: Path) -> pd.DataFrame:
    tables = [Frames.read_parquet(out / f"{name}.parquet").table for name in ("manifest", "quarantine")]
    tables[0] = tables[0].assign(reason="", detail="")
    return pd.concat(tables, ignore_index=True).sort_values("row", ignore_index=True)


def take_up(job: Job, cuts: list[tuple[int, int]], plan: dict[str, Any]) -> None:
    """Make pieces with rows that were left out unfinished again.

    Parameters
    ----------
    job : Job
    cuts : list of (int, int)
        Rows of each piece.
    plan : dict
        What is asked for; the table in it may be another than before, see :func:`differing`.
    """
    if (job.out / "manifest.parquet").exists():
        _reopen(job, cuts, plan)
        return
    _points(job)
    aside(job, 0).parent.mkdir(exist_ok=True)
    for number in range(len(cuts)):
        path = job.part(number)
        if path.exists() and (pd.read_parquet(path, columns=["reason"])["reason"] != "").any():
            path.replace(aside(job, number))


def _reopen(job: Job, cuts: list[tuple[int, int]], plan: dict[str, Any]) -> None:
    decided = _everything(job.out)
    if not (decided["reason"] != "").any():
        return
    for folder in (job.part(0).parent, aside(job, 0).parent, job.scratch):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    decided = decided.reindex(columns=list(Decision(0).cells()))  # an array has no column "key"
    for number, (start, stop) in enumerate(cuts):
        piece = decided.iloc[start:stop].reset_index(drop=True)
        account(job, piece, path=aside(job, number) if (piece["reason"] != "").any() else job.part(number))
    _points(job)
    versions = json.loads((job.out / "plan.json").read_text())["versions"]
    write_text(job.out / "plan.json", json.dumps({**plan, "versions": versions}, indent=1))
    (job.out / "manifest.parquet").unlink()  # from here on the folder is unfinished


def _points(job: Job) -> None:
    """Landmarks of finished rows, unknown: a finished folder keeps no file of these."""
    path = job.points.path
    if path.exists() or (job.out / path.name).exists():
        return
    empty = RowFile(path.with_name(f"empty-{path.name}"), shape=job.points.shape, dtype=job.points.dtype)
    empty.create()
    for start in range(0, job.rows, _BLOCK):
        count = min(_BLOCK, job.rows - start)
        empty.write(start, np.full((count, *empty.shape[1:]), np.nan))
    empty.path.replace(path)


def run(job: Job, number: int, first: int, table: pd.DataFrame) -> tuple[int, int]:
    """Prepare a piece, or what was left out of it; as :func:`fau_utils.data.prepare_task.run`."""
    path = aside(job, number)
    if not path.exists():
        return prepare_task.run(job, number, first, table)
    known = pd.read_parquet(path)
    tried = np.flatnonzero(known["reason"] != "")
    decisions = [Decision(first + int(i)) for i in tried]
    cut = cut_out(job, table.iloc[tried].reset_index(drop=True), decisions)
    if job.form == "array":
        for i, image in cut:
            job.images.write(decisions[i].row, image.transpose(2, 0, 1)[None])
        for decision in decisions:
            if decision.reason:  # a run that was killed may have had its picture
                job.images.write(decision.row, np.zeros((1, *job.images.shape[1:]), "uint8"))
    else:
        members = _pack(job, number, first, table, tried, known, cut)
    for decision in decisions:
        job.points.write(decision.row, decision.marks[None])
    anew = pd.DataFrame([decision.cells() for decision in decisions], index=tried).astype(KINDS)
    known = pd.concat([known.drop(index=tried), anew]).sort_index()
    if job.form == "tar":
        for row, member in members.items():
            known.loc[row, ["key", "offset", "bytes"]] = list(member)
    account(job, known, path=job.part(number))
    return len(tried), sum(bool(decision.reason) for decision in decisions)


def _pack(job, number, first, table, tried, known, cut) -> dict[int, tuple]:
    """Write the shard of a piece anew, with the old bytes of what it had; members by position in the piece."""
    path = job.out / f"shard-{number:06d}.tar"
    kept = np.flatnonzero(known["reason"] == "").tolist()
    order: list[int] = []
    with ExitStack() as stack:
        old = stack.enter_context(tarfile.open(path)) if path.exists() else None
        # by name, not by place: a run that was killed here may have written the shard, but not its account
        before = ((i, old.extractfile(f"{first + i:09d}.jpg").read()) for i in kept)
        now = ((int(tried[i]), prepare_task.encode(image, quality=job.quality)) for i, image in cut)

        def samples() -> Iterator[tuple[str, bytes, dict]]:
            for i, data in heapq.merge(before, now, key=lambda item: item[0]):
                order.append(i)
                yield sample(first + i, data, table.iloc[i])

        written = write_shard(path, samples(), scratch=job.scratch)
    return dict(zip(order, written, strict=True))
