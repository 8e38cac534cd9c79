"""Networks that take a feature map apart into where the face moves and what it looks like, and put it together again.

Layers are those that Shao et al. describe for ADLD (Shao, Cai, Cham, Lu & Ma, "Unconstrained Facial Action Unit
Detection via Latent Feature Domain", arXiv 1903.10143); written anew from that description. The landmark branch is
:class:`fau_utils.models.landmark_heads.ResponseMaps`. Two sizes: as described, for 176 px and maps of 64 x 44 x 44, and
a miniature for 64 px and maps of 16 x 16 x 16, which is *our reading* of how to shrink them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fau_utils.models.landmark_heads import POINTS


@dataclass(frozen=True)
class Size:
    """Widths and depths of all networks.

    Attributes
    ----------
    channels : int
        Channels C of the feature maps.
    encoder : tuple of int
        Widths of the encoder's four convolutions; the last is `channels`.
    strided : bool
        Halve by strides, for a seventh of the cost, instead of by averaging.
    texture : int
        Convolutions of the texture encoder.
    generator : tuple of int
        Widths of the generator's convolutions.
    head, head_depth, grid
        Channels and convolutions of each AU's branch, and side of the map that its linear layer reads: 1 is the mean.
    """

    channels: int = 64
    encoder: tuple[int, ...] = (32, 32, 64, 64)
    strided: bool = False
    texture: int = 4
    generator: tuple[int, ...] = (128, 128, 64, 64, 64)
    head: int = 64
    head_depth: int = 4
    grid: int = 1


SIZES: dict[str, Size] = {
    "adld": Size(),
    "mini": Size(16, (16, 24, 24, 16), True, 2, (24, 16, 16), 8, 1, 4),
}


def _norm(kind: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.InstanceNorm2d(width)


def _convolutions(before: int, widths: tuple[int, ...], *, norm: str = "instance") -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(before, width, 3, padding=1), _norm(norm, width), nn.PReLU()]
        before = width
    return layers


class FeatureEncoder(nn.Module):
    """E: an image becomes maps in (-1, 1) of a quarter of its side."""

    def __init__(self, size: Size):
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for k, width in enumerate(size.encoder):
            stride = 2 if size.strided and k % 2 == 0 else 1
            layers += [nn.Conv2d(before, width, 3, stride, 1), nn.BatchNorm2d(width), nn.PReLU()]
            if k % 2 and not size.strided:
                layers.append(nn.AvgPool2d(2))
            before = width
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:  # (B, 3, H, W)
        """Feature maps F, (B, C, H/4, W/4)."""
        return self.layers(image)


class TextureEncoder(nn.Module):
    """T: feature maps without what landmarks say."""

    def __init__(self, size: Size):
        super().__init__()
        self.layers = nn.Sequential(*_convolutions(size.channels, (size.channels,) * size.texture), nn.Tanh())

    def forward(self, maps: Tensor) -> Tensor:
        """Texture z, (B, C, h, w), in (-1, 1)."""
        return self.layers(maps)


class FeatureGenerator(nn.Module):
    """G: feature maps, not an image, of an attention and a texture."""

    def __init__(self, size: Size):
        super().__init__()
        self.layers = nn.Sequential(*_convolutions(1 + size.channels, size.generator), nn.Tanh())

    def forward(self, attention: Tensor, texture: Tensor) -> Tensor:
        """Maps F, (B, C, h, w), of attention maps (B, K, h, w), which are added up, and texture (B, C, h, w)."""
        return self.layers(torch.cat([attention.sum(1, keepdim=True).to(texture), texture], 1))


class AuHead(nn.Module):
    """A: a branch of convolutions for each AU, all of them at once as groups, and a linear layer.

    Parameters
    ----------
    outputs : int
        Number A of AUs.
    """

    def __init__(self, size: Size, outputs: int):
        super().__init__()
        wide, layers, before, groups = outputs * size.head, [], size.channels, 1
        for k in range(size.head_depth):
            layers += [nn.Conv2d(before, wide, 3, padding=1, groups=groups)]
            if k < size.head_depth - 1 or size.head_depth == 1:
                layers += [nn.BatchNorm2d(wide), nn.PReLU()]
            before, groups = wide, outputs
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(size.grid))
        self.linear = nn.Conv1d(outputs, outputs, size.head * size.grid**2, groups=outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.outputs = outputs

    def features(self, maps: Tensor) -> Tensor:
        """What the linear layers read, (B, A * head * grid * grid)."""
        return self.layers(maps).flatten(1)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits, (B, A)."""
        return self.linear(self.features(maps).unflatten(1, (self.outputs, -1))).squeeze(2)


class LandmarkDiscriminator(nn.Module):
    """D_L: looks for landmarks in a texture; says a map of each, (B, K, h, w)."""

    def __init__(self, size: Size, *, points: int = POINTS):
        super().__init__()
        layers = _convolutions(size.channels, (size.channels,) * size.texture)
        self.layers = nn.Sequential(*layers, nn.Conv2d(size.channels, points, 3, padding=1))

    def forward(self, texture: Tensor) -> Tensor:
        return self.layers(texture)


class DomainDiscriminator(nn.Module):
    """D_s or D_t: whether feature maps are real ones of its domain, (B, 1, n, n).

    Parameters
    ----------
    side : int
        Side of the maps in cells, at least 4.
    """

    def __init__(self, size: Size, *, side: int):
        super().__init__()
        if side < 4:
            raise ValueError(f"expected feature maps of at least 4 cells, found {side}")
        layers: list[nn.Module] = []
        before = size.channels
        for k in range(int(math.log2(side / 4))):
            width = size.channels * (1 if k < 2 else 2)
            layers += [nn.Conv2d(before, width, 4, 2, 1), nn.InstanceNorm2d(width), nn.PReLU()]
            before = width
        layers += [nn.Conv2d(before, 2 * size.channels, 4, 2), nn.PReLU(), nn.Conv2d(2 * size.channels, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


class Projector(nn.Module):
    """Mean over the cells (or a coarse grid of them), two linear layers, length one. Our reading of "simple"."""

    def __init__(self, channels: int, *, width: int = 64, grid: int = 1):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(grid)
        self.layers = nn.Sequential(nn.Linear(channels * grid**2, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, maps: Tensor) -> Tensor:
        """Unit vectors, (B, width) float32."""
        return nn.functional.normalize(self.layers(self.pool(maps).flatten(1)).float(), dim=1)


def frozen(module: nn.Module, *inputs: Tensor, call: str = "forward") -> Tensor:
    """What a module makes of its inputs now: their gradient passes through, its own parameters get none.

    The per-step copy of the landmark branch, and the discriminators as the generator sees them.
    """
    held = {name: value.detach() for name, value in module.named_parameters()}
    target = module if call == "forward" else _Calls(module, call)
    prefix = "" if call == "forward" else "module."
    return torch.func.functional_call(target, {prefix + name: value for name, value in held.items()}, inputs)


class _Calls(nn.Module):
    def __init__(self, module: nn.Module, call: str):
        super().__init__()
        self.module, self.call = module, call

    def forward(self, *inputs: Tensor) -> Tensor:
        return getattr(self.module, self.call)(*inputs)
