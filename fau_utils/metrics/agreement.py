"""Agreement of predicted with coded intensities: error, correlation, concordance."""

import numpy as np
import torch

from fau_utils.metrics.inputs import Array, to_numpy
from fau_utils.metrics.values import Moments, checked_values


def mae_per_au(predicted: Array, actual: Array) -> np.ndarray:
    """Mean absolute error of each AU in FACS intensity steps, (A,) float64; ``nan`` when nothing is coded."""
    x, y, coded = checked_values(predicted, actual)
    count = coded.sum(0)
    return to_numpy(torch.where(count > 0, (x - y).abs().sum(0) / count.clamp(min=1), torch.nan))


def pcc_per_au(predicted: Array, actual: Array) -> np.ndarray:
    """Pearson's correlation of each AU, (A,) float64; ``nan`` when a side does not vary."""
    m = Moments(predicted, actual)
    both = m.sxx.sqrt() * m.syy.sqrt()
    return to_numpy(torch.where(both > 0, (m.sxy / torch.where(both > 0, both, 1.0)).clamp(-1, 1), torch.nan))


def ccc_per_au(predicted: Array, actual: Array) -> np.ndarray:
    """Lin's (1989) concordance correlation of each AU: correlation that offset and scale errors lower.

    2 s_xy / (s_xx + s_yy + (mean x - mean y)^2), with moments over N, not N - 1.

    Returns
    -------
    ndarray, (A,) float64; ``nan`` when nothing is coded or both sides are the same constant.
    """
    m = Moments(predicted, actual)
    below = m.sxx + m.syy + m.count * (m.mean_x - m.mean_y) ** 2
    return to_numpy(torch.where(below > 0, 2 * m.sxy / torch.where(below > 0, below, 1.0), torch.nan))
