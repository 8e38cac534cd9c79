"""A small convolutional network: four stages, each at half the size of the one before."""

from torch import Tensor, nn

WIDTHS = (32, 64, 128, 192)


class SmallCnn(nn.Module):
    """Eight 3 x 3 convolutions with batch norm, about 0.9 M parameters.

    The last map is read position by position rather than averaged: faces are aligned, and the same wrinkle
    means another movement at the brow than at the mouth.

    Parameters
    ----------
    outputs : int
        Number A of logits.
    widths : sequence of int
        Channels of each stage.
    grid : int
        Side of the map that the head reads. Images whose last map is larger (more than 64 px for four stages)
        are averaged down to it.
    """

    def __init__(self, outputs: int, *, widths: tuple[int, ...] = WIDTHS, grid: int = 4):
        super().__init__()
        stages = []
        for before, width in zip((3, *widths[:-1]), widths, strict=True):
            stages += [_convolution(before, width, stride=2), _convolution(width, width, stride=1)]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.head = nn.Linear(widths[-1] * grid * grid, outputs)
        # start from "cannot tell": no AU is said before anything was learnt
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, image: Tensor) -> Tensor:  # (B, 3, H, W), H and W at least 16
        """What the head reads, (B, C * grid * grid)."""
        return self.pool(self.stages(image)).flatten(1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, (B, A)."""
        return self.head(self.features(image))


def _convolution(before: int, width: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
