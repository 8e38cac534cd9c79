"""What every method of the book offers, whatever is inside."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed, nn

from fau_utils.batch import Batch


@dataclass
class Losses:
    """A training loss and the parts it is the sum of (weights included), for the progress line and the history."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Learner(nn.Module, ABC):
    """Anything that ``fit`` can train: it says what its loss is and which parameters learn how.

    A pretraining method is a learner and no more; an AU detector is a :class:`Method`.
    """

    @abstractmethod
    def loss(self, batch: Batch) -> Losses:
        """Training loss of a batch; labels that are ``nan`` give no gradient."""

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """The feature that is handed on, (B, D) float32: what an AU head reads and what probes ask about identity."""

    def param_groups(self) -> list[dict]:
        """Parameter groups for the optimiser; biases, norms and other 1-D parameters decay to nothing by default."""
        decayed = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        free = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        return [{"params": decayed}, {"params": free, "weight_decay": 0.0}]

    def prepare(self, images: Tensor) -> None:
        """Called once by ``fit`` with a sample of the training images, (N, 3, H, W) float32 in [0, 1].

        A learner that normalises by training statistics keeps them in buffers here; the default needs none.
        """

    def balance(self, positive_weight: Tensor) -> None:
        """Called once by ``fit``, before training, when the budget has ``label_weights="balanced"``.

        A learner that can do it keeps the weights in a buffer and gives them to :func:`masked_bce`.

        Parameters
        ----------
        positive_weight : Tensor, (A,) float32
            How many times as much a positive label of each AU is to count as a negative one.

        Raises
        ------
        ValueError
            By default: nobody shall believe in weights that nothing reads.
        """
        raise ValueError(f"{type(self).__name__} does not weigh labels; use a budget with label_weights='none'")


class Method(Learner):
    """A trainable AU detector.

    ``predict`` and ``embed`` take a :class:`Batch` rather than an image because some methods read more than
    pixels: landmark baselines read ``landmarks``, occlusion-robust ones ``visible``. No method may read
    ``batch.au`` there; the contract test hides it.

    Attributes
    ----------
    aus : tuple of int
        AU number of each output column, in order.
    """

    aus: tuple[int, ...]

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Probability of each AU, (B, A) float32 in [0, 1]."""


def masked_bce(logits: Tensor, target: Tensor, *, positive_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy over the coded labels only.

    Parameters
    ----------
    logits, target : Tensor, (B, A)
        ``target`` is 0, 1 or ``nan`` (not coded).
    positive_weight : Tensor, (A,), optional
        How many times a positive label counts; see :meth:`Learner.balance`.

    Returns
    -------
    Tensor, ()
        Mean over coded labels; 0 with a gradient of 0 when none is coded. With several processes, the average of
        their losses is the mean over the coded labels of all.
    """
    coded = ~target.isnan()
    element = nn.functional.binary_cross_entropy_with_logits(
        logits.float(),
        torch.where(coded, target, torch.zeros_like(target)),
        pos_weight=positive_weight,
        reduction="none",
    )
    return (element * coded).sum() / share_of_all(coded.sum())


def share_of_all(count: Tensor) -> Tensor:
    """What a sum over `count` things is divided by to give their mean; at least so much that 0 / 0 is 0.

    With several processes, whose gradients are averaged, the things of *all* count, divided by the number of
    processes: a mean of each one's own mean would give a label more weight where few are coded. All processes must
    come here together, as they do in a training step; where no gradient is wanted, each goes its own way.
    """
    if not (torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized()):
        return count.clamp(min=1)
    everywhere = count.detach().clone()
    distributed.all_reduce(everywhere)
    return everywhere.clamp(min=1) / distributed.get_world_size()
