"""Claims as contrasts declared in advance, with a verdict that is computed and never typed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Verdict = Literal["supported", "not supported", "cannot tell"]


@dataclass(frozen=True)
class Contrast:
    """One claim of the form *the effect is greater than* ``least``.

    Attributes
    ----------
    claim : str
        What the effect being greater would mean, in words.
    effect, low, high : float
        Estimate and the ends of its interval, all in ``unit``.
    over : str
        What the interval is over, e.g. ``60 subjects, 1 seed``.
    least : float
        Smallest effect that counts, chosen before the run.
    unit : str
        Unit of the effect, e.g. ``AUC points``.

    Raises
    ------
    ValueError
        When the interval runs backwards.
    """

    claim: str
    effect: float
    low: float
    high: float
    over: str
    least: float = 0.0
    unit: str = "points"

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"{self.claim}: the interval runs from {self.low} down to {self.high}")

    @property
    def verdict(self) -> Verdict:
        """Supported when the whole interval lies above ``least``, not supported when none of it does."""
        if self.low > self.least:
            return "supported"
        if self.high <= self.least:
            return "not supported"
        return "cannot tell"  # also when an end is nan: both comparisons are false


def evidence(contrasts: Iterable[Contrast], *, digits: int = 1) -> pd.DataFrame:
    """The chapter's contrasts as a table: claim, effect, interval, what it is over, verdict."""
    rows = [
        {
            "claim": c.claim,
            "effect": "–" if math.isnan(c.effect) else f"{c.effect:+.{digits}f} {c.unit}",
            "95 % interval": "–" if math.isnan(c.low + c.high) else f"{c.low:+.{digits}f} … {c.high:+.{digits}f}",
            "needed": f"> {c.least:g}",
            "over": c.over,
            "verdict": c.verdict,
        }
        for c in contrasts
    ]
    return pd.DataFrame(rows, columns=["claim", "effect", "95 % interval", "needed", "over", "verdict"])
