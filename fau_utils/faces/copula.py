"""Which AUs move together: a Gaussian copula made of named groups.

Every AU k has a standard normal latent

    z_k = sum over groups g of sqrt(strength_g) f_g  +  sqrt(1 - sum of its strengths) e_k ,

where f_g is shared by the group and e_k is the AU's own. Its marginal never depends on the groups; two AUs of a group
correlate with the group's strength, and an AU in no group is independent of everything: the negative control of the
occlusion experiments, for no method can know it from the rest of the face.

References
----------
Nelsen, R. B. (2006). An Introduction to Copulas, 2nd ed., section 2.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces.rng import normal

_SHARED, _OWN = 9201, 9202


@dataclass(frozen=True)
class Group:
    """AUs that tend to occur together.

    Attributes
    ----------
    name : str
        For tables and errors.
    aus : tuple of int
        FACS numbers, at least two, all rendered.
    strength : float
        Correlation of the latents of any two of them, in [0, 1]. An AU may be in several groups when their strengths
        sum to at most 1; correlations then add.
    """

    name: str
    aus: tuple[int, ...]
    strength: float

    def __post_init__(self) -> None:
        unknown = [au for au in self.aus if au not in RENDERED]
        if unknown:
            raise ValueError(f"group {self.name!r}: AUs {unknown} are not rendered; choose from {list(RENDERED)}")
        if len(self.aus) < 2 or len(set(self.aus)) != len(self.aus):
            raise ValueError(f"group {self.name!r}: expected at least two different AUs, found {self.aus}")
        if not 0 <= self.strength <= 1:
            raise ValueError(f"group {self.name!r}: expected a strength in [0, 1], found {self.strength}")


GROUPS: tuple[Group, ...] = (
    Group("brows and jaw", (1, 2, 5, 25, 26), 0.65),
    Group("cheeks and lip corners", (6, 7, 10, 12), 0.65),
    Group("nose and upper lip", (9, 10), 0.30),
    Group("lips and chin", (15, 17, 23, 24), 0.55),
)
"""Default groups. The first two span the upper and the lower face; AU4 and AU14 are in none."""

INDEPENDENT: int = 4
"""The default negative control: a clearly visible AU that the default groups leave independent of all others."""


def loadings(groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    """Factor loadings of the copula.

    Returns
    -------
    shared : Tensor, (G, 16) float32
        sqrt(strength) where the group holds the AU (columns as ``RENDERED``).
    own : Tensor, (16,) float32
        Loading of each AU's own factor.

    Raises
    ------
    ValueError
        Names the AU whose strengths sum to more than 1: no such correlation matrix exists in this form.
    """
    shared = torch.zeros(len(groups), len(RENDERED), dtype=torch.float64)
    for row, group in zip(shared, groups, strict=True):
        row[[RENDERED.index(au) for au in group.aus]] = group.strength
    total = shared.sum(0)
    for au, sum_ in zip(RENDERED, total.tolist(), strict=True):
        if sum_ > 1 + 1e-9:
            names = [group.name for group in groups if au in group.aus]
            raise ValueError(
                f"AU{au} is in groups {names} whose strengths sum to {sum_:.2f}; they may sum to at most 1"
            )
    return shared.sqrt().float(), (1 - total).clamp(min=0).sqrt().float()


def correlation(groups: Sequence[Group]) -> Tensor:
    """Correlation matrix of the latents, (16, 16) float32 in the order of ``RENDERED``."""
    shared, own = loadings(groups)
    return shared.T @ shared + torch.diag(own**2)


def sample_latent(seed: Tensor, *, groups: Sequence[Group] = GROUPS) -> Tensor:
    """Correlated standard normals, one row per seed.

    Parameters
    ----------
    seed : Tensor, (B,) int64
        One per frame (or per event of a clip).
    groups : sequence of Group

    Returns
    -------
    Tensor, (B, 16) float32
    """
    shared, own = (table.to(seed.device) for table in loadings(groups))
    latent = normal(seed, _OWN, len(RENDERED)) * own
    if len(groups):
        factors = normal(seed, _SHARED, len(groups))
        # one product per group and a fixed order of sums: a matrix product may round differently with the batch size
        for g in range(len(groups)):
            latent = latent + factors[:, g : g + 1] * shared[g]
    return latent
