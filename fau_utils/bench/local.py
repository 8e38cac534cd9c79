"""A pool of processes on this computer: no server, nothing to install.

A driver that is killed leaves cells that go on by themselves, each with its limits; the next driver waits for those
that are still wanted, and ends the others.
"""

import contextlib
import signal
import subprocess
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

import psutil

from fau_utils.bench import gpus
from fau_utils.bench.plan import Task, command
from fau_utils.data.pool import cpus

AGAIN = 2
"""Times that a cell whose process was killed is begun again in one run."""


class Interrupted(Exception):
    """Stopped from outside; what was finished is kept."""


def run(
    tasks: Sequence[Task],
    *,
    workers: int,
    started: Callable[[Task], None] = lambda task: None,
    ended: Callable[[Task, int], None] = lambda task, code: None,
    tick: Callable[[], None] = lambda: None,
    every: float = 0.05,
) -> None:
    """Run cells, a failed one stops no other.

    Parameters
    ----------
    workers : int
        Cells at a time. Fewer run where GPUs or, by their limits, memory would not do for so many.
    started, ended, tick : callable
        Told of each cell, and called about ten times a second.

    Raises
    ------
    Interrupted
        After Ctrl-C, SIGTERM or a closed terminal: cells are stopped, those that are finished are kept.
    """
    waiting, running, killed = deque(tasks), {}, Counter()
    devices = len(gpus.pool()) if any(task.cell.limits.gpus for task in tasks) else 0
    memory = psutil.virtual_memory().total
    with signals_interrupt():
        try:
            while waiting or running:
                for process in [p for p in running if p.poll() is not None]:
                    task = running.pop(process)
                    if process.returncode < 0 and killed[task.cell.id] < AGAIN:
                        killed[task.cell.id] += 1  # not the cell's doing; it had no time to write down anything
                        waiting.append(task)
                    else:
                        ended(task, process.returncode)
                for _ in range(len(waiting)):  # one that must wait lets a smaller one pass
                    if len(running) >= workers:
                        break
                    task = waiting.popleft()
                    if running and not _fits(task, list(running.values()), devices=devices, memory=memory):
                        waiting.append(task)
                        continue
                    running[_start(task)] = task
                    started(task)
                tick()
                time.sleep(every)
        except BaseException:
            _stop(list(running))
            raise


def default_workers(tasks: Sequence[Task]) -> int:
    """One per GPU where cells ask for one, otherwise as many as the CPUs have threads for."""
    if any(task.cell.limits.gpus for task in tasks):
        return max(1, len(gpus.pool()))
    return max(1, cpus() // max(task.cell.limits.cpus for task in tasks))


def _fits(task: Task, beside: list[Task], *, devices: int, memory: float) -> bool:
    limits = [other.cell.limits for other in (*beside, task)]
    if task.cell.limits.gpus and sum(limit.gpus for limit in limits) > max(1, devices):
        return False
    return sum(1e9 * (limit.memory_gb or 0) for limit in limits) <= memory


def _start(task: Task) -> subprocess.Popen:
    # a session of its own: Ctrl-C reaches the driver, which then stops its cells
    with (task.place.folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            command(task.place), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _stop(running: list[subprocess.Popen], *, patience: float = 15.0) -> None:
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    until = time.monotonic() + patience
    for process in running:
        try:
            process.wait(timeout=max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into :class:`Interrupted`."""

    def interrupt(*_):
        raise Interrupted("the run was stopped")

    before = {}
    with contextlib.suppress(ValueError):  # only the main thread may
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
