"""Pretraining from WebDataset shards: any number of faces, any number of processes, stopped and resumed anywhere.

Where each image lies in its shard is listed once, from the headers alone, and kept; images are then read by their
place. So the order of an epoch is a pure function of seed and epoch (:mod:`fau_utils.data.shard_order`), a run goes
on at any step without reading what came before it, and several processes share the very batches that one alone would
be served.

References
----------
Aizman, Maltby & Breuel (2019), "High Performance I/O For Large Scale Deep Learning", for shards and their shuffling.
"""

import hashlib
import logging
import os
import random
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from fau_utils.batch import Batch
from fau_utils.data import augment, unlabelled
from fau_utils.data.cache import cache_root
from fau_utils.data.decode import decode_into
from fau_utils.data.images import as_floats
from fau_utils.data.pool import cpus
from fau_utils.data.safe import MAX_PIXELS, UnreadableImage
from fau_utils.data.shard_order import Order
from fau_utils.data.source import share
from fau_utils.data.tree import DatasetError
from fau_utils.data.unlabelled import Skipped
from fau_utils.progress import progress

log = logging.getLogger(__name__)

AHEAD = 3
"""Batches that are being decoded while one is trained on."""

GRACE = 10
"""Unreadable images that no limit counts."""


class Shards:
    """Unlabelled faces in tar shards, a :class:`~fau_utils.data.source.Source` for ``fit``.

    Parameters
    ----------
    pattern : path-like or sequence of them
        Plain tar files on disk: names, globs (``faces-*.tar``) or brace patterns (``shards-{0000..0999}.tar``); see
        :class:`fau_utils.data.unlabelled.Shards`, also for what is refused.
    size : int
        Side of the images in px.
    decoded : int, optional
        Side to which faces are brought before they are cropped, between black bars where they are no squares; by
        default `size`.
    crop : float, optional
        Show a random rectangle of each face, from this share of its area up to all of it, stretched to `size`: MAE's
        RandomResizedCrop has 0.2; FMAE shows whole faces, as None does.
    mirror : bool
        Mirror half of the faces. ``fit`` does that as well, unless it is told not to.
    buffer : int
        Images among which an image's turn is shuffled; see :class:`~fau_utils.data.shard_order.Order`.
    threads : int, optional
        That decode; by default one per CPU of this process.
    most_bad : float
        Share of images that may be unreadable, ten always. They are skipped: their steps have fewer images.
    cache_dir : path-like, optional
        For the lists of images; by default the user's cache folder.
    max_pixels : int
        Larger images are unreadable.

    Attributes
    ----------
    skipped : list of Skipped
        Images met so far that could not be read, each once, after those that were refused when they were listed.

    Raises
    ------
    DatasetError
        A missing, cut, compressed or empty shard.
    """

    def __init__(
        self,
        pattern: str | os.PathLike | Sequence,
        *,
        size: int,
        decoded: int | None = None,
        crop: float | None = None,
        mirror: bool = False,
        buffer: int = 16_384,
        threads: int | None = None,
        most_bad: float = 0.01,
        cache_dir: str | os.PathLike | None = None,
        max_pixels: int = MAX_PIXELS,
    ):
        if buffer < 1 or not (crop is None or 0 < crop <= 1) or not 0 <= most_bad <= 1:
            raise ValueError(
                "expected a positive buffer, crop in (0, 1] or None and most_bad in [0, 1], "
                f"found {buffer}, {crop} and {most_bad}"
            )
        if decoded not in (None, size) and crop is None:
            raise ValueError(f"decoded={decoded} px is brought to size={size} px by crop=; pass one, or no decoded")
        self.size, self.decoded, self.crop, self.mirror = size, decoded or size, crop, mirror
        self.buffer, self.most_bad, self.max_pixels = buffer, most_bad, max_pixels
        self.threads = cpus() if threads is None else threads
        source = unlabelled.Shards(pattern, dataset="shards")
        self.shards = source.shards
        places = _listed(source, cache_root(cache_dir) / "shards")
        self.sizes = tuple(len(found) for found in places)
        if not sum(self.sizes):
            raise DatasetError(
                source.place, expected="images", found="none in any shard",
                hint=f"images end in {', '.join(unlabelled.IMAGE_SUFFIXES)}",
            )  # fmt: skip
        self._shard = np.repeat(np.arange(len(places), dtype="int32"), self.sizes)
        self._place = np.concatenate(places)  # (N, 2): first byte, number of bytes
        self.skipped: list[Skipped] = source.skipped
        self._bad: set[int] = set()
        self._tried = 0

    def __len__(self) -> int:
        return len(self._place)

    def __repr__(self) -> str:
        return f"Shards({len(self)} faces in {len(self.shards)} shards, served at {self.size} px)"

    def order(self, *, batch_size: int, views: int | None = None, seed: int = 0) -> Order:
        """The order that :meth:`batches` serves the faces in."""
        views = len(self) if views is None else views
        if batch_size < 1 or views < 0:
            raise ValueError(f"expected a positive batch size and no negative views, found {batch_size} and {views}")
        return Order(sizes=self.sizes, views=views, batch_size=batch_size, seed=seed, buffer=self.buffer)

    def batches(
        self,
        *,
        batch_size: int,
        views: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """Shuffled batches without labels; see :meth:`fau_utils.data.source.Source.batches`.

        Yields
        ------
        Batch
            ``au`` is (B, 0), ``subject`` is -1, ``clip`` is the number of the shard and ``frame`` of the image among
            all. Images have channels last in memory.

        Raises
        ------
        DatasetError
            More unreadable images than allowed, or none in a step that can be read.
        """
        order = self.order(batch_size=batch_size, views=views, seed=seed)
        if skip < 0:
            raise ValueError(f"expected no negative number of steps to skip, found {skip}")
        if order.steps:
            share(order.views // order.steps, rank=rank, world=world)  # the smallest batch
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="fau-shards")
        waiting: deque[tuple[int, np.ndarray, torch.Tensor, list[Future]]] = deque()
        announced = -1  # last position that the system was told of
        try:
            for step in range(skip, order.steps):
                if announced < order.begin(step + 1) - 1:
                    first, images = order.window(max(order.begin(step), announced + 1))
                    announced = first + len(images) - 1
                    pool.submit(self._announce, order.of(first, rank=rank, world=world))
                images = order.step(step)
                mine = images[share(len(images), rank=rank, world=world)]
                waiting.append((step, mine, *self._decoding(pool, mine, device)))
                if len(waiting) > AHEAD:
                    yield self._finished(*waiting.popleft(), order=order, rank=rank, world=world, device=device)
            while waiting:
                yield self._finished(*waiting.popleft(), order=order, rank=rank, world=world, device=device)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _announce(self, images: np.ndarray) -> None:
        """Tell the system what will be read soon, in whole stretches: it reads ahead, without memory of ours."""
        if not hasattr(os, "posix_fadvise"):
            return
        for shard in np.unique(self._shard[images]):
            ours = images[self._shard[images] == shard]
            cuts = np.flatnonzero(np.diff(ours) > 1) + 1
            with open(self.shards[shard], "rb", buffering=0) as file:
                for first, end in pairwise([0, *cuts, len(ours)]):
                    start, stop = self._place[ours[first], 0], self._place[ours[end - 1]].sum()
                    os.posix_fadvise(file.fileno(), int(start), int(stop - start), os.POSIX_FADV_WILLNEED)

    def _decoding(self, pool: ThreadPoolExecutor, images: np.ndarray, device) -> tuple[torch.Tensor, list[Future]]:
        pinned = torch.device(device).type == "cuda"
        pixels = torch.empty(len(images), self.decoded, self.decoded, 3, dtype=torch.uint8, pin_memory=pinned)
        shares = min(self.threads, len(images))
        parts = zip(np.array_split(pixels.numpy(), shares), np.array_split(images, shares), strict=True)
        return pixels, [pool.submit(self._decode, *part) for part in parts]

    def _decode(self, pixels: np.ndarray, images: np.ndarray) -> list[str | None]:
        """Fill pixels, (n, S, S, 3); why it failed for each image, None where it did not."""
        return [self._decode_one(target, image) for target, image in zip(pixels, images.tolist(), strict=True)]

    def _decode_one(self, target: np.ndarray, image: int) -> str | None:
        if image in self._bad:
            return ""
        first, length = self._place[image].tolist()
        try:
            with open(self.shards[self._shard[image]], "rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, first)
            if len(data) != length:
                raise UnreadableImage(f"{len(data)} of {length} bytes: the shard is cut")
            decode_into(target, data, max_pixels=self.max_pixels)
        except (UnreadableImage, OSError) as error:
            return str(error) or type(error).__name__
        return None

    def _finished(
        self, step: int, images: np.ndarray, pixels: torch.Tensor, parts: list[Future], *, order, rank, world, device
    ) -> Batch:
        failed = [reason for part in parts for reason in part.result()]
        good = torch.tensor([reason is None for reason in failed])
        kept = images
        if not good.all():
            self._note(images, failed)
            pixels, kept = pixels[good], images[good.numpy()]
        self._tried += len(images)
        number = torch.from_numpy(kept)
        batch = Batch(
            image=pixels.permute(0, 3, 1, 2),
            au=torch.empty(len(kept), 0),
            subject=torch.full((len(kept),), -1),
            clip=torch.from_numpy(self._shard[kept].astype("int64")),
            frame=number,
        ).to(device)
        batch = batch.with_image(as_floats(batch.image))
        if self.crop is None and not self.mirror:
            return batch
        count = order.begin(step + 1) - order.begin(step)
        seed = int(np.random.SeedSequence([order.seed, step]).generate_state(1, "uint64")[0] >> 1)
        # drawn for the whole step, whoever serves it
        drawn = torch.rand(count, 5, generator=torch.Generator().manual_seed(seed))
        drawn = drawn[share(count, rank=rank, world=world)][good].to(device, non_blocking=True)
        if self.crop is not None:
            side = self.decoded
            boxes = augment.random_boxes(drawn[:, :4], height=side, width=side, area=(self.crop, 1))
            batch = augment.resized_crop(batch, boxes, size=self.size)
        return augment.flip(batch, drawn[:, 4] < 0.5) if self.mirror else batch

    def _note(self, images: np.ndarray, failed: list[str | None]) -> None:
        for image, reason in zip(images.tolist(), failed, strict=True):
            if reason is None or image in self._bad:
                continue
            self._bad.add(image)
            name = f"{self.shards[self._shard[image]].name}/{self._name(image)}"
            self.skipped.append(Skipped(name, reason))
            log.warning("%s skipped: %s (%d so far)", name, reason, len(self._bad))
        tried = self._tried + len(images)
        # of a set smaller than what was shown of it, the share of the set counts
        allowed = GRACE + self.most_bad * min(tried, len(self))
        if len(self._bad) > allowed or all(reason is not None for reason in failed):
            last = self.skipped[-1]
            raise DatasetError(
                self.shards[0].parent,
                expected=f"at most {self.most_bad:.1%} unreadable images, {GRACE} always, and some that are not in "
                "each step",
                found=f"{len(self._bad)} of {tried:,}, the last is {last.name}: {last.reason}",
                hint="look at .skipped, copy the shards again, or raise most_bad",
            )

    def _name(self, image: int) -> str:
        with open(self.shards[self._shard[image]], "rb") as file:
            file.seek(self._place[image, 0] - tarfile.BLOCKSIZE)
            try:
                return tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape").name
            except tarfile.TarError:  # the shard was changed meanwhile
                return f"byte {self._place[image, 0]}"


def _listed(source: unlabelled.Shards, cache: Path) -> list[np.ndarray]:
    """First byte and length of each shard's images, (n, 2) int64; from the cache where it is still of that file."""
    found: dict[int, np.ndarray] = {}
    numbers = list(range(len(source.shards)))
    # processes that begin together each list other shards first, and find the rest listed by the others
    random.Random(os.getpid()).shuffle(numbers)
    todo = [number for number in numbers if _cached(source.shards[number], cache, found, number) is None]
    for number in progress(todo, what="listing shards", unit="shard") if todo else ():
        shard = source.shards[number]
        if _cached(shard, cache, found, number) is not None:
            continue
        noted = len(source.skipped)
        found[number] = np.array([place[1:] for place in source.places(shard)], "int64").reshape(-1, 2)
        if len(source.skipped) == noted:  # what was refused is to be told each time
            _keep(_list_of(shard, cache), found[number])
    return [found[number] for number in range(len(source.shards))]


def _list_of(shard: Path, cache: Path) -> Path:
    about = shard.stat()
    known = f"{shard.resolve()}\0{about.st_size}\0{about.st_mtime_ns}"
    return cache / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.npy"


def _cached(shard: Path, cache: Path, found: dict[int, np.ndarray], number: int) -> np.ndarray | None:
    try:
        places = np.load(_list_of(shard, cache), allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none, or a damaged one: listing again costs a second
        return None
    if places.ndim != 2 or places.shape[1] != 2 or places.dtype != np.int64:
        return None
    found[number] = places
    return places


def _keep(path: Path, places: np.ndarray) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, places)
        temporary.replace(path)
    except OSError as error:
        log.warning("the list of a shard's images cannot be kept (%s); the next run makes it again", error)
        temporary.unlink(missing_ok=True)
