"""Vector fields on the mean face: muscles, bulges and furrows of `muscles` evaluated in face units (numpy, float64)."""

import numpy as np

from fau_utils.faces.muscles import Bulge, Drop, Fold, Narrow, Pull, Squeeze


def bump(x, y, cx, cy, sx, sy):
    """Gaussian with its tail beyond three standard deviations cut off, so that effects end somewhere."""
    g = np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
    return np.clip((g - 0.011) / 0.989, 0, None)


def both(x, y, cx, cy, sx, sy):
    """`bump` at (cx, cy) and at its mirror image."""
    return bump(x, y, cx, cy, sx, sy) + bump(x, y, -cx, cy, sx, sy)


def step(t):
    """Smooth step from 0 at t = 0 to 1 at t = 1."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def movement(x, y, part) -> np.ndarray:
    """(3, ...) displacement of the skin at (x, y) by one part of a movement at full contraction."""
    zero = np.zeros_like(x)
    match part:
        case Pull():
            (ax, ay), (ix, iy) = part.attachment, part.insertion
            length = np.hypot(ix - ax, iy - ay)
            px, py = x - ax, y - ay
            distance = np.hypot(px, py) + 1e-9
            cosine = (px * (ix - ax) + py * (iy - ay)) / (distance * length)
            angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
            fan = np.cos(np.pi / 2 * np.minimum(angle / part.angle, 1))
            near = np.cos((1 - distance / length) * np.pi / 2)
            far = np.cos(np.clip((distance / length - 1) / (part.reach - 1), 0, 1) * np.pi / 2)
            size = -part.gain * fan * np.where(distance < length, near, far) / distance
            return np.stack([size * px, size * py, zero])
        case Squeeze():
            px, py = x - part.centre[0], y - part.centre[1]
            radius = np.hypot(px / part.radii[0], py / part.radii[1])
            size = -part.gain * np.clip(1 - radius, 0, 1) * np.clip(radius / 0.35, 0, 1)
            size = size * np.where(py < 0, 1 + (part.below - 1) * step(-py / 0.1), 1)
            return np.stack([size * px, size * py, zero])
        case Bulge():
            g = bump(x, y, *part.centre, *part.size)
            return np.stack([m * g for m in part.move])
        case Narrow():
            return np.stack([-part.gain * x * bump(x, y, *part.centre, *part.size), zero, zero])
        case Drop():
            weight = step((-0.46 - y) / 0.20) * (1 - 0.75 * step((np.abs(x) - 0.25) / 0.55))
            return np.stack([-part.x * x * weight, part.y * weight, part.z * weight])
    raise ValueError(f"unknown part of a movement {part!r}")


def furrow(x, y, fold: Fold) -> np.ndarray:
    """Height (negative in the furrow, a little positive beside it) at (x, y)."""
    points = np.asarray(fold.points)
    lengths = np.hypot(*np.diff(points, axis=0).T)
    total, start = lengths.sum(), 0.0
    best, along = np.full(x.shape, np.inf), np.zeros(x.shape)
    for a, b, length in zip(points[:-1], points[1:], lengths, strict=True):
        t = np.clip(((x - a[0]) * (b[0] - a[0]) + (y - a[1]) * (b[1] - a[1])) / length**2, 0, 1)
        distance = np.hypot(x - a[0] - t * (b[0] - a[0]), y - a[1] - t * (b[1] - a[1]))
        along = np.where(distance < best, (start + t * length) / total, along)
        best = np.minimum(best, distance)
        start += length
    taper = step(np.minimum(along, 1 - along) / 0.3) * 0.75 + 0.25
    line = -np.exp(-0.5 * (best / fold.sigma) ** 2) + 0.45 * np.exp(-0.5 * (best / (2.2 * fold.sigma)) ** 2)
    return fold.depth * taper * np.where(best < 6 * fold.sigma, line, 0)


def side(x):
    """Weight of the subject's left side: 1 at x > 0, 0 at x < 0, smooth across the midline; exact away from it."""
    return step(x / 0.16 + 0.5)


def mirrored(x, y, evaluate) -> tuple[np.ndarray, np.ndarray]:
    """A field given for x > 0 on the left and, mirrored, on the right side; a vector's first component changes sign."""
    left = evaluate(x, y) * side(x)
    right = evaluate(-x, y) * side(-x)
    if right.ndim > x.ndim:
        right[0] *= -1
    return left, right
