"""Flat shapes as signed distances, and layers of paint.

A signed distance is negative inside a shape. Coordinates are (B, R, R) tensors or broadcast to them, parameters (B,),
and every operation is element-wise, so a picture never depends on its neighbours in the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Canvas:
    """Sample positions of B pictures, finer than their pixels, and the paint laid on so far.

    Attributes
    ----------
    x, y : Tensor, (1, R*fine, R*fine)
        Positions in px; a pixel's centre has integer coordinates.
    fine : int
        Samples per pixel side.
    colour : Tensor, (B, 3, R*fine, R*fine)
        Premultiplied by `alpha`.
    alpha : Tensor, (B, R*fine, R*fine)
    """

    x: Tensor
    y: Tensor
    fine: int
    colour: Tensor
    alpha: Tensor

    @classmethod
    def blank(cls, batch: int, *, res: int, fine: int, device: torch.device) -> "Canvas":
        """Nothing painted yet."""
        line = (torch.arange(res * fine, device=device, dtype=torch.float32) + 0.5) / fine - 0.5
        size = res * fine
        return cls(
            x=line[None, None, :].expand(1, size, size),
            y=line[None, :, None].expand(1, size, size),
            fine=fine,
            colour=torch.zeros(batch, 3, size, size, device=device),
            alpha=torch.zeros(batch, size, size, device=device),
        )

    def cover(self, distance: Tensor) -> Tensor:
        """Coverage in [0, 1] of a shape whose signed distance is in px."""
        return (0.5 - distance * self.fine).clamp(0, 1)

    def paint(self, colour: Tensor, alpha: Tensor) -> None:
        """Lay a colour, (B, 3) or (B, 3, r, r), over what is there."""
        if colour.ndim == 2:
            colour = colour[:, :, None, None]
        self.colour = colour * alpha[:, None] + self.colour * (1 - alpha)[:, None]
        self.alpha = alpha + self.alpha * (1 - alpha)

    def pixels(self) -> tuple[Tensor, Tensor]:
        """Colour (B, 3, R, R) and coverage (B, R, R) of the pixels; faint coverage is none."""
        colour = torch.nn.functional.avg_pool2d(self.colour, self.fine)
        alpha = torch.nn.functional.avg_pool2d(self.alpha[:, None], self.fine)[:, 0]
        alpha = torch.where(alpha < 1 / 64, 0.0, torch.where(alpha > 1 - 1 / 64, 1.0, alpha))
        rgb = colour / alpha[:, None].clamp(min=1 / 64)
        return (rgb * (alpha > 0)[:, None]).clamp(0, 1), alpha


def per_image(value: Tensor) -> Tensor:
    """(B,) as (B, 1, 1), to meet pixels."""
    return value[:, None, None]


def local(canvas: Canvas, origin: Tensor, ex: Tensor, ey: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in an oblique frame: pixel = origin + u ex + v ey; all (B, 2) in px. Returns u, v (B, r, r)."""
    det = ex[:, 0] * ey[:, 1] - ex[:, 1] * ey[:, 0]
    det = torch.where(det.abs() < 1e-2, 1e-2, det)  # a frame seen edge-on has no inside; keep it finite
    dx, dy = canvas.x - per_image(origin[:, 0]), canvas.y - per_image(origin[:, 1])
    u = dx * per_image(ey[:, 1] / det) - dy * per_image(ey[:, 0] / det)
    v = dy * per_image(ex[:, 0] / det) - dx * per_image(ex[:, 1] / det)
    return u, v


def along(x: Tensor, y: Tensor, a: tuple, b: tuple) -> tuple[Tensor, Tensor]:
    """Place on the segment a-b nearest to each point: t in [0, 1] and the distance to it."""
    bx, by = b[0] - a[0], b[1] - a[1]
    px, py = x - a[0], y - a[1]
    t = ((px * bx + py * by) / (bx * bx + by * by + 1e-9)).clamp(0, 1)
    return t, ((px - t * bx) ** 2 + (py - t * by) ** 2 + 1e-12).sqrt()


def rounded_box(u: Tensor, v: Tensor, width, height, radius) -> Tensor:
    """Signed distance to a box of half sizes `width`, `height` with rounded corners."""
    qx, qy = u.abs() - width + radius, v.abs() - height + radius
    outside = (qx.clamp(min=0) ** 2 + qy.clamp(min=0) ** 2 + 1e-12).sqrt()
    return outside + torch.maximum(qx, qy).clamp(max=0) - radius


def ellipse(u: Tensor, v: Tensor, width, height, power=2.0) -> Tensor:
    """About the signed distance to |u/width|^p + |v/height|^p = 1; exact for circles."""
    ratio = ((u / width).abs() ** power + (v / height).abs() ** power + 1e-9) ** (1 / power)
    smaller = torch.minimum(torch.as_tensor(width, device=u.device), torch.as_tensor(height, device=u.device))
    return (ratio - 1) * smaller


def polygon(x: Tensor, y: Tensor, points: Tensor) -> Tensor:
    """Signed distance to a polygon, points (B, N, 2) in order (Quilez, "2D distance functions")."""
    count = points.shape[1]
    nearest = None
    sign = None
    for i in range(count):
        ax, ay = per_image(points[:, i, 0]), per_image(points[:, i, 1])
        bx, by = per_image(points[:, i - 1, 0]), per_image(points[:, i - 1, 1])
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey + 1e-9)).clamp(0, 1)
        squared = (wx - t * ex) ** 2 + (wy - t * ey) ** 2
        nearest = squared if nearest is None else torch.minimum(nearest, squared)
        above, below, turn = y >= ay, y < by, ex * wy > ey * wx
        crosses = (above & below & turn) | (~above & ~below & ~turn)
        flip = torch.where(crosses, -1.0, 1.0)
        sign = flip if sign is None else sign * flip
    return sign * (nearest + 1e-12).sqrt()


def polyline(x: Tensor, y: Tensor, points: Tensor) -> Tensor:
    """Distance to an open line through points (B, N, 2)."""
    nearest = None
    for i in range(points.shape[1] - 1):
        a = (per_image(points[:, i, 0]), per_image(points[:, i, 1]))
        b = (per_image(points[:, i + 1, 0]), per_image(points[:, i + 1, 1]))
        distance = along(x, y, a, b)[1]
        nearest = distance if nearest is None else torch.minimum(nearest, distance)
    return nearest


def smooth_min(a: Tensor, b: Tensor, k) -> Tensor:
    """Minimum with a fillet of width k: shapes grow together."""
    h = (k - (a - b).abs()).clamp(min=0) / k
    return torch.minimum(a, b) - h * h * k / 4


def bump(value: Tensor, width) -> Tensor:
    """exp(-½ (value / width)²), at least 1e-11: denormal numbers would make far pixels slower than near ones."""
    return torch.exp((-0.5 * (value / width) ** 2).clamp(min=-25.0))


def pick(table: list[tuple[float, float, float]], u: Tensor) -> Tensor:
    """A row of a colour table for each u in [0, 1), (B, 3)."""
    rows = torch.tensor(table, device=u.device, dtype=torch.float32)
    return rows[(u * len(table)).long().clamp(max=len(table) - 1)]


def relief_light(height: Tensor, *, fine: int, light=(-0.35, -0.55, 0.76)) -> Tensor:
    """Lambert shading in [0, 1] of a height field in px, (B, r, r); `light` points to the light, y down."""
    padded = torch.nn.functional.pad(height[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    dx = ((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * (fine / 2)).clamp(-1.6, 1.6)
    dy = ((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * (fine / 2)).clamp(-1.6, 1.6)
    facing = (-dx * light[0] - dy * light[1] + light[2]) / (1 + dx * dx + dy * dy).sqrt()
    return facing.clamp(0, 1)
