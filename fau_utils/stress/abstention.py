"""May it say *I do not know*? Risk over coverage, and cut-offs that are fixed before the test.

A detector is sure of an answer as far as its probability lies from the threshold. It answers where it is most sure;
the *risk* is the share of wrong answers among those it gives, the *coverage* the share of faces it answers for
(El-Yaniv & Wiener, 2010; the area under the curve as in Geifman et al., 2019). Unknown labels take part in nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from fau_utils.metrics.inputs import Array, checked
from fau_utils.training.evaluate import Predictions

COVERAGES: tuple[float, ...] = tuple(np.round(np.linspace(0.05, 1, 20), 2).tolist())


class Selective(NamedTuple):
    """Curves of each AU, (A, K) float64; ``nan`` throughout for an AU without a known label.

    Attributes
    ----------
    coverage : (K,)
    risk : share of wrong answers among those given
    answered_positives : share of the faces that show the AU for which there is an answer; ``nan`` without any
    """

    coverage: np.ndarray
    risk: np.ndarray
    answered_positives: np.ndarray


def sureness(prob: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """How sure each answer is, (N, A) in [0, 1]: the way from the threshold to the end of the scale on its side."""
    prob = np.asarray(torch.as_tensor(prob).detach().cpu(), "float64")
    cut = np.broadcast_to(np.asarray(threshold, "float64"), prob.shape)
    if not ((cut > 0) & (cut < 1)).all():
        raise ValueError(f"expected thresholds between 0 and 1, found {np.unique(cut)[:5].tolist()}")
    return np.where(prob >= cut, (prob - cut) / (1 - cut), (cut - prob) / cut)


def risk_coverage(
    prob: Array, label: Array, *, coverages: Sequence[float] = COVERAGES, threshold: float | Array = 0.5
) -> Selective:
    """Risk at each coverage, AU by AU. Answers that are equally sure are given in any order: their mean counts.

    Parameters
    ----------
    prob : (N, A) in [0, 1]
    label : (N, A) in {0, 1, nan}
    coverages : sequence of float
        In (0, 1], shares of the known labels.
    threshold : float or (A,)
        *Yes* at or above it.

    Raises
    ------
    ValueError
        A coverage outside (0, 1].
    """
    share = np.asarray(coverages, "float64")
    if not ((share > 0) & (share <= 1)).all():
        raise ValueError(f"expected coverages in (0, 1], found {share.tolist()[:5]}")
    risks, positives = [], []
    for wrong, positive, sure in _columns(prob, label, threshold):
        if not len(sure):
            risks.append(np.full(len(share), np.nan))
            positives.append(np.full(len(share), np.nan))
            continue
        at = share * len(sure)
        risks.append(np.interp(at, *_running(wrong, sure)) / at)
        met = np.interp(at, *_running(positive, sure))
        positives.append(met / positive.sum() if positive.any() else np.full(len(share), np.nan))
    return Selective(share, np.array(risks), np.array(positives))


def aurc_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """Area under risk over coverage of each AU, (A,): the mean risk over all numbers of answers; less is better.

    A detector whose sureness says nothing has the share of its errors as area.
    """
    return np.array([_area(wrong, sure) for wrong, _, sure in _columns(prob, label, threshold)])


def excess_aurc_per_au(prob: Array, label: Array, *, threshold: float | Array = 0.5) -> np.ndarray:
    """What the area is above that of a detector with the same errors that is least sure of just these."""
    found = []
    for wrong, _, sure in _columns(prob, label, threshold):
        found.append(_area(wrong, sure) - _area(wrong, 1.0 - wrong))
    return np.array(found)


def cutoffs(prob: Array, *, coverage: float, threshold: float | Array = 0.5) -> np.ndarray:
    """Sureness of each AU, (A,), from which on a share of the faces is answered for. Needs no labels.

    To be chosen on validation people and kept: on test people, or blurred ones, the coverage is then what it is.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"expected a coverage in (0, 1], found {coverage}")
    ordered = np.sort(sureness(prob, threshold=threshold), axis=0)
    if not len(ordered):
        raise ValueError("expected predictions to choose by, found none")
    return ordered[len(ordered) - int(np.ceil(coverage * len(ordered) - 1e-9))]


def abstaining(found: Predictions, *, cutoff: np.ndarray, threshold: float | np.ndarray = 0.5) -> pd.DataFrame:
    """A detector that answers from a fixed sureness on.

    Returns
    -------
    DataFrame
        ``au, known, coverage, risk, risk_of_all, answered_positives``, a row per AU; ``nan`` where there is nothing
        to divide by, so a detector that never answers has no risk, not the risk 0.
    """
    given = sureness(found.prob, threshold=threshold) >= cutoff
    known = ~np.isnan(found.label)
    wrong = known & ((found.prob >= threshold) != (found.label == 1))
    positive = found.label == 1
    rows = []
    for k, au in enumerate(found.aus):
        answered = given[:, k] & known[:, k]
        counts = {"known": int(known[:, k].sum()), "coverage": _share(answered, known[:, k])}
        risks = {"risk": _share(wrong[:, k] & answered, answered), "risk_of_all": _share(wrong[:, k], known[:, k])}
        rows.append(
            {"au": au, **counts, **risks, "answered_positives": _share(answered & positive[:, k], positive[:, k])}
        )
    return pd.DataFrame(rows)


def _share(some: np.ndarray, of: np.ndarray) -> float:
    return float(some.sum() / of.sum()) if of.any() else float("nan")


def _columns(prob: Array, label: Array, threshold: float | Array):
    """Of each AU: wrong (n,) and positive (n,) as 0 and 1, and sureness (n,), of the known labels."""
    prob, positive, coded = (part.cpu().numpy() for part in checked(prob, label))
    sure = sureness(prob, threshold=threshold)
    wrong = (prob >= np.asarray(threshold)) != positive
    for k in range(prob.shape[1]):
        known = coded[:, k]
        yield wrong[known, k].astype("float64"), positive[known, k].astype("float64"), sure[known, k]


def _running(values: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of answers, and the sum of `values` over so many of the surest; exact ends of groups of equals."""
    order = np.argsort(-sure, kind="stable")
    sums, ordered = np.cumsum(values[order]), sure[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(sure) - 1)
    return np.append(0, ends + 1), np.append(0.0, sums[ends])


def _area(wrong: np.ndarray, sure: np.ndarray) -> float:
    if not len(sure):
        return float("nan")
    answers = np.arange(1, len(sure) + 1)
    return float((np.interp(answers, *_running(wrong, sure)) / answers).mean())
