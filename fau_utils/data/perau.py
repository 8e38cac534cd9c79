"""Labels that come in one file per AU: several files of one sequence as one table."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.aus import column
from fau_utils.data.tree import DatasetError

Reader = Callable[[Path, str], tuple[pd.Series, np.ndarray]]
"""File and AU column to codes by frame number, and the line of each."""


def join(
    by_au: dict[int, Path], read: Reader, *, aus: Sequence[int], absent: Path, allow_missing: bool
) -> tuple[pd.DataFrame, np.ndarray, Path]:
    """Read the files of one sequence.

    Parameters
    ----------
    by_au : dict of int to Path
        Files by the AU number in their names.
    read : callable
    aus : sequence of int
        AUs to read, in the order of the table.
    absent : Path
        The folder, for the message about a file that is not there.
    allow_missing : bool
        Make null what a file or a line is missing for, instead of raising.

    Returns
    -------
    table : DataFrame
        ``frame`` and ``AU<n>`` (Int8).
    line : ndarray, (N,) int64
        Line of each row in `path`.
    path : Path
        The longest file, for messages about pictures.

    Raises
    ------
    DatasetError
        No file of an AU, or a file that labels other frames than its fellows.
    """
    lacking = [n for n in aus if n not in by_au]
    if lacking and (not allow_missing or len(lacking) == len(aus)):
        raise DatasetError(
            absent,
            expected=f"a file with labels of AU{lacking[0]}",
            found=f"files of {sorted(by_au)}" if by_au else "none of any AU",
            hint="extract the archive again, ask for others with aus=[...], or make it null with allow_missing=True",
        )
    parts = {n: read(by_au[n], column(n)) for n in aus if n in by_au}
    if not allow_missing:
        refuse_unequal({by_au[n]: codes.index.to_numpy() for n, (codes, _) in parts.items()})
    longest = max(parts, key=lambda n: len(parts[n][0]))
    table = pd.DataFrame({column(n): codes for n, (codes, _) in parts.items()}).sort_index()
    for n in lacking:
        table[column(n)] = pd.array([pd.NA] * len(table), "Int8")
    table.index.name = "frame"
    codes, lines = parts[longest]
    at = pd.Series(lines, index=codes.index).reindex(table.index, fill_value=1).to_numpy("int64")
    return table.reset_index()[["frame", *map(column, aus)]], at, by_au[longest]


def refuse_unequal(frames: dict[Path, np.ndarray]) -> None:
    """Check that all files of a sequence label the same frames; one that differs from most is named.

    Raises
    ------
    DatasetError
    """
    usual = max(frames.values(), key=lambda mine: sum(np.array_equal(mine, other) for other in frames.values()))
    for path, mine in frames.items():
        if np.array_equal(mine, usual):
            continue
        short = min(len(mine), len(usual))
        differing = np.flatnonzero(mine[:short] != usual[:short])
        at = int(differing[0]) if len(differing) else short
        raise DatasetError(
            path,
            line=at + 1,
            expected=f"{len(usual):,} lines, with the same frames as in the other files of the sequence"
            + (f" (frame {usual[at]} here)" if at < len(usual) else " (the end here)"),
            found=f"{len(mine):,} lines" + (f" (frame {mine[at]} here)" if at < len(mine) else " (the end here)"),
            hint="extract the archive again, or pass allow_missing=True to make the labels that differ null",
        )
