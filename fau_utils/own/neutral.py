"""A person's own baseline: what a detector says of somebody whose face is at rest, taken off what it says of them.

Faces at rest differ: low brows look like AU 4 to a detector, and somebody with low brows shows it in every frame. If a
person's faces are many, those at rest are among them, so a low quantile of the logits over time is an estimate of the
neutral face (our reading of the median of Baltrusaitis, Mahmoud & Robinson 2015, "Cross-dataset learning and
person-specific normalisation for automatic Action Unit detection"). It is wrong for an AU that a person shows in most
frames, and for people of whom there are few.
"""

from collections.abc import Mapping

import numpy as np

from fau_utils.training import Predictions

QUANTILE = 0.25
"""Of a person's frames; an AU may be present in three of four before the estimate takes it for rest."""
FEWEST = 25
"""Frames of a person below which nothing is subtracted."""
_EDGES = np.linspace(-12, 12, 481)


def logit(prob: np.ndarray) -> np.ndarray:
    """Log odds, cut off at one in 160,000, which is where :class:`Baseline` counts end."""
    edge = 1 / (1 + np.exp(-_EDGES[-1]))
    clipped = np.clip(prob, 1 - edge, edge).astype("float64")
    return np.log(clipped) - np.log1p(-clipped)


class Baseline:
    """Low quantiles of logits, from counts: constant memory for any length of video.

    Parameters
    ----------
    outputs : int
        AUs.
    """

    def __init__(self, outputs: int):
        self.counts = np.zeros((outputs, len(_EDGES) - 1), "int64")

    def see(self, prob: np.ndarray) -> None:
        """Count frames, (N, A); rows that are ``nan`` do not count."""
        place = np.clip(
            np.searchsorted(_EDGES, logit(prob[~np.isnan(prob).any(1)]), side="right") - 1, 0, len(_EDGES) - 2
        )
        for column, places in enumerate(place.T):
            self.counts[column] += np.bincount(places, minlength=len(_EDGES) - 1)

    @property
    def frames(self) -> int:
        return int(self.counts[0].sum())

    def rest(self, quantile: float = QUANTILE) -> np.ndarray | None:
        """The estimated logit of a face at rest, (A,), to 0.05; None when there are too few frames."""
        if self.frames < FEWEST:
            return None
        place = (np.cumsum(self.counts, 1) >= quantile * self.frames).argmax(1)
        return (_EDGES[place] + _EDGES[place + 1]) / 2


def rest_of(prob: np.ndarray, *, quantile: float = QUANTILE) -> np.ndarray | None:
    """As :meth:`Baseline.rest`, of frames that are all there, (N, A)."""
    counted = Baseline(prob.shape[1])
    counted.see(prob)
    return counted.rest(quantile)


def subtract(prob: np.ndarray, rest: np.ndarray | None, usual: np.ndarray) -> np.ndarray:
    """Probabilities with a person's own baseline in place of the usual one, (N, A).

    Parameters
    ----------
    prob : ndarray, (N, A)
    rest : ndarray, (A,), optional
        This person's; None leaves everything as it is.
    usual : ndarray, (A,)
        The mean of the validation people's baselines, so that thresholds keep their meaning.
    """
    if rest is None:
        return prob
    return 1 / (1 + np.exp(-(logit(prob) - rest + usual)))


def usual(found: Predictions) -> Mapping[str, list[float] | int]:
    """Mean baseline over people, for a card: ``rest`` (A,) and how many ``people`` it is from."""
    each = [rest_of(found.prob[found.subject == who]) for who in np.unique(found.subject)]
    known = [rest for rest in each if rest is not None]
    if not known:
        each = [
            np.quantile(logit(found.prob[found.subject == who]), QUANTILE, axis=0) for who in np.unique(found.subject)
        ]
        known = each
    return {"rest": np.mean(known, 0).round(3).tolist(), "people": len(known)}
