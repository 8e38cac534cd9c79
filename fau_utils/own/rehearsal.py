"""Rendered pictures and a rendered video, to try everything on before a recorded face is looked at."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fau_utils.data import rendered, video
from fau_utils.faces.activity import base_rates, sample_intensity, two_sides
from fau_utils.faces.dynamics import intensity_over_time, nuisance_at, sample_events
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.nuisance import Nuisance, sample_nuisance
from fau_utils.faces.occluders import kind_number
from fau_utils.faces.render import FaceRenderer
from fau_utils.faces.rng import mix

_WHO, _WHEN, _FAR = 7401, 7402, 0.9  # rad: a head that looks away
KINDS = ("plain", "plain", "plain", "mask", "hand", "sunglasses", "turned", "small", "nobody")


def write(folder: str | os.PathLike, *, pictures: int = 18, frames: int = 60, seed: int = 0, res: int = 224) -> Path:
    """Pictures of single people and a video of two, in a folder that says that they are rendered.

    Every picture's name says what is the matter with it, see :data:`KINDS`: a third are plain, others are covered,
    turned away, far away, or empty.

    Parameters
    ----------
    folder : path
        Made when missing.
    pictures, frames : int
        How many stills, and how long a video (0 for none).
    seed, res : int
        Other people; side of a face's tile in px.
    """
    folder = Path(folder)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rendered.mark(folder)
    for k in range(pictures):
        Image.fromarray(still(KINDS[k % len(KINDS)], k, seed=seed, res=res)).save(
            folder / "pictures" / f"{k:03d}_{KINDS[k % len(KINDS)]}.jpg", quality=92
        )
    if frames:
        video.write(folder / "two_people.mp4", two_people(frames, seed=seed, res=res), codec="mpeg4")
    return folder


def still(kind: str, number: int, *, seed: int = 0, res: int = 224) -> np.ndarray:
    """A picture (H, W, 3) uint8 of a person with some movement, and with what its kind says."""
    who, when = (mix(torch.tensor([tag]), torch.tensor([seed]), torch.tensor([number])) for tag in (_WHO, _WHEN))
    if kind == "nobody":
        return np.full((res, res, 3), 110, "uint8")
    nuisance = _from_afar(sample_nuisance(when))
    if kind == "turned":
        nuisance = replace(nuisance, pose=torch.tensor([[_FAR, 0.0, 0.0]]))
    occluder = (torch.tensor([kind_number(kind)]), when) if kind in ("mask", "hand", "sunglasses") else None
    face = _pixels(FaceRenderer(res=res)(
        sample_identity(who), two_sides(sample_intensity(when, base_rates()), when), nuisance, occluder=occluder
    ).image)[0]  # fmt: skip
    if kind == "small":
        face = np.asarray(Image.fromarray(face).resize((res // 7, res // 7), Image.Resampling.BOX))
        side = (res - len(face)) // 2
        large = np.broadcast_to(face[0, 0], (res, res, 3)).copy()
        large[side : side + len(face), side : side + len(face)] = face
        return large
    return face


def two_people(frames: int, *, seed: int = 0, res: int = 224, chunk: int = 25):
    """A video of two heads side by side, a frame at a time; the left one leaves for a while in the middle."""
    who = mix(torch.tensor([_WHO]), torch.tensor([seed]), torch.tensor([1000, 1001]))
    renderer, events = FaceRenderer(res=res), sample_events(who, base_rates(), length=frames)
    movement = intensity_over_time(events, length=frames)  # (2, T, 16)
    for start in range(0, frames, chunk):
        index = torch.arange(start, min(start + chunk, frames))
        sides = []
        for k in range(2):
            times = len(index)
            nuisance = _from_afar(nuisance_at(who[k].expand(times), index, drift=True))
            au = two_sides(movement[k, index][None], who[k : k + 1])[0]
            sides.append(_pixels(renderer(sample_identity(who[k].expand(times)), au, nuisance).image))
        for t, left, right in zip(index.tolist(), *sides, strict=True):
            if frames * 0.5 <= t < frames * 0.6:
                left = np.broadcast_to(left[:1, :1], left.shape)
            yield np.concatenate([left, right], 1)


def _from_afar(nuisance: Nuisance) -> Nuisance:
    """With room around the head, as a camera on a table has it."""
    return replace(nuisance, zoom=nuisance.zoom * 0.8)


def _pixels(image: torch.Tensor) -> np.ndarray:
    return (image * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
