"""A layer that changes nothing on the way forward and the sign of the gradient on the way back.

What comes before it learns to make the task of what comes after it harder.

References
----------
Ganin & Lempitsky (2015), "Unsupervised Domain Adaptation by Backpropagation", section 3; its schedule is
:func:`ramp`. Tzeng et al. (2015), "Simultaneous Deep Transfer Across Domains and Tasks", for uniform confusion.
"""

import math

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, strength: float | Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.strength = inputs[1]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * -ctx.strength, None


def reverse_gradient(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """The same values; their gradient is multiplied by ``-strength``.

    Parameters
    ----------
    x : Tensor, any shape
    strength : float or Tensor, ()
        The lambda of the papers, at least 0. Whatever reads the result learns at full strength. As a tensor it stays
        on its device, so that a schedule makes no host wait.
    """
    return _Reverse.apply(x, strength if isinstance(strength, Tensor) else float(strength))


class GradientReversal(nn.Module):
    """:func:`reverse_gradient` as a layer.

    Parameters
    ----------
    strength : float
        May be set anew at each step; it is no part of the state dict.
    """

    def __init__(self, strength: float = 1.0):
        super().__init__()
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        return reverse_gradient(x, self.strength)

    def extra_repr(self) -> str:
        return f"strength={self.strength:g}"


def ramp(progress: float, *, strength: float = 1.0, steepness: float = 10.0) -> float:
    """Strength after a share of training: 0 at the beginning, nearly `strength` at the end.

    Parameters
    ----------
    progress : float
        Share of the steps done, in [0, 1].
    strength, steepness : float
        ``strength * (2 / (1 + exp(-steepness * progress)) - 1)``, with 10 in the paper.

    Raises
    ------
    ValueError
        A share outside [0, 1].
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"expected a share of training in [0, 1], found {progress}")
    return strength * (2 / (1 + math.exp(-steepness * progress)) - 1)


def uniform_confusion(logits: Tensor) -> Tensor:
    """Cross-entropy of the uniform distribution against a classifier's, for the encoder: the other way to forget.

    Unlike a reversed gradient it does not push towards confident mistakes. The classifier itself must be trained with
    its own loss, on features that are detached, and this one must not reach its weights.

    Parameters
    ----------
    logits : Tensor, (B, S)

    Returns
    -------
    Tensor, ()
        At least log S, which it reaches when every class is equally likely.
    """
    return -logits.float().log_softmax(-1).mean()
