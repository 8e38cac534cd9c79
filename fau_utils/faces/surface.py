"""The head as a surface over material coordinates, everything that deforms it linearly, and its skin's detail maps.

The material grid has columns u in [-1, 1] (subject's right to left, from behind one ear round the face to behind the
other) and rows v in [-1, 1] (crown to chin). Two other material coordinates are used: the angle theta(u) round the
head, and the abscissa x(u), which in front equals the frontal x in face units and in which features are painted.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter
from torch import Tensor

from fau_utils.faces import rng
from fau_utils.faces.fields import both, bump, furrow, mirrored, movement, step
from fau_utils.faces.identity import SHAPE
from fau_utils.faces.muscles import LINES_AT_REST, MOVEMENTS, Fold

TOP, BOTTOM = 1.44, -1.16
THETA_END, THETA_SLOPE = 2.4, 1.6
DETAIL_X, DETAIL_TOP, DETAIL_BOTTOM = 0.86, 1.02, -1.10
UNITS = len(MOVEMENTS)
SHAPE_FOLDS = tuple(LINES_AT_REST)
SHAPE_SOLID = len(SHAPE) - len(SHAPE_FOLDS)

# half width w, front depth d and back depth b of the mean head at heights y
_PROFILE = np.array(
    [
        # y, w, d, b
        (-1.16, 0.02, 0.36, 0.02),
        (-1.13, 0.25, 0.54, 0.10),
        (-1.08, 0.400, 0.645, 0.18),
        (-1.00, 0.500, 0.690, 0.25),
        (-0.90, 0.555, 0.70, 0.32),
        (-0.75, 0.605, 0.695, 0.38),
        (-0.60, 0.648, 0.715, 0.44),
        (-0.40, 0.695, 0.735, 0.55),
        (-0.10, 0.745, 0.750, 0.78),
        (0.15, 0.765, 0.765, 0.95),
        (0.40, 0.775, 0.780, 1.05),
        (0.65, 0.770, 0.765, 1.06),
        (0.90, 0.715, 0.690, 0.98),
        (1.10, 0.605, 0.565, 0.82),
        (1.25, 0.460, 0.420, 0.62),
        (1.36, 0.290, 0.260, 0.40),
        (1.42, 0.125, 0.110, 0.18),
        (1.44, 0.02, 0.02, 0.02),
    ]
)


def theta_of_u(u):
    """Angle round the head in rad of the material column u; numpy or torch."""
    return u * (THETA_SLOPE + (THETA_END - THETA_SLOPE) * u * u)


def _abscissa(theta):
    a = np.abs(theta)
    return np.sign(theta) * (0.78 * np.sin(np.minimum(a, 1.35)) + 0.25 * np.clip(a - 1.35, 0, None))


def _nose(x, y):
    t = np.clip((0.27 - y) / 0.47, 0, 1)
    ridge = (0.035 + 0.185 * t**1.4) * np.exp(-0.5 * (x / (0.052 + 0.022 * t)) ** 2)
    ridge = np.where(y < -0.20, ridge * np.exp(-0.5 * ((y + 0.20) / 0.045) ** 2), ridge)
    ridge = np.where(y > 0.27, ridge * np.exp(-0.5 * ((y - 0.27) / 0.10) ** 2), ridge)
    return ridge + 0.040 * bump(x, y, 0, -0.165, 0.065, 0.055) + 0.085 * both(x, y, 0.102, -0.190, 0.042, 0.042)


def _ear(theta, y):
    """Outward displacement of the ears: broad above, a lobe below."""
    width = 0.13 + 0.05 * step((y + 0.15) / 0.3)
    height = step((y + 0.27) / 0.14) * step((0.28 - y) / 0.12)
    centre = 1.70 - 0.25 * (y - 0.05)  # ears lean back
    return height * np.exp(-0.5 * np.abs((np.abs(theta) - centre) / width) ** 2.5)


def _mean_head(theta, x, y):
    front = np.clip((np.cos(theta) - 0.05) / 0.3, 0, 1)
    w, d, b = (PchipInterpolator(_PROFILE[:, 0], _PROFILE[:, k])(y) for k in (1, 2, 3))
    c = np.cos(theta)
    z = np.where(c > 0, d * np.clip(c, 0, None) ** 0.82, b * c)
    relief = (
        _nose(x, y)
        - 0.062 * both(x, y, 0.30, 0.18, 0.15, 0.10)
        - 0.030 * both(x, y, 0.17, 0.16, 0.06, 0.09)
        + 0.034 * both(x, y, 0.31, 0.165, 0.115, 0.070)  # the eyeball behind the lids
        + 0.035 * both(x, y, 0.27, 0.36, 0.17, 0.06)
        + 0.050 * both(x, y, 0.44, -0.06, 0.16, 0.15)
        + 0.045 * bump(x, y, 0, -0.52, 0.22, 0.13)
        + 0.080 * bump(x, y, 0, -0.93, 0.17, 0.10)
        - 0.035 * bump(x, y, 0, -0.73, 0.18, 0.05)
        - 0.012 * bump(x, y, 0, -0.36, 0.03, 0.07)
        - 0.022 * both(x, y, 0.42, -0.42, 0.11, 0.13)
    )
    # the jaw line climbs from the chin to the ear
    climb = 0.42 * step((-0.30 - y) / 0.80) * np.sin(np.clip(np.abs(theta), 0, 1.9) / 1.9 * np.pi / 2) ** 2.8
    ear = _ear(theta, y)
    sign = np.sign(theta)
    return np.stack([w * np.sin(theta) + sign * 0.125 * ear, y + climb, z + relief * front - 0.05 * ear]), front


def _shape_directions(theta, x, y, front, mean):
    """(SHAPE_SOLID, 3, H, W): displacement per unit of each solid shape factor."""
    zero = np.zeros_like(x)
    big_x = mean[0]

    def along(dx=zero, dy=zero, dz=zero):
        return np.stack([dx + zero, dy + zero, dz + zero])

    nose = _nose(x, y) * front
    noise = rng.normal(torch.arange(6), 0x5AFE, 9 * 9).double().numpy().reshape(6, 9, 9)
    relief = []
    for k in range(6):
        rows = np.interp(np.linspace(0, 8, y.shape[0]), np.arange(9), np.arange(9))
        smooth = gaussian_filter(np.kron(noise[k], np.ones((12, 12))), 9)
        iy = np.clip((rows / 8 * 107).round().astype(int), 0, 107)
        ix = np.clip(((np.linspace(-1, 1, y.shape[1]) + 1) / 2 * 107).round().astype(int), 0, 107)
        relief.append(along(dz=0.022 * gaussian_filter(smooth[np.ix_(iy, ix)], 1.0) / smooth.std() * front))
    lower = np.clip((-0.1 - y) / 0.7, 0, 1)
    return np.stack(
        [
            along(dx=0.040 * big_x),
            along(dx=0.085 * big_x * lower),
            along(dy=-0.045 * np.clip((-0.55 - y) / 0.5, 0, 1) * (0.3 + 0.7 * front)),
            along(dy=0.05 * np.clip((y - 0.4) / 0.8, 0, 1)),
            along(dz=0.20 * nose),
            along(dx=0.26 * x * bump(x, y, 0, -0.19, 0.16, 0.09) * front),
            along(dy=-0.030 * bump(x, y, 0, -0.18, 0.14, 0.12) * front),
            along(dz=0.022 * bump(x, y, 0, 0.16, 0.06, 0.14) * front),
            along(dz=0.028 * both(x, y, 0.44, -0.06, 0.16, 0.15) * front),
            along(dz=-0.022 * both(x, y, 0.30, 0.18, 0.15, 0.10) * front),
            along(dz=0.022 * both(x, y, 0.27, 0.37, 0.17, 0.07) * front),
            along(dz=0.028 * bump(x, y, 0, -0.92, 0.17, 0.10) * front),
            along(dz=0.028 * bump(x, y, 0, -0.52, 0.22, 0.13) * front),
            along(
                dx=0.5 * 0.03 * np.sign(x) * both(x, y, 0.48, -0.40, 0.18, 0.22),
                dz=0.03 * both(x, y, 0.42, -0.38, 0.16, 0.2) * front,
            ),
            along(dx=0.04 * big_x * np.clip((y - 0.3) / 0.7, 0, 1)),
            along(dx=0.02 * np.clip((-0.4 - y) / 0.6, 0, 1)),
            *relief,
        ]
    )


@dataclass(frozen=True)
class Surface:
    """The bases for one pair of grids; all float32.

    Attributes
    ----------
    rows, columns, detail : int
        Height and width of the material grid, side of the detail maps.
    mean : Tensor
        (3 rows columns,) mean head.
    directions : Tensor
        (solid shape factors + 32, 3 rows columns): identity shape, then AU sides in the order (AU, side).
    outward : Tensor
        (3, rows, columns) unit normals of the mean head, along which hair stands.
    theta, x, y : Tensor
        (rows, columns) material coordinates.
    occlusion : Tensor
        (rows, columns) ambient light that reaches the mean head, 1 = all.
    u_of_x : Tensor
        (512,) table of u at x = 0 .. .95.
    detail_mean : Tensor
        (5 detail detail,): slopes along x and y, cavity, redness, lightness of the mean skin.
    detail_folds : Tensor
        (32 + folds at rest, 3 detail detail): slopes and cavity of the folds.
    detail_tints : Tensor
        (TINTS, 2 detail detail): redness and lightness of blush, freckles and blotches.
    ears : Tensor
        (3, rows, columns) the displacement that makes the ears.
    anchors : Tensor
        (1 + solid shape factors, 15) mean place and directions of eyes, tip of the nose and mouth corners, for the
        alignment.
    motion : Tensor
        (16, rows, columns) bool: where the AU moves or folds the skin.
    """

    rows: int
    columns: int
    detail: int
    mean: Tensor
    directions: Tensor
    outward: Tensor
    theta: Tensor
    x: Tensor
    y: Tensor
    occlusion: Tensor
    u_of_x: Tensor
    detail_mean: Tensor
    detail_folds: Tensor
    detail_tints: Tensor
    ears: Tensor
    anchors: Tensor
    motion: Tensor

    def to(self, device) -> "Surface":
        """The same bases on another device."""
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in vars(self).items()}
        return Surface(**moved)


# where the painted quantities act, for the support maps
_REPAINTED = (
    ({"upper_lid", "lower_lid", "lid_fold"}, ((0.31, 0.165, 0.08, 0.05),)),
    (
        {"upper_lip", "lower_lip", "mouth_width", "open_up", "open_down", "part", "line", "curve"},
        ((0.1, -0.53, 0.10, 0.06),),
    ),
    ({"mouth_width", "corner", "curve"}, ((0.27, -0.525, 0.03, 0.03),)),
)
TINTS = ("blush", "freckles", "blotch_1", "blotch_2", "blotch_3", "blotch_4")

_FOLD_OF_WING = Fold(((0.085, -0.125), (0.135, -0.165), (0.150, -0.210), (0.115, -0.250)), 0.016, 0.016)


def _normals(points):
    du, dv = np.gradient(points, axis=2), np.gradient(points, axis=1)
    n = np.cross(dv, du, axis=0)
    return n / (np.linalg.norm(n, axis=0) + 1e-9)


def _detail_maps(size: int):
    x, y = np.meshgrid(np.linspace(-DETAIL_X, DETAIL_X, size), np.linspace(DETAIL_TOP, DETAIL_BOTTOM, size))
    dx, dy = x[0, 1] - x[0, 0], y[1, 0] - y[0, 0]

    def relief(height):
        # cavity: how deep below the surroundings, as in accessibility shading
        cavity = np.clip(9 * (gaussian_filter(height, 0.05 / dx) - height), -0.10, 0.6)
        return np.stack([np.gradient(height, dx, axis=1), np.gradient(height, dy, axis=0), cavity])

    folds = []
    for m in MOVEMENTS:
        for half in mirrored(x, y, lambda a, b, m=m: sum((furrow(a, b, f) for f in m.folds), np.zeros_like(a))):
            folds.append(relief(half))
    for name in SHAPE_FOLDS:
        height = sum(sum(mirrored(x, y, lambda a, b, f=f: furrow(a, b, f))) for f in LINES_AT_REST[name])
        folds.append(relief(height))

    # the wings and holes of the nose, the groove under it and beside it, the fold over the lids
    holes = both(x, y, 0.054, -0.236, 0.022, 0.014) * 0.9
    wings = sum(mirrored(x, y, lambda a, b: furrow(a, b, _FOLD_OF_WING)))
    mean = relief(wings + 0.004 * bump(x, y, 0, -0.17, 0.05, 0.03))
    mean[2] += holes
    red = (
        0.30 * bump(x, y, 0, -0.16, 0.08, 0.08)
        + 0.22 * both(x, y, 0.40, -0.12, 0.17, 0.13)
        + 0.12 * bump(x, y, 0, -0.9, 0.15, 0.1)
        + 0.15 * both(x, y, 0.31, 0.09, 0.13, 0.05)
    )
    light = -0.05 * both(x, y, 0.27, 0.08, 0.14, 0.05) - 0.05 * both(x, y, 0.30, 0.24, 0.15, 0.06)
    mean = np.concatenate([mean, red[None], light[None]])

    draws = rng.normal(torch.arange(6), 0xF1EC, size * size).double().numpy().reshape(6, size, size)
    unit = 1 / dx  # pixels of the map per face unit
    spots = gaussian_filter(draws[0], 0.010 * unit)
    spots = np.clip(spots / spots.std() - 1.3, 0, 2)
    where = both(x, y, 0.30, -0.08, 0.22, 0.13) + bump(x, y, 0, -0.02, 0.14, 0.16)
    tints = [
        np.stack([1.0 * both(x, y, 0.42, -0.14, 0.16, 0.13), np.zeros_like(x)]),
        np.stack([0.35 * spots * where, -0.20 * spots * where]),
    ]
    for k, scale in enumerate((0.02, 0.035, 0.08, 0.16)):
        smooth = gaussian_filter(draws[1 + k], scale * unit)
        smooth = smooth / smooth.std()
        tints.append(np.stack([0.10 * np.roll(smooth, size // 3, 1), 0.022 * smooth]))
    return mean, np.stack(folds), np.stack(tints)


@lru_cache(maxsize=8)
def build(rows: int, columns: int, detail: int) -> Surface:
    """Evaluate every basis once, in float64, on the CPU."""
    u, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(TOP, BOTTOM, rows))
    theta = theta_of_u(u)
    x = _abscissa(theta)
    mean, front = _mean_head(theta, x, y)

    # skin slides along the surface: moving sideways also moves it back
    slope_x = np.clip(np.gradient(mean[2], axis=1) / (np.gradient(x, axis=1) + 1e-9), -1.2, 1.2)
    slope_y = np.clip(np.gradient(mean[2], axis=0) / (np.gradient(y, axis=0)), -0.8, 0.8)
    slope_x, slope_y = gaussian_filter(slope_x, rows / 24), gaussian_filter(slope_y, rows / 24)
    still = np.clip(1 - 1.15 * both(x, y, 0.31, 0.165, 0.13, 0.065), 0, 1)  # the eyeball does not swim

    moves, motion = [], []
    for m in MOVEMENTS:
        # the eye does not damp the lids' own muscles
        damp = 1.0 if m.au in (5, 7) else still
        halves = mirrored(x, y, lambda a, b, m=m: sum((movement(a, b, p) for p in m.skin), np.zeros((3, *a.shape))))
        total = np.zeros_like(x)
        for half in halves:
            half = half * damp * front
            half[2] += slope_x * half[0] + slope_y * half[1]
            moves.append(half)
            total += np.abs(half).sum(0)
        for fold in m.folds:
            total += sum(np.abs(f) for f in mirrored(x, y, lambda a, b, f=fold: furrow(a, b, f))) * (front > 0)
        for names, places in _REPAINTED:
            if names & set(m.painted):
                total += sum(both(x, y, *place) for place in places) * (front > 0)
        motion.append(total > 2e-4)
    shapes = _shape_directions(theta, x, y, front, mean)

    # large cavities hold less light: eye sockets, under the nose, under the lip
    depth = mean[2] * front
    cell = (TOP - BOTTOM) / (rows - 1)
    hollow = gaussian_filter(depth, 0.16 / cell) - depth
    occlusion = np.clip(1 - 1.5 * np.clip(hollow, 0, 0.22) * front, 0.62, 1.0)
    occlusion *= 1 - 0.25 * step((-0.98 - y) / 0.15) - 0.30 * step((-1.05 - y) / 0.1) * 0.5
    ear = _ear(theta, y)
    occlusion *= 1 - 0.35 * np.clip(4 * ear * (1 - ear), 0, 1) * (np.abs(theta) > 1.6)

    at = [
        (np.abs(y[:, 0] - ay).argmin(), np.abs(x[0] - ax).argmin())
        for ax, ay in ((-0.308, 0.165), (0.308, 0.165), (0.0, -0.145), (-0.272, -0.525), (0.272, -0.525))
    ]
    anchors = np.stack([np.stack([basis[:, i, j] for i, j in at]).ravel() for basis in (mean, *shapes)])

    table = np.linspace(0, 0.95, 512)
    fine = np.linspace(0, 1, 4096)
    u_of_x = np.interp(table, _abscissa(theta_of_u(fine)), fine)
    detail_mean, folds, tints = _detail_maps(detail)

    def tensor(a):
        return torch.from_numpy(np.ascontiguousarray(a)).float()

    return Surface(
        rows=rows,
        columns=columns,
        detail=detail,
        mean=tensor(mean.reshape(-1)),
        directions=tensor(np.concatenate([shapes.reshape(SHAPE_SOLID, -1), np.stack(moves).reshape(2 * UNITS, -1)])),
        outward=tensor(_normals(mean)),
        theta=tensor(theta),
        x=tensor(x),
        y=tensor(y),
        occlusion=tensor(occlusion),
        u_of_x=tensor(u_of_x),
        detail_mean=tensor(detail_mean.reshape(-1)),
        detail_folds=tensor(folds.reshape(len(folds), -1)),
        detail_tints=tensor(tints.reshape(len(tints), -1)),
        ears=tensor(np.stack([np.sign(theta) * 0.125 * ear, 0 * ear, -0.05 * ear])),
        anchors=tensor(anchors),
        motion=torch.from_numpy(np.stack(motion)),
    )
