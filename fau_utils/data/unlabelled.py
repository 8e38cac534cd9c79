"""Faces without labels: a folder tree, FMAE's LMDB, or WebDataset shards.

Each source lists its images as :class:`~fau_utils.frames.Frames` and serves them one after another; what cannot be
read is skipped, counted and listed in ``skipped``, and nothing is ever downloaded or unpacked.

Frames need a subject. `identity` says where people are named: ``"folder"`` takes the first folder of an image's name
(VGGFace2's ``n000002/0001_01.jpg``, CASIA-WebFace's ``<id>/<nnn>.jpg``); None makes every image a person of its own
(CelebA, FFHQ).
"""

import logging
import os
import sys
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils.data.safe import MAX_BYTES, MAX_PIXELS, UnreadableImage, inside, picture
from fau_utils.data.tree import DatasetError, existing_root
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

IMAGE_SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

Identity = Literal["folder"] | None


@dataclass(frozen=True)
class Skipped:
    """An image that was not served, and why."""

    name: str
    reason: str


class Source(ABC):
    """Images by name.

    Parameters
    ----------
    dataset : str
        Name in the table, and in front of every subject.
    identity : {"folder", None}
        Where people are named.
    max_pixels : int
        Larger images are refused unread.

    Attributes
    ----------
    skipped : list of Skipped
        What :meth:`images`, or listing, passed over so far.
    """

    def __init__(self, *, dataset: str, identity: Identity = None, max_pixels: int = MAX_PIXELS):
        if identity not in (None, "folder"):
            raise ValueError(f"expected identity 'folder' or None, found {identity!r}")
        self.dataset, self.identity, self.max_pixels = dataset, identity, max_pixels
        self.skipped: list[Skipped] = []

    @abstractmethod
    def entries(self) -> Iterator[tuple[str, str | None, str]]:
        """Every image's name, its shard (None for a file of its own) and its key or path there."""

    @abstractmethod
    def raw(self) -> Iterator[tuple[str, bytes | Path]]:
        """Every image's name and its bytes or file, in the order of :meth:`entries`."""

    def frames(self) -> Frames:
        """The images as a table, without decoding any.

        Returns
        -------
        Frames
            ``clip`` is the image's name, unique in the source, and ``frame`` is 0: still images. ``path`` (relative
            to the folder) or ``shard`` and ``key`` say where the image is.
        """
        rows = list(self.entries())
        table = pd.DataFrame(rows, columns=["clip", "shard", "key"], dtype="string")
        if not len(table):
            raise DatasetError(
                self.place, expected="images", found="none", hint=f"images end in {', '.join(IMAGE_SUFFIXES)}"
            )
        table["dataset"], table["frame"] = self.dataset, 0
        table["subject"] = [f"{self.dataset}/{self._person(name, key)}" for name, _, key in rows]
        if table["shard"].isna().all():
            table = table.drop(columns="shard").rename(columns={"key": "path"})
        return Frames(table)

    @property
    @abstractmethod
    def place(self) -> Path:
        """File or folder of the source, for messages."""

    def images(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every readable image: its name (the ``clip`` of the table) and (H, W, 3) uint8 RGB. One is in memory."""
        before = len(self.skipped)
        for name, data in self.raw():
            try:
                image = picture(data, max_pixels=self.max_pixels)
            except (UnreadableImage, OSError) as error:
                self._skip(name, str(error))
                continue
            yield name, image
        if len(self.skipped) > before:
            first = self.skipped[before]
            log.warning(
                "%s: %d images skipped, the first is %s: %s",
                self.place, len(self.skipped) - before, first.name, first.reason,
            )  # fmt: skip

    def _person(self, name: str, key: str) -> str:
        if self.identity is None:
            return name
        parts = PurePosixPath(key).parts
        if len(parts) < 2:
            raise DatasetError(
                self.place,
                expected="<person>/<image>, because identity='folder'",
                found=repr(key),
                hint="pass identity=None when people are not named",
            )
        return parts[0]

    def _skip(self, name: str, reason: str) -> None:
        self.skipped.append(Skipped(name, reason))


class Folder(Source):
    """Image files anywhere below a folder, sorted by name. Links that lead out of it are skipped.

    Parameters
    ----------
    root : path-like
    dataset, identity, max_pixels
        See :class:`Source`.
    """

    def __init__(self, root: str | os.PathLike, *, dataset: str, identity: Identity = None, **options):
        super().__init__(dataset=dataset, identity=identity, **options)
        self.root = existing_root(root)

    @property
    def place(self) -> Path:
        return self.root

    def entries(self) -> Iterator[tuple[str, None, str]]:
        for name, _ in self._files():
            yield name, None, name

    def raw(self) -> Iterator[tuple[str, Path]]:
        yield from self._files()

    def _files(self) -> Iterator[tuple[str, Path]]:
        top = self.root.resolve()
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in sorted(names):
                path = Path(folder) / file
                if file.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                name = path.relative_to(self.root).as_posix()
                if path.is_symlink() and not path.resolve().is_relative_to(top):
                    self._skip_once(name, "a link out of the folder")
                    continue
                yield name, path

    def _skip_once(self, name: str, reason: str) -> None:
        if Skipped(name, reason) not in self.skipped:
            self._skip(name, reason)


class Lmdb(Source):
    """FMAE's packed form: keys are relative paths, values are the bytes of image files.

    Parameters
    ----------
    path : path-like
        The folder with ``data.mdb`` in it, or the file itself. Opened for reading, without a lock file.
    dataset, identity, max_pixels
        See :class:`Source`.
    """

    def __init__(self, path: str | os.PathLike, *, dataset: str, identity: Identity = None, **options):
        super().__init__(dataset=dataset, identity=identity, **options)
        self.path = Path(path)

    @property
    def place(self) -> Path:
        return self.path

    def entries(self) -> Iterator[tuple[str, str, str]]:
        for name, _ in self._items(values=False):
            yield name, self.path.name, name

    def raw(self) -> Iterator[tuple[str, bytes]]:
        yield from self._items(values=True)

    def get(self, key: str) -> np.ndarray:
        """One image by its key, (H, W, 3) uint8 RGB.

        Raises
        ------
        KeyError, UnreadableImage
        """
        with self._open() as cursor:
            data = cursor.get(key.encode())
        if data is None:
            raise KeyError(f"{self.path}: no image {key!r}")
        return picture(data, max_pixels=self.max_pixels)

    def _items(self, *, values: bool) -> Iterator[tuple[str, bytes]]:
        with self._open() as cursor:
            for item in cursor.iternext(keys=True, values=values):
                key, value = item if values else (item, b"")
                name = bytes(key).decode("utf-8", errors="backslashreplace")
                if inside(name):
                    yield name, value
                elif Skipped(name, "a key that points out of the folder") not in self.skipped:
                    self._skip(name, "a key that points out of the folder")

    @contextmanager
    def _open(self):
        import lmdb

        data = self.path / "data.mdb" if self.path.is_dir() else self.path
        if not data.is_file():
            raise DatasetError(
                self.path, expected="an LMDB: a folder with data.mdb in it, or the file", found="none of them",
                hint="give the folder that FMAE's packing script wrote",
            )  # fmt: skip
        sys.audit("fau.pictures", str(data))  # see kernel/watch.py
        try:
            environment = lmdb.open(
                str(self.path), subdir=self.path.is_dir(), readonly=True, lock=False, readahead=False, create=False
            )
        except lmdb.Error as error:
            raise DatasetError(
                data, expected="an LMDB", found=str(error), hint="the file is damaged or cut: copy it again"
            ) from error
        try:
            with environment.begin() as transaction:
                yield transaction.cursor()
        finally:
            environment.close()


class Shards(Source):
    """WebDataset tar shards, read as streams and never unpacked.

    Members that share the name up to the first dot are one sample; its image member is served, other members (json,
    txt, cls) are passed over.

    Parameters
    ----------
    pattern : path-like or sequence of them
        A file, a glob (``faces-*.tar``) or a brace pattern (``faces-{000000..000041}.tar``). Only files on disk:
        addresses and ``pipe:`` commands are refused.
    dataset, identity, max_pixels
        See :class:`Source`.

    Raises
    ------
    DatasetError
        When a named shard is not there.
    """

    def __init__(self, pattern: str | os.PathLike | Sequence, *, dataset: str, identity: Identity = None, **options):
        super().__init__(dataset=dataset, identity=identity, **options)
        self.shards = expand(pattern)

    @property
    def place(self) -> Path:
        return self.shards[0].parent

    def entries(self) -> Iterator[tuple[str, str, str]]:
        for shard in self.shards:
            for name, member, _ in self._samples(shard):
                yield name, shard.name, member.name

    def raw(self) -> Iterator[tuple[str, bytes]]:
        for shard in self.shards:
            for name, _, data in self._samples(shard, contents=True):
                yield name, data

    def places(self, shard: Path) -> Iterator[tuple[str, int, int]]:
        """Where each image of a shard lies: its name, its first byte and how many they are.

        Only headers are read, so the shard has to be a plain tar, not a compressed one.
        """
        for name, member, _ in self._samples(shard, mode="r:"):
            yield name, member.offset_data, member.size

    def _samples(
        self, shard: Path, *, mode: str = "r|*", contents: bool = False
    ) -> Iterator[tuple[str, tarfile.TarInfo, bytes]]:
        seen: set[str] = set()
        try:
            with tarfile.open(shard, mode) as archive:
                for sample, members in groupby(self._members(archive, shard), key=lambda m: _sample(m.name)):
                    served = False
                    for member in members:  # a stream: a member's bytes are gone when the next one comes
                        if served or PurePosixPath(member.name).suffix.lower() not in IMAGE_SUFFIXES:
                            continue
                        if sample in seen:
                            self._note(f"{shard.name}/{member.name}", "a sample of this name came before in the shard")
                            continue
                        served = True
                        seen.add(sample)
                        data = archive.extractfile(member).read() if contents else b""
                        yield f"{shard.stem}/{sample}", member, data
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DatasetError(
                shard,
                expected="a whole tar archive" if mode == "r|*" else "a whole tar archive, not compressed",
                found=f"{error}, after {len(seen)} images",
                hint="the shard is cut or damaged: copy it again, or leave it out of the pattern",
            ) from error

    def _members(self, archive: tarfile.TarFile, shard: Path) -> Iterable[tarfile.TarInfo]:
        for member in archive:
            name = f"{shard.name}/{member.name}"
            if member.isdir():
                continue
            if not member.isreg():
                self._note(name, "not a plain file (a link or a device)")
            elif not inside(member.name):
                self._note(name, "a name that points out of the folder")
            elif member.size > MAX_BYTES:
                self._note(name, f"{member.size:,} bytes, at most {MAX_BYTES:,} are read")
            else:
                yield member

    def _note(self, name: str, reason: str) -> None:
        if Skipped(name, reason) not in self.skipped:  # listing and serving pass the same member
            self._skip(name, reason)


def expand(pattern: str | os.PathLike | Sequence) -> list[Path]:
    """Shards that a pattern names, in its order.

    Raises
    ------
    DatasetError
        An address instead of a file, or a shard that is not there.
    """
    from braceexpand import braceexpand

    patterns = [pattern] if isinstance(pattern, str | os.PathLike) else list(pattern)
    found: list[Path] = []
    for text in map(os.fspath, patterns):
        if "://" in text or text.startswith("pipe:"):
            raise DatasetError(
                text, expected="shards on disk", found="an address or a command",
                hint="nothing is downloaded here: fetch the shards first",
            )  # fmt: skip
        for name in braceexpand(text):
            path = Path(name)
            if any(sign in path.name for sign in "*?["):
                found += sorted(path.parent.glob(path.name))
            else:
                found.append(path)
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        raise DatasetError(
            missing[0] if missing else os.fspath(patterns[0]) if patterns else ".",
            expected=f"{len(found) or 'some'} shards",
            found=f"{len(found) - len(missing)}, missing {', '.join(p.name for p in missing[:5]) or 'all'}",
            hint="copy the missing shards, or name only those that are there",
        )
    return found


def _sample(name: str) -> str:
    path = PurePosixPath(name)
    return (path.parent / path.name.split(".", 1)[0]).as_posix()
