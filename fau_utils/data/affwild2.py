"""Aff-Wild2, the AU track of the ABAW challenges.

A video's labels are a text file: a header that names 12 AUs, then one line per frame, so that line i + 1 belongs to
``cropped_aligned/<video>/<i as five digits>.jpg``, counted from 1. Frames without a detected face have no image, and
files may have more or fewer lines than the video has frames: labels and images are matched by their number, never
by their order. The multi-task form is one file whose first column names the image.

Code -1 means *not annotated* and becomes null in its own cell; published code often drops the whole frame.
The test labels are private: only numbers on the validation set can be compared.

Images come in two archives, ``cropped_aligned`` and ``cropped_aligned_new_50_vids``, which are read as one.
A video with two people has files with the suffixes ``_left`` and ``_right``: two people (subjects) in one clip.
Nobody else is named, so that every other video counts as a person of its own, which is not always true.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data.tree import (
    DatasetError,
    MissingPicture,
    existing_root,
    files,
    image_numbers,
    read_numbers,
    refuse_outside,
    text_lines,
)
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

AUS: tuple[int, ...] = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
"""The 12 AUs of the challenge."""

NOT_ANNOTATED = -1
SPLITS: dict[str, str] = {"train": "Train_Set", "validation": "Validation_Set"}

_HEADER = re.compile(r"\s*AU\s*0*(\d+)\s*", re.IGNORECASE)
_IMAGE = re.compile(r"(\d+)\.(?:jpg|jpeg|png)", re.IGNORECASE)
_PERSON = re.compile(r"(.+)_(?:left|right)")
_TOP = re.compile(r"cropped_aligned")

Form = Literal["track", "mtl"]
Split = Literal["train", "validation"]


def read(
    root: str | os.PathLike,
    *,
    split: Split | None = None,
    form: Form = "track",
    annotations: str | None = None,
    aus: Sequence[int] | None = None,
    allow_missing: bool = False,
) -> Frames:
    """Frames with a label line and an image.

    Parameters
    ----------
    root : path-like
        Folder with the annotations and the image folders below it.
    split : {"train", "validation"}, optional
        By default both, told apart in the column ``split``.
    form : {"track", "mtl"}
        One file per video (``AU_Detection_Challenge``), or the multi-task file
        (``training_set_annotations.txt`` and ``validation_set_annotations.txt``).
    annotations : str, optional
        The folder of one edition, e.g. ``"3rd ABAW Annotations"``; needed when several are there.
    aus : sequence of int, optional
        AUs to keep, by default all 12.
    allow_missing : bool
        Keep every label line, those without an image with a null ``path``, with a warning in the log. By default a
        labelled video without an image folder (or a listed image that is not there, in the multi-task form) is an
        error, and lines for which the video's folder has no image are left out: no face was found in these frames.

    Returns
    -------
    Frames
        Also with the columns ``split`` and ``path`` (relative to `root`). Frames whose AUs are all unknown are kept:
        they are frames of known people all the same.

    Raises
    ------
    DatasetError
        No label file, no header, an AU that the header does not name, a line of the wrong length, a code other than
        -1, 0 and 1, or missing videos without `allow_missing`.
    """
    root = existing_root(root)
    if form not in ("track", "mtl") or split not in (None, *SPLITS):
        raise ValueError(f"expected form 'track' or 'mtl' and split {[None, *SPLITS]}, found {form!r} and {split!r}")
    wanted = AUS if aus is None else tuple(aus)
    splits = [split] if split else list(SPLITS)
    collect = _read_track if form == "track" else _read_mtl
    table = collect(root, splits=splits, annotations=annotations, aus=wanted, allow_missing=allow_missing)
    people = table["video"]
    table = table.assign(
        dataset="affwild2",
        subject="affwild2/" + people,
        clip=people.str.replace(_PERSON.pattern + "$", r"\1", regex=True),
    )
    return Frames(table.drop(columns="video"), scale="occurrence")


def video_folders(root: str | os.PathLike, *, required: bool = True) -> dict[str, tuple[Path, ...]]:
    """Image folders of every video, both archives together.

    Raises
    ------
    MissingPicture
        When there is no folder named ``cropped_aligned*`` and it is `required`.
    """
    root = existing_root(root)
    tops = [p for p in _below(root) if _TOP.match(p.name)]
    # an archive unpacked into a folder of its own name: cropped_aligned/cropped_aligned/<video>
    tops = [inner for top in tops for inner in ([p for p in _folders(top) if _TOP.match(p.name)] or [top])]
    if not tops and required:
        raise MissingPicture(
            root,
            expected="image folders named cropped_aligned*",
            found="none",
            hint="unpack cropped_aligned and cropped_aligned_new_50_vids below the root",
        )
    folders: dict[str, tuple[Path, ...]] = {}
    for top in tops:
        for folder in _folders(top):
            folders[folder.name] = (*folders.get(folder.name, ()), folder)
    return folders


def _folders(parent: Path) -> list[Path]:
    with os.scandir(parent) as entries:
        return sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))


def _below(root: Path, depth: int = 3) -> Iterator[Path]:
    """Folders below the root, without entering the image folders and their millions of files."""
    for folder in _folders(root):
        yield folder
        if depth > 1 and not _TOP.match(folder.name):
            yield from _below(folder, depth - 1)


def _images(folders: Iterable[Path], root: Path) -> dict[int, str]:
    """Frame number to image; the first folder wins where two have the frame."""
    found: dict[int, str] = {}
    for folder in folders:
        prefix = folder.relative_to(root).as_posix()
        for number, name in image_numbers(sorted(os.listdir(folder)), folder=folder).items():
            found.setdefault(number, f"{prefix}/{name}")
    return found


# --- one file per video


def _read_track(root: Path, *, splits, annotations, aus, allow_missing) -> pd.DataFrame:
    base = _track_folder(root, annotations)
    folders = video_folders(root, required=not allow_missing)
    pieces, missing, alone, unlabelled = [], [], 0, 0
    for split in splits:
        listed = files(base / SPLITS[split], r".+\.txt")
        if not listed:
            raise DatasetError(
                base / SPLITS[split],
                expected="<video>.txt files",
                found="none",
                hint="unpack the annotations again, or pass the other split",
            )
        for path in listed.values():
            if path.stem not in folders:
                missing.append(path)
            labels = read_labels(path, aus=aus)
            images = _images(folders.get(path.stem, ()), root)
            shown = labels.index.isin(list(images))
            alone += int((~shown).sum())
            unlabelled += len(images) - int(shown.sum())
            kept = labels if allow_missing else labels[shown]
            paths = pd.array([images.get(number) for number in kept.index], "string")
            pieces.append(kept.reset_index(names="frame").assign(split=split, video=path.stem, path=paths))
    if missing:
        message = f"{len(missing)} labelled videos without one: {', '.join(p.stem for p in missing[:5])}"
        _missing(missing[0], "an image folder for every labelled video", message, allow_missing, line=2)
    log.info("Aff-Wild2: %d label lines without an image, %d images without a label line", alone, unlabelled)
    if not sum(map(len, pieces)):
        raise DatasetError(base, expected="images for the label files", found="no match", hint="see the folder names")
    return pd.concat(pieces, ignore_index=True)


def _track_folder(root: Path, annotations: str | None) -> Path:
    found = [p for p in _below(root) if p.name in ("AU_Detection_Challenge", "AU_Set")]
    chosen = [p for p in found if annotations is None or annotations in p.relative_to(root).parts]
    if len(chosen) == 1:
        return chosen[0]
    editions = [p.relative_to(root).parent.as_posix() for p in found]
    raise DatasetError(
        root,
        expected="one folder AU_Detection_Challenge" + (f" below {annotations!r}" if annotations else ""),
        found=f"{len(chosen)} (there are: {editions})",
        hint="pass annotations='<edition>', e.g. annotations='3rd ABAW Annotations'",
    )


def read_labels(path: str | os.PathLike, *, aus: Sequence[int] = AUS) -> pd.DataFrame:
    """Labels of one video: rows by frame number from 1, columns ``AU<n>`` with 1, 0 or null.

    Raises
    ------
    DatasetError
        As :func:`read`; the line is the line of the file, from 1, so that frame i is on line i + 1.
    """
    path = Path(path)
    columns = _header(path, text_lines(path)[0].split(","), aus)
    table = read_numbers(path, header=True)
    # the line decides, not the row: an empty line is a frame without a label, and no later frame slips by one
    return _coded(path, table.values, table.line, columns).set_axis(table.line - 1)


# --- the multi-task file


def _read_mtl(root: Path, *, splits, annotations, aus, allow_missing) -> pd.DataFrame:
    folders = video_folders(root, required=not allow_missing)
    pieces, missing = [], []
    for split in splits:
        path = _mtl_file(root, split, annotations)
        lines = text_lines(path)
        header = lines[0].split(",")
        columns = _header(path, header, aus)
        if header[0].strip().lower() not in ("image", "image_path"):
            raise DatasetError(
                path, line=1, expected="a first column 'image'", found=repr(header[0]), hint="is it the other form?"
            )
        rows = [
            (number, _cells(path, number, text, len(header)))
            for number, text in enumerate(lines[1:], start=2)
            if text.strip()
        ]
        line = np.array([number for number, _ in rows], "int64")
        numbers = [[_number(path, n, cell) for cell in cells[1:]] for n, cells in rows]
        values = np.column_stack([np.full(len(rows), np.nan), np.array(numbers, "float64").reshape(len(rows), -1)])
        labels = _coded(path, values, line, columns)
        images: dict[str, dict[int, str]] = {}
        keys = []
        for number, row in rows:
            video, frame = _image_key(path, number, row[0])
            if video not in images:
                images[video] = _images(folders.get(video, ()), root)
            if frame not in images[video]:
                missing.append((path, number, row[0]))
            keys.append((video, frame, images[video].get(frame)))
        table = pd.DataFrame(keys, columns=["video", "frame", "path"]).assign(split=split)
        pieces.append(pd.concat([table.astype({"path": "string"}), labels], axis=1))
    if missing:
        path, number, name = missing[0]
        message = f"{len(missing)} listed images that are not on disk, the first is {name}"
        _missing(path, "every listed image", message, allow_missing, line=number)
    return pd.concat(pieces, ignore_index=True)


def _mtl_file(root: Path, split: str, annotations: str | None) -> Path:
    pattern = {"train": r"train\w*_set_annotations.*\.txt", "validation": r"val\w*_set_annotations.*\.txt"}[split]
    searched = [root, *(p for p in _below(root) if not _TOP.match(p.name))]
    found = [path for folder in searched for path in files(folder, pattern).values()]
    if annotations is not None:
        found = [p for p in found if annotations in p.relative_to(root).parts]
    if len(found) != 1:
        raise DatasetError(
            root,
            expected=f"one file {pattern}",
            found=", ".join(p.relative_to(root).as_posix() for p in found) or "none",
            hint="pass annotations='<folder>', or form='track' for one file per video",
        )
    return found[0]


def _image_key(path: Path, line: int, name: str) -> tuple[str, int]:
    video, _, image = name.strip().rpartition("/")
    match = _IMAGE.fullmatch(image)
    if not video or "/" in video or not match:
        raise DatasetError(
            path, line=line, expected="<video>/<number>.jpg", found=repr(name), hint="is it the other form?"
        )
    return video, int(match[1])


# --- both


def _header(path: Path, cells: Sequence[str], aus: Sequence[int]) -> dict[int, int]:
    """Column of each wanted AU, by the name in the header."""
    named = [(int(match[1]), place) for place, cell in enumerate(cells) if (match := _HEADER.fullmatch(cell))]
    numbers = [number for number, _ in named]
    absent = [number for number in aus if number not in numbers]
    if absent or len(set(numbers)) != len(numbers):
        raise DatasetError(
            path,
            line=1,
            expected=f"a header that names AU {absent or 'numbers once each'}",
            found=",".join(cells)[:80] or "an empty file",
            hint="the first line is the header, the second is frame 1: put the header back",
        )
    return {number: place for number, place in named if number in aus}


def _cells(path: Path, line: int, text: str, width: int) -> list[str]:
    cells = text.split(",")
    if len(cells) != width:
        raise DatasetError(
            path,
            line=line,
            expected=f"{width} values, as in the header",
            found=f"{len(cells)}: {text[:60]!r}",
            hint="the line is cut; lines are frames, so it must be repaired, not removed",
        )
    return cells


def _number(path: Path, line: int, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DatasetError(
            path, line=line, expected="a number", found=repr(cell), hint="correct the line, or copy the file again"
        ) from None


def _coded(path: Path, values: np.ndarray, line: np.ndarray, columns: dict[int, int]) -> pd.DataFrame:
    coded = {}
    for number in sorted(columns):
        cells, name = values[:, columns[number]], vocabulary.column(number)
        meaning = "-1 (not annotated), 0 (absent) or 1 (present)"
        refuse_outside(cells, (NOT_ANNOTATED, 0, 1), path=path, line=line, what=name, meaning=meaning)
        coded[name] = np.where(cells == NOT_ANNOTATED, np.nan, cells)
    return pd.DataFrame(coded).astype("Int8")


def _missing(path: Path, expected: str, found: str, allowed: bool, *, line: int | None = None) -> None:
    hint = "unpack the image archives below the root, or pass allow_missing=True to keep labels without a picture"
    if not allowed:
        raise MissingPicture(path, line=line, expected=expected, found=found, hint=hint)
    log.warning("Aff-Wild2: %s; the path of these frames is null", found)
