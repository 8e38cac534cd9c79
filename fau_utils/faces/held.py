"""Occluders that are held before the face: a hand, and objects (mug, telephone, microphone, book).

Painters as in :mod:`fau_utils.faces.worn`. The hand is a relief: palm and fingers are capsules with a round height,
lit as a surface; gaps, creases, knuckles and nails are where a hand has them. Its unit is its own length.
"""

import torch
from torch import Tensor

from fau_utils.faces.sdf import (
    Canvas,
    along,
    bump,
    ellipse,
    local,
    per_image,
    pick,
    relief_light,
    rounded_box,
    smooth_min,
)
from fau_utils.faces.worn import WOOLS, down

SKINS = [
    (0.95, 0.79, 0.69),
    (0.90, 0.71, 0.58),
    (0.80, 0.59, 0.45),
    (0.66, 0.46, 0.33),
    (0.49, 0.33, 0.23),
    (0.34, 0.22, 0.16),
]

# name: knuckle (x towards the thumb, y towards the fingertips), length, radius at the knuckle and at the tip, spread
FINGERS = {
    "index": ((0.153, 0.520), 0.385, 0.056, 0.043, 0.07),
    "middle": ((0.049, 0.540), 0.430, 0.057, 0.044, 0.01),
    "ring": ((-0.055, 0.522), 0.395, 0.054, 0.042, -0.06),
    "little": ((-0.149, 0.478), 0.310, 0.046, 0.036, -0.15),
}
HAND_LENGTH = 1.55
"""Wrist to middle fingertip in face units: about chin to hairline."""


def hand(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor, *, skin: Tensor | None = None) -> None:
    """The back of a hand laid on the face, with wrist and sleeve. `skin` (n, 3) is its colour."""
    side = torch.where(u[:, 0] < 0.5, -1.0, 1.0)  # the picture side it comes from
    places = torch.stack(
        [
            marks[:, 51],
            marks[:, 57],
            marks[:, 31],
            marks[:, 35],
            marks[:, 40],
            marks[:, 47],
            marks[:, 48],
            marks[:, 54],
        ],
        1,
    )
    which = (u[:, 1] * places.shape[1]).long().clamp(max=places.shape[1] - 1)
    target = places[torch.arange(len(which), device=which.device), which]
    ey = down(pose, scale)
    target = target + (u[:, 2] - 0.5)[:, None] * 0.3 * ey
    angle = -side * (0.25 + 0.85 * u[:, 3]) - pose[:, 2]
    length = HAND_LENGTH * scale * (0.92 + 0.16 * u[:, 4])
    tip = torch.stack([angle.sin(), -angle.cos()], 1) * length[:, None]
    thumb = torch.stack([side * angle.cos(), side * angle.sin()], 1) * length[:, None]
    origin = target - (0.58 + 0.1 * u[:, 5])[:, None] * tip
    x, y = local(canvas, origin, thumb, tip)
    px = per_image(length)
    tone = skin if skin is not None else _skin(u[:, 6])

    _sleeve(canvas, x, y, px, u)
    spread = per_image(0.25 + 1.5 * u[:, 7] ** 1.5)
    curl = per_image(u[:, 8] - 0.5) * 0.16
    palm, height = _palm(x, y)
    body, depth = palm, height
    second = torch.full_like(palm, 9.0)
    paint_on = []
    for knuckle, reach, base, end, fan in FINGERS.values():
        turn = fan * spread + fan * 0.2
        shape, relief, marks_on = _finger(x, y, knuckle, reach, base, end, turn, curl)
        second = torch.minimum(second, torch.maximum(shape, paint_on[-1][0])) if paint_on else second
        depth = torch.maximum(depth, relief)
        body = torch.minimum(body, shape)
        paint_on.append((shape, *marks_on))
    shape, relief, thumb_marks = _thumb(x, y, per_image(u[:, 9]))
    body = smooth_min(body, shape, 0.035)
    depth = torch.maximum(depth, relief)
    paint_on.append((shape, *thumb_marks))

    light = relief_light(depth * px, fine=canvas.fine)
    shade = 0.50 + 0.62 * light
    # where two fingers meet no light gets in
    gap = second.abs() * (second < 0.03) + 9 * (second >= 0.03)
    shade = shade * (1 - 0.55 * bump(gap, 0.007 + 0.35 / px) * (palm > 0.004))
    rim = (-body / 0.03).clamp(0, 1)
    shade = shade * (0.74 + 0.26 * rim)
    colour = tone[:, :, None, None] * shade[:, None]
    blood = torch.tensor([0.05, -0.035, -0.03], device=u.device)[:, None, None] * tone[:, :1, None, None]
    for shape, crease, knuckle, nail, glint in paint_on:
        inside = (-shape / 0.008).clamp(0, 1)
        colour = colour * (1 - 0.30 * crease * inside)[:, None] + (blood * (knuckle * inside)[:, None])
        plate = 0.55 * tone + 0.45 * torch.tensor([0.95, 0.76, 0.72], device=u.device)
        plate = plate[:, :, None, None] * (0.72 + 0.38 * light)[:, None]
        colour = colour + (plate - colour) * nail[:, None] + 0.20 * glint[:, None]
    warm = 1 - shade.clamp(0, 1)
    colour = colour * (1 + torch.tensor([0.10, -0.03, -0.06], device=u.device)[:, None, None] * warm[:, None])
    # a soft shadow on the face belongs to the face, not to the occluder: it would change pixels outside the mask
    canvas.paint(colour.clamp(0, 1), canvas.cover(body * px))


def _skin(u: Tensor) -> Tensor:
    place = u * (len(SKINS) - 1)
    low = place.long().clamp(max=len(SKINS) - 2)
    table = torch.tensor(SKINS, device=u.device)
    part = (place - low)[:, None]
    return table[low] * (1 - part) + table[low + 1] * part


def _capsule(x: Tensor, y: Tensor, a: tuple, b: tuple, ra, rb) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    t, distance = along(x, y, a, b)
    radius = ra + (rb - ra) * t
    relief = (radius * radius - distance * distance).clamp(min=0).sqrt()
    return t, distance - radius, relief, radius


def _palm(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Four metacarpals grown together, the ball of the thumb, the wrist."""
    shape, height = None, None
    for (kx, ky), *_ in FINGERS.values():
        t, part, _, _ = _capsule(x, y, (0.55 * kx, 0.04), (kx, ky - 0.03), 0.088, 0.062)
        shape = part if shape is None else smooth_min(shape, part, 0.10)
        # tendons: shallow ridges over the bones, knuckles at their ends
        bone = 0.005 * bump((x - (0.55 * kx + 0.45 * kx * t)) / 0.5, 0.036) * (0.4 + 0.6 * t)
        knuckle = 0.014 * bump(((x - kx) ** 2 + (y - ky + 0.005) ** 2 + 1e-9).sqrt(), 0.032)
        ridge = bone + knuckle
        height = ridge if height is None else height + ridge
    ball = _capsule(x, y, (0.08, 0.09), (0.185, 0.25), 0.085, 0.070)[1]
    shape = smooth_min(shape, ball, 0.07)
    wrist = _capsule(x, y, (0.0, 0.06), (0.0, -0.9), 0.118, 0.135)[1]
    shape = smooth_min(shape, wrist, 0.09)
    dome = 0.075 * (1 - (1 + shape / 0.11).clamp(0, 1) ** 2).clamp(min=0).sqrt()
    return shape, dome + height * (-shape / 0.02).clamp(0, 1)


def _finger(x, y, knuckle, reach, base, end, turn, curl):
    kx, ky = knuckle
    first = turn - curl * 0.3
    then = turn + curl
    ax, ay = kx + 0.0 * first, ky - 0.02 + 0.0 * first
    mx, my = ax + 0.52 * reach * first.sin(), ay + 0.52 * reach * first.cos()
    ex, ey = mx + (0.48 * reach - end * 0.4) * then.sin(), my + (0.48 * reach - end * 0.4) * then.cos()
    middle = 0.5 * (base + end) + 0.001
    _, lower, relief1, _ = _capsule(x, y, (ax, ay), (mx, my), base, middle)
    _, upper, relief2, _ = _capsule(x, y, (mx, my), (ex, ey), middle, end)
    shape = torch.minimum(lower, upper)
    relief = torch.maximum(relief1, relief2) * 0.95 + 0.02 * ((-shape) / 0.02).clamp(0, 1)
    joint = (x - mx) * then.sin() + (y - my) * then.cos()  # distance from the middle joint along the finger
    far = joint - 0.26 * reach
    across = ((x - mx) * then.cos() - (y - my) * then.sin()) / middle
    gate = bump(across, 0.62)
    crease = gate * (
        bump(joint + 0.011 + 0.006 * across**2, 0.0045)
        + 0.8 * bump(joint - 0.004, 0.004)
        + bump(joint - 0.018 - 0.006 * across**2, 0.0045)
        + 0.8 * bump(far, 0.0045)
        + 0.6 * bump(far - 0.014, 0.004)
    )
    blush = bump(joint, 0.040) * gate + 0.6 * bump(far, 0.022) * gate
    nail, glint = _nail(x, y, (ex, ey), then, end)
    return shape, relief, (crease.clamp(0, 1), blush, nail, glint)


def _nail(x, y, tip, turn, radius):
    along_, across = (
        (x - tip[0]) * turn.sin() + (y - tip[1]) * turn.cos(),
        (x - tip[0]) * turn.cos() - (y - tip[1]) * turn.sin(),
    )
    plate = ellipse(across, along_ - 0.22 * radius, 0.64 * radius, 0.86 * radius, 2.6)
    nail = (0.5 - plate / 0.006).clamp(0, 1) * 0.85
    glint = bump(across + 0.2 * radius, 0.13 * radius) * bump(along_ - 0.25 * radius, 0.4 * radius) * nail
    return nail, glint


def _thumb(x, y, u):
    open_ = 0.35 + 0.45 * u
    ax, ay = 0.175 + 0.0 * open_, 0.235 + 0.0 * open_
    mx, my = ax + 0.175 * open_.sin(), ay + 0.175 * open_.cos()
    bend = open_ - 0.30
    ex, ey = mx + 0.13 * bend.sin(), my + 0.13 * bend.cos()
    _, lower, relief1, _ = _capsule(x, y, (ax, ay), (mx, my), 0.070, 0.056)
    _, upper, relief2, _ = _capsule(x, y, (mx, my), (ex, ey), 0.056, 0.047)
    shape = torch.minimum(lower, upper)
    joint = (x - mx) * bend.sin() + (y - my) * bend.cos()
    across = ((x - mx) * bend.cos() - (y - my) * bend.sin()) / 0.053
    gate = bump(across, 0.62)
    crease = gate * (bump(joint + 0.010, 0.005) + bump(joint - 0.004, 0.0045) + bump(joint - 0.018, 0.005))
    nail, glint = _nail(x, y, (ex, ey), bend, 0.047)
    relief = torch.maximum(relief1, relief2)
    return shape, relief, (crease.clamp(0, 1), bump(joint, 0.03) * gate, nail, glint)


def _sleeve(canvas: Canvas, x: Tensor, y: Tensor, px: Tensor, u: Tensor) -> None:
    cuff = -0.16 - 0.25 * per_image(u[:, 10])
    arm = torch.maximum(x.abs() - 0.19 - 0.10 * (cuff - y).clamp(0, 1), y - cuff - 0.02 * (x / 0.2) ** 2)
    cloth = pick(WOOLS, u[:, 11])[:, :, None, None]
    shade = 0.95 - 0.55 * (x / 0.24).clamp(-1, 1) ** 2
    shade = shade + 0.08 * torch.sin(26 * y + 9 * x * torch.sin(7 * y)) - 0.2 * bump(y - cuff + 0.05, 0.012)
    # laid on by the hand's own coverage later: the hand lies over the cuff
    canvas.paint((cloth * shade[:, None]).clamp(0, 1), canvas.cover(arm * px))


def thing(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    """One of four objects, each of which hides something else."""
    painters = (_mug, _telephone, _microphone, _book)
    which = (u[:, 0] * len(painters)).long().clamp(max=len(painters) - 1)
    for number, painter in enumerate(painters):
        rows = (which == number).nonzero()[:, 0]
        if len(rows):
            part = Canvas(canvas.x, canvas.y, canvas.fine, canvas.colour[rows], canvas.alpha[rows])
            painter(part, marks[rows], pose[rows], scale[rows], u[rows])
            canvas.colour[rows], canvas.alpha[rows] = part.colour, part.alpha


def _upright(
    canvas: Canvas, target: Tensor, scale: Tensor, angle: Tensor, size: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    unit = (scale * size)[:, None]
    ey = torch.stack([angle.sin(), angle.cos()], 1) * unit
    ex = torch.stack([angle.cos(), -angle.sin()], 1) * unit
    x, y = local(canvas, target, ex, ey)
    return x, y, per_image(scale * size)


def _mug(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    glaze = [
        (0.90, 0.89, 0.86),
        (0.20, 0.30, 0.42),
        (0.62, 0.20, 0.17),
        (0.30, 0.42, 0.34),
        (0.82, 0.66, 0.36),
        (0.16, 0.16, 0.17),
    ]
    target = 0.5 * (marks[:, 51] + marks[:, 57]) + (0.12 + 0.12 * u[:, 1])[:, None] * down(pose, scale)
    x, y, px = _upright(canvas, target, scale, 0.5 * pose[:, 2] + 0.25 * (u[:, 2] - 0.5), 0.95 + 0.25 * u[:, 3])
    hand_side = per_image(torch.where(u[:, 4] < 0.5, -1.0, 1.0))
    colour = pick(glaze, u[:, 5])[:, :, None, None]
    ring = ellipse(x * hand_side - 0.37, y - 0.0, 0.13, 0.19)
    handle = (ring + 0.0).abs() - 0.032
    edge = (0.85 + 0.3 * bump(ring, 0.015))[:, None]
    canvas.paint((colour * edge).clamp(0, 1), canvas.cover(handle * px))
    curve = 0.055 * (1 - (x / 0.33).clamp(-1, 1) ** 2).sqrt()
    side = torch.maximum(x.abs() - 0.33, torch.maximum(y - 0.31 - curve, -0.30 - y))
    n = (x / 0.33).clamp(-1, 1)
    shade = 0.58 + 0.50 * bump(n + 0.38, 0.42) + 0.10 * bump(n - 0.9, 0.12) + 0.30 * bump(n + 0.45, 0.06)
    shade = shade - 0.10 * ((y + 0.3) / 0.6).clamp(0, 1)
    band = per_image((u[:, 6] < 0.5).float()) * (0.5 - ((y - curve - 0.02).abs() - 0.07) / 0.01).clamp(0, 1)
    tone = colour + (pick(WOOLS, u[:, 7])[:, :, None, None] - colour) * band[:, None]
    canvas.paint((tone * shade[:, None]).clamp(0, 1), canvas.cover(side * px))
    mouth = ellipse(x, y + 0.30, 0.33, 0.062)
    canvas.paint((colour * 1.08).clamp(0, 1).expand(-1, -1, *x.shape[1:]), canvas.cover(mouth * px))
    inside = ellipse(x, y + 0.297, 0.295, 0.046)
    dark = colour * (0.42 + 0.2 * (y + 0.34) / 0.09).clamp(0.2, 0.8)[:, None]
    canvas.paint(dark.clamp(0, 1), canvas.cover(inside * px))


def _telephone(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    shell = [(0.10, 0.10, 0.11), (0.88, 0.88, 0.87), (0.24, 0.28, 0.36), (0.72, 0.62, 0.50), (0.40, 0.24, 0.27)]
    places = torch.stack([marks[:, 57], marks[:, 48], marks[:, 54], marks[:, 41], marks[:, 46]], 1)
    which = (u[:, 1] * places.shape[1]).long().clamp(max=places.shape[1] - 1)
    target = places[torch.arange(len(which), device=which.device), which]
    x, y, px = _upright(canvas, target, scale, pose[:, 2] + 0.9 * (u[:, 2] - 0.5), 0.95 + 0.2 * u[:, 3])
    body = rounded_box(x, y, 0.29, 0.58, 0.065)
    colour = pick(shell, u[:, 4])[:, :, None, None]
    gloss = 0.92 + 0.22 * bump(x + 0.6 * y + 0.35 - 0.6 * per_image(u[:, 5]), 0.10) - 0.12 * (y / 0.58)
    edge = bump(body + 0.012, 0.008)
    tone = colour * gloss[:, None] + 0.22 * edge[:, None]
    canvas.paint(tone.clamp(0, 1), canvas.cover(body * px))
    island = rounded_box(x + 0.145, y + 0.435, 0.105, 0.105, 0.04)
    canvas.paint((colour * 0.78 + 0.06).clamp(0, 1).expand(-1, -1, *x.shape[1:]), canvas.cover(island * px))
    for cx, cy in ((-0.190, -0.480), (-0.190, -0.390), (-0.100, -0.435)):
        d = ((x - cx) ** 2 + (y - cy) ** 2 + 1e-9).sqrt()
        glass = torch.stack([0.05 + 0.25 * bump(d - 0.02, 0.010)] * 3, 1) + 0.35 * bump(d - 0.036, 0.006)[:, None]
        canvas.paint(glass.clamp(0, 1), canvas.cover((d - 0.040) * px))


def _microphone(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    side = torch.where(u[:, 1] < 0.5, -1.0, 1.0)
    target = 0.5 * (marks[:, 51] + marks[:, 57]) + 0.05 * down(pose, scale) * u[:, 2, None]
    x, y, px = _upright(canvas, target, scale, side * (0.15 + 0.5 * u[:, 3]), 1.0 + 0.3 * u[:, 4])
    t, distance = along(x, y, (0.0, 0.22), (0.0, 1.6))
    grip = distance - (0.115 - 0.03 * t)
    n = (x / 0.115).clamp(-1, 1)
    lit = 0.10 + 0.30 * bump(n + 0.4, 0.22) + 0.08 * bump(n - 0.75, 0.12)
    canvas.paint(torch.stack([lit] * 3, 1), canvas.cover(torch.maximum(grip, 0.18 - y) * px))
    radius = (x * x + y * y + 1e-9).sqrt()
    head = radius - 0.215
    slope = (1 - (radius / 0.215).clamp(max=1) ** 2).clamp(min=0).sqrt()
    light = (-0.35 * x / 0.215 - 0.55 * y / 0.215 + 0.76 * slope).clamp(0, 1)
    u1, v1 = (x / 0.215).clamp(-1, 1).asin(), (y / 0.215).clamp(-1, 1).asin()
    mesh = 0.5 + 0.5 * torch.sin(30 * (u1 + v1)) * torch.sin(30 * (u1 - v1))
    steel = pick([(0.55, 0.56, 0.58), (0.30, 0.30, 0.32), (0.66, 0.62, 0.54)], u[:, 5])[:, :, None, None]
    tone = steel * ((0.35 + 0.85 * light) * (0.72 + 0.28 * mesh))[:, None] + 0.35 * (light**14)[:, None]
    canvas.paint(tone.clamp(0, 1), canvas.cover(head * px))
    band = torch.maximum((y - 0.035 * (1 - (x / 0.215).clamp(-1, 1) ** 2) - 0.03).abs() - 0.035, head - 0.008)
    canvas.paint((steel * (0.5 + 0.6 * bump(x + 0.08, 0.07))[:, None]).clamp(0, 1), canvas.cover(band * px))


def _book(canvas: Canvas, marks: Tensor, pose: Tensor, scale: Tensor, u: Tensor) -> None:
    upper = per_image((u[:, 1] < 0.2).float())[:, 0]  # now and then it is held before the eyes
    top = upper * marks[:, 19] + (1 - upper) * (0.6 * marks[:, 33] + 0.4 * marks[:, 30])
    target = top + 0.52 * down(pose, scale) + 0.05 * (u[:, 2, None] - 0.5) * scale[:, None]
    x, y, px = _upright(canvas, target, scale, 0.5 * pose[:, 2] + 0.35 * (u[:, 3] - 0.5), 0.95 + 0.2 * u[:, 4])
    pages = rounded_box(x, y + 0.012, 0.66, 0.50, 0.015)
    lines = 0.86 + 0.05 * torch.sin(400 * y)
    canvas.paint(torch.stack([lines, lines * 0.97, lines * 0.88], 1), canvas.cover(pages * px))
    cover = rounded_box(x, y - 0.012, 0.685, 0.50, 0.02)
    cloth = pick(WOOLS, u[:, 5])[:, :, None, None]
    shade = (
        0.98 - 0.10 * (x / 0.685) - 0.16 * bump(x, 0.028) + 0.10 * bump(x + 0.06, 0.03) - 0.12 * (y / 0.5).clamp(0, 1)
    )
    tone = cloth * shade[:, None]
    gilt = pick([(0.83, 0.72, 0.45), (0.90, 0.89, 0.84), (0.12, 0.12, 0.13)], u[:, 6])[:, :, None, None]
    on_front = x - 0.36
    title = torch.minimum(
        rounded_box(on_front, y + 0.18, 0.20, 0.026, 0.01), rounded_box(on_front, y + 0.09, 0.13, 0.020, 0.01)
    )
    frame = rounded_box(on_front, y, 0.26, 0.40, 0.01).abs() - 0.006
    print_ = canvas.cover(torch.minimum(title, frame) * px)[:, None]
    tone = tone + (gilt - tone) * print_ * 0.85
    canvas.paint(tone.clamp(0, 1), canvas.cover(cover * px))
