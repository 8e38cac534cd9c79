"""Reproducible beginnings without touching anybody else's random numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, *, devices: tuple[int, ...] = ()) -> Iterator[None]:
    """Inside, torch's random numbers follow from `seed`; outside, they go on as if nothing had happened.

    Parameters
    ----------
    seed : int
    devices : tuple of int
        CUDA devices whose generators are to be kept as well.
    """
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
