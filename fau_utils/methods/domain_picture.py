"""Pictures of feature maps: a decoder that is trained afterwards, and the grid of everybody's movement on everybody.

G makes maps and no images. To see what a swapped map says, a decoder learns to paint faces from E's maps while E stands
still; nothing of it ever reaches the method. What it paints of a map is what is in the map *and* what a decoder that
has seen real maps makes of it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils.batch import Batch
from fau_utils.methods.domain_separation import DomainSeparation
from fau_utils.models.landmark_heads import attention
from fau_utils.models.seeded import seeded


class MapPainter(nn.Module):
    """Maps (B, C, h, w) to images (B, 3, 4h, 4w) in [0, 1]."""

    def __init__(self, channels: int, *, width: int = 48):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(width, 3, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


def paint_maps(
    method: DomainSeparation, faces: Any, *, views: int = 6_000, batch_size: int = 48, seed: int = 0
) -> MapPainter:
    """A decoder of a trained method's maps, by the mean absolute error of pixels.

    Parameters
    ----------
    method : DomainSeparation
        Is left as it is.
    faces : source of batches
        Real faces of both domains, such as :class:`fau_utils.data.domains.TwoDomains`.
    views, batch_size, seed : int
    """
    training = method.training
    method.eval()
    device = next(method.parameters()).device
    with seeded(seed):
        painter = MapPainter(method.widths.channels).to(device)
    optimizer = torch.optim.Adam(painter.parameters(), lr=2e-3)
    for batch in faces.batches(batch_size=batch_size, views=views, seed=seed, device=device):
        with torch.no_grad():
            maps = method.encode(batch)
        loss = F.l1_loss(painter(maps), batch.image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    method.train(training)
    return painter.eval()


@torch.no_grad()
def swap_grid(method: DomainSeparation, painter: MapPainter, moving: Batch, shown: Batch) -> Tensor:
    """What G makes of every movement on every texture, painted.

    Parameters
    ----------
    moving : Batch, M faces
        Whose attention.
    shown : Batch, S faces
        Whose texture.

    Returns
    -------
    Tensor, (S, M, 3, H, W)
        In [0, 1]; row by row the same texture.
    """
    training = method.training
    method.eval()
    a = attention(method.landmarks(method.encode(moving)))
    z = method.texture(method.encode(shown))
    rows = [method.generator(a, one.expand(len(a), -1, -1, -1)) for one in z]
    method.train(training)
    return torch.stack([painter(maps) for maps in rows])
