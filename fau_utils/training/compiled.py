"""A loss that is compiled where a compiler can do it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch

from fau_utils.batch import Batch
from fau_utils.methods.contract import Learner, Losses
from fau_utils.training.memory import is_out_of_memory

log = logging.getLogger(__name__)


@contextmanager
def compiled(learner: Learner, *, wanted: bool) -> Iterator[None]:
    """Inside, the learner's loss is compiled by ``torch.compile``, or as it was when that fails."""
    if not wanted:
        yield
        return
    eager = learner.loss
    fast = torch.compile(eager)

    def loss(self: Learner, batch: Batch) -> Losses:
        nonlocal fast
        if fast is eager or not torch.is_grad_enabled():
            return eager(batch)
        try:
            return fast(batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            made = eager(batch)
            reason = (str(error).splitlines() or [""])[0][:200]
            log.warning(
                "%s is not compiled and runs as it is: %s: %s", type(learner).__name__, type(error).__name__, reason
            )
            fast = eager
            return made

    learner.loss = MethodType(loss, learner)
    try:
        yield
    finally:
        del learner.loss
