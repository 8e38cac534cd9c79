"""Where the eyes, brows and mouth lie on the skin and how they are shaped, in material face units.

One source for painting and for landmarks, so that a landmark lies on what is painted. Sided values are (B, 2),
subject's left first, and describe the left side; the right side is mirrored.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fau_utils.faces.canvas import constant
from fau_utils.faces.identity import LAYOUT_INDEX, Identity
from fau_utils.faces.muscles import MOVEMENTS, PAINTED
from fau_utils.faces.nuisance import Nuisance

IRIS, PUPIL, BALL = 0.062, 0.025, 0.155  # radii


@dataclass(frozen=True)
class Features:
    """Places and shapes for B faces; every field (B, 2) float32, the subject's left side first."""

    eye_x: Tensor
    eye_y: Tensor
    eye_half: Tensor
    eye_tilt: Tensor
    lid_up: Tensor
    lid_down: Tensor
    lid_fold: Tensor
    crease: Tensor
    iris_x: Tensor
    iris_y: Tensor
    brow_x: Tensor
    brow_y: Tensor
    brow_half: Tensor
    brow_arch: Tensor
    brow_tilt: Tensor
    brow_thick: Tensor
    mouth_x: Tensor
    mouth_y: Tensor
    mouth_half: Tensor
    curve: Tensor
    upper_lip: Tensor
    lower_lip: Tensor
    open_up: Tensor
    open_down: Tensor
    corner: Tensor
    line: Tensor


def painted_matrix() -> Tensor:
    """(16, len(PAINTED)): change of each painted quantity at full contraction of each AU."""
    matrix = torch.zeros(len(MOVEMENTS), len(PAINTED))
    for i, m in enumerate(MOVEMENTS):
        for name, value in m.painted.items():
            matrix[i, PAINTED.index(name)] = value
    return matrix


def resolve(identity: Identity, painted: Tensor, nuisance: Nuisance) -> Features:
    """Features from who, what and when.

    Parameters
    ----------
    identity, nuisance
        B of each.
    painted : Tensor
        (B, 2, len(PAINTED)) summed changes per side.
    """
    p = dict(zip(PAINTED, painted.unbind(2), strict=True))  # each (B, 2)
    one = torch.ones_like(p["corner"])
    sign = constant(
        (
            1.0,
            -1.0,
        ),
        one.device,
    )

    def who(name: str) -> Tensor:
        return identity.layout[:, LAYOUT_INDEX[name], None]

    half = 0.152 * (1 + 0.06 * who("eye_width")) * one
    opening = 1 + 0.11 * who("eye_opening")
    eye_x = (0.308 + 0.015 * who("eye_spacing")) * one
    eye_y = (0.165 + 0.015 * who("eye_height")) * one
    gaze_x, gaze_y = nuisance.gaze[:, :1].sin() * BALL * 0.85 * sign, -nuisance.gaze[:, 1:].sin() * BALL * 0.85 * one
    up = 0.072 * opening * (1 + p["upper_lid"]) + 0.35 * gaze_y  # the upper lid follows the gaze
    down = 0.044 * opening * (1 + p["lower_lid"]).clamp(min=-0.15)
    up = up.clamp(min=-0.4 * 0.044)
    # a blink brings the upper lid down to the lower one, which hardly moves: unlike AU 7
    blink = nuisance.blink[:, None]
    up = up + blink * (-0.80 * down - up)
    up = torch.maximum(up, 0.004 - down)

    mouth_half = 0.272 * (1 + 0.07 * who("mouth_width")) * (1 + p["mouth_width"])
    parted = torch.minimum(p["open_down"] / 0.044, one)  # 25 or 26 lets the raised lip show teeth
    rest = 0.010 * (who("mouth_opening") - 0.8).clamp(min=0)
    open_up = p["open_up"] + p["part"] * parted
    return Features(
        eye_x=eye_x,
        eye_y=eye_y,
        eye_half=half,
        eye_tilt=(0.05 + 0.07 * who("eye_tilt")) * one,
        lid_up=up,
        lid_down=down,
        lid_fold=p["lid_fold"],
        crease=(0.048 + 0.010 * who("crease")) * one,
        iris_x=eye_x + gaze_x,
        iris_y=eye_y + 0.010 + gaze_y,
        brow_x=(0.305 + 0.013 * who("brow_gap")) * one,
        brow_y=0.372 + 0.020 * who("brow_height") + 0.009 * who("brow_asymmetry") * sign,
        brow_half=0.190 * (1 + 0.06 * who("brow_length")) * one,
        brow_arch=(0.040 + 0.011 * who("brow_arch")) * one,
        brow_tilt=(0.02 + 0.05 * who("brow_tilt")) * one,
        brow_thick=0.032 * (1 + 0.17 * who("brow_thickness")) * one,
        mouth_x=0.012 * who("mouth_asymmetry") * sign,
        mouth_y=(-0.525 + 0.018 * who("mouth_height")) * one,
        mouth_half=mouth_half,
        curve=0.006 + 0.014 * who("mouth_curve") + p["curve"],
        upper_lip=0.058 * (1 + 0.20 * who("upper_lip")) * (1 + p["upper_lip"]).clamp(min=0.22),
        lower_lip=0.078 * (1 + 0.18 * who("lower_lip")) * (1 + p["lower_lip"]).clamp(min=0.22),
        open_up=open_up.clamp(min=0),
        open_down=(p["open_down"] + rest).clamp(min=0),
        corner=p["corner"],
        line=p["line"],
    )


def upper_lid(f: Features, s: Tensor) -> Tensor:
    """Height of the upper lid's edge at s = -1 (inner corner) .. 1 (outer corner)."""
    return f.eye_y + f.eye_tilt * f.eye_half * s + f.lid_up * (1 - s * s) * (1 - 0.16 * s)


def lower_lid(f: Features, s: Tensor) -> Tensor:
    """Height of the lower lid's edge."""
    return f.eye_y + f.eye_tilt * f.eye_half * s - f.lid_down * (1 - s * s) * (1 + 0.16 * s)


def brow(f: Features, s: Tensor) -> Tensor:
    """Height of the brow's centre line at s = -1 (inner end) .. 1 (outer end)."""
    return f.brow_y + f.brow_tilt * f.brow_half * s + f.brow_arch * (1 - (s - 0.25) * (s - 0.25) / 0.9)


def lip_lines(q, mouth_y, curve, upper, lower, open_up, open_down):
    """Heights of the four lines of the mouth at q = |x| / half width: upper outer and inner, lower inner and outer."""
    e = (1 - q * q).clamp(min=0)
    middle = mouth_y + curve * (q * q) - 0.007 * (1 - 6 * q * q).clamp(min=0)
    gap = e * (1.4 - 0.4 * e)
    full = e * (1.5 - 0.5 * e)
    bow = 1.04 - 0.30 / (1 + (q * 7.0) ** 2)
    inner_up = middle + open_up * gap
    inner_down = middle - open_down * gap
    return inner_up + upper * bow * full, inner_up, inner_down, inner_down - lower * full


# landmark numbers of the points of one side in the order in which `landmarks` makes them: brow, upper lid, lower lid,
# upper and lower outline of the mouth, inner mouth; then the midline of the mouth, then face outline and nose
_LEFT = (22, 23, 24, 25, 26, 42, 43, 44, 45, 47, 46, 54, 53, 52, 55, 56, 64, 63, 65)
_RIGHT = (21, 20, 19, 18, 17, 39, 38, 37, 36, 40, 41, 48, 49, 50, 59, 58, 60, 61, 67)
_MIDDLE = (51, 62, 66, 57)
_FIXED = (*range(17), *range(27, 36))
_MADE = (*_LEFT, *_RIGHT, *_MIDDLE, *_FIXED)
_ORDER = tuple(_MADE.index(i) for i in range(68))

_JAW_HALF = ((0.0, -1.06), (0.235, -1.045), (0.43, -1.01), (0.575, -0.95), (0.665, -0.86), (0.718, -0.72))
_JAW_HALF = (*_JAW_HALF, (0.748, -0.52), (0.768, -0.26), (0.782, 0.02))
_JAW = (*((-x, y) for x, y in _JAW_HALF[:0:-1]), *_JAW_HALF)
_NOSE = ((0.0, 0.19), (0.0, 0.08), (0.0, -0.03), (0.0, -0.145))
_NOSE = (*_NOSE, (-0.10, -0.225), (-0.055, -0.245), (0.0, -0.255), (0.055, -0.245), (0.10, -0.225))


def landmarks(f: Features) -> Tensor:
    """(B, 68, 2) places (x, y) of the landmarks on the skin, in the order of iBUG 300-W."""
    device = f.eye_x.device
    wide = Features(**{k: v[:, :, None] for k, v in vars(f).items()})  # (B, 2, 1)

    def lips(of, q):
        return lip_lines(q, of.mouth_y, of.curve, of.upper_lip, of.lower_lip, of.open_up, of.open_down)

    arc = constant((-0.95, -0.5, 0.0, 0.5, 0.95), device)
    lid = constant((-1.0, -0.36, 0.36, 1.0), device)
    outer = constant((1.0, 0.62, 0.30), device)
    inner = constant((0.86, 0.36), device)
    rim, within = lips(wide, outer), lips(wide, inner)
    corner = (within[1] + within[2])[..., :1] / 2
    x = [
        wide.brow_x + wide.brow_half * arc,
        wide.eye_x + wide.eye_half * lid,
        wide.eye_x + wide.eye_half * lid[1:3],
        wide.mouth_x + wide.mouth_half * outer,
        wide.mouth_x + wide.mouth_half * outer[1:],
        wide.mouth_x + wide.mouth_half * inner,
        wide.mouth_x + wide.mouth_half * inner[1:],
    ]
    y = [
        brow(wide, arc),
        upper_lid(wide, lid),
        lower_lid(wide, lid[1:3]),
        rim[0],
        rim[3][..., 1:],
        corner,
        within[1][..., 1:],
        within[2][..., 1:],
    ]
    x = torch.cat(x, 2) * constant(((1.0,), (-1.0,)), device)
    y = torch.cat(y, 2)
    # the midline of the mouth: the mean of the two sides, as painted
    mean = Features(**{k: v.mean(1, keepdim=True) for k, v in vars(f).items()})
    middle = torch.cat(lips(mean, constant((0.0,), device)), 1)
    fixed = constant((*_JAW, *_NOSE), device).expand(len(middle), -1, -1)
    x = torch.cat([x.flatten(1), f.mouth_x[:, :1].expand_as(middle), fixed[..., 0]], 1)
    y = torch.cat([y.flatten(1), middle, fixed[..., 1]], 1)
    return torch.stack([x, y], 2)[:, list(_ORDER)]
