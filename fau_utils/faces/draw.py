"""Rows of a plan as pictures."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from fau_utils.faces.apart import quiet
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.occluders import KINDS
from fau_utils.faces.patches import (
    BANDS,
    apply_patches,
    hidden_patches,
    patch_grid,
    patches_to_pixels,
    pixels_to_patches,
)
from fau_utils.faces.plan import HIDING, Plan, nuisance_of
from fau_utils.faces.population import SynthFaces
from fau_utils.faces.render import FaceRenderer
from fau_utils.faces.rng import mix

CHUNK = 32
"""Faces drawn at once on a CPU: what fits its caches. Fixed, so that a face never depends on the machine's cores."""

CHUNK_GPU = 512

_OCCLUDER = 9701


@dataclass(frozen=True)
class Drawn:
    """N faces and what is true of their pictures.

    Attributes
    ----------
    images : Tensor, (N, 3, R, R) uint8
    landmarks : Tensor, (N, 68, 2) float32
        px, x right and y down, a pixel's centre at integers.
    visible : Tensor, (N, 68) bool
        Landmarks in the picture and hidden by nothing.
    occluded : Tensor, (N, R, R) bool
        Pixels an occluder or a patch mask covers.
    hidden : Tensor, (N, P) bool
        Patches that count as hidden: those of a patch mask, or at least half covered by an occluder. P is 0 for a
        configuration without occlusion.
    """

    images: Tensor
    landmarks: Tensor
    visible: Tensor
    occluded: Tensor
    hidden: Tensor


def renderer_for(config: SynthFaces, *, device: torch.device | str = "cpu") -> FaceRenderer:
    """The renderer a configuration asks for."""
    return FaceRenderer(res=config.res, device=device)


def draw(config: SynthFaces, rows: Plan, *, renderer: FaceRenderer) -> Drawn:
    """Render rows of a plan.

    Parameters
    ----------
    config : SynthFaces
        The configuration the plan was made with.
    rows : Plan
        On the renderer's device.
    renderer : FaceRenderer
        From :func:`renderer_for`.
    """
    identity = sample_identity(rows.person, strength=config.identity_strength)
    nuisance = nuisance_of(config, rows)
    kind = torch.where(rows.hiding < len(KINDS), rows.hiding, 0)
    occluder = (kind, mix(rows.seed, _OCCLUDER)) if config.occlusion is not None else None
    out = renderer(identity, rows.au, nuisance, occluder=occluder, align=config.align)
    images = (out.image * 255).round().clamp(0, 255).to(torch.uint8)
    visible, occluded = out.visible, out.occluded
    if config.occlusion is None:
        return Drawn(images, out.landmarks, visible, occluded, visible.new_zeros(len(rows), 0))
    masked = _patch_mask(config, rows)
    patch_seed = mix(rows.seed, _OCCLUDER + 1)
    images = apply_patches(images, masked, fill=config.occlusion.fill, seed=patch_seed)
    pixels = patches_to_pixels(masked, size=config.res)
    grid = patch_grid(config.res, patch=config.occlusion.patch)
    return Drawn(
        images=images,
        landmarks=out.landmarks,
        visible=visible & ~_at(pixels, out.landmarks),
        occluded=occluded | pixels,
        hidden=masked | pixels_to_patches(occluded, grid=grid),
    )


def au_support(config: SynthFaces, rows: Plan, *, renderer: FaceRenderer) -> Tensor:
    """Where each AU can change the pictures of some rows, (N, 16, R, R) bool.

    With :func:`~fau_utils.faces.patches.hidden_share` it says which AUs a mask hides. It costs about as much as drawing
    the rows a dozen times, so ask for the rows that are looked at.
    """
    identity = sample_identity(rows.person, strength=config.identity_strength)
    return renderer.support(identity, nuisance_of(config, rows), align=config.align)


def _patch_mask(config: SynthFaces, rows: Plan) -> Tensor:
    grid = patch_grid(config.res, patch=config.occlusion.patch)
    masked = torch.zeros(len(rows), grid * grid, dtype=torch.bool, device=rows.seed.device)
    for kind in sorted(set(config.occlusion.kinds) - set(KINDS)):
        mine = (rows.hiding == HIDING.index(kind)).nonzero()[:, 0]
        ratio = None if kind in BANDS else config.occlusion.ratio
        masked[mine] = hidden_patches(kind, mix(rows.seed[mine], _OCCLUDER + 2), grid=grid, ratio=ratio)
    return masked


def _at(mask: Tensor, points: Tensor) -> Tensor:
    """Whether the mask covers points (N, K, 2); False outside the picture."""
    size = mask.shape[-1]
    x, y = points.round().long().unbind(-1)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    place = y.clamp(0, size - 1) * size + x.clamp(0, size - 1)
    return mask.flatten(1).gather(1, place) & inside


def draw_all(
    config: SynthFaces, rows: Plan, *, device: torch.device | str = "cpu", workers: int = 1
) -> Iterator[Drawn]:
    """Render a plan in pieces, in order, on the CPU with several threads.

    Threads, not processes: nothing has to be started or imported again, so this works alike in a script without a
    main guard, in a notebook and under pytest; torch lets go of the interpreter while it computes.

    Parameters
    ----------
    config : SynthFaces
    rows : Plan
    device : torch.device or str
    workers : int
        Threads on a CPU, each with one of torch's own.

    Yields
    ------
    Drawn
        On the CPU, `CHUNK` faces at a time (`CHUNK_GPU` on a GPU); the faces do not depend on `workers`.
    """
    device = torch.device(device)
    size = CHUNK if device.type == "cpu" else CHUNK_GPU
    renderer = renderer_for(config, device=device)
    pieces = [slice(start, start + size) for start in range(0, len(rows), size)]

    def one(piece: slice) -> Drawn:
        out = draw(config, rows[piece].to(device), renderer=renderer)
        return Drawn(**{name: value.cpu() for name, value in vars(out).items()})

    if device.type != "cpu":
        yield from map(one, pieces)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # one worker has a thread of its own, too: the caller's float settings are not ours to change
    pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="faces", initializer=quiet)
    try:
        # a window of pieces, not all of them: finished faces wait in memory for their turn
        waiting = []
        for piece in pieces:
            waiting.append(pool.submit(one, piece))
            if len(waiting) >= 4 * max(workers, 1):
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)
