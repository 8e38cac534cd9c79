"""Mean surface and deformation bases of the reference renderer, built once in float64.

Tables and equations of the study's description (sections 1.1 to 1.3 and appendix of the specification of the
synthetic faces): Waters' linear muscles and sphincter, extra depth, furrows along polylines, identity shape
directions. Lengths are in face units (half head width 0.78). Nothing here is timed.
"""

import math
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26)

LINEAR = {  # AU: attachment, insertion, gain, half angle in degrees, end of the radial fall-off
    1: [((0.10, 0.98), (0.13, 0.36), 0.115, 38, 1.45)], 2: [((0.52, 1.0), (0.46, 0.36), 0.105, 38, 1.45)],
    4: [((0.02, 0.12), (0.22, 0.37), 0.085, 55, 1.9), ((0.0, 0.02), (0.02, 0.42), 0.045, 30, 1.6)],
    9: [((0.09, 0.30), (0.12, -0.18), 0.065, 40, 1.75)], 10: [((0.24, 0.05), (0.13, -0.42), 0.080, 45, 1.35)],
    12: [((0.60, 0.02), (0.27, -0.53), 0.105, 42, 1.35)], 14: [((0.62, -0.50), (0.27, -0.52), 0.055, 50, 1.3)],
    15: [((0.36, -1.02), (0.27, -0.53), 0.090, 42, 1.35)],
}  # fmt: skip
DEPTH = {  # AU: bumps (height, centre x, y, sigma x, y) along z
    1: [(0.015, 0.15, 0.42, 0.12, 0.08)], 2: [(0.015, 0.45, 0.44, 0.12, 0.08)], 4: [(0.035, 0.10, 0.36, 0.08, 0.05)],
    6: [(0.045, 0.36, -0.06, 0.14, 0.09)], 7: [(0.012, 0.31, 0.07, 0.12, 0.035)], 9: [(0.02, 0.09, 0.05, 0.06, 0.08)],
    10: [(0.025, 0.24, -0.22, 0.08, 0.08)], 12: [(0.045, 0.42, -0.18, 0.12, 0.11), (-0.02, 0.25, -0.52, 0.1, 0.08)],
    14: [(-0.06, 0.32, -0.52, 0.045, 0.06), (0.02, 0.40, -0.50, 0.06, 0.1)], 15: [(0.015, 0.26, -0.66, 0.06, 0.06)],
    17: [(0.05, 0, -0.84, 0.15, 0.09), (0.03, 0, -0.60, 0.16, 0.05)], 23: [(0.012, 0, -0.52, 0.22, 0.08)],
    24: [(0.022, 0, -0.41, 0.2, 0.04), (0.022, 0, -0.65, 0.2, 0.04), (-0.03, 0, -0.52, 0.22, 0.035)],
}  # fmt: skip
LIFT = {  # AU: bumps along y
    5: [(0.012, 0.31, 0.23, 0.12, 0.04)], 6: [(0.035, 0.36, -0.06, 0.14, 0.12)],
    7: [(0.022, 0.31, 0.09, 0.12, 0.035), (-0.008, 0.31, 0.25, 0.12, 0.04)], 9: [(-0.035, 0.10, 0.36, 0.09, 0.07)],
    17: [(0.075, 0, -0.80, 0.17, 0.12)], 24: [(-0.012, 0, -0.42, 0.2, 0.05), (0.012, 0, -0.62, 0.2, 0.05)],
    25: [(-0.012, 0, -0.60, 0.2, 0.06)],
}  # fmt: skip
FOREHEAD_1 = [(((-0.05, y), (0.27, y)), 0.018) for y in (0.55, 0.65, 0.75)]
FOREHEAD_2 = [(((0.22, y), (0.58, y)), 0.018) for y in (0.55, 0.65, 0.75)]
GLABELLA = [(((0.055, 0.29), (0.075, 0.48)), 0.020)]
CROW = [(((0.49, 0.16 + a), (0.66, 0.16 + b)), 0.015) for a, b in ((0.02, 0.07), (0, 0), (-0.02, -0.07))]
BAGS = [(((0.16, 0.08), (0.30, 0.02), (0.46, 0.06)), 0.022)]
LID = [(((0.18, 0.10), (0.31, 0.065), (0.45, 0.10)), 0.016)]
NOSE_ROOT = [(((0.03, h), (0.10, h - 0.06)), 0.016) for h in (0.20, 0.12, 0.04)]
FOLD = [(((0.14, -0.16), (0.23, -0.26), (0.34, -0.42), (0.38, -0.58)), 0.026)]
UPPER_FOLD = [(((0.13, -0.13), (0.20, -0.22), (0.27, -0.36)), 0.026)]
DIMPLE = [(((0.335, -0.44), (0.345, -0.52), (0.33, -0.61)), 0.020)]
MARIONETTE = [(((0.28, -0.57), (0.325, -0.68), (0.33, -0.80)), 0.022)]
MENTOLABIAL = [(((0, -0.735), (0.12, -0.745), (0.20, -0.80)), 0.024)]
RADIAL = [(((x, -0.42), (x, -0.63)), 0.010) for x in (0.05, 0.12, 0.19)]
LABIAL = [(((0, -0.435), (0.22, -0.46)), 0.018), (((0, -0.615), (0.22, -0.58)), 0.018)]
WRINKLES = {  # AU: (depth, lines)
    1: [(0.022, FOREHEAD_1)], 2: [(0.020, FOREHEAD_2)], 4: [(0.030, GLABELLA)], 6: [(0.020, CROW), (0.020, BAGS)],
    7: [(0.018, LID)], 9: [(0.020, NOSE_ROOT), (0.015, UPPER_FOLD)], 10: [(0.030, UPPER_FOLD)],
    12: [(0.026, FOLD), (0.010, CROW)], 14: [(0.030, DIMPLE)], 15: [(0.026, MARIONETTE)], 17: [(0.030, MENTOLABIAL)],
    23: [(0.010, RADIAL)], 24: [(0.016, LABIAL)],
}  # fmt: skip


def bump(x, y, cx, cy, sx, sy):
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def linear_muscle(x, y, a, i, k, omega, end):
    """Waters (1987): displacement (dx, dy) towards the attachment."""
    px, py, ix, iy = x - a[0], y - a[1], i[0] - a[0], i[1] - a[1]
    dist, length = np.hypot(px, py) + 1e-9, math.hypot(ix, iy)
    angle = np.arccos(np.clip((px * ix + py * iy) / (dist * length), -1, 1))
    angular = np.cos(np.pi / 2 * np.minimum(angle / math.radians(omega), 1))
    r = dist / length
    radial = np.where(r < 1, np.cos((1 - r) * np.pi / 2), np.cos(np.clip((r - 1) / (end - 1), 0, 1) * np.pi / 2))
    return -k * angular * radial * px / dist, -k * angular * radial * py / dist


def furrows(x, y, lines):
    """A valley with shoulders along each polyline, fading out at both ends."""
    out = np.zeros_like(x)
    for points, sigma in lines:
        best, along, total, done = np.full_like(x, 9.0), np.zeros_like(x), 0.0, 0.0
        total = sum(math.dist(p, q) for p, q in pairwise(points))
        for p, q in pairwise(points):
            length = math.dist(p, q)
            ux, uy = (q[0] - p[0]) / length, (q[1] - p[1]) / length
            t = np.clip((x - p[0]) * ux + (y - p[1]) * uy, 0, length)
            dist = np.hypot(x - p[0] - t * ux, y - p[1] - t * uy)
            along = np.where(dist < best, (done + t) / total, along)
            best, done = np.minimum(best, dist), done + length
        taper = np.clip(0.15 + 4 * np.minimum(along, 1 - along), 0, 1)
        out += taper * (-np.exp(-0.5 * (best / sigma) ** 2) + 0.45 * np.exp(-0.5 * (best / (2.2 * sigma)) ** 2))
    return out


def au_field(au, x, y):
    """Displacement of one AU at full contraction, on the x > 0 side of the mean face."""
    d = np.zeros((3, *x.shape))
    for muscle in LINEAR.get(au, ()):
        d[:2] += linear_muscle(x, y, *muscle)
    if au == 6:
        px, py = x - 0.31, y - 0.14
        r = np.hypot(px / 0.40, py / 0.36)
        pull = 0.20 * np.clip(1 - r, 0, None) * np.clip(r / 0.35, 0, 1) * np.where(py < 0, 1.5, 1.0)
        d[0], d[1] = -pull * px / 0.40, -pull * py / 0.36
    for gain, *where in LIFT.get(au, ()):
        d[1] += gain * bump(x, y, *where)
    for gain, *where in DEPTH.get(au, ()):
        d[2] += gain * bump(x, y, *where)
    if au == 23:
        d[0] -= 0.10 * x * bump(x, y, 0, -0.52, 0.25, 0.10)
    if au == 26:
        t = np.clip((-0.46 - y) / 0.30, 0, 1)
        jaw = t * t * (3 - 2 * t)
        d += jaw * np.stack([-0.06 * x, np.full_like(x, -0.15), np.full_like(x, -0.04)])
    return d * (1 - np.minimum(1.15 * bump(x, y, 0.31, 0.17, 0.11, 0.065), 1))


def surface(grid):
    """Mean surface (3, G, G) and deformation bases (91, 3, G, G)."""
    theta, y = np.meshgrid(np.linspace(-1.8, 1.8, grid), np.linspace(1.44, -1.16, grid))
    t = np.abs(theta)
    x = np.sign(theta) * (0.78 * np.sin(np.minimum(t, 1.35)) + 0.25 * np.clip(t - 1.35, 0, None))
    knots = [-1.16, -1.10, -1.0, -0.8, -0.5, -0.1, 0.2, 0.6, 0.95, 1.25, 1.38, 1.44]
    w = PchipInterpolator(knots, [0.02, 0.22, 0.36, 0.55, 0.68, 0.76, 0.79, 0.78, 0.68, 0.45, 0.25, 0.02])(y)
    d = PchipInterpolator(knots, [0.30, 0.55, 0.66, 0.70, 0.73, 0.76, 0.77, 0.79, 0.70, 0.45, 0.25, 0.02])(y)
    cos = np.cos(theta)
    big_x, front = w * np.sin(theta), np.clip((cos - 0.05) / 0.3, 0, 1)

    def g(*where):
        return bump(x, y, *where)

    def sym(*where):
        return bump(x, y, *where) + bump(-x, y, *where)

    t = np.clip((0.27 - y) / 0.47, 0, 1)
    nose = (0.035 + 0.20 * t**1.4) * np.exp(-(x**2) / (2 * (0.058 + 0.035 * t) ** 2))
    nose *= np.where(y < -0.20, np.exp(-0.5 * ((y + 0.20) / 0.045) ** 2), 1)
    nose *= np.where(y > 0.27, np.exp(-0.5 * ((y - 0.27) / 0.10) ** 2), 1)
    relief = nose + 0.085 * sym(0.105, -0.195, 0.042, 0.05) - 0.085 * sym(0.31, 0.17, 0.15, 0.10)
    relief += 0.035 * sym(0.27, 0.36, 0.17, 0.06) + 0.055 * sym(0.44, -0.06, 0.16, 0.16)
    relief += 0.045 * g(0, -0.52, 0.22, 0.13) + 0.09 * g(0, -0.92, 0.17, 0.10) - 0.035 * g(0, -0.74, 0.18, 0.05)
    relief += -0.012 * g(0, -0.36, 0.03, 0.07) - 0.03 * sym(0.40, -0.42, 0.10, 0.12)
    mean = np.stack([big_x, y, d * np.where(cos > 0, np.abs(cos) ** 0.82, cos) + relief * front])

    def both(lines):
        return furrows(x, y, lines) + furrows(-x, y, lines)

    rng = np.random.default_rng(7)
    smooth = [
        sum(np.cos(f * x + h * y + p) for f, h, p in zip(*rng.uniform(2, 6, (2, 3)), rng.uniform(0, 6, 3), strict=True))
        / 3
        for _ in range(6)
    ]
    zero = np.zeros_like(x)
    shapes = [
        (0.045 * big_x, zero, zero),
        (0.10 * big_x * np.clip((-0.1 - y) / 0.7, 0, 1), zero, zero),
        (zero, -0.05 * y * np.clip((-0.55 - y) / 0.5, 0, 1), zero),
        (zero, 0.06 * y * np.clip((y - 0.4) / 0.8, 0, 1), zero),
        (zero, zero, 0.22 * nose),
        (0.30 * x * g(0, -0.19, 0.13, 0.07), zero, zero),
        (zero, -0.035 * g(0, -0.18, 0.12, 0.10), zero),
        (zero, zero, 0.03 * sym(0.44, -0.06, 0.16, 0.16)),
        (zero, zero, -0.025 * sym(0.31, 0.17, 0.15, 0.10)),
        (zero, zero, 0.025 * sym(0.27, 0.36, 0.17, 0.06)),
        (zero, zero, 0.03 * g(0, -0.92, 0.17, 0.10)),
        (zero, zero, 0.03 * g(0, -0.52, 0.22, 0.13)),
        (zero, zero, 0.03 * sym(0.40, -0.42, 0.14, 0.16)),
        (0.05 * big_x * np.clip((y - 0.3) / 0.7, 0, 1), zero, zero),
        (zero, zero, -0.022 * g(0, -0.74, 0.18, 0.05)),
        (0.02 * np.clip((-0.1 - y) / 0.7, 0, 1), zero, zero),
        (zero, zero, 0.014 * both(FOLD)),
        (zero, zero, 0.008 * both(FOREHEAD_1)),
        (zero, zero, 0.008 * both(GLABELLA)),
        (zero, zero, 0.012 * both(BAGS)),
        (zero, zero, 0.009 * both(CROW)),
        *[(zero, zero, 0.022 * s) for s in smooth],
    ]
    moves, folds = [], []
    for au in AUS:
        for sign in (1, -1):
            side = 1 / (1 + np.exp(-np.clip(sign * x / 0.035, -60, 60)))
            field = au_field(au, sign * x, y) * side
            moves.append(field * np.array([sign, 1, 1])[:, None, None])
            fold = sum((k * furrows(sign * x, y, lines) for k, lines in WRINKLES.get(au, ())), zero)
            folds.append(np.stack([zero, zero, fold * side]))
    bases = np.stack([np.stack(s) for s in shapes] + moves + folds)
    # sideways shape directions hold round the whole head, everything else only at the front
    bases[4:] *= front
    bases[[13, 15]] = np.stack([np.stack(shapes[13]), np.stack(shapes[15])])
    return mean, bases
