"""Published means with ours beside them, where both are of one test; empty where they are not."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fau_utils.results import published
from fau_utils.results.leaderboard import words

Entry = tuple[str, str]
"""Method and variant of a grid."""


def beside(
    rows: pd.DataFrame,
    found: pd.DataFrame,
    *,
    data: str,
    folds: int,
    names: Mapping[str, Entry],
    protocol: str = "ours",
    budget: str = "paper",
    score: str = "f1",
) -> pd.DataFrame:
    """Published means, and ours of the same dataset in as many folds, of one protocol and budget.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`fau_utils.results.published.select`, of one dataset.
    found : DataFrame
        Of :func:`fau_utils.results.leaderboard.board`.
    data : str
        What the dataset is called in a grid.
    folds : int
    names : mapping
        A published method's name to method *and* variant of ours: with an adversary and without are two methods.
    protocol, budget : str
        As the grid names them; rows of any other are no answer.
    score : str

    Returns
    -------
    DataFrame
        ``method, venue, published, ours, read through, second hand, inconsistent, remark``, the best published first;
        the same number of the same source once.

    Raises
    ------
    ValueError
        Two rows of ours answer to one name.
    """
    mine = _mine(found, data=data, folds=folds, protocol=protocol, budget=budget, score=score)
    means = rows[rows["au"] == published.AVERAGE]
    year = means["year"].astype("Int64").astype("string").fillna("")
    made = pd.DataFrame(
        {
            "method": means["method"],
            "venue": (means["venue"].fillna("") + " " + year).str.strip(),
            "published": means["value"],
            "ours": means["method"].map(lambda name: mine.get(names.get(name, ("", "")), "")),
            "read through": published.through(means),
            "second hand": means["secondary"],
            "inconsistent": means["inconsistent"],
            "remark": means["remark"].where(means["remark"] != "", means["protocol"].str.partition("; ")[2]),
        }
    )
    return made.drop_duplicates().sort_values("published", ascending=False, ignore_index=True)


def _mine(found: pd.DataFrame, *, score: str, **test: str | int) -> dict[Entry, str]:
    place = found["data"].map(lambda name: Path(name).name.lower())
    same = found.assign(data=place)
    for name, value in test.items():
        same = same[same[name] == value]
    same = same if score in same else same.iloc[:0]
    if (twice := same.duplicated(["method", "variant"])).any():
        named = sorted(set(map(tuple, same.loc[twice, ["method", "variant"]].to_numpy().tolist())))
        raise ValueError(f"expected one row of ours for each method and variant with {test}, found several of {named}")
    return {
        (row["method"], row["variant"]): words((row[score], row[f"{score}_low"], row[f"{score}_high"]))
        for _, row in same.iterrows()
    }
