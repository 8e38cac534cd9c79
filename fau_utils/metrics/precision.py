"""Average precision and balanced accuracy of each AU."""

import numpy as np
import torch

from fau_utils.metrics.f1 import confusion
from fau_utils.metrics.inputs import Array, checked


def average_precision_per_au(prob: Array, label: Array) -> np.ndarray:
    """Area under the precision-recall steps, sum over thresholds of (R_n - R_{n-1}) P_n, ties taken together.

    Its floor is the positive rate, so it does not compare between AUs or folds; AUC does.

    Parameters
    ----------
    prob : (N, A)
        Scores; only their order matters.
    label : (N, A) in {0, 1, nan}

    Returns
    -------
    ndarray, (A,) float64; ``nan`` for an AU without positives.
    """
    prob, positive, coded = checked(prob, label)
    return np.array(
        [_average_precision(prob[rows, au], positive[rows, au]) for au, rows in enumerate(coded.T)], dtype="float64"
    )


def _average_precision(score: torch.Tensor, positive: torch.Tensor) -> float:
    total = int(positive.sum())
    if total == 0:
        return float("nan")
    ordered, order = score.sort(descending=True)
    hits = positive[order].to(torch.float64).cumsum(0)
    last = torch.ones_like(positive)  # the last frame of each group of equal scores
    last[:-1] = ordered[1:] != ordered[:-1]
    place = last.nonzero().squeeze(1)
    found = hits[place]
    gained = found.diff(prepend=found.new_zeros(1))
    return float((gained * found / (place + 1)).sum() / total)


def balanced_accuracy_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """Mean of recall and specificity of each AU, (A,) float64; ``nan`` unless both classes are there."""
    counts = confusion(prob, label, threshold=threshold)
    positives = counts.true_positive + counts.false_negative
    negatives = counts.true_negative + counts.false_positive
    both = (positives > 0) & (negatives > 0)
    recall = counts.true_positive / np.maximum(positives, 1)
    specificity = counts.true_negative / np.maximum(negatives, 1)
    return np.where(both, (recall + specificity) / 2, np.nan)
