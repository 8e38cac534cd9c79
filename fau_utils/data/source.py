"""What training reads from: anything that serves batches in an order it can repeat."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch

from fau_utils.batch import Batch


@runtime_checkable
class Source(Protocol):
    """Faces to train on: an :class:`~fau_utils.data.images.ImageSet`, shards, or one of your own.

    Has ``len()`` when it knows how many faces it has; see :func:`known_length`.
    """

    def batches(
        self,
        *,
        batch_size: int,
        views: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """Shuffled batches, the same ones each time they are asked for with the same arguments.

        Parameters
        ----------
        batch_size : int
            Largest number of faces of a step, *all processes together*.
        views : int, optional
            Faces to serve in all, all processes together, repeats counted; by default each face once.
        seed : int
            Decides the order of every epoch.
        device : torch.device or str
            Where the batches are wanted.
        rank, world : int
            This process among how many. Each serves its own part of each step: no face of a step twice, none left
            out. All processes serve the same number of batches.
        skip : int
            Number of steps at the beginning that are not served: what is left of a run that was interrupted after
            `skip` steps.
        """
        ...


def known_length(source: Source) -> int | None:
    """Number of faces of a source, or None when it does not know."""
    return len(source) if hasattr(source, "__len__") else None


def share(count: int, *, rank: int, world: int) -> slice:
    """Which of `count` faces are those of one of `world` processes: the shares differ by at most one face.

    Raises
    ------
    ValueError
        When there is no such process, or a process would get nothing: its gradient would be of no face.
    """
    if not 0 <= rank < world:
        raise ValueError(f"expected a rank from 0 to {world - 1}, found {rank} of {world} processes")
    if count < world:
        raise ValueError(f"expected a face for each of {world} processes in every batch, found a batch of {count}")
    return slice(count * rank // world, count * (rank + 1) // world)
