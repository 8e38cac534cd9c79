"""Dividing one set of frames in two: by person, or (to show what goes wrong) by frame."""

import difflib
import logging

import numpy as np

log = logging.getLogger(__name__)

RULES: tuple[str, ...] = ("subject", "random_frames")


def holdout(subject: np.ndarray, *, share: float = 0.2, by: str = "subject", seed: int = 0) -> np.ndarray:
    """Which frames are held out.

    Parameters
    ----------
    subject : array-like, (N,)
        Who is in each frame: indices or names.
    share : float
        Share of the people (or of the frames) to hold out, in (0, 1); at least one on each side.
    by : {"subject", "random_frames"}
        ``"subject"`` holds out whole people. ``"random_frames"`` is LEAKY: every person is on both sides, and a model
        that has learned who shows what scores far above what it would on anybody else. It exists to demonstrate that,
        has to be asked for by name, and logs a warning.
    seed : int

    Returns
    -------
    ndarray, (N,) bool
        True where a frame is held out.

    Raises
    ------
    ValueError
        For an unknown rule, a share outside (0, 1), or too few people or frames to divide.
    """
    if by not in RULES:
        close = difflib.get_close_matches(str(by), RULES, n=1, cutoff=0.3)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown rule {by!r}; {hint}valid: {', '.join(RULES)}")
    if not 0 < share < 1:
        raise ValueError(f"expected a share in (0, 1), found {share}")
    subject = np.asarray(subject)
    units, position = np.unique(subject, return_inverse=True)
    if by == "random_frames":
        log.warning("random_frames: the same people are on both sides, scores will be too good; use by='subject'")
        units, position = np.arange(len(subject)), np.arange(len(subject))
    if len(units) < 2:
        raise ValueError(f"expected at least two {'people' if by == 'subject' else 'frames'}, found {len(units)}")
    count = min(max(1, round(share * len(units))), len(units) - 1)
    chosen = np.zeros(len(units), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(units))[:count]] = True
    return chosen[position]
