"""EmotioNet: faces in the wild, AUs by an algorithm (the lists) or by people (the manual set).

Two label forms are read. The *lists*, ``dataFile_0001.txt`` and on, hold one image per line: its URL, the original
URL, then 60 tab-separated cells, cell k for AU k. The *manual set*, ``emotionet_facs_24600.xlsx`` (or the same as
csv), has a column ``URL`` and headers such as ``'AU 1'``, quotes included.

Code 999 means *not annotated* here and becomes null. The same number is used differently around this field: ADLD
leaves 999 out of its loss, as we do, whereas 999 in FMAE's json files stands for "AU not active", a negative. Such a
json is not EmotioNet's and is not read here.

EmotioNet names no people. Every image counts as a person of its own (``emotionet/N_0000000001_00003``), so intervals
over subjects are intervals over images, and splits cannot be kept free of people who are on two images.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data.tree import DatasetError, MissingPicture
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

CHALLENGE: dict[int, tuple[int, ...]] = {
    2017: (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26),
    2018: (1, 2, 4, 5, 6, 9, 12, 17, 20, 25, 26, 43),
    2020: (1, 2, 4, 5, 6, 9, 10, 12, 15, 17, 18, 20, 24, 25, 26, 28, 43, 51, 52, 53, 54, 55, 56),
}
"""The AUs scored in each year's challenge."""

NOT_ANNOTATED = 999
LISTED_AUS = 60

_LISTS = "emotioNet_challenge_files_server_challenge_1.2_aws*"
_LIST = re.compile(r"dataFile_(\d+)\.txt")
_HEADER = re.compile(r"AU\s*(\d+)", re.IGNORECASE)
_NAME = re.compile(r"(N_\d+)_(\d+)")
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp")

Part = Literal["manual", "lists"]


def read(
    root: str | os.PathLike, *, part: Part = "manual", aus: Sequence[int] | None = None, allow_missing: bool = False
) -> Frames:
    """The images of EmotioNet with their labels.

    Parameters
    ----------
    root : path-like
        Folder with the list folder or the manual table in it, and the images anywhere below.
    part : {"manual", "lists"}
        The manual set, or the lists annotated by an algorithm. Numbers are reported on the manual set only.
    aus : sequence of int, optional
        AU columns to keep; by default every AU with at least one annotated image.
    allow_missing : bool
        Keep images that are listed and not on disk (null ``path``), with a warning in the log, instead of raising.
        URLs have rotted since 2016; nobody has them all.

    Returns
    -------
    Frames
        Also with the columns ``path`` (relative to `root`) and ``url``.

    Raises
    ------
    DatasetError
        No label file, a line of the wrong length, a code other than 0, 1 and 999, an AU that the table does not
        name, or missing images without `allow_missing`.
    """
    root = Path(root)
    table = labels(root, part=part, aus=aus)
    found = table["path"].notna()
    if not found.all():
        first = table.loc[~found].iloc[0]
        message = f"{(~found).sum()} of {len(table)} listed images are not on disk, the first is {first['url']}"
        if not allow_missing:
            raise MissingPicture(
                root / first["list"],
                line=int(first["line"]),
                expected="every listed image below the root",
                found=message,
                hint="put the images below the root, or pass allow_missing=True to keep their labels without a picture",
            )
        log.warning("EmotioNet: %s; their path is null", message)
    table = _without_twins(table)
    return Frames(table.drop(columns=["list", "line"]), scale="occurrence")


def labels(root: str | os.PathLike, *, part: Part = "manual", aus: Sequence[int] | None = None) -> pd.DataFrame:
    """Every listed image, whether it is on disk or not.

    Returns
    -------
    DataFrame
        ``dataset, subject, clip, frame, path`` (null when the image is not on disk), ``url, list, line`` (1-based,
        where the label stands) and AU columns with 1, 0 or null. An image that is listed twice is here twice.
    """
    root = Path(root)
    if part not in ("manual", "lists"):
        raise ValueError(f"expected part 'manual' or 'lists', found {part!r}")
    pieces = list(_read_lists(root) if part == "lists" else _read_manual(root))
    table = pd.concat(pieces, ignore_index=True)
    columns = vocabulary.columns(sorted({vocabulary.number(c) for c in table if re.fullmatch(r"AU\d+", c)}))
    if aus is None:
        wanted = [column for column in columns if table[column].notna().any()]
    else:
        wanted = vocabulary.columns(aus)
        absent = [column for column in wanted if column not in columns]
        if absent:
            raise DatasetError(
                root / table["list"].iloc[0],
                line=1,
                expected=f"the columns {absent}",
                found=f"{columns}",
                hint="ask for AUs that this table names",
            )
    paths = pd.array(_paths(root, table), dtype="string")
    names = pd.Series(paths).str.rsplit("/", n=1).str[-1].fillna(table["url"].map(_image_name))
    matches = names.str.rsplit(".", n=1).str[0].str.extract(_NAME.pattern + "$")
    own = pd.Series(paths).fillna(table["url"])  # a name that is not EmotioNet's: the path, or the URL, is unique
    stems = (matches[0] + "_" + matches[1]).fillna(own)
    keys = pd.DataFrame(
        {
            "dataset": "emotionet",
            "subject": "emotionet/" + stems,
            "clip": matches[0].fillna(own),
            "frame": pd.to_numeric(matches[1]).fillna(0).astype("int64"),
            "path": paths,
        }
    )
    return pd.concat([keys, table[["url", "list", "line", *wanted]]], axis=1)


def _image_name(url: str) -> str:
    return url.split("?")[0].rstrip("/").replace("\\", "/").rsplit("/", 1)[-1]


def _paths(root: Path, table: pd.DataFrame) -> list[str | None]:
    """The file of each line: the one with the name in its URL, and with the folder too where names repeat."""
    files: dict[str, list[str]] = {}
    for folder, folders, names in os.walk(root):
        folders.sort()
        inside = Path(folder).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        for name in sorted(names):
            if name.lower().endswith(_IMAGES) and not name.startswith("."):
                files.setdefault(name, []).append(prefix + name)
    paths, unclear = [], 0
    for urls in table[[c for c in ("url", "original") if c in table]].itertuples(index=False):
        found = [path for url in urls if url for path in files.get(_image_name(url), ())]
        if len(found) > 1:
            tails = ["/".join(url.split("?")[0].split("/")[-2:]) for url in urls if url]
            found = [path for path in found if any(f"/{path}".endswith(f"/{tail}") for tail in tails)]
            unclear += len(set(found)) != 1
        paths.append(found[0] if len(set(found)) == 1 else None)
    if unclear:
        log.warning("EmotioNet: %d lines fit several files of one name; they count as not on disk", unclear)
    return paths


# --- the lists


def _read_lists(root: Path) -> Iterator[pd.DataFrame]:
    files = sorted((int(m[1]), p) for p in _list_folder(root).iterdir() if (m := _LIST.fullmatch(p.name)))
    gaps = sorted(set(range(files[0][0], files[-1][0] + 1)) - {number for number, _ in files})
    if gaps:
        log.warning(
            "EmotioNet: %d list files are missing between the first and the last, e.g. number %d", len(gaps), gaps[0]
        )
    for _, path in files:
        yield _read_list(path, root)


def _list_folder(root: Path) -> Path:
    candidates = [root, *sorted(p for p in root.glob(_LISTS) if p.is_dir())]
    filled = [p for p in candidates if p.is_dir() and any(_LIST.fullmatch(q.name) for q in p.iterdir())]
    if not filled:
        raise DatasetError(
            root,
            expected=f"dataFile_0001.txt and on, here or in a folder {_LISTS}",
            found="none",
            hint="give the folder that holds the list folder, or pass part='manual'",
        )
    if len(filled) > 1:
        raise DatasetError(
            root,
            expected="one folder of lists",
            found=" and ".join(p.name for p in filled),
            hint="their lines differ: give the folder that you mean as root, or move the other away",
        )
    return filled[0]


def _read_list(path: Path, root: Path) -> pd.DataFrame:
    urls, cells, numbers = [], [], []
    # not pandas: a quotation mark in a URL would swallow the lines up to the next one
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) == LISTED_AUS + 3 and not parts[-1].strip():
                parts.pop()  # a tab at the end of the line
            if len(parts) != LISTED_AUS + 2:
                raise DatasetError(
                    path,
                    line=number,
                    expected=f"two URLs and {LISTED_AUS} AU columns, separated by tabs",
                    found=f"{len(parts)} columns",
                    hint="the line is cut or not tab-separated: copy the file again",
                )
            urls.append([part.strip() for part in parts[:2]])
            cells.append(parts[2:])
            numbers.append(number)
    values = _coded(pd.DataFrame(cells, columns=vocabulary.columns(range(1, LISTED_AUS + 1))), path, numbers)
    first, second = zip(*urls, strict=True) if urls else ((), ())
    return values.assign(url=first, original=second, list=path.relative_to(root).as_posix(), line=numbers)


# --- the manual set


def _read_manual(root: Path) -> Iterator[pd.DataFrame]:
    path = _manual_file(root)
    if path.suffix == ".xlsx":
        rows = pd.read_excel(path, header=None, dtype=object, engine="openpyxl")
    else:
        # quotechar: the apostrophes of the header belong to the names, and blank lines count as lines
        rows = pd.read_csv(path, header=None, dtype=object, skip_blank_lines=False)
    header = [str(cell).strip().strip("'\"").strip() for cell in rows.iloc[0]]
    named: dict[int, int] = {}
    for place, cell in enumerate(header):
        match = _HEADER.fullmatch(cell)
        if match and int(match[1]) in named:
            raise DatasetError(
                path,
                line=1,
                expected="each AU once",
                found=f"AU {match[1]} twice",
                hint="remove the column that is wrong",
            )
        if match:
            named[int(match[1])] = place
    if "URL" not in header or not named:
        raise DatasetError(
            path,
            line=1,
            expected="a column URL and columns such as 'AU 1'",
            found=f"{header[:6]}",
            hint="give the table as it was distributed, with its header",
        )
    body = rows.iloc[1:].reset_index(drop=True)
    body = body[body.notna().any(axis=1)]
    line_numbers = (body.index + 2).tolist()
    cells = pd.DataFrame({vocabulary.column(n): body[place] for n, place in sorted(named.items())})
    values = _coded(cells.reset_index(drop=True), path, line_numbers)
    urls = [str(url).strip().strip("'\"").strip() for url in body[header.index("URL")]]
    yield values.assign(url=urls, list=path.relative_to(root).as_posix(), line=line_numbers)


def _manual_file(root: Path) -> Path:
    if root.is_file():
        raise DatasetError(root, expected="a folder", found="a file", hint="give the folder the table is in")
    files = sorted(p for p in root.rglob("emotionet_facs*") if p.suffix in (".xlsx", ".csv"))
    if len(files) != 1:
        raise DatasetError(
            root,
            expected="one table emotionet_facs_24600.xlsx (or .csv)",
            found=", ".join(p.relative_to(root).as_posix() for p in files) or "none",
            hint="leave one of them, or pass part='lists' for the lists annotated by an algorithm",
        )
    return files[0]


# --- both


def _coded(cells: pd.DataFrame, path: Path, lines: Sequence[int]) -> pd.DataFrame:
    """0 and 1 as they are, 999 and empty cells as null; anything else is an error with its line."""
    try:
        values = cells.to_numpy("float64")
    except (ValueError, TypeError):  # slower, and then the wrong cell is known
        values = cells.apply(pd.to_numeric, errors="coerce").to_numpy("float64")
    unknown = (values == NOT_ANNOTATED) | cells.isna().to_numpy()
    wrong = ~(unknown | (values == 0) | (values == 1))
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        raise DatasetError(
            path,
            line=int(lines[row]),
            expected=f"0, 1 or {NOT_ANNOTATED} (not annotated)",
            found=f"{cells.iat[row, place]!r} for {cells.columns[place]}",
            hint="the columns may be shifted: copy the file again",
        )
    return pd.DataFrame(np.where(unknown, np.nan, values), columns=cells.columns).astype("Int8")


def _without_twins(table: pd.DataFrame) -> pd.DataFrame:
    """An image once. Where its lines contradict each other, its AU is unknown."""
    names = [column for column in table if re.fullmatch(r"AU\d+", column)]
    twins = table.duplicated("subject", keep=False)
    if not twins.any():
        return table
    groups = table[twins].groupby("subject")
    low, high = groups[names].transform("min"), groups[names].transform("max")
    contradicted = (low != high).fillna(False)
    table = table.copy()
    table.loc[twins, names] = low.mask(contradicted)
    table.loc[twins, "path"] = groups["path"].transform("first")
    once = table.drop_duplicates("subject")
    log.warning(
        "EmotioNet: %d lines list an image a second time; %d contradicting cells are taken as not annotated",
        len(table) - len(once),
        int(contradicted.loc[~table.loc[twins].duplicated("subject")].to_numpy().sum()),
    )
    return once
