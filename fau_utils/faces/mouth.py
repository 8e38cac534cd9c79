"""Paint the mouth: lips, teeth, tongue, the dark inside, the line between closed lips and the corners."""

import torch
from torch import Tensor

from fau_utils.faces.canvas import Canvas, fill, soft
from fau_utils.faces.features import Features, lip_lines

_FIELDS = ("mouth_y", "mouth_half", "curve", "upper_lip", "lower_lip", "open_up", "open_down", "corner", "line")


def paint_mouth(canvas: Canvas, f: Features, colour: Tensor) -> None:
    """Paint the mouth.

    Parameters
    ----------
    colour : Tensor
        (B, 3) colour of the lips, linear light.
    """
    centre = f.mouth_y.mean(1)[:, None, None]
    near = (canvas.x.abs() < 0.44) & (canvas.y < centre + 0.19) & (canvas.y > centre - 0.28)
    spot = canvas.select(near)
    if not len(spot):
        return
    x, y = spot.pick(canvas.x), spot.pick(canvas.y)
    sided = torch.stack([getattr(f, name) for name in _FIELDS])
    middle, half_difference = sided.mean(2), (sided[..., 0] - sided[..., 1]) / 2
    values = spot.take(
        torch.cat([middle, half_difference, f.mouth_x[:, 0][None], colour.T, canvas.footprint.view(1, -1)])
    )
    x = x - values[18]
    # the two sides differ when a movement is asymmetric; they blend across the middle
    blend = (x / 0.16).clamp(-1, 1)
    my, half, curve, upper, lower, up, down, corner, line = torch.addcmul(values[:9], values[9:18], blend)
    red, green, blue, pixel = values[19:]
    ax = x.abs()
    q = ax / half
    top, inner_top, inner_bottom, bottom = lip_lines(q, my, curve, upper, lower, up, down)
    within = soft(half - ax, pixel)
    m = spot.read()

    # the skin round the lips: a lit rim over the upper lip, a shadow under the lower one, the corners
    shadow = 1 / (1 + ((y - bottom + 0.030) / 0.026) ** 2) * (1 - q * q * 0.9).clamp(min=0)
    m[3] *= 1 - 0.16 * shadow
    hook_x, hook_y = (ax - half - 0.004) / (0.026 + 0.014 * corner), (y - my - curve) / (0.026 + 0.030 * corner)
    hook = 1 / (1 + hook_x * hook_x + hook_y * hook_y) ** 2
    m[3] *= 1 - (0.30 + 0.42 * corner).clamp(max=0.8) * hook

    # lips: rounded, so that light from above falls on the lower one
    lips = soft(top - y, pixel) * soft(y - bottom, pixel) * within
    on_upper = y > (inner_top + inner_bottom) * 0.5
    t_upper = ((y - inner_top) / (upper + 1e-3)).clamp(0, 1)
    t_lower = ((inner_bottom - y) / (lower + 1e-3)).clamp(0, 1)
    t = torch.where(on_upper, t_upper, t_lower)
    shade = torch.where(on_upper, 0.80 + 0.14 * t, 1.02 - 0.12 * t)
    fade = lips * (0.92 - 0.30 * q.clamp(0, 1) ** 4)
    for k, value in enumerate((red, green, blue)):
        fill(m[k], value * shade, fade)
    m[6] += lips * torch.where(on_upper, -0.42 + 0.25 * t, 0.42 - 0.95 * t)
    fill(m[4], torch.where(on_upper, 0.06, 0.15), lips)

    # the opening
    gap = inner_top - inner_bottom
    opened = (gap / 0.022).clamp(0, 1)
    cover = soft(inner_top - y, pixel) * soft(y - inner_bottom, pixel) * within * opened
    below, above = inner_top - y, y - inner_bottom
    # upper teeth hang from a fixed jaw: the upper lip uncovers them; each a little rounded
    tooth = ax / 0.058
    seam = ((tooth - tooth.round()).abs() * 0.058 / (pixel * 0.35 + 0.004)).clamp(0, 1)
    length = 0.030 + 0.85 * up + 0.008 * (1 - q)
    teeth = soft(length - below, pixel) * soft(half * 0.90 - ax, pixel + 0.03)
    lower_teeth = soft(0.012 + 0.10 * (down - 0.085).clamp(min=0) - above, pixel) * soft(half * 0.55 - ax, pixel + 0.03)
    light = (0.55 + 0.45 * (below / 0.02).clamp(0, 1)) * (1 - 0.50 * q.clamp(0, 1) ** 2) * (0.80 + 0.20 * seam)
    tongue = soft(0.10 - ((x / 0.17) ** 2 + ((above - 0.012) / 0.060) ** 2).sqrt() * 0.1, pixel + 0.03)
    tongue = tongue * ((down - 0.05) / 0.05).clamp(0, 1)
    for k, (inside, meat, enamel) in enumerate(((0.035, 0.26, 0.66), (0.010, 0.075, 0.60), (0.010, 0.070, 0.52))):
        value = inside + (meat - inside) * tongue * 0.8
        value = torch.lerp(value, enamel * 0.55 * light, lower_teeth * 0.8)
        value = torch.lerp(value, enamel * light, teeth)
        fill(m[k], value, cover)
    fill(m[3], 0.85, cover)
    fill(m[4], 0.06, cover)
    fill(m[5], 0.0, cover)
    fill(m[6], 0.0, cover)
    fill(m[7], 1.0, cover)

    # the line between closed lips, and the shadow of the upper lip on the teeth
    centre_line = (inner_top + inner_bottom) * 0.5
    thick = 0.0065 + 0.006 * line + 0.003 * (1 - q)
    closed = soft(thick - (y - centre_line).abs(), pixel) * (2 * thick / pixel).clamp(max=1).sqrt()
    closed = closed * soft(half * 1.01 - ax, pixel) * (1 - 0.7 * opened) * (0.72 + 0.28 * line)
    for k, tone in ((0, 0.050), (1, 0.016), (2, 0.014)):
        fill(m[k], tone, closed)
    m[4] *= 1 - closed
    spot.write(m)
