"""What every metric accepts, checked once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Tensor | np.ndarray


def checked(prob: Array, label: Array) -> tuple[Tensor, Tensor, Tensor]:
    """Predictions and labels as float64 tensors on one device, and which labels are known.

    Parameters
    ----------
    prob : (N, A)
        Scores; larger means more likely present.
    label : (N, A) in {0, 1, nan}
        ``nan`` is *not coded* and takes part in nothing.

    Returns
    -------
    prob, positive, coded : Tensor, (N, A)
        float64, bool, bool. ``positive`` is False where not coded.

    Raises
    ------
    ValueError
        When shapes differ, a label is something else, or a coded frame has a score that is not a number.
    """
    prob = _tensor(prob).to(torch.float64)
    label = _tensor(label).to(prob.device)
    if prob.ndim != 2 or prob.shape != label.shape:
        raise ValueError(
            f"expected prob and label of one shape (N, A), found {tuple(prob.shape)}, {tuple(label.shape)}"
        )
    coded = ~label.isnan()
    positive = label == 1
    if not bool((positive | (label == 0) | ~coded).all()):
        raise ValueError("expected labels 0, 1 or nan (not coded), found others; cut intensities before scoring")
    if bool((prob.isnan() & coded).any()):
        raise ValueError("found predictions that are nan; a run with them has failed and has no score")
    return prob, positive, coded


def _tensor(values: Array) -> Tensor:
    if isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # torch warns about memory that it may not write to
    return torch.as_tensor(values).detach()


def to_numpy(values: Any) -> np.ndarray:
    """A small result on the host, float64."""
    return torch.as_tensor(values).cpu().numpy().astype("float64")
