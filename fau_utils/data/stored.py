"""Files of prepared faces that are written by many processes and killed by anybody.

A :class:`RowFile` is one array whose rows are filled in any order, by any process, with its space taken from the disk
before the first row is written. A shard is a WebDataset tar that appears under its name when it is complete.
"""

import errno
import io
import json
import os
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np


class RowFile:
    """One ``.npy`` array, written row by row.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Rows first.
    dtype : numpy type
    """

    def __init__(self, path: Path, *, shape: tuple[int, ...], dtype: str):
        self.path, self.shape, self.dtype = path, tuple(shape), np.dtype(dtype)
        header = io.BytesIO()
        described = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(header, described)
        self._header = header.getvalue()
        self._row = int(np.prod(self.shape[1:], dtype="int64")) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._header) + self.shape[0] * self._row

    def create(self) -> None:
        """Make the file, with room for all rows; one that is there already is kept with its rows.

        Raises
        ------
        OSError
            When there is no room; then there is no file either.
        """
        if self.path.exists() and self.path.stat().st_size == self.size:
            return
        try:
            with self.path.open("wb") as file:
                file.write(self._header)  # first, so that a file of the right size has it
                file.flush()
                _take_room(file.fileno(), self.size, self.path)
                os.fsync(file.fileno())
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise OSError(error.errno, f"{os.strerror(error.errno)} ({self.size:,} bytes)", str(self.path)) from error

    def write(self, first: int, rows: np.ndarray) -> None:
        """Put rows in their place, and do not return before the disk has them."""
        rows = np.ascontiguousarray(rows, self.dtype)
        if rows.shape[1:] != self.shape[1:] or first < 0 or first + len(rows) > self.shape[0]:
            raise ValueError(f"expected rows {self.shape[1:]} within {self.shape[0]}, found {rows.shape} at {first}")
        data, place = memoryview(rows).cast("B"), len(self._header) + first * self._row
        file = os.open(self.path, os.O_WRONLY)
        try:
            while data:
                done = os.pwrite(file, data, place)
                data, place = data[done:], place + done
            os.fsync(file)
        except OSError as error:
            error.filename = str(self.path)
            raise
        finally:
            os.close(file)


def _take_room(file: int, size: int, path: Path) -> None:
    take = getattr(os, "posix_fallocate", None)
    if take is not None:
        try:
            take(file, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    status = os.statvfs(path.parent)  # a file system that cannot promise room can still be asked
    if status.f_bavail * status.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(file, size)


class Member(NamedTuple):
    """Where an image is in a shard: its sample's name, the place of its first byte, and how many they are."""

    key: str
    offset: int
    bytes: int


def write_shard(path: Path, samples: Iterable[tuple[str, bytes, dict]], *, scratch: Path) -> list[Member]:
    """A WebDataset tar of ``<key>.jpg`` and ``<key>.json``; the same bytes for the same samples.

    Parameters
    ----------
    path : Path
    samples : iterable of (key, JPEG bytes, JSON values)
        Keys have no dot in them.
    scratch : Path
        Folder on the same file system for the half-written file.

    Returns
    -------
    list of Member
        Empty for no samples; then there is no file.

    Raises
    ------
    OSError
        When it cannot be written; then nothing bears its name.
    """
    temporary = scratch / f"{path.name}.{os.getpid()}"
    members = []
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for key, image, values in samples:
                    members.append(Member(key, archive.offset + tarfile.BLOCKSIZE, len(image)))
                    _add(archive, f"{key}.jpg", image)
                    _add(archive, f"{key}.json", json.dumps(values, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        if members:
            temporary.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return members


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    described = tarfile.TarInfo(name)  # no time, no owner
    described.size = len(data)
    archive.addfile(described, io.BytesIO(data))


def write_text(path: Path, text: str) -> None:
    """A small file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
