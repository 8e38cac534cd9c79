"""Folders of arrays that exist completely or not at all.

A folder is written under a temporary name beside its place, checksummed while it is written, and renamed when it is
complete; a killed writer leaves only a temporary folder, which later writers remove. Two writers of one folder do not
disturb each other: the first to finish wins, the other throws its copy away. A reader verifies every byte before it
hands out memory maps.
"""

import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

log = logging.getLogger(__name__)

_META = "meta.json"
_FORMAT = 1

Fields = Mapping[str, tuple[tuple[int, ...], np.dtype | str]]
"""Shape (rows first) and type of each array of a folder."""


class Damaged(Exception):
    """A cached folder is not what was written; the message says which file and how."""


def cache_root(cache_dir: str | os.PathLike | None = None) -> Path:
    """Where caches live: the argument, else the environment's ``FAU_CACHE``, else the user's cache folder."""
    if cache_dir is None:
        cache_dir = os.environ.get("FAU_CACHE") or None
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    try:
        import platformdirs
    except ImportError:  # a bare GPU machine
        return Path.home() / ".cache" / "fau"
    return Path(platformdirs.user_cache_dir("fau", appauthor=False))


def read_arrays(folder: Path, *, fields: Fields | None = None) -> dict[str, np.ndarray]:
    """The arrays of a folder, memory mapped (copy on write: a change stays in memory).

    `fields` are the arrays that have to be there.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    Damaged
        When a file is missing, truncated, or differs from what was written, or an expected array is not there.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        meta = json.loads((folder / _META).read_text())
        listed = dict(meta["files"])
        if meta["format"] != _FORMAT:
            raise Damaged(f"its format is {meta['format']}, expected {_FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{_META} cannot be read ({type(error).__name__})") from error
    arrays = {}
    for name, known in listed.items():
        path = folder / f"{name}.npy"
        try:
            size = path.stat().st_size
            if size != known["bytes"]:
                raise Damaged(f"{path.name} has {size:,} bytes, expected {known['bytes']:,}")
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Damaged(f"{path.name} cannot be read ({error.strerror})") from error
        if found != known["sha256"]:
            raise Damaged(f"{path.name} has checksum {found[:12]}..., expected {known['sha256'][:12]}...")
        arrays[name] = np.load(path, mmap_mode="c", allow_pickle=False)
    with suppress(OSError):  # a cache that others keep cannot be written
        os.utime(folder / _META)  # when it was used last
    for name, (shape, kind) in (fields or {}).items():
        if name not in arrays or arrays[name].shape != tuple(shape) or arrays[name].dtype != np.dtype(kind):
            raise Damaged(f"{name} is missing, or is no array of shape {tuple(shape)} and type {kind}")
    return arrays


class FolderWriter:
    """Writes arrays piece by piece into a folder that appears when :meth:`commit` is called.

    Used as a context: leaving it without a commit, or by an error, removes everything written.

    Parameters
    ----------
    folder : Path
        Final place.
    fields : Fields
        Every array.

    Raises
    ------
    OSError
        When the place cannot be written.
    """

    def __init__(self, folder: Path, *, fields: Fields):
        self.folder = folder
        self.fields = {name: (tuple(shape), np.dtype(kind)) for name, (shape, kind) in fields.items()}
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_orphans(folder)
        self.temporary = folder.parent / f"{_prefix(folder)}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}"
        self.temporary.mkdir()
        self._files, self._digests, self._rows = {}, {}, dict.fromkeys(self.fields, 0)
        try:
            for name, (shape, kind) in self.fields.items():
                self._files[name] = (self.temporary / f"{name}.npy").open("wb")
                self._digests[name] = hashlib.sha256()
                header = _Tee(self._files[name], self._digests[name])
                description = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(header, description)
        except OSError:
            self.discard()
            raise

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Write the next rows of every array."""
        for name, (shape, kind) in self.fields.items():
            part = np.ascontiguousarray(rows[name], dtype=kind)
            if part.shape[1:] != shape[1:]:
                raise ValueError(f"expected rows of {name} of shape {shape[1:]}, found {part.shape[1:]}")
            data = part.tobytes()
            self._files[name].write(data)
            self._digests[name].update(data)
            self._rows[name] += len(part)

    def commit(self, description: Mapping[str, object]) -> None:
        """Put the folder in its place, with `description` (JSON values) in its ``meta.json``.

        Raises
        ------
        ValueError
            When rows are missing.
        """
        for name, (shape, _) in self.fields.items():
            if self._rows[name] != shape[0]:
                raise ValueError(f"{name}: {self._rows[name]} rows written, expected {shape[0]}")
        files = {}
        for name, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            file.close()
            size = (self.temporary / f"{name}.npy").stat().st_size
            files[name] = {"bytes": size, "sha256": self._digests[name].hexdigest()}
        meta = {"format": _FORMAT, "files": files, **description}
        with (self.temporary / _META).open("w") as file:
            json.dump(meta, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        self._put_in_place()

    def _put_in_place(self) -> None:
        for _ in range(5):
            try:
                self.temporary.rename(self.folder)
                return
            except OSError:
                if not self.folder.is_dir():
                    raise
            try:
                read_arrays(self.folder, fields=self.fields)
            except Damaged:
                aside = self.temporary.with_name(self.temporary.name + ".old")
                try:
                    self.folder.rename(aside)
                except FileNotFoundError:
                    continue  # another writer took it away first
                shutil.rmtree(aside, ignore_errors=True)
            except FileNotFoundError:
                continue
            else:
                self.discard()  # another writer finished first, with the same content
                return
        raise OSError(f"{self.folder} keeps changing while it is written; is another program writing there?")

    def discard(self) -> None:
        """Remove what was written."""
        for file in self._files.values():
            file.close()
        shutil.rmtree(self.temporary, ignore_errors=True)

    def __enter__(self) -> "FolderWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self.temporary.exists():
            self.discard()


class _Tee:
    def __init__(self, file, digest):
        self.file, self.digest = file, digest

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)


def _host() -> str:
    return "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())


def _prefix(folder: Path) -> str:
    return f".{folder.name}.writing"


def orphans(parent: Path, *, name: str = "*") -> list[Path]:
    """What killed writers of this machine left of folders; another machine's processes cannot be seen from here.

    Parameters
    ----------
    parent : Path
    name : str
        Of the folder they were writing, or a pattern for several.
    """
    mark = f".writing.{_host()}."
    found = []
    for orphan in parent.glob(f".{name}{mark}*"):
        number = orphan.name.rpartition(mark)[2].split(".")[0]
        if number.isdigit() and not _alive(int(number)):
            found.append(orphan)
    return found


def _remove_orphans(folder: Path) -> None:
    for orphan in orphans(folder.parent, name=folder.name):
        log.info("removing %s, left by a writer that was killed", orphan)
        shutil.rmtree(orphan, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        import psutil
    except ImportError:  # a bare GPU machine: rather keep an orphan than remove a living writer's folder
        return True
    return psutil.pid_exists(process)
