"""Clips: short runs of consecutive frames of one person, sampled from faces that lie in memory.

Pixels stay where an :class:`~fau_utils.data.images.ImageSet` has them, uint8 in one piece, resident or memory-mapped;
a clip is a few rows in a row. Rendered clips come from :func:`fau_utils.data.synth.load` with ``clip_length``; videos
in the layout of VoxCeleb are cut into frames once by :func:`from_videos`.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fau_utils.batch import Batch
from fau_utils.data.images import ImageSet, Memory, as_floats, epoch_order
from fau_utils.data.source import share
from fau_utils.faces.rng import mix, uniform

log = logging.getLogger(__name__)

LENGTH = 7
"""Frames of a clip: as many as the figure of Li & Shan (2023) draws."""

_WINDOW = 0x436C6970
"""Says what the random numbers are for."""


@dataclass(frozen=True)
class Run:
    """Frames of one clip without a gap between them."""

    begin: int
    count: int


class ClipSet:
    """Clips of T frames from a set of faces: what a learner of video trains on, a ``Source``.

    Each run of frames without a gap gives one clip per epoch, at a random place in it and with a stride that fits. A
    gap is where the frame number jumps by more than it usually does in this clip: there a face was not found.

    Batches are whole clips, clip after clip and frames in the order of time, so that a learner divides them by T. With
    several processes each serves as many clips as the others: what does not divide is left out of the step.

    Give it to ``fit`` with ``augment=False``: mirroring frames one by one would tear clips apart.

    Parameters
    ----------
    data : ImageSet
    length : int
        Frames T of a clip.
    stride : int or sequence of int
        From one frame of a clip to the next, in frames of the set; of several one is drawn for each clip, among those
        for which the run is long enough.

    Attributes
    ----------
    data : ImageSet
    runs : tuple of Run
        That are long enough.
    short : int
        Number of runs that are not, and are never served.

    Raises
    ------
    ValueError
        A length or stride below 1, or no run that is long enough.
    """

    def __init__(self, data: ImageSet, *, length: int = LENGTH, stride: int | Sequence[int] = 1):
        strides = (stride,) if isinstance(stride, int) else tuple(stride)
        if length < 1 or not strides or min(strides) < 1:
            raise ValueError(f"expected a length and strides of at least 1, found {length} and {strides}")
        self.data, self.length, self.strides = data, length, tuple(sorted(set(strides)))
        self._order, found = _runs(data)
        needed = (length - 1) * self.strides[0] + 1
        self.runs = tuple(run for run in found if run.count >= needed)
        self.short = len(found) - len(self.runs)
        if not self.runs:
            longest = max((run.count for run in found), default=0)
            raise ValueError(
                f"expected a run of at least {needed} frames for clips of {length} at stride {self.strides[0]}, the "
                f"longest of {len(found)} has {longest}; take shorter clips, or more frames per second"
            )
        if self.short:
            log.warning("%d of %d runs are shorter than %d frames and are left out", self.short, len(found), needed)
        self._begin = np.array([run.begin for run in self.runs])
        self._count = np.array([run.count for run in self.runs])

    def __len__(self) -> int:
        """Frames of an epoch: T for each run."""
        return len(self.runs) * self.length

    def __repr__(self) -> str:
        strides = "/".join(map(str, self.strides))
        return f"ClipSet({len(self.runs)} runs, clips of {self.length} frames at stride {strides}, from {self.data!r})"

    def to(self, device: torch.device | str) -> "ClipSet":
        """The same clips with pixels on a device: where they fit, no step has to move any."""
        return ClipSet(self.data.to(device), length=self.length, stride=self.strides)

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
        """Batches of whole clips, see :class:`fau_utils.data.source.Source`. Sizes count frames.

        Raises
        ------
        ValueError
            A batch that holds no clip for each process.
        """
        memory = Memory()
        chosen = {"views": views, "shuffle": shuffle, "seed": seed, "rank": rank, "world": world, "skip": skip}
        for rows in self.windows(batch_size=batch_size, **chosen):
            indices = torch.from_numpy(rows.reshape(-1)).to(self.data.device, non_blocking=True)
            served = self.data.raw(indices, device=device)
            yield served.with_image(as_floats(served.image, memory=memory))

    def windows(
        self,
        *,
        batch_size: int,
        views: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> Iterator[np.ndarray]:
        """Rows of the set that :meth:`batches` serves, (clips, T) int64 for each step."""
        views = len(self) if views is None else views
        if batch_size < 1 or views < 0 or skip < 0:
            raise ValueError(
                f"expected a positive batch size and no negative views or skip, found {batch_size}, {views} and {skip}"
            )
        steps, clips = -(-views // batch_size), views // self.length
        if steps and clips // steps < world:
            raise ValueError(
                f"expected a clip of {self.length} frames for each of {world} processes in every step, found batches "
                f"of {views // steps} frames; take a batch_size of at least {2 * self.length * world}"
            )
        for step in range(skip, steps):
            first, last = clips * step // steps, clips * (step + 1) // steps
            numbers = np.arange(first, last - (last - first) % world)
            yield self._windows(numbers[share(len(numbers), rank=rank, world=world)], seed=seed, shuffle=shuffle)

    def _windows(self, numbers: np.ndarray, *, seed: int, shuffle: bool) -> np.ndarray:
        """Rows (clips, T) of the clips that are served as the so manieth."""
        epoch, place = np.divmod(numbers, len(self.runs))
        run = place.copy()
        if shuffle:
            for one in np.unique(epoch):
                order = epoch_order(len(self.runs), epoch=int(one), seed=seed).numpy()
                run[epoch == one] = order[place[epoch == one]]
        drawn = uniform(mix(torch.from_numpy(numbers), seed), _WINDOW, 2).numpy().astype(float)
        if not shuffle:
            drawn[:] = 0
        spans = (self.length - 1) * np.array(self.strides)
        fitting = (spans < self._count[run, None]).sum(1)  # strides rise, so the first so many fit
        which = np.minimum((drawn[:, 0] * fitting).astype(int), fitting - 1)
        room = self._count[run] - spans[which]
        start = self._begin[run] + np.minimum((drawn[:, 1] * room).astype(int), room - 1)
        return self._order[start[:, None] + np.array(self.strides)[which, None] * np.arange(self.length)]


def from_videos(
    root: str | os.PathLike,
    out: str | os.PathLike,
    *,
    size: int = 64,
    per_second: float = 12.5,
    workers: int | None = 1,
) -> ImageSet:
    """The frames of a folder of videos in the layout of VoxCeleb2, cut once and kept as one uint8 array.

    As ``fau prepare voxceleb2 ROOT OUT --crop none --size 64 --set per_second=12.5``; without that setting the reader
    takes one frame per second, too few for clips. The same call goes on where it stopped, or opens what is there.
    VoxCeleb's videos are cropped to the face already. Of a video that ends before its header says so the frames before
    that place are kept; one that cannot be decoded is left out; both are listed in the folder's report and logged.

    Parameters
    ----------
    root : path-like
        With ``dev/mp4/id00012/<youtube id>/00001.mp4`` or the like.
    out : path-like
        Folder to write.
    size : int
        Side of the pictures in px.
    per_second : float
        Frames per second to take.
    workers : int, optional
        Processes.

    Returns
    -------
    ImageSet
        Memory-mapped; a person per folder, a clip per video.
    """
    from fau_utils.data.loaders import open_prepared
    from fau_utils.data.prepare import prepare
    from fau_utils.data.readers import read

    frames = read("voxceleb2", root, per_second=per_second)
    prepare(frames, root, out, crop="none", size=size, workers=workers)
    return open_prepared(Path(out), aus=())


def _runs(data: ImageSet) -> tuple[np.ndarray, list[Run]]:
    """Rows in the order of clips, cameras and time, and the runs in it."""
    clip, frame = data.clip.cpu().numpy(), data.frame.cpu().numpy()  # a clip is one person's
    camera = np.unique(data.frames.table["camera"].to_numpy(str), return_inverse=True)[1]
    order = np.lexsort((frame, camera, clip))
    clip, camera, frame = clip[order], camera[order], frame[order]
    same = (np.diff(clip) == 0) & (np.diff(camera) == 0)
    step = np.diff(frame)
    edges = np.flatnonzero(~same) + 1
    found = []
    for begin, end in zip([0, *edges], [*edges, len(order)], strict=True):
        usual = np.median(step[begin : end - 1]) if end - begin > 1 else 1
        breaks = begin + 1 + np.flatnonzero(step[begin : end - 1] > usual)
        found += [Run(int(a), int(b - a)) for a, b in zip([begin, *breaks], [*breaks, end], strict=True)]
    return order, found
