"""What a probe got right, with resamples of the held-out units."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from fau_utils.metrics.auc import auc_per_au
from fau_utils.metrics.bootstrap import resampled_scores, subject_weights
from fau_utils.metrics.f1 import f1_per_au
from fau_utils.metrics.landmarks import landmark_error
from fau_utils.probes.targets import Target

MAIN: dict[str, str] = {"classes": "balanced accuracy", "labels": "auc", "values": "r2", "points": "nme"}
"""The score that a result is known by."""

LOWER_IS_BETTER = frozenset({"mae", "nme"})


@dataclass(frozen=True)
class Measured:
    """One score of one set of predictions.

    Attributes
    ----------
    value : float
        Mean over outputs.
    each : ndarray, (K,)
        Of each output; ``nan`` where undefined.
    draws : ndarray, (R,)
        The value in resamples of the units; the same seed draws the same units.
    """

    value: float
    each: np.ndarray
    draws: np.ndarray


def measure(
    out: np.ndarray, actual: np.ndarray, unit: np.ndarray, target: Target, *, resamples: int, seed: int
) -> dict[str, Measured]:
    """All scores of a target's task.

    Parameters
    ----------
    out : (M, K)
        Logits or values.
    actual : (M,) or (M, K)
    unit : (M,)
        What is drawn: clip or person of each row.
    """
    if target.task == "labels":
        return {
            "auc": _by_au(out, actual, unit, auc_per_au, resamples, seed),
            "f1": _by_au(out, actual, unit, partial(f1_per_au, threshold=0.0), resamples, seed),
        }
    names, index = np.unique(unit, return_inverse=True)
    weights = subject_weights(len(names), resamples=resamples, seed=seed).numpy()

    def drawn(score, *per_row: np.ndarray) -> Measured:
        """A score that is a function of sums over units of some (M, K) numbers."""
        sums = [np.stack([np.bincount(index, column, len(names)) for column in rows.T], 1) for rows in per_row]
        each = score(*(s.sum(0)[None] for s in sums))[0]  # (K,)
        return Measured(float(_mean(each[None])[0]), each, _mean(score(*(weights @ s for s in sums))))

    if target.task == "classes":
        right = (out.argmax(1) == actual).astype(float)[:, None]
        member = np.eye(len(target.outputs))[actual]
        return {
            "balanced accuracy": drawn(_ratio, right * member, member),
            "accuracy": drawn(_ratio, right, np.ones_like(right)),
        }
    known = ~np.isnan(actual)
    # moments about a constant near the mean lose no digits
    y = np.where(known, actual - _column_mean(actual), 0.0)
    off = np.where(known, out - np.where(known, actual, 0.0), 0.0)
    count = known.astype(float)
    scores = {"r2": drawn(_r2, off**2, y**2, y, count), "mae": drawn(_ratio, np.abs(off), count)}
    if target.task == "points":
        shape = (len(out), -1, 2)
        error = landmark_error(out.reshape(shape), actual.reshape(shape))
        there = ~np.isnan(error)
        nme = drawn(_ratio, np.where(there, error, 0.0)[:, None], there.astype(float)[:, None])
        return {"nme": nme, "r2": scores["r2"]}
    return scores


def constant(train: np.ndarray, target: Target, *, rows: int) -> np.ndarray:
    """The best that can be said without features, (rows, K): the most frequent class, always present, the mean."""
    if target.task == "classes":
        counts = np.bincount(train, minlength=len(target.outputs)).astype(float)
        return np.tile(counts, (rows, 1))
    if target.task == "labels":
        return np.ones((rows, train.shape[1]))
    return np.tile(_column_mean(train), (rows, 1))


def _by_au(out, actual, unit, metric, resamples, seed) -> Measured:
    out, actual = torch.from_numpy(np.ascontiguousarray(out, "float64")), torch.from_numpy(actual)
    each = np.asarray(metric(out, actual))
    draws = resampled_scores(out, actual, unit, metric, resamples=resamples, seed=seed)
    return Measured(float(_mean(each[None])[0]), each, _mean(draws))


def _column_mean(values: np.ndarray) -> np.ndarray:
    """Mean of what is known of each column; 0 where nothing is."""
    known = ~np.isnan(values)
    return np.where(known, values, 0.0).sum(0) / np.maximum(known.sum(0), 1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _r2(off: np.ndarray, square: np.ndarray, total: np.ndarray, count: np.ndarray) -> np.ndarray:
    spread = square - _ratio(total**2, count)
    return 1 - _ratio(off, np.where(spread > 1e-12 * square, spread, 0.0))


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean over the columns that are defined, (R,)."""
    known = ~np.isnan(rows)
    return _ratio(np.where(known, rows, 0.0).sum(1), known.sum(1).astype(float))
