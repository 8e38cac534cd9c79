"""The training loop, once for all methods, on Lightning Fabric."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import torch
from lightning.fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from fau_utils.data.augment import random_flip
from fau_utils.data.images import ImageSet, batches
from fau_utils.methods.contract import Losses, Method
from fau_utils.metrics import auc_per_au, f1_per_au, mean_over_aus
from fau_utils.models.seeded import seeded
from fau_utils.progress import progress as progress_bar
from fau_utils.provenance import peak_memory
from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.device import resolve
from fau_utils.training.evaluate import matched, predict

PREPARE_WITH = 2048
"""Largest number of training images that a method's ``prepare`` sees."""


@dataclass(frozen=True)
class Fitted:
    """A finished training run.

    Attributes
    ----------
    method : Method
        The method given, trained, in evaluation mode, on the device it was trained on.
    history : DataFrame
        A row per reading of the loss: ``step, views, seconds, lr, loss``, one column per part of the loss, and
        ``val_f1, val_auc`` where the validation set was looked at. Losses are means since the row before.
    budget : Budget
    seed : int
    views : int
        Faces shown.
    seconds : float
        Wall-clock time, evaluations included.
    peak_memory : int
        Bytes: of the process, or on the CUDA device.
    device : str
    """

    method: Method
    history: pd.DataFrame
    budget: Budget
    seed: int
    views: int
    seconds: float
    peak_memory: int
    device: str


def fit(
    method: Method,
    train: ImageSet,
    *,
    budget: Budget | str = "laptop",
    val: ImageSet | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    precision: str | None = None,
    augment: bool = True,
    progress: bool = True,
) -> Fitted:
    """Train a method, in place.

    The same seed on the same machine gives the same weights: the seed decides the order of faces, which of them
    are mirrored, and all that the method draws itself. The caller's random numbers are left alone.

    Parameters
    ----------
    method : Method
        Its initial weights are its own affair (its constructor takes a seed).
    train : ImageSet
        With the method's AUs, in its order.
    budget : Budget or str
        Or the name of one of the method's own budgets.
    val : ImageSet, optional
        Looked at every ``budget.eval_every`` views and at the end; nothing is chosen by it here.
    seed : int
    device : torch.device or str
        ``auto`` is CUDA where there is any.
    precision : {"32-true", "bf16-mixed"}, optional
        By default bf16-mixed on CUDA and 32-true elsewhere.
    augment : bool
        Mirror each face with probability one half.
    progress : bool
        Show a bar with loss, faces per second and time left.

    Raises
    ------
    ValueError
        When the AUs differ, the set is empty, or the budget is unknown.
    FloatingPointError
        When the loss is no longer finite; says at which step and learning rate.
    """
    budget = budget_for(method, budget) if isinstance(budget, str) else budget
    train, device = matched(train, method), resolve(device)
    views = budget.views or len(train)
    steps = budget.steps(views)
    if device.type == "cuda":
        train = train.to(device)
        torch.cuda.reset_peak_memory_stats(device)
    precision = precision or ("bf16-mixed" if device.type == "cuda" else "32-true")
    with _quiet_lightning():
        fabric = Fabric(
            accelerator=device.type, devices=[device.index] if device.type == "cuda" else 1, precision=precision
        )

    rows: list[dict] = []
    begin = time.perf_counter()
    shown = 0
    bar = progress_bar(what=type(method).__name__, total=views, unit="face") if progress else tqdm(disable=True)
    gpus = (device.index,) if device.type == "cuda" else ()
    with bar, _flushed_denormals(), seeded(seed, devices=gpus), _trained(method):
        method.to(device)
        method.prepare(_sample(train, seed=seed, device=device))
        module, optimizer = _set_up(fabric, method, budget)
        readings = Readings(every=max(1, min(50, steps // 50)))
        generator = torch.Generator(device).manual_seed(seed)
        served = batches(train, batch_size=budget.batch_size, views=views, seed=seed, device=device)
        for step, batch in enumerate(served):
            rate = budget.rate(step, steps=steps)
            batch = random_flip(batch, generator=generator) if augment else batch

            losses = module.loss(batch)
            if optimizer is not None:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group.get("lr_scale", 1.0)
                optimizer.zero_grad()
                fabric.backward(losses.total)
                if budget.clip:
                    fabric.clip_gradients(module, optimizer, max_norm=budget.clip, error_if_nonfinite=False)
                optimizer.step()

            readings.add(losses)
            before, shown = shown, shown + len(batch)
            bar.update(len(batch))
            last = step == steps - 1
            look = val is not None and (last or _crosses(before, shown, budget.eval_every))
            if readings.due or look or last:
                means = readings.read(step=step, rate=rate)
                row = {"step": step + 1, "views": shown, "seconds": time.perf_counter() - begin, "lr": rate, **means}
                bar.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)
                rows.append({**row, **_look(method, val, device)} if look else row)
        method.zero_grad()  # frees the gradients

    return Fitted(
        method=method.eval(),
        history=pd.DataFrame(rows),
        budget=budget,
        seed=seed,
        views=shown,
        seconds=time.perf_counter() - begin,
        peak_memory=peak_memory(device),
        device=str(device),
    )


class Readings:
    """Losses stay on the device and are read together, so that no step waits for the host."""

    def __init__(self, *, every: int):
        self.every = every
        self.kept: list[Tensor] = []
        self.names: list[str] = []

    def add(self, losses: Losses) -> None:
        self.names = ["loss", *losses.parts]
        parts = [losses.total, *losses.parts.values()]
        self.kept.append(torch.stack([part.detach().float() for part in parts]))

    @property
    def due(self) -> bool:
        return len(self.kept) >= self.every

    def read(self, *, step: int, rate: float) -> dict[str, float]:
        """Means since the last reading; `step` is the latest one, from 0."""
        values = torch.stack(self.kept).cpu()
        self.kept = []
        bad = (~values[:, 0].isfinite()).nonzero().flatten()
        if len(bad):
            first = step - len(values) + 1 + int(bad[0])
            raise FloatingPointError(
                f"the loss was {values[bad[0], 0].item()} at step {first + 1}, learning rate {rate:.2e}; "
                "lower the learning rate, lengthen the warm-up, or look for faces that are not finite"
            )
        return dict(zip(self.names, values.mean(0).tolist(), strict=True))


def _set_up(fabric: Fabric, method: Method, budget: Budget):
    groups = [group for group in method.param_groups() if group["params"]]
    if not groups:
        return method, None  # nothing to learn by gradient
    optimizer = torch.optim.AdamW(
        groups, lr=budget.lr, betas=budget.betas, weight_decay=budget.weight_decay, fused=True
    )
    module, optimizer = fabric.setup(method, optimizer)
    module.mark_forward_method("loss")
    return module, optimizer


def _sample(train: ImageSet, *, seed: int, device: torch.device) -> Tensor:
    """Some training images, each at most once, (N, 3, H, W) float32 in [0, 1]."""
    count = min(PREPARE_WITH, len(train))
    parts = batches(train, batch_size=256, views=count, seed=seed, device=device)
    return torch.cat([batch.image for batch in parts])


def _look(method: Method, val: ImageSet, device: torch.device) -> dict[str, float]:
    said = predict(method, val, device=device)
    return {
        "val_f1": mean_over_aus(f1_per_au(said.prob, said.label)).value,
        "val_auc": mean_over_aus(auc_per_au(said.prob, said.label)).value,
    }


def _crosses(before: int, after: int, every: int) -> bool:
    return every > 0 and before // every != after // every


@contextmanager
def _trained(method: Method) -> Iterator[None]:
    """Training mode inside; evaluation mode afterwards, also when interrupted."""
    method.train()
    try:
        yield
    finally:
        method.eval()


@contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 inside: after saturated sigmoids they make some CPUs ten times slower."""
    before = sys.float_info.min / 2 == 0  # torch has no way to ask
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Fabric tells what it found of processes and devices; the history says all that matters."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.fabric", "lightning.fabric.utilities")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
