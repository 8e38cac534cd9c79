"""The moving average of the weights, which is often better than the weights themselves."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fau_utils.training.state import local, put


class Ema:
    """Exponential moving average of all parameters; buffers, such as a batch norm's statistics, stay the latest.

    After step t, counted from 0, the average moves towards the weights by one minus :meth:`decay`, which is
    small at first so that the initial weights are soon forgotten.

    Parameters
    ----------
    module : Module
        Averaged from its present weights on.
    decay : float
        In [0, 1): reached after about ``10 / (1 - decay)`` steps.

    References
    ----------
    Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30(4).
    The warm-up is the one of TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.
    """

    def __init__(self, module: nn.Module, *, decay: float):
        self._most = decay
        self._parameters = _floats(module.parameters())
        self.names = [name for name, value in module.named_parameters() if value.is_floating_point()]
        self.average = [value.detach().clone() for value in self._parameters]

    def decay(self, step: int) -> float:
        """Share of the old average that is kept after a step, counted from 0."""
        return min(self._most, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 0; one kernel for all on a GPU, and nothing waits for it."""
        torch._foreach_lerp_(_here(self.average), _here(self._parameters), 1 - self.decay(step))

    @torch.no_grad()
    def take(self) -> None:
        """Put the average into the module, for good."""
        torch._foreach_copy_(_here(self._parameters), _here(self.average))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the module has the average; afterwards its own weights again, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for own, average in zip(self._parameters, self.average, strict=True):
            kept = own.detach().clone()  # one at a time: there may be no room for all
            own.detach().copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """The average by the names of the parameters."""
        return dict(zip(self.names, self.average, strict=True))

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        for name, average in self.state().items():
            put(average, state[name])


@contextmanager
def averaged(ema: Ema | None) -> Iterator[None]:
    """As :meth:`Ema.swapped`; without an average nothing changes."""
    if ema is None:
        yield
        return
    with ema.swapped():
        yield


def _here(values: Iterable[Tensor]) -> list[Tensor]:
    return [local(value.detach()) for value in values]


def _floats(values: Iterator[nn.Parameter]) -> list[nn.Parameter]:
    return [value for value in values if value.is_floating_point()]
