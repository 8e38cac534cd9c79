"""Comparing several methods at once: corrected p-values, ranks, and what a design can see.

Demsar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7, whose blocks are data sets; any
blocks that are independent of each other serve, people among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted p-values that keep the chance of *any* false claim at the level (Holm, 1979).

    The smallest of m is multiplied by m, the next one by m - 1, and so on; none may be smaller than the one before.

    Parameters
    ----------
    p : (M,)
        ``nan`` is a comparison that was not made: it stays, and does not count.

    Returns
    -------
    ndarray, (M,)

    Raises
    ------
    ValueError
        A value outside of [0, 1].
    """
    p = np.asarray(p, float)
    made = ~np.isnan(p)
    if ((p[made] < 0) | (p[made] > 1)).any():
        raise ValueError(f"expected p-values in [0, 1], found {p[made].min():g} to {p[made].max():g}")
    order = np.argsort(p[made], kind="stable")
    stepped = np.maximum.accumulate(p[made][order] * (made.sum() - np.arange(made.sum())))
    adjusted = np.empty_like(stepped)
    adjusted[order] = np.minimum(1, stepped)
    found = np.full_like(p, np.nan)
    found[made] = adjusted
    return found


@dataclass(frozen=True)
class Ranks:
    """Methods by their mean rank over blocks; 1 is best.

    Attributes
    ----------
    names : tuple of str
        Best first.
    mean : (K,) float64
        Mean ranks, in the order of `names`.
    blocks : int
    p : float
        Friedman's test that all are the same.
    critical : float
        Nemenyi's difference: mean ranks that are less far apart are not told apart at 5 %.
    """

    names: tuple[str, ...]
    mean: np.ndarray = field(repr=False)
    blocks: int
    p: float
    critical: float

    @property
    def cliques(self) -> list[tuple[int, int]]:
        """First and last place of each longest run of methods that are not told apart, of two or more."""
        found: list[tuple[int, int]] = []
        for first in range(len(self.mean)):
            last = int(np.flatnonzero(self.mean - self.mean[first] < self.critical)[-1])
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def ranks(scores: dict[str, Sequence[float]], *, alpha: float = 0.05) -> Ranks:
    """Rank methods in each block, ties shared, and say which mean ranks differ.

    Parameters
    ----------
    scores : dict
        A score per block of each method, higher is better; blocks in the same order. A block in which one has none
        (``nan``) is left out for all.
    alpha : float

    Raises
    ------
    ValueError
        Fewer than two methods or blocks, or other numbers of blocks.
    """
    sizes = {len(values) for values in scores.values()}
    if len(scores) < 2 or len(sizes) != 1:
        raise ValueError(f"expected two methods or more with equally many blocks, found {len(scores)} with {sizes}")
    table = np.array([np.asarray(values, float) for values in scores.values()])  # (K, N)
    table = table[:, ~np.isnan(table).any(0)]
    count, blocks = table.shape
    if blocks < 2:
        raise ValueError(f"expected at least two blocks in which all methods have a score, found {blocks}")
    ranked = stats.rankdata(-table, axis=0)
    mean = ranked.mean(1)
    # with ties, as scipy.stats.friedmanchisquare, which wants three methods or more
    spread = ((ranked - (count + 1) / 2) ** 2).sum() / (blocks * (count - 1))
    chi = blocks * ((mean - (count + 1) / 2) ** 2).sum() / spread if spread else 0.0
    order = np.argsort(mean, kind="stable")
    names = list(scores)
    return Ranks(
        names=tuple(names[i] for i in order),
        mean=mean[order],
        blocks=blocks,
        p=float(stats.chi2.sf(chi, count - 1)),
        critical=nemenyi(count, blocks, alpha=alpha),
    )


def nemenyi(methods: int, blocks: int, *, alpha: float = 0.05) -> float:
    """How far mean ranks must be apart: Demsar's CD = q sqrt(k (k + 1) / 6N)."""
    quantile = stats.studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))


@dataclass(frozen=True)
class Difference:
    """A paired difference with its error.

    Attributes
    ----------
    effect, low, high : float
        Mean and 95 % interval.
    p : float
        Two-sided, of no difference; ``nan`` where nothing tells how far it may be off.
    error, freedom : float
        Standard error and its degrees of freedom.
    """

    effect: float
    low: float
    high: float
    p: float
    error: float
    freedom: float

    def detectable(self, *, power: float = 0.8, alpha: float = 0.05) -> float:
        """Smallest true difference that such an experiment finds with this probability."""
        return detectable(self.error, self.freedom, power=power, alpha=alpha)


def paired(values: Sequence[float], draws: Sequence[Sequence[float]] | None = None) -> Difference:
    """A difference over seeds and people, which are crossed; as :func:`fau_utils.results.study.estimate`, with its p.

    Parameters
    ----------
    values : (S,)
        Ours less theirs, one per seed.
    draws : (S, R), optional
        The same in resamples of the people, the same people for every seed.

    Returns
    -------
    Difference
        Variances over seeds and over people add up; degrees of freedom are Satterthwaite's.
    """
    values = np.asarray(values, float)
    parts, freedoms = [], []
    if len(values) > 1:
        parts.append(values.var(ddof=1) / len(values))
        freedoms.append(len(values) - 1)
    if draws is not None:
        parts.append(np.asarray([np.asarray(row, float) for row in draws]).mean(0).var(ddof=1))
        freedoms.append(np.inf)
    effect, nan = float(values.mean()), float("nan")
    if not parts:
        return Difference(effect, nan, nan, nan, nan, nan)
    variance = float(sum(parts))
    below = sum(part**2 / df for part, df in zip(parts, freedoms, strict=True))
    freedom = variance**2 / below if below else np.inf
    error = variance**0.5
    if error == 0:
        return Difference(effect, effect, effect, float(effect == 0), 0.0, freedom)
    half = float(stats.t.ppf(0.975, freedom) * error)
    return Difference(
        effect, effect - half, effect + half, float(2 * stats.t.sf(abs(effect) / error, freedom)), error, freedom
    )


def detectable(error: float, freedom: float = np.inf, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference that a two-sided test at `alpha` finds with probability `power`.

    The usual approximation, (t(1 - alpha/2) + t(power)) standard errors: 2.8 of them where the error is well known.
    """
    return float(error * (stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom)))
