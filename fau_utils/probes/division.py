"""Which faces a probe learns from, chooses by and is tested on."""

import logging
from dataclasses import dataclass

import numpy as np

from fau_utils.probes.features import Features
from fau_utils.probes.targets import HeldOut, Target

log = logging.getLogger(__name__)

TEST, VALIDATION = 0.25, 0.25
"""Share of the units of each class held out for the test, and of the rest for choosing."""


@dataclass(frozen=True)
class Division:
    """Rows of each part, and the unit (clip, person) of every row of the features.

    Attributes
    ----------
    train, validation, test : ndarray of int64
        Positions; no unit has rows in two parts.
    unit : ndarray, (N,) int64
    held_out : str
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    unit: np.ndarray
    held_out: HeldOut


def divide(features: Features, target: Target, *, held_out: HeldOut | None = None, seed: int = 0) -> Division:
    """Units drawn at random: of each class, when a unit has only one, so that no part lacks a class.

    Parameters
    ----------
    held_out : {"clip", "subject", "random_frames"}, optional
        By default what the target asks for. ``random_frames`` is LEAKY where neighbouring frames resemble each
        other: it exists to show that, and logs a warning.

    Raises
    ------
    ValueError
        When a class has a single unit, or there are too few to train on, choose by and test on.
    """
    held_out = target.held_out if held_out is None else held_out
    unit = units(features, held_out)
    rows = np.flatnonzero(target.known)
    if not len(rows):
        raise ValueError(f"{target.name}: expected faces of which it is known, found none among {len(features)}")
    present, of_row, first = _unique(unit[rows])
    stratum = np.zeros(len(present), np.int64)
    if target.task == "classes":
        if len(np.unique(target.values[rows])) < 2:
            raise ValueError(f"{target.name}: expected at least two classes, found one; there is nothing to tell apart")
        label = target.values[rows]
        if (label == label[first][of_row]).all():  # one class in each unit
            stratum = label[first]
        elif held_out == "clip" and target.name == "identity":
            raise ValueError("identity: a clip holds several people; give each person clip numbers of their own")
    part = _parts(stratum, seed=seed, complain=lambda s: _too_few(target, held_out, s, stratum))
    if held_out == "random_frames":
        log.warning(
            "%s: random_frames puts neighbouring frames of one clip on both sides, scores will be too good; "
            "leave held_out to its default",
            target.name,
        )
    train, validation, test = (rows[part[of_row] == number] for number in range(3))
    return Division(train=train, validation=validation, test=test, unit=unit, held_out=held_out)


def units(features: Features, held_out: HeldOut) -> np.ndarray:
    """Unit of every row, (N,) int64."""
    if held_out == "clip":
        return features.clip
    if held_out == "subject":
        return np.unique(features.subject, return_inverse=True)[1].astype(np.int64)
    if held_out == "random_frames":
        return np.arange(len(features))
    raise ValueError(f"expected held_out 'clip', 'subject' or 'random_frames', found {held_out!r}")


def shuffled(target: Target, features: Features, *, seed: int) -> Target:
    """The same target given to the wrong faces, for the control.

    What is constant in a clip (or, where people are held out, in a person) moves as a whole. A split that puts
    frames of one clip on both sides therefore shows in the control, too: it rises far above chance.
    """
    rng = np.random.default_rng([seed, 77])
    values = target.values.copy()
    rows = np.flatnonzero(target.known)
    of_block = units(features, target.held_out)[rows]
    _, block, first = _unique(of_block)
    held = target.values[rows]
    if target.task == "classes" and (held == held[first][block]).all():
        values[rows] = held[first][rng.permutation(len(first))][block]
    else:
        values[rows] = held[rng.permutation(len(rows))]
    return Target(target.name, target.task, values, target.outputs, target.held_out)


def _unique(of_row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names, first, index = np.unique(of_row, return_index=True, return_inverse=True)
    return names, index, first


def _parts(stratum: np.ndarray, *, seed: int, complain) -> np.ndarray:
    """Part of each unit, 0 train, 1 validation, 2 test."""
    rng = np.random.default_rng([seed, 76])
    part = np.zeros(len(stratum), np.int64)
    for value in np.unique(stratum):
        members = rng.permutation(np.flatnonzero(stratum == value))
        if len(members) < 2:
            raise ValueError(complain(value))
        test = max(1, round(TEST * len(members)))
        rest = len(members) - test
        validation = max(1, round(VALIDATION * rest)) if rest > 1 else 0
        part[members[:test]], part[members[test : test + validation]] = 2, 1
    if not (part == 1).any():
        raise ValueError(complain(None))
    return part


def _too_few(target: Target, held_out: str, value: int | None, stratum: np.ndarray) -> str:
    kind = {"clip": "clips", "subject": "people", "random_frames": "frames"}[held_out]
    remedy = f"leave such classes out with Features.select, or collect more {kind}"
    if held_out == "clip":
        remedy = "leave such people out with Features.select, or cut long videos with Features.with_clips_cut"
    if value is None or target.task != "classes":
        return (
            f"{target.name}: expected three {kind}, to train on, to choose by and to test on, "
            f"found {np.unique(stratum, return_counts=True)[1].max()}; {remedy}"
        )
    numbers, counts = np.unique(stratum, return_counts=True)
    single = [target.outputs[n] for n in numbers[counts == 1]]
    shown = ", ".join(single[:5]) + (f" and {len(single) - 5} more" if len(single) > 5 else "")
    return f"{target.name}: expected at least two {kind} of each class, found one only of {shown}; {remedy}"
