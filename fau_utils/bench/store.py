"""Where cells lie: a folder each, in which only the holder of its lock writes.

::

    STORE/driver.lock, plan.json           one driver at a time; what it planned
    STORE/cells/<cell>/spec.json           what is to be done
                       lock, state.json    who does it, and how far; or why it failed
                       log.txt             everything it printed, of all attempts
                       work-<token>/       one attempt's files
                       run.json            written last, by rename: only this says "finished", and names its folder

Imports nothing heavy: each cell's process begins with it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

SCHEMA = 1
"""Version of the layout."""

HOST = socket.gethostname()
ROOT = Path(__file__).resolve().parents[2]
"""Folder of the package and the notebooks; on another machine it may be another one."""


class Busy(ValueError):
    """Another driver works on the store."""


@dataclass(frozen=True)
class Place:
    """The folder of one cell."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def spec(self) -> dict[str, Any] | None:
        return read_json(self.folder / "spec.json")

    @property
    def state(self) -> dict[str, Any] | None:
        return read_json(self.folder / "state.json")

    @property
    def record(self) -> dict[str, Any] | None:
        """``run.json`` of the last finished run, if its files are there."""
        found = read_json(self.folder / "run.json")
        if found is None or found.get("schema", 0) > SCHEMA or not self.result_of(found).is_dir():
            return None
        return found

    def result_of(self, record: dict[str, Any]) -> Path:
        """Folder with the files of a finished run."""
        return self.folder / str(record.get("folder", "missing"))

    def works(self) -> list[Path]:
        """Folders of attempts, of a finished one too."""
        return sorted(self.folder.glob("work-*"))

    def finished(self, digest: str | None = None) -> dict[str, Any] | None:
        """The record, if the cell is finished as it is wanted now."""
        record = self.record
        wanted = (self.spec or {}).get("digest") if digest is None else digest
        return record if record is not None and record.get("digest") == wanted else None

    def write_state(self, **state: Any) -> None:
        write_json(self.folder / "state.json", state)

    def clear_state(self) -> None:
        (self.folder / "state.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class Store:
    """A folder of cells."""

    root: Path

    @property
    def cells(self) -> Path:
        return self.root / "cells"

    @property
    def plan_file(self) -> Path:
        return self.root / "plan.json"

    def place(self, cell: str) -> Place:
        return Place(self.cells / cell)

    def places(self) -> list[Place]:
        """All cells that were ever planned here."""
        return [Place(path) for path in sorted(self.cells.glob("*/")) if (path / "spec.json").is_file()]

    @property
    def driver(self) -> int | None:
        """Process of the driver that works here now; of one on another machine, too, where the file system tells."""
        path = self.root / "driver.lock"
        if not path.is_file():
            return None
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return _pid(file)
        return None

    @contextlib.contextmanager
    def driven(self) -> Iterator[None]:
        """Be the driver: no other one works here meanwhile. A killed one leaves nothing that is in the way.

        Raises
        ------
        Busy
        """
        self.cells.mkdir(parents=True, exist_ok=True)
        with (self.root / "driver.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Busy(
                    f"another fau bench (process {_pid(file) or '?'}) works on {self.root}; wait for it, watch it with "
                    "`fau bench status`, or stop it"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()} {HOST}\n")
            file.flush()
            yield


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Try to hold a lock file; whether it is held. The kernel lets go of it however the process ends."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def read_json(path: Path) -> dict[str, Any] | None:
    """What a file holds; None when it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a file so that it exists completely or not at all, also when killed or when the disk is full."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(data, stream, indent=1)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def raw(path: Path) -> str | None:
    """Hash of a file as it is now; None when it is gone."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def remove(path: Path) -> None:
    """Remove a folder; gone at once under its name, so that nobody sees half of it."""
    if not path.exists():
        return
    hidden = Path(tempfile.mkdtemp(prefix=".gone-", dir=path.parent))
    path.rename(hidden / path.name)
    shutil.rmtree(hidden, ignore_errors=True)


def _pid(file: TextIO) -> int | None:
    file.seek(0)
    word = file.read().split()
    return int(word[0]) if word and word[0].isdigit() else None
