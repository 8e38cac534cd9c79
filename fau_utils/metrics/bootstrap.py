"""How sure a score is: people are drawn, not frames.

Frames of one person resemble each other, so resampling frames pretends to know more than was measured. Here
whole people are drawn with replacement (the cluster bootstrap; Davison & Hinkley, 1997, section 3.8).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fau_utils.metrics.auc import auc_per_au, resampled_auc
from fau_utils.metrics.f1 import f1_per_au, mean_over_aus, resampled_f1
from fau_utils.metrics.inputs import Array

Metric = Callable[[Any, Any], np.ndarray]
"""Takes predictions and labels, (N, A) each, and gives a score per AU, (A,)."""

# metrics that are ratios of sums over people (or pairs of people) need no second look at the frames
_AT_ONCE = {f1_per_au: resampled_f1, auc_per_au: resampled_auc}


@dataclass(frozen=True)
class Interval:
    """A score and the middle 95 % of what other people might have given.

    Attributes
    ----------
    value : float
        The score of the people there are.
    low, high : float
        2.5th and 97.5th percentile over resamples.
    undefined : int
        AUs (of the value) that have no score and are left out of the mean.
    resamples : int
        Resamples that have a score.
    """

    value: float
    low: float
    high: float
    undefined: int = 0
    resamples: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def subject_weights(people: int, *, resamples: int = 1000, seed: int = 0) -> Tensor:
    """How often each person is drawn in each resample, (resamples, people) float64; rows sum to `people`."""
    drawn = np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=resamples)
    return torch.from_numpy(drawn.astype("float64"))


def resampled_scores(
    prob: Array,
    label: Array,
    subject: Sequence | Array,
    metric: Metric,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """The score of each AU in each resample of the people.

    Parameters
    ----------
    prob, label : (N, A)
    subject : (N,)
        Whose frame each row is: names or numbers.
    metric : callable
        :func:`f1_per_au` and :func:`auc_per_au` (also as ``functools.partial`` with a threshold) are computed
        from per-person sums; any other metric is called once per resample.
    resamples, seed : int

    Returns
    -------
    ndarray, (resamples, A) float64; ``nan`` where a resample leaves an AU undefined.

    Raises
    ------
    ValueError
        When there are not as many subjects as predictions, or fewer than two people.
    """
    names, index = np.unique(np.asarray(subject), return_inverse=True)
    if len(index) != len(prob):
        raise ValueError(f"expected one subject per prediction, found {len(index)} and {len(prob)}")
    if len(names) < 2:
        raise ValueError(f"expected at least two people to draw from, found {len(names)}; an interval needs them")
    weights = subject_weights(len(names), resamples=resamples, seed=seed)
    options: dict = {}
    plain = metric
    if isinstance(metric, partial) and not metric.args:
        plain, options = metric.func, metric.keywords
    if plain in _AT_ONCE:
        scores = _AT_ONCE[plain](prob, label, subject=torch.from_numpy(index), weights=weights, **options)
        return scores.cpu().numpy()
    prob, label = torch.as_tensor(prob), torch.as_tensor(label)
    counts = weights.long()
    rows = [torch.from_numpy(np.repeat(np.arange(len(index)), row[index].numpy())) for row in counts]
    return np.stack([np.asarray(metric(prob[picked], label[picked])) for picked in rows])


def subject_bootstrap(
    prob: Array,
    label: Array,
    subject: Sequence | Array,
    metric: Metric,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Mean over AUs of a metric, with its interval over people. Parameters as :func:`resampled_scores`."""
    scores = resampled_scores(prob, label, subject, metric, resamples=resamples, seed=seed)
    value = mean_over_aus(metric(prob, label))
    return _interval(value.value, _mean_rows(scores), undefined=value.undefined)


def subject_bootstrap_per_au(
    prob: Array,
    label: Array,
    subject: Sequence | Array,
    metric: Metric,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Interval]:
    """The same for each AU by itself, in the order of the columns."""
    scores = resampled_scores(prob, label, subject, metric, resamples=resamples, seed=seed)
    values = np.asarray(metric(prob, label))
    return [
        _interval(value, column, undefined=int(np.isnan(value))) for value, column in zip(values, scores.T, strict=True)
    ]


def paired_difference(
    prob: Array,
    other: Array,
    label: Array,
    subject: Sequence | Array,
    metric: Metric,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Score of `prob` minus score of `other` on the same frames, each resample drawing the same people for both.

    An AU that is undefined for one of the two is left out for both, in the value and in each resample.
    """
    draw = {"resamples": resamples, "seed": seed}
    scores = resampled_scores(prob, label, subject, metric, **draw)
    others = resampled_scores(other, label, subject, metric, **draw)
    value = mean_over_aus(np.asarray(metric(prob, label)) - np.asarray(metric(other, label)))
    return _interval(value.value, _mean_rows(scores - others), undefined=value.undefined)


def _mean_rows(scores: np.ndarray) -> np.ndarray:
    known = ~np.isnan(scores)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, scores, 0).sum(1) / np.maximum(count, 1), np.nan)


def _interval(value: float, resampled: np.ndarray, *, undefined: int) -> Interval:
    known = resampled[~np.isnan(resampled)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return Interval(float(value), float(low), float(high), undefined, len(known))
