"""AdamW over the groups that a learner asks for, and its learning rate."""

import torch
from lightning.fabric import Fabric
from torch import nn

from fau_utils.methods.contract import Learner
from fau_utils.training.budget import Budget
from fau_utils.training.divided import divides

FUSED: tuple[str, ...] = ("cpu", "cuda", "mps", "xpu")
"""Kinds of device on which one kernel updates all parameters."""


def adamw(learner: Learner, budget: Budget) -> torch.optim.AdamW | None:
    """The optimiser of a run; None for a learner that has nothing to learn by gradient.

    Groups are the learner's (:meth:`~fau_utils.methods.Learner.param_groups`): each may have a ``weight_decay`` of its
    own, and ``lr_scale``, a factor of the learning rate, as layer decay needs it.

    Raises
    ------
    ValueError
        When a parameter is in two groups.
    """
    groups = [group for group in learner.param_groups() if group["params"]]
    if not groups:
        return None
    kinds = {parameter.device.type for group in groups for parameter in group["params"]}
    return torch.optim.AdamW(
        groups, lr=budget.lr, betas=budget.betas, weight_decay=budget.weight_decay, fused=kinds <= set(FUSED)
    )


def set_up(learner: Learner, budget: Budget, *, fabric: Fabric) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """The learner and its optimiser, as Fabric lets them take part in its processes.

    Raises
    ------
    ValueError
        When a learner without an optimiser is to be trained in several processes.
    """
    optimizer = adamw(learner, budget)
    if optimizer is None:
        if fabric.world_size > 1:
            raise ValueError(f"{type(learner).__name__} learns without gradients; train it in one process")
        return learner, None
    if divides(fabric):  # its parameters are others afterwards
        module = fabric.setup_module(learner)
        optimizer = fabric.setup_optimizers(adamw(learner, budget))
    else:
        module, optimizer = fabric.setup(learner, optimizer)
    module.mark_forward_method("loss")
    return module, optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give each group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
