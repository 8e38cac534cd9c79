"""Event-based F1: movements found, not frames.

An event is a run of consecutive frames of one clip in which the movement is present. A true event is *found* when
at least a share of its frames is detected, a detected event is *right* when at least that share of its frames is
true; F1 is the harmonic mean of the two rates. After Ding, Chu, De la Torre, Cohn & Wang (ICCV 2013); counting
coverage from both sides, so that nothing has to be matched one to one, is our reading.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fau_utils.metrics.inputs import Array, checked


class Events(NamedTuple):
    """Events of each AU, each (A,) float64."""

    true: np.ndarray
    found: np.ndarray
    detected: np.ndarray
    right: np.ndarray


def events(
    prob: Array,
    label: Array,
    *,
    clip: Sequence | Array,
    frame: Sequence | Array,
    threshold: float | Array = 0.5,
    overlap: float = 0.5,
) -> Events:
    """Count events.

    Parameters
    ----------
    prob : (N, A)
        Scores; present is predicted at ``prob >= threshold``.
    label : (N, A) in {0, 1, nan}
        A frame that is not coded belongs to no event and ends one.
    clip : (N,) int
        Which clip each row is from, one number per person and clip (``Frames.clip_index``).
    frame : (N,) int
        Frame numbers; a gap in them ends an event. Rows may be in any order.
    threshold : float or (A,)
    overlap : float in (0, 1]
        Share of an event's frames that must agree.

    Raises
    ------
    ValueError
        When `clip` or `frame` has another length, a frame comes twice, or `overlap` is not in (0, 1].
    """
    prob, positive, coded = (values.cpu().numpy() for values in checked(prob, label))
    clip, frame = np.asarray(clip), np.asarray(frame)
    if clip.shape != (len(prob),) or frame.shape != (len(prob),):
        raise ValueError(f"expected one clip and frame per prediction, found {clip.shape}, {frame.shape}, {len(prob)}")
    if not 0 < overlap <= 1:
        raise ValueError(f"expected an overlap in (0, 1], found {overlap}")
    order = np.lexsort((frame, clip))
    clip, frame = clip[order], frame[order]
    same = np.diff(clip) == 0
    if (same & (np.diff(frame) == 0)).any():
        raise ValueError("a frame of a clip comes twice; give every person's clip its own number")
    joined = np.concatenate([[False], same & (np.diff(frame) == 1)])  # follows the row before it
    said = (prob >= np.asarray(threshold, "float64"))[order] & coded[order]
    truth = positive[order]
    pairs = [
        (_agreeing(truth[:, au], said[:, au], joined, overlap), _agreeing(said[:, au], truth[:, au], joined, overlap))
        for au in range(truth.shape[1])
    ]
    table = np.array([(*ours, *theirs) for ours, theirs in pairs], "float64").reshape(-1, 4)
    return Events(*table.T)


def _agreeing(runs: np.ndarray, other: np.ndarray, joined: np.ndarray, overlap: float) -> tuple[int, int]:
    """How many runs of True there are, and how many are covered by `other` to the share `overlap`."""
    continues = joined & np.concatenate([[False], runs[:-1]])
    number = np.cumsum(runs & ~continues)[runs] - 1
    if not len(number):
        return 0, 0
    length = np.bincount(number)
    covered = np.bincount(number, weights=other[runs])
    return len(length), int((covered >= overlap * length).sum())


def event_f1_per_au(
    prob: Array,
    label: Array,
    *,
    clip: Sequence | Array,
    frame: Sequence | Array,
    threshold: float | Array = 0.5,
    overlap: float = 0.5,
) -> np.ndarray:
    """Event-based F1 of each AU, (A,) float64; ``nan`` without true and detected events. See :func:`events`."""
    counted = events(prob, label, clip=clip, frame=frame, threshold=threshold, overlap=overlap)
    recall = counted.found / np.maximum(counted.true, 1)
    precision = counted.right / np.maximum(counted.detected, 1)
    f1 = 2 * recall * precision / np.maximum(recall + precision, np.finfo("float64").tiny)
    return np.where(counted.true + counted.detected > 0, f1, np.nan)
