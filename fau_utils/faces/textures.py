"""Fixed noise: strands of hair, pores, curls and the sensor's noise; and the camera's last steps."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor

from fau_utils.faces import rng
from fau_utils.faces.nuisance import Nuisance

_SIZE = 256
_NOISE = 1 << 17
_OFFSET = 0x4C00


def _unit(a):
    return (a - a.mean()) / a.std()


@dataclass(frozen=True)
class Textures:
    """Noise maps, the same for everybody and looked up at different places.

    Attributes
    ----------
    skin : Tensor
        (1, 2, 256, 256) strands (long along the columns) and pores over the material coordinates.
    lumps : Tensor
        (rows, columns) curls.
    fine : Tensor
        (R, R) vertical strands for hair behind the head.
    noise : Tensor
        (2^17,) standard normals.
    blur : Tensor
        (taps,) weights of the widest blur.
    """

    skin: Tensor
    lumps: Tensor
    fine: Tensor
    noise: Tensor
    blur: Tensor

    @staticmethod
    @lru_cache(maxsize=8)
    def build(res: int, rows: int, columns: int) -> "Textures":
        """Make the maps for pictures of side `res`."""
        draws = rng.normal(torch.arange(4), 0x7E87, _SIZE * _SIZE).double().numpy().reshape(4, _SIZE, _SIZE)
        # a strand narrower than a pixel would flicker
        thin = {64: 2.2, 112: 1.5, 224: 0.9}[res]
        strands = (
            _unit(gaussian_filter(draws[0], (22, thin))) * 0.75 + _unit(gaussian_filter(draws[1], (40, 6.0))) * 0.65
        )
        pores = _unit(gaussian_filter(draws[2], thin * 0.8))
        lumps = gaussian_filter(draws[3], 9.0)
        lumps = _unit(zoom(lumps, (rows / _SIZE, columns / _SIZE), order=1))
        fine = zoom(gaussian_filter(draws[0], (30, 2.0)), res / _SIZE, order=1)
        sigma = 1.1 * res / 64
        taps = np.arange(-int(np.ceil(2.2 * sigma)), int(np.ceil(2.2 * sigma)) + 1)
        weights = np.exp(-0.5 * (taps / sigma) ** 2)

        def tensor(a):
            return torch.from_numpy(np.ascontiguousarray(a)).float()

        return Textures(
            skin=tensor(np.stack([strands, pores])[None]),
            lumps=tensor(lumps),
            fine=tensor(_unit(fine)),
            noise=rng.normal(torch.tensor([1]), 0x9015E, _NOISE)[0],
            blur=tensor(weights / weights.sum()),
        )

    def to(self, device) -> "Textures":
        """The same maps on another device."""
        return Textures(**{k: v.to(device) for k, v in vars(self).items()})

    def sample(self, grid: Tensor, curl: Tensor) -> Tensor:
        """(B, 2, R, R) strands and pores at material coordinates (B, R, R, 2)."""
        place = grid.clone()
        # u is finer in front than behind, roughly as theta is
        place[..., 0].addcmul_(torch.sin(grid[..., 1] * 9.0), 0.012 * curl)
        maps = self.skin.expand(len(grid), -1, -1, -1)
        return F.grid_sample(maps, place, mode="bilinear", padding_mode="reflection", align_corners=True)

    def expose(self, image: Tensor, nuisance: Nuisance) -> Tensor:
        """Blur and noise of the camera on (B, 3, R, R), and the range [0, 1]."""
        b, _, res, _ = image.shape
        half = len(self.blur) // 2
        weights = self.blur.tolist() if image.device.type == "cpu" else self.blur
        pad = F.pad(image, (half, half, 0, 0), mode="replicate")
        wide = pad[..., :res] * weights[0]
        for k in range(1, len(self.blur)):
            wide.add_(pad[..., k : k + res] * weights[k])
        pad = F.pad(wide, (0, 0, half, half), mode="replicate")
        wide = pad[:, :, :res] * weights[0]
        for k in range(1, len(self.blur)):
            wide.add_(pad[:, :, k : k + res] * weights[k])
        # a share of the wide blur has the variance of the blur that is wanted
        share = (nuisance.blur / 1.1).square().clamp(max=1)[:, None, None, None]
        image = torch.lerp(image, wide, share)
        start = rng.mix(nuisance.seed, _OFFSET) & (_NOISE - 1)
        count = 3 * res * res
        index = (start[:, None] + torch.arange(count, device=image.device) * 5) & (_NOISE - 1)
        noise = self.noise[index].view(b, 3, res, res)
        return image.addcmul_(noise, nuisance.noise[:, None, None, None]).clamp_(0, 1)
