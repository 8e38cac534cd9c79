"""Looking at the validation people, and keeping the weights that they liked best."""

import math
from typing import Literal, get_args

import torch
from torch import nn

from fau_utils.data.folds import refuse_leak
from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Learner, Method
from fau_utils.metrics import auc_per_au, f1_per_au, mean_over_aus
from fau_utils.models.seeded import seeded
from fau_utils.training.evaluate import predict
from fau_utils.training.state import Tensors, on_cpu, put_whole, whole

Choice = Literal["val_f1", "val_auc", "val_loss"]

CHOICES: tuple[str, ...] = get_args(Choice)
"""What weights can be chosen by."""


class Best:
    """The weights that the validation people liked best; of equally good ones the earliest.

    Parameters
    ----------
    by : {"val_f1", "val_auc", "val_loss"}, optional
        None keeps nothing, and the last weights stay.

    Attributes
    ----------
    step : int or None
        After which step, counted from 1, these weights were.
    """

    def __init__(self, by: Choice | None):
        self.by, self.value = by, -math.inf
        self.step: int | None = None
        self.weights: Tensors = {}

    def see(self, module: nn.Module, row: dict[str, float]) -> None:
        """Keep the weights if this row of the history is the best so far; an undefined score never is."""
        if self.by is None:
            return
        value = -row[self.by] if self.by == "val_loss" else row[self.by]
        if value > self.value:
            self.value, self.step, self.weights = value, int(row["step"]), on_cpu(whole(module))

    def take(self, module: nn.Module) -> None:
        """Put the best weights into the module."""
        if self.step is not None:
            put_whole(module, self.weights)


def refuse_unfair(
    learner: Learner, train: object, val: ImageSet | None, *, choose: str | None, allow_leak: bool
) -> None:
    """Check that there is something fair to choose by.

    Raises
    ------
    SubjectLeak
        When people are in both sets.
    ValueError
        For an unknown rule, one without validation faces, or one that does not fit the learner.
    """
    if choose is not None and (choose not in CHOICES or val is None):
        raise ValueError(f"expected choose as one of {', '.join(CHOICES)}, with validation faces, found {choose!r}")
    if choose in ("val_f1", "val_auc") and not isinstance(learner, Method):
        raise ValueError(f"{type(learner).__name__} detects no AUs; choose by val_loss, found {choose!r}")
    if choose == "val_loss" and not any(parameter.requires_grad for parameter in learner.parameters()):
        raise ValueError(f"{type(learner).__name__} has no loss to choose by: it learns without gradients")
    if val is not None and isinstance(train, ImageSet) and not allow_leak:
        refuse_leak(training=train.frames, validation=val.frames)


def look(learner: Learner, val: ImageSet, *, device: torch.device, choose: str | None = None) -> dict[str, float]:
    """Scores on the validation set: ``val_f1`` and ``val_auc``, means over AUs, of a method; ``val_loss`` of another
    learner, or when it is asked for. No random number of the run is used up."""
    found: dict[str, float] = {}
    gpus = (device.index,) if device.type == "cuda" else ()
    with seeded(0, devices=gpus):  # the same ones at every look
        if isinstance(learner, Method):
            said = predict(learner, val, device=device)
            found["val_f1"] = mean_over_aus(f1_per_au(said.prob, said.label)).value
            found["val_auc"] = mean_over_aus(auc_per_au(said.prob, said.label)).value
        if choose == "val_loss" or not found:
            found["val_loss"] = _mean_loss(learner, val, device)
    return found


@torch.no_grad()
def _mean_loss(learner: Learner, val: ImageSet, device: torch.device) -> float:
    """Mean over faces, in evaluation mode."""
    training = learner.training
    learner.eval()
    try:
        served = val.batches(batch_size=512, shuffle=False, device=device)
        losses = [(learner.loss(batch).total.float(), len(batch)) for batch in served]
    finally:
        learner.train(training)
    return float(sum(loss * count for loss, count in losses) / len(val))
