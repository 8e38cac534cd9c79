"""What every metric of intensities accepts, checked once."""

import torch
from torch import Tensor

from fau_utils.metrics.inputs import Array


def checked_values(predicted: Array, actual: Array) -> tuple[Tensor, Tensor, Tensor]:
    """Predicted and coded intensities as float64 tensors on one device, and which are coded.

    Parameters
    ----------
    predicted : (N, A)
        Any real numbers.
    actual : (N, A)
        Coded intensities, 0 to 5; ``nan`` is *not coded* and takes part in nothing.

    Returns
    -------
    predicted, actual, coded : Tensor, (N, A)
        float64, float64, bool. Values are 0 where not coded.

    Raises
    ------
    ValueError
        When shapes differ, or a coded frame has a prediction that is not a finite number.
    """
    predicted = torch.as_tensor(predicted).detach().to(torch.float64)
    actual = torch.as_tensor(actual, device=predicted.device).detach().to(torch.float64)
    if predicted.ndim != 2 or predicted.shape != actual.shape:
        raise ValueError(
            f"expected predicted and actual of one shape (N, A), found {tuple(predicted.shape)}, {tuple(actual.shape)}"
        )
    coded = ~actual.isnan()
    if bool((~predicted.isfinite() & coded).any()):
        raise ValueError("found predictions that are not finite; a run with them has failed and has no score")
    return torch.where(coded, predicted, 0.0), torch.where(coded, actual, 0.0), coded


class Moments:
    """First and second moments of predictions (x) and codes (y) of each AU, all (A,) float64.

    Attributes
    ----------
    count : number of coded frames
    mean_x, mean_y : means
    sxx, syy, sxy : sums of products of deviations from the means; exactly 0 for a constant
    """

    def __init__(self, predicted: Array, actual: Array):
        x, y, coded = checked_values(predicted, actual)
        self.count = coded.sum(0).to(torch.float64)
        some = self.count.clamp(min=1)
        self.mean_x, self.mean_y = x.sum(0) / some, y.sum(0) / some
        dx, dy = _deviations(x, self.mean_x, coded), _deviations(y, self.mean_y, coded)
        self.sxx, self.syy, self.sxy = (dx * dx).sum(0), (dy * dy).sum(0), (dx * dy).sum(0)


def _deviations(values: Tensor, mean: Tensor, coded: Tensor) -> Tensor:
    if not len(values):
        return values
    low = torch.where(coded, values, torch.inf).amin(0)
    high = torch.where(coded, values, -torch.inf).amax(0)
    # the mean of a constant may be off by a rounding, which would give it a variance and a correlation
    return torch.where(coded & (low < high), values - mean, 0.0)
