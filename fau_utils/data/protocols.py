"""Protocols: the conventions that turn predictions into the number of a table, as data.

Two papers that print "F1 on BP4D" may differ in the people of a fold, in what an uncodable frame counts as, in
who chose the threshold and the epoch, and in what an average is over. A `Protocol` states each of these; two
numbers compare when their protocols have the same hash.

The published ones and our default are in :mod:`fau_utils.data.conventions`, the people of each fold in
:mod:`fau_utils.data.folds`.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

import numpy as np

from fau_utils import aus as vocabulary
from fau_utils.data.folds import Fold, person, refuse_leak
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

Unknown = Literal["mask", "negative", "drop_frame"]
Crop = Literal["jaa", "megraph", "fmae", "fgnet", "aunet", "none"]
Threshold = Literal["0.5", "validation", "test_for_demonstration_only"]
Selection = Literal["last", "validation", "best_on_test_for_demonstration_only"]
Average = Literal["per_fold_mean", "pooled"]
UndefinedF1 = Literal["nan", "zero", "aunet"]

_DESCRIBES = ("name", "readings", "sources", "frames")  # not part of what a protocol does


@dataclass(frozen=True)
class Protocol:
    """Everything that must be equal before two scores compare.

    Attributes
    ----------
    name, dataset : str
    aus : tuple of int
        Evaluated AUs, in order.
    folds : tuple of Fold
        Empty: as the run was split (for sets without published folds).
    unknown : {"mask", "negative", "drop_frame"}
        What a label that is *not coded* counts as: nothing; 0; or the whole frame is left out when one of `aus`
        is not coded.
    cut : float or None
        Intensity from which a movement is present; None for sets with occurrence labels.
    crop : str
        Name of the face crop.
    thresholds : tuple of {"0.5", "validation", "test_for_demonstration_only"}
        The first is the one the protocol's headline number uses; others are reported beside it.
    threshold_scope : {"per_au", "common"}
        Whether a tuned threshold is each AU's own or one for all.
    selection : {"last", "validation", "best_on_test_for_demonstration_only"}
        Which epoch is scored.
    averages : tuple of {"per_fold_mean", "pooled"}
        The first is the headline's.
    undefined_f1 : {"nan", "zero", "aunet"}
        F1 of an AU with neither positives nor detections: left out and counted; 0, as in scikit-learn; or AU-Net's
        repair, which adds 1 to every AU's count when one of them is 0.
    camera : str
        Which camera's frames; empty for any.
    frames : int or None
        Published number of frames, for :func:`fau_utils.data.check.check`.
    readings : tuple of str
        What is our reading, because the source does not say.
    sources : tuple of str

    Raises
    ------
    ValueError
        An unknown AU, no threshold or average, or a person who is tested in two folds.
    """

    name: str
    dataset: str
    aus: tuple[int, ...]
    folds: tuple[Fold, ...] = ()
    unknown: Unknown = "mask"
    cut: float | None = None
    crop: Crop = "none"
    thresholds: tuple[Threshold, ...] = ("0.5",)
    threshold_scope: Literal["per_au", "common"] = "per_au"
    selection: Selection = "last"
    averages: tuple[Average, ...] = ("per_fold_mean",)
    undefined_f1: UndefinedF1 = "nan"
    camera: str = ""
    frames: int | None = None
    readings: tuple[str, ...] = field(default=(), repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aus", vocabulary.known(self.aus))
        if not self.thresholds or not self.averages:
            raise ValueError(f"{self.name}: expected at least one threshold rule and one average, found none")
        tested: set[str] = set()
        for fold in self.folds:
            people = {person(subject) for subject in fold.test}
            if tested & people:
                raise ValueError(
                    f"{self.name}: {sorted(tested & people)} are tested in two folds; a person is tested once"
                )
            tested |= people

    @property
    def hash(self) -> str:
        """Hash of what the protocol does, 12 hexadecimal digits; its name and its notes do not count."""
        does = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _DESCRIBES}
        does["folds"] = sorted((list(f.test), list(f.train), list(f.validation)) for f in self.folds)
        return hashlib.sha256(json.dumps(does, sort_keys=True).encode()).hexdigest()[:12]

    def fold(self, digest: str) -> Fold:
        """The fold whose test people have this hash.

        Raises
        ------
        ValueError
            Lists the hashes that there are, when none fits; an index is refused with the reason.
        """
        for fold in self.folds:
            if fold.hash == digest:
                return fold
        listed = ", ".join(f"{f.hash} ({f.name})" for f in self.folds) or "none"
        raise ValueError(
            f"{self.name} on {self.dataset} has no fold {digest!r}, it has {listed}; "
            "name a fold by the hash of its test people, because fold numbers differ between code bases"
        )


class Split(NamedTuple):
    """Frames for training, for choosing (may be empty), and for the one final test."""

    train: Frames
    validation: Frames
    test: Frames


def split(frames: Frames, protocol: Protocol, *, fold: Fold | str, also_train: Frames | None = None) -> Split:
    """Divide frames as a protocol says.

    Parameters
    ----------
    frames : Frames
        Of the protocol's dataset. People who are in no list of the fold are an error; people of the list who
        are missing are logged.
    protocol : Protocol
    fold : Fold or str
        One of the protocol's folds, or its hash.
    also_train : Frames, optional
        More training frames from another dataset, checked for the people of the validation and test side.

    Returns
    -------
    Split

    Raises
    ------
    SubjectLeak
        When a human being would be on two sides, also under another dataset's name.
    ValueError
        Frames of another dataset or of the wrong camera, people in no list, or a side without frames.
    """
    fold = protocol.fold(fold) if isinstance(fold, str) else fold
    refuse_leak(train=fold.train, validation=fold.validation, test=fold.test)
    datasets = sorted(frames.table["dataset"].unique())
    if datasets != [protocol.dataset]:
        raise ValueError(
            f"protocol {protocol.name} is for {protocol.dataset}, found frames of {datasets}; "
            "pass other datasets as also_train"
        )
    frames = _scored_rows(frames, protocol)
    sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    listed = {subject for side in sides.values() for subject in side}
    strangers = sorted(set(frames.subjects) - listed)
    if strangers:
        raise ValueError(
            f"{len(strangers)} people are in no list of this fold, e.g. {strangers[:5]}; drop their frames or use a "
            "protocol that names them"
        )
    missing = sorted(listed - set(frames.subjects))
    if missing:
        log.warning("%s: %d of %d people have no frames: %s", protocol.name, len(missing), len(listed), missing[:10])
    parts = {name: frames.select(frames.table["subject"].isin(people).to_numpy(bool)) for name, people in sides.items()}
    for name, people in sides.items():
        if people and not len(parts[name]):
            raise ValueError(f"nobody of the {name} side of fold {fold.hash} has frames; read all subjects first")
    if also_train is not None:
        refuse_leak(extra_training=also_train, validation=fold.validation, test=fold.test)
        parts["train"] = Frames.concat([parts["train"], also_train])
    return Split(**parts)


def labels(frames: Frames, protocol: Protocol) -> np.ndarray:
    """Labels of the protocol's AUs, (N, A) float32: its cut and its reading of *not coded* applied.

    The only place where *not coded* may become 0, and only for a protocol that says so.
    """
    values = frames.labels(protocol.aus, cut=protocol.cut if frames.scale == "intensity" else None)
    return np.nan_to_num(values, nan=0.0) if protocol.unknown == "negative" else values


def _scored_rows(frames: Frames, protocol: Protocol) -> Frames:
    """The rows of the protocol's camera, without frames that it drops."""
    cameras = sorted(set(frames.table["camera"]) - {""})
    if protocol.camera and cameras:
        if protocol.camera not in cameras:
            raise ValueError(
                f"{protocol.name} uses the {protocol.camera} camera, found only {cameras}; read that camera"
            )
        frames = frames.select((frames.table["camera"] == protocol.camera).to_numpy(bool))
    if protocol.unknown == "drop_frame":
        coded = ~np.isnan(labels(frames, protocol)).any(axis=1)
        log.info("%s: dropped %d of %d frames that are not coded", protocol.name, (~coded).sum(), len(coded))
        frames = frames.select(coded)
    return frames
