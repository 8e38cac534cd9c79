"""Checkpoints: written whole or not at all, read only when undamaged and of the same run.

A checkpoint is a folder with ``tensors.safetensors`` and ``state.json``; neither can hold code. It is written beside
its place, flushed to the disk and then renamed, by a thread of its own, so that training waits only for the copy to
the CPU. ``state.json`` has the hash of the tensors: what a full disk or a broken one has left is recognised.
"""

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file

from fau_utils.training.state import Tensors

log = logging.getLogger(__name__)

TENSORS, STATE = "tensors.safetensors", "state.json"
FORMAT = 1


class OtherRun(ValueError):
    """Checkpoints in the folder are of a run with other settings."""


class Checkpoint(NamedTuple):
    """What was read: where from, its tensors, and its plain data."""

    path: Path
    tensors: Tensors
    state: dict[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of one run are, and how often they are written.

    Parameters
    ----------
    folder : path-like
        Of this run alone. With several processes, one that all of them see.
    every : int
        Views between checkpoints; one is written at the end in any case.
    keep : int
        How many of the latest are kept.

    Raises
    ------
    ValueError
        A number that is not positive.
    """

    folder: str | os.PathLike
    every: int
    keep: int = 3

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ValueError(
                f"expected a positive number of views and of checkpoints, found {self.every} and {self.keep}"
            )

    @property
    def path(self) -> Path:
        return Path(self.folder)

    def paths(self) -> list[Path]:
        """Folders of all checkpoints, the latest first."""
        return sorted(self.path.glob("step-*"), reverse=True)

    def newest(self, configuration: Mapping[str, Any]) -> Checkpoint | None:
        """The latest undamaged checkpoint, or None; each damaged one is told of.

        Parameters
        ----------
        configuration : mapping
            What decides the run, as plain data; it has to be that of the checkpoint.

        Raises
        ------
        OtherRun
            When it is not; says what differs.
        """
        for path in self.paths():
            try:
                found = read(path)
            except (OSError, ValueError, KeyError) as error:
                log.warning("checkpoint %s is damaged and skipped: %s", path, error)
                continue
            _refuse_other(found, configuration)
            return found
        return None

    def clear(self) -> None:
        """Remove all checkpoints, for a run that begins anew."""
        for path in self.paths():
            shutil.rmtree(path)


class Writer:
    """Writes the checkpoints of a run, one at a time, beside training.

    A checkpoint that cannot be written is warned of, and training goes on: it may be the disk's last byte, not the
    run's.
    """

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints
        self._thread: threading.Thread | None = None
        checkpoints.path.mkdir(parents=True, exist_ok=True)
        for partial in checkpoints.path.glob(".step-*"):
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed

    def write(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> None:
        """Begin to write; `tensors` must not change any more. Waits only while an earlier one is being written."""
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(step, tensors, state), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Until the last one is on the disk."""
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _write(self, step: int, tensors: Tensors, state: Mapping[str, Any]) -> None:
        try:
            write(self._checkpoints.path / f"step-{step:09d}", tensors, state)
            for old in self._checkpoints.paths()[self._checkpoints.keep :]:
                shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            log.warning("the checkpoint of step %d could not be written, training goes on: %s", step, error)


def write(path: Path, tensors: Tensors, state: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all; one that is there is replaced."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial / TENSORS)
    said = {"format": FORMAT, **state, "sha256": _digest(partial / TENSORS)}
    (partial / STATE).write_text(json.dumps(said), "utf-8")
    for name in (TENSORS, STATE):
        _flush(partial / name)
    _flush(partial)
    if path.exists():
        shutil.rmtree(path)  # of the same step: damaged, or the same
    os.rename(partial, path)
    _flush(path.parent)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    OSError, ValueError, KeyError
        When it is damaged or of another format.
    """
    state = json.loads((path / STATE).read_text("utf-8"))
    if not isinstance(state, dict) or state["format"] != FORMAT:
        raise ValueError(f"expected {STATE} of format {FORMAT}, found {str(state)[:40]}")
    if state["sha256"] != (found := _digest(path / TENSORS)):
        raise ValueError(f"expected {TENSORS} with hash {state['sha256'][:12]}, found {found[:12]}")
    return Checkpoint(path, load_file(path / TENSORS), state)


def _refuse_other(found: Checkpoint, configuration: Mapping[str, Any]) -> None:
    then, now = found.state["configuration"], json.loads(json.dumps(configuration))
    differ = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if differ:
        said = "; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in differ)
        raise OtherRun(
            f"{found.path} is of another run: {said}. Use a folder for each run, or begin anew with resume=False, "
            "which removes the checkpoints in this one"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
