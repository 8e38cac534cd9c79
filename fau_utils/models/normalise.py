"""What an image is measured against: the mean face of the training images, pixel by pixel."""

import torch
from torch import Tensor, nn

SPREAD = 0.12
"""Typical distance of a pixel of an aligned face from the mean face."""


class MeanFace(nn.Module):
    """Subtracts the mean training face, so that 0 means *as the mean face here*.

    On aligned faces this removes the skin, the light and the layout that all faces share; what is left is about
    as large as a movement. A hidden pixel set to 0 afterwards is a pixel of the mean face.

    Parameters
    ----------
    size : int
        Height and width in pixels. The mean is mid-grey until :meth:`fit`.
    """

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.full((3, size, size), 0.5))

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Take the mean of some images, (N, 3, size, size) float32 in [0, 1], and of their mirror images.

        Raises
        ------
        ValueError
            When the images have another size.
        """
        if images.shape[1:] != self.mean.shape:
            raise ValueError(
                f"expected images of shape {tuple(self.mean.shape)}, found {tuple(images.shape[1:])}; "
                "build the method with their size"
            )
        mean = images.mean(0)
        self.mean.copy_((mean + mean.flip(-1)) / 2)

    def forward(self, image: Tensor) -> Tensor:  # (B, 3, H, W)
        """The same images, about zero."""
        return (image - self.mean).mul_(1 / SPREAD)  # dividing, or another copy, takes twice as long


class ImageNet(nn.Module):
    """Colours less the mean of ImageNet's, divided by their spread: what published checkpoints were trained on."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def fit(self, images: Tensor) -> None:
        """Nothing: these numbers do not depend on the training images."""

    def forward(self, image: Tensor) -> Tensor:  # (B, 3, H, W)
        """The same images, about zero."""
        return (image - self.mean).div_(self.spread)
