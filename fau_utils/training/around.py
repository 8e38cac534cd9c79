"""What holds while a run lasts, and is as before afterwards, also when it is interrupted."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from tqdm import tqdm

from fau_utils.models.seeded import seeded
from fau_utils.progress import progress
from fau_utils.training.heap import kept_heap


def bar_for(module: nn.Module, *, total: int, initial: int, on: bool) -> tqdm:
    """A bar over faces with rate and time left, which begins where a resumed run does."""
    if not on:
        return tqdm(disable=True)
    return progress(what=type(module).__name__, total=total, initial=initial, unit="face")


@contextmanager
def running(module: nn.Module, *, seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers that follow from a seed, no denormal numbers, and a module that is being trained."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    gpus = (device.index,) if device.type == "cuda" else ()
    kept = kept_heap(wanted=device.type == "cpu")
    with seeded(seed, devices=gpus), flushed_denormals(), kept, trained(module):
        yield


@contextmanager
def trained(module: nn.Module) -> Iterator[None]:
    """Training mode inside; evaluation mode without gradients afterwards."""
    module.train()
    try:
        yield
    finally:
        module.zero_grad()  # frees the gradients
        module.eval()


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 inside: after saturated sigmoids they make some CPUs ten times slower."""
    before = sys.float_info.min / 2 == 0  # torch has no way to ask
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
