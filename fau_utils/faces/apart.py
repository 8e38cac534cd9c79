"""Drawing on a thread of its own, because how a thread counts is not ours to change."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def quiet() -> None:
    """Make this thread draw alone, and take numbers below 1e-38 for 0: exp() of large negatives makes many, slowly."""
    torch.set_num_threads(1)  # small batches: two threads that wait for each other are slower than one
    torch.set_flush_denormal(True)


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """What a function that draws a few faces returns, called on a :func:`quiet` thread.

    The caller's thread keeps its own number of threads and its denormal numbers.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="faces", initializer=quiet) as thread:
            return thread.submit(function, *arguments).result()
    finally:
        torch.set_num_threads(threads)
