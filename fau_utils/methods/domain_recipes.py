"""Recipes for two real domains: ADLD's numbers, because those of arXiv 2310.05207 are not public.

References
----------
Shao et al., arXiv 1903.10143: 16 faces of each domain in a batch, Adam at 1e-4 (half of it for what generates and
judges), ten epochs over the source, layers of 64 channels at 176 px. Their rate is constant for five epochs and then
falls linearly; here it falls along the engine's cosine. Their random crops of 176 px from 200 are not made.
"""

from fau_utils.methods.recipes import Recipe

_NUMBERS = {"batch_size": 48, "lr": 1e-4, "weight_decay": 0.0, "clip": 0.0}  # threes: 16 faces of each role
_SOURCE = "arXiv 1903.10143; crops and the end of the schedule are ours"
_BEGIN = 300_000
"""Views after which the two rounds are aligned, about an epoch over ADLD's part of BP4D. Our reading."""


def _recipe(name: str, **options: object) -> Recipe:
    return Recipe(name, 10, 0.0, {"networks": "adld", **options}, _NUMBERS, source=_SOURCE)


RECIPES: dict[str, Recipe] = {
    "dsr": _recipe("dsr", alignment="contrast", align_after=_BEGIN),
    "dsr-v4": _recipe("dsr-v4", alignment="pixels", align_after=_BEGIN),
}
"""By name, for ``fau train domain-separation --data bp4d-disfa --set recipe=dsr``: our readings of version 5 and of
version 4."""

BASELINES: dict[str, Recipe] = {"adld": _recipe("adld")}
"""For what domain separation has to beat: the same size and numbers."""
