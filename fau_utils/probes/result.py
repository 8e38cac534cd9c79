"""What a probe found, with everything needed to believe it or not."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fau_utils.metrics.bootstrap import Interval
from fau_utils.metrics.contrast import Contrast
from fau_utils.probes.scores import LOWER_IS_BETTER, Measured

_WORDS = {"clip": "held-out clips", "subject": "held-out people", "random_frames": "frames of a LEAKY random split"}


@dataclass(frozen=True)
class Score:
    """One score of a probe beside what it would be without information.

    Attributes
    ----------
    name : str
        ``balanced accuracy``, ``accuracy``, ``auc``, ``f1``, ``r2``, ``mae`` or ``nme`` (lower is better in the last
        two).
    value : Interval
        On held-out units, 95 % over units.
    chance : float
        Of the best constant answer: the most frequent training class, *always present*, the training mean.
    control : Interval
        Of the identical procedure with labels given to the wrong faces.
    each : dict
        The value of each output (AU, class, angle); ``nan`` where undefined.
    """

    name: str
    value: Interval
    chance: float
    control: Interval
    each: dict[str, float] = field(repr=False)
    draws: np.ndarray = field(repr=False, compare=False)
    control_draws: np.ndarray = field(repr=False, compare=False)

    @property
    def sign(self) -> int:
        """1 when higher is better, else -1."""
        return -1 if self.name in LOWER_IS_BETTER else 1


@dataclass(frozen=True)
class ProbeResult:
    """A fresh probe's verdict on frozen features.

    This, and never the loss or accuracy of an adversary that was trained along, is evidence that something was
    removed: an encoder escapes an adversary that chases it, while a probe trained afterwards still reads what it
    looked for. And one that only the linear probe cannot read is hidden, not removed: compare ``kind="mlp"``.

    Attributes
    ----------
    target, kind : str
    scores : dict
        :class:`Score` by name, the main one first.
    unit : {"clip", "subject", "random_frames"}
        What no two parts of the data share, and what intervals are over.
    units : tuple of int
        Numbers of the test units.
    train, validation, test : int
        Faces in each part.
    outputs : int
        Classes, or columns.
    converged : bool
        Whether the probe was trained to the end; if not, it understates what the features hold.
    gradient : float
        Norm of the gradient at the end of a linear probe; ``nan`` for a network.
    steps : int
        L-BFGS iterations or epochs.
    penalty : float
        Chosen on validation units.
    seed : int
        Of division, shuffling and initial weights.
    """

    target: str
    kind: str
    scores: dict[str, Score]
    unit: str
    units: tuple[int, ...] = field(repr=False)
    train: int
    validation: int
    test: int
    outputs: int
    converged: bool
    gradient: float
    steps: int
    penalty: float
    seed: int

    @property
    def main(self) -> Score:
        """The score that the task is known by."""
        return next(iter(self.scores.values()))

    @property
    def value(self) -> float:
        """The main score."""
        return self.main.value.value

    @property
    def chance(self) -> float:
        """Main score of the best constant answer."""
        return self.main.chance

    @property
    def control(self) -> float:
        """Main score of the same procedure on shuffled labels."""
        return self.main.control.value

    @property
    def over(self) -> str:
        """What the interval is over, in words."""
        return f"{len(self.units)} {_WORDS[self.unit]}"

    def above_chance(self, name: str | None = None, *, least: float = 0.0) -> Contrast:
        """Whether the features tell more than chance *and* more than the shuffled control.

        Parameters
        ----------
        name : str, optional
            Of a score; by default the main one.
        least : float
            Smallest advantage that counts, in hundredths. *Not supported* needs an interval that ends below it, so
            absence can only be claimed up to a margin that was chosen before.

        Returns
        -------
        Contrast
            Its effect is the smaller of the two advantages; its interval covers both.
        """
        score = self.main if name is None else self.scores[name]
        over_chance = 100 * score.sign * (score.draws - score.chance)
        over_control = 100 * score.sign * (score.draws - score.control_draws)
        effect = (
            100 * score.sign * np.array([score.value.value - score.chance, score.value.value - score.control.value])
        )
        worse = int(np.argmin(effect))
        ends = [_ends(draws) for draws in (over_chance, over_control)]
        return Contrast(
            claim=f"{self.target} can be read from the features ({self.kind}, {score.name})",
            effect=float(effect[worse]),
            low=min(low for low, _ in ends),
            high=max(ends[worse][1], float(effect[worse])),
            over=f"{self.over}, 1 seed",
            least=least,
        )

    def row(self) -> dict[str, Any]:
        """The result as a row of a table: the main score, then the others."""
        main = self.main
        return {
            "target": self.target,
            "kind": self.kind,
            "score": main.name,
            "value": main.value.value,
            "low": main.value.low,
            "high": main.value.high,
            "chance": main.chance,
            "control": main.control.value,
            "control_low": main.control.low,
            "control_high": main.control.high,
            "above_chance": self.above_chance().verdict,
            "over": self.over,
            "outputs": self.outputs,
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "converged": self.converged,
            "gradient": self.gradient,
            "steps": self.steps,
            "penalty": self.penalty,
            "seed": self.seed,
            **{name: score.value.value for name, score in self.scores.items() if score is not main},
        }


def difference(one: ProbeResult, other: ProbeResult, name: str | None = None) -> Interval:
    """Score of one probe minus that of another on the same held-out units, each resample drawing the same units.

    For two methods' features of the same faces, or two kinds of probe on the same features.

    Raises
    ------
    ValueError
        When targets, units or seeds differ, so that nothing is paired.
    """
    if (one.target, one.unit, one.units, one.seed) != (other.target, other.unit, other.units, other.seed):
        raise ValueError(
            f"expected probes of one target on the same held-out units, found {one.target} over {one.over} (seed "
            f"{one.seed}) and {other.target} over {other.over} (seed {other.seed}); probe the same faces with one seed"
        )
    name = one.main.name if name is None else name
    a, b = one.scores[name], other.scores[name]
    low, high = _ends(a.draws - b.draws)
    return Interval(a.value.value - b.value.value, low, high, resamples=len(a.draws))


def scored(name: str, found: Measured, chance: Measured, control: Measured, outputs: tuple[str, ...]) -> Score:
    """A score put together; the chance of R² is 0 by definition: the mean of the test faces themselves."""
    names = outputs if len(outputs) == len(found.each) else (name,) * len(found.each)
    return Score(
        name=name,
        value=_interval(found),
        chance=max(0.0, chance.value) if name == "r2" else chance.value,
        control=_interval(control),
        each=dict(zip(names, found.each.tolist(), strict=True)),
        draws=found.draws,
        control_draws=control.draws,
    )


def _interval(measured: Measured) -> Interval:
    low, high = _ends(measured.draws)
    known = int((~np.isnan(measured.draws)).sum())
    return Interval(measured.value, low, high, int(np.isnan(measured.each).sum()), known)


def _ends(draws: np.ndarray) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
