"""How many bits a number has while training."""

import copy
import logging
import time

import torch

from fau_utils.data.source import Source
from fau_utils.methods.contract import Learner
from fau_utils.models.seeded import seeded
from fau_utils.training.budget import Budget

log = logging.getLogger(__name__)

WORTH = 1.15
"""How many times faster bf16 has to be on a CPU to be taken: rounding has a price, and clocks are not exact."""


def precision_for(
    asked: str | None, learner: Learner, train: Source, *, device: torch.device, budget: Budget, seed: int
) -> str:
    """Fabric's name of a precision.

    By default ``bf16-mixed`` on CUDA and ``32-true`` elsewhere. ``measure`` times a few steps on a CPU and takes the
    faster one; it is not the default because a clock would then decide the weights.

    Parameters
    ----------
    asked : str, optional
        One of Fabric's, or ``measure``.
    learner : Learner
        Neither it nor any random number is changed.
    """
    if asked == "measure" and device.type == "cpu":
        seconds = seconds_per_step(learner, train, batch_size=budget.batch_size, seed=seed)
        ratio = seconds["32-true"] / seconds["bf16-mixed"]
        chosen = "bf16-mixed" if ratio > WORTH else "32-true"
        log.info("a step in bf16 is %.2f times as fast as in float32 on this CPU: training in %s", ratio, chosen)
        return chosen
    if asked is None or asked == "measure":
        return "bf16-mixed" if device.type == "cuda" else "32-true"
    return asked


def seconds_per_step(
    learner: Learner, train: Source, *, batch_size: int, seed: int, steps: int = 4
) -> dict[str, float]:
    """Seconds of a forward and a backward pass in each precision on the CPU: the least of some, taken by turns."""
    trial = copy.deepcopy(learner).cpu().train()
    seconds = {"32-true": float("inf"), "bf16-mixed": float("inf")}
    with seeded(seed):
        batch = next(iter(train.batches(batch_size=batch_size, views=batch_size, seed=seed)))
        for _ in range(steps):
            for precision in seconds:
                begin = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                    total = trial.loss(batch).total
                if total.requires_grad:
                    total.backward()
                seconds[precision] = min(seconds[precision], time.perf_counter() - begin)
                trial.zero_grad()
    return seconds
