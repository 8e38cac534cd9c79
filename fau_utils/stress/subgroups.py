"""Is it worse for some people? Scores of groups in which every *person* counts the same, and a verdict.

Groups are small, and a small group's interval is wide. So the question is asked with a margin that is chosen before:
is the gap larger than that, smaller than that, or *cannot* these people *tell*? Absence of a significant difference is
not evidence of fairness (Altman & Bland, 1995); only an interval inside the margin is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fau_utils.metrics.auc import resampled_auc
from fau_utils.metrics.bootstrap import subject_weights
from fau_utils.metrics.f1 import resampled_f1
from fau_utils.training.evaluate import Predictions

Verdict = Literal["larger than the margin", "within the margin", "cannot tell"]

_SCORES = {"auc": resampled_auc, "f1": resampled_f1}


@dataclass(frozen=True)
class Gap:
    """A difference between two groups, in points, with a 95 % interval and a margin declared in advance."""

    effect: float
    low: float
    high: float
    margin: float

    @property
    def verdict(self) -> Verdict:
        """Computed, never typed: the whole interval outside the margin on one side, or inside it, or neither."""
        if self.low > self.margin or self.high < -self.margin:
            return "larger than the margin"
        if -self.margin <= self.low and self.high <= self.margin:
            return "within the margin"
        return "cannot tell"  # also when an end is nan


@dataclass(frozen=True)
class GroupScore:
    """Scores of one group.

    Attributes
    ----------
    people, frames, positives : int
        Counts; frames with at least one known label, and known positive labels of all AUs.
    value : ndarray, (S, A)
        In percent, of each seed and AU; ``nan`` where undefined.
    draws : ndarray, (S, R, A)
        The same for draws of the group's people, the same draws for every seed.
    """

    people: int
    frames: int
    positives: int
    value: np.ndarray
    draws: np.ndarray


def group_score(
    found: Predictions | Sequence[Predictions],
    chosen: np.ndarray,
    *,
    score: str = "auc",
    resamples: int = 500,
    seed: int = 0,
) -> GroupScore:
    """The score of some frames, every person with the same weight, however many frames there are of them.

    Parameters
    ----------
    found : Predictions, or one for each training seed on the same frames
    chosen : (N,) bool
        Frames of the group.
    score : {"auc", "f1"}
        F1 depends on how often an AU occurs, which may differ between groups; AUC does not.
    resamples, seed : int

    Raises
    ------
    ValueError
        An unknown score, no frames, or seeds with other frames.
    """
    if score not in _SCORES:
        raise ValueError(f"expected a score of {sorted(_SCORES)}, found {score!r}")
    runs = [found] if isinstance(found, Predictions) else list(found)
    if not runs or any(not np.array_equal(run.label, runs[0].label, equal_nan=True) for run in runs):
        raise ValueError("expected at least one run, all on the same frames")
    chosen = np.asarray(chosen, bool) & ~np.isnan(runs[0].label).all(1)
    label = runs[0].label[chosen]
    names, subject, frames = np.unique(runs[0].subject[chosen], return_inverse=True, return_counts=True)
    if not len(names):
        shape = (len(runs), 1, label.shape[1])
        return GroupScore(0, 0, 0, np.full(shape[::2], np.nan), np.full(shape, np.nan))
    drawn = subject_weights(len(names), resamples=resamples, seed=seed)
    # equal people; from 1 upward, as the scores take fewer than one pair for none
    equal = torch.from_numpy(frames.max() / frames)
    weights = torch.cat([torch.ones(1, len(names), dtype=drawn.dtype), drawn]) * equal
    subject = torch.from_numpy(subject)
    scores = [100 * _SCORES[score](run.prob[chosen], label, subject=subject, weights=weights).numpy() for run in runs]
    table = np.stack(scores)
    positives = int((label == 1).sum())
    return GroupScore(len(names), len(label), positives, table[:, 0], table[:, 1:])


def gap(first: GroupScore, second: GroupScore, *, margin: float) -> Gap:
    """Mean over AUs of first minus second, two groups of different people, with an interval over people and seeds.

    Parameters
    ----------
    first, second : GroupScore
        An AU that is undefined for one of them is left out for both.
    margin : float
        Points that count, chosen before the run.
    """
    both = ~np.isnan(first.value).any(0) & ~np.isnan(second.value).any(0)
    if not both.any():
        return Gap(*[float("nan")] * 3, margin=margin)
    effect = (first.value - second.value)[:, both].mean(1)  # (S,)
    parts = []
    for side in (first, second):
        drawn = _means(side.draws[..., both].mean(0))
        few = side.people / (side.people - 1) if side.people > 1 else np.nan  # the bootstrap's variance divides by n
        parts.append((drawn.var(ddof=1) * few if len(drawn) > 1 else np.nan, side.people - 1))
    return _gap(effect, parts, margin)


def paired_gap(
    first: Predictions | Sequence[Predictions],
    second: Predictions | Sequence[Predictions],
    *,
    margin: float,
    score: str = "auc",
    resamples: int = 500,
    seed: int = 0,
) -> Gap:
    """The same for *the same people twice*, as with :func:`fau_utils.stress.attributes.redrawn`: far more precise."""
    options = {"score": score, "resamples": resamples, "seed": seed}
    runs = [[side] if isinstance(side, Predictions) else list(side) for side in (first, second)]
    if not np.array_equal(runs[0][0].subject, runs[1][0].subject):
        raise ValueError("expected the same people on the same rows twice; for other people use gap()")
    one, other = (group_score(side, np.ones(len(side[0]), bool), **options) for side in runs)
    both = ~np.isnan(one.value).any(0) & ~np.isnan(other.value).any(0)
    drawn = _means((one.draws - other.draws)[..., both].mean(0))
    few = one.people / (one.people - 1) if one.people > 1 else np.nan
    variance = drawn.var(ddof=1) * few if len(drawn) > 1 else np.nan
    return _gap((one.value - other.value)[:, both].mean(1), [(variance, one.people - 1)], margin)


def subgroups(
    found: Predictions | Sequence[Predictions],
    groups: Sequence[str | None],
    *,
    margin: float,
    against: str | None = None,
    score: str = "auc",
    resamples: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Each group beside the others, with counts and a verdict.

    Parameters
    ----------
    found : Predictions, or one for each training seed
    groups : (N,)
        Of each frame, None where nobody knows; see :func:`fau_utils.stress.attributes.group_of`.
    margin : float
        In points, chosen before the run.
    against : str, optional
        The group that all others are compared with; by default each is compared with everybody else who is known.
    score, resamples, seed
        As :func:`group_score`.

    Returns
    -------
    DataFrame
        ``group, against, people, frames, positives, score, gap, low, high, margin, verdict``.

    Raises
    ------
    ValueError
        A margin that is not positive, other than one group per frame, fewer than two groups, or none called `against`.
    """
    runs = [found] if isinstance(found, Predictions) else list(found)
    groups = np.asarray(groups, object)
    if not margin > 0:
        raise ValueError(f"expected a margin above 0, found {margin}; say before the run which gap would matter")
    if len(groups) != len(runs[0]):
        raise ValueError(f"expected a group for each of {len(runs[0])} frames, found {len(groups)}")
    known = np.array([group is not None for group in groups])
    names = sorted({str(group) for group in groups[known]})
    if len(names) < 2:
        raise ValueError(f"expected at least two groups, found {names}")
    if against is not None and against not in names:
        raise ValueError(f"expected a group to compare with of {names}, found {against!r}")
    options = {"score": score, "resamples": resamples, "seed": seed}
    rows = []
    for name in [name for name in names if name != against]:
        mine = known & (groups == name)
        others = known & ~mine if against is None else groups == against
        one, other = group_score(runs, mine, **options), group_score(runs, others, **options)
        between = gap(one, other, margin=margin)
        counts = {"people": one.people, "frames": one.frames, "positives": one.positives}
        ends = {"gap": between.effect, "low": between.low, "high": between.high}
        row = {"group": name, "against": against or "all others", **counts, "score": _mean(one.value), **ends}
        rows.append({**row, "margin": margin, "verdict": between.verdict})
    return pd.DataFrame(rows)


def _gap(effect: np.ndarray, parts: list[tuple[float, float]], margin: float) -> Gap:
    """Mean of the seeds' effects, with Welch and Satterthwaite's interval from independent parts of its variance."""
    if len(effect) > 1:
        parts = [*parts, (effect.var(ddof=1) / len(effect), len(effect) - 1)]
    variance, mean = sum(part for part, _ in parts), float(effect.mean())
    if not np.isfinite(variance):
        return Gap(mean, float("nan"), float("nan"), margin)
    if variance == 0:
        return Gap(mean, mean, mean, margin)
    freedom = variance**2 / sum(part**2 / df for part, df in parts)
    half = float(stats.t.ppf(0.975, freedom) * variance**0.5)
    return Gap(mean, mean - half, mean + half, margin)


def _means(draws: np.ndarray) -> np.ndarray:
    """Means over AUs of each draw, (R,), without draws that leave no AU."""
    known = ~np.isnan(draws)
    count = known.sum(1)
    return (np.where(known, draws, 0).sum(1) / np.maximum(count, 1))[count > 0]


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
