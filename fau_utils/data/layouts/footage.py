"""Sequences for a layout: one person, one camera, movements over time, and the pictures."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from fau_utils import aus as vocabulary
from fau_utils.faces.activity import PRESENT, base_rates, subject_rates, two_sides
from fau_utils.faces.apart import apart
from fau_utils.faces.dynamics import intensity_over_time, nuisance_at, sample_events
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.landmarks import INDEX_49
from fau_utils.faces.occluders import kind_number
from fau_utils.faces.render import FaceRenderer
from fau_utils.faces.rng import mix

_PEOPLE, _TAKES = 7311, 7312
_SKEW = 1.2  # people differ in how often they move, as in the real sets
_CODE_SIDE = 4  # blocks per side of a numbered picture

INDEX_66: tuple[int, ...] = tuple(i for i in range(68) if i not in (60, 64))
"""The 66 points of DISFA's tracker: all but the inner mouth corners."""


@dataclass(frozen=True)
class Shot:
    """What is filmed.

    Attributes
    ----------
    person, take : int
        The same numbers show the same person, and the same pose and light over time.
    index : ndarray, (T,) int64
        Places in the video from 0.
    intensity : ndarray, (T, 16) float32
        FACS 0 to 5 in the order of ``aus.RENDERED``.
    hidden : ndarray, (T,) bool
        A hand is before the face.
    seed, res : int
    yaw : float
        Of the camera, rad.
    """

    person: int
    take: int
    index: np.ndarray
    intensity: np.ndarray
    hidden: np.ndarray
    seed: int = 0
    res: int = 112
    yaw: float = 0.0

    def from_the(self, side: str) -> "Shot":
        """The same, filmed by one of two cameras."""
        return replace(self, yaw={"left": 0.18, "right": -0.18}[side])


Film = Callable[[Shot], tuple[np.ndarray, np.ndarray]]
"""A shot to its pictures, (T, res, res, 3) uint8 RGB, and landmarks, (T, 68, 2) float32 px."""


def shot(person: int, take: int, *, start: int, length: int, seed: int, res: int) -> Shot:
    """Movements of one sequence. Its first two frames show a face at rest, so that all-negative frames exist.

    Parameters
    ----------
    person, take : int
    start : int
        Place of the first frame in the video, from 0.
    length : int
        Frames.
    seed, res : int
    """
    who, when = _seeds(person, take, seed)
    rates = subject_rates(who, skew=_SKEW, rates=base_rates())
    events = sample_events(when, rates, length=length)
    intensity = intensity_over_time(events, length=length)[0].numpy()
    intensity[:2] = 0
    return Shot(person, take, np.arange(start, start + length), intensity, np.zeros(length, bool), seed=seed, res=res)


@functools.cache
def _renderer(res: int) -> FaceRenderer:
    return FaceRenderer(res=res)


def render(filmed: Shot) -> tuple[np.ndarray, np.ndarray]:
    """Rendered faces, not aligned; `res` is 64, 112 or 224 px."""
    return apart(_rendered, filmed)


def _rendered(filmed: Shot) -> tuple[np.ndarray, np.ndarray]:
    count = len(filmed.index)
    who, when = (seed.expand(count) for seed in _seeds(filmed.person, filmed.take, filmed.seed))
    nuisance = nuisance_at(when, torch.as_tensor(filmed.index), drift=True)
    nuisance = replace(nuisance, pose=nuisance.pose + nuisance.pose.new_tensor([filmed.yaw, 0.0, 0.0]))
    kind = torch.where(torch.as_tensor(filmed.hidden), kind_number("hand"), 0)
    au = two_sides(torch.as_tensor(filmed.intensity)[None], when[:1])[0]
    out = _renderer(filmed.res)(sample_identity(who), au, nuisance, occluder=(kind, when))
    images = (out.image * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return images, out.landmarks.numpy()


def numbered(filmed: Shot) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that say which they are, in black and white blocks that survive compression.

    For tests of files, where a face would cost time and would not tell frame 7 from frame 8; :func:`number_in` reads
    them. Landmarks are all at the point (index, index).
    """
    camera = 0 if filmed.yaw == 0 else 1 if filmed.yaw > 0 else 2
    value = filmed.index + (camera << 12) + ((filmed.person % 4) << 14)
    bits = (value[:, None] >> np.arange(_CODE_SIDE**2)) & 1
    blocks = (bits.reshape(-1, _CODE_SIDE, _CODE_SIDE) * 255).astype("uint8")
    size = filmed.res // _CODE_SIDE
    images = np.zeros((len(value), filmed.res, filmed.res), "uint8")
    side = size * _CODE_SIDE
    images[:, :side, :side] = blocks.repeat(size, 1).repeat(size, 2)
    points = np.broadcast_to(filmed.index[:, None, None].astype("float32"), (len(value), 68, 2))
    return images[..., None].repeat(3, -1), points


def number_in(image: np.ndarray) -> tuple[int, str]:
    """Place in the video and camera (``left``, ``right`` or empty) of a :func:`numbered` picture, (R, R, 3)."""
    size = image.shape[0] // _CODE_SIDE
    blocks = image[: size * _CODE_SIDE, : size * _CODE_SIDE, 1].reshape(_CODE_SIDE, size, _CODE_SIDE, size)
    bits = blocks.mean((1, 3)).reshape(-1) > 127
    value = int((bits << np.arange(_CODE_SIDE**2)).sum())
    return value & 0xFFF, ("", "left", "right")[(value >> 12) & 3]


def column(intensity: np.ndarray, number: int) -> np.ndarray:
    """One AU's whole FACS intensities, (T,) int64; 0 for an AU that is never rendered."""
    if number not in vocabulary.RENDERED:
        return np.zeros(len(intensity), "int64")
    return np.floor(intensity[:, vocabulary.RENDERED.index(number)] + 0.5).astype("int64")


def present(intensity: np.ndarray, number: int) -> np.ndarray:
    """Whether an AU is present, (T,) int64: from slight on, which is intensity 2."""
    return (column(intensity, number) >= np.ceil(PRESENT)).astype("int64")


def landmarks_49(points: np.ndarray) -> np.ndarray:
    """The 49 points without the face outline, counted from 1 as MATLAB does, (T, 49, 2)."""
    return points[:, list(INDEX_49)] + 1


def landmarks_66(points: np.ndarray) -> np.ndarray:
    """DISFA's 66 points, counted from 1 as MATLAB does, (T, 66, 2)."""
    return points[:, list(INDEX_66)] + 1


def chosen(wanted: int | str | Sequence[str], *, known: Sequence[str], what: str) -> tuple[str, ...]:
    """Names of subjects or tasks: the first few, or those asked for.

    Raises
    ------
    ValueError
        A name that the dataset does not have, or none at all.
    """
    if isinstance(wanted, str):
        wanted = (wanted,)
    names = tuple(known[:wanted]) if isinstance(wanted, int) else tuple(wanted)
    unknown = [name for name in names if name not in known]
    if unknown or not names or (isinstance(wanted, int) and wanted > len(known)):
        raise ValueError(
            f"expected 1 to {len(known)} {what} such as {known[0]} and {known[-1]}, found {unknown or wanted}"
        )
    return names


def _seeds(person: int, take: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    base = torch.tensor([seed])
    who = mix(torch.tensor([_PEOPLE]), base, torch.tensor([person]))
    return who, mix(torch.tensor([_TAKES]), who, torch.tensor([take]))
