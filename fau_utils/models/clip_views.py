"""Random views of frames: geometry and colour, one draw for a whole clip or a fresh one for each frame."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_DRAWS = 8


@dataclass(frozen=True)
class Views:
    """How much two views of a frame may differ. The defaults are mild, as faces are aligned: our reading.

    Attributes
    ----------
    flip : bool
        Mirror every second one.
    scale : float
        Enlarge or reduce by so much at most.
    shift : float
        Move by so much of the picture's side at most.
    brightness, contrast, saturation : float
        Factors from 1 - x to 1 + x.
    grey : float
        Probability of losing 60 % of the colour.
    """

    flip: bool = True
    scale: float = 0.04
    shift: float = 0.02
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    grey: float = 0.2

    def __call__(self, image: Tensor, *, together: int = 1) -> Tensor:
        """Views of some frames, drawn with torch's random numbers on their device.

        Parameters
        ----------
        image : Tensor, (N, 3, H, W) float32 in [0, 1]
        together : int
            So many frames in a row get the same view: the length of a clip, for otherwise a loss over time would rank
            augmentations.

        Returns
        -------
        Tensor, (N, 3, H, W)
        """
        drawn = torch.rand(len(image) // together, _DRAWS, device=image.device).repeat_interleave(together, 0)
        return self.with_draws(image, drawn)

    def with_draws(self, image: Tensor, drawn: Tensor) -> Tensor:
        """Views that follow from numbers (N, 8) in [0, 1); half is the middle of every range."""
        around = drawn * 2 - 1
        size = 1 / (1 + self.scale * around[:, 1])
        mirror = torch.where(drawn[:, 0] < 0.5, -1.0, 1.0) if self.flip else torch.ones_like(size)
        zero = torch.zeros_like(size)
        theta = torch.stack(
            [size * mirror, zero, 2 * self.shift * around[:, 2], zero, size, 2 * self.shift * around[:, 3]], 1
        ).unflatten(1, (2, 3))
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        moved = F.grid_sample(image, grid, padding_mode="border", align_corners=False)
        luma = moved.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        bright = _wide(1 + self.brightness * around[:, 4])
        contrast = _wide(1 + self.contrast * around[:, 5])
        saturation = _wide(1 + self.saturation * around[:, 6])
        saturation = saturation * torch.where(_wide(drawn[:, 7]) < self.grey, 0.4, 1.0)
        grey = (moved * luma).sum(1, keepdim=True)
        moved = torch.lerp(grey, moved, saturation)
        middle = grey.mean((2, 3), keepdim=True)
        return (torch.lerp(middle, moved, contrast) * bright).clamp_(0, 1)


def _wide(value: Tensor) -> Tensor:
    return value[:, None, None, None]
