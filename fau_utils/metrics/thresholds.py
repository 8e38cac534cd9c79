"""F1 at every threshold from one pass over the frames, and thresholds chosen by it.

Each score falls between two thresholds; counting scores per gap and adding up from the top gives the counts at
all thresholds. The result equals a loop over thresholds and AUs, frame by frame and bit by bit.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch

from fau_utils.metrics.f1 import Counts
from fau_utils.metrics.inputs import Array, checked, to_numpy

PERCENT: np.ndarray = np.arange(1, 100) / 100
"""0.01, 0.02, ..., 0.99: the thresholds published code tries."""


class Sweep(NamedTuple):
    """Scores at each threshold.

    Attributes
    ----------
    thresholds : (T,) float64, ascending
    f1 : (A, T) float64
        ``nan`` where undefined.
    counts : Counts of (A, T) each
    """

    thresholds: np.ndarray
    f1: np.ndarray
    counts: Counts


def sweep(prob: Array, label: Array, *, thresholds: Array = PERCENT) -> Sweep:
    """F1 of each AU at each threshold.

    Parameters
    ----------
    prob : (N, A)
        Scores; present is predicted at ``prob >= threshold``, compared in float64.
    label : (N, A) in {0, 1, nan}
    thresholds : (T,)
        Ascending.

    Raises
    ------
    ValueError
        When thresholds do not ascend.
    """
    prob, positive, coded = checked(prob, label)
    edges = torch.as_tensor(thresholds, dtype=torch.float64, device=prob.device)
    if edges.ndim != 1 or not bool((edges.diff() > 0).all()):
        raise ValueError("expected thresholds in ascending order, found others; sort them and drop repetitions")
    width, gaps = prob.shape[1], len(edges) + 1
    gap = torch.bucketize(prob.contiguous(), edges, right=True)  # how many thresholds this score reaches
    cell = (gap + gaps * torch.arange(width, device=prob.device)) * 2 + positive
    filled = torch.bincount(cell[coded], minlength=2 * width * gaps).view(width, gaps, 2)
    above = filled.flip(1).cumsum(1).flip(1)  # frames that reach this many thresholds, or more
    reached, total = above[:, 1:], above[:, :1]
    false_positive, true_positive = reached.unbind(-1)
    true_negative, false_negative = (total - reached).unbind(-1)
    counts = Counts(*map(to_numpy, (true_positive, false_positive, false_negative, true_negative)))
    below = 2 * counts.true_positive + counts.false_positive + counts.false_negative
    f1 = np.where(below > 0, 2 * counts.true_positive / np.maximum(below, 1), np.nan)
    return Sweep(to_numpy(edges), f1, counts)


def tuned(
    prob: Array,
    label: Array,
    *,
    scope: Literal["per_au", "common"] = "per_au",
    thresholds: Array = PERCENT,
    default: float = 0.5,
) -> np.ndarray:
    """The threshold with the best F1, to be applied to *other* people's frames.

    Applied to the frames it was chosen on, it gives a score that is too good.

    Parameters
    ----------
    prob, label : (N, A)
        Of validation people.
    scope : {"per_au", "common"}
        Each AU's own, or the one with the best mean over the AUs that have positives.
    thresholds : (T,)
    default : float
        For an AU without positives: its F1 says nothing. Of several equally good thresholds the one nearest to
        it is taken.

    Returns
    -------
    ndarray, (A,) float64
    """
    found = sweep(prob, label, thresholds=thresholds)
    # without positives, F1 is 0 where something is detected and undefined elsewhere: no threshold is better
    shown = (found.counts.true_positive + found.counts.false_negative).any(1)
    nearest = np.argsort(np.abs(found.thresholds - default), kind="stable")
    best = np.full(len(found.f1), default, "float64")
    if scope == "common" and shown.any():
        best[:] = found.thresholds[nearest][found.f1[shown].mean(0)[nearest].argmax()]
    elif scope == "per_au":
        best[shown] = found.thresholds[nearest][found.f1[shown][:, nearest].argmax(1)]
    return best
