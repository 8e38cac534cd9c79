"""Hair of the head: styles as a table, where hair grows, how far it stands off, and its strands."""

from dataclasses import astuple, dataclass, fields

import torch
from torch import Tensor

from fau_utils.faces.canvas import Canvas, constant, fill
from fau_utils.faces.identity import Identity
from fau_utils.faces.splat import difference
from fau_utils.faces.surface import Surface


@dataclass(frozen=True)
class Style:
    """One hair style; heights and lengths in face units, angles round the head in rad.

    `front` height of the hairline in the middle, `corner` how much it recedes at the temples, `side` angle at which it
    turns down, `burn` its lower end before the ear, `ear` 1 when the ears are covered, `nape` lower end behind the
    ear, `fringe` how far hair hangs into the forehead, `sweep` how much more on one side, `top` and `sides` how far it
    stands off, `back` length below the chin behind the face (-1: none), `width` half width of that hair, `lumps`
    amplitude of curls, `ragged` unevenness of the edge.
    """

    front: float
    corner: float
    side: float
    burn: float
    ear: float
    nape: float
    fringe: float
    sweep: float
    top: float
    sides: float
    back: float
    width: float
    lumps: float
    ragged: float


STYLES: dict[str, Style] = {
    "bald": Style(2.5, 0.0, 1.2, 2.5, 0, 2.5, 0, 0, 0.0, 0.0, -1, 0.5, 0, 0.02),
    "horseshoe": Style(1.9, 0.0, 1.25, 0.05, 0, -0.4, 0, 0, 0.02, 0.04, -1, 0.5, 0, 0.03),
    "cropped": Style(0.80, 0.10, 1.08, 0.02, 0, -0.4, 0, 0, 0.035, 0.018, -1, 0.5, 0, 0.015),
    "short_back": Style(0.83, 0.10, 1.06, 0.00, 0, -0.4, 0, 0.04, 0.13, 0.035, -1, 0.5, 0.01, 0.02),
    "side_parting": Style(0.80, 0.06, 1.06, 0.02, 0, -0.42, 0.10, 0.16, 0.11, 0.05, -1, 0.5, 0.01, 0.035),
    "fringe": Style(0.76, 0.00, 1.02, -0.02, 0, -0.42, 0.20, 0.05, 0.10, 0.07, -1, 0.5, 0.01, 0.05),
    "curly": Style(0.80, 0.04, 1.05, 0.05, 0, -0.42, 0.02, 0.0, 0.17, 0.09, -1, 0.5, 0.022, 0.05),
    "bob": Style(0.78, -0.02, 1.00, -1.3, 1, -1.3, 0.16, 0.06, 0.09, 0.10, -0.62, 0.84, 0.01, 0.03),
    "bob_parting": Style(0.82, 0.02, 1.04, -1.3, 1, -1.3, 0.0, 0.16, 0.10, 0.10, -0.55, 0.86, 0.02, 0.03),
    "long": Style(0.82, 0.04, 1.06, -1.3, 1, -1.3, 0.02, 0.10, 0.08, 0.09, 0.9, 0.88, 0.02, 0.03),
    "long_fringe": Style(0.76, 0.00, 1.04, -1.3, 1, -1.3, 0.21, 0.02, 0.08, 0.08, 0.9, 0.86, 0.01, 0.04),
    "tied": Style(0.84, 0.05, 1.08, 0.08, 0, -0.3, 0, 0, 0.05, 0.03, -1, 0.5, 0, 0.012),
}

# from the dark end to the light and the grey one, linear light
COLOURS = (
    (0.010, 0.008, 0.008),
    (0.022, 0.014, 0.010),
    (0.055, 0.030, 0.018),
    (0.110, 0.058, 0.030),
    (0.230, 0.085, 0.035),
    (0.360, 0.220, 0.100),
    (0.520, 0.380, 0.210),
    (0.330, 0.320, 0.310),
    (0.620, 0.610, 0.590),
)


def pick(table: Tensor, position: Tensor) -> Tensor:
    """Interpolate between the rows of (N, C) `table` at (B,) `position` in [0, 1]."""
    at = position.clamp(0, 1) * (len(table) - 1)
    low = at.floor().long().clamp(max=len(table) - 2)
    return torch.lerp(table[low], table[low + 1], (at - low)[:, None])


@dataclass(frozen=True)
class Hair:
    """Resolved hair of B faces: the fields of `Style`, each (B, 1, 1), and `colour` (B, 3), `parting` (B, 1, 1)."""

    style: dict[str, Tensor]
    colour: Tensor
    parting: Tensor
    curl: Tensor


def resolve(identity: Identity) -> Hair:
    """Style, colour and individual deviations of B subjects."""
    table = constant(tuple(astuple(s) for s in STYLES.values()), identity.look.device)
    which = (identity.factor("hair_style") * len(STYLES)).long().clamp(0, len(STYLES) - 1)
    values = dict(zip((f.name for f in fields(Style)), table[which].T[:, :, None, None], strict=True))

    def look(name):
        return identity.factor(name)[:, None, None]

    values["front"] = values["front"] + 0.10 * (look("hairline") - 0.5)
    values["corner"] = values["corner"] * (0.4 + 1.2 * look("recession"))
    spread = 0.6 + 0.8 * look("volume")
    values["top"], values["sides"] = values["top"] * spread, values["sides"] * spread
    values["fringe"] = values["fringe"] * (0.75 + 0.5 * look("hairline"))
    dark = ((identity.factor("melanin") - 0.45) / 0.3).clamp(0, 1)
    colour = pick(constant(COLOURS, identity.look.device), identity.factor("hair_colour") * (1 - 0.8 * dark))
    parting = torch.where(look("part") < 0.5, -1.0, 1.0) * (0.3 + 0.7 * (2 * look("part") - 1).abs())
    return Hair(values, colour, parting, look("curl"))


def grow(hair: Hair, surface: Surface, lumps: Tensor) -> tuple[Tensor, Tensor]:
    """Where hair covers the head and how far it stands off.

    Parameters
    ----------
    lumps : Tensor
        (rows, columns) smooth noise of unit variance.

    Returns
    -------
    inside, height : Tensor
        (B, rows, columns): signed distance to the edge of the hair in face units (positive inside), and the
        displacement along the normals in face units.
    """
    s, theta, y = hair.style, surface.theta, surface.y
    a = theta.abs()
    # the front: receding corners, a fringe that hangs lower on the side of the parting
    bay = 1 / (1 + ((a - 0.62) / 0.22) ** 4)
    slant = (theta * hair.parting + 0.9).div_(1.8).clamp_(0, 1)
    line = s["front"] + s["corner"] * bay - (s["fringe"] + s["sweep"] * slant) * (1.15 - a).clamp(0, 0.5) * 2
    # the side before the ear, over the ear, the nape
    fall = ((a - s["side"] + 0.13) / 0.26).clamp_(0, 1)
    line = line + (s["burn"] - line) * (fall * fall * (3 - 2 * fall))
    over = ((a - 1.44) / 0.10).clamp_(0, 1) * (1 - s["ear"])
    line = line + (s["burn"].clamp(min=0.30) - line) * over
    line = line + (s["nape"] - line) * ((a - 1.98) / 0.16).clamp_(0, 1)
    inside = y - line
    # to a distance: where the line falls steeply its horizontal distance counts
    slope = (difference(inside, 2) / difference(surface.x, 1).abs()).square_()
    thick = (inside * (slope + 1).rsqrt_()).mul_(4.2).clamp_(0, 1)
    # less so for the painted edge: a side edge is combed straight, only ends of hair are ragged
    inside = inside * slope.mul_(0.06).add_(1).rsqrt_()
    thick = thick * (2 - thick)
    height = torch.lerp(s["sides"].expand_as(inside), s["top"].expand_as(inside), ((y - 0.35) / 0.6).clamp(0, 1))
    height = (height + s["lumps"] * (0.4 + 0.9 * hair.curl) * lumps) * thick
    return inside, height.clamp_(min=0)


def paint(canvas: Canvas, hair: Hair, inside: Tensor, strands: Tensor) -> None:
    """Colour the hair.

    Parameters
    ----------
    inside : Tensor
        (B, R, R) of `grow`, seen by the pixels.
    strands : Tensor
        (B, R, R) strand noise of about unit variance.
    """
    ragged = hair.style["ragged"]
    edge = inside + ragged * strands
    spot = canvas.select(edge > -canvas.footprint)
    if not len(spot):
        return
    distance, strand = spot.pick(edge), spot.pick(strands)
    red, green, blue, rag, pixel, curl = spot.take(
        torch.stack([*hair.colour.T, ragged.flatten(), canvas.footprint.flatten(), hair.curl.flatten()])
    )
    cover = (distance / (pixel + rag) + 0.5).clamp_(0, 1)
    shade = (0.80 + 0.26 * strand * (0.7 + 0.5 * curl)).clamp_(0.35, 1.7)
    # hair at the edge is thinner and lies in the shadow of what is above it
    shade *= 0.70 + 0.30 * (distance * 5).clamp_(0, 1)
    m = spot.read()
    for k, colour in enumerate((red, green, blue)):
        fill(m[k], colour * shade + 0.004, cover)
    fill(m[3], m[3] * 0.6 + 0.4, cover)
    fill(m[4], 0.12 + 0.04 * strand, cover)
    # strands tilt the normals sideways
    m[5] += 0.30 * strand * cover
    spot.write(m)
