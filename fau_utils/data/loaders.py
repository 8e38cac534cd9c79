"""Loading prepared faces: an array mapped into memory, or JPEG files decoded in threads.

Both are an :class:`~fau_utils.data.images.ImageSet` whose images are read when a batch asks for them, so that
whatever works with a set in memory works with one of any size. Sources without labels that are too large even for a
table are read as a stream (:func:`stream`).
"""

import logging
import os
import queue
import random
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from fau_utils.batch import Batch
from fau_utils.data.decode import decode, decode_into, fit
from fau_utils.data.images import ImageSet, as_floats
from fau_utils.data.pool import cpus
from fau_utils.data.safe import UnreadableImage
from fau_utils.data.unlabelled import Skipped, Source
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Mapped:
    """Rows of a ``.npy`` array of images, read from the disk when they are asked for.

    Indexing by positions gives an array of those rows; :meth:`select` gives fewer rows without reading any.

    Parameters
    ----------
    path : path-like
        (M, 3, H, W) uint8.
    rows : ndarray, (N,) int64, optional
        Which of the M, in which order; by default all.
    """

    def __init__(self, path: str | os.PathLike, *, rows: np.ndarray | None = None):
        self.path = Path(path)
        # a plain array over the map: slices of numpy's own class for maps cost several times as much
        self._array = np.load(self.path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        self.rows = np.arange(len(self._array)) if rows is None else np.asarray(rows, "int64")
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(self._array):
            raise ValueError(f"{path} has {len(self._array)} images, row {self.rows.max()} is asked for")

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, H, W)."""
        return (len(self.rows), *self._array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return self._array.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._array[self.rows[index]]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)

    def faces(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Each image, (3, H, W), as a window into the map: nothing is copied."""
        return (self._array[row] for row in self.rows[index])

    def __reduce__(self):
        return _mapped, (self.path, self.rows)  # another process maps the file itself

    def select(self, index: np.ndarray) -> "Mapped":
        """Some of the rows, still on the disk."""
        return Mapped(self.path, rows=self.rows[index])


def _mapped(path: Path, rows: np.ndarray) -> Mapped:
    return Mapped(path, rows=rows)


class Jpegs:
    """Image files, or images inside shards, decoded in threads when they are asked for.

    Parameters
    ----------
    files : sequence of path-like
        One per image, or per shard.
    size : int
        Images are squares of this side, px. Larger ones are made smaller, and keep their shape between black bars.
    place : ndarray, (N, 3) int64, optional
        File, first byte and number of bytes of each image; by default every file is an image.
    threads : int, optional
        By default one per CPU of this process.
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike],
        *,
        size: int,
        place: np.ndarray | None = None,
        threads: int | None = None,
    ):
        self.files, self.size = tuple(map(os.fspath, files)), size
        if place is None:
            place = np.stack([np.arange(len(self.files)), *np.full((2, len(self.files)), -1)], 1)
        self.place = np.asarray(place, "int64").reshape(-1, 3)
        self.threads = cpus() if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, size, size)."""
        return (len(self.place), 3, self.size, self.size)

    dtype = np.dtype("uint8")
    channels_last = True
    """How images lie in memory."""

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, index: Any) -> np.ndarray:
        """Images, (n, 3, size, size) uint8, with channels last in memory.

        Raises
        ------
        UnreadableImage
            Names the file.
        """
        if isinstance(index, int | np.integer):
            return self[np.array([index])][0]
        places = self.place[index]
        images = np.empty((len(places), self.size, self.size, 3), "uint8")
        shares = min(self.threads, len(places))
        if shares <= 1:
            self._fill(images, places)
        else:
            # a share per thread, not a task per image: handing out work costs as much as decoding a small face
            parts = zip(np.array_split(images, shares), np.array_split(places, shares), strict=True)
            list(self._threads().map(lambda part: self._fill(*part), parts))
        return images.transpose(0, 3, 1, 2)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.ascontiguousarray(self[:], dtype=dtype)

    def __reduce__(self):
        return _jpegs, (self.files, self.size, self.place, self.threads)

    def select(self, index: np.ndarray) -> "Jpegs":
        """Some of the images, still undecoded."""
        return Jpegs(self.files, size=self.size, place=self.place[index], threads=self.threads)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="fau-decode")
        return self._pool

    def faces(self, index: np.ndarray) -> Iterator[np.ndarray]:
        """Each image, (3, size, size), decoded by the thread that asks, into memory that the next one uses again."""
        image = np.empty((self.size, self.size, 3), "uint8")
        for place in self.place[index].tolist():
            self._decode(image, *place)
            yield image.transpose(2, 0, 1)

    def _fill(self, images: np.ndarray, places: np.ndarray) -> None:
        for image, place in zip(images, places.tolist(), strict=True):
            self._decode(image, *place)

    def _decode(self, image: np.ndarray, number: int, first: int, length: int) -> None:
        file = self.files[number]
        try:
            decode_into(image, _bytes(file, first, length))
        except UnreadableImage as error:
            where = file if first < 0 else f"{file} at byte {first}"
            raise UnreadableImage(f"{where}: {error}") from error


def _jpegs(files: tuple[str, ...], size: int, place: np.ndarray, threads: int) -> Jpegs:
    return Jpegs(files, size=size, place=place, threads=threads)


def _bytes(file: str, first: int, length: int) -> bytes:
    with open(file, "rb", buffering=0) as opened:
        if first < 0:
            return opened.read()
        opened.seek(first)
        data = opened.read(length)
    if len(data) != length:
        raise UnreadableImage(f"{len(data)} of {length} bytes: the shard is cut")
    return data


def open_prepared(
    folder: str | os.PathLike,
    *,
    aus: Sequence[int] | None = None,
    cut: float | None = None,
    subjects: Sequence[str] | None = None,
    threads: int | None = None,
) -> ImageSet:
    """The faces of a folder that :func:`fau_utils.data.prepare.prepare` wrote; no pixel is read yet.

    Parameters
    ----------
    folder : path-like
    aus, cut, subjects : optional
        See :meth:`ImageSet.from_frames`.
    threads : int, optional
        Of the decoder, for shards.

    Returns
    -------
    ImageSet

    Raises
    ------
    ValueError
        The folder is not there, its preparation is not finished, or its arrays do not fit its manifest.
    """
    folder = Path(folder)
    if not (folder / "manifest.parquet").is_file():
        if (folder / "forget.json").is_file():
            raise ValueError(f"{folder}: removing people from it was not finished; run the same fau forget again")
        begun = (folder / "plan.json").is_file()
        raise ValueError(
            f"{folder}: expected a prepared folder with a manifest.parquet, found "
            + ("one that is not finished; run the same fau prepare again" if begun else "none; run fau prepare first")
        )
    frames = Frames.read_parquet(folder / "manifest.parquet")
    rows = frames.table["row"].to_numpy("int64")
    images: Mapped | Jpegs
    if "shard" in frames.table:
        shards, number = np.unique(frames.table["shard"].to_numpy(object), return_inverse=True)
        place = np.stack([number, *(frames.table[name].to_numpy("int64") for name in ("offset", "bytes"))], 1)
        size = int(frames.table["size"].iloc[0])
        images = Jpegs([folder / name for name in shards], size=size, place=place, threads=threads)
    else:
        images = Mapped(folder / "images.npy", rows=rows)
    marks = folder / "landmarks.npy"
    return ImageSet.from_frames(
        images,
        frames=frames,
        aus=aus,
        cut=cut,
        subjects=subjects,
        landmarks=np.load(marks, allow_pickle=False)[rows] if marks.is_file() else None,
    )


def from_files(
    frames: Frames, root: str | os.PathLike, *, size: int, threads: int | None = None, **options: Any
) -> ImageSet:
    """Image files as they are, without preparing them: for sets that are cropped already.

    Parameters
    ----------
    frames : Frames
        With a ``path`` in every row.
    root : path-like
        Paths are relative to it.
    size, threads
        See :class:`Jpegs`.
    **options
        See :meth:`ImageSet.from_frames`.

    Raises
    ------
    ValueError
        When a row has no path.
    """
    paths = frames.table.get("path")
    if paths is None or paths.isna().any():
        raise ValueError("expected a path in every row; leave out those without, or read videos through fau prepare")
    files = [os.path.join(root, path) for path in paths]
    return ImageSet.from_frames(Jpegs(files, size=size, threads=threads), frames=frames, **options)


def stream(
    source: Source,
    *,
    batch_size: int,
    size: int,
    threads: int | None = None,
    shuffle: int = 0,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """Faces of an unlabelled source in its own order, once through, without a table.

    Parameters
    ----------
    source : Source
        What cannot be decoded is noted in ``source.skipped`` and passed over.
    batch_size : int
        The last batch may be smaller.
    size : int
        As in :class:`Jpegs`.
    threads : int, optional
    shuffle : int
        Number of undecoded images kept to draw the next one from; 0 keeps the order.
    seed : int
    device : torch.device or str

    Returns
    -------
    iterator of Batch
        ``au`` is (B, 0), ``subject`` and ``clip`` are -1, ``frame`` counts the images.
    """
    threads = cpus() if threads is None else threads
    items = _shuffled(source.raw(), shuffle, random.Random(seed)) if shuffle else source.raw()
    served, waiting = 0, []
    with ThreadPoolExecutor(threads, thread_name_prefix="fau-decode") as pool:
        while chunk := list(islice(items, batch_size - len(waiting) or batch_size)):
            for name, image in pool.map(lambda item: _try(source, size, *item), chunk):
                if isinstance(image, str):
                    source.skipped.append(Skipped(name, image))
                else:
                    waiting.append(image)
            if len(waiting) == batch_size:
                yield _unlabelled(waiting, served, device)
                served, waiting = served + batch_size, []
    if waiting:
        yield _unlabelled(waiting, served, device)


def _try(source: Source, size: int, name: str, data: bytes | Path) -> tuple[str, np.ndarray | str]:
    try:
        return name, fit(decode(data, at_least=size, max_pixels=source.max_pixels), size=size)
    except (UnreadableImage, OSError) as error:
        return name, str(error)


def _shuffled(items: Iterable[Item], kept: int, generator: random.Random) -> Iterator[Item]:
    buffer: list[Item] = []
    for item in items:
        if len(buffer) < kept:
            buffer.append(item)
            continue
        place = generator.randrange(kept)
        yield buffer[place]
        buffer[place] = item
    generator.shuffle(buffer)
    yield from buffer


def _unlabelled(images: list[np.ndarray], first: int, device: torch.device | str) -> Batch:
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device, non_blocking=True)
    count = len(images)
    nobody = torch.full((count,), -1, dtype=torch.int64)
    return Batch(
        image=as_floats(pixels),
        au=torch.empty(count, 0),
        subject=nobody,
        clip=nobody,
        frame=torch.arange(first, first + count),
    ).to(device)


def prefetched(items: Iterable[Item], *, depth: int = 2) -> Iterator[Item]:
    """The same items, made by another thread up to `depth` ahead, so that reading overlaps with computing."""
    ready: queue.Queue = queue.Queue(depth)
    stopped = threading.Event()

    def offer(what: tuple[str, Any]) -> bool:
        while not stopped.is_set():
            try:
                ready.put(what, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer(("item", item)):
                    return
            offer(("end", None))
        except BaseException as error:  # noqa: BLE001  it is raised where the items are used
            offer(("error", error))

    thread = threading.Thread(target=work, daemon=True, name="fau-prefetch")
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()
