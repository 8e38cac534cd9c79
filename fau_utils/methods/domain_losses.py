"""The losses of domain separation and reconstruction, as pure functions.

What is ADLD's (Shao et al., arXiv 1903.10143) and what is *our reading* of Shang & Yu (arXiv 2310.05207) is said at
each; the numbers of the latter are not public.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fau_utils.methods.contract import share_of_all
from fau_utils.models.landmark_heads import cells


def inverse_rates(rates: Sequence[float]) -> Tensor:
    r"""Weight of each AU, (A,): :math:`w_i = N (1/r_i) / \sum_j (1/r_j)` of its base rate.

    Raises
    ------
    ValueError
        A rate that is not in (0, 1).
    """
    given = torch.as_tensor(rates, dtype=torch.float32)
    if not bool(((given > 0) & (given < 1)).all()):
        raise ValueError(f"expected base rates in (0, 1), found {[round(float(r), 3) for r in given]}")
    return len(given) / given / (1 / given).sum()


def weighted_asymmetric_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The AU loss of the preprint's fourth version in the form of ME-GraphAU; that it is in the fifth is our reading.

    .. math:: -\frac1N\sum_i w_i\,[y_i\log p_i + (1-y_i)\,[p_i]_{sg}\log(1-p_i)]

    An absent AU counts the less the more surely it is absent.

    Parameters
    ----------
    logits, target : Tensor, (B, A)
        ``target`` is 0, 1 or ``nan`` (not coded).
    weight : Tensor, (A,), optional
    """
    coded = ~target.isnan()
    y, logits = torch.where(coded, target, 0.0), logits.float()
    absent = logits.sigmoid().detach() * F.logsigmoid(-logits)
    element = -torch.where(y == 1, F.logsigmoid(logits), absent)
    if weight is not None:
        element = element * weight
    return (element * coded).sum() / share_of_all(coded.sum())


def landmark_target(points: Tensor, *, size: int, grid: int) -> Tensor:
    """A one in the cell of each landmark, (B, K, grid, grid) float32; a map of zeros where it is not known."""
    place = cells(points, size=size, grid=grid)  # (B, K), -100 unknown
    maps = F.one_hot(place.clamp(min=0), grid * grid).float() * (place >= 0)[..., None]
    return maps.unflatten(-1, (grid, grid))


def landmark_discrimination(said: Tensor, target: Tensor) -> Tensor:
    r"""Of D_L: mean of :math:`\|D_L(z) - \mathrm{onehot}(l)\|^2` over cells and landmarks (ADLD)."""
    return F.mse_loss(said.float(), target)


def landmark_confusion(said: Tensor) -> Tensor:
    r"""Of T: mean of :math:`\|D_L(z) - 1/\mathrm{cells}\|^2` (ADLD)."""
    return (said.float() - 1 / (said.shape[-1] * said.shape[-2])).square().mean()


def discrimination(real: Tensor, fake: Tensor) -> Tensor:
    """Of D_s and D_t: least squares with 1 for real and 0 for fake, averaged (LSGAN, Mao et al., 2017)."""
    return ((real.float() - 1).square().mean() + fake.float().square().mean()) / 2


def deception(fake: Tensor) -> Tensor:
    """Of T and G: least squares, to have a fake taken for real."""
    return (fake.float() - 1).square().mean()


def info_nce(
    query: Tensor, key: Tensor, *, temperature: float = 0.5, same: Tensor | None = None, others: Tensor | None = None
) -> Tensor:
    r"""Symmetric InfoNCE over a batch.

    .. math:: -\frac1{2B}\sum_i\Big[\log\frac{e^{q_i k_i/\tau}}{\sum_j e^{q_i k_j/\tau}}
              +\log\frac{e^{q_i k_i/\tau}}{\sum_j e^{q_j k_i/\tau}}\Big]

    The improvements are our readings of "an improved contrastive loss"; with neither it is the plain one.

    Parameters
    ----------
    query, key : Tensor, (B, D)
        Unit vectors; row i of both belong together.
    temperature : float
    same : Tensor, (B, B) bool, optional
        Rows that are no negatives of each other, because their labels are the same.
    others : Tensor, (M, D), optional
        Keys that are the negatives, in place of the other rows of `key` and `query`.
    """
    if others is not None:
        near = (query * key).sum(1, keepdim=True)  # (B, 1)
        return -torch.stack(
            [torch.cat([near, side @ others.T], 1).div(temperature).log_softmax(1)[:, 0] for side in (query, key)]
        ).mean()
    score = query @ key.T / temperature  # (B, B)
    if same is not None:
        own = torch.eye(len(score), dtype=torch.bool, device=score.device)
        score = score.masked_fill(same & ~own, -torch.inf)
    return -(score.log_softmax(1).diagonal() + score.log_softmax(0).diagonal()).mean() / 2


def same_labels(labels: Tensor) -> Tensor:
    """Pairs of faces whose coded AUs agree throughout, (B, B) bool; a face without a coded AU is like no other."""
    coded = ~labels.isnan()
    both = coded[:, None] & coded[None]
    differ = (labels[:, None] != labels[None]) & both  # nan differs from everything, and is masked
    return ~differ.any(2) & both.any(2)


def absolute(maps: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference from maps that stand still: ADLD's reconstructions, version 4's alignment."""
    return (maps - target.detach()).abs().float().mean()
