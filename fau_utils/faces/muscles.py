"""What each action unit does to a face, as data.

Muscles and their courses follow the FACS manual; the force fields are those of Waters (1987), "A muscle model for
animating three-dimensional facial expression", SIGGRAPH; coordinates and gains were tuned by eye. Everything is given
for the subject's left side (x > 0) in face units (half head width .78, chin y = -1, mouth -.525, eyes .17, brows .385)
and mirrored by `surface`.
"""

from dataclasses import dataclass, field

from fau_utils.aus import RENDERED

Point = tuple[float, float]


@dataclass(frozen=True)
class Pull:
    """A linear muscle: skin near `insertion` moves towards `attachment` by at most `gain`.

    `angle` is the half opening of the fan in degrees, `reach` the end of the effect in muscle lengths.
    """

    attachment: Point
    insertion: Point
    gain: float
    angle: float
    reach: float


@dataclass(frozen=True)
class Squeeze:
    """A sphincter: skin moves towards `centre`, most at a third of the `radii`; `below` multiplies the lower half."""

    centre: Point
    radii: Point
    gain: float
    below: float = 1.0


@dataclass(frozen=True)
class Bulge:
    """Skin at a Gaussian spot moves by (dx, dy, dz)."""

    centre: Point
    size: Point
    move: tuple[float, float, float]


@dataclass(frozen=True)
class Narrow:
    """Skin at a Gaussian spot moves towards the midline by the fraction `gain` of its x."""

    centre: Point
    size: Point
    gain: float


@dataclass(frozen=True)
class Drop:
    """The lower jaw swings down: `y`, `z` and the fraction `x` towards the midline."""

    y: float
    z: float
    x: float


@dataclass(frozen=True)
class Fold:
    """A furrow along a line of points, `sigma` wide and `depth` deep."""

    points: tuple[Point, ...]
    sigma: float
    depth: float


@dataclass(frozen=True)
class Movement:
    """One action unit: how the skin moves, which folds deepen, how painted features change at full contraction.

    `painted` maps names of `PAINTED` to a change at full contraction.
    """

    au: int
    skin: tuple[Pull | Squeeze | Bulge | Narrow | Drop, ...] = ()
    folds: tuple[Fold, ...] = ()
    painted: dict[str, float] = field(default_factory=dict)


PAINTED: tuple[str, ...] = (
    "upper_lid",  # relative change of the height of the upper lid over the eye line
    "lower_lid",  # relative change of the depth of the lower lid under the eye line
    "upper_lip",  # relative change of thickness
    "lower_lip",
    "mouth_width",  # relative
    "open_up",  # the upper lip leaves the mouth line, face units
    "open_down",  # the lower lip
    "part",  # the upper lip leaves the mouth line where the lips part (25, 26), face units
    "corner",  # darkness of the mouth corner
    "line",  # darkness of the closed mouth line
    "lid_fold",  # depth of the fold under the lower lid
    "curve",  # the mouth corners above the middle, face units
)


def _lines(points: list[tuple[Point, ...]], sigma: float, depth: float) -> tuple[Fold, ...]:
    return tuple(Fold(p, sigma, depth) for p in points)


_CROWS_FEET = [((0.50, 0.18), (0.67, 0.25)), ((0.50, 0.155), (0.69, 0.155)), ((0.49, 0.13), (0.66, 0.06))]
_INFRAORBITAL = ((0.16, 0.06), (0.30, 0.00), (0.47, 0.05))
_NASOLABIAL = ((0.14, -0.16), (0.23, -0.26), (0.335, -0.42), (0.37, -0.58))
_NOSE_ROOT = [((0.02, h), (0.10, h - 0.06)) for h in (0.22, 0.14, 0.06)]
_GLABELLA = ((0.06, 0.27), (0.075, 0.48))


def _forehead(start: float, end: float, arch: float) -> list[tuple[Point, ...]]:
    middle = (start + end) / 2
    return [((start, y), (middle, y + arch), (end, y)) for y in (0.56, 0.655, 0.75)]


MOVEMENTS: tuple[Movement, ...] = (
    Movement(
        1,
        (
            Pull((0.10, 0.98), (0.13, 0.36), 0.115, 38, 1.45),
            Bulge((0.14, 0.43), (0.12, 0.08), (0, 0, 0.015)),
        ),
        _lines(_forehead(-0.05, 0.27, 0.012), 0.018, 0.024),
        {"upper_lid": 0.06},
    ),
    Movement(
        2,
        (
            Pull((0.52, 1.0), (0.46, 0.36), 0.105, 38, 1.45),
            Bulge((0.45, 0.44), (0.12, 0.08), (0, 0, 0.015)),
        ),
        _lines(_forehead(0.22, 0.58, 0.02), 0.018, 0.021),
        {"upper_lid": 0.06},
    ),
    Movement(
        4,
        (
            Pull((0.02, 0.12), (0.22, 0.37), 0.085, 55, 1.9),
            Pull((0.0, 0.02), (0.02, 0.42), 0.045, 30, 1.6),
            Bulge((0.10, 0.36), (0.08, 0.05), (0, 0, 0.035)),
        ),
        (Fold(_GLABELLA, 0.020, 0.032), Fold(((0.0, 0.20), (0.07, 0.205)), 0.018, 0.014)),
        {"upper_lid": -0.12},
    ),
    Movement(5, (Bulge((0.31, 0.26), (0.11, 0.04), (0, 0.012, -0.006)),), (), {"upper_lid": 0.62}),
    Movement(
        6,
        (
            Squeeze((0.31, 0.14), (0.40, 0.36), 0.17, 1.5),
            Bulge((0.36, -0.08), (0.14, 0.08), (0, 0.038, 0.04)),
            Bulge((0.48, 0.30), (0.12, 0.06), (0, -0.018, 0)),
        ),
        (*_lines(_CROWS_FEET, 0.014, 0.021), Fold(_INFRAORBITAL, 0.022, 0.024)),
        {"upper_lid": -0.10, "lower_lid": -0.45, "lid_fold": 0.5},
    ),
    Movement(
        7,
        (
            Bulge((0.31, 0.09), (0.13, 0.04), (0, 0.024, 0.012)),
            Bulge((0.31, 0.27), (0.13, 0.04), (0, -0.010, 0)),
        ),
        (Fold(((0.18, 0.095), (0.31, 0.055), (0.45, 0.095)), 0.016, 0.020),),
        {"upper_lid": -0.30, "lower_lid": -0.85, "lid_fold": 1.0},
    ),
    Movement(
        9,
        (
            Pull((0.09, 0.30), (0.12, -0.18), 0.048, 40, 1.75),
            Bulge((0.10, 0.36), (0.09, 0.07), (-0.012, -0.040, 0.012)),
            Bulge((0.09, 0.05), (0.06, 0.08), (0, 0, 0.022)),
            Bulge((0.14, -0.42), (0.09, 0.06), (0, 0.020, 0)),
        ),
        (
            *_lines(_NOSE_ROOT, 0.015, 0.024),
            Fold(((0.12, -0.02), (0.17, -0.10), (0.21, -0.22), (0.26, -0.32)), 0.024, 0.021),
        ),
        {"upper_lid": -0.14, "lower_lid": -0.30},
    ),
    Movement(
        10,
        (
            Pull((0.24, 0.05), (0.13, -0.42), 0.085, 45, 1.35),
            Bulge((0.24, -0.22), (0.08, 0.08), (0, 0, 0.028)),
        ),
        (Fold(((0.13, -0.13), (0.21, -0.20), (0.29, -0.33), (0.33, -0.42)), 0.024, 0.030),),
        {"part": 0.055, "upper_lip": 0.10, "curve": -0.014},
    ),
    Movement(
        12,
        (
            Pull((0.62, 0.04), (0.27, -0.53), 0.105, 42, 1.35),
            Bulge((0.40, -0.14), (0.13, 0.10), (0, 0.012, 0.032)),
            Bulge((0.26, -0.52), (0.10, 0.08), (0, 0, -0.02)),
        ),
        (Fold(_NASOLABIAL, 0.026, 0.026), *_lines(_CROWS_FEET, 0.014, 0.007)),
        {
            "mouth_width": 0.06,
            "upper_lip": -0.20,
            "lower_lip": -0.14,
            "lower_lid": -0.22,
            "part": 0.030,
            "corner": 0.35,
        },
    ),
    Movement(
        14,
        (
            Pull((0.62, -0.50), (0.27, -0.52), 0.062, 50, 1.3),
            Bulge((0.325, -0.52), (0.045, 0.06), (0, 0, -0.055)),
            Bulge((0.41, -0.50), (0.06, 0.10), (0, 0, 0.022)),
        ),
        (Fold(((0.335, -0.44), (0.350, -0.52), (0.335, -0.61)), 0.019, 0.032),),
        {"corner": 1.0, "upper_lip": -0.08, "lower_lip": -0.08},
    ),
    Movement(
        15,
        (
            Pull((0.36, -1.02), (0.27, -0.53), 0.090, 42, 1.35),
            Bulge((0.27, -0.67), (0.07, 0.06), (0, 0, 0.018)),
        ),
        (Fold(((0.285, -0.57), (0.325, -0.68), (0.33, -0.80)), 0.022, 0.028),),
        {"corner": 0.35, "curve": -0.012},
    ),
    Movement(
        17,
        (
            Bulge((0.0, -0.80), (0.20, 0.14), (0, 0.075, 0)),
            Bulge((0.0, -0.85), (0.15, 0.09), (0, 0, 0.045)),
            Bulge((0.0, -0.60), (0.16, 0.05), (0, 0.022, 0.028)),
        ),
        (
            Fold(((0.0, -0.735), (0.12, -0.745), (0.21, -0.80)), 0.024, 0.030),
            *_lines(
                [((0.03, -0.84), (0.05, -0.90)), ((0.10, -0.83), (0.12, -0.90)), ((0.0, -0.92), (0.07, -0.94))],
                0.014,
                0.010,
            ),
        ),
        {"lower_lip": -0.22, "curve": -0.022},
    ),
    Movement(
        23,
        (
            Narrow((0.0, -0.525), (0.30, 0.12), 0.11),
            Bulge((0.0, -0.52), (0.22, 0.08), (0, 0, 0.012)),
        ),
        _lines([((x, y), (x * 1.06, y - 0.05)) for x in (0.05, 0.12, 0.19) for y in (-0.415, -0.60)], 0.010, 0.012),
        {"upper_lip": -0.46, "lower_lip": -0.42, "line": 0.3},
    ),
    Movement(
        24,
        (
            Bulge((0.0, -0.44), (0.24, 0.05), (0, -0.020, 0)),
            Bulge((0.0, -0.61), (0.24, 0.05), (0, 0.020, 0)),
            Bulge((0.0, -0.405), (0.20, 0.04), (0, 0, 0.022)),
            Bulge((0.0, -0.65), (0.20, 0.04), (0, 0, 0.022)),
            Bulge((0.0, -0.52), (0.22, 0.035), (0, 0, -0.03)),
        ),
        (
            Fold(((0.0, -0.44), (0.22, -0.47)), 0.018, 0.018),
            Fold(((0.0, -0.615), (0.22, -0.58)), 0.018, 0.020),
        ),
        {"upper_lip": -0.58, "lower_lip": -0.58, "mouth_width": -0.03, "line": 1.0, "corner": 0.25},
    ),
    Movement(
        25,
        (Bulge((0.0, -0.61), (0.20, 0.09), (0, -0.014, 0)),),
        (),
        {"open_up": 0.012, "open_down": 0.044},
    ),
    Movement(26, (Drop(-0.16, -0.05, 0.05),), (), {"open_up": 0.012, "open_down": 0.105, "mouth_width": -0.05}),
)

LINES_AT_REST: dict[str, tuple[Fold, ...]] = {
    "nasolabial": (Fold(_NASOLABIAL, 0.026, 0.013),),
    "forehead_lines": _lines(_forehead(-0.05, 0.27, 0.012) + _forehead(0.22, 0.58, 0.02), 0.018, 0.0045),
    "glabella_lines": (Fold(_GLABELLA, 0.020, 0.008),),
    "eye_bags": (Fold(_INFRAORBITAL, 0.022, 0.011),),
    "crows_feet": _lines(_CROWS_FEET, 0.014, 0.007),
}
"""Folds of a resting face, by the name of their identity factor."""

CONTRACTION: tuple[float, ...] = (0.0, 0.12, 0.30, 0.55, 0.80, 1.0)
"""Contraction at FACS intensities 0 and A to E: the letters are not equally far apart."""

if tuple(m.au for m in MOVEMENTS) != RENDERED:
    raise ValueError(f"the movements must be in the order of aus.RENDERED, found {[m.au for m in MOVEMENTS]}")
