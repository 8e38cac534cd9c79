"""Area under the ROC curve of each AU: the share of (positive, negative) pairs in the right order, ties half.

All AUs at once, by ranks (Mann & Whitney, 1947), so no threshold grid and no approximation.
"""

import numpy as np
import torch
from torch import Tensor, nn

from fau_utils.metrics.inputs import Array, checked, to_numpy

_CELLS = 20_000_000
"""Largest intermediate table, in numbers of 8 bytes."""


def auc_per_au(prob: Array, label: Array) -> np.ndarray:
    """AUC of each AU, (A,) float64; ``nan`` where all coded labels are equal.

    Parameters
    ----------
    prob : (N, A)
        Scores; only their order matters.
    label : (N, A) in {0, 1, nan}
    """
    prob, positive, coded = checked(prob, label)
    # what is not coded sorts behind everything and so changes no rank
    scores = torch.where(coded, prob, torch.inf).T.contiguous()
    ordered = scores.sort(dim=1).values
    below = torch.searchsorted(ordered, scores).T
    upto = torch.searchsorted(ordered, scores, right=True).T
    rank = (below + upto + 1).to(torch.float64) / 2  # mean rank of a group of ties, from 1
    positives = positive.sum(0).to(torch.float64)
    negatives = coded.sum(0) - positives
    won = (rank * positive).sum(0) - positives * (positives + 1) / 2
    pairs = positives * negatives
    return to_numpy(torch.where(pairs > 0, won / pairs.clamp(min=1), torch.nan))


def resampled_auc(prob: Array, label: Array, *, subject: Tensor, weights: Tensor) -> Tensor:
    """AUC of weighted sets of people, exactly.

    With U[s, t] the pairs won by positives of person s over negatives of person t, a set of people with
    weights w has AUC = w'Uw / (w'p)(w'n): one pass over the frames serves every set.

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
    prob, positive, coded = checked(prob, label)
    subject, weights = subject.to(prob.device), weights.to(prob)
    columns = []
    for au in range(prob.shape[1]):
        rows = coded[:, au]
        columns.append(_resampled_column(prob[rows, au], positive[rows, au], subject[rows], weights))
    return torch.stack(columns, dim=1)


def _resampled_column(score: Tensor, positive: Tensor, subject: Tensor, weights: Tensor) -> Tensor:
    if not len(score):
        return weights.new_full((len(weights),), torch.nan)
    people = weights.shape[1]
    positives = torch.bincount(subject[positive], minlength=people).to(weights)
    negatives = torch.bincount(subject[~positive], minlength=people).to(weights)
    pairs = (weights @ positives) * (weights @ negatives)
    # people are many (a photo collection): weigh the frames of each set; else weigh the pairs of people
    by_frames = people > len(weights) or people * len(score) > 4 * _CELLS
    won = _won_by_frames if by_frames else _won_by_people
    return torch.where(pairs > 0, won(score, positive, subject, weights) / pairs.clamp(min=1), torch.nan)


def _places(ordered: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """How many of `ordered` lie below each score, and how many below or at it: their mean counts ties half."""
    return torch.searchsorted(ordered, score), torch.searchsorted(ordered, score, right=True)


def _won_by_people(score: Tensor, positive: Tensor, subject: Tensor, weights: Tensor) -> Tensor:
    people = weights.shape[1]
    ordered, order = score[~positive].sort()
    whose = subject[~positive][order]
    steps = len(ordered) + 1
    # U[s, t] = sum over places of (positives of s there) * (negatives of t below it): one matrix product
    there = sum(
        torch.bincount(subject[positive] * steps + place, minlength=people * steps)
        for place in _places(ordered, score[positive])
    )
    there = there.view(people, steps).to(weights) / 2
    won = weights.new_zeros(len(weights))
    block = max(1, _CELLS // steps)
    for start in range(0, people, block):
        them = torch.arange(start, min(start + block, people), device=score.device)
        below = weights.new_zeros(len(them), steps)
        below[:, 1:] = (whose == them[:, None]).to(weights).cumsum(1)
        won += ((weights @ (there @ below.T)) * weights[:, them]).sum(1)
    return won


def _won_by_frames(score: Tensor, positive: Tensor, subject: Tensor, weights: Tensor) -> Tensor:
    ordered, order = score[~positive].sort()
    low, high = _places(ordered, score[positive])
    won = []
    for some in weights.split(max(1, _CELLS // len(score))):
        weight = some[:, subject]  # (r, N)
        below = nn.functional.pad(weight[:, ~positive][:, order].cumsum(1), (1, 0))
        won.append((weight[:, positive] * (below[:, low] + below[:, high]) / 2).sum(1))
    return torch.cat(won)
