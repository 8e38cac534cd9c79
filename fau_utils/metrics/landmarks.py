"""Landmark error in units of the distance between the eyes (normalised mean error, NME)."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from fau_utils.metrics.f1 import Mean
from fau_utils.metrics.inputs import Array, to_numpy

_EYES = {49: (slice(19, 25), slice(25, 31)), 68: (slice(36, 42), slice(42, 48))}
_CORNERS = {49: (19, 28), 68: (36, 45)}


def landmark_error(
    predicted: Array, actual: Array, *, unit: Literal["eye_centres", "outer_corners"] = "eye_centres"
) -> np.ndarray:
    """Mean distance of a face's predicted from its true landmarks, divided by the distance between its eyes.

    Parameters
    ----------
    predicted, actual : (N, L, 2)
        Pixels; L is 49 or 68. A point of `actual` that is ``nan`` is unknown and left out.
    unit : {"eye_centres", "outer_corners"}
        Between the means of each eye's six points (JAA-Net), or between the outer corners (the 300-W challenge).

    Returns
    -------
    ndarray, (N,) float64
        0.05 is 5 % of the distance between the eyes; ``nan`` where no point or not enough of the eyes is known.

    Raises
    ------
    ValueError
        When shapes differ or L is neither 49 nor 68, or a known point has no finite prediction.
    """
    predicted = torch.as_tensor(predicted).detach().to(torch.float64)
    actual = torch.as_tensor(actual, device=predicted.device).detach().to(torch.float64)
    if predicted.ndim != 3 or predicted.shape != actual.shape or predicted.shape[2] != 2:
        raise ValueError(
            f"expected predicted and actual of one shape (N, L, 2), found {tuple(predicted.shape)}, "
            f"{tuple(actual.shape)}"
        )
    if predicted.shape[1] not in _EYES:
        raise ValueError(f"expected 49 or 68 landmarks, found {predicted.shape[1]}")
    known = ~actual.isnan().any(-1)
    if bool((known & ~predicted.isfinite().all(-1)).any()):
        raise ValueError("found landmark predictions that are not finite; a run with them has failed")
    distance = torch.where(known, (predicted - actual).norm(dim=-1), 0.0).sum(1) / known.sum(1)
    between = _between_eyes(actual, unit)
    return to_numpy(torch.where(between > 0, distance / between, torch.nan))


def _between_eyes(points: Tensor, unit: str) -> Tensor:
    if unit == "outer_corners":
        one, other = (points[:, i] for i in _CORNERS[points.shape[1]])
    else:
        one, other = (points[:, eye].mean(1) for eye in _EYES[points.shape[1]])
    return (one - other).norm(dim=-1)


def nme(predicted: Array, actual: Array, *, unit: Literal["eye_centres", "outer_corners"] = "eye_centres") -> Mean:
    """Mean of :func:`landmark_error` over faces, and the number of faces where it is undefined."""
    errors = landmark_error(predicted, actual, unit=unit)
    known = errors[~np.isnan(errors)]
    return Mean(float(known.mean()) if len(known) else float("nan"), len(errors) - len(known))


def failure_rate(errors: np.ndarray, *, limit: float = 0.1) -> float:
    """Share of faces whose :func:`landmark_error` exceeds a limit; undefined faces are left out."""
    known = errors[~np.isnan(errors)]
    return float((known > limit).mean()) if len(known) else float("nan")
