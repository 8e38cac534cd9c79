"""F1 of each AU on its positive class, from counts that unknown labels never enter.

Undefined stays undefined: an AU with no positives and no positive predictions has no F1 (``nan``), it has not
F1 = 0. With positives that are all missed, or none but some predicted, F1 is 0 as everywhere.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fau_utils.metrics.inputs import Array, checked, to_numpy


class Counts(NamedTuple):
    """Frames of each AU by truth and prediction, each (A,)."""

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray


def _outcomes(prob: Array, label: Array, threshold: float | Array) -> Tensor:
    """(N, A, 4) float64: one-hot over the fields of :class:`Counts`, all zero where not coded."""
    prob, positive, coded = checked(prob, label)
    said = prob >= torch.as_tensor(threshold, dtype=torch.float64, device=prob.device)
    outcomes = (positive & said, ~positive & said, positive & ~said, ~positive & ~said)
    return torch.stack([outcome & coded for outcome in outcomes], dim=-1).to(torch.float64)


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    return torch.where(below > 0, above / below.clamp(min=1), torch.nan)


def _f1(counted: Tensor) -> Tensor:
    hits, false_alarms, misses, _ = counted.unbind(-1)
    return _ratio(2 * hits, 2 * hits + false_alarms + misses)


def confusion(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> Counts:
    """Counts per AU.

    Parameters
    ----------
    prob : (N, A)
        Scores; present is predicted at ``prob >= threshold``.
    label : (N, A) in {0, 1, nan}
    threshold : float or (A,)
        One for all AUs, or one for each.
    """
    return Counts(*to_numpy(_outcomes(prob, label, threshold).sum(0).T))


def f1_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """F1 = 2 TP / (2 TP + FP + FN) of each AU, (A,) float64; ``nan`` where undefined. See :func:`confusion`."""
    return to_numpy(_f1(_outcomes(prob, label, threshold).sum(0)))


def precision_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """TP / (TP + FP), (A,); ``nan`` for an AU that is never predicted."""
    hits, false_alarms, _, _ = _outcomes(prob, label, threshold).sum(0).unbind(-1)
    return to_numpy(_ratio(hits, hits + false_alarms))


def recall_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """TP / (TP + FN), (A,); ``nan`` for an AU without positives."""
    hits, _, misses, _ = _outcomes(prob, label, threshold).sum(0).unbind(-1)
    return to_numpy(_ratio(hits, hits + misses))


def resampled_f1(
    prob: Array, label: Array, *, subject: Tensor, weights: Tensor, threshold: float | Array = 0.5
) -> Tensor:
    """F1 of weighted sets of people: counts of each person once, then one matrix product.

    Parameters
    ----------
    prob, label : (N, A)
    subject : Tensor, (N,) int64 in [0, S)
    weights : Tensor, (R, S)
        How often each person is in each of R sets.

    Returns
    -------
    Tensor, (R, A) float64
    """
    outcomes = _outcomes(prob, label, threshold)
    people = outcomes.new_zeros(weights.shape[1], *outcomes.shape[1:])
    people.index_add_(0, subject.to(outcomes.device), outcomes)
    return _f1(torch.einsum("rs,sak->rak", weights.to(people), people))


class Mean(NamedTuple):
    """Mean over the AUs where a score is defined, and the number of those where it is not."""

    value: float
    undefined: int


def mean_over_aus(scores: Array) -> Mean:
    """Mean of per-AU scores, (A,); an undefined AU is left out and counted, never taken as 0."""
    scores = to_numpy(scores)
    known = scores[~np.isnan(scores)]
    return Mean(float(known.mean()) if len(known) else float("nan"), len(scores) - len(known))
