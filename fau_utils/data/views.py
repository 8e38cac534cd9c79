"""Faces as training sees them: a random part of each, half of them mirrored, cut while they are read.

On a CPU the time goes into moving bytes, so a face is moved once: from the map of the file (or the decoder's memory)
straight into its place in the batch, cropped, mirrored and made a float on the way. On another device pixels travel
as uint8 and are cut there. Whole batches are made side by side, one per thread, and served in their order: while one
is trained on, the next ones are read.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.data import augment
from fau_utils.data.images import ImageSet, Memory, as_floats, positions
from fau_utils.data.pool import cpus


class Parts(NamedTuple):
    """What is shown of each face.

    Attributes
    ----------
    corner : Tensor, (B, 2) int64
        Left and top px.
    size : int
    mirrored : Tensor, (B,) bool
        After the part is cut.
    """

    corner: Tensor
    size: int
    mirrored: Tensor


def draw(count: int, *, height: int, width: int, size: int, mirror: bool, generator: torch.Generator) -> Parts:
    """Random parts of `size` px; the generator is on the CPU."""
    if not 0 < size <= min(height, width):
        raise ValueError(f"expected a part of at most {min(height, width)} px, found {size}")
    room = torch.tensor([width - size + 1, height - size + 1])
    corner = (torch.rand(count, 2, generator=generator) * room).long()
    mirrored = torch.rand(count, generator=generator) < 0.5
    return Parts(corner, size, mirrored & mirror)


def views(
    data: ImageSet,
    *,
    batch_size: int,
    size: int | None = None,
    mirror: bool = True,
    views: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    device: torch.device | str = "cpu",
    threads: int | None = None,
) -> Iterator[Batch]:
    """Batches of a set as :func:`fau_utils.data.images.batches` serves them, each face cut at random.

    Parameters
    ----------
    data : ImageSet
        Without `visible` when faces are cut: a grid of patches belongs to the whole picture.
    size : int, optional
        Side of the parts in px, by default the whole picture; see ``view`` of the recipes in
        :mod:`fau_utils.data.crops`.
    mirror : bool
        Mirror half of the faces.
    seed : int
        Decides orders, parts and mirrors.
    threads : int, optional
        That make batches on a CPU; by default one per CPU of this process.
    batch_size, views, shuffle, device
        As there.

    Raises
    ------
    ValueError
        As there, and for parts that do not fit.
    """
    height, width = data.images.shape[-2:]
    size = min(height, width) if size is None else size
    generator = torch.Generator().manual_seed(seed)
    on_cpu = torch.device(device).type == "cpu" and data.device.type == "cpu"
    memory, threads = Memory(), cpus() if threads is None else threads

    def drawn() -> Iterator[tuple[Tensor, Parts]]:
        for indices in positions(data, batch_size=batch_size, views=views, shuffle=shuffle, seed=seed):
            yield (
                indices,
                draw(len(indices), height=height, width=width, size=size, mirror=mirror, generator=generator),
            )

    if not on_cpu:
        for indices, parts in drawn():
            batch = cut(data.raw(indices, device=device), parts)
            yield batch.with_image(as_floats(batch.image))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="fau-views") as pool:
        ahead: deque[Future[Batch]] = deque()
        for indices, parts in drawn():
            ahead.append(pool.submit(_read, data, indices, parts, memory=memory))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def cut(batch: Batch, parts: Parts) -> Batch:
    """The parts of a batch's faces, pixels of any type, on its device."""
    device = batch.image.device
    if parts.size != batch.image.shape[-1] or parts.size != batch.image.shape[-2]:
        batch = augment.crop(batch, parts.corner.to(device, non_blocking=True), size=parts.size)
    return augment.flip(batch, parts.mirrored.to(device, non_blocking=True))


def _read(data: ImageSet, indices: Tensor, parts: Parts, *, memory: Memory) -> Batch:
    known, size, width = data.known(indices), parts.size, data.images.shape[-1]
    if "landmarks" in known:
        known["landmarks"] = augment.flip_landmarks(
            known["landmarks"] - parts.corner[:, None], parts.mirrored, width=size
        )
    if "visible" in known:
        if size != width:
            raise ValueError("cutting faces moves the patches under their grid: serve them whole, then hide patches")
        known["visible"] = augment.flip_patches(known["visible"], parts.mirrored)
    # decoders write the colours of a pixel beside each other; turning that around would cost more than the division
    last = getattr(data.images, "channels_last", False)
    image = memory.empty((len(indices), 3, size, size), channels_last=last)
    faces = _faces(data.images, indices.numpy())
    drawn = zip(image.numpy(), faces, parts.corner.tolist(), parts.mirrored.tolist(), strict=True)
    for target, face, (left, top), mirrored in drawn:
        part = face[:, top : top + size, left : left + size]
        np.copyto(target, mirror_bytes(part) if mirrored else part)
        target /= np.float32(255)  # while it is in the cache
    return Batch(image=image, **known)


def mirror_bytes(part: np.ndarray) -> np.ndarray:
    """A face, (3, H, W) uint8, mirrored; eight pixels at a time where rows allow it, which halves the time."""
    if part.strides[2] != 1 or part.shape[2] % 8:
        return part[..., ::-1]
    return part.view(np.uint64)[..., ::-1].byteswap().view(np.uint8)


def _faces(images: Any, rows: np.ndarray) -> Iterable[np.ndarray]:
    """Each face, (3, H, W) uint8, one after another; not copied where it is in memory or in a map."""
    if hasattr(images, "faces"):
        return images.faces(rows)
    images = images.numpy() if isinstance(images, Tensor) else images
    return (images[row] for row in rows)
