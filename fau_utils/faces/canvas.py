"""A picture's worth of skin properties, and small groups of its pixels on which features are painted.

Features cover a few per cent of a picture. Their pixels are gathered into flat rows, painted with ordinary tensor
operations, and put back; nothing else of the picture is touched.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

ALBEDO = slice(0, 3)  # linear light
ACCESS, GLOSS = 3, 4  # ambient light that arrives; strength of the highlight
NORMAL = slice(5, 8)  # in the head's own axes, any length
CHANNELS = 8


@lru_cache(maxsize=128)
def constant(values: tuple, device: torch.device) -> Tensor:
    """A (nested) tuple of numbers as float32 on a device; kept, since conversion takes longer than arithmetic."""
    return torch.tensor(values, dtype=torch.float32, device=device)


def soft(distance: Tensor, footprint: Tensor) -> Tensor:
    """Coverage of an edge: 0 outside, 1 inside, a ramp one pixel wide between."""
    return distance.div(footprint).add_(0.5).clamp_(0, 1)


def fill(row: Tensor, value: Tensor | float, cover: Tensor) -> None:
    """Blend `value` over `row` in place."""
    if isinstance(value, Tensor):
        row.add_(value.sub(row).mul_(cover))
    else:
        row.add_(row.neg().add_(value).mul_(cover))


def true_indices(mask: Tensor) -> Tensor:
    """Flat indices of the True elements."""
    if mask.device.type == "cpu":  # torch's own takes ten times as long here
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero()[:, 0]


class Canvas:
    """The pixels of B pictures with what they see of the head.

    Attributes
    ----------
    material : Tensor
        (8, B, R, R): albedo, access of light, gloss, normal.
    x, y : Tensor
        (B, R, R) material coordinates in face units.
    front : Tensor
        (B, R, R) bool: pixels worth painting.
    footprint : Tensor
        (B, 1, 1) size of a pixel in face units.
    """

    def __init__(self, material: Tensor, x: Tensor, y: Tensor, front: Tensor, footprint: Tensor):
        self.material, self.x, self.y, self.front, self.footprint = material, x, y, front, footprint

    def select(self, mask: Tensor) -> "Spot":
        """The pixels of a (B, R, R) mask that see the head."""
        return Spot(self, true_indices(mask & self.front))


class Spot:
    """Some pixels of a canvas as flat rows of n values."""

    def __init__(self, canvas: Canvas, index: Tensor):
        self.canvas, self.index = canvas, index
        self.face = torch.div(index, canvas.x[0].numel(), rounding_mode="floor")

    def __len__(self) -> int:
        return len(self.index)

    def pick(self, picture: Tensor) -> Tensor:
        """(n,) values of a (B, R, R) picture."""
        return picture.reshape(-1)[self.index]

    def take(self, values: Tensor) -> Tensor:
        """(K, n): the (K, B) values of each pixel's face."""
        return values.index_select(1, self.face)

    def take_side(self, values: Tensor, right: Tensor) -> Tensor:
        """(K, n): the (K, B, 2) values of each pixel's face and side."""
        return values.flatten(1).index_select(1, self.face * 2 + right)

    def read(self) -> Tensor:
        """(8, n) properties, a copy."""
        return self.canvas.material.flatten(1).index_select(1, self.index)

    def write(self, rows: Tensor) -> None:
        """Put properties back."""
        self.canvas.material.view(CHANNELS, -1).index_copy_(1, self.index, rows)
