"""What papers print: numbers that were published, each with the file it was read from, none of them ours.

``book/paper_results.csv`` holds tables, ``book/paper_curves.csv`` numbers behind figures. A published number is a
quotation: it is neither corrected nor completed here. What can be seen from the numbers themselves is *said* about
each of them: that it is second hand, that another source has another number, that a printed mean is not the mean of
what is printed beside it.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.aus import column

BOOK = Path(__file__).resolve().parents[2] / "book"
"""Where the repository keeps both files."""

_COLUMNS = ("method", "year", "venue", "dataset", "protocol", "au", "metric", "value", "source")
_SECOND_HAND = r"secondary|as quoted|quoted by|as run by|\buser\b|issue #"
_DOUBTED = r"conflicts with|not verified|not stated|presumably"
_ROUNDING = 0.1
"""How far a mean of rounded numbers may be from a rounded mean: half a unit each, at one decimal."""

AVERAGE = "Avg"


def read(path: str | os.PathLike = BOOK / "paper_results.csv") -> pd.DataFrame:
    """All published numbers.

    Returns
    -------
    DataFrame
        A row per number: ``method, year, venue, dataset, protocol, au`` (a number as text, or ``Avg``), ``metric,
        value`` (percent), ``source``, and what is known of it: ``paper`` (arXiv number) and ``table`` it was read
        from where the source tells, ``secondary`` (bool: quoted by somebody else, a user's run, a note),
        ``inconsistent`` (bool: another source has another number, or a mean is not that of its AUs) and ``remark``,
        the reason or a doubt about the protocol in words.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When columns are missing, or a number has no source.
    """
    table = pd.read_csv(path, dtype={"au": str})
    if missing := [name for name in _COLUMNS if name not in table]:
        raise ValueError(f"{Path(path).name}: expected columns {list(_COLUMNS)}, {missing} are missing")
    unsourced = table["source"].isna() | (table["source"].astype(str).str.strip() == "")
    if unsourced.any():
        raise ValueError(
            f"{Path(path).name}: line {2 + int(np.flatnonzero(unsourced)[0])} has no source; "
            "a number that nobody can look up is left out"
        )
    text = table["protocol"].fillna("")
    table["paper"] = table["source"].str.extract(r"(\d{4}\.\d{5})", expand=False).fillna("")
    table["table"] = table["source"].str.extract(r"(Table \d+)", expand=False).fillna("")
    said = text + " " + table["source"]
    table["secondary"] = said.str.contains(_SECOND_HAND, case=False, regex=True)
    doubts = pd.DataFrame(
        {
            "doubted": np.where(text.str.contains(_DOUBTED, case=False), text.str.partition("; ")[2], ""),
            "sources": _between_sources(table),
            "mean": _against_the_mean(table),
        }
    )
    table["inconsistent"] = doubts[["sources", "mean"]].ne("").any(axis=1)
    table["remark"] = doubts.apply(lambda row: "; ".join(filter(None, row)), axis=1)
    return table


def select(
    table: pd.DataFrame | None = None,
    *,
    dataset: str | None = None,
    protocol: str | None = None,
    paper: str | None = None,
    number: int | None = None,
    metric: str | None = "F1",
    secondary: bool = True,
) -> pd.DataFrame:
    """Some of the published numbers, sources and remarks with them.

    Parameters
    ----------
    table : DataFrame, optional
        By default :func:`read`.
    dataset : str, optional
        The whole name: ``BP4D`` is not ``BP4D+``.
    protocol : str, optional
        Any part of the words, ``3-fold`` for instance.
    paper : str, optional
        arXiv number.
    number : int, optional
        Of the table in the paper.
    metric : str, optional
        None for all.
    secondary : bool
        False leaves out what is second hand.

    Raises
    ------
    ValueError
        When nothing is left; the names that exist are listed.
    """
    table = read() if table is None else table
    chosen = pd.Series(True, index=table.index)
    exact = {"dataset": dataset, "paper": paper, "metric": metric}
    exact["table"] = None if number is None else f"Table {number}"
    for name, value in exact.items():
        if value is not None:
            chosen &= table[name] == value
    if protocol is not None:
        chosen &= table["protocol"].fillna("").str.contains(protocol, case=False, regex=False)
    if not secondary:
        chosen &= ~table["secondary"]
    if not chosen.any():
        known = {name: sorted(set(table[name]) - {""}) for name in ("dataset", "paper", "table", "metric")}
        asked = {name: value for name, value in {**exact, "protocol": protocol}.items() if value is not None}
        raise ValueError(f"no published number with {asked}; there are {known}")
    return table[chosen]


def through(table: pd.DataFrame) -> pd.Series:
    """Whose table each number was read from, where that is not the method's own: empty for first hand.

    A repository speaks for methods that carry its name (``FMAE-IAT`` for ``FMAE ViT-L``), a paper's page for its one
    method. What a paper prints about others was copied, or run, by somebody with a method to compare.
    """
    repository = table["source"].str.extract(r"github\.com/[^/\s]+/([^/\s]+)", expand=False)
    other = table["source"].str.extract(r'"([^"]+)"', expand=False)
    name = repository.fillna(other).fillna("")
    stem = name.map(lambda word: word.rsplit("-", 1)[0] if word.endswith("-IAT") else word)
    own = [m.lower().startswith(s.lower()) for m, s in zip(table["method"], stem, strict=True)]
    return name.where(~pd.Series(own, table.index), "")


def by_au(table: pd.DataFrame) -> pd.DataFrame:
    """One row per method and source, a column per AU in increasing number, ``Avg`` as printed.

    Parameters
    ----------
    table : DataFrame
        Of :func:`select`, of one dataset and one metric.

    Returns
    -------
    DataFrame
        Index ``method``, in the order of the file; columns ``AU1 ... Avg`` and ``source``.

    Raises
    ------
    ValueError
        When the rows are of several datasets or metrics.
    """
    for name in ("dataset", "metric"):
        if table[name].nunique() != 1:
            raise ValueError(f"expected one {name}, found {sorted(set(table[name]))}; select one")
    index = ["method", "source"]
    wide = table.pivot_table(index=index, columns="au", values="value", sort=False)
    numbers = sorted((au for au in wide if au != AVERAGE), key=int)
    wide = wide[[*numbers, *([AVERAGE] if AVERAGE in wide else [])]]
    wide = wide.rename(columns={au: column(int(au)) for au in numbers}).reset_index("source")
    wide.columns.name = None
    return wide[[*[name for name in wide if name != "source"], "source"]]


def curves(figure: str, path: str | os.PathLike = BOOK / "paper_curves.csv") -> pd.DataFrame:
    """The numbers behind a published figure: ``series, epoch, value, unit, dataset, source``.

    Raises
    ------
    ValueError
        When there is no such figure; those that exist are listed.
    """
    table = pd.read_csv(path)
    found = table[table["figure"] == figure]
    if not len(found):
        raise ValueError(f"expected one of the figures {sorted(set(table['figure']))}, found {figure!r}")
    return found.drop(columns="figure").reset_index(drop=True)


def _between_sources(table: pd.DataFrame) -> pd.Series:
    """Says of each number whether another source gives another one for the same method and kind of test."""
    kind = table["protocol"].fillna("").str.partition(";")[0].str.strip()
    groups = table.assign(kind=kind).groupby(["method", "dataset", "kind", "metric", "au"], dropna=False)["value"]
    low, high = groups.transform("min"), groups.transform("max")
    words = "sources have " + low.map("{:g}".format) + " to " + high.map("{:g}".format)
    return words.where(high - low > 1e-9, "")


def _against_the_mean(table: pd.DataFrame) -> pd.Series:
    """Says of each printed mean whether it is the mean of the AUs that are printed beside it."""
    names = ["method", "dataset", "protocol", "metric", "source"]
    single = table["au"] != AVERAGE
    means = table[single].groupby(names, dropna=False)["value"].agg(["mean", "size"]).round({"mean": 2})
    found = table[names].merge(means, how="left", left_on=names, right_index=True)
    off = ~single & (found["size"] > 1) & ((found["mean"] - table["value"]).abs() > _ROUNDING)
    return ("the mean of its AUs is " + found["mean"].map("{:g}".format)).where(off, "")
