"""The gradient of a batch, in one piece or, where memory is short, in several."""

import logging
from contextlib import nullcontext

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses

log = logging.getLogger(__name__)


class Gradients:
    """Computes losses and adds up gradients, a micro-batch at a time.

    A loss is a mean over faces, so the losses of micro-batches are averaged with their numbers of faces as weights,
    and the gradient is that of the whole batch, up to rounding. Two things are not quite the same: a part of the loss
    that is a mean over something else (the coded labels, say) is a mean of the micro-batches' means, and batch norms
    see a micro-batch at a time.

    When memory does not suffice for a batch, what the attempt changed is undone, the batch is halved until it fits, and
    the run goes on with that size. Every face counts once.

    Parameters
    ----------
    fabric : Fabric
    module : Module
        The learner as Fabric set it up.
    micro : int
        Faces at a time in this process; 0 is the whole of its part of a batch.
    batch_size : int
        Of all processes together. All processes make the same number of micro-batches.
    """

    def __init__(self, fabric: Fabric, module: nn.Module, *, micro: int, batch_size: int):
        self.micro = micro
        self._fabric, self._module = fabric, module
        self._share = -(-batch_size // fabric.world_size)
        self._undo = Undo(module, device=fabric.device)

    def of(self, batch: Batch, *, step: int) -> Losses:
        """Losses of a batch, detached; its gradients are in the parameters. `step` is for messages.

        Raises
        ------
        torch.OutOfMemoryError
            When a single face does not fit, or when one of several processes runs out of memory.
        """
        parts = min(len(batch), self._parts(batch))
        self._undo.remember()
        failed = ""
        while True:
            try:
                losses = self._accumulated(batch, parts)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                failed = _first_line(error)  # the error itself holds on to the memory
            self._refuse_hopeless(batch, parts, step=step, failed=failed)
            self._undo.undo()
            self._clear()
            parts = min(len(batch), 2 * parts)
        if failed:
            self.micro = -(-len(batch) // parts)
            words = "out of memory with %d faces at step %d: going on with micro-batches of %d"
            log.warning(words, len(batch), step + 1, self.micro)
        return losses

    def _parts(self, batch: Batch) -> int:
        if not self.micro:
            return 1
        most = len(batch) if self._fabric.world_size == 1 else self._share
        return -(-most // self.micro)

    def _accumulated(self, batch: Batch, parts: int) -> Losses:
        if parts == 1:
            return self._backward(batch, 1.0, last=True)
        found = []
        for k in range(parts):
            part = batch[len(batch) * k // parts : len(batch) * (k + 1) // parts]
            share = len(part) / len(batch)
            found.append((share, self._backward(part, share, last=k == parts - 1)))
        return Losses(
            sum(share * losses.total for share, losses in found),
            {name: sum(share * losses.parts[name] for share, losses in found) for name in found[0][1].parts},
        )

    def _backward(self, batch: Batch, share: float, *, last: bool) -> Losses:
        alone = self._fabric.world_size == 1
        with nullcontext() if last or alone else self._fabric.no_backward_sync(self._module):
            with self._fabric.autocast():  # on one device Fabric's own wrapper leaves it out
                losses = self._module.loss(batch)
            if losses.total.requires_grad:
                self._fabric.backward(losses.total if share == 1.0 else share * losses.total)
        return Losses(losses.total.detach(), {name: part.detach() for name, part in losses.parts.items()})

    def _refuse_hopeless(self, batch: Batch, parts: int, *, step: int, failed: str) -> None:
        if self._fabric.world_size > 1:
            # the others are waiting for this process's gradients and cannot know
            raise torch.OutOfMemoryError(
                f"process {self._fabric.global_rank} ran out of memory with {-(-len(batch) // parts)} faces at step "
                f"{step + 1} ({failed}); batches are split on the way in one process only, so begin again with a "
                "budget with micro, the faces at a time in each process"
            )
        if parts >= len(batch):
            raise torch.OutOfMemoryError(
                f"a single face does not fit into memory at step {step + 1} ({failed}); take a smaller network or "
                "smaller images"
            )

    def _clear(self) -> None:
        self._module.zero_grad()
        if self._fabric.device.type == "cuda":
            torch.cuda.empty_cache()


class Undo:
    """Remembers what a forward pass changes besides gradients: buffers and random numbers."""

    def __init__(self, module: nn.Module, *, device: torch.device):
        self._device = device if device.type == "cuda" else None
        kinds: dict[tuple, list[Tensor]] = {}
        for buffer in module.buffers():
            kinds.setdefault((buffer.dtype, buffer.device), []).append(buffer)
        # one kernel for each kind
        self._buffers = list(kinds.values())
        self._kept = [[buffer.clone() for buffer in kind] for kind in self._buffers]

    @torch.no_grad()
    def remember(self) -> None:
        for kept, now in zip(self._kept, self._buffers, strict=True):
            torch._foreach_copy_(kept, now)
        self._random = torch.get_rng_state(), self._device and torch.cuda.get_rng_state(self._device)

    @torch.no_grad()
    def undo(self) -> None:
        for kept, now in zip(self._kept, self._buffers, strict=True):
            torch._foreach_copy_(now, kept)
        torch.set_rng_state(self._random[0])
        if self._device:
            torch.cuda.set_rng_state(self._random[1], self._device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: torch has a class for devices and only words for the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
