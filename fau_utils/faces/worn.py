"""Occluders that are worn: sunglasses, a face mask, a scarf. They sit on landmarks and follow the head.

Each painter gets n faces: landmarks (n, 68, 2) px, pose (n, 3) rad, scale (n,) px per face unit, and uniforms (n, 16)
of its own; sizes are in face units. Points are named for the picture: index 0 of a pair is the picture's left.
"""

import torch
from torch import Tensor

from fau_utils.faces.sdf import Canvas, along, bump, ellipse, local, per_image, pick, polygon, polyline

RIMS = [
    (0.05, 0.05, 0.06),
    (0.08, 0.07, 0.07),
    (0.28, 0.17, 0.09),
    (0.62, 0.50, 0.26),
    (0.32, 0.08, 0.09),
    (0.80, 0.79, 0.76),
]
LENSES = [(0.07, 0.07, 0.08), (0.16, 0.10, 0.06), (0.08, 0.13, 0.10), (0.08, 0.11, 0.18), (0.17, 0.15, 0.14)]
MASKS = [
    (0.55, 0.72, 0.82),
    (0.60, 0.76, 0.86),
    (0.92, 0.93, 0.93),
    (0.10, 0.10, 0.12),
    (0.52, 0.55, 0.58),
    (0.78, 0.84, 0.76),
    (0.88, 0.74, 0.76),
]
WOOLS = [
    (0.42, 0.12, 0.15), (0.14, 0.18, 0.31), (0.70, 0.55, 0.38), (0.38, 0.39, 0.41),
    (0.31, 0.34, 0.22), (0.84, 0.80, 0.71), (0.68, 0.50, 0.18), (0.22, 0.33, 0.36),
]  # fmt: skip


def down(pose: Tensor, scale: Tensor) -> Tensor:
    """One face unit downwards along the face, (n, 2) px."""
    roll = pose[:, 2]
    return torch.stack([roll.sin(), roll.cos()], 1) * (scale * pose[:, 1].cos())[:, None]


def outward(points: Tensor, centre: Tensor) -> Tensor:
    """Unit vectors from a centre (n, 2) to points (n, k, 2)."""
    away = points - centre[:, None]
    return away / away.norm(dim=2, keepdim=True).clamp(min=1e-3)


def sunglasses(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    """Two lenses with rims, a bridge, and temples to the ears."""
    eyes = torch.stack([marks[:, 36:42].mean(1), marks[:, 42:48].mean(1)], 1)
    ex = (eyes[:, 1] - eyes[:, 0]) / 0.62 + 1e-4
    ex = ex * (0.4 * scale / ex.norm(dim=1).clamp(min=1e-3)).clamp(min=1)[:, None]  # never edge-on
    ey = down(pose, scale)
    middle = eyes.mean(1) + 0.02 * ey
    a, b = local(canvas, middle, ex, ey)  # across, down
    px = per_image(scale)
    width, height = per_image(0.235 + 0.03 * u[:, 0]), per_image(0.165 + 0.045 * u[:, 1])
    power, drop = per_image(2.2 + 2.6 * u[:, 2]), per_image(0.22 * u[:, 3] - 0.04)
    rim = pick(RIMS, u[:, 4])
    # the temples go behind the lenses
    for side, ear in ((-1.0, marks[:, 0]), (1.0, marks[:, 16])):
        hinge = middle + side * (0.31 + width[:, 0, 0, None] * 0.96) * ex - 0.07 * ey
        end = ear - 0.02 * ey + side * 0.03 * ex
        reach = ((end - hinge) * side * ex).sum(1) / (ex * ex).sum(1)
        points = [(per_image(p[:, 0]), per_image(p[:, 1])) for p in (hinge, end)]
        distance = along(canvas.x, canvas.y, *points)[1]
        seen = per_image((reach * 30).clamp(0, 1))  # on the far side the ear is behind the face
        canvas.paint(rim * 0.9, canvas.cover(distance - (0.022 * px).clamp(min=0.45)) * seen)
    bridge = along(a, b, (-0.12, -0.065), (0.12, -0.065))[1]
    canvas.paint(rim, canvas.cover((bridge + 0.5 * (a / 0.12).clamp(-1, 1) ** 2 * 0.02 - 0.02) * px))
    outer = a.abs() - 0.31  # towards the ear
    slant = b + drop * outer * 0.4  # the outer corner sits higher
    lens = ellipse(outer, slant, width * (1 - drop * 1.2 * (slant / height).clamp(-1, 1)), height, power)
    shade = ((slant / height + 1) / 2).clamp(0, 1)
    tint = pick(LENSES, u[:, 5])[:, :, None, None]
    glint = bump(outer * 0.8 + slant + 0.05 - 0.08 * per_image(u[:, 6]), 0.028)
    sky = bump(slant / height + 0.75, 0.25)
    colour = tint * (1 + 1.5 * per_image(u[:, 7])[:, None] * shade[:, None] ** 2)
    colour = (
        colour + (0.16 * glint + 0.10 * sky)[:, None] * torch.tensor([0.85, 0.95, 1.0], device=u.device)[:, None, None]
    )
    thick = 0.016 + 0.02 * per_image(u[:, 8])
    metal = rim[:, :, None, None] * (1 + 0.5 * bump((lens + thick / 2) / thick, 0.3) * (slant < 0))[:, None]
    canvas.paint(metal.clamp(0, 1), canvas.cover((lens - thick) * px))
    canvas.paint(colour.clamp(0, 1), canvas.cover(lens * px))


def mask(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    """A mask from the bridge of the nose to under the chin, pleated or moulded, with ear loops."""
    px = per_image(scale)
    ey = down(pose, scale)
    centre = marks[:, 33]
    jaw = marks + 0.03 * scale[:, None, None] * outward(marks, centre)
    bridge = 0.55 * marks[:, 28] + 0.45 * marks[:, 29]
    sides = []
    for outer, under, wing in ((2, (40, 41), 31), (14, (46, 47), 35)):
        cheek = 0.5 * jaw[:, 1 if outer == 2 else 15] + 0.5 * jaw[:, outer]
        below = marks[:, under[0]] * 0.5 + marks[:, under[1]] * 0.5
        mid = 0.5 * below + 0.5 * (0.5 * marks[:, wing] + 0.5 * cheek)
        flank = 0.72 * (0.55 * bridge + 0.45 * below) + 0.28 * mid
        sides.append((cheek, mid, flank))
    upper = torch.stack([*sides[0], bridge, *sides[1][::-1]], 1)
    lower = jaw[:, 3:14].clone()
    sag = 0.05 * bump(torch.arange(-5.0, 6.0, device=u.device), 2.0)
    lower = lower + sag[None, :, None] * ey[:, None]
    outline = torch.cat([upper, lower.flip(1)], 1)
    # the loops run behind the cloth
    cord = torch.where(u[:, :1] < 0.8, 0.93, 0.15).expand(-1, 3)
    for ear, top, bottom in ((0, sides[0][0], lower[:, 1]), (16, sides[1][0], lower[:, -2])):
        hook = marks[:, ear] + 0.05 * scale[:, None] * outward(marks, centre)[:, ear]
        points = torch.stack([top, hook - 0.03 * ey, hook + 0.10 * ey, bottom], 1)
        across = outward(marks, marks[:, 27])[:, ear]
        reach = ((hook - top) * across).sum(1) / scale
        loop = polyline(canvas.x, canvas.y, points)
        line = canvas.cover(loop - (0.009 * px).clamp(min=0.3))
        canvas.paint(cord, line * per_image(((reach + 0.02) * 25).clamp(0, 1)))
    distance = polygon(canvas.x, canvas.y, outline)
    body = pick(MASKS, u[:, 1])[:, :, None, None]
    above, under = polyline(canvas.x, canvas.y, upper), polyline(canvas.x, canvas.y, lower)
    t = above / (above + under + 1e-3)  # 0 at the upper hem, 1 at the lower
    axis = marks[:, 8] - marks[:, 27]
    along_axis = axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-3)
    s = ((canvas.x - per_image(marks[:, 30, 0])) * per_image(along_axis[:, 1])) - (
        (canvas.y - per_image(marks[:, 30, 1])) * per_image(along_axis[:, 0])
    )
    s = s / (0.62 * px)
    facing = s + 1.2 * per_image(pose[:, 0].sin())
    shade = 0.93 + 0.10 * bump(facing + 0.35, 0.55) - 0.26 * facing.clamp(-1.2, 1.2).abs() ** 2
    shade = shade + 0.06 * bump(t - 0.36, 0.10) - 0.16 * bump(t - 0.98, 0.16)
    pleated = per_image((u[:, 2] < 0.7).float())
    flat = 1 - 0.55 * bump((s.abs() - 0.95).clamp(max=0), 0.18)
    for place in (0.36, 0.52, 0.68):
        wave = place + 0.02 * (per_image(u[:, 3]) - 0.5) + 0.02 * torch.sin(3 * s + 6 * per_image(u[:, 4]))
        shade = shade + pleated * flat * (0.08 * bump(t - wave + 0.028, 0.018) - 0.22 * bump(t - wave, 0.016))
    seam = bump(s + 0.02 * torch.sin(6 * t), 0.03)
    shade = shade + (1 - pleated) * (0.06 * bump(s + 0.05, 0.04) - 0.16 * seam) * (t > 0.12)
    pull = torch.sin(26 * t + 7 * s.abs() + 6 * per_image(u[:, 5])) * ((s.abs() - 0.45) * 2).clamp(0, 1)
    shade = shade - 0.07 * pull.clamp(min=0) ** 2
    hem = bump(t - 0.045, 0.014) + bump(t - 0.955, 0.014)
    shade = shade - 0.14 * hem + 0.05 * bump(t - 0.075, 0.015) * bump(s, 0.35)
    canvas.paint((body * shade[:, None]).clamp(0, 1), canvas.cover(distance - 0.02 * px))


def scarf(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    """Wool around the lower face and the neck, in draped folds, plain or striped."""
    px = per_image(scale)
    ey = down(pose, scale)
    ex = torch.stack([ey[:, 1], -ey[:, 0]], 1)
    # between the tip of the nose and the base of it
    level = (0.1 + 0.8 * u[:, 0])[:, None]
    nose = (1 - level) * marks[:, 30] + level * (0.6 * marks[:, 33] + 0.4 * marks[:, 51])
    centre = marks[:, 33]
    out = outward(marks, centre) * scale[:, None, None]
    tilt = 0.10 * (u[:, 1] - 0.5)[:, None] * ey
    left, right = marks[:, 3] + 0.05 * out[:, 3], marks[:, 13] + 0.05 * out[:, 13]
    wing_l = 0.5 * (0.6 * marks[:, 31] + 0.4 * marks[:, 3]) + 0.5 * (0.5 * nose + 0.5 * left)
    wing_r = 0.5 * (0.6 * marks[:, 35] + 0.4 * marks[:, 13]) + 0.5 * (0.5 * nose + 0.5 * right)
    upper = torch.stack(
        [left - 0.02 * ey + tilt, wing_l + tilt * 0.5, nose, wing_r - tilt * 0.5, right - 0.02 * ey - tilt], 1
    )
    ends = []
    for jaw, side in ((12, 1.0), (4, -1.0)):
        start = marks[:, jaw] + 0.20 * out[:, jaw]
        neck = marks[:, 8] + side * 0.74 * ex + 0.06 * ey
        low = marks[:, 8] + side * 0.88 * ex + 0.55 * ey
        floor = marks[:, 8] + side * 1.05 * ex + 2.0 * ey
        ends.append([start, neck, low, floor])
    outline = torch.cat([upper, torch.stack(ends[0], 1), torch.stack(ends[1][::-1], 1)], 1)
    distance = polygon(canvas.x, canvas.y, outline)
    below = polyline(canvas.x, canvas.y, upper) / px
    s, v = local(canvas, marks[:, 8], ex, ey)
    knot = torch.where(u[:, 2] < 0.5, -1.0, 1.0)
    sag = below + per_image(0.14 + 0.2 * u[:, 3]) * s * s - 0.22 * below * s * per_image(knot)
    sag = (
        sag
        + 0.035 * torch.sin(3.3 * s + 6.3 * per_image(u[:, 4]))
        + 0.014 * torch.sin(8 * s + 4 * v + 6.3 * per_image(u[:, 5]))
    )
    period = per_image(0.20 + 0.08 * u[:, 6])
    phase = (sag / period + 0.12) % 1.0
    # each fold: a lit round back, then the shadow it throws on the next
    fold = (
        0.70
        + 0.38 * (phase * 3.1416).sin().clamp(min=0) ** 0.8
        - 0.20 * bump(phase - 0.97, 0.07)
        - 0.12 * bump(phase, 0.05)
    )
    minor = 0.05 * torch.sin(6.2832 * (2.3 * sag / period + 0.6 * s))
    shade = (fold + minor) * (1.02 - 0.30 * s.abs().clamp(max=1.1) ** 2)
    shade = shade - 0.18 * bump((below - 0.0), 0.02)
    fibre = 0.035 * torch.sin(150 * (s + 0.35 * sag)) * torch.sin(130 * sag)
    shade = shade + fibre * (px > 35)
    base = pick(WOOLS, u[:, 7])[:, :, None, None]
    second = pick(WOOLS, u[:, 8])[:, :, None, None]
    across = torch.sin(6.2832 * sag / (period * 1.3) + 1.0) > 0.55
    warp = torch.sin(6.2832 * (s + 0.12 * sag) / 0.30) > 0.72
    striped, tartan = per_image(u[:, 9] > 0.55), per_image(u[:, 9] > 0.8)
    mix_in = 0.5 * (across & striped).float() + 0.35 * (warp & tartan).float()
    colour = base + (second - base) * mix_in[:, None]
    canvas.paint((colour * shade[:, None]).clamp(0, 1), canvas.cover(distance - 0.03 * px))
