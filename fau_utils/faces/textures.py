"""Fixed noise: strands of hair, pores, curls and the sensor's noise; and the camera's last steps."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor

from fau_utils.faces import rng
from fau_utils.faces.nuisance import Nuisance

_SIZE = 256
_WINDOWS, _STRIDE = 1024, 97
_OFFSET = 0x4C00


def _unit(a):
    return (a - a.mean()) / a.std()


@dataclass(frozen=True)
class Textures:
    """Noise maps, the same for everybody and looked up at different places.

    Attributes
    ----------
    strands, pores : Tensor
        (256 256,) strands (long along the columns) and pores over the material coordinates.
    lumps : Tensor
        (rows, columns) curls.
    fine : Tensor
        (R, R) vertical strands for hair behind the head.
    noise : Tensor
        (3 R^2 + ...,) standard normals; frames take overlapping windows of it.
    """

    strands: Tensor
    pores: Tensor
    lumps: Tensor
    fine: Tensor
    noise: Tensor

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

        def tensor(a):
            return torch.from_numpy(np.ascontiguousarray(a)).float()

        return Textures(
            strands=tensor(strands.ravel()),
            pores=tensor(pores.ravel()),
            lumps=tensor(lumps),
            fine=tensor(_unit(fine)),
            noise=rng.normal(torch.tensor([1]), 0x9015E, 3 * res * res + _WINDOWS * _STRIDE)[0],
        )

    def to(self, device) -> "Textures":
        """The same maps on another device."""
        return Textures(**{k: v.to(device) for k, v in vars(self).items()})

    def sample(self, grid: Tensor, curl: Tensor) -> tuple[Tensor, Tensor]:
        """Strands and pores, each (B, R, R), at material coordinates (B, R, R, 2)."""
        u, v = grid.unbind(-1)
        half = (_SIZE - 1) / 2
        row = v.add(1).mul_(half)
        column = torch.addcmul(u, torch.sin(v * 9.0), 0.012 * curl).add_(1).mul_(half).clamp_(0, _SIZE - 1)
        index = row.round_().mul_(_SIZE).add_(column.round_()).long()
        return self.strands[index], self.pores[index]

    def expose(self, picture: Tensor, nuisance: Nuisance) -> Tensor:
        """Blur and noise of the camera: (3, B, R, R) to (B, 3, R, R) in the range [0, 1]."""
        _, b, res, _ = picture.shape
        # a Gaussian blur is a matrix on either side; the rows sum to one, so the rim is not darkened
        at = torch.arange(res, dtype=torch.float32, device=picture.device)
        apart = (at - at[:, None]).square_()
        width = (nuisance.blur * (res / 64)).clamp(min=0.06)[:, None, None]
        matrix = torch.exp((apart * (-0.5 / width.square())).clamp_(min=-80))  # denormal numbers are slow
        matrix /= matrix.sum(2, keepdim=True)
        across = matrix.transpose(1, 2)
        image = torch.stack([torch.bmm(torch.bmm(matrix, channel), across) for channel in picture], 1)
        count = 3 * res * res
        windows = self.noise.as_strided((_WINDOWS, count), (_STRIDE, 1))
        noise = windows.index_select(0, rng.mix(nuisance.seed, _OFFSET) & (_WINDOWS - 1))
        return image.addcmul_(noise.view(b, 3, res, res), nuisance.noise[:, None, None, None]).clamp_(0, 1)
