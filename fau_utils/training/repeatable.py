"""Whether a device computes the same gradient twice."""

import torch
from torch import nn

from fau_utils.batch import Batch
from fau_utils.training.memory import Gradients, Undo
from fau_utils.training.state import local


def repeatable(gradients: Gradients, learner: nn.Module, batch: Batch, *, device: torch.device) -> bool:
    """Compute a batch's gradient twice from the same state and compare bits; afterwards all is as before.

    Some CUDA kernels add up in the order in which threads happen to arrive. Which ones a run uses depends on shapes,
    precision and libraries, so it is measured and not looked up. Equal bits are no proof for all steps to come.
    """
    before = Undo(learner, device=device)
    before.remember()
    found = []
    for _ in range(2):
        gradients.of(batch, step=0)
        found.append([local(p.grad).clone() for p in learner.parameters() if p.grad is not None])
        learner.zero_grad()
        before.undo()
    # NaN is equal to itself here
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(*found, strict=True))
