"""Everything behind the head: wall or clutter, clothes, neck and hair that falls behind."""

import torch
from torch import Tensor

from fau_utils.faces import rng
from fau_utils.faces.camera import Camera
from fau_utils.faces.canvas import constant, fill, soft, true_indices
from fau_utils.faces.hair import Hair
from fau_utils.faces.identity import Identity
from fau_utils.faces.nuisance import Nuisance

_CLUTTER, _WALL, _CLOTHES = 0x3B00, 0x3B01, 0x3B02
CONTRAST = 0.35  # amplitude of the clutter; more looks like noise, not like a place


def _spread(coarse: Tensor, res: int) -> Tensor:
    """(..., n, n) to (..., res, res), linear between the values: a matrix on either side."""
    n = coarse.shape[-1]
    at = torch.linspace(0, n - 1, res, device=coarse.device)
    tents = (1 - (at[:, None] - torch.arange(n, device=coarse.device)).abs()).clamp(min=0)  # (res, n)
    return tents @ coarse @ tents.T


def wall(nuisance: Nuisance, res: int) -> Tensor:
    """(3, B, R, R) linear light of what is behind everybody."""
    b, device = len(nuisance), nuisance.pose.device
    draw = rng.uniform(nuisance.seed, _WALL, 3)[:, :, None, None]
    wild = nuisance.wild[:, None, None]
    at = torch.linspace(-1, 1, res, device=device)
    # a laboratory wall: grey, lit from above, a little darker in the corners
    grey = 0.15 + 0.10 * draw[:, 0]
    plain = grey * (1 - 0.22 * at[:, None] - 0.10 * at * at)
    base = (0.98, 1.0, 1.03)
    out = plain.new_empty(3, b, res, res)
    if device.type == "cpu" and not wild.any():
        for k in range(3):
            torch.mul(plain, base[k], out=out[k])
        return out
    # clutter: blobs of two sizes, mostly of one colour
    blobs = _spread(rng.normal(nuisance.seed, _CLUTTER, 75).view(b, 3, 5, 5), res)
    grain = _spread(rng.normal(nuisance.seed, _CLUTTER + 0x10, 196).view(b, 14, 14), res)
    light = torch.exp((blobs[:, 0] * 0.9 + 0.55 * grain) * (2 * CONTRAST * wild))
    level = torch.lerp(plain, plain * (0.5 + draw[:, 1] * 1.6), wild) * light
    hue = CONTRAST * wild * 0.55
    warm = blobs[:, 1] * hue + (draw[:, 2] - 0.5) * wild * 0.5
    green = blobs[:, 2] * (hue * 0.4)
    for k, tint in enumerate((warm + 1, green + 1, 1 - warm)):
        torch.mul(level, tint.mul_(base[k]), out=out[k])
    return out.clamp_(min=0.004)


def body(
    scene: Tensor,
    alpha: Tensor,
    identity: Identity,
    hair: Hair,
    skin: Tensor,
    nuisance: Nuisance,
    camera: Camera,
    strands: Tensor,
) -> None:
    """Paint hair behind the head, neck, shoulders and clothes over a scene, in place.

    Parameters
    ----------
    scene : Tensor
        (3, B, R, R) linear light, changed.
    alpha : Tensor
        (B, R, R) coverage by the head; what it hides is not painted.
    skin : Tensor
        (B, 3) albedo.
    strands : Tensor
        (R, R) fine noise.
    """
    res = scene.shape[-1]
    rotation, scale, centre = camera.rotation, camera.scale, camera.shift
    at = torch.arange(res, dtype=torch.float32, device=skin.device)
    height = (centre[:, 1, None] - at) / scale[:, None]  # (B, R)
    back = hair.style["back"].flatten()
    highest = torch.where(back > -0.9, 0.80, 0.0)
    index = true_indices((alpha < 1) & (height < highest[:, None])[:, :, None])
    if not len(index):
        return
    face = torch.div(index, res * res, rounding_mode="floor")
    place = index - face * (res * res)
    row = torch.div(place, res, rounding_mode="floor")
    grain = strands.flatten()[place]

    # the head turns on a neck that stays: its top follows, its foot does not
    top = rotation @ constant(
        (
            0.0,
            -0.62,
            -0.30,
        ),
        rotation.device,
    )
    lean = (
        0.8
        * (
            rotation
            @ constant(
                (
                    0.0,
                    0.2,
                    -0.25,
                ),
                rotation.device,
            )
        )[:, 0]
    )
    draw = rng.uniform(identity.seed, _CLOTHES, 3)
    dye = 0.03 + 0.40 * draw[:, 2:] ** 2 * (0.55 + 0.45 * rng.uniform(identity.seed, _CLOTHES + 1, 3))
    wide = hair.style["width"] * (0.94 + 0.10 * (hair.style["sides"] / 0.08).clamp(0, 2))
    key = nuisance.key * 0.8 + nuisance.ambient
    values = torch.stack(
        [
            centre[:, 0],
            centre[:, 1],
            1 / scale,
            top[:, 0],
            top[:, 1],
            lean,
            back,
            wide.flatten(),
            hair.parting.flatten() * 6,
            draw[:, 0],
            draw[:, 1],
            0.45 + 0.035 * identity.factor("fullness"),
            nuisance.light[:, 0] * 0.8 * nuisance.key * 0.8,
            nuisance.light[:, 2] * nuisance.key * 0.8,
            nuisance.ambient * 0.9,
            *(hair.colour * key[:, None]).T,
            *skin.T,
            *(dye * key[:, None]).T,
        ]
    ).index_select(1, face)
    cx, cy, pixel, top_x, top_y, lean, back, wide, wave, cut, deep, half, side_light, front_light, sky = values[:15]
    column = (place - row * res).to(torch.float32)
    x, y = (column - cx) * pixel, (cy - row) * pixel
    light = scene.view(3, -1).index_select(1, index)

    # hair behind the head
    off = x - lean * ((y + 1.6) / 1.8).clamp_(0, 1)
    bulge = wide * ((1.02 - ((y - 0.1).clamp(min=0) / 0.7) ** 2).clamp_(min=0).sqrt_() + 0.02 * torch.sin(7 * y + wave))
    depth = bulge - off.abs() + 0.02 * grain
    tail = y + 1.0 + back - 0.05 * grain - 0.10 * (off / wide) ** 2
    cover = soft(torch.minimum(torch.minimum(depth, tail), 0.75 - y), pixel + 0.015) * (back > -0.9)
    tone = (0.66 + 0.22 * grain + 0.44 * (depth * 3).clamp_(0, 1)).clamp_(min=0.1)
    for k in range(3):
        fill(light[k], values[15 + k] * tone, cover)

    # shoulders slope down from the neck; clothes with a round or a V-shaped collar
    ax = x.abs()
    slope = -1.42 - 0.42 * (ax - 0.30).clamp_(min=0) ** 1.3 - 1.6 * (ax - 1.45).clamp_(min=0) ** 2
    collar = -1.50 - 0.12 * cut - (1 - (ax / (0.42 + 0.12 * cut)) ** 2).clamp_(min=0) * (0.10 + 0.45 * deep * deep)
    dress = soft(slope - y, pixel) * soft(collar - y, pixel)
    trunk = soft(slope + 0.03 - y, pixel)

    # the neck: a cylinder in the shadow of the jaw
    along = ((y - top_y) / (-1.55 - top_y)).clamp_(0, 1)
    half = half + 0.06 * along * along + 0.5 * (along - 0.75).clamp_(min=0)
    across = (x - top_x * (1 - along)) / half
    neck = soft((1 - across.abs()) * half, pixel) * soft(top_y - y, pixel)
    neck = torch.maximum(neck, trunk * (1 - dress))
    across.clamp_(-1, 1)
    bend = (1 - across * across * 0.9).sqrt_()
    shadow = 0.42 + 0.58 * ((top_y * 0.3 - 0.95 - y) / 0.55).clamp_(0, 1)
    flesh = (sky * (0.6 + 0.4 * bend) + (bend * front_light + across * side_light).clamp_(min=0)) * shadow
    for k in range(3):
        fill(light[k], values[18 + k] * flesh, neck)
    cloth = 1 - 0.25 * (slope - y).clamp_(0, 1) * (0.5 + 0.5 * torch.sin(9 * x + 5 * cut))
    cloth *= 1 - 0.45 * soft(0.04 - (y - collar + 0.03).abs(), pixel)
    for k in range(3):
        fill(light[k], values[21 + k] * cloth, dress)
    scene.view(3, -1).index_copy_(1, index, light)
