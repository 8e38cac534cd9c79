"""ICC(3,1), consistency: do predicted intensities rise and fall with the coded ones?

Shrout & Fleiss (1979), case 3: two fixed raters, here the coder and the model, single ratings. A constant offset
between them costs nothing; ICC(A,1) or :func:`fau_utils.metrics.agreement.ccc_per_au` would punish it.
"""

import numpy as np
import torch

from fau_utils.metrics.inputs import Array, to_numpy
from fau_utils.metrics.values import Moments


def icc_per_au(predicted: Array, actual: Array) -> np.ndarray:
    """ICC(3,1) = (BMS - EMS) / (BMS + EMS) of each AU.

    Between two raters the mean squares between faces and of the error reduce to
    2 cov(x, y) / (var(x) + var(y)).

    Parameters
    ----------
    predicted : (N, A)
    actual : (N, A)
        ``nan`` is not coded.

    Returns
    -------
    ndarray, (A,) float64 in [-1, 1]; ``nan`` when fewer than two frames are coded or nothing varies.
    """
    m = Moments(predicted, actual)
    varies = (m.count > 1) & (m.sxx + m.syy > 0)
    return to_numpy(torch.where(varies, 2 * m.sxy / torch.where(varies, m.sxx + m.syy, 1.0), torch.nan))
