"""Paint what only some people have: beard, moustache and stubble, glasses."""

import torch
from torch import Tensor

from fau_utils.faces.canvas import Canvas, fill, soft
from fau_utils.faces.features import Features
from fau_utils.faces.identity import Identity


def paint_beard(canvas: Canvas, f: Features, identity: Identity, colour: Tensor, strands: Tensor) -> None:
    """Beard, moustache and the shadow of a shaved one.

    Parameters
    ----------
    colour : Tensor
        (B, 3) colour of the hair.
    strands : Tensor
        (B, R, R) fine noise of unit variance.
    """
    beard = ((identity.factor("beard") - 0.82) / 0.10).clamp(0, 1)
    stubble = ((identity.factor("beard") - 0.62) / 0.20).clamp(0, 1) * 0.30
    moustache = ((identity.factor("moustache") - 0.90) / 0.05).clamp(0, 1)
    grown = torch.maximum(beard, moustache)
    has = (torch.maximum(grown, stubble) > 0)[:, None, None]
    spot = canvas.select((canvas.y < 0.05) & has)
    if not len(spot):
        return
    ax, y, grain = spot.pick(canvas.x).abs(), spot.pick(canvas.y), spot.pick(strands)
    values = torch.stack(
        [
            *(colour * 0.8 + 0.006).T,
            torch.maximum(beard, stubble),
            torch.maximum(moustache, torch.maximum(beard * 0.9, stubble)),
            f.mouth_y.mean(1),
            f.mouth_half.mean(1),
            f.upper_lip.mean(1) + f.open_up.mean(1),
            f.lower_lip.mean(1) + f.open_down.mean(1),
            canvas.footprint.flatten(),
        ]
    )
    red, green, blue, full, over, my, half, up, down, pixel = spot.take(values)
    q = ax / half
    # the beard grows under a line from the ear to below the corner of the mouth
    edge = torch.where(ax > 0.30, -0.56 + (ax - 0.30).clamp(max=0.45) ** 2 * 2.6, my - down - 0.075)
    chin = soft(edge - y + 0.02 * grain, pixel + 0.05)
    strap = soft(ax - 0.60, pixel + 0.06) * soft(0.02 - y, pixel + 0.05)
    cover = torch.maximum(chin, strap) * full
    lip_edge = my + up * (1 - q * q).clamp(min=0)
    band = soft(0.10 - (y - lip_edge - 0.075 + 0.16 * (q - 0.3).clamp(min=0) ** 2).abs() * 1.35, pixel + 0.03)
    band = band * soft(half * 1.16 - ax, pixel + 0.05) * soft(y - lip_edge - 0.012, pixel + 0.012)
    side = soft(0.055 - (ax - half * 1.17).abs(), pixel + 0.04) * soft(my + 0.05 - y, pixel + 0.05) * full
    cover = torch.maximum(torch.maximum(cover, band * over), side * soft(y - my + 0.22, pixel + 0.05))
    cover = (cover * (0.86 + 0.10 * grain)).clamp_(0, 0.94)
    m = spot.read()
    shade = (0.85 + 0.18 * grain).clamp(0.3, 1.7)
    for k, value in enumerate((red, green, blue)):
        fill(m[k], value * shade, cover)
    m[4] *= 1 - 0.6 * cover
    m[5] += 0.20 * grain * cover
    spot.write(m)


def paint_glasses(canvas: Canvas, f: Features, identity: Identity) -> None:
    """Thin frames with a bridge and temples, and a faint reflection."""
    has = (identity.factor("glasses") < 0.12)[:, None, None]
    if canvas.x.device.type == "cpu" and not has.any():
        return
    spot = canvas.select(has & (canvas.y > -0.12) & (canvas.y < 0.42))
    if not len(spot):
        return
    style = identity.factor("glasses") / 0.12
    ax, y = spot.pick(canvas.x).abs(), spot.pick(canvas.y)
    values = torch.stack(
        [f.eye_x.mean(1), f.eye_y.mean(1), style, identity.factor("clothes"), canvas.footprint.flatten()]
    )
    ex, ey, style, tone, pixel = spot.take(values)
    px, py = (ax - ex - 0.005).abs() / 0.205, (y - ey + 0.022).abs() / (0.130 + 0.045 * style)
    power = 2 + 3 * (1 - style)  # from round to rectangular
    r = ((px + 1e-4) ** power + (py + 1e-4) ** power) ** (1 / power)
    thick = 0.010 + 0.012 * (tone * 7 % 1)
    ring = soft(thick - (r - 1).abs() * 0.16, pixel)
    arch = ey + 0.035 - 0.03 * (ax / 0.1) ** 2
    bridge = soft(thick - (y - arch).abs(), pixel) * soft(ex - 0.19 - ax, pixel)
    temple = soft(thick - (y - ey - 0.03).abs(), pixel) * soft(ax - ex - 0.20, pixel)
    cover = torch.maximum(torch.maximum(ring, bridge), temple) * (2.4 * thick / pixel).clamp(max=1).sqrt()
    m = spot.read()
    for k in range(3):
        fill(m[k], 0.012 + 0.10 * (tone * (3 + 2 * k) % 1) * (style > 0.5), cover)
    fill(m[4], 0.35, cover)
    glass = soft((1 - r) * 0.16, pixel) * (1 - cover)
    glare = soft(0.035 - ((ax - ex) * 0.7 + (y - ey) - 0.06).abs(), pixel + 0.02) * glass
    for k in range(3):
        m[k].add_(glare, alpha=0.10)
    spot.write(m)
