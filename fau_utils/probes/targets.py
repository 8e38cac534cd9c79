"""What a probe can be asked for, by name or as an array."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fau_utils import aus as vocabulary
from fau_utils.probes.features import Features

Task = Literal["classes", "labels", "values", "points"]
HeldOut = Literal["clip", "subject", "random_frames"]

_COMPONENTS = {"pose": ("yaw", "pitch", "roll"), "gaze": ("yaw", "pitch"), "light": ("x", "y", "z", "strength")}


@dataclass(frozen=True)
class Target:
    """One question about every face.

    Attributes
    ----------
    name : str
    task : {"classes", "labels", "values", "points"}
        One of several classes; any number of present/absent labels; numbers; landmarks.
    values : ndarray
        classes: (N,) int64, -1 unknown.  labels: (N, K) in {0, 1, nan}.  values: (N, K) float, nan unknown.
        points: (N, 49, 2) float in pixels, nan unknown.
    outputs : tuple of str
        Names of the classes, or of the K columns.
    held_out : {"clip", "subject"}
        What no two parts of a probe's data may share.
    """

    name: str
    task: Task
    values: np.ndarray
    outputs: tuple[str, ...]
    held_out: HeldOut = "subject"

    @property
    def known(self) -> np.ndarray:
        """Faces of which anything is known, (N,) bool."""
        if self.task == "classes":
            return self.values >= 0
        return ~np.isnan(self.values.reshape(len(self.values), -1)).all(1)

    @property
    def table(self) -> np.ndarray:
        """The values as (N,) class numbers or (N, K) columns."""
        return self.values if self.task == "classes" else self.values.reshape(len(self.values), -1).astype("float64")


def named(features: Features, name: str) -> Target:
    """A target that the features carry.

    Parameters
    ----------
    name : str
        ``identity`` (closed set, held-out clips); ``domain``, ``au``, ``intensity``, ``landmarks`` and everything in
        `features.truths` (held-out people). Whole numbers and words among the truths are classes, other numbers
        are values.

    Raises
    ------
    ValueError
        A name that is not there; those that are there are listed.
    """
    if name == "identity":
        values, outputs = encoded(features.subject)
        return Target(name, "classes", values, outputs, held_out="clip")
    if name in features.truths:
        return of_array(features.truths[name], name=name)
    columns = tuple(vocabulary.columns(features.aus))
    there = {
        "domain": lambda: Target(name, "classes", *encoded(features.domain)),
        "au": lambda: Target(name, "labels", features.labels, columns),
        "intensity": lambda: Target(name, "values", features.intensity, columns),
        "landmarks": lambda: Target(name, "points", features.landmarks, tuple(map(str, range(49)))),
    }
    column = {"au": "labels"}.get(name, name)
    if name not in there or getattr(features, column) is None:
        has = [n for n in there if getattr(features, {"au": "labels"}.get(n, n)) is not None]
        raise ValueError(
            f"these features know no {name!r}; they know {', '.join(['identity', *has, *features.truths])}. "
            f"Pass an array of {len(features)} rows as target, or embed(..., truths={{{name!r}: array}})"
        )
    return there[name]()


def of_array(
    values: np.ndarray, *, name: str = "target", task: Task | None = None, held_out: HeldOut = "subject"
) -> Target:
    """A target from an array with a row per face.

    Parameters
    ----------
    values : ndarray, (N,) or (N, K)
    task : optional
        By default (N,) of whole numbers, booleans or words is ``classes``, everything else ``values``. In classes,
        -1, None and nan are unknown; in labels and values nan is.
    """
    values = np.asarray(values)
    if task is None:
        task = "classes" if values.ndim == 1 and values.dtype.kind not in "fc" else "values"
    if task == "classes":
        return Target(name, task, *encoded(values), held_out=held_out)
    if values.ndim == 1:
        values = values[:, None]
    width = values.shape[1]
    names = _COMPONENTS.get(name, ())
    outputs = names if len(names) == width else (name,) if width == 1 else tuple(f"{name}{k}" for k in range(width))
    return Target(name, task, values, outputs, held_out=held_out)


def encoded(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes as numbers from 0, (N,) int64 with -1 for unknown, and their names."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"expected one class per face, (N,), found {values.shape}; pass task='labels' or 'values'")
    if values.dtype.kind in "fO":
        unknown = np.array([v is None or v != v for v in values.tolist()])
    else:
        unknown = values == -1 if values.dtype.kind == "i" else np.zeros(len(values), bool)
    names, index = np.unique(values[~unknown], return_inverse=True)
    numbers = np.full(len(values), -1, np.int64)
    numbers[~unknown] = index
    return numbers, tuple(str(n) for n in names.tolist())
