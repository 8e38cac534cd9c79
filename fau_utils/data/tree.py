"""What readers of dataset folders share: finding files by name, reading tables of numbers, saying what is wrong.

Names decide, order never does: an AU's number stands in a file name or a header, a frame's number in its file's
name. Directory listings sort ``au12`` before ``au2`` and ``10.jpg`` before ``2.jpg``.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

IMAGE_SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".bmp")

_AU_IN_NAME = re.compile(r"(?<![a-z])au[\s_]*0*(\d+)", re.IGNORECASE)
_LAST_DIGITS = re.compile(r"(\d+)\D*$")


class DatasetError(ValueError):
    """A file of a dataset is not what it should be.

    Attributes
    ----------
    file : Path
    line : int or None
        Counted from 1, as editors do.
    expected, found, hint : str
        What should be there, what is there, and what to do about it.
    """

    def __init__(self, file: str | os.PathLike, *, expected: str, found: str, hint: str, line: int | None = None):
        self.file, self.line = Path(file), line
        self.expected, self.found, self.hint = expected, found, hint
        place = f"{self.file}, line {line}" if line is not None else f"{self.file}"
        super().__init__(f"{place}: expected {expected}, found {found}; {hint}")

    def __reduce__(self):
        # errors cross process borders when clips are prepared in parallel; keyword arguments do not by themselves
        return _rebuilt, (type(self), self.file, self.expected, self.found, self.hint, self.line)


class MissingPicture(DatasetError):
    """A label has no picture; with ``allow_missing=True`` readers keep it, with a null path, instead of raising."""


def _rebuilt(
    kind: type[DatasetError], file: Path, expected: str, found: str, hint: str, line: int | None
) -> DatasetError:
    return kind(file, expected=expected, found=found, hint=hint, line=line)


def au_number(name: str, *, file: str | os.PathLike | None = None, line: int | None = None) -> int:
    """AU number in a file name or a header cell: ``SN001_au12.txt``, ``AU06``, ``'AU 1'``.

    Parameters
    ----------
    name : str
    file, line : optional
        Where the name stands, for the message; by default the name itself is the file.

    Raises
    ------
    DatasetError
        When there is no AU number in the name, or more than one.
    """
    numbers = {int(digits) for digits in _AU_IN_NAME.findall(Path(name).name)}
    if len(numbers) != 1:
        raise DatasetError(
            name if file is None else file,
            line=line,
            expected="one AU number in the name, as in SN001_au12.txt or AU06",
            found=f"{sorted(numbers)} in {name!r}" if numbers else f"none in {name!r}",
            hint="rename it, or take it out of the folder",
        )
    return numbers.pop()


def frame_number(name: str | os.PathLike) -> int:
    """Frame number in a file name: its last digits, whatever their padding (``0012.jpg``, ``frame_12.png`` are 12).

    Raises
    ------
    DatasetError
        When the name has no digits.
    """
    match = _LAST_DIGITS.search(Path(name).stem)
    if match is None:
        raise DatasetError(name, expected="a frame number in the name", found="no digit", hint="rename the file")
    return int(match[1])


def image_numbers(names: Iterable[str], *, folder: str | os.PathLike) -> dict[int, str]:
    """Images of one sequence by frame number; other files are passed over.

    Parameters
    ----------
    names : iterable of str
        File names.
    folder : path-like
        Where they are, for the message.

    Raises
    ------
    DatasetError
        When two images have one number (``7.jpg`` and ``0007.jpg``).
    """
    found: dict[int, str] = {}
    for name in names:
        # strings, not paths: datasets have millions of names, and a path costs more than all the rest
        stem, dot, suffix = name.rpartition(".")
        if (dot + suffix).lower() not in IMAGE_SUFFIXES or name.startswith("."):  # ._7.jpg is macOS litter
            continue
        number = int(stem) if stem.isdecimal() else frame_number(name)
        if number in found:
            raise DatasetError(
                Path(folder) / name,
                expected=f"one image of frame {number}",
                found=f"another, {found[number]}",
                hint="two extractions are mixed in this folder: remove one",
            )
        found[number] = name
    return found


def subfolders(parent: Path, pattern: str) -> dict[str, Path]:
    """Folders whose whole name matches a regular expression (case does not matter), sorted by name."""
    return {name: parent / name for name in _listed(parent, pattern, os.DirEntry.is_dir)}


def files(parent: Path, pattern: str) -> dict[str, Path]:
    """Files whose whole name matches a regular expression (case does not matter), sorted by name; no hidden ones."""
    return {name: parent / name for name in _listed(parent, pattern, os.DirEntry.is_file) if not name.startswith(".")}


def _listed(parent: Path, pattern: str, kind: Callable[[os.DirEntry], bool]) -> list[str]:
    if not parent.is_dir():
        return []
    wanted = re.compile(pattern, re.IGNORECASE)
    with os.scandir(parent) as entries:  # knows the kind of an entry without asking the disk once more
        return sorted(entry.name for entry in entries if wanted.fullmatch(entry.name) and kind(entry))


def one_folder(parent: Path, pattern: str, *, called: str, required: bool = True) -> Path | None:
    """The folder under `parent` whose name matches a regular expression.

    Parameters
    ----------
    parent : Path
    pattern : str
        Regular expression for the whole name; case does not matter.
    called : str
        The name in the documentation of the dataset, for messages.
    required : bool
        Raise when there is none; otherwise return None.

    Raises
    ------
    DatasetError
        When there is none, or several.
    """
    matches = list(subfolders(parent, pattern).values())
    if len(matches) == 1:
        return matches[0]
    if not matches and not required:
        return None
    raise DatasetError(
        parent,
        expected=f"one folder called {called}",
        found=", ".join(m.name for m in matches) if matches else _shown(parent),
        hint="give the folder that holds it, with the names of the release" if not matches else "keep one of them",
    )


def existing_root(root: str | os.PathLike) -> Path:
    """The dataset's folder.

    Raises
    ------
    DatasetError
        When it is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatasetError(
            root,
            expected="the folder of a dataset",
            found="a file" if root.exists() else "nothing of this name",
            hint="see whether the path is right and the disk is mounted",
        )
    return root


def _shown(parent: Path) -> str:
    if not parent.is_dir():
        return "no such folder"
    names = sorted(entry.name for entry in parent.iterdir() if not entry.name.startswith("."))
    return "an empty folder" if not names else ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


class Numbers(NamedTuple):
    """A table of numbers and where each row stands in its file.

    Attributes
    ----------
    values : ndarray, (N, C) float64
    line : ndarray, (N,) int64
        Line in the file, counted from 1.
    header : tuple of str
        Cells of the header line; empty when the file has none.
    """

    values: np.ndarray
    line: np.ndarray
    header: tuple[str, ...]


def text_lines(path: Path) -> list[str]:
    """Lines of a text file, without their ends.

    Raises
    ------
    DatasetError
        When the file is missing, empty, or not text.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            path, expected="a label file", found="no file of this name", hint="extract the archive again"
        ) from None
    if not raw.strip():
        raise DatasetError(
            path, expected="lines of text", found=f"an empty file ({len(raw)} bytes)", hint="extract the archive again"
        )
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(
            path,
            line=raw[: error.start].count(b"\n") + 1,
            expected="text",
            found=f"the byte 0x{raw[error.start]:02x}",
            hint="the file is damaged or of another kind: extract the archive again",
        ) from None


def read_numbers(
    path: Path, *, header: bool = False, columns: int | None = None, separator: str | None = ",", comment: str = ""
) -> Numbers:
    """A text file that holds nothing but numbers.

    Parameters
    ----------
    path : Path
    header : bool
        The first line names the columns.
    columns : int, optional
        How many there have to be; by default as many as in the header or in the first line.
    separator : str, optional
        None for white space.
    comment : str
        Lines that begin with this are passed over; empty for none.

    Raises
    ------
    DatasetError
        Missing or empty file, a line with another number of cells, a cell that is not a number.
    """
    lines = text_lines(path)
    kept = [
        (number, text)
        for number, text in enumerate(lines, start=1)
        if text.strip() and not (comment and text.lstrip().startswith(comment))
    ]
    names: tuple[str, ...] = ()
    if header and kept:
        names = tuple(cell.strip() for cell in kept.pop(0)[1].split(separator))
        columns = len(names) if columns is None else columns
        if len(names) != columns:
            _wrong_width(path, 1, columns, len(names), "header cells")
    if not kept:
        raise DatasetError(
            path, expected="rows of numbers", found="none", hint="the file is cut short: extract the archive again"
        )
    cells = [text.split(separator) for _, text in kept]
    columns = len(cells[0]) if columns is None else columns
    for (number, _), row in zip(kept, cells, strict=True):
        if len(row) != columns:
            _wrong_width(path, number, columns, len(row), "numbers")
    try:
        values = np.array(cells, "float64")
    except ValueError:
        values = np.array([[_number(path, n, cell) for cell in row] for (n, _), row in zip(kept, cells, strict=True)])
    line = np.array([number for number, _ in kept], "int64")
    unreadable = np.argwhere(~np.isfinite(values))
    if len(unreadable):
        row, column = unreadable[0]
        _number(path, int(line[row]), cells[row][column])
    return Numbers(values, line, names)


def _number(path: Path, line: int, cell: str) -> float:
    try:
        value = float(cell)
        if np.isfinite(value):
            return value
    except ValueError:
        pass
    raise DatasetError(
        path,
        line=line,
        expected="a number",
        found=repr(cell.strip()),
        hint="correct the line, or extract the archive again",
    )


def _wrong_width(path: Path, line: int, expected: int, found: int, what: str) -> None:
    raise DatasetError(
        path,
        line=line,
        expected=f"{expected} {what}",
        found=f"{found}",
        hint="the line is cut or the file is of another release: extract the archive again",
    )


def whole(values: np.ndarray, *, path: Path, line: np.ndarray, what: str) -> np.ndarray:
    """Numbers as int64.

    Raises
    ------
    DatasetError
        When one is not whole; the first is named.
    """
    wrong = np.flatnonzero(values % 1 != 0)
    if len(wrong):
        raise DatasetError(
            path,
            line=int(line[wrong[0]]),
            expected=f"a whole number as {what}",
            found=f"{values[wrong[0]]:g}",
            hint="correct the line, or see whether this is the file that its name says",
        )
    return values.astype("int64")


def refuse_outside(
    values: np.ndarray, allowed: Sequence[int], *, path: Path, line: np.ndarray, what: str, meaning: str
) -> None:
    """Check that all values are codes of the dataset; the first that is not is named with its line.

    Parameters
    ----------
    values : ndarray, (N,)
    allowed : sequence of int
    path : Path
    line : ndarray, (N,) int64
    what : str
        What the values are of, e.g. ``AU12``.
    meaning : str
        The codes in words, e.g. ``0 (absent), 1 (present) or 9 (not coded)``.

    Raises
    ------
    DatasetError
    """
    wrong = np.flatnonzero(~np.isin(values, allowed))
    if len(wrong):
        more = f" (and {len(wrong) - 1} lines more)" if len(wrong) > 1 else ""
        raise DatasetError(
            path,
            line=int(line[wrong[0]]),
            expected=f"{meaning} for {what}",
            found=f"{values[wrong[0]]:g}{more}",
            hint="no code is guessed: correct the file, or leave this AU out with aus=[...]",
        )


def refuse_repeated(numbers: np.ndarray, *, path: Path, line: np.ndarray) -> None:
    """Check that no frame number comes twice.

    Raises
    ------
    DatasetError
        Names both lines.
    """
    order = np.argsort(numbers, kind="stable")
    again = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(again):
        first, second = sorted((int(order[again[0]]), int(order[again[0] + 1])))
        raise DatasetError(
            path,
            line=int(line[second]),
            expected="each frame once",
            found=f"frame {numbers[second]} again, first in line {line[first]}",
            hint="keep one of the two lines",
        )
