"""Noticing that embeddings have collapsed, without making a GPU wait for the host.

A loss that asks for agreement is satisfied by embeddings that are all the same, and then looks wonderful.
"""

import torch
from torch import Tensor

LEAST_STD = 0.05
"""Of the spread of embeddings, see :func:`spread`: about 1 where they point everywhere."""

LEAST_RANK = 1.05

MOST_ENTROPY = 0.9995
"""Of attention, as a share of that of equal attention to all rows."""


class Collapsed(RuntimeError):
    """Embeddings carry nothing any more; going on would waste time."""


def spread(z: Tensor) -> Tensor:
    """Mean standard deviation of the numbers of embeddings of length 1, times the root of their width, ().

    1 when they point in all directions equally often, 0 when all are the same. z is (N, D).
    """
    return z.detach().std(0).mean() * z.shape[1] ** 0.5


def rank(z: Tensor) -> Tensor:
    """Number of directions that embeddings (N, D) use: the participation ratio of their variances, ().

    (sum of v)^2 / sum of v^2 over the eigenvalues v of the covariance; no eigenvalue is computed.
    """
    centred = z.detach() - z.detach().mean(0)
    covariance = centred.T @ centred
    return covariance.diagonal().sum() ** 2 / covariance.square().sum().clamp(min=1e-20)


def entropy(attention: Tensor, allowed: Tensor) -> Tensor:
    """Mean entropy of attention over the allowed rows, as a share of the greatest there is, ().

    Parameters
    ----------
    attention : Tensor, (B, K)
        0 where not allowed.
    allowed : Tensor, (B, K) bool
    """
    own = -torch.xlogy(attention.detach(), attention.detach()).sum(1)
    most = allowed.sum(1).clamp(min=2).log()
    some = allowed.sum(1) > 1
    return torch.where(some, own / most, 0.5).mean()


class Watch:
    """Looks at the monitors of a run now and then, and stops it when they stay bad.

    On a GPU a reading is copied in the background and looked at in a later step, when it has arrived.

    Parameters
    ----------
    every : int
        Steps between readings.
    patience : int
        Bad readings in a row that stop the run.
    """

    def __init__(self, *, every: int = 20, patience: int = 5):
        self.every, self.patience = every, patience
        self._steps, self._bad, self._waiting = 0, 0, None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_waiting": None}  # a reading under way belongs to its device

    def see(self, **readings: Tensor) -> None:
        """Take note of readings, each (): ``std``, ``rank``, ``entropy``.

        Raises
        ------
        Collapsed
            Says which reading is bad, and what to try.
        """
        self._judge()
        if self._steps % self.every == 0 and self._waiting is None:
            values = torch.stack([value.detach().float() for value in readings.values()])
            arrived = None
            if values.is_cuda:
                values = torch.empty(len(values), pin_memory=True).copy_(values, non_blocking=True)
                arrived = torch.cuda.Event()
                arrived.record()
            self._waiting = (self._steps, tuple(readings), values, arrived)
        self._steps += 1

    def _judge(self) -> None:
        if self._waiting is None or (self._waiting[3] is not None and not self._waiting[3].query()):
            return
        step, names, values, _ = self._waiting
        self._waiting = None
        found = dict(zip(names, values.tolist(), strict=True))
        wrong = {
            "std": found.get("std", 1.0) < LEAST_STD,
            "rank": found.get("rank", 2.0) < LEAST_RANK,
            "entropy": found.get("entropy", 0.0) > MOST_ENTROPY,
        }
        self._bad = self._bad + 1 if any(wrong.values()) else 0
        if self._bad >= self.patience:
            said = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
            bad = " and ".join(name for name, is_bad in wrong.items() if is_bad)
            raise Collapsed(
                f"the embeddings have collapsed ({bad}) in {self._bad} readings up to step {step + 1} of this run: "
                f"{said}. Try less weight on the reconstruction, a larger margin, more different clips in a batch, or "
                "a smaller learning rate"
            )
