"""Area under the ROC curve of each AU: the share of (positive, negative) pairs in the right order, ties half.

All AUs at once, by ranks (Mann & Whitney, 1947), so no threshold grid and no approximation.
"""

import numpy as np
import torch
from torch import Tensor, nn

from fau_utils.metrics.inputs import Array, checked, to_numpy

_CELLS = 20_000_000
"""Largest intermediate table, in numbers of 8 bytes."""

_BLOCK = 16
"""Frames in a block, when pairs of people are counted; see :func:`_pairs_in_order`."""


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
    ordered, order = _sorted(torch.where(coded, prob, torch.inf).T.contiguous())
    first, last = _ties(ordered)
    rank = (first + last + 2).to(torch.float64) / 2  # from 1; equal scores share the mean of their ranks
    positives = positive.sum(0).to(torch.float64)
    negatives = coded.sum(0) - positives
    won = (rank * positive.T.gather(1, order)).sum(1) - positives * (positives + 1) / 2
    pairs = positives * negatives
    return to_numpy(torch.where(pairs > 0, won / pairs.clamp(min=1), torch.nan))


def _sorted(score: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in ascending order, and where each element came from; equal scores in any order."""
    if score.device.type != "cpu":
        return tuple(score.sort(dim=-1))
    order = torch.from_numpy(np.argsort(score.numpy(), axis=-1))  # a third of the time of torch's
    return score.gather(-1, order), order


def _ties(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """First and last place of the scores that equal each score, in sorted rows."""
    place = torch.arange(ordered.shape[-1], device=ordered.device)
    changes = ordered[..., 1:] != ordered[..., :-1]
    first = torch.where(nn.functional.pad(changes, (1, 0), value=True), place, 0)
    last = torch.where(nn.functional.pad(changes, (0, 1), value=True), place, ordered.shape[-1])
    return first.cummax(-1).values, last.flip(-1).cummin(-1).values.flip(-1)


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


def _won_by_people(score: Tensor, positive: Tensor, subject: Tensor, weights: Tensor) -> Tensor:
    people = weights.shape[1]
    ordered, order = _sorted(score)
    pairs = _pairs_in_order(positive[order], subject[order], people)
    if bool((ordered[1:] == ordered[:-1]).any()):
        # of two tied frames one stands behind the other, and not behind it in the mirrored group: ties count half
        first, last = _ties(ordered)
        order = order[first + last - torch.arange(len(order), device=order.device)]
        pairs = (pairs + _pairs_in_order(positive[order], subject[order], people)) / 2
    return ((weights @ pairs.to(weights)) * weights).sum(1)


def _pairs_in_order(positive: Tensor, subject: Tensor, people: int) -> Tensor:
    """U[s, t], (people, people): pairs of a positive of s that stands behind a negative of t.

    The frames are cut in blocks. Pairs across blocks follow from each person's counts per block, by one matrix
    product; pairs inside a block are compared one by one.
    """
    count = len(subject)
    size = max(_BLOCK, -(-4 * count * people // _CELLS))
    blocks = -(-count // size)
    kinds = 2 * people + 1  # a person's negative or positive; the last is nobody, who fills the last block
    kind = nn.functional.pad(2 * subject + positive, (0, blocks * size - count), value=2 * people).view(blocks, size)
    block = torch.arange(blocks, device=kind.device)[:, None]
    there = torch.bincount((kind * blocks + block).view(-1), minlength=kinds * blocks)[: 2 * people * blocks]
    negatives, positives = there.view(people, 2, blocks).to(torch.float64).unbind(1)
    across = positives @ (negatives.cumsum(1) - negatives).T
    inside = torch.zeros(kinds**2, dtype=torch.int64, device=kind.device)
    for step in range(1, size):
        pair = kind[:, step:] * kinds + kind[:, :-step]
        inside += torch.bincount(pair.view(-1), minlength=kinds**2)
    return across + inside.view(kinds, kinds)[1:-1:2, 0:-1:2]


def _won_by_frames(score: Tensor, positive: Tensor, subject: Tensor, weights: Tensor) -> Tensor:
    ordered, order = score[~positive].sort()
    low = torch.searchsorted(ordered, score[positive])
    high = torch.searchsorted(ordered, score[positive], right=True)  # with `low`: ties count half
    won = []
    for some in weights.split(max(1, _CELLS // len(score))):
        weight = some[:, subject]  # (r, N)
        below = nn.functional.pad(weight[:, ~positive][:, order].cumsum(1), (1, 0))
        won.append((weight[:, positive] * (below[:, low] + below[:, high]) / 2).sum(1))
    return torch.cat(won)
