"""Class weights by which published training losses balance rare against frequent movements.

The formula is JAA-Net's (``dataset/write_AU_weight.py``), used unchanged by ME-GraphAU and MDHR: with r_i the
positive rate of AU i among the *training* frames, w_i = n (1 / r_i) / sum_j (1 / r_j), so that weights average 1.
"""

import numpy as np
import torch
from torch import Tensor


def positive_rates(labels: np.ndarray | Tensor) -> np.ndarray:
    """Share of positives among the coded labels of each AU.

    Parameters
    ----------
    labels : (N, A) in {0, 1, nan}

    Returns
    -------
    ndarray, (A,) float64; ``nan`` for an AU that is nowhere coded.
    """
    values = torch.as_tensor(labels).cpu().numpy().astype("float64")
    coded = ~np.isnan(values)
    count = coded.sum(0)
    return np.where(count > 0, np.where(coded, values, 0).sum(0) / np.maximum(count, 1), np.nan)


def class_weights(rates: np.ndarray | Tensor) -> np.ndarray:
    """Weight of each AU, from its positive rate among the training frames.

    Parameters
    ----------
    rates : (A,) in (0, 1], or in percent: only their proportions matter
        From :func:`positive_rates`.

    Returns
    -------
    ndarray, (A,) float64, mean 1.

    Raises
    ------
    ValueError
        When an AU has no positive or is nowhere coded: no weight makes up for that.
    """
    rates = np.asarray(rates, "float64")
    bad = np.flatnonzero(~(rates > 0))
    if len(bad):
        raise ValueError(
            f"expected a positive rate above 0 for every AU, found {rates[bad[0]]} in column {bad[0]}; "
            "leave that AU out, or train on more people"
        )
    inverse = 1 / rates
    return inverse / inverse.sum() * len(rates)


def negatives_per_positive(rates: np.ndarray | Tensor) -> np.ndarray:
    """(1 - r) / r of each AU, (A,): JAA-Net's second weight, and the usual ``pos_weight`` of a BCE loss.

    Raises
    ------
    ValueError
        When a rate is not in (0, 1].
    """
    rates = np.asarray(rates, "float64")
    if not ((rates > 0) & (rates <= 1)).all():
        raise ValueError(f"expected rates in (0, 1], found {rates.tolist()}")
    return (1 - rates) / rates
