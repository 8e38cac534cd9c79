"""The ``AUCoding`` folder of BP4D and BP4D+: occurrence with a header, intensity without one, code 9.

Code 9 means *cannot be coded*. It becomes null, never 0.
"""

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.aus import column
from fau_utils.data import perau
from fau_utils.data.pictures import Pictures, locate, without_archives
from fau_utils.data.tree import (
    DatasetError,
    Numbers,
    au_number,
    files,
    one_folder,
    read_numbers,
    refuse_outside,
    refuse_repeated,
    subfolders,
    whole,
)
from fau_utils.frames import Frames, Scale

log = logging.getLogger(__name__)

NOT_CODED = 9
OCCURRENCE_CODES: tuple[int, ...] = (0, 1, NOT_CODED)
INTENSITY_CODES: tuple[int, ...] = (0, 1, 2, 3, 4, 5, NOT_CODED)
WITH_INTENSITY: tuple[int, ...] = (6, 10, 12, 14, 17)
"""The AUs of ``AU_INT``."""

Sequences = dict[tuple[str, str], Path]
"""Label file by (subject, task)."""

_SEQUENCE = r"([FM]\d{3})_(T\d{1,2})"
_HEADER_CELL = re.compile(r"['\"]?\s*(?:AU)?\s*_?0*(\d+)\s*['\"]?", re.IGNORECASE)


def coding_folder(root: Path) -> Path:
    """The folder with ``AU_OCC`` and ``AU_INT`` in it: ``AUCoding``, or the root itself."""
    return one_folder(root, r"au[ _-]?coding", called="AUCoding", required=False) or root


def occurrence_files(root: Path) -> Sequences:
    """The files ``AU_OCC/F001_T1.csv``.

    Raises
    ------
    DatasetError
        No such folder, or no such file in it.
    """
    folder = one_folder(coding_folder(root), r"au[ _-]?occ", called="AUCoding/AU_OCC")
    return _sequences(folder, _SEQUENCE + r"\.csv", example="F001_T1.csv")


def intensity_files(root: Path) -> dict[int, Sequences]:
    """The files ``AU_INT/AU06/F001_T1_AU06.csv`` by AU.

    Raises
    ------
    DatasetError
        No such folder, no such file in it, or a file whose name and folder name different AUs.
    """
    folder = one_folder(
        coding_folder(root), r"au[ _-]?int|au intensity codes\s*[\d.]*", called="AUCoding/AU_INT", required=False
    ) or one_folder(root, r"au intensity codes\s*[\d.]*", called="AUCoding/AU_INT or AU Intensity Codes3.0")
    found = {}
    for name, inside in subfolders(folder, r"AU\d+").items():
        number = au_number(name)
        found[number] = _sequences(inside, _SEQUENCE + r"_AU\d+\.csv", example=f"F001_T1_{name}.csv")
        for path in found[number].values():
            if au_number(path.name) != number:
                raise DatasetError(
                    path, expected=f"a file of AU{number}, as its folder says", found=path.name, hint="move it back"
                )
    if not found:
        raise DatasetError(folder, expected="folders AU06, AU10, ...", found="none", hint="extract the archive again")
    return found


def _sequences(folder: Path, pattern: str, *, example: str) -> Sequences:
    found: Sequences = {}
    for name, path in files(folder, pattern).items():
        subject, task = re.match(_SEQUENCE, name, re.IGNORECASE).groups()
        found[subject.upper(), task.upper()] = path
    if not found:
        raise DatasetError(
            folder, expected=f"files such as {example}", found="none of this form", hint="extract the archive again"
        )
    return dict(sorted(found.items(), key=lambda item: (item[0][0], int(item[0][1][1:]))))


def header_columns(table: Numbers, path: Path) -> dict[int, int]:
    """Position of each AU by the header; the first cell stands over the frame numbers.

    Raises
    ------
    DatasetError
        When the first line is no header: cells repeat, or no cell names an AU.
    """
    positions: dict[int, int] = {}
    for position, cell in enumerate(table.header[1:], start=1):
        match = _HEADER_CELL.fullmatch(cell)
        if match is None:
            continue
        number = int(match[1])
        if number in positions:
            raise DatasetError(
                path,
                line=1,
                expected="a header that names each AU once",
                found=f"{number} in the columns {positions[number]} and {position}",
                hint="the header is missing or damaged; columns are never read by their order",
            )
        positions[number] = position
    return positions


def occurrence(
    path: Path, *, aus: Sequence[int], occlusion: bool, order: Sequence[int] | None = None
) -> tuple[pd.DataFrame, np.ndarray]:
    """One ``AU_OCC`` file.

    Parameters
    ----------
    path : Path
    aus : sequence of int
        AUs to read.
    occlusion : bool
        Whether the last column is the occlusion flag (BP4D, as the FERA-2015 reader has it) or an AU (BP4D+).
    order : sequence of int, optional
        The documented order of the AUs; another order is read by name and reported in the log.

    Returns
    -------
    table : DataFrame
        ``frame``, ``AU<n>`` (Int8: 1, 0, null) and, with `occlusion`, ``occluded`` (boolean, null when not coded).
    line : ndarray, (N,) int64
        Line of each row in the file.

    Raises
    ------
    DatasetError
        A damaged header or line, a code other than 0, 1 and 9, a frame below 1 or twice.
    """
    numbers = read_numbers(path, header=True)
    positions = header_columns(numbers, path)
    last = len(numbers.header) - 1
    flagged = occlusion and not _is_action_unit(numbers.header[last])
    if flagged:
        positions = {number: place for number, place in positions.items() if place != last}
    elif occlusion:
        log.warning("%s: the last column is AU %s, so there is no occlusion flag", path, numbers.header[last])
    absent = [n for n in aus if n not in positions]
    if absent:
        raise DatasetError(
            path,
            line=1,
            expected=f"columns of the AUs {list(aus)}",
            found=f"no column of {absent}",
            hint="see whether this is the right dataset, or leave them out with aus=[...]",
        )
    if order is not None and [n for n in positions if n in order] != [n for n in order if n in positions]:
        log.warning("%s: columns stand in another order than documented; they are read by their header", path)
    data = {"frame": _frame_numbers(numbers, path)}
    for number in aus:
        data[column(number)] = _codes(
            numbers.values[:, positions[number]], OCCURRENCE_CODES, numbers, path=path, what=column(number)
        )
    if occlusion:
        data["occluded"] = pd.array([pd.NA] * len(numbers.line), "boolean")
        if flagged:
            flags = _codes(numbers.values[:, last], OCCURRENCE_CODES, numbers, path=path, what="the occlusion flag")
            data["occluded"] = flags.astype("boolean")
    return pd.DataFrame(data), numbers.line


def intensity(path: Path, what: str) -> tuple[pd.Series, np.ndarray]:
    """One ``AU_INT`` file: intensities (Int8: 0 to 5, null) by frame number, and the line of each.

    Raises
    ------
    DatasetError
        A damaged line, a code other than 0 to 5 and 9, a frame below 1 or twice.
    """
    numbers = read_numbers(path, columns=2)
    codes = _codes(numbers.values[:, 1], INTENSITY_CODES, numbers, path=path, what=what)
    return pd.Series(codes, index=_frame_numbers(numbers, path)), numbers.line


def intensity_tables(root: Path, *, aus: Sequence[int] | None, allow_missing: bool) -> dict:
    """All ``AU_INT`` tables by (subject, task), each as :func:`fau_utils.data.perau.join` gives it.

    Raises
    ------
    DatasetError
        As :func:`intensity`, and for a sequence without one of its files, unless `allow_missing`.
    """
    wanted = WITH_INTENSITY if aus is None else tuple(aus)
    found = intensity_files(root)
    tables = {}
    for key in sorted({key for n in wanted for key in found.get(n, {})}, key=lambda key: (key[0], int(key[1][1:]))):
        mine = {n: found[n][key] for n in wanted if key in found.get(n, {})}
        absent = next(iter(mine.values())).parents[1] / f"AU<NN>/{key[0]}_{key[1]}_AU<NN>.csv"
        tables[key] = perau.join(mine, intensity, aus=wanted, absent=absent, allow_missing=allow_missing)
    if not tables:
        raise DatasetError(
            root, expected=f"intensities of {list(wanted)}", found=f"those of {sorted(found)}", hint="change aus=[...]"
        )
    return tables


def refuse_uncoded(found: Iterable[tuple[str, str]], coded: Iterable[tuple[str, str]], *, tasks: Sequence[str]) -> None:
    """Check that every sequence with pictures, of a task that is coded, has labels.

    Raises
    ------
    DatasetError
    """
    for subject, task in sorted(set(found) - set(coded)):
        if task in tasks:
            raise DatasetError(
                f"AUCoding/AU_OCC/{subject}_{task}.csv",
                expected=f"labels of the sequence {subject}/{task}, which has pictures",
                found="no file of this name",
                hint="extract the label archive again, or pass allow_missing=True to leave the sequence out",
            )


def assemble(
    dataset: str,
    root: Path,
    coded: dict[tuple[str, str], tuple[pd.DataFrame, np.ndarray, Path]],
    found: dict[tuple[str, str], Pictures],
    *,
    tracks: dict[tuple[str, str], Path],
    scale: Scale,
    allow_missing: bool,
) -> Frames:
    """One table of all sequences: labels, each with its picture and its landmark file.

    Raises
    ------
    DatasetError
        A label without a picture, unless `allow_missing`.
    """
    parts = []
    for (subject, task), (table, line, path) in coded.items():
        frames = table["frame"].to_numpy("int64")
        warn_of_gaps(frames, path)
        place = locate(
            frames, found.get((subject, task)), root=root, labels=path, line=line,
            allow_missing=allow_missing, wanted=f"the sequence {subject}/{task}",
        )  # fmt: skip
        track = tracks.get((subject, task))
        marks = None if track is None else track.relative_to(root).as_posix()
        keys = {"dataset": dataset, "subject": f"{dataset}/{subject}", "clip": task}
        parts.append(table.assign(**keys, landmarks=pd.array([marks] * len(table), "string")).join(place))
    whole_table = without_archives(pd.concat(parts, ignore_index=True))
    missing = int((whole_table["path"].isna() & whole_table.get("key", whole_table["path"]).isna()).sum())
    if missing:
        log.warning("%s: %d of %d labels have no picture; their path is null", dataset, missing, len(whole_table))
    return Frames(whole_table, scale=scale)


def warn_of_gaps(frames: np.ndarray, path: Path) -> None:
    """Report coded segments that are not contiguous; published lists know none."""
    gaps = np.flatnonzero(np.diff(frames) != 1)
    if len(gaps):
        log.warning(
            "%s: frame %d is followed by %d; coded segments are contiguous in every published list",
            path, frames[gaps[0]], frames[gaps[0] + 1],
        )  # fmt: skip


def _is_action_unit(cell: str) -> bool:
    match = _HEADER_CELL.fullmatch(cell)
    return match is not None and 1 <= int(match[1]) <= 46  # from 50 on, FACS counts positions and visibility


def _frame_numbers(numbers: Numbers, path: Path) -> np.ndarray:
    frames = whole(numbers.values[:, 0], path=path, line=numbers.line, what="frame number")
    below = np.flatnonzero(frames < 1)
    if len(below):
        raise DatasetError(
            path,
            line=int(numbers.line[below[0]]),
            expected="frame numbers from 1",
            found=f"{frames[below[0]]}",
            hint="the file was renumbered: take the one of the release",
        )
    refuse_repeated(frames, path=path, line=numbers.line)
    return frames


def _codes(values: np.ndarray, allowed: Sequence[int], numbers: Numbers, *, path: Path, what: str):
    meaning = f"{allowed[0]} to {allowed[-2]}, or {NOT_CODED} (not coded)"
    refuse_outside(values, allowed, path=path, line=numbers.line, what=what, meaning=meaning)
    cells = pd.array(values, "Int8")
    cells[values == NOT_CODED] = pd.NA
    return cells
