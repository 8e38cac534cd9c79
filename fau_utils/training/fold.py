"""One fold, honestly: validation people choose, and the test faces are looked at once.

Most published scores choose the epoch, or the threshold, on the very people they are reported for. Here that takes
more than a slip: the test faces of a :class:`SealedFold` cannot be reached but through :func:`run_fold`, which opens
them after everything is chosen, writes down that it did *before* the first prediction, and refuses a second look.
"""

import datetime
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from fau_utils.data.folds import Fold, fold_hash, person, refuse_leak
from fau_utils.data.holdout import holdout
from fau_utils.data.images import ImageSet
from fau_utils.data.protocols import Protocol, labels, split
from fau_utils.frames import KEY, Frames
from fau_utils.methods.contract import Method
from fau_utils.metrics.thresholds import tuned
from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.evaluate import Predictions, predict
from fau_utils.training.fit import Fitted, fit

RECORD = "opened.json"
"""Written into the folder of a run before its test faces are predicted."""

LOOKS = 10
"""Times that the validation people are looked at, for a budget that does not say how often."""


class SealError(RuntimeError):
    """The test faces were looked at before."""


class SealedTest:
    """Test faces that nobody can read before they are opened, once for each run.

    Parameters
    ----------
    data : ImageSet
    """

    def __init__(self, data: ImageSet):
        self._data = data
        self._seen_by: set[str] = set()
        self.aus = data.aus
        self.subjects = data.frames.subjects

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"SealedTest({len(self)} faces of {len(self.subjects)} people)"

    @property
    def digest(self) -> str:
        """Hash of which faces these are and of their labels; it shows nothing of them."""
        return _digest_of(self._data)

    def open(self, run: str) -> ImageSet:
        """The faces, for the run of that name.

        Raises
        ------
        SealError
            When this run has seen them.
        """
        if run in self._seen_by:
            raise SealError(
                f"run {run} has predicted these {len(self)} test faces before; a second look would be a choice made on "
                "them. Use the predictions it returned; compare settings on the validation people"
            )
        self._seen_by.add(run)
        return self._data


@dataclass(frozen=True)
class SealedFold:
    """People to train on, people to choose by, and people for the one final test.

    Attributes
    ----------
    train, val : ImageSet
        Subject indices refer to the training people; others are -1.
    test : SealedTest
        An image set given here is sealed.
    name : str
        For people to read.
    protocol : str
        Hash of the protocol that divided them, if any.

    Raises
    ------
    SubjectLeak
        When a human being is on two sides, also under another dataset's name.
    ValueError
        When the sides are labelled with other AUs, or one has no faces.
    """

    train: ImageSet
    val: ImageSet
    test: SealedTest = field(repr=False)
    name: str = ""
    protocol: str = ""

    def __post_init__(self) -> None:
        test = self.test if isinstance(self.test, SealedTest) else SealedTest(self.test)
        sides = {"train": self.train, "validation": self.val, "test": test}
        for name, side in sides.items():
            if not len(side):
                raise ValueError(f"fold {self.name!r}: expected faces on the {name} side, found none")
            if side.aus != self.train.aus:
                raise ValueError(
                    f"fold {self.name!r}: expected AUs {self.train.aus} on every side, found {side.aus} in {name}"
                )
        refuse_leak(train=self.train.frames, validation=self.val.frames, test=test.subjects)
        people = self.train.frames.subjects
        object.__setattr__(self, "test", test)
        for name in ("train", "val"):
            side = getattr(self, name)
            object.__setattr__(self, name, side if side.subjects == people else side.with_subjects(people))

    @classmethod
    def by_protocol(
        cls, data: ImageSet, protocol: Protocol, *, fold: Fold | str, validation: float = 0.2, seed: int = 0
    ) -> "SealedFold":
        """A fold of a protocol, with the protocol's AUs and its reading of their labels.

        Parameters
        ----------
        data : ImageSet
            All faces of the protocol's dataset.
        protocol : Protocol
        fold : Fold or str
            One of its folds, or the hash of one.
        validation : float
            Share of the training people who become validation people, where the fold names none.
        seed : int
            Which people those are.

        Raises
        ------
        SubjectLeak, ValueError
            As :func:`fau_utils.data.protocols.split`.
        """
        frames = Frames(data.frames.table.assign(_row=np.arange(len(data))), scale=data.frames.scale)
        fold = protocol.fold(fold) if isinstance(fold, str) else fold
        parts = split(frames, protocol, fold=fold)
        rows = {name: side.table["_row"].to_numpy("int64") for name, side in parts._asdict().items()}
        if not len(rows["validation"]):
            held = _held_out(parts.train, share=validation, seed=seed)
            rows |= {"train": rows["train"][~held], "validation": rows["train"][held]}
        data = _labelled(data, protocol)
        return cls(
            train=data.subset(rows["train"]),
            val=data.subset(rows["validation"]),
            test=SealedTest(data.subset(rows["test"])),
            name=fold.name,
            protocol=protocol.hash,
        )

    @classmethod
    def by_holdout(cls, data: ImageSet, *, test: float = 0.2, validation: float = 0.2, seed: int = 0) -> "SealedFold":
        """Whole people held out at random, for a set without published folds.

        Parameters
        ----------
        data : ImageSet
            Of at least three people.
        test : float
            Share of the people who are tested.
        validation : float
            Share of the others who become validation people.
        seed : int
            Decides who.
        """
        tested = _held_out(data.frames, share=test, seed=seed)
        rest = data.subset(~tested)
        held = _held_out(rest.frames, share=validation, seed=seed)
        return cls(
            train=rest.subset(~held),
            val=rest.subset(held),
            test=SealedTest(data.subset(tested)),
            name=f"holdout {seed}",
        )

    @property
    def hash(self) -> str:
        """Identity of the fold: hash of its test people, as :attr:`fau_utils.data.folds.Fold.hash`."""
        return fold_hash(self.test.subjects)

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run: who is on which side."""
        sides = {"train": self.train.frames, "validation": self.val.frames, "test": self.test}
        return {
            "name": self.name,
            "hash": self.hash,
            "protocol": self.protocol,
            **{f"{name}_people": list(side.subjects) for name, side in sides.items()},
            **{f"{name}_faces": len(side) for name, side in sides.items()},
        }


class Outcome(NamedTuple):
    """What came of a fold.

    Attributes
    ----------
    fitted : Fitted
        With the weights that validation chose.
    predictions : Predictions
        Of the test faces.
    validation : Predictions
        Of the validation faces, by the same weights.
    thresholds : ndarray, (A,) float64
        Best F1 of each AU on the validation people, see :func:`fau_utils.metrics.tuned`.
    """

    fitted: Fitted
    predictions: Predictions
    validation: Predictions
    thresholds: np.ndarray


def run_fold(
    build: Callable[[ImageSet], Method],
    fold: SealedFold,
    *,
    budget: Budget | str = "laptop",
    seed: int = 0,
    choose: str | None = "val_f1",
    folder: str | os.PathLike | None = None,
    **options: Any,
) -> Outcome:
    """Train on a fold, choose by its validation people, test once.

    A *run* is a configuration: method, initial weights, budget, seed, rule of choice and the three sides. In one
    process, a run predicts its test faces once; asking again is an error. With a `folder`, this holds over
    processes: the opening is recorded there, with the hash of the weights, before the first prediction. A later
    process may open again only for the same run with the same weights, so when it crashed after the look and was
    resumed, or is repeated: it can only say the same. Other settings, or other weights, are refused.

    Parameters
    ----------
    build : callable
        Given the training set, returns the method, untrained: ``lambda train: CnnDetector(train.aus, seed=0)``.
    fold : SealedFold
    budget : Budget or str
        Without ``eval_every``, validation is looked at :data:`LOOKS` times.
    seed : int
    choose : {"val_f1", "val_auc", "val_loss"}, optional
        What decides which weights are kept; None keeps the last.
    folder : path-like, optional
        Of this run. Made when missing.
    **options
        Of :func:`fau_utils.training.fit`.

    Returns
    -------
    Outcome

    Raises
    ------
    SealError
        When the test faces were seen before; before training where that can be known.
    """
    method = build(fold.train)
    budget = budget_for(method, budget) if isinstance(budget, str) else budget
    if choose and not budget.eval_every:
        budget = budget.replace(eval_every=-(-(budget.views or len(fold.train)) // LOOKS))
    decides = {name: options[name] for name in ("augment", "precision", "compile") if name in options}
    run = _hashed(
        {
            "method": f"{type(method).__module__}.{type(method).__qualname__}",
            "weights": weights_digest(method),
            "budget": asdict(budget),
            "seed": seed,
            "choose": choose,
            "sides": [_digest_of(fold.train), _digest_of(fold.val), fold.test.digest],
            **decides,
        }
    )
    record = None if folder is None else Path(folder) / RECORD
    if record is not None:
        _refuse_other(record, run=run)

    fitted = fit(method, fold.train, val=fold.val, budget=budget, seed=seed, choose=choose, **options)
    validation = predict(fitted.method, fold.val, device=fitted.device)
    thresholds = tuned(validation.prob, validation.label)

    first = getattr(options.get("fabric"), "global_rank", 0) == 0
    if record is not None and first:
        _record_opening(record, run=run, weights=weights_digest(fitted.method), fold=fold)
    predictions = predict(fitted.method, fold.test.open(run), device=fitted.device)
    return Outcome(fitted, predictions, validation, thresholds)


def weights_digest(module: nn.Module) -> str:
    """Hash of all weights and buffers, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _refuse_other(record: Path, *, run: str, weights: str | None = None) -> None:
    try:
        found = json.loads(record.read_text("utf-8"))
        opened, by, tested = found["opened"], found["run"], found["weights"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise SealError(
            f"{record} says that the test faces were seen and cannot be read ({error}); begin in a new folder"
        ) from None
    if by != run:
        raise SealError(
            f"the test faces were seen on {opened} by run {by}, whose settings or data differ from those of this "
            f"run, {run} (see {record}); what is changed after the look is chosen on the test people. Choose by "
            "validation, and give the new run a folder of its own"
        )
    if weights is not None and tested != weights:
        raise SealError(
            f"the test faces were seen on {opened} with other weights ({tested}) than this run has now ({weights}, see "
            f"{record}); resume from its checkpoints, or begin in a new folder"
        )


def _record_opening(record: Path, *, run: str, weights: str, fold: SealedFold) -> None:
    _refuse_other(record, run=run, weights=weights)
    record.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    said = {"run": run, "weights": weights, "opened": now, "fold": fold.describe()}
    try:
        with record.open("x", encoding="utf-8") as file:  # of two processes at a time, one is first
            file.write(json.dumps(said, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        _refuse_other(record, run=run, weights=weights)


def _labelled(data: ImageSet, protocol: Protocol) -> ImageSet:
    known = torch.from_numpy(labels(data.frames, protocol)).to(data.device)
    graded = data.frames.scale == "intensity"
    intensity = torch.from_numpy(data.frames.intensity(protocol.aus)).to(data.device) if graded else None
    return replace(data, aus=protocol.aus, labels=known, intensity=intensity)


def _held_out(frames: Frames, *, share: float, seed: int) -> np.ndarray:
    """Rows of the people who are held out; a person of two datasets is one."""
    people = [person(subject) for subject in frames.table["subject"]]
    return holdout(np.array(people), share=share, seed=seed)


def _digest_of(data: ImageSet) -> str:
    keys = data.frames.table[list(KEY)].astype(str).agg("|".join, axis=1)
    return _hashed({"aus": data.aus, "faces": _joined(keys), "labels": _bytes_of(data.labels)})


def _joined(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _bytes_of(values: torch.Tensor) -> str:
    return hashlib.sha256(values.cpu().contiguous().numpy().tobytes()).hexdigest()


def _hashed(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[:16]
