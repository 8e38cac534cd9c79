"""Everything behind the head: wall or clutter, clothes, neck and hair that falls behind."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fau_utils.faces import rng
from fau_utils.faces.canvas import soft
from fau_utils.faces.hair import Hair
from fau_utils.faces.identity import Identity
from fau_utils.faces.nuisance import Nuisance

_CLUTTER, _WALL, _CLOTHES = 0x3B00, 0x3B01, 0x3B02
CONTRAST = 0.35  # amplitude of the clutter; more looks like noise, not like a place


def wall(nuisance: Nuisance, res: int) -> Tensor:
    """(3, B, R, R) linear light of what is behind everybody."""
    b, device = len(nuisance), nuisance.pose.device
    draw = rng.uniform(nuisance.seed, _WALL, 8)
    wild = nuisance.wild[:, None, None]
    at = torch.linspace(-1, 1, res, device=device)
    # a laboratory wall: grey, lit from above, a little darker in the corners
    grey = 0.20 + 0.10 * (draw[:, 0, None, None] - 0.5)
    plain = grey * (1 - 0.22 * at[:, None] - 0.10 * at * at)
    # clutter: blobs of two sizes, mostly of one colour
    coarse = rng.normal(nuisance.seed, _CLUTTER, 3 * 25).view(b, 3, 5, 5)
    fine = rng.normal(nuisance.seed, _CLUTTER + 0x10, 196).view(b, 1, 14, 14)
    blobs = F.interpolate(coarse, size=(res, res), mode="bilinear", align_corners=True)
    grain = F.interpolate(fine, size=(res, res), mode="bilinear", align_corners=True)[:, 0]
    light = torch.exp((blobs[:, 0] * 0.9 + 0.55 * grain) * (2 * CONTRAST * wild))
    level = torch.lerp(plain, plain * (0.5 + draw[:, 1, None, None] * 1.6), wild) * light
    hue = CONTRAST * wild * 0.55
    warm = blobs[:, 1] * hue + (draw[:, 2, None, None] - 0.5) * wild * 0.5
    green = blobs[:, 2] * hue * 0.4
    base = plain.new_tensor([0.98, 1.0, 1.03])
    out = torch.stack([level * (1 + warm), level * (1 + green), level * (1 - warm)]).clamp_(min=0.004)
    return out * base[:, None, None, None]


def body(
    canvas_light: Tensor,
    identity: Identity,
    hair: Hair,
    skin: Tensor,
    nuisance: Nuisance,
    scale: Tensor,
    centre: Tensor,
    rotation: Tensor,
    strands: Tensor,
) -> Tensor:
    """Paint hair behind the head, neck, shoulders and clothes over `canvas_light`, in place.

    Parameters
    ----------
    canvas_light : Tensor
        (3, B, R, R) linear light.
    skin : Tensor
        (B, 3) albedo.
    scale : Tensor
        (B,) px per face unit.
    centre : Tensor
        (B, 2) px of the head's origin.
    rotation : Tensor
        (B, 3, 3) of the head.
    strands : Tensor
        (R, R) fine noise.
    """
    res = canvas_light.shape[-1]
    at = torch.arange(res, dtype=torch.float32, device=skin.device)

    def per_face(values):
        return values[:, None, None]

    x = (at[None, None, :] - per_face(centre[:, 0])) / per_face(scale)  # (B, 1, R)
    y = (per_face(centre[:, 1]) - at[None, :, None]) / per_face(scale)  # (B, R, 1)
    pixel = 1 / per_face(scale)
    key = nuisance.key * 0.8 + nuisance.ambient

    # the head turns on a neck that stays: its top follows, its foot does not
    top = rotation @ rotation.new_tensor([0.0, -0.62, -0.30])
    top_x, top_y = per_face(top[:, 0]), per_face(top[:, 1])
    side = rotation @ rotation.new_tensor([0.0, 0.2, -0.25])

    back = hair.style["back"]
    lowest = -1.0 - back
    wide = hair.style["width"] * (0.94 + 0.10 * (hair.style["sides"] / 0.08).clamp(0, 2))
    lean = per_face(side[:, 0]) * 0.8
    centre_line = lean * ((y + 1.6) / 1.8).clamp(0, 1)
    bulge = wide * (1.0 - 0.20 * ((y - 0.55).clamp(min=0) / 0.8) ** 2 + 0.02 * torch.sin(7 * y + 6 * hair.parting))
    depth = bulge - (x - centre_line).abs() + 0.02 * strands
    tail = y - lowest - 0.05 * strands - 0.10 * ((x - centre_line) / wide) ** 2
    cover = soft(torch.minimum(torch.minimum(depth, tail), 0.75 - y), pixel + 0.015) * (back > -0.9)
    tone = (0.30 + 0.10 * strands + 0.20 * (depth * 3).clamp(0, 1)) * per_face(key)

    # shoulders slope down from the neck; clothes with a round or a V-shaped collar
    draw = rng.uniform(identity.seed, _CLOTHES, 6)
    cut = per_face(draw[:, 0])
    ax = x.abs()
    slope = -1.42 - 0.42 * (ax - 0.30).clamp(min=0) ** 1.3 - 1.6 * (ax - 1.45).clamp(min=0) ** 2
    cloth = soft(slope - y, pixel)
    neck_line = (
        -1.50
        - 0.12 * cut
        - (1 - (ax / (0.42 + 0.12 * cut)) ** 2).clamp(min=0) * (0.10 + 0.45 * per_face(draw[:, 1]) ** 2)
    )
    trunk = soft(slope + 0.03 - y, pixel)
    dress = cloth * soft(neck_line - y, pixel)
    fold = 1 - 0.25 * (slope - y).clamp(0, 1) * (0.5 + 0.5 * torch.sin(9 * x + 5 * cut))
    collar = 1 - 0.45 * soft(0.04 - (y - neck_line + 0.03).abs(), pixel)

    # the neck: a cylinder in the shadow of the jaw
    along = ((y - top_y) / (-1.55 - top_y)).clamp(0, 1)
    half = (
        0.45 + 0.035 * identity.factor("fullness")[:, None, None] + 0.06 * along**2 + 0.5 * (along - 0.75).clamp(min=0)
    )
    across = (x - top_x * (1 - along)) / half
    neck = soft((1 - across.abs()) * half, pixel) * soft(top_y - y, pixel)
    neck = torch.maximum(neck, trunk * (1 - dress))
    round_ = (1 - across * across * 0.9).clamp(min=0.05).sqrt()
    lit = (round_ * per_face(nuisance.light[:, 2]) + across.clamp(-1, 1) * 0.8 * per_face(nuisance.light[:, 0])).clamp(
        min=0
    )
    shadow = 0.42 + 0.58 * ((top_y * 0.3 - 0.90 - y) / 0.55).clamp(0, 1)
    flesh = (per_face(nuisance.ambient) * 0.9 * (0.6 + 0.4 * round_) + per_face(nuisance.key) * lit * 0.8) * shadow

    hue = rng.uniform(identity.seed, _CLOTHES + 1, 3)
    dye = 0.03 + 0.40 * draw[:, 2, None] ** 2 * (0.55 + 0.45 * hue)
    for k in range(3):
        row = canvas_light[k]
        for value, amount in (
            (per_face(hair.colour[:, k]) * tone * 2.2, cover),
            (per_face(skin[:, k]) * flesh, neck),
            (per_face(dye[:, k] * key) * fold * collar, dress),
        ):
            row.add_(value.sub(row).mul_(amount))
    return canvas_light
