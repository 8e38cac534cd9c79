"""Stills for a layout: who is on each, what their face does, and the picture."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from fau_utils import aus as vocabulary
from fau_utils.faces.activity import base_rates, sample_intensity, two_sides
from fau_utils.faces.apart import apart
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer
from fau_utils.faces.rng import mix

Draw = Callable[..., np.ndarray]

_STILLS = 7301


def intensities(frames: Sequence[int], *, seed: int) -> np.ndarray:
    """What the faces do, (N, 16) float32 in [0, 5] in the order of ``aus.RENDERED``; a number, a face."""
    seeds = mix(torch.tensor(_STILLS), torch.tensor(seed), torch.as_tensor(np.asarray(frames, "int64")))
    return sample_intensity(seeds, base_rates()).numpy()


def render(person: Sequence[int], frames: Sequence[int], intensity: np.ndarray, *, seed: int, res: int) -> np.ndarray:
    """Rendered faces.

    Parameters
    ----------
    person, frames : sequence of int, N each
        The same person has the same face; a frame number has its pose and light.
    intensity : ndarray, (N, 16)
    seed : int
    res : int
        64, 112 or 224 px.

    Returns
    -------
    ndarray, (N, res, res, 3) uint8 RGB
    """
    return apart(_rendered, person, frames, intensity, seed, res)


def _rendered(person, frames, intensity, seed, res) -> np.ndarray:
    tag, base = torch.tensor(_STILLS), torch.tensor(seed)
    who = mix(tag, base, torch.as_tensor(np.asarray(person, "int64")))
    when = mix(tag + 1, base, torch.as_tensor(np.asarray(frames, "int64")))
    au = two_sides(torch.as_tensor(intensity), when)
    out = FaceRenderer(res=res)(sample_identity(who), au, sample_nuisance(when), align=True)
    return (out.image * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def plain(person: Sequence[int], frames: Sequence[int], intensity: np.ndarray, *, seed: int, res: int) -> np.ndarray:
    """The same as :func:`render` in one colour per frame: for tests of files, where a face would only cost time."""
    colours = [((37 * p + 11 * seed) % 256, (53 * f) % 256, int(16 * i.sum()) % 256)
               for p, f, i in zip(person, frames, intensity, strict=True)]  # fmt: skip
    return np.broadcast_to(np.array(colours, "uint8")[:, None, None], (len(colours), res, res, 3))


def column(intensity: np.ndarray, number: int) -> np.ndarray:
    """One AU's intensities, (N,); zero for an AU that is never rendered."""
    rendered = number in vocabulary.RENDERED
    return intensity[:, vocabulary.RENDERED.index(number)] if rendered else np.zeros(len(intensity), "float32")
