"""Faces in memory: uint8 images beside everything known of them, served as batches.

Images stay uint8, resident or memory-mapped, until they reach the device, where they become floats: a quarter
of the bytes to hold and to move.
"""

import math
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fau_utils import aus as vocabulary
from fau_utils.batch import Batch
from fau_utils.data.source import share
from fau_utils.frames import Frames

_PER_FRAME = ("images", "labels", "subject", "clip", "frame", "intensity", "landmarks", "visible", "domain")


@dataclass(frozen=True)
class ImageSet:
    """Faces of equal size with their table. Build one with :meth:`from_frames`.

    Attributes
    ----------
    images : Tensor or ndarray (a memory map), (N, 3, H, W) uint8
        Or one of :mod:`fau_utils.data.loaders`, which read from the disk what is asked for.
    frames : Frames, N rows
        Whose faces they are and where they come from.
    aus : tuple of int
        AU number of each label column.
    labels : Tensor, (N, A) float32 in {0, 1, nan}
    subject : Tensor, (N,) int64
        Position in `subjects`; -1 for somebody who is not on that list.
    subjects : tuple of str
        People the indices refer to. A subset keeps the whole list, so that indices keep their meaning.
    clip, frame : Tensor, (N,) int64
        Clip in the set it was built as, and frame number in the clip.
    intensity : Tensor, (N, A) float32 in [0, 5] or nan, optional
    landmarks : Tensor, (N, 49, 2) float32 in pixels, x to the right and y down, optional
    visible : Tensor, (N, P) bool, optional
        Per patch, row-major: False where an occluder hides it.
    domain : Tensor, (N,) int64, optional
        0 source, 1 target.

    Raises
    ------
    ValueError
        A field whose length or shape does not fit; it is named.
    """

    images: Tensor | np.ndarray
    frames: Frames
    aus: tuple[int, ...]
    labels: Tensor
    subject: Tensor
    subjects: tuple[str, ...]
    clip: Tensor
    frame: Tensor
    intensity: Tensor | None = None
    landmarks: Tensor | None = None
    visible: Tensor | None = None
    domain: Tensor | None = None

    def __post_init__(self) -> None:
        shape, kind = tuple(self.images.shape), str(self.images.dtype).removeprefix("torch.")
        if len(shape) != 4 or shape[1] != 3 or kind != "uint8":
            raise ValueError(f"expected images of shape (N, 3, H, W) and type uint8, found {shape} and {kind}")
        count, width = shape[0], len(vocabulary.known(self.aus))
        if len(self.frames) != count:
            raise ValueError(f"expected one row of frames per image, found {len(self.frames)} rows and {count} images")
        expected = {
            "labels": (count, width),
            "intensity": (count, width),
            "landmarks": (count, 49, 2),
            **dict.fromkeys(("subject", "clip", "frame", "domain"), (count,)),
        }
        for name, value in self._per_frame():
            if name in expected and tuple(value.shape) != expected[name]:
                raise ValueError(f"expected {name} of shape {expected[name]}, found {tuple(value.shape)}")
            if len(value) != count:
                raise ValueError(f"expected {count} rows of {name}, found {len(value)}")

    @classmethod
    def from_frames(
        cls,
        images: Tensor | np.ndarray,
        *,
        frames: Frames,
        aus: Sequence[int] | None = None,
        cut: float | None = None,
        subjects: Sequence[str] | None = None,
        intensity: Any = None,
        landmarks: Any = None,
        visible: Any = None,
        domain: Any = None,
    ) -> "ImageSet":
        """An image set whose labels and indices are read off its table.

        Parameters
        ----------
        images : (N, 3, H, W) uint8
            Row i is the face of row i of `frames`.
        frames : Frames
        aus : sequence of int, optional
            Columns of the labels; by default all AUs of the table, in increasing number.
        cut : float, optional
            For an intensity table, see :meth:`Frames.labels`; its intensities are then kept as well.
        subjects : sequence of str, optional
            List that subject indices refer to; by default the table's people, sorted.
        intensity, landmarks, visible, domain : array-like, optional
            As the attributes of the same name.
        """
        aus = frames.aus if aus is None else tuple(aus)
        subjects = frames.subjects if subjects is None else tuple(subjects)
        if intensity is None and frames.scale == "intensity":
            intensity = frames.intensity(aus)
        return cls(
            images=images,
            frames=frames,
            aus=aus,
            labels=torch.from_numpy(frames.labels(aus, cut=cut)),
            subject=torch.from_numpy(frames.subject_index(subjects)),
            subjects=subjects,
            clip=torch.tensor(frames.clip_index()),
            frame=torch.tensor(frames.table["frame"].to_numpy("int64")),
            intensity=_optional(intensity, torch.float32),
            landmarks=_optional(landmarks, torch.float32),
            visible=_optional(visible, torch.bool),
            domain=_optional(domain, torch.int64),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        high, wide = self.images.shape[-2:]
        return (
            f"ImageSet({len(self)} faces of {high} x {wide} px, {len(self.frames.subjects)} subjects, AUs {self.aus})"
        )

    def _per_frame(self) -> Iterator[tuple[str, Tensor | np.ndarray]]:
        for name in _PER_FRAME:
            value = getattr(self, name)
            if value is not None:
                yield name, value

    @property
    def device(self) -> torch.device:
        """Where the labels are, and the images unless they are memory-mapped."""
        return self.labels.device

    def subset(self, rows: Tensor | np.ndarray | Sequence[int] | Sequence[bool]) -> "ImageSet":
        """Some of the faces, by a mask or by positions; the order of `subjects` stays."""
        rows = torch.as_tensor(np.array(rows) if isinstance(rows, np.ndarray) else rows)  # pandas' may be read-only
        if rows.dtype == torch.bool:
            if len(rows) != len(self):
                raise ValueError(f"expected a mask of {len(self)} faces, found {len(rows)}")
            rows = rows.nonzero().squeeze(1)
        rows = rows.long().cpu()
        picked = {name: _picked(value, rows) for name, value in self._per_frame()}
        return replace(self, frames=self.frames.select(rows.numpy()), **picked)

    def with_subjects(self, subjects: Sequence[str]) -> "ImageSet":
        """The same faces with subject indices that refer to another list; -1 for somebody who is not on it."""
        index = torch.from_numpy(self.frames.subject_index(subjects)).to(self.subject.device)
        return replace(self, subject=index, subjects=tuple(subjects))

    def to(self, device: torch.device | str) -> "ImageSet":
        """The set on a device. Memory-mapped images are read into its memory."""
        moved = {
            name: (v if isinstance(v, Tensor) else torch.from_numpy(np.array(v))).to(device)
            for name, v in self._per_frame()
        }
        return replace(self, **moved)

    def batch(self, indices: Tensor, *, device: torch.device | str = "cpu") -> Batch:
        """The faces at some positions; as :meth:`raw`, with pixels as floats in [0, 1]."""
        found = self.raw(indices, device=device)
        return found.with_image(as_floats(found.image))

    def raw(self, indices: Tensor, *, device: torch.device | str = "cpu") -> Batch:
        """The faces at some positions, pixels still uint8: cropping and mirroring them costs a quarter.

        Parameters
        ----------
        indices : Tensor, (B,) int64
            On the device of the set; moving them here would make the host wait.
        device : torch.device or str
            Where the batch is wanted. Pixels travel as uint8.
        """
        found = self.known(indices, device=device)
        if isinstance(self.images, Tensor):
            image = self.images.index_select(0, indices)
        else:
            image = torch.from_numpy(self.images[indices.cpu().numpy()])
        return Batch(image=image.to(device, non_blocking=True), **found)

    def known(self, indices: Tensor, *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """The fields of a :class:`Batch` at some positions, without the image."""
        found = {
            name: value.index_select(0, indices).to(device, non_blocking=True)
            for name, value in self._per_frame()
            if name != "images"
        }
        found["au"] = found.pop("labels")
        return found

    def batches(
        self,
        *,
        batch_size: int,
        views: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """Batches of the set, see :func:`batches`: what makes it a :class:`~fau_utils.data.source.Source`."""
        options = {"views": views, "shuffle": shuffle, "seed": seed, "rank": rank, "world": world, "skip": skip}
        return batches(self, batch_size=batch_size, device=device, **options)


def as_floats(image: Tensor, *, memory: "Memory | None" = None) -> Tensor:
    """Pixels uint8 as float32 in [0, 1]; into `memory` that is used again, where the pixels are on a CPU."""
    if memory is None or image.device.type != "cpu":
        return image.float().div_(255)
    return memory.like(image).copy_(image).div_(255)


class Memory:
    """Memory for batches, used again when nothing refers to it any more.

    On a CPU, getting tens of MB from the system for every batch costs as much as filling them. A tensor given out
    here keeps its memory for as long as it, or any view of it, is alive.
    """

    def __init__(self, *, most: int = 8):
        self._free: list[np.ndarray] = []
        self._most = most
        self._taking = threading.Lock()

    def like(self, image: Tensor) -> Tensor:
        """A float32 tensor of the shape and memory format of another, with anything in it."""
        last = image.dim() == 4 and image.is_contiguous(memory_format=torch.channels_last)
        return self.empty(tuple(image.shape), channels_last=last)

    def empty(self, shape: tuple[int, ...], *, channels_last: bool = False) -> Tensor:
        """A float32 tensor of a shape, with anything in it."""
        count = math.prod(shape)
        with self._taking:  # giving back needs no lock: it only appends
            fitting = [i for i, block in enumerate(self._free) if count <= len(block) <= 2 * count]
            block = self._free.pop(fitting[0]) if fitting else np.empty(count, "float32")
        lent = block[:count].view(_Lent)
        weakref.finalize(lent, self._back, block)
        tensor = torch.from_numpy(lent)
        if channels_last:
            batch, channels, height, width = shape
            return tensor.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return tensor.view(shape)

    def _back(self, block: np.ndarray) -> None:
        if len(self._free) < self._most:
            self._free.append(block)


class _Lent(np.ndarray):
    """Dies with the last tensor that uses it; torch holds the object it was made from."""


def _picked(value: Any, rows: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value[rows.to(value.device)]
    # images that stay on the disk choose among themselves without being read
    return value.select(rows.numpy()) if hasattr(value, "select") else value[rows.numpy()]


def _optional(value: Any, dtype: torch.dtype) -> Tensor | None:
    return None if value is None else torch.as_tensor(value, dtype=dtype)


def epoch_order(count: int, *, epoch: int, seed: int) -> Tensor:
    """The order of an epoch, (count,) int64: a pure function of its arguments, the same on every machine."""
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(count))


def batches(
    data: ImageSet,
    *,
    batch_size: int,
    views: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world: int = 1,
    skip: int = 0,
) -> Iterator[Batch]:
    """Batches of a set, one after another.

    Epochs follow each other without a seam: a batch may hold the end of one order and the beginning of the
    next, so no face is left out and a set smaller than a batch is no special case.

    Parameters
    ----------
    data : ImageSet
    batch_size : int
        Largest batch, all processes together. Sizes differ by at most one, so that no tiny last batch upsets a
        batch norm.
    views : int, optional
        Number of faces to serve in all, exactly; by default each face once.
    shuffle : bool
        A new order in each epoch, or the order of the set.
    seed : int
        Decides all the orders.
    device : torch.device or str
        Where the batches are wanted.
    rank, world : int
        This process and the number of processes: each serves its part of the very batches that one process alone
        would serve, see :func:`fau_utils.data.source.share`.
    skip : int
        Number of first batches not to serve; no image of theirs is touched.

    Raises
    ------
    ValueError
        An empty set, a size that is not positive, or fewer faces in a batch than processes.
    """
    memory = Memory()
    chosen = {"views": views, "shuffle": shuffle, "seed": seed, "rank": rank, "world": world, "skip": skip}
    for indices in positions(data, batch_size=batch_size, **chosen):
        served = data.raw(indices, device=device)
        yield served.with_image(as_floats(served.image, memory=memory))


def positions(
    data: ImageSet,
    *,
    batch_size: int,
    views: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
    skip: int = 0,
) -> Iterator[Tensor]:
    """Which faces are in which batch, as :func:`batches` serves them: (B,) int64, on the device of the set."""
    views = len(data) if views is None else views
    if not len(data):
        raise ValueError("expected at least one face, found none; check the selection that made this set")
    if batch_size < 1 or views < 0 or skip < 0:
        raise ValueError(
            f"expected a positive batch size and no negative views or skip, found {batch_size}, {views} and {skip}"
        )
    steps = -(-views // batch_size)
    if steps:
        share(views // steps, rank=rank, world=world)  # the smallest batch

    def order(epoch: int) -> Tensor:
        found = epoch_order(len(data), epoch=epoch, seed=seed) if shuffle else torch.arange(len(data))
        return found.to(data.device)  # once per epoch, so that no step has to wait for the host

    begin = views * min(skip, steps) // max(1, steps)
    epoch, within = divmod(begin, len(data))
    waiting = order(epoch)[within:]
    for step in range(skip, steps):
        count = views * (step + 1) // steps - begin
        while len(waiting) < count:
            epoch += 1
            waiting = torch.cat([waiting, order(epoch)])
        served, waiting = waiting[:count], waiting[count:]
        begin += count
        yield served[share(count, rank=rank, world=world)]
