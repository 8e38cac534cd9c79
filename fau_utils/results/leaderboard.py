"""Methods side by side: scores with intervals over seeds and people, pairs, ranks, and what could be seen at all.

Works on a plain table, a row per finished run, as ``fau bench export --reference`` keeps it: where in the grid the run
is, its scores with draws of the test people, what it cost, and ``person_f1``, a score per test person.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from fau_utils.metrics.compare import Difference, Ranks, detectable, holm, paired, ranks
from fau_utils.results.study import estimate
from fau_utils.training import Predictions

GROUP = ["method", "variant", "data", "protocol", "budget"]
"""What makes a row of the board; runs that differ only in fold and seed are of one row."""

SCORES: dict[str, str] = {
    "f1_tuned": "F1, tuned",
    "f1": "F1 at 0.5",
    "auc": "AUC",
    "ece": "calibration error",
    "identity": "identity read",
    "hidden": "AUC, hidden",
    "fall": "fall, lab to wild",
}
"""Scores and what they are called; lower is better in calibration error, identity and fall."""

UNITS: dict[str, str] = {"fall": "points"}
"""Of a score that is no percentage by itself."""

COSTS: dict[str, str] = {"cpu_seconds": "CPU minutes", "parameters": "parameters", "images_per_second": "images/s"}

CAPTION = (
    "Means over seeds. Brackets hold 95 % intervals over seeds and test people, ± is the standard deviation over "
    "seeds. Empty: not measured."
)
"""What a table of :func:`shown` says below itself."""

Span = tuple[float, float, float]
"""Mean, low, high."""


@dataclass(frozen=True)
class Pair:
    """Two methods, over the seeds that both have."""

    ours: str
    theirs: str
    difference: Difference
    seeds: int
    draws: bool


def person_scores(predictions: Predictions, thresholds: np.ndarray) -> pd.Series:
    """F1 of each person over all their faces and AUs at once, in percent; ``nan`` where nothing is there or said.

    F1 per AU is undefined for most people, who show most movements never.
    """
    said = predictions.prob >= thresholds
    coded = ~np.isnan(predictions.label)
    there = predictions.label == 1
    counts = pd.DataFrame(
        {
            "hit": (said & there & coded).sum(1),
            "total": (said & coded).sum(1) + there.sum(1),
        }
    )
    summed = counts.groupby(np.asarray(predictions.subject, str)).sum()
    return (200 * summed["hit"] / summed["total"].where(summed["total"] > 0)).sort_index()


def board(table: pd.DataFrame, *, scores: Iterable[str] = tuple(SCORES)) -> pd.DataFrame:
    """A row per method, variant, dataset, protocol and budget: means over folds and seeds with 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        A row per run. Of a seed with fewer folds than others nothing is taken.
    scores : iterable of str
        Columns to average; ``<score>_draws`` is used where it is there.

    Returns
    -------
    DataFrame
        :data:`GROUP`, ``seeds, folds, people``, ``<score>, <score>_low, <score>_high``, and means of :data:`COSTS`
        with ``<cost>_sd``, their standard deviation over seeds.
    """
    rows = []
    for key, group in table.groupby(GROUP, sort=False, dropna=False):
        folds = group.groupby("seed").size()
        group = group[group["seed"].isin(folds.index[folds == folds.max()])]
        row: dict[str, Any] = {**dict(zip(GROUP, key, strict=True)), "seeds": group["seed"].nunique()}
        row |= {"folds": int(folds.max()), "people": _people(group)}
        for name in scores:
            if name in group and not group[name].isna().any():
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), estimate(*_by_seed(group, name)), strict=True))
        for name in COSTS:
            if name in group:
                by_seed = group.groupby("seed")[name].mean()
                row |= {name: float(by_seed.mean()), f"{name}_sd": float(by_seed.std())}
        rows.append(row)
    return pd.DataFrame(rows)


def shown(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A board for people, and numbers to sort it by.

    Parameters
    ----------
    found : DataFrame
        Of :func:`board`.

    Returns
    -------
    tuple of DataFrame
        Scores with their interval in one cell, and the same columns as numbers. What is the same in all rows and
        says nothing (one protocol, one budget) is left out.
    """
    text = pd.DataFrame({name: found[name] for name in GROUP if name == "method" or found[name].nunique() > 1})
    keys = pd.DataFrame(index=found.index)
    for name, title in SCORES.items():
        if name in found:
            heading = f"{title}, {UNITS.get(name, '%')}"
            text[heading] = [words(span) for span in found[[name, f"{name}_low", f"{name}_high"]].values.tolist()]
            keys[heading] = found[name]
    for name, title in COSTS.items():
        if name in found:
            minutes = 60 if name == "cpu_seconds" else 1
            spread = found.get(f"{name}_sd", pd.Series(np.nan, found.index))
            text[title] = [_cost(*pair) for pair in zip(found[name] / minutes, spread / minutes, strict=True)]
            keys[title] = found[name] / minutes
    text["seeds"] = (
        found["seeds"].astype(str)
        if "planned" not in found
        else [f"{row.seeds} of {row.planned}" for row in found.itertuples()]
    )
    keys["seeds"] = found["seeds"]
    return text, keys


def words(span: Span, *, digits: int = 1) -> str:
    """``50.1 [48.0, 52.2]``; empty where there is no mean, without brackets where nothing tells how sure it is."""
    mean, low, high = span
    if pd.isna(mean):
        return ""
    return f"{mean:.{digits}f}" + ("" if pd.isna(low) else f" [{low:.{digits}f}, {high:.{digits}f}]")


def _cost(mean: float, sd: float) -> str:
    """``12 ± 3``; without a spread where nothing varies or one seed tells none."""
    if pd.isna(mean):
        return ""
    digits = 0 if mean >= 10 or mean == 0 else 1 if mean >= 1 else 2
    return f"{mean:,.{digits}f}" + (f" ± {sd:,.{digits}f}" if sd > 0 else "")


def pairs(table: pd.DataFrame, *, score: str = "f1_tuned") -> list[Pair]:
    """Every method against every other one of the same dataset, protocol and budget.

    Raises
    ------
    ValueError
        Runs of several datasets, protocols or budgets.
    """
    _one_test(table)
    return [
        Pair(ours, theirs, paired(values, draws), len(values), draws is not None)
        for ours, theirs, values, draws in _differences(table, score)
    ]


def corrected(found: Sequence[Pair], *, unit: str = "points") -> pd.DataFrame:
    """Pairs as a table for people, p-values corrected by Holm, the surest first; the verdict is computed."""
    adjusted = holm([pair.difference.p for pair in found])
    rows = []
    for pair, p in zip(found, adjusted, strict=True):
        d = pair.difference
        better, worse = (pair.ours, pair.theirs) if d.effect >= 0 else (pair.theirs, pair.ours)
        low, high = (d.low, d.high) if d.effect >= 0 else (-d.high, -d.low)
        verdict = "cannot tell" if not p < 0.05 else "told apart"
        rows.append(
            {
                "pair": f"{better} less {worse}",
                unit: abs(d.effect),
                "low": low,
                "high": high,
                "p": d.p,
                "p, Holm": p,
                "verdict": verdict,
            }
        )
    return pd.DataFrame(rows).sort_values(["p, Holm", "p"], ignore_index=True)


def ranked(table: pd.DataFrame) -> Ranks:
    """Methods ranked person by person, seeds averaged first.

    People are independent of each other; AUs of one face are not, and could not be blocks.

    Raises
    ------
    ValueError
        As :func:`pairs`, or when methods were tested on other people.
    """
    _one_test(table)
    scores, who = {}, None
    for name, group in _named(table):
        seeds = [rows.sort_values("fold") for _, rows in group.groupby("seed", sort=True)]
        people = {tuple(np.concatenate(rows["persons"].map(list).tolist())) for rows in seeds}
        who = people if who is None else who
        if people != who or len(people) != 1:
            raise ValueError(f"{name}: expected the test people of the others, found other ones; ranks need the same")
        scores[name] = np.mean([np.concatenate(rows["person_f1"].map(np.asarray).tolist()) for rows in seeds], axis=0)
    return ranks(scores)


def power(
    table: pd.DataFrame,
    *,
    score: str = "f1_tuned",
    seeds: Sequence[int] = (3, 5, 10),
    people: Sequence[int] = (60, 120, 240),
) -> pd.DataFrame:
    """The smallest true difference that a design finds four times in five, in points, by seeds (rows) and people.

    Variances are those of the pairs there are: the median pair's between seeds and between people. A corrected
    comparison of many pairs needs more; with one seed nothing is known of the variance between seeds.
    """
    over_seeds, over_people = [], []
    for _, _, values, draws in _differences(table, score):
        if len(values) > 1 and draws is not None:
            over_seeds.append(np.var(values, ddof=1))
            over_people.append(np.mean(draws, axis=0).var(ddof=1))
    if not over_seeds:
        raise ValueError("expected pairs with two seeds or more and draws of the people, found none")
    seed, person, here = float(np.median(over_seeds)), float(np.median(over_people)), _people(table)
    rows = {}
    for count in seeds:
        now = seed / count + person
        # of the people there are: with more of them the seeds' share grows, and Satterthwaite's freedom would fall
        freedom = now**2 / ((seed / count) ** 2 / (count - 1)) if seed else np.inf
        errors = [(seed / count + person * here / number) ** 0.5 for number in people]
        rows[count] = {number: detectable(e, freedom) for number, e in zip(people, errors, strict=True)}
    found = pd.DataFrame(rows).T
    found.index.name, found.columns.name = "seeds", "people"
    return found


def _differences(table: pd.DataFrame, score: str) -> Iterator[tuple[str, str, np.ndarray, list[np.ndarray] | None]]:
    """Names of two methods, and the first less the second: per seed, and in each draw of the people."""
    keys = ["seed", "fold"]
    for (ours, mine), (theirs, other) in combinations(_named(table), 2):
        common = mine[keys].merge(other[keys])
        if not len(common):
            continue
        (a, x), (b, y) = (_by_seed(common.merge(side, on=keys), score) for side in (mine, other))
        draws = None if x is None or y is None else [np.subtract(p, q) for p, q in zip(x, y, strict=True)]
        yield ours, theirs, np.subtract(a, b), draws


def _by_seed(group: pd.DataFrame, name: str) -> tuple[list[float], list[np.ndarray] | None]:
    """Means over folds, whose people are other ones each, so that their draws are averaged too."""
    seeds = [rows for _, rows in group.groupby("seed", sort=True)]
    values = [float(rows[name].mean()) for rows in seeds]
    drawn = f"{name}_draws"
    if drawn not in group or group[drawn].isna().any():
        return values, None
    return values, [np.mean(np.stack(rows[drawn].map(np.asarray).tolist()), axis=0) for rows in seeds]


def _named(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Runs by method, with the variant where there are several."""
    several = table.groupby("method")["variant"].nunique() > 1
    names = [m if not several[m] else f"{m}, {v}" for m, v in zip(table["method"], table["variant"], strict=True)]
    return list(table.groupby(pd.Series(names, table.index), sort=False))


def _one_test(table: pd.DataFrame) -> None:
    found = table[["data", "protocol", "budget"]].drop_duplicates()
    if len(found) != 1:
        raise ValueError(f"expected runs of one dataset, protocol and budget, found {found.to_dict('records')}")


def _people(group: pd.DataFrame) -> int:
    """Test people of all folds together."""
    return int(group.groupby("fold", dropna=False)["people"].max().sum()) if "people" in group else 0
