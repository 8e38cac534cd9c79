"""Residual networks as encoders: feature maps, tokens, or one feature per face.

References
----------
He et al. (2016), "Deep Residual Learning for Image Recognition"; the layers are torchvision's. Weights are random:
nothing is downloaded.
"""

from typing import Literal

import torchvision
from torch import Tensor, nn

DEPTHS = {18: torchvision.models.resnet18, 34: torchvision.models.resnet34, 50: torchvision.models.resnet50}


class ResNet(nn.Module):
    """A ResNet without its classifier.

    Parameters
    ----------
    depth : {18, 34, 50}
    stem : {"published", "small"}
        7 x 7 at stride 2 and a max pool for 224 px (maps at 1/32), or 3 x 3 at stride 1 for 64 px (maps at 1/8).

    Attributes
    ----------
    dim : int
        Channels C of the maps: 512, or 2048 at depth 50.
    stride : int
        Pixels per cell of the maps.
    """

    def __init__(self, depth: int = 50, *, stem: Literal["published", "small"] = "published"):
        super().__init__()
        if depth not in DEPTHS or stem not in ("published", "small"):
            raise ValueError(
                f"expected a depth of {sorted(DEPTHS)} and a stem published or small, found {depth}, {stem!r}"
            )
        network = DEPTHS[depth](weights=None)
        self.dim = network.fc.in_features
        self.stride = 32 if stem == "published" else 8
        if stem == "published":
            self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        else:
            first = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
            self.stem = nn.Sequential(first, network.bn1, network.relu)
        self.stages = nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4)

    def maps(self, image: Tensor) -> Tensor:  # (B, 3, H, W)
        """Feature maps, (B, C, H / stride, W / stride)."""
        return self.stages(self.stem(image))

    def tokens(self, image: Tensor) -> Tensor:
        """The cells of the maps row by row, (B, L, C)."""
        return self.maps(image).flatten(2).transpose(1, 2)

    def features(self, image: Tensor) -> Tensor:
        """Mean over the maps, (B, C)."""
        return self.maps(image).mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """As :meth:`features`."""
        return self.features(image)
