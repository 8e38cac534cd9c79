"""The order in which images of shards are shown: from seed and epoch alone, without looking at an image."""

import functools
from dataclasses import dataclass

import numpy as np

LANES = 16
"""Parts that a window of the order is cut into, each of neighbouring images; one batch takes as many from each. A
number of processes that divides it has every process read its own stretches of the shards."""


@dataclass(frozen=True)
class Order:
    """Which image comes when, over all epochs: shards in random order, their images shuffled within a window.

    A window slides over whole pieces of `buffer` images. An image is once in each epoch, whatever the numbers.

    Parameters
    ----------
    sizes : tuple of int
        Images of each shard. Images are numbered shard by shard.
    views : int
        Images in all, over all epochs.
    batch_size : int
        Largest step.
    seed : int
    buffer : int
        Images of a window.
    """

    sizes: tuple[int, ...]
    views: int
    batch_size: int
    seed: int = 0
    buffer: int = 16_384

    @property
    def steps(self) -> int:
        """Number of steps; their sizes differ by at most one."""
        return -(-self.views // self.batch_size)

    def begin(self, step: int) -> int:
        """Position of the first image of a step."""
        return self.views * step // self.steps

    def step(self, number: int) -> np.ndarray:
        """Images of a step, (B,) int64."""
        found, position = [], self.begin(number)
        while position < self.begin(number + 1):
            first, images = self.window(position)
            found.append(images[position - first : self.begin(number + 1) - first])
            position = first + len(images)
        return np.concatenate(found)

    def window(self, position: int) -> tuple[int, np.ndarray]:
        """The window around a position: where it begins, and its images in their order, (W,) int64."""
        return _window(self, *self._window_of(position))

    def of(self, position: int, *, rank: int, world: int) -> np.ndarray:
        """Images of the window around a position that one of several processes serves, sorted."""
        first, images = self.window(position)
        begin, count = self._steps_of(np.arange(first, first + len(images)))
        place = np.arange(first, first + len(images)) - begin
        return np.sort(images[(count * rank // world <= place) & (place < count * (rank + 1) // world)])

    def _window_of(self, position: int) -> tuple[int, int]:
        epoch, within = divmod(position, sum(self.sizes))
        return epoch, within // self.buffer

    def _steps_of(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First position and size of the step that each position belongs to."""
        step = ((positions + 1) * self.steps - 1) // self.views
        begin = self.views * step // self.steps
        return begin, self.views * (step + 1) // self.steps - begin


@functools.lru_cache(maxsize=4)
def _window(order: Order, epoch: int, number: int) -> tuple[int, np.ndarray]:
    sizes, total = np.array(order.sizes), sum(order.sizes)
    shards = np.random.default_rng([order.seed, epoch]).permutation(len(sizes))
    ends = sizes[shards].cumsum()
    within = np.arange(number * order.buffer, min((number + 1) * order.buffer, total))
    turn = np.searchsorted(ends, within, side="right")
    numbered = sizes.cumsum() - sizes  # first image of each shard
    images = numbered[shards[turn]] + within - (ends - sizes[shards])[turn]

    first = epoch * total + number * order.buffer
    begin, count = order._steps_of(first + np.arange(len(images)))
    lane = (first + np.arange(len(images)) - begin) * LANES // count
    generator = np.random.default_rng([order.seed, epoch, number])
    cuts = np.bincount(lane, minlength=LANES).cumsum()[:-1]
    ordered = np.empty_like(images)
    ordered[np.argsort(lane, kind="stable")] = np.concatenate(
        [generator.permutation(part) for part in np.split(images, cuts)]
    )
    ordered.setflags(write=False)
    return first, ordered
