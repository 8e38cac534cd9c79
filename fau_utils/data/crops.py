"""Where a face is cut out of a picture: the published recipes, as arithmetic.

Crops move F1 by points, so each has a name and is stated here in full. A crop is an affine map from the picture to
the crop, (2, 3), between pixel coordinates in which a pixel's centre has whole coordinates, as landmarks have; it is
computed for many faces at once, and applied to pixels (:func:`warp`) and landmarks (:func:`transform`) alike.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

EYES: tuple[slice, slice] = (slice(19, 25), slice(25, 31))
"""Of the 49 points: the eye at the left of the picture, and the other."""
NOSE_TIP = 13
MOUTH_CORNERS: tuple[int, int] = (31, 37)

Filter = Literal["bilinear", "bicubic", "lanczos"]
Needs = Literal["points", "box", "nothing"]


@dataclass(frozen=True)
class Recipe:
    """A named crop.

    Attributes
    ----------
    name : str
    needs : {"points", "box", "nothing"}
        What has to be known of a face: five points, a detector's box, or nothing.
    published : int
        Side in px at which the source writes its crops.
    view : int
        Side in px of what its network sees of that: a random place in training, the centre in testing.
    fill : int
        Grey level outside the picture.
    filter : {"bilinear", "bicubic", "lanczos"}
        ``bilinear`` takes single samples, also where the picture is made smaller, as OpenCV does; the others average.
    readings : tuple of str
        What the source does not say, and how it is read here.
    source : str
    """

    name: str
    needs: Needs
    published: int
    view: int
    fill: int
    filter: Filter
    source: str
    readings: tuple[str, ...] = ()


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "jaa",
            needs="points",
            published=200,
            view=176,
            fill=128,
            filter="bilinear",
            source="PyTorch-JAANet @9a0cedc, dataset/face_transform.py (also ARL, AC2D)",
        ),
        Recipe(
            "megraph",
            needs="points",
            published=256,
            view=224,
            fill=0,
            filter="bilinear",
            source="ME-GraphAU issue 2: detected, aligned and cropped to 256 px by MTCNN (also MDHR, AUNCE)",
            readings=(
                "which template MTCNN's five points were aligned to: the usual one of 112 px, enlarged",
                "the five points come from the dataset's landmarks where it has some",
                "interpolation and border",
            ),
        ),
        Recipe(
            "fmae",
            needs="box",
            published=224,
            view=224,
            fill=0,
            filter="bicubic",
            source="FMAE-IAT issue 9: no alignment, box enlarged by 5 % of its size on each side, resized",
            readings=(
                "the detector: theirs is that of 1adrianb/face-alignment, here YuNet; its boxes are somewhat different",
                "one face of several: the largest",
                "frames are not halved before, since a box does not depend on it",
            ),
        ),
        Recipe(
            "fgnet",
            needs="points",
            published=256,
            view=256,
            fill=0,
            filter="lanczos",
            source="FG-Net: FFHQ alignment, script in ihp-lab/SEMPI (data/engagement/code/utils.py)",
            readings=(
                "the dataset's landmarks where it has some, instead of dlib's",
                "black outside the picture; the script fades the border into it over a tenth of the crop",
            ),
        ),
        Recipe(
            "none",
            needs="nothing",
            published=224,
            view=224,
            fill=0,
            filter="bicubic",
            source="ours: the whole picture, for sets that are cropped already",
            readings=("a picture that is not square keeps its shape, between black bars",),
        ),
    )
}
"""The recipes by name."""

_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_TEMPLATE_SIDE = 112  # px of the picture in which the template is stated
_JAA_ENLARGE = 2.9
_FMAE_GROW = 0.05
_SMALLEST_EYE_DISTANCE = 2.0  # px; below it, landmarks describe no face
_MOST_SAMPLES = 16  # per crop pixel and axis, when a picture is made smaller with an average


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises
    ------
    ValueError
        Lists the names there are.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown crop {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def five_points(points: np.ndarray) -> np.ndarray:
    """Eye centres, nose tip and mouth corners of 49 points, the picture's left one first.

    Parameters
    ----------
    points : ndarray, (N, 49, 2)

    Returns
    -------
    ndarray, (N, 5, 2) float64
    """
    points = np.asarray(points, "float64")
    eyes = [points[:, eye].mean(1) for eye in EYES]
    return np.stack([*eyes, points[:, NOSE_TIP], *(points[:, corner] for corner in MOUTH_CORNERS)], axis=1)


def problem(five: np.ndarray, width: int, height: int) -> str | None:
    """Why five points, (5, 2), cannot place a crop in a picture; None when they can."""
    if not np.isfinite(five).all():
        return "the face was lost here: no landmarks"
    distance = float(np.hypot(*(five[1] - five[0])))
    if distance < _SMALLEST_EYE_DISTANCE:
        return f"eyes {distance:.1f} px apart: landmarks of no face"
    x, y = five.mean(0)
    if not (0 <= x < width and 0 <= y < height):
        return f"the face's centre ({x:.0f}, {y:.0f}) is outside the picture of {width} x {height} px"
    return None


def from_points(five: np.ndarray, *, crop: str, size: int | None = None) -> np.ndarray:
    """Similarities that place faces by five points.

    Parameters
    ----------
    five : ndarray, (N, 5, 2)
        As :func:`five_points` gives them, px.
    crop : {"jaa", "megraph", "fgnet"}
    size : int, optional
        Side of the crop in px, by default the published one; the same part of the face is in it.

    Returns
    -------
    ndarray, (N, 2, 3) float64
    """
    chosen = recipe(crop)
    if chosen.needs != "points":
        raise ValueError(f"the crop {crop} is not placed by points: use {_PLACED_BY[chosen.needs]}")
    return _BY_POINTS[crop](np.asarray(five, "float64"), chosen.published if size is None else size)


def _jaa(five: np.ndarray, size: int) -> np.ndarray:
    """Eyes horizontal; a square around the five points, its side 2.9 times their larger extent."""
    along = five[:, 1] - five[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    turn = np.stack([along, np.stack([-along[:, 1], along[:, 0]], -1)], axis=1)  # (N, 2, 2)
    turned = five @ turn.transpose(0, 2, 1)
    low, high = turned.min(1), turned.max(1)
    half = 0.5 * _JAA_ENLARGE * (high - low).max(1)
    scale = (size - 1) / 2 / half
    shift = scale[:, None] * (half[:, None] - (low + high) / 2)
    return np.concatenate([scale[:, None, None] * turn, shift[:, :, None]], axis=2)


def _megraph(five: np.ndarray, size: int) -> np.ndarray:
    """Least squares onto the template (Umeyama 1991, without reflections; in the plane, a complex ratio)."""
    goal = (_TEMPLATE + 0.5) * (size / _TEMPLATE_SIDE) - 0.5
    source, target = (p[..., 0] + 1j * p[..., 1] for p in (five, goal))
    middle, goal_middle = source.mean(-1, keepdims=True), target.mean()
    source, target = source - middle, target - goal_middle
    ratio = (source.conj() * target).sum(-1) / (source.conj() * source).sum(-1).real
    return _from_complex(ratio, goal_middle - ratio * middle[:, 0])


def _fgnet(five: np.ndarray, size: int) -> np.ndarray:
    """FFHQ's square: along the eyes and across the line from eyes to mouth, twice or 1.8 times as large as those."""
    points = five[..., 0] + 1j * five[..., 1]
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    across, down = points[:, 1] - points[:, 0], mouth - eyes
    direction = across - 1j * down
    half = direction / np.abs(direction) * np.maximum(2.0 * np.abs(across), 1.8 * np.abs(down))
    centre = eyes + 0.1 * down
    ratio = size / 2 / half  # the square's edges are those of the outer pixels, not their centres
    return _from_complex(ratio, (size - 1) / 2 * (1 + 1j) - ratio * centre)


_BY_POINTS = {"jaa": _jaa, "megraph": _megraph, "fgnet": _fgnet}
_PLACED_BY = {"points": "from_points", "box": "from_boxes", "nothing": "whole"}


def _from_complex(ratio: np.ndarray, shift: np.ndarray) -> np.ndarray:
    rows = ([ratio.real, -ratio.imag, shift.real], [ratio.imag, ratio.real, shift.imag])
    return np.stack([np.stack(row, -1) for row in rows], axis=1)


def from_boxes(boxes: np.ndarray, *, size: int = 224, grow: float = _FMAE_GROW) -> np.ndarray:
    """Maps of detectors' boxes, enlarged and rounded to whole pixels, onto squares; the shape is not kept (FMAE).

    Parameters
    ----------
    boxes : ndarray, (N, 4)
        Left, top, right, bottom in px.
    size : int
    grow : float
        Share of width and height added on each side.

    Returns
    -------
    ndarray, (N, 2, 3) float64
    """
    boxes = np.asarray(boxes, "float64")
    extent = boxes[:, 2:] - boxes[:, :2]
    low, high = np.rint(boxes[:, :2] - grow * extent), np.rint(boxes[:, 2:] + grow * extent)
    scale = size / np.maximum(high - low, 1)
    shift = (0.5 - low) * scale - 0.5
    made = np.zeros((len(boxes), 2, 3))
    made[:, [0, 1], [0, 1]], made[:, :, 2] = scale, shift
    return made


def whole(width: int, height: int, *, size: int = 224) -> np.ndarray:
    """The map of a whole picture into the middle of a square, (2, 3) float64."""
    scale = size / max(width, height)
    shift = 0.5 * scale - 0.5 + (size - scale * np.array([width, height])) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def transform(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points of pictures, (N, K, 2), in their crops, by (N, 2, 3)."""
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def outside(matrix: np.ndarray, width: int, height: int, *, size: int) -> float:
    """Share of a crop that lies outside the picture, to about a hundredth; `matrix` is (2, 3)."""
    steps = (np.arange(16) + 0.5) * size / 16 - 0.5
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    x, y = ((grid - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T).T
    return float(1 - ((x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)).mean())


def warp(image: np.ndarray, matrix: np.ndarray, *, size: int, fill: int = 0, filter: Filter = "bilinear") -> np.ndarray:
    """The crop of a picture.

    Parameters
    ----------
    image : ndarray, (H, W, 3) uint8
    matrix : ndarray, (2, 3)
        From the picture to the crop.
    size : int
    fill, filter
        As in :class:`Recipe`.

    Returns
    -------
    ndarray, (size, size, 3) uint8
    """
    from PIL import Image

    picture, kind = Image.fromarray(image), Image.Resampling[filter.upper()]
    if filter == "bilinear":
        return np.asarray(_sampled(picture, matrix, size=size, fill=fill))
    if matrix[0, 1] == matrix[1, 0] == 0:
        return np.asarray(_resized(picture, matrix, size=size, kind=kind))
    # as the FFHQ script does: sampled finely enough that nothing is stepped over, then averaged
    samples = int(np.clip(np.ceil(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))), 2, _MOST_SAMPLES))
    fine = np.array(matrix, "float64") * samples
    fine[:, 2] += (samples - 1) / 2
    large = _sampled(picture, fine, size=size * samples, fill=fill)
    return np.asarray(large.resize((size, size), kind, reducing_gap=None))


def _sampled(picture, matrix: np.ndarray, *, size: int, fill: int):
    from PIL import Image

    back = np.linalg.inv(matrix[:, :2])
    shift = -back @ matrix[:, 2]
    shift = shift + 0.5 - back @ [0.5, 0.5]  # Pillow's pixel centres are halves
    coefficients = (*back[0], shift[0], *back[1], shift[1])
    return picture.transform(
        (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=(fill,) * 3
    )


def _resized(picture, matrix: np.ndarray, *, size: int, kind):
    scale = np.diag(matrix[:, :2])
    low = 0.5 - (matrix[:, 2] + 0.5) / scale
    high = low + size / scale
    left, top = np.floor(low + 1e-6).astype(int)
    right, bottom = np.ceil(high - 1e-6).astype(int)
    around = picture.crop((left, top, right, bottom))  # black outside the picture
    box = (*np.clip(low - [left, top], 0, None), *np.minimum(high - [left, top], around.size))
    return around.resize((size, size), kind, box=tuple(map(float, box)))


def chosen_size(crop: str, size: int | None) -> int:
    """The side of a crop in px: the one asked for, else the published one.

    Raises
    ------
    ValueError
        Outside 16 to 1024 px.
    """
    size = recipe(crop).published if size is None else size
    if not 16 <= size <= 1024:
        raise ValueError(f"expected a crop of 16 to 1024 px, found {size}")
    return int(size)
