"""The table of faces: one row per frame, whatever dataset it came from.

An AU cell has three states: 1 (present), 0 (absent) and null (*not coded*). Intensity sets keep FACS 0 to 5
and null. Nothing here turns null into 0.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils import aus

Scale = Literal["occurrence", "intensity"]

KEY: tuple[str, ...] = ("dataset", "subject", "clip", "frame", "camera")
"""The columns that name a frame; no two rows of a table share them."""

_LOOKS_LIKE_AU = re.compile(r"au[\W_]*\d+", re.IGNORECASE)
_METADATA = b"fau.frames"


class Frames:
    """A validated table of face frames.

    Parameters
    ----------
    table : DataFrame
        ``dataset``, ``subject`` (with its dataset in front: ``bp4d/F001``, because codes collide across
        datasets), ``clip``, ``frame`` (the number in the clip), optionally ``camera`` (empty when there is only
        one), any number of ``AU<n>`` columns, and any others (``path``, ``shard``, ``key``, ...), kept as they are.
        It is copied.
    scale : {"occurrence", "intensity"}
        Whether AU cells hold 0/1 or FACS intensity 0 to 5. Never guessed: an intensity set whose largest
        value is 1 looks like an occurrence set.

    Raises
    ------
    ValueError
        A missing or empty key column, a subject without its dataset, an AU column whose name is not ``AU<n>``,
        a cell outside the scale (code 9 among them), or two rows with the same key. The message names the rows.
    """

    def __init__(self, table: pd.DataFrame, *, scale: Scale = "occurrence"):
        if scale not in ("occurrence", "intensity"):
            raise ValueError(f"expected scale 'occurrence' or 'intensity', found {scale!r}")
        self.scale: Scale = scale
        table = table.reset_index(drop=True)
        if "camera" not in table:
            table = table.assign(camera="")
        table = _checked_keys(table)
        self.aus: tuple[int, ...] = _au_numbers(table.columns)
        for name in aus.columns(self.aus):
            table[name] = _checked_cells(table[name], scale)
        others = [name for name in table if name not in KEY and name not in aus.columns(self.aus)]
        self.table: pd.DataFrame = table[[*KEY, *others, *aus.columns(self.aus)]]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Frames({len(self)} frames, {len(self.subjects)} subjects, {len(self.aus)} AUs, {self.scale})"

    @property
    def subjects(self) -> tuple[str, ...]:
        """The people in the table, sorted by name."""
        return tuple(sorted(self.table["subject"].unique()))

    def subject_index(self, subjects: Sequence[str] | None = None) -> np.ndarray:
        """Each row's position in a list of people, (N,) int64; -1 for somebody who is not on it.

        `subjects` is by default the table's own, sorted.
        """
        people = pd.Index(self.subjects if subjects is None else subjects)
        return people.get_indexer(self.table["subject"]).astype("int64")

    def clip_index(self) -> np.ndarray:
        """Each row's clip as a number, (N,) int64, counted in order of appearance.

        A clip is one person's: ``T1`` of two people are two clips.
        """
        return self.table.groupby(["dataset", "subject", "clip"], sort=False).ngroup().to_numpy("int64")

    def labels(self, numbers: Sequence[int], *, cut: float | None = None, absent: str = "refuse") -> np.ndarray:
        """Labels of some AUs, in the order asked for.

        Parameters
        ----------
        numbers : sequence of int
            AU numbers.
        cut : float, optional
            For an intensity table: a movement is present when its intensity is at least this. Required there,
            refused for an occurrence table.
        absent : {"refuse", "unknown"}
            What to do with an AU that the dataset did not code: an error, or a column of ``nan``.

        Returns
        -------
        ndarray, (N, A) float32
            1, 0 or ``nan`` (not coded).

        Raises
        ------
        ValueError
            `cut` missing or out of place; an AU that the table does not have.
        """
        if (cut is None) == (self.scale == "intensity"):
            raise ValueError(
                "this table holds intensities: pass cut=2 (or another) to make labels of them"
                if cut is None
                else f"this table holds occurrences, so cut={cut} has no meaning: leave it out"
            )
        values = self._cells(numbers, absent=absent)
        if cut is None:
            return values
        return np.where(np.isnan(values), np.float32(np.nan), (values >= cut).astype("float32"))

    def intensity(self, numbers: Sequence[int], *, absent: str = "refuse") -> np.ndarray:
        """FACS intensities, (N, A) float32 in [0, 5] or ``nan``; only for an intensity table."""
        if self.scale != "intensity":
            raise ValueError("this table holds occurrences, not intensities: use labels()")
        return self._cells(numbers, absent=absent)

    def _cells(self, numbers: Sequence[int], *, absent: str) -> np.ndarray:
        missing = [n for n in numbers if n not in self.aus]
        if missing and absent != "unknown":
            raise ValueError(
                f"AU {missing} is not in this table, which has {list(self.aus)}; "
                "ask for those, or pass absent='unknown' to get nan columns"
            )
        columns = [
            self.table[aus.column(n)].to_numpy("float32", na_value=np.nan)
            if n in self.aus
            else np.full(len(self), np.nan, "float32")
            for n in numbers
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0), "float32")

    def select(self, rows: Sequence[bool] | Sequence[int] | np.ndarray | pd.Series) -> "Frames":
        """Some rows, by a mask or by positions."""
        rows = np.asarray(rows)
        if rows.dtype == bool and len(rows) != len(self):
            raise ValueError(f"expected a mask of {len(self)} rows, found {len(rows)}")
        picked = Frames.__new__(Frames)  # rows of a valid table are valid, unless a position comes twice
        picked.scale, picked.aus = self.scale, self.aus
        picked.table = self.table.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows].reset_index(drop=True)
        _refuse_twins(picked.table)
        return picked

    @classmethod
    def concat(cls, parts: Iterable["Frames"]) -> "Frames":
        """Several tables as one; an AU that one of them did not code is null in its rows.

        Raises
        ------
        ValueError
            When scales differ, or a frame is in two tables.
        """
        parts = list(parts)
        scales = {part.scale for part in parts}
        if len(scales) != 1:
            raise ValueError(f"expected tables of one scale, found {sorted(scales)}; make labels of intensities first")
        return cls(pd.concat([part.table for part in parts], ignore_index=True), scale=scales.pop())

    def to_parquet(self, path: str | os.PathLike) -> None:
        """Write the table; a reader never sees half of it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        table = pa.Table.from_pandas(self.table, preserve_index=False)
        described = {**(table.schema.metadata or {}), _METADATA: json.dumps({"scale": self.scale}).encode()}
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            pq.write_table(table.replace_schema_metadata(described), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read_parquet(cls, path: str | os.PathLike) -> "Frames":
        """Read what :meth:`to_parquet` wrote.

        Raises
        ------
        ValueError
            When the file does not say which scale its AU cells have.
        """
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        described = (table.schema.metadata or {}).get(_METADATA)
        if described is None:
            raise ValueError(
                f"{path}: not written by Frames.to_parquet; build Frames(pandas.read_parquet(...), scale=...)"
            )
        return cls(table.to_pandas(), scale=json.loads(described)["scale"])


def _au_numbers(columns: Iterable[str]) -> tuple[int, ...]:
    numbers = []
    for name in columns:
        if not _LOOKS_LIKE_AU.match(str(name)):
            continue
        if str(name) != aus.column(int(re.search(r"\d+", name)[0])):
            raise ValueError(f"expected AU columns named AU1, AU2, ..., found {name!r}; rename it")
        numbers.append(aus.number(name))
    return tuple(sorted(numbers))


def _checked_keys(table: pd.DataFrame) -> pd.DataFrame:
    absent = [name for name in KEY if name not in table]
    if absent:
        raise ValueError(f"expected the columns {list(KEY)}, found no {absent}; add them")
    for name in KEY:
        empty = np.flatnonzero(table[name].isna())
        if len(empty):
            raise ValueError(
                f"column {name!r} is empty in row {empty[0]} and {len(empty) - 1} more; every frame needs it"
            )
        if name == "frame":
            numbers = pd.to_numeric(table[name], errors="coerce")
            wrong = np.flatnonzero((numbers.isna() | (numbers % 1 != 0)).to_numpy())
            if len(wrong):
                raise ValueError(
                    f"expected whole frame numbers, found {table[name].iloc[wrong[0]]!r} in row {wrong[0]}"
                )
            table[name] = numbers.astype("int64")
        else:
            table[name] = table[name].astype("string")
    pairs = table[["dataset", "subject"]].drop_duplicates()
    for dataset, subject in pairs.itertuples(index=False):
        if not subject.startswith(f"{dataset}/") or subject == f"{dataset}/":
            raise ValueError(
                f"expected subjects of {dataset!r} to carry their dataset, e.g. '{dataset}/F001', found {subject!r}"
            )
    _refuse_twins(table)
    return table


def _refuse_twins(table: pd.DataFrame) -> None:
    twins = table.duplicated(list(KEY), keep=False)
    if twins.any():
        rows = np.flatnonzero(twins)
        key = table.loc[rows[0], list(KEY)].to_dict()
        raise ValueError(
            f"{len(rows)} rows share their key with another, first rows {rows[:2].tolist()}: {key}; keep one"
        )


def _checked_cells(cells: pd.Series, scale: Scale) -> pd.Series:
    values = pd.to_numeric(cells, errors="raise").astype("Float64")
    known = values.notna().to_numpy()
    numbers = values.to_numpy("float64", na_value=0.0)
    valid = np.isin(numbers, (0, 1)) if scale == "occurrence" else (numbers >= 0) & (numbers <= 5)
    wrong = np.flatnonzero(known & ~valid)
    if len(wrong):
        expected = "0, 1 or null" if scale == "occurrence" else "0 to 5 or null"
        raise ValueError(
            f"expected {expected} in {cells.name}, found {numbers[wrong[0]]:g} in row {wrong[0]} and "
            f"{len(wrong) - 1} more; write null where a dataset's code means 'not coded'"
        )
    whole = (numbers % 1 == 0).all()
    return values.astype("Int8" if whole else "Float32")
