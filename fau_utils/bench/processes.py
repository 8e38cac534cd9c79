"""The processes of a cell: found by a mark in their environment, measured together, ended together."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "FAU_BENCH_CELL"
"""Environment variable that every process of a cell inherits, whatever session or parent it has by now."""


@dataclass
class Watched:
    """How a body ended.

    Attributes
    ----------
    code : int
        Exit status, negative for a signal.
    seconds : float
    memory : int
        Largest sum of the resident memory of its processes, bytes.
    limit : str or None
        The limit for which it was ended.
    """

    code: int
    seconds: float
    memory: int
    limit: str | None = None


def watch(
    process: subprocess.Popen,
    *,
    seconds: float | None,
    memory: float | None,
    beat: Callable[[], None] = lambda: None,
    every: float = 0.5,
) -> Watched:
    """Wait for a body, and end it with all its children when it uses more than it may.

    Parameters
    ----------
    seconds, memory : float, optional
        Wall-clock time; bytes of resident memory of all its processes. Pages that they share count in each.
    beat : callable
        Called about every ten seconds.
    """
    begin, peak, limit, last = time.monotonic(), 0, None, time.monotonic()
    pause = 0.02  # short cells are not kept waiting
    while True:
        try:
            process.wait(timeout=pause)
            break
        except subprocess.TimeoutExpired:
            pause = min(every, 1.5 * pause)
        now = time.monotonic()
        used = _resident(process.pid)
        peak = max(peak, used)
        if seconds is not None and now - begin > seconds:
            limit = f"time limit of {seconds / 60:g} min reached"
        elif memory is not None and used > memory:
            limit = f"memory limit of {memory / 1e9:g} GB reached ({used / 1e9:.2f} GB)"
        if limit is not None:
            end(process)
            break
        if now - last > 10:
            last = now
            beat()
    return Watched(process.wait(), time.monotonic() - begin, peak, limit)


def end(process: subprocess.Popen) -> None:
    """End a body, its session, and its descendants in sessions of their own."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in family:
        with contextlib.suppress(psutil.Error):
            child.kill()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


def end_orphans(folder: Path, *, patience: float = 10.0) -> int:
    """End all processes of a cell that outlived the one that watched them; how many there were."""
    mark, mine, ended = str(folder), {os.getpid(), os.getppid()}, set()
    begin = time.monotonic()
    while True:
        found = [p for p in _marked(mark) if p.pid not in mine]
        if not found or time.monotonic() - begin > patience:
            return len(ended)
        for process in found:
            ended.add(process.pid)
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, timeout=1)


def alive(pid: int, started: float) -> bool:
    """Whether that very process lives; numbers are used again."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For ``preexec_fn``: Linux then sends the child that signal when its parent is gone. Elsewhere nothing."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork, after which little is safe
    return lambda: prctl(1, number)  # PR_SET_PDEATHSIG


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != user or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def _resident(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total
