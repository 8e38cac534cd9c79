"""Paint the eyes and the brows."""

import torch
from torch import Tensor

from fau_utils.faces.canvas import Canvas, constant, fill, soft
from fau_utils.faces.features import IRIS, PUPIL, Features
from fau_utils.faces.hair import pick
from fau_utils.faces.identity import Identity

IRIS_COLOURS = (
    (0.045, 0.020, 0.010),
    (0.085, 0.040, 0.016),
    (0.150, 0.085, 0.030),
    (0.130, 0.140, 0.060),
    (0.090, 0.170, 0.150),
    (0.090, 0.190, 0.310),
    (0.200, 0.260, 0.300),
)  # linear light
_FIELDS = ("eye_x", "eye_y", "eye_half", "eye_tilt", "lid_up", "lid_down", "lid_fold", "crease", "iris_x", "iris_y")
_BROW = ("brow_x", "brow_y", "brow_half", "brow_arch", "brow_tilt", "brow_thick")


def paint_eyes(canvas: Canvas, f: Features, identity: Identity, light: Tensor) -> None:
    """Lids, lashes, eyeball, iris, pupil and the reflection of the light.

    Parameters
    ----------
    light : Tensor
        (B, 3) direction of the key light in the head's axes.
    """
    centre_x, centre_y = f.eye_x.mean(1)[:, None, None], f.eye_y.mean(1)[:, None, None]
    near = ((canvas.x.abs() - centre_x).abs() < 0.235) & ((canvas.y - centre_y).abs() < 0.165)
    spot = canvas.select(near)
    if not len(spot):
        return
    x, y = spot.pick(canvas.x), spot.pick(canvas.y)
    right = (x < 0).long()
    ax = x.abs()
    ex, ey, half, tilt, up, down, fold, crease, ix, iy = spot.take_side(
        torch.stack([getattr(f, name) for name in _FIELDS]), right
    )
    melanin = identity.factor("melanin")
    pale = identity.factor("iris") ** 1.5 * (1 - 0.85 * ((melanin - 0.4) / 0.25).clamp(0, 1))
    colour = pick(constant(IRIS_COLOURS, identity.look.device), pale)
    red, green, blue, pixel, lash, shadow, lx, ly = spot.take(
        torch.stack(
            [
                *colour.T,
                canvas.footprint.flatten(),
                identity.factor("lashes"),
                ((identity.factor("eye_shadow") - 0.7) / 0.3).clamp(min=0) * (1 - 0.5 * melanin),
                light[:, 0],
                light[:, 1],
            ]
        )
    )
    s = (ax - ex) / half
    e = 1 - s * s
    inside = e.clamp(min=0)
    base = ey + tilt * (ax - ex)
    upper = base + up * inside * (1 - 0.16 * s)
    lower = base - down * inside * (1 + 0.16 * s)
    to_upper, to_lower = upper - y, y - lower  # positive within the opening
    m = spot.read()

    # skin round the eye: fold of the lid, shadow in it, make-up, fold under the eye
    over = (-to_upper).clamp(min=0)
    arc = (e + 0.42).clamp(0, 1)
    fold_line = 1 / (1 + ((over - crease) / (0.55 * pixel + 0.010)) ** 2)
    above = soft(-to_upper, pixel)
    m[3] *= 1 - 0.34 * fold_line * arc * above
    lid = soft(crease - over, pixel) * above * arc
    m[6] += 0.30 * lid * (over / crease - 0.35)  # the lid is round
    tint = shadow * lid * 0.65
    fill(m[0], 0.16, tint)
    fill(m[1], 0.10, tint)
    fill(m[2], 0.17, tint)
    under = (-to_lower).clamp(min=0)
    pouch = 1 / (1 + ((under - 0.034) / (0.5 * pixel + 0.010)) ** 2)
    m[3] *= 1 - (0.08 + 0.22 * fold) * pouch * arc * soft(-to_lower, pixel)

    # the opening
    gap = torch.minimum(to_upper, to_lower)
    cover = soft(gap, pixel) * (e > 0)
    # the ball darkens towards the corners and under the upper lid
    shade = (0.62 + 0.38 * inside) * (0.50 + 0.50 * (to_upper / 0.040).clamp(0, 1))
    white_r, white_g, white_b = 0.55 * shade, 0.49 * shade, 0.45 * shade
    pink = (1 - (s + 1.0) / 0.28).clamp_(0, 1) * 0.8
    white_g = white_g * (1 - 0.45 * pink)
    white_b = white_b * (1 - 0.45 * pink)
    dx, dy = ax - ix, y - iy
    r = torch.sqrt(dx * dx + dy * dy + 1e-8)
    disc = soft(IRIS - r, pixel)
    hole = soft(PUPIL - r, pixel)
    ring = 1 - 0.62 * ((r / IRIS - 0.72) / 0.28).clamp(0, 1)
    glow = (
        ring
        * (0.75 + 0.9 * (r / IRIS) * (0.35 - dy / IRIS).clamp(0, 1))
        * (0.45 + 0.55 * (to_upper / 0.035).clamp(0, 1))
    )
    eye_r = torch.lerp(white_r, red * glow * 1.2, disc)
    eye_g = torch.lerp(white_g, green * glow * 1.2, disc)
    eye_b = torch.lerp(white_b, blue * glow * 1.2, disc)
    sign = 1 - 2 * right.to(torch.float32)
    # the reflection of the key light and, opposite, a faint one of the room
    gx, gy = dx - 0.030 * lx * sign, dy - 0.010 - 0.024 * ly
    spark = soft(0.0145 - torch.sqrt(gx * gx + gy * gy), pixel) * soft(to_upper - 0.004, pixel)
    spark = spark * (0.020 / pixel).clamp(max=1).square()  # smaller than a pixel it is only a hint
    rows = []
    for value in (eye_r, eye_g, eye_b):
        value = torch.lerp(value, value * 0.06 + 0.004, hole)
        rows.append(value + (1.2 - value) * spark)
    for k, value in enumerate(rows):
        fill(m[k], value, cover)
    fill(m[3], m[3] * 0.3 + 0.7, cover)
    fill(m[4], 0.05, cover)
    # a ball's normals, turned half towards the camera so that the white stays white
    fill(m[5], 0.45 * s * sign, cover)
    fill(m[6], 0.25 * (y - base) / 0.07, cover)
    fill(m[7], torch.ones_like(s), cover)

    # lashes: a dark line on the edge of the upper lid, thicker outside; a faint one below; a wet lower edge
    width = (0.0075 + 0.006 * lash) * (1 + 0.5 * s).clamp(0.3, 1.6)
    line = soft(width - (to_upper + 0.25 * width).abs(), pixel) * soft((1.06 - s.abs()) * half, pixel)
    thin = (2 * width / pixel).clamp(max=1)  # a line thinner than a pixel covers only part of it
    line = line * thin.sqrt()
    below = soft(0.006 - (to_lower + 0.003).abs(), pixel) * soft((0.95 - s.abs()) * half, pixel) * 0.40
    wet = soft(0.006 - (to_lower - 0.003).abs(), pixel) * cover * 0.35
    for k, tone in ((0, 0.45), (1, 0.26), (2, 0.22)):
        fill(m[k], tone, wet)
    dark = torch.maximum(line * 0.92, below)
    for k, tone in ((0, 0.020), (1, 0.012), (2, 0.010)):
        fill(m[k], tone, dark)
    m[4] *= 1 - dark
    spot.write(m)


def paint_brows(canvas: Canvas, f: Features, identity: Identity, colour: Tensor, strands: Tensor) -> None:
    """Brows as short hairs on the skin.

    Parameters
    ----------
    colour : Tensor
        (B, 3) colour of the hair.
    strands : Tensor
        (B, R, R) fine noise of unit variance.
    """
    centre = (f.brow_y + 0.5 * f.brow_arch).mean(1)[:, None, None]
    near = ((canvas.x.abs() - 0.31).abs() < 0.27) & ((canvas.y - centre).abs() < 0.12)
    spot = canvas.select(near)
    if not len(spot):
        return
    x, y, grain = spot.pick(canvas.x), spot.pick(canvas.y), spot.pick(strands)
    right = (x < 0).long()
    bx, by, half, arch, tilt, thick = spot.take_side(torch.stack([getattr(f, name) for name in _BROW]), right)
    density = 0.55 + 0.42 * identity.factor("brow_density")
    dark = colour * 0.55 + 0.006
    red, green, blue, pixel, dense = spot.take(torch.stack([*dark.T, canvas.footprint.flatten(), density]))
    s = (x.abs() - bx) / half
    middle = by + tilt * half * s + arch * (1 - (s - 0.25) * (s - 0.25) / 0.9)
    # full inside, a tail outside
    width = thick * (1.05 - 0.50 * (s.clamp(-1, 1) + 0.4).clamp(min=0)) * (1 - 0.25 * (-s - 0.6).clamp(min=0))
    cover = soft(width - (y - middle).abs(), pixel + 0.012) * soft((1.02 - s.abs()) * half, pixel + 0.02)
    cover = cover * (dense * (0.95 + 0.09 * grain)).clamp_(0, 0.97)
    m = spot.read()
    for k, value in enumerate((red, green, blue)):
        fill(m[k], value, cover)
    m[4] *= 1 - 0.8 * cover
    m[3] *= 1 - 0.10 * cover
    spot.write(m)
