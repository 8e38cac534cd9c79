"""How much training: numbers with a name, counted in views of faces and never in seconds."""

import dataclasses
import difflib
import math
from dataclasses import dataclass

from fau_utils.methods.contract import Learner

LABEL_WEIGHTS: tuple[str, ...] = ("none", "balanced")


@dataclass(frozen=True)
class Budget:
    """The numbers of a training run.

    Attributes
    ----------
    name : str
        Where they come from: ``smoke`` (seconds, for tests), ``laptop`` (a minute or so on two cores), ``gpu``.
    views : int
        Faces shown in all, repeats counted; 0 means each training face once.
    batch_size : int
    lr : float
        Peak learning rate of AdamW, reached after the warm-up; it falls to `min_lr` along a cosine.
    min_lr : float
    weight_decay : float
    betas : tuple of float
        AdamW's.
    warmup : float
        Share of the steps in which the rate rises linearly.
    clip : float
        Largest norm of the gradient; 0 clips nothing.
    ema : float
        Decay of the moving average of the weights, which is what is then validated and returned, see
        :class:`fau_utils.training.ema.Ema`; 0 keeps none.
    label_weights : {"none", "balanced"}
        ``balanced`` weighs the positive labels of each AU by its negatives per positive among the coded training
        labels; the method is told by :meth:`fau_utils.methods.Learner.balance`.
    micro : int
        Faces that a process computes at a time, gradients are added up; 0 is all of its part of the batch.
    eval_every : int
        Views between evaluations on the validation set; 0 evaluates only at the end.

    Raises
    ------
    ValueError
        A number outside its range; it is named.
    """

    name: str
    views: int
    batch_size: int = 32
    lr: float = 2e-3
    min_lr: float = 0.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = 0.1
    clip: float = 1.0
    ema: float = 0.0
    label_weights: str = "none"
    micro: int = 0
    eval_every: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "views": self.views >= 0,
            "batch_size": self.batch_size >= 1,
            "lr": self.lr >= 0 and math.isfinite(self.lr),
            "min_lr": 0 <= self.min_lr <= self.lr,
            "weight_decay": self.weight_decay >= 0,
            "warmup": 0 <= self.warmup < 1,
            "clip": self.clip >= 0,
            "ema": 0 <= self.ema < 1,
            "label_weights": self.label_weights in LABEL_WEIGHTS,
            "micro": self.micro >= 0,
            "eval_every": self.eval_every >= 0,
        }
        for field, fits in ranges.items():
            if not fits:
                raise ValueError(f"budget {self.name!r}: {field} = {getattr(self, field)!r} is out of range")

    def replace(self, **changes) -> "Budget":
        """The same budget with other numbers, e.g. ``budget.replace(views=10_000)``."""
        return dataclasses.replace(self, **changes)

    def steps(self, views: int) -> int:
        """Optimiser steps for a number of views."""
        return -(-views // self.batch_size)

    def rate(self, step: int, *, steps: int) -> float:
        """Learning rate of a step, counted from 0: linear warm-up, then a cosine that ends at `min_lr`."""
        rising = round(self.warmup * steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        height = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
        return self.min_lr + (self.lr - self.min_lr) * height


def budget_for(method: Learner | type[Learner], name: str, **changes) -> Budget:
    """The budget of that name that is written next to a method.

    Parameters
    ----------
    method : Learner or its class
        Has ``budgets``, a dict of dicts.
    name : str
        Usually ``smoke``, ``laptop`` or ``gpu``.
    **changes
        Numbers to replace.

    Raises
    ------
    ValueError
        When the method has no budget of that name; the ones it has are listed.
    """
    known = getattr(method, "budgets", {})
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        label = method.__name__ if isinstance(method, type) else type(method).__name__
        raise ValueError(f"{label} has no budget {name!r}; {hint}it has {sorted(known)}, or pass a Budget")
    return Budget(name=name, **{**known[name], **changes})
