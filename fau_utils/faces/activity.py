"""How often and how strongly each AU moves: base rates, each person's own rates, FACS intensities, left and right.

Two facts of real AU data are built in: an AU is absent in most frames, and people differ in how often they show it
(the *base-rate skew*, by which a model can score well by recognising who it sees).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces.copula import GROUPS, Group, sample_latent
from fau_utils.faces.rng import normal, uniform

_SKEW, _SIDE = 9301, 9302

PRESENT = 1.5
"""FACS intensity from which an AU counts in the base rates: between A (trace) and B (slight)."""

TRACE = 0.4
"""For each frame with an AU at or above `PRESENT`, this many frames show it below."""

BASE_RATES: dict[int, float] = {
    1: 0.28, 2: 0.25, 4: 0.30, 5: 0.22, 6: 0.40, 7: 0.42, 9: 0.20, 10: 0.42,
    12: 0.45, 14: 0.35, 15: 0.25, 17: 0.35, 23: 0.25, 24: 0.25, 25: 0.38, 26: 0.26,
}  # fmt: skip
"""Share of frames in which an AU is at least `PRESENT`, over people; in the range of BP4D's."""


def base_rates(changes: Mapping[int, float] | Sequence[tuple[int, float]] = ()) -> Tensor:
    """Base rates in the order of ``RENDERED``, with some replaced, (16,) float32.

    Raises
    ------
    ValueError
        For an AU that is not rendered or a rate outside (0, 1).
    """
    rates = BASE_RATES | dict(changes)
    unknown = set(rates) - set(RENDERED)
    if unknown:
        raise ValueError(f"base rate for AUs {sorted(unknown)}, which are not rendered; choose from {list(RENDERED)}")
    for au, rate in rates.items():
        if not 0 < rate < 1:
            raise ValueError(f"expected a base rate in (0, 1) for AU{au}, found {rate}")
    return torch.tensor([rates[au] for au in RENDERED], dtype=torch.float32)


def subject_rates(id_seed: Tensor, *, skew: float = 0.0, rates: Tensor | None = None) -> Tensor:
    """Each person's own base rates.

    In probit units the rate of a person is the population's, plus `skew` times a normal that belongs to the person and
    the AU. The population's term is stretched by sqrt(1 + skew²), which keeps the *mean* rate over people at its value
    for every skew: scores at different skews then compare at equal prevalence.

    Parameters
    ----------
    id_seed : Tensor, (B,) int64
    skew : float
        sigma >= 0: 0 everyone alike, 1.2 as in real data (standard deviation of the rates about .3), 2.5 a caricature.
    rates : Tensor, (16,), optional
        Population rates, :func:`base_rates` by default.

    Returns
    -------
    Tensor, (B, 16) float32 in (0, 1)
    """
    if not skew >= 0:
        raise ValueError(f"expected a base-rate skew >= 0 in probit units, found {skew}")
    rates = (base_rates() if rates is None else rates).to(id_seed.device)
    if skew == 0:
        return rates.expand(len(id_seed), -1)
    own = normal(id_seed, _SKEW, len(RENDERED))
    probit = torch.special.ndtri(rates)
    return torch.special.ndtr(probit * math.sqrt(1 + skew * skew) + skew * own).clamp(1e-6, 1 - 1e-6)


def intensity_of(latent: Tensor, rate: Tensor) -> Tensor:
    """FACS intensity from a latent: the quantile function of an AU that is absent most of the time.

    With the upper tail probability q of the latent, the AU is at or above `PRESENT` for q <= rate (from 1.5 at q = rate
    to 5 at q = 0, mean about 3), a trace for the next ``TRACE * rate``, and absent otherwise. The strength *when
    present* has one distribution for every AU and person; only how often differs.

    Parameters
    ----------
    latent : Tensor, (..., 16) float32
        Standard normal.
    rate : Tensor, broadcast to it
        Probability that the AU is at least `PRESENT`.

    Returns
    -------
    Tensor, (..., 16) float32 in [0, 5]
    """
    place = torch.special.ndtr(-latent) / rate.clamp(min=1e-6)  # 0 strongest, 1 at the threshold
    strong = PRESENT + (5 - PRESENT) * (1 - place).clamp(min=0) ** 1.3
    trace = PRESENT * (1 - (place - 1) / TRACE).clamp(min=0)
    return torch.where(place <= 1, strong, trace)


def sample_intensity(frame_seed: Tensor, rate: Tensor, *, groups: Sequence[Group] = GROUPS) -> Tensor:
    """Intensities of single frames, (B, 16) float32 in [0, 5]; `rate` is (B, 16) or (16,)."""
    return intensity_of(sample_latent(frame_seed, groups=groups), rate.to(frame_seed.device))


def two_sides(intensity: Tensor, seed: Tensor, *, spread: float = 0.12) -> Tensor:
    """Left and right intensities of a frame whose stronger side has the given intensity.

    FACS scores the stronger side, so the label never changes; the weaker side is ``spread * |n|`` less, n normal.

    Parameters
    ----------
    intensity : Tensor, (B, ..., 16)
    seed : Tensor, (B,) int64
        One per frame or per clip: the axes between share it.
    spread : float
        0 for symmetric faces.

    Returns
    -------
    Tensor, (B, ..., 16, 2) float32
        Last axis 0 the subject's left (image x > 0), 1 the right.
    """
    loss = (spread * normal(seed, _SIDE, len(RENDERED)).abs()).clamp(max=0.6)
    left_is_weaker = uniform(seed, _SIDE + 1, len(RENDERED)) < 0.5
    gain = torch.stack([1 - loss * left_is_weaker, 1 - loss * ~left_is_weaker], dim=-1)  # (B, 16, 2)
    shape = (len(seed), *[1] * (intensity.ndim - 2), len(RENDERED), 2)
    return intensity[..., None] * gain.view(shape)
