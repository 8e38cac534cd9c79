"""Which point of the head each pixel sees: points into a z-buffer, then a refinement to a fraction of a cell.

No triangles: the projected material grid is doubled, its points compete for pixels with an order-independent minimum
(so the result is the same on every device), small holes are closed, and Newton steps find the material coordinate
whose projection is the pixel's centre.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEAR, FAR = 2.2, -2.2  # depth range in face units, along the line of sight
BACK = -0.30  # points that face away by more than this are not drawn: they would shine through holes


def difference(t: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """Central difference per cell along `dim`, one-sided at the ends."""
    n = t.shape[dim]
    out = torch.empty_like(t) if out is None else out
    inner = out.narrow(dim, 1, n - 2)
    torch.sub(t.narrow(dim, 2, n - 2), t.narrow(dim, 0, n - 2), out=inner)
    inner.mul_(0.5)
    out.narrow(dim, 0, 1).copy_(t.narrow(dim, 1, 1)).sub_(t.narrow(dim, 0, 1))
    out.narrow(dim, n - 1, 1).copy_(t.narrow(dim, n - 1, 1)).sub_(t.narrow(dim, n - 2, 1))
    return out


def _halves(t: Tensor):
    """The grid and its three sets of midpoints, each with the row and column offsets in half cells."""
    yield t, 0, 0
    yield (t[..., 1:] + t[..., :-1]).mul_(0.5), 0, 1
    down = (t[..., 1:, :] + t[..., :-1, :]).mul_(0.5)
    yield down, 1, 0
    yield (down[..., 1:] + down[..., :-1]).mul_(0.5), 1, 1


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


def _edge(covered: Tensor) -> Tensor:
    """Coverage with a soft edge: (B, R, R) bool to float32, binomial over 3x3 and steepened."""
    c = F.pad(covered.to(torch.float32), (1, 1, 1, 1), mode="replicate")
    c = (c[:, :, :-2] + c[:, :, 2:]).add_(c[:, :, 1:-1], alpha=2)
    c = (c[:, :-2] + c[:, 2:]).add_(c[:, 1:-1], alpha=2)
    return c.mul_(1.4 / 16).sub_(0.2).clamp_(0, 1)


@dataclass(frozen=True)
class Seen:
    """What the z-buffer found.

    Attributes
    ----------
    grid : Tensor
        (2, B, R, R) material coordinates u and v.
    alpha : Tensor
        (B, R, R) float32 coverage with a soft edge.
    depth : Tensor
        (B, R, R) coordinate towards the camera in face units, `FAR` where nothing is.
    """

    grid: Tensor
    alpha: Tensor
    depth: Tensor


def splat(points: Tensor, facing: Tensor, res: int) -> Seen:
    """Find the material coordinate seen by each pixel.

    Parameters
    ----------
    points : Tensor
        (B, 3, H, W): x and y in px, depth towards the camera in face units.
    facing : Tensor
        (B, H, W) cosine between normal and line of sight.
    res : int
        Side of the picture in px.

    Returns
    -------
    Seen
    """
    b, _, h, w = points.shape
    device = points.device
    # one int holds depth, row and column in half cells; 64 px fit into 32 bits
    across = (2 * w - 2).bit_length()
    bits = (2 * h - 2).bit_length() + across
    kind = torch.int32 if bits <= 14 else torch.int64
    deep = 16 if kind == torch.int32 else 24
    steps = (1 << deep) - 1
    empty = steps << bits  # nothing that is drawn has the farthest depth
    side = res + 2  # a rim takes what falls outside
    points = points.clone()
    points[:, :2].add_(1.5)
    points[:, 2].neg_().add_(NEAR).mul_(steps / (NEAR - FAR))
    points[:, 2].add_((facing < BACK).to(torch.float32), alpha=float(1 << 28))
    buffer = torch.full((b, side * side), empty, dtype=kind, device=device)
    for part, dv, du in _halves(points):
        x, y, far = part.unbind(1)
        place = y.clamp(0, side - 1).floor_().mul_(side).add_(x.clamp(0, side - 1).floor_()).long()
        rows = torch.arange(place.shape[1], device=device, dtype=kind) * 2 + dv
        columns = torch.arange(place.shape[2], device=device, dtype=kind) * 2 + du
        key = far.clamp(0, steps).to(kind).bitwise_left_shift_(bits)
        key += rows[:, None].bitwise_left_shift(across) + columns
        buffer.scatter_reduce_(1, place.flatten(1), key.flatten(1), "amin")
    key = buffer.view(b, side, side)[:, 1:-1, 1:-1]
    key = _closed(key, 1)
    key = _closed(key, 1) if res <= 64 else _closed(_closed(key, 2), 1)
    covered = key < empty
    key = _grown(key, empty)
    depth = (key >> bits).to(torch.float32).mul_(-(NEAR - FAR) / steps).add_(NEAR)
    grid = torch.empty(2, b, res, res, device=device)
    grid[0] = key & ((1 << across) - 1)
    grid[1] = (key >> across) & ((1 << (bits - across)) - 1)
    grid[0].mul_(1.0 / (w - 1)).sub_(1)
    grid[1].mul_(1.0 / (h - 1)).sub_(1)
    return Seen(grid, _edge(covered), depth)


def refine(grid: Tensor, points: Tensor, *, steps: int) -> Tensor:
    """Move material coordinates until they project onto the pixels' centres.

    Parameters
    ----------
    grid : Tensor
        (2, B, R, R) starting coordinates u and v, changed in place.
    points : Tensor
        (B, 2, H, W) projection in px of the material grid.
    steps : int
        Number of Newton steps.

    Returns
    -------
    Tensor
        (B, R, R, 2) the coordinates, as ``grid_sample`` takes them.
    """
    _, _, h, w = points.shape
    res = grid.shape[-1]
    maps = points.new_empty(len(points), 6, h, w)
    maps[:, :2] = points
    difference(points, 3, out=maps[:, 2:4])
    difference(points, 2, out=maps[:, 4:])
    at = torch.arange(res, dtype=torch.float32, device=grid.device)
    for k in range(steps):
        place = torch.stack([grid[0], grid[1]], -1)
        sampled = F.grid_sample(maps, place, mode="bilinear", padding_mode="border", align_corners=True)
        sx, sy, a, c, b, d = sampled.unbind(1)
        rx, ry = torch.sub(at, sx), torch.sub(at[:, None], sy)
        # the inverse of the determinant dies at folds of the projection, where the surface turns away
        det = (a * d).addcmul_(b, c, value=-1)
        inverse = det / (det * det).add_(1e-3)
        limit = 2.2 if k == 0 else 1.2
        du = (d * rx).addcmul_(b, ry, value=-1).mul_(inverse).clamp_(-limit, limit)
        dv = (a * ry).addcmul_(c, rx, value=-1).mul_(inverse).clamp_(-limit, limit)
        grid[0].add_(du, alpha=2.0 / (w - 1))
        grid[1].add_(dv, alpha=2.0 / (h - 1))
    grid.clamp_(-1, 1)
    return torch.stack([grid[0], grid[1]], -1)
