"""From five points to the crop a model was trained on, and to how far the head is turned."""

import numpy as np

from fau_utils.data import crops
from fau_utils.data.detector import Found
from fau_utils.faces.camera import ALIGNED_ZOOM, SCALE

RENDERED = "rendered"
"""The crop of rendered faces: a similarity onto where the renderer's own aligner puts the five points."""

_TEMPLATE = np.array([[-0.318, 0.172], [0.318, 0.172], [0.0, -0.170], [-0.290, -0.555], [0.290, -0.555]])
_RAISED = 0.035  # of the crop's side; as fau_utils.faces.camera.aligned

# a mean face in distances between the eyes, y up; the plane of the eyes and mouth corners is at depth 0, and how far
# the tip of the nose stands out of it was chosen so that turning heads are measured with a slope of one
_FACE = np.array([[-0.5, 0, 0], [0.5, 0, 0], [0.0, -0.57, 0.5], [-0.414, -1.15, 0], [0.414, -1.15, 0]])


def matrix(face: Found, *, crop: str, size: int, margin: float = 1.0) -> np.ndarray:
    """The map from the picture to the model's input, (2, 3) float64.

    Parameters
    ----------
    face : Found
        Without points (``nan``) its box is taken whole.
    crop : str
        :data:`RENDERED` or one of :data:`fau_utils.data.crops.RECIPES`.
    size : int
        Side of the model's input in px.
    margin : float
        Side of the published crop over the side of its middle that the network sees.
    """
    if np.isnan(face.five).any():
        left, top, right, bottom = face.box
        made = crops.whole(round(right - left), round(bottom - top), size=size)
        made[:, 2] -= made[:, :2] @ [left, top]
        return made
    if crop == RENDERED:
        goal = _TEMPLATE * [1, -1] * SCALE * ALIGNED_ZOOM - [0, _RAISED]
        return _similarity(face.five, goal * size + (size - 1) / 2)
    whole = round(size * margin)
    if crops.recipe(crop).needs == "box":
        made = crops.from_boxes(face.box[None], size=whole)[0]
    else:
        made = crops.from_points(face.five[None], crop=crop, size=whole)[0]
    made[:, 2] -= (whole - size) / 2
    return made


def _similarity(points: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Least squares over turns, scales and shifts: in the plane, a complex ratio."""
    source, target = (p @ [1, 1j] for p in (points, goal))
    a = np.vdot(source - source.mean(), target - target.mean()) / np.vdot(source - source.mean(), source)
    shift = target.mean() - a * source.mean()
    return np.array([[a.real, -a.imag, shift.real], [a.imag, a.real, shift.imag]])


def pose(five: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll in degrees, (3,) float64, ``nan`` without points; right to some five degrees.

    The affine map from a mean face to the points is fitted by least squares; the rotation nearest to its two rows is
    the head's (weak perspective). Yaw is positive towards the picture's left, pitch upwards, roll anticlockwise.
    """
    if np.isnan(five).any():
        return np.full(3, np.nan)
    seen = (five - five.mean(0)) * [1, -1]
    rows = np.linalg.lstsq(_FACE - _FACE.mean(0), seen, rcond=None)[0].T  # (2, 3)
    u, _, v = np.linalg.svd(rows, full_matrices=False)
    turned = u @ v  # two orthonormal rows
    r = np.vstack([turned, np.cross(*turned)])
    return np.degrees(
        [np.arctan2(-r[2, 0], r[2, 2]), np.arcsin(np.clip(r[2, 1], -1, 1)), np.arctan2(-r[0, 1], r[1, 1])]
    )


def between_eyes(five: np.ndarray) -> float:
    """Distance between the eyes in px, ``nan`` without points."""
    return float(np.linalg.norm(five[1] - five[0]))
