"""Calling one function for many arguments in several processes that die with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")


class WorkerKilled(RuntimeError):
    """A worker process ended without an answer."""


def cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[..., Result], arguments: Iterable[tuple], *, workers: int | None = None, count: int | None = None
) -> Iterator[Result]:
    """Results of ``function(*arguments)``, as they come.

    Parameters
    ----------
    function : callable
        Of a module, so that another process can import it.
    arguments : iterable of tuple
        Taken one by one, only a few ahead of the work.
    workers : int, optional
        Processes, by default one per CPU of this process, and no more than there is to do. With 1 there is no other
        process.
    count : int, optional
        How many arguments there are.

    Raises
    ------
    WorkerKilled
        When a worker was killed, usually for want of memory.
    Exception
        Whatever `function` raises; the other workers are ended.
    """
    workers = cpus() if workers is None else workers
    if workers < 1:
        raise ValueError(f"expected at least 1 worker, found {workers}")
    if count is not None:
        workers = max(1, min(workers, count))
    if workers == 1:
        for each in arguments:
            yield function(*each)
        return
    # spawn: a fork would copy the locks of threads that are in the middle of something
    context = multiprocessing.get_context("spawn")
    waiting = iter(arguments)
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        try:
            running = {pool.submit(function, *each) for each in islice(waiting, 2 * workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, *each) for each in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerKilled(
                "a worker process was killed, usually because memory ran out; run again with fewer workers, "
                "it goes on where it stopped"
            ) from error
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()  # not to wait for the pieces they are at
            raise


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
