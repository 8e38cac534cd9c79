"""What the rows of a study say: scores with draws of the test people, estimates and contrasts over seeds and people.

Intervals are over seeds *and* people. The two are crossed, every seed is tested on the same people, so the variance
of a mean over both is about the sum of the one over seeds (people held) and the one over people (seeds averaged),
with Welch and Satterthwaite's degrees of freedom (Satterthwaite, 1946, Biometrics Bulletin 2). What seeds and people
do together is in both, which errs towards wide.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from fau_utils import metrics
from fau_utils.metrics.contrast import Contrast
from fau_utils.training.evaluate import Predictions

Row = dict[str, Any]

RESAMPLES = 200
"""Draws of the test people that each row keeps."""


def scores(predictions: Predictions, *, resamples: int = RESAMPLES) -> Row:
    """F1 at 0.5 and AUC, means over AUs in percent, for a row: ``f1, auc, f1_draws, auc_draws``.

    The draws are the scores of `resamples` draws of the test people. They are the same people in every run on the same
    test set, so that two runs can be compared draw by draw.
    """
    row: Row = {}
    for name, metric in (("f1", metrics.f1_per_au), ("auc", metrics.auc_per_au)):
        drawn = metrics.resampled_scores(
            predictions.prob, predictions.label, predictions.subject, metric, resamples=resamples, seed=0
        )
        known = ~np.isnan(drawn)
        means = np.where(known, drawn, 0).sum(1) / np.maximum(1, known.sum(1))
        row[name] = 100 * float(np.nanmean(metric(predictions.prob, predictions.label)))
        row[f"{name}_draws"] = (100 * means).astype("float32").tolist()
    return row


def estimate(values: Sequence[float], draws: Sequence[Sequence[float]] | None = None) -> tuple[float, float, float]:
    """Mean over seeds with a 95 % interval over seeds and, where there are draws, over people.

    Parameters
    ----------
    values : (S,)
        One per seed.
    draws : (S, R), optional
        Of the same people for every seed.

    Returns
    -------
    tuple of float
        Mean, low, high; the ends are ``nan`` where one seed and no draws say nothing.
    """
    values = np.asarray(values, float)
    seeds = len(values)
    parts, freedom = [], []
    if seeds > 1:
        parts.append(values.var(ddof=1) / seeds)
        freedom.append(seeds - 1)
    if draws is not None:
        table = np.asarray([np.asarray(row, float) for row in draws])
        parts.append(table.mean(0).var(ddof=1))
        freedom.append(np.inf)  # the bootstrap's own error is small beside the others
    mean, variance = float(values.mean()), float(sum(parts))
    if not parts:
        return mean, float("nan"), float("nan")
    if variance == 0:
        return mean, mean, mean
    below = sum(part**2 / df for part, df in zip(parts, freedom, strict=True))
    quantile = stats.t.ppf(0.975, variance**2 / below) if below else stats.norm.ppf(0.975)
    half = float(quantile * variance**0.5)
    return mean, mean - half, mean + half


def select(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """Rows in which each named column has that value, or one of a list of values.

    Raises
    ------
    KeyError
        A column that is not there; those that are, are listed.
    """
    for name, value in where.items():
        if name not in table:
            raise KeyError(f"expected a column {name!r}, found {sorted(table)}")
        wanted = value if isinstance(value, (list, tuple, set)) else [value]
        table = table[table[name].isin(list(wanted))]
    return table


def contrast(
    table: pd.DataFrame,
    claim: str,
    *,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    score: str = "auc",
    where: Mapping[str, Any] | None = None,
    least: float = 0.0,
    unit: str | None = None,
    people: int | None = None,
) -> Contrast:
    """A declared claim, *ours minus theirs is more than* `least`, over the seeds that both have.

    Parameters
    ----------
    table : DataFrame
        Rows of a study; ``<score>_draws`` is used where it is there.
    claim : str
    ours, theirs : mapping
        Column values that pick the two sides; each seed must then have one row on each.
    score : str
    where : mapping, optional
        Column values that both sides have.
    least, unit
        As in :class:`Contrast`.
    people : int, optional
        Number of test people, for the words.

    Returns
    -------
    Contrast
        ``nan`` throughout, so *cannot tell*, where no seed has both.

    Raises
    ------
    ValueError
        When a seed has several rows on one side: the columns do not pin the comparison down.
    """
    common = select(table, **dict(where or {}))
    sides = []
    for picks in (ours, theirs):
        side = select(common, **dict(picks)).dropna(subset=score)
        if side["seed"].duplicated().any():
            raise ValueError(f"{claim}: several rows of one seed for {dict(picks)}; say which in `where`")
        sides.append(side.set_index("seed"))
    mine, other = sides
    seeds = [seed for seed in mine.index if seed in other.index]
    unit = unit or {"auc": "AUC points", "f1": "F1 points"}.get(score, "points")
    if not seeds:
        return Contrast(claim, *[float("nan")] * 3, over="no runs yet", least=least, unit=unit)
    mine, other = mine.loc[seeds], other.loc[seeds]
    draws = None
    if f"{score}_draws" in table and not (mine[f"{score}_draws"].isna().any() or other[f"{score}_draws"].isna().any()):
        pairs = zip(mine[f"{score}_draws"], other[f"{score}_draws"], strict=True)
        draws = [np.asarray(a) - np.asarray(b) for a, b in pairs]
    mean, low, high = estimate(mine[score].to_numpy() - other[score].to_numpy(), draws)
    over = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    if draws is not None:
        over += f" and {people} people" if people else " and the people"
    return Contrast(claim, mean, low, high, over=over, least=least, unit=unit)


def curve(table: pd.DataFrame, *, by: str | Iterable[str], score: str = "auc") -> pd.DataFrame:
    """Mean and interval of a score in each group: columns of `by`, ``mean, low, high, seeds``; for lines with bands."""
    names = [by] if isinstance(by, str) else list(by)
    rows = []
    for key, group in table.dropna(subset=score).groupby(names, sort=True, dropna=False):
        drawn = f"{score}_draws"
        draws = list(group[drawn]) if drawn in group and not group[drawn].isna().any() else None
        mean, low, high = estimate(group[score], draws)
        values = dict(zip(names, key, strict=True))
        rows.append({**values, "mean": mean, "low": low, "high": high, "seeds": group["seed"].nunique()})
    return pd.DataFrame(rows, columns=[*names, "mean", "low", "high", "seeds"])
