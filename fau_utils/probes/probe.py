"""Asking frozen features what they know."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch

from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Learner
from fau_utils.probes.division import Division, divide, shuffled
from fau_utils.probes.features import Features, embed
from fau_utils.probes.linear import PENALTIES, Fit, logistic, near, ridge
from fau_utils.probes.mlp import mlp
from fau_utils.probes.result import ProbeResult, scored
from fau_utils.probes.scores import constant, measure
from fau_utils.probes.targets import HeldOut, Target, Task, named, of_array
from fau_utils.progress import progress

log = logging.getLogger(__name__)

Kind = Literal["linear", "mlp"]


@dataclass(frozen=True)
class Effort:
    """How hard a probe tries; the defaults suffice to converge on 10^4 faces and 10^3 numbers each.

    Attributes
    ----------
    penalties : tuple of float
        For linear probes, chosen among on validation units.
    iterations : int
        Most L-BFGS iterations for one penalty.
    tolerance : float
        How near the loss must be to the least there is, in nats, to count as converged.
    hidden, batch_size, lr, weight_decay
        Of the network.
    epochs : int
        Most epochs of the network; reaching them counts as not converged.
    patience : int
        Epochs without a better validation loss that end its training.
    """

    penalties: tuple[float, ...] = PENALTIES
    iterations: int = 500
    tolerance: float = 1e-5
    hidden: int = 256
    batch_size: int = 256
    lr: float = 2e-3
    weight_decay: float = 1e-2
    epochs: int = 400
    patience: int = 15


def probe(
    features: Features,
    *,
    target: str | np.ndarray | Target = "identity",
    kind: Kind = "linear",
    seed: int = 0,
    task: Task | None = None,
    held_out: HeldOut | None = None,
    effort: Effort | None = None,
    resamples: int = 1000,
    device: torch.device | str = "cpu",
) -> ProbeResult:
    """Train a fresh probe on some units, choose its penalty (or when to stop) on others, test it on the rest.

    Then everything once more with the labels given to the wrong faces. Standardisation is fitted to the training
    part only. Faces of which the target is unknown take part in nothing.

    Parameters
    ----------
    features : Features
    target : str, array of N rows, or Target
        See :func:`fau_utils.probes.targets.named`. An array of whole numbers or words is a target of classes.
    kind : {"linear", "mlp"}
    seed : int
        Decides the division, the shuffling of the control and the network.
    task : optional
        What an array holds, see :func:`fau_utils.probes.targets.of_array`.
    held_out : {"clip", "subject", "random_frames"}, optional
        By default clips for ``identity`` and people for everything else. ``random_frames`` is LEAKY.
    effort : Effort, optional
    resamples : int
        Of the intervals.
    device : torch.device or str
        Of the network; linear probes are solved in float64 on the CPU.

    Raises
    ------
    ValueError
        An unknown target or kind, too few clips or people to hold some out.
    """
    if kind not in ("linear", "mlp"):
        raise ValueError(f"expected kind 'linear' or 'mlp', found {kind!r}")
    effort = effort or Effort()
    if isinstance(target, str):
        target = named(features, target)
    elif not isinstance(target, Target):
        target = of_array(target, task=task)
    if len(target.values) != len(features):
        raise ValueError(f"expected a target with {len(features)} rows, one per face, found {len(target.values)}")
    parts = divide(features, target, held_out=held_out, seed=seed)
    target = _learnable(target, parts)
    x = _standardised(features.z, parts)
    wrong = shuffled(target, features, seed=seed)
    options = {"kind": kind, "effort": effort, "seed": seed, "device": device}
    fit, control = (_fit(x, asked.table, parts, target, **options) for asked in (target, wrong))
    _warn(target.name, kind, fit, effort)

    rows, unit = parts.test, parts.unit[parts.test]
    draw = {"target": target, "resamples": resamples, "seed": seed}
    actual = target.table[rows]
    found = measure(fit.predict(x[rows]), actual, unit, **draw)
    of_wrong = measure(control.predict(x[rows]), wrong.table[rows], unit, **draw)
    blind = measure(constant(target.table[parts.train], target, rows=len(rows)), actual, unit, **draw)
    outputs = target.outputs
    return ProbeResult(
        target=target.name,
        kind=kind,
        scores={name: scored(name, found[name], blind[name], of_wrong[name], outputs) for name in found},
        unit=parts.held_out,
        units=tuple(np.unique(unit).tolist()),
        train=len(parts.train),
        validation=len(parts.validation),
        test=len(rows),
        outputs=len(outputs),
        converged=fit.converged,
        gradient=fit.gradient,
        steps=fit.steps,
        penalty=fit.penalty,
        seed=seed,
    )


def probe_all(
    learner: Learner,
    data: ImageSet,
    *,
    targets: Sequence[str] = ("identity", "au"),
    kinds: Sequence[Kind] = ("linear", "mlp"),
    seeds: Sequence[int] = (0,),
    truths: Mapping[str, np.ndarray] | None = None,
    effort: Effort | None = None,
    batch_size: int = 512,
    device: torch.device | str = "auto",
) -> pd.DataFrame:
    """Embed a set and ask for several things, one row per target, kind and seed; see :meth:`ProbeResult.row`.

    Parameters
    ----------
    learner : Learner
    data : ImageSet
        Faces the learner was not trained on: for identity, other clips of people who may be known to it.
    targets : sequence of str
    truths : dict, optional
        As in :func:`embed`; each can be a target.

    Raises
    ------
    ValueError
        Before anything is trained, when the set does not know a target or has too few clips or people.
    """
    features = embed(learner, data, batch_size=batch_size, device=device, truths=truths)
    for name in targets:
        divide(features, named(features, name))
    asked = [(name, kind, seed) for name in targets for kind in kinds for seed in seeds]
    rows = []
    with progress(asked, what="probes", unit="probe") as bar:
        for name, kind, seed in bar:
            bar.set_postfix_str(f"{name}, {kind}", refresh=False)
            rows.append(probe(features, target=name, kind=kind, seed=seed, effort=effort).row())
    return pd.DataFrame(rows)


def _learnable(target: Target, parts: Division) -> Target:
    """The target without outputs that nothing can be learnt of, because training has one kind of label or none."""
    if target.task not in ("labels", "values"):
        return target
    train, validation = (target.values[rows] for rows in (parts.train, parts.validation))
    fine = ~np.isnan(train).all(0) & ~np.isnan(validation).all(0)
    if target.task == "labels":
        fine &= (train == 0).any(0) & (train == 1).any(0)
    if not fine.any():
        raise ValueError(
            f"{target.name}: none of {', '.join(target.outputs)} is known and varies in the training and validation "
            "part; collect more people, or take another seed"
        )
    return replace(target, values=np.where(fine, target.values, np.nan))


def _standardised(z: np.ndarray, parts: Division) -> np.ndarray:
    """Mean 0 and deviation 1 in the training part, (N, D) float64; a feature that is constant there says nothing."""
    train = z[parts.train].astype("float64")
    mean, deviation = train.mean(0), train.std(0)
    varies = deviation > 1e-6 * (np.abs(mean) + np.finfo("float32").tiny)
    return np.where(varies, (z - mean) / np.where(varies, deviation, 1.0), 0.0)


def _fit(
    x: np.ndarray, table: np.ndarray, parts: Division, target: Target, *, kind: Kind, effort: Effort, seed: int, device
) -> Fit:
    known = Target(target.name, target.task, table, target.outputs).known
    train, validation = ((x[r], table[r]) for r in (part[known[part]] for part in (parts.train, parts.validation)))
    classes = len(target.outputs) if target.task == "classes" else None
    regression = target.task in ("values", "points")
    if kind == "mlp":
        of_network = ("hidden", "batch_size", "lr", "weight_decay", "epochs", "patience")
        options = {name: getattr(effort, name) for name in of_network}
        return mlp(
            train,
            validation,
            classes=classes,
            regression=regression,
            together=target.task == "points",
            seed=seed,
            device=device,
            **options,
        )
    if regression:
        return ridge(train, validation, penalties=effort.penalties)
    return logistic(
        train,
        validation,
        classes=classes,
        penalties=effort.penalties,
        iterations=effort.iterations,
        tolerance=effort.tolerance,
    )


def _warn(name: str, kind: Kind, fit: Fit, effort: Effort) -> None:
    if fit.converged:
        return
    if kind == "mlp":
        log.warning(
            "%s: the network still got better after %d epochs, so the features may hold more than it found; "
            "raise Effort(epochs=...)",
            name,
            fit.steps,
        )
    else:
        log.warning(
            "%s: the linear probe has not converged after %d iterations (gradient %.1e, expected at most %.1e), so the "
            "features may hold more than it found; raise Effort(iterations=...)",
            name,
            fit.steps,
            fit.gradient,
            near(fit.penalty, effort.tolerance),
        )
