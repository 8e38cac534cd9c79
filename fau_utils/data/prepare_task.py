"""One piece of a preparation: the pictures of some clips, cut out, written, and accounted for row by row.

Everything here runs in worker processes and depends on nothing but its arguments and the files, so that a piece done
twice gives the same bytes.
"""

import functools
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fau_utils.data import crops, landmarks, video
from fau_utils.data.decode import decode, encode
from fau_utils.data.detector import FaceDetector
from fau_utils.data.safe import MAX_BYTES, MAX_PIXELS, UnreadableImage, inside
from fau_utils.data.stored import Member, RowFile, write_shard
from fau_utils.data.tree import DatasetError
from fau_utils.frames import KEY

VIDEOS: tuple[str, ...] = (".avi", ".mp4", ".mkv", ".mov", ".webm")
WORK = ".work"
POINTS = 49  # per face; importing the faces, where they are described, would cost every worker seconds
_BLOCK = 64  # crops written at a time

KINDS = {"width": "Int32", "height": "Int32", "offset": "Int64", "bytes": "Int64", "key": "string"}
"""Columns of an account in which a cell may be empty."""

Form = Literal["array", "tar"]

# 66 points are the 68 without the inner mouth corners; the first 17 are the outline
_OF_66 = slice(17, None)


@dataclass(frozen=True)
class Job:
    """What all pieces of a preparation share; :func:`fau_utils.data.prepare.prepare` explains the fields."""

    root: Path
    out: Path
    crop: str
    size: int
    form: Form
    rows: int
    quality: int = 95
    face_model: Path | None = None
    max_pixels: int = MAX_PIXELS

    @property
    def scratch(self) -> Path:
        """Folder of half-written files."""
        return self.out / WORK / "scratch"

    @property
    def images(self) -> RowFile:
        """The crops, while they are being written."""
        return RowFile(
            self.out / WORK / "images.npy", shape=(self.rows, 3, self.size, self.size), dtype="uint8"
        )  # fmt: skip

    @property
    def points(self) -> RowFile:
        """Their landmarks, px of the crop."""
        return RowFile(self.out / WORK / "landmarks.npy", shape=(self.rows, POINTS, 2), dtype="<f4")

    def part(self, number: int) -> Path:
        """The account of a finished piece."""
        return self.out / WORK / "parts" / f"{number:06d}.parquet"


@dataclass
class Decision:
    """What became of a row.

    Attributes
    ----------
    row : int
        Position in the preparation.
    reason, detail : str
        Why it was left out, as a word and as a sentence; empty when it was not.
    """

    row: int
    reason: str = ""
    detail: str = ""
    width: int | None = None
    height: int | None = None
    points_from: str = ""
    outside: float = np.nan
    score: float = np.nan
    box: np.ndarray = field(default_factory=lambda: np.full(4, np.nan))
    matrix: np.ndarray = field(default_factory=lambda: np.full((2, 3), np.nan))
    marks: np.ndarray = field(default_factory=lambda: np.full((POINTS, 2), np.nan))
    member: Member | None = None

    def cells(self) -> dict[str, Any]:
        """The decision as a row of the manifest."""
        key, offset, length = self.member or (None, None, None)
        return {
            "row": self.row,
            "reason": self.reason,
            "detail": self.detail,
            "width": self.width,
            "height": self.height,
            "points_from": self.points_from,
            "score": self.score,
            **dict(zip(("box_left", "box_top", "box_right", "box_bottom"), self.box.tolist(), strict=True)),
            **{f"m{r}{c}": float(self.matrix[r, c]) for r in range(2) for c in range(3)},
            "outside": self.outside,
            "key": key,
            "offset": offset,
            "bytes": length,
        }


class LeftOut(Exception):
    """A row that goes to the quarantine: a word, and a sentence."""


def run(job: Job, number: int, first: int, table: pd.DataFrame) -> tuple[int, int]:
    """Prepare some rows and write their account. Returns how many there are, and how many were left out.

    Parameters
    ----------
    job : Job
    number : int
        Of the piece.
    first : int
        Position of the first row; the others follow.
    table : DataFrame
        Of :class:`~fau_utils.frames.Frames`.
    """
    decisions = [Decision(first + i) for i in range(len(table))]
    cut = cut_out(job, table.reset_index(drop=True), decisions)
    if job.form == "array":
        _fill(job, first, cut)
    else:
        _pack(job, number, table, decisions, cut)
    job.points.write(first, np.stack([decision.marks for decision in decisions]))
    # from here on the piece is done
    account(job, pd.DataFrame([decision.cells() for decision in decisions]), path=job.part(number))
    return len(decisions), sum(bool(decision.reason) for decision in decisions)


def _fill(job: Job, first: int, cut: Iterator[tuple[int, np.ndarray]]) -> None:
    block: list[np.ndarray] = []
    start = 0
    for i, image in cut:
        if block and (i != start + len(block) or len(block) == _BLOCK):
            job.images.write(first + start, np.stack(block))
            block = []
        if not block:
            start = i
        block.append(image.transpose(2, 0, 1))
    if block:
        job.images.write(first + start, np.stack(block))


def _pack(job: Job, number: int, table: pd.DataFrame, decisions: list[Decision], cut: Iterator) -> None:
    order: list[int] = []

    def samples():
        for i, image in cut:
            order.append(i)
            yield sample(decisions[i].row, encode(image, quality=job.quality), table.iloc[i])

    members = write_shard(job.out / f"shard-{number:06d}.tar", samples(), scratch=job.scratch)
    for i, member in zip(order, members, strict=True):
        decisions[i].member = member


def sample(number: int, image: bytes, row: pd.Series) -> tuple[str, bytes, dict[str, Any]]:
    """A row of the preparation as a sample of a shard: its name, its JPEG file, and its labels."""
    values = {
        name: None if pd.isna(cell) else getattr(cell, "item", lambda c=cell: c)()
        for name, cell in row.items()
        if name in KEY or name.startswith("AU")
    }
    return f"{number:09d}", image, values


def account(job: Job, table: pd.DataFrame, *, path: Path) -> None:
    """Write what became of the rows of a piece, whole or not at all."""
    temporary = job.scratch / f"{path.name}.{os.getpid()}"
    try:
        table.astype(KINDS).to_parquet(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def cut_out(job: Job, table: pd.DataFrame, decisions: list[Decision]) -> Iterator[tuple[int, np.ndarray]]:
    """Position in the piece and crop, in rising order; what is left out is noted in its decision."""
    chosen = crops.recipe(job.crop)
    for i, image in _pictures(job, table):
        decision = decisions[i]
        try:
            if isinstance(image, LeftOut):
                raise image
            decision.height, decision.width = image.shape[:2]
            _place(job, table.iloc[i], image, decision)
        except LeftOut as why:
            decision.reason, decision.detail = why.args
            continue
        decision.outside = round(crops.outside(decision.matrix, decision.width, decision.height, size=job.size), 4)
        yield i, crops.warp(image, decision.matrix, size=job.size, fill=chosen.fill, filter=chosen.filter)


def _place(job: Job, row: pd.Series, image: np.ndarray, decision: Decision) -> None:
    needs = crops.recipe(job.crop).needs
    height, width = image.shape[:2]
    marks, lost = _marks(job, row) if _text(row, "landmarks") else (None, "the dataset has no landmarks of this frame")
    if marks is not None:
        lost = crops.problem(crops.five_points(marks[None])[0], width, height)
    if needs == "nothing":
        decision.matrix = crops.whole(width, height, size=job.size)
    elif needs == "points" and lost is None:
        decision.points_from = "dataset"
        decision.matrix = crops.from_points(crops.five_points(marks[None]), crop=job.crop, size=job.size)[0]
    elif job.face_model is None:
        raise LeftOut("no_landmarks" if marks is None else "bad_landmarks", lost)
    else:
        found = _detector(job.face_model).find(image)
        if found is None:
            raise LeftOut("no_face", "the detector found no face" + (f"; {lost}" if needs == "points" else ""))
        decision.points_from, decision.score, decision.box = "detector", round(found.score, 4), found.box
        if needs == "box":
            decision.matrix = crops.from_boxes(found.box[None], size=job.size)[0]
        else:
            why = crops.problem(found.five, width, height)
            if why is not None:
                raise LeftOut("no_face", f"the detector's points: {why}")
            decision.matrix = crops.from_points(found.five[None], crop=job.crop, size=job.size)[0]
    if marks is not None and lost is None:
        decision.marks = crops.transform(marks[None], decision.matrix[None])[0]


def _marks(job: Job, row: pd.Series) -> tuple[np.ndarray | None, str | None]:
    """The dataset's 49 points, px from 0, or why there are none."""
    path = job.root / row["landmarks"]
    try:
        if row["dataset"] == "disfa":
            return landmarks.read_points(path)[_OF_66].astype("float64") - 1, None
        numbers, points = _track(path)
    except DatasetError as error:
        return None, str(error)
    at = np.flatnonzero(numbers == row["frame"])
    if not len(at):
        return None, f"{row['landmarks']} has no frame {row['frame']}"
    if not np.isfinite(points[at[0]]).all():
        return None, f"{row['landmarks']} has no points in frame {row['frame']}: the face was lost"
    return points[at[0]].astype("float64") - 1, None


@functools.lru_cache(maxsize=4)
def _track(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return landmarks.read_track(path)


@functools.lru_cache(maxsize=1)
def _detector(model: Path) -> FaceDetector:
    return FaceDetector(model)


def forget() -> None:
    """Close the files that are kept open between pieces, which may be others by now."""
    for kept in (_track, _zip, _tar):
        kept.cache_clear()


def _pictures(job: Job, table: pd.DataFrame) -> Iterator[tuple[int, np.ndarray | LeftOut]]:
    """Every row's position and picture, or why there is none, in rising order."""
    i = 0
    while i < len(table):
        path = _text(table.iloc[i], "path")
        if path is None or not path.lower().endswith(VIDEOS):
            yield i, _picture(job, table.iloc[i])
            i += 1
            continue
        end = i + 1
        while end < len(table) and _text(table.iloc[end], "path") == path:
            end += 1
        yield from _shown(job, path, table.iloc[i:end], first=i)
        i = end


def _shown(job: Job, path: str, rows: pd.DataFrame, *, first: int) -> Iterator[tuple[int, np.ndarray | LeftOut]]:
    index = rows["index"].tolist() if "index" in rows else [None] * len(rows)
    good = [pd.notna(a) and (i == 0 or a > index[i - 1]) for i, a in enumerate(index)]
    if not all(good):
        at = good.index(False)
        raise DatasetError(
            job.root / path, expected="frames of a video with a rising column 'index', counted from 0",
            found=f"{index[at]} in the row of frame {rows['frame'].iloc[at]}", hint="read the dataset again",
        )  # fmt: skip
    done = 0
    try:
        for _, image in video.pick(job.root / path, [int(a) for a in index]):
            yield first + done, image
            done += 1
    except DatasetError as error:
        _refuse_lost_root(job)
        for i in range(done, len(rows)):
            yield first + i, LeftOut("video", str(error))


def _picture(job: Job, row: pd.Series) -> np.ndarray | LeftOut:
    path, shard, key = (_text(row, name) for name in ("path", "shard", "key"))
    if path is None and (shard is None or key is None):
        return LeftOut("no_picture", "a label without a picture")
    try:
        data = job.root / path if path is not None else _member(job.root / shard, key)
        return decode(data, max_pixels=job.max_pixels)
    except (UnreadableImage, KeyError) as error:
        return LeftOut("unreadable", error.args[0])
    except OSError as error:
        _refuse_lost_root(job)
        return LeftOut("unreadable", error.strerror or str(error))


def _refuse_lost_root(job: Job) -> None:
    """A file that fails is left out; a disk that is gone must not leave out everything."""
    if not job.root.is_dir():
        raise DatasetError(
            job.root, expected="the dataset's folder", found="nothing of this name any more",
            hint="mount the disk again and run the same command: it goes on where it stopped",
        )  # fmt: skip


def _member(shard: Path, key: str) -> bytes:
    if not inside(key):
        raise UnreadableImage(f"{key!r} points out of the archive")
    if shard.suffix.lower() == ".zip":
        try:
            _refuse_bomb(_zip(shard).getinfo(key).file_size)
            return _zip(shard).read(key)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise UnreadableImage(f"{key}: {error}") from error
    if shard.suffix.lower() == ".mdb" or shard.is_dir():
        return _packed(shard, key)
    return _tar_member(shard, key)


@functools.lru_cache(maxsize=2)
def _zip(shard: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(shard)


def _packed(shard: Path, key: str) -> bytes:
    import lmdb

    with (
        lmdb.open(str(shard), subdir=shard.is_dir(), readonly=True, lock=False, create=False) as environment,
        environment.begin() as transaction,
    ):
        data = transaction.get(key.encode())
    if data is None:
        raise KeyError(f"no image {key!r} in {shard.name}")
    return bytes(data)


@functools.lru_cache(maxsize=2)
def _tar(shard: Path):
    import tarfile

    archive = tarfile.open(shard)  # noqa: SIM115  kept open for the next rows
    return archive, {member.name: member for member in archive if member.isreg()}


def _tar_member(shard: Path, key: str) -> bytes:
    import tarfile

    try:
        archive, members = _tar(shard)
        _refuse_bomb(members[key].size)
        return archive.extractfile(members[key]).read()
    except (tarfile.TarError, EOFError) as error:
        raise UnreadableImage(f"{shard.name}: {error}") from error
    except KeyError:
        raise KeyError(f"no image {key!r} in {shard.name}") from None


def _refuse_bomb(size: int) -> None:
    if size > MAX_BYTES:
        raise UnreadableImage(f"{size:,} bytes, at most {MAX_BYTES:,} are read")


def _text(row: pd.Series, name: str) -> str | None:
    value = row.get(name)
    return None if value is None or pd.isna(value) else str(value)
