"""Rendered faces as WebDataset shards: pretraining rehearsed at full size before millions of real faces are there."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from fau_utils.data.decode import encode
from fau_utils.data.rendered import mark
from fau_utils.data.stored import write_shard
from fau_utils.faces import rng
from fau_utils.faces.activity import base_rates, sample_intensity, two_sides
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer
from fau_utils.progress import progress

_AT_ONCE = 32  # faces that are rendered together
_PERSON, _FRAME = 0x50_65_72_73, 0x46_72_61_6D
"""Say what the random numbers are for."""


def write_shards(
    out: str | os.PathLike,
    *,
    faces: int,
    res: int = 224,
    seed: int = 0,
    per_shard: int = 1000,
    people: int | None = None,
    quality: int = 90,
) -> list[Path]:
    """Write ``faces-000000.tar`` and on; the same bytes for the same arguments.

    Parameters
    ----------
    out : path-like
        A new or empty folder.
    faces : int
        Number in all; the last shard may hold fewer.
    res : int
        Side of the pictures in px: 64, 112 or 224.
    seed : int
        Another seed, other people.
    per_shard : int
    people : int, optional
        Number of people; by default every face is somebody else's.
    quality : int
        Of JPEG.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        A number that is not positive, or a folder with something in it.
    """
    out = Path(out)
    if min(faces, per_shard, people or 1) < 1:
        raise ValueError(f"expected positive numbers, found {faces} faces, {per_shard} per shard and {people} people")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: expected a new or empty folder; give another one, or empty it")
    out.mkdir(parents=True, exist_ok=True)
    renderer, written = FaceRenderer(res=res), []
    with progress(what="rendering", total=faces, unit="face") as bar, torch.no_grad():
        for number, first in enumerate(range(0, faces, per_shard)):
            drawn = _drawn(renderer, range(first, min(first + per_shard, faces)), seed=seed, people=people or faces)
            samples = ((f"{k:09d}", encode(face, quality=quality), {"person": person}) for k, person, face in drawn)
            path = out / f"faces-{number:06d}.tar"
            write_shard(path, samples, scratch=out)
            written.append(path)
            bar.update(min(per_shard, faces - first))
    mark(out)
    return written


def _drawn(renderer: FaceRenderer, numbers: range, *, seed: int, people: int) -> Iterator[tuple[int, int, object]]:
    for first in range(0, len(numbers), _AT_ONCE):
        number = torch.tensor(numbers[first : first + _AT_ONCE])
        person = number % people
        frame = rng.mix(seed, number, _FRAME)
        au = two_sides(sample_intensity(frame, base_rates()), frame)
        made = renderer(sample_identity(rng.mix(seed, person, _PERSON)), au, sample_nuisance(frame), align=True)
        pixels = (made.image * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (n, H, W, 3)
        yield from zip(number.tolist(), person.tolist(), pixels, strict=True)
