"""Which point of the head each pixel sees: points into a z-buffer, then a refinement to a fraction of a cell.

No triangles: the projected material grid is doubled, its points compete for pixels with an order-independent minimum
(so the result is the same on every device), small holes are closed, and two Newton steps find the material coordinate
whose projection is the pixel's centre.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NEAR, FAR = 2.2, -2.2  # depth range in face units, along the line of sight
BACK = -0.04  # points that face away by more than this are not drawn: they would shine through holes


def difference(t: Tensor, dim: int) -> Tensor:
    """Central difference per cell along `dim`, one-sided at the ends."""
    n = t.shape[dim]
    out = torch.empty_like(t)
    inner = out.narrow(dim, 1, n - 2)
    torch.sub(t.narrow(dim, 2, n - 2), t.narrow(dim, 0, n - 2), out=inner)
    inner.mul_(0.5)
    out.narrow(dim, 0, 1).copy_(t.narrow(dim, 1, 1)).sub_(t.narrow(dim, 0, 1))
    out.narrow(dim, n - 1, 1).copy_(t.narrow(dim, n - 1, 1)).sub_(t.narrow(dim, n - 2, 1))
    return out


def _doubled(t: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H-1, 2W-1), midpoints between the points."""
    b, c, h, w = t.shape
    wide = t.new_empty(b, c, h, 2 * w - 1)
    wide[..., ::2] = t
    torch.add(t[..., 1:], t[..., :-1], out=wide[..., 1::2]).mul_(0.5)
    out = t.new_empty(b, c, 2 * h - 1, 2 * w - 1)
    out[:, :, ::2] = wide
    torch.add(wide[:, :, 1:], wide[:, :, :-1], out=out[:, :, 1::2]).mul_(0.5)
    return out


def _closed(key: Tensor, reach: int) -> Tensor:
    """A pixel takes over what both its left and right, or both its upper and lower neighbours see if it is nearer.

    Fills holes up to ``2 reach - 1`` px wide, both empty ones and those through which a farther layer shows.
    """
    out, d = key.clone(), reach
    inner = out[:, :, d:-d]
    torch.minimum(inner, torch.maximum(key[:, :, 2 * d :], key[:, :, : -2 * d]), out=inner)
    inner = out[:, d:-d]
    torch.minimum(inner, torch.maximum(key[:, 2 * d :], key[:, : -2 * d]), out=inner)
    return out


def _grown(key: Tensor, empty: int) -> Tensor:
    """Empty pixels take the nearest of their four neighbours, for an anti-aliased outline."""
    near = key.clone()
    for a, b in (
        (near[:, :, 1:], key[:, :, :-1]),
        (near[:, :, :-1], key[:, :, 1:]),
        (near[:, 1:], key[:, :-1]),
        (near[:, :-1], key[:, 1:]),
    ):
        torch.minimum(a, b, out=a)
    return torch.where(key == empty, near, key)


class Seen:
    """What the z-buffer found: `grid` (B, R, R, 2) material coordinates (u, v), `alpha` and `depth` (B, R, R).

    `depth` is the coordinate towards the camera in face units, `FAR` where nothing is.
    """

    def __init__(self, grid: Tensor, inside: Tensor, near: Tensor, depth: Tensor):
        self.grid, self.inside, self.near, self.depth = grid, inside, near, depth


def splat(points: Tensor, res: int) -> Seen:
    """Find the material coordinate seen by each pixel.

    Parameters
    ----------
    points : Tensor
        (B, 4, H, W): x and y in px, depth towards the camera, cosine between normal and line of sight.
    res : int
        Side of the picture in px.

    Returns
    -------
    Seen
        `inside` (B, R, R) bool: surely covered; `near` bool: covered or next to a covered pixel.
    """
    b, _, h, w = points.shape
    h2, w2 = 2 * h - 1, 2 * w - 1
    px, py, z, facing = _doubled(points).flatten(2).unbind(1)
    bits = (h2 * w2 - 1).bit_length()
    kind = torch.int32 if bits <= 14 else torch.int64
    deep = 16 if kind == torch.int32 else 24
    column, row = px.add(0.5).floor_(), py.add(0.5).floor_()
    ok = (column >= 0) & (column < res) & (row >= 0) & (row < res) & (facing > BACK)
    place = torch.where(ok, row.mul_(res).add_(column), float(res * res)).long()
    steps = (1 << deep) - 1
    far = ((NEAR - z) * (steps / (NEAR - FAR))).clamp_(0, steps).to(kind)
    index = torch.arange(h2 * w2, dtype=kind, device=points.device)
    key = far.bitwise_left_shift_(bits).add_(index)
    empty = torch.iinfo(kind).max
    buffer = torch.full((b, res * res + 1), empty, dtype=kind, device=points.device)
    buffer.scatter_reduce_(1, place, key, "amin")
    key = _closed(buffer[:, :-1].view(b, res, res), 1)
    key = _closed(key, 1 if res <= 64 else 2)
    covered = key != empty
    key = _grown(key, empty)
    near = key != empty
    # empty pixels would give an index outside the grid
    point = torch.where(near, key & ((1 << bits) - 1), 0)
    depth = torch.where(near, (key >> bits).to(torch.float32).mul_(-(NEAR - FAR) / steps).add_(NEAR), FAR)
    iv = torch.div(point, w2, rounding_mode="floor")
    iu = point - iv * w2
    grid = torch.stack([iu, iv], -1).to(torch.float32)
    grid.mul_(grid.new_tensor([2.0 / (w2 - 1), 2.0 / (h2 - 1)])).sub_(1)
    # one pixel inside the outline the surface is seen whole, whatever the refinement says
    hole = F.max_pool2d((~covered).to(torch.float32)[:, None], 3, 1, 1)[:, 0]
    return Seen(grid, hole < 0.5, near, depth)


def refine(grid: Tensor, points: Tensor, *, steps: int = 2) -> Tensor:
    """Move material coordinates until they project onto the pixels' centres.

    Parameters
    ----------
    grid : Tensor
        (B, R, R, 2) starting coordinates (u, v), changed in place.
    points : Tensor
        (B, 2, H, W) projection in px of the material grid.

    Returns
    -------
    Tensor
        The same `grid`.
    """
    _, _, h, w = points.shape
    res = grid.shape[1]
    maps = torch.cat([points, difference(points, 3), difference(points, 2)], 1)
    at = torch.arange(res, dtype=torch.float32, device=grid.device)
    unit = grid.new_tensor([2.0 / (w - 1), 2.0 / (h - 1)])
    for k in range(steps):
        sx, sy, a, c, b, d = F.grid_sample(
            maps, grid, mode="bilinear", padding_mode="border", align_corners=True
        ).unbind(1)
        rx, ry = torch.sub(at, sx, out=sx), torch.sub(at[:, None], sy, out=sy)
        # det -> inverse that dies at folds of the projection, where the surface turns away
        det = torch.addcmul(a * d, b, c, value=-1)
        inverse = det / torch.addcmul(det.new_full((), 1e-3), det, det)
        limit = 2.2 if k == 0 else 1.2
        du = torch.addcmul(d.mul_(rx), b, ry, value=-1).mul_(inverse).clamp_(-limit, limit)
        dv = torch.addcmul(a.mul_(ry), c, rx, value=-1).mul_(inverse).clamp_(-limit, limit)
        grid[..., 0].addcmul_(du, unit[0])
        grid[..., 1].addcmul_(dv, unit[1])
    return grid.clamp_(-1, 1)
