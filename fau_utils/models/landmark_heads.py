"""From feature maps or features to landmarks in pixels.

A pixel's centre has whole coordinates: the cell in column c of a map of stride s has its centre at
``(c + 0.5) * s - 0.5`` px.

References
----------
Shao et al. (2022), "Unconstrained Facial Action Unit Detection via Latent Feature Domain" (arXiv 1903.10143), for
response maps as classification over cells, and the layers of :class:`ResponseMaps`. Nibali et al. (2018), "Numerical
Coordinate Regression with Convolutional Neural Networks", for the soft argmax.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POINTS = 49


class ResponseMaps(nn.Module):
    """A response map for each landmark: four convolutions, then one logit per cell and landmark.

    Parameters
    ----------
    channels : int
        Channels C of the feature maps.
    points : int
        Number K of landmarks.
    hidden : int
        Channels of the landmark features.
    """

    def __init__(self, channels: int, *, points: int = POINTS, hidden: int = 64):
        super().__init__()
        layers: list[nn.Module] = []
        for before in (channels, hidden, hidden, hidden):
            layers += [nn.Conv2d(before, hidden, 3, padding=1), nn.InstanceNorm2d(hidden), nn.PReLU()]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.responses = nn.Conv2d(hidden, points, 3, padding=1)

    def features(self, maps: Tensor) -> Tensor:  # (B, C, h, w)
        """Landmark features, (B, hidden, h, w), in (-1, 1)."""
        return self.layers(maps)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits, (B, K, h, w)."""
        return self.responses(self.features(maps))


class PointRegression(nn.Module):
    """Landmarks as a linear function of one feature per face.

    Parameters
    ----------
    dim : int
        Width D of the feature.
    size : int
        Side of the image in pixels; a feature of zeros gives its centre.
    points : int
        Number K of landmarks.
    """

    def __init__(self, dim: int, *, size: int, points: int = POINTS):
        super().__init__()
        self.size = size
        self.linear = nn.Linear(dim, 2 * points)
        nn.init.zeros_(self.linear.bias)

    def forward(self, feature: Tensor) -> Tensor:  # (B, D)
        """Points, (B, K, 2) px, x to the right and y down."""
        return self.linear(feature).float().unflatten(-1, (-1, 2)) * self.size + (self.size - 1) / 2


def attention(responses: Tensor) -> Tensor:
    """Softmax over the cells of each map: (B, K, h, w) logits to maps that each sum to one."""
    return responses.float().flatten(2).softmax(-1).view(responses.shape)


def soft_argmax(responses: Tensor, *, size: int, temperature: float = 1.0) -> Tensor:
    """Expected position under :func:`attention`, differentiable.

    Parameters
    ----------
    responses : Tensor, (B, K, h, w)
        Logits.
    size : int
        Side of the image in pixels.
    temperature : float
        Below 1 sharpens the maps first.

    Returns
    -------
    Tensor, (B, K, 2) float32
        Pixels, x to the right and y down.
    """
    if temperature <= 0:
        raise ValueError(f"expected a temperature above 0, found {temperature}")
    weight = attention(responses / temperature)
    high, wide = responses.shape[-2:]
    x = (weight.sum(2) * _centres(wide, size, like=weight)).sum(-1)
    y = (weight.sum(3) * _centres(high, size, like=weight)).sum(-1)
    return torch.stack([x, y], dim=-1)


def argmax(responses: Tensor, *, size: int) -> Tensor:
    """Centre of the strongest cell, (B, K, 2) px; no gradient."""
    high, wide = responses.shape[-2:]
    place = responses.detach().flatten(2).argmax(-1)
    x, y = place % wide, place.div(wide, rounding_mode="floor")
    return torch.stack([_centres(wide, size, like=responses)[x], _centres(high, size, like=responses)[y]], dim=-1)


def cells(points: Tensor, *, size: int, grid: int) -> Tensor:
    """Index of the cell that each point lies in, (B, K) int64, row by row; points outside count to the border.

    Parameters
    ----------
    points : Tensor, (B, K, 2)
        Pixels; ``nan`` (not known) gives -100, which cross-entropy leaves out.
    size, grid : int
        Side of the image in pixels, and of the maps in cells.
    """
    place = ((points + 0.5) * grid / size).floor()
    place = place.nan_to_num(0).clamp(0, grid - 1).long()
    return torch.where(points.isnan().any(-1), -100, place[..., 1] * grid + place[..., 0])


def response_loss(responses: Tensor, points: Tensor, *, size: int) -> Tensor:
    """Cross-entropy over the cells of each map, mean over the landmarks that are known.

    Parameters
    ----------
    responses : Tensor, (B, K, g, g)
        Logits.
    points : Tensor, (B, K, 2)
        Pixels; ``nan`` where not known.
    size : int
        Side of the image in pixels.

    Returns
    -------
    Tensor, ()
        0 when no landmark is known.
    """
    target = cells(points, size=size, grid=responses.shape[-1])
    logits = responses.float().flatten(2).flatten(0, 1)  # (B K, cells)
    element = F.cross_entropy(logits, target.flatten(), reduction="sum")
    return element / (target != -100).sum().clamp(min=1)


def _centres(count: int, size: int, *, like: Tensor) -> Tensor:
    return (torch.arange(count, device=like.device, dtype=torch.float32) + 0.5) * (size / count) - 0.5
