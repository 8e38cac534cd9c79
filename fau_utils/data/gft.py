"""GFT, the Sayette Group Formation Task: three strangers at a table, one minute each.

**Our reading, not checked against the data.** What is public (96 people in 32 groups of three, 172,800 frames at 30
fps, occurrence codes under CC-BY 4.0 at osf.io/7wcyz, videos by agreement with the University of Pittsburgh) does not
state the file format in a source at hand. This reader takes one csv per person, ``001A.csv`` (group and seat), with a
header that names a frame column and AU columns, frames counted from 1, and takes -1, 9 and 999 for *could not be
coded*. It says so in the log every time; compare with the wiki of the release before a number is reported.
"""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data import pictures
from fau_utils.data.tree import (
    DatasetError,
    MissingPicture,
    existing_root,
    read_numbers,
    refuse_outside,
    refuse_repeated,
    whole,
)
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

AUS: tuple[int, ...] = (1, 2, 4, 6, 10, 12, 14, 15, 23, 24)
"""The 10 AUs usually evaluated."""

NOT_CODED: tuple[int, ...] = (-1, 9, 999)

_PERSON = re.compile(r"(\d{3})([A-C])", re.IGNORECASE)
_AU = re.compile(r"\s*AU[\s_]*0*(\d+)\s*", re.IGNORECASE)
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv")


def read(
    root: str | os.PathLike, *, aus: Sequence[int] | None = None, first: int = 1, allow_missing: bool = False
) -> Frames:
    """Labels of GFT with the videos they belong to.

    Parameters
    ----------
    root : path-like
        Folder with the csv files and, anywhere below it, videos named by person.
    aus : sequence of int, optional
        By default :data:`AUS`.
    first : int
        Number of a video's first frame in the label files.
    allow_missing : bool
        Keep labels without a picture (null ``path``) instead of raising: the codes are free to use, the videos need an
        agreement.

    Returns
    -------
    Frames
        ``subject`` is ``gft/001A``, ``clip`` is ``001A``; also ``group`` (``001``: three people share a table),
        ``path`` of the video relative to `root` (null without one) and ``index``, the frame's place in it from 0.

    Raises
    ------
    DatasetError
        No label file, no frame column, an AU that the header does not name, an unknown code, a frame that comes
        twice, a video that does not open, or labels without one and without `allow_missing`.
    """
    root = existing_root(root)
    log.warning("GFT: this layout is our reading of what is public; compare it with the wiki at osf.io/7wcyz")
    wanted = AUS if aus is None else tuple(aus)
    labels, videos = _by_person(root)
    pieces = []
    for person, path in labels.items():
        piece, line = _read_person(path, wanted, first)
        shown = _shown(piece["index"], person, videos, root)
        if shown.isna().any() and not allow_missing:
            lacking = shown.isna().to_numpy()
            raise MissingPicture(
                path,
                line=int(line[lacking.argmax()]),
                expected=f"a video of {person} with every labelled frame",
                found="no video" if lacking.all() else f"a shorter one: {lacking.sum():,} of {len(piece):,} labels",
                hint="put 001A.mp4 and on below the root, or pass allow_missing=True to keep labels without a picture",
            )
        pieces.append(piece.assign(clip=person, group=person[:3], path=shown))
    table = pd.concat(pieces, ignore_index=True)
    return Frames(table.assign(dataset="gft", subject="gft/" + table["clip"]), scale="occurrence")


def _shown(index: pd.Series, person: str, videos: dict[str, Path], root: Path) -> pd.Series:
    """The video of each label, null behind its end."""
    shown = pd.Series(pd.NA, index=index.index, dtype="string")
    if person in videos:
        length = pictures.video(videos[person]).length
        shown[:] = videos[person].relative_to(root).as_posix()
        shown[index >= (np.inf if length is None else length)] = pd.NA
    return shown


def _by_person(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    labels: dict[str, Path] = {}
    videos: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        kept = labels if path.suffix.lower() == ".csv" else videos if path.suffix.lower() in _VIDEOS else None
        match = _PERSON.fullmatch(path.stem)
        if kept is None or match is None:
            continue
        person = path.stem.upper()
        if person in kept:
            raise DatasetError(
                path,
                expected=f"one {path.suffix} file of {person}",
                found=f"another, {kept[person].relative_to(root)}",
                hint="occurrence and intensity files have the same names: give the folder of the occurrence files",
            )
        kept[person] = path
    if not labels:
        raise DatasetError(
            root, expected="label files such as 001A.csv", found="none", hint="download the annotations from OSF"
        )
    return labels, videos


def _read_person(path: Path, wanted: Sequence[int], first: int) -> tuple[pd.DataFrame, np.ndarray]:
    table = read_numbers(path, header=True)
    frame_columns = [place for place, cell in enumerate(table.header) if "frame" in cell.lower()]
    columns = {int(m[1]): place for place, cell in enumerate(table.header) if (m := _AU.fullmatch(cell))}
    absent = [number for number in wanted if number not in columns]
    if len(frame_columns) != 1 or absent:
        raise DatasetError(
            path,
            line=1,
            expected="one column with 'frame' in its name" + (f" and AU {absent}" if absent else ""),
            found=",".join(table.header)[:80],
            hint="the format may differ from our reading: see the docstring of fau_utils.data.gft",
        )
    frame = whole(table.values[:, frame_columns[0]], path=path, line=table.line, what="frame number")
    refuse_repeated(frame, path=path, line=table.line)
    if frame.min() < first:
        raise DatasetError(
            path,
            line=int(table.line[frame.argmin()]),
            expected=f"frames counted from {first}",
            found=str(frame.min()),
            hint="pass first=0 when the files count from 0",
        )
    cells = {}
    for number in sorted(wanted):
        values, name = table.values[:, columns[number]], vocabulary.column(number)
        meaning = f"0 (absent), 1 (present) or one of {NOT_CODED} (not coded)"
        refuse_outside(values, (0, 1, *NOT_CODED), path=path, line=table.line, what=name, meaning=meaning)
        cells[name] = np.where(np.isin(values, NOT_CODED), np.nan, values)
    codes = pd.DataFrame({"frame": frame, "index": frame - first, **cells}).astype(dict.fromkeys(cells, "Int8"))
    return codes, table.line
