"""The training loop, once for all methods, on Lightning Fabric."""

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from lightning.fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from fau_utils.data.augment import seeded_flip
from fau_utils.data.images import ImageSet
from fau_utils.data.source import Source, known_length
from fau_utils.methods.contract import Learner, Losses, Method
from fau_utils.metrics import auc_per_au, f1_per_au, mean_over_aus
from fau_utils.models.seeded import seeded
from fau_utils.progress import progress as progress_bar
from fau_utils.provenance import peak_memory
from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.device import resolve
from fau_utils.training.evaluate import matched, predict
from fau_utils.training.loggers import Logger, Loggers
from fau_utils.training.quiet import quiet_lightning

PREPARE_WITH = 2048
"""Largest number of training images that a learner's ``prepare`` sees."""

CHOICES = ("val_f1", "val_auc", "val_loss")
"""What weights can be chosen by."""


@dataclass(frozen=True)
class Fitted:
    """A finished training run.

    Attributes
    ----------
    method : Learner
        The one given, trained, in evaluation mode, on the device it was trained on.
    history : DataFrame
        A row per reading of the loss: ``step, views, seconds, lr, loss``, one column per part of the loss, and
        ``val_f1, val_auc`` or ``val_loss`` where the validation set was looked at. Losses are means since the row
        before.
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

    method: Learner
    history: pd.DataFrame
    budget: Budget
    seed: int
    views: int
    seconds: float
    peak_memory: int
    device: str


def fit(
    method: Learner,
    train: Source,
    *,
    budget: Budget | str = "laptop",
    val: ImageSet | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    precision: str | None = None,
    augment: bool = True,
    choose: str | None = None,
    loggers: Iterable[Logger] = (),
    fabric: Fabric | None = None,
    progress: bool = True,
) -> Fitted:
    """Train a learner, in place.

    The same seed on the same machine gives the same weights: the seed decides the order of faces, which of them
    are mirrored, and all that the method draws itself. The caller's random numbers are left alone.

    Parameters
    ----------
    method : Learner
        Its initial weights are its own affair (its constructor takes a seed).
    train : ImageSet or another Source
        With the method's AUs, in its order.
    budget : Budget or str
        Or the name of one of the method's own budgets.
    val : ImageSet, optional
        Looked at every ``budget.eval_every`` views and at the end.
    seed : int
    device : torch.device or str
        ``auto`` is CUDA where there is any.
    precision : {"32-true", "bf16-mixed"}, optional
        By default bf16-mixed on CUDA and 32-true elsewhere.
    augment : bool
        Mirror each face with probability one half.
    choose : {"val_f1", "val_auc", "val_loss"}, optional
        Keep the weights of the look at the validation set where this was best; by default the last ones.
    loggers : iterable of Logger
        Are given each row of the history, in the first process.
    fabric : Fabric, optional
        One that is launched, see :func:`fau_utils.training.launch.launch`: decides device and precision, and this
        process's part of each batch. Batch size and views are those of all processes together.
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
    fabric = fabric or _alone(resolve(device), precision)
    device = fabric.device
    train = matched(train, method) if isinstance(train, ImageSet) and isinstance(method, Method) else train
    views = budget.views or known_length(train)
    if not views:
        raise ValueError("expected faces to train on or a budget with views, found neither")
    steps = budget.steps(views)
    if device.type == "cuda":
        train = train.to(device) if isinstance(train, ImageSet) else train
        torch.cuda.reset_peak_memory_stats(device)
    best, told = Best(choose, given=val is not None), Loggers(loggers, rank=fabric.global_rank)

    rows: list[dict] = []
    begin = time.perf_counter()
    shown = 0
    shows = progress and fabric.is_global_zero
    bar = progress_bar(what=type(method).__name__, total=views, unit="face") if shows else tqdm(disable=True)
    gpus = (device.index,) if device.type == "cuda" else ()
    with bar, _flushed_denormals(), seeded(seed + fabric.global_rank, devices=gpus), _trained(method), told:
        method.to(device)
        method.prepare(_sample(train, seed=seed, device=device))
        module, optimizer = _set_up(fabric, method, budget)
        readings = Readings(every=max(1, min(50, steps // 50)))
        told.start({"learner": type(method).__name__, "seed": seed, "budget": asdict(budget), "views": views})
        served = train.batches(
            batch_size=budget.batch_size, views=views, seed=seed, device=device,
            rank=fabric.global_rank, world=fabric.world_size,
        )  # fmt: skip
        for step, batch in enumerate(served):
            rate = budget.rate(step, steps=steps)
            batch = seeded_flip(batch, seed=seed, step=step) if augment else batch

            with fabric.autocast():  # Fabric's own wrapper has none around `loss` on a single device
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
            before, shown = shown, views * (step + 1) // steps  # of all processes
            bar.update(shown - before)
            last = step == steps - 1
            look = val is not None and (last or _crosses(before, shown, budget.eval_every))
            if readings.due or look or last:
                means = readings.read(step=step, rate=rate, fabric=fabric)
                row = {"step": step + 1, "views": shown, "seconds": time.perf_counter() - begin, "lr": rate, **means}
                bar.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)
                if look:
                    row |= _look(method, val, device, choose=choose)
                    best.see(method, row)
                rows.append(row)
                told.row(row)
        method.zero_grad()  # frees the gradients
    best.restore(method)

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

    def read(self, *, step: int, rate: float, fabric: Fabric | None = None) -> dict[str, float]:
        """Means since the last reading, over all processes; `step` is the latest one, from 0."""
        values = torch.stack(self.kept)
        values = (values if fabric is None else fabric.all_reduce(values)).cpu()
        self.kept = []
        bad = (~values[:, 0].isfinite()).nonzero().flatten()
        if len(bad):
            first = step - len(values) + 1 + int(bad[0])
            raise FloatingPointError(
                f"the loss was {values[bad[0], 0].item()} at step {first + 1}, learning rate {rate:.2e}; "
                "lower the learning rate, lengthen the warm-up, or look for faces that are not finite"
            )
        return dict(zip(self.names, values.mean(0).tolist(), strict=True))


class Best:
    """The weights that the validation people liked best."""

    def __init__(self, by: str | None, *, given: bool):
        if by is not None and (by not in CHOICES or not given):
            raise ValueError(f"expected choose as one of {', '.join(CHOICES)}, with validation faces, found {by!r}")
        self.by, self.value, self.weights = by, -math.inf, None

    def see(self, method: Learner, row: dict[str, float]) -> None:
        if self.by is None:
            return
        value = -row[self.by] if self.by == "val_loss" else row[self.by]
        if value > self.value:  # of equally good ones the first; an undefined score is never better
            self.value = value
            self.weights = {name: kept.detach().clone() for name, kept in method.state_dict().items()}

    def restore(self, method: Learner) -> None:
        if self.weights is not None:
            method.load_state_dict(self.weights)


def _alone(device: torch.device, precision: str | None) -> Fabric:
    precision = precision or ("bf16-mixed" if device.type == "cuda" else "32-true")
    with quiet_lightning():
        return Fabric(
            accelerator=device.type, devices=[device.index] if device.type == "cuda" else 1, precision=precision
        )


def _set_up(fabric: Fabric, method: Learner, budget: Budget):
    groups = [group for group in method.param_groups() if group["params"]]
    if not groups:
        if fabric.world_size > 1:
            raise ValueError(f"{type(method).__name__} learns without gradients; train it in one process")
        return method, None  # nothing to learn by gradient
    optimizer = torch.optim.AdamW(
        groups, lr=budget.lr, betas=budget.betas, weight_decay=budget.weight_decay, fused=True
    )
    module, optimizer = fabric.setup(method, optimizer)
    module.mark_forward_method("loss")
    return module, optimizer


def _sample(train: Source, *, seed: int, device: torch.device) -> Tensor:
    """Some training images, each at most once, (N, 3, H, W) float32 in [0, 1]; the same ones in all processes."""
    count = min(PREPARE_WITH, known_length(train) or PREPARE_WITH)
    parts = train.batches(batch_size=256, views=count, seed=seed, device=device)
    return torch.cat([batch.image for batch in parts])


def _look(method: Learner, val: ImageSet, device: torch.device, *, choose: str | None) -> dict[str, float]:
    found: dict[str, float] = {}
    if isinstance(method, Method):
        said = predict(method, val, device=device)
        found["val_f1"] = mean_over_aus(f1_per_au(said.prob, said.label)).value
        found["val_auc"] = mean_over_aus(auc_per_au(said.prob, said.label)).value
    if choose == "val_loss" or not found:
        found["val_loss"] = _mean_loss(method, val, device)
    return found


@torch.no_grad()
def _mean_loss(method: Learner, val: ImageSet, device: torch.device) -> float:
    """Mean loss over faces, in evaluation mode, with the same random numbers at every look."""
    gpus = (device.index,) if device.type == "cuda" else ()
    training = method.training
    method.eval()
    try:
        with seeded(0, devices=gpus):
            served = val.batches(batch_size=512, shuffle=False, device=device)
            losses = [(method.loss(batch).total.float(), len(batch)) for batch in served]
    finally:
        method.train(training)
    return float(sum(loss * count for loss, count in losses) / len(val))


def _crosses(before: int, after: int, every: int) -> bool:
    return every > 0 and before // every != after // every


@contextmanager
def _trained(method: Learner) -> Iterator[None]:
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
