"""Calibration: of the frames given probability 0.7, do 70 % show the movement?"""

from typing import NamedTuple

import numpy as np
import torch

from fau_utils.metrics.inputs import Array, checked, to_numpy


class Reliability(NamedTuple):
    """Frames of each AU by predicted probability, each (A, bins) float64.

    Attributes
    ----------
    count : number of coded frames in the bin
    said : mean predicted probability; ``nan`` in an empty bin
    seen : share of frames with the movement; ``nan`` in an empty bin
    """

    count: np.ndarray
    said: np.ndarray
    seen: np.ndarray


def reliability(prob: Array, label: Array, *, bins: int = 15) -> Reliability:
    """The reliability diagram of each AU, in bins of equal width [k / bins, (k + 1) / bins); the last includes 1.

    Parameters
    ----------
    prob : (N, A) in [0, 1]
    label : (N, A) in {0, 1, nan}
    bins : int

    Raises
    ------
    ValueError
        When a coded frame's score is not a probability, or there is no bin.
    """
    prob, positive, coded = checked(prob, label)
    if bins < 1:
        raise ValueError(f"expected at least one bin, found {bins}")
    if bool((coded & ((prob < 0) | (prob > 1))).any()):
        raise ValueError("expected probabilities in [0, 1], found others; apply a sigmoid to logits first")
    edges = torch.linspace(0, 1, bins + 1, dtype=prob.dtype, device=prob.device)[1:-1]
    place = torch.bucketize(prob.T.contiguous(), edges, right=True)  # (A, N)
    count, said, seen = (
        prob.new_zeros(len(place), bins).scatter_add_(1, place, weight.T.to(prob))
        for weight in (coded, torch.where(coded, prob, 0.0), positive)
    )
    empty = count == 0
    filled = count.clamp(min=1)
    return Reliability(
        to_numpy(count),
        to_numpy(torch.where(empty, torch.nan, said / filled)),
        to_numpy(torch.where(empty, torch.nan, seen / filled)),
    )


def ece_per_au(prob: Array, label: Array, *, bins: int = 15) -> np.ndarray:
    """Expected calibration error of each AU: mean over frames of |said - seen| of their bin (Guo et al., 2017).

    Returns
    -------
    ndarray, (A,) float64 in [0, 1]; ``nan`` when nothing is coded.
    """
    diagram = reliability(prob, label, bins=bins)
    frames = diagram.count.sum(1)
    gap = np.nansum(diagram.count * np.abs(diagram.said - diagram.seen), axis=1)
    return np.where(frames > 0, gap / np.maximum(frames, 1), np.nan)
