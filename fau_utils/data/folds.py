"""Who is tested with whom: published fold lists, known by their people and never by their number.

"Fold 1" of BP4D tests three different groups of people in three code bases. A fold is therefore identified by a
hash of its sorted test subjects (:func:`fold_hash`); the lists themselves are in ``folds.json`` with their
sources.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from fau_utils.frames import Frames


class SubjectLeak(ValueError):
    """A person is on both sides of a split.

    Attributes
    ----------
    subjects : tuple of str
        The people concerned, under the name they have on the second side.
    """

    def __init__(self, subjects: Iterable[str], *, between: tuple[str, str]):
        self.subjects = tuple(sorted(subjects))
        shown = ", ".join(self.subjects[:10]) + (" ..." if len(self.subjects) > 10 else "")
        one, other = between
        super().__init__(
            f"{len(self.subjects)} people are in {one} and in {other}: {shown}; "
            f"expected nobody on both sides, so take them out of {one} (DISFA+ people are DISFA people)"
        )


@dataclass(frozen=True)
class Fold:
    """One division of people. Subjects carry their dataset (``bp4d/F001``) and are kept sorted.

    Attributes
    ----------
    test, train, validation : tuple of str
        `validation` is empty where a published protocol has none.
    name : str
        For people to read; two folds with the same people are equal whatever they are called.

    Raises
    ------
    SubjectLeak
        When a person is on two sides.
    """

    test: tuple[str, ...]
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for side in ("test", "train", "validation"):
            object.__setattr__(self, side, tuple(sorted(getattr(self, side))))
        if not self.test:
            raise ValueError(f"fold {self.name!r} tests nobody; give it test subjects")
        refuse_leak(train=self.train, validation=self.validation, test=self.test)

    @property
    def hash(self) -> str:
        """Identity of the fold: :func:`fold_hash` of the test subjects."""
        return fold_hash(self.test)


@dataclass(frozen=True)
class PublishedFold:
    """A test set that somebody published.

    Attributes
    ----------
    partition, part : str
        E.g. ``bp4d-3`` and ``P3``.
    dataset : str
    subjects : tuple of str
        Test people, sorted.
    rest : tuple of str
        Everybody else who takes part, sorted: the training people.
    called : mapping of str to str
        What each code base calls this test set, e.g. ``{"megraph": "fold1", "fmae": "fold3"}``.
    frames : int or None
        Frames of these people, where a count was published.
    sources : tuple of str
    """

    partition: str
    part: str
    dataset: str
    subjects: tuple[str, ...]
    rest: tuple[str, ...]
    called: Mapping[str, str]
    frames: int | None
    sources: tuple[str, ...]

    @property
    def hash(self) -> str:
        """:func:`fold_hash` of the test people."""
        return fold_hash(self.subjects)


def fold_hash(subjects: Iterable[str]) -> str:
    """Hash of a set of people, 12 hexadecimal digits: order and repetition do not matter, the dataset does."""
    return hashlib.sha256("\n".join(sorted(set(subjects))).encode()).hexdigest()[:12]


def person(subject: str) -> str:
    """The human being behind a subject: ``disfaplus/SN001`` and ``disfa/SN001`` are one, ``bp4d/F001`` and
    ``bp4dplus/F001`` are two."""
    dataset, _, code = subject.partition("/")
    return f"{_file()['same_people'].get(dataset, dataset)}/{code}"


def refuse_leak(**sides: Iterable[str] | Frames) -> None:
    """Check that no human being is on two sides, also under another dataset's name.

    Parameters
    ----------
    **sides : iterables of subjects, or Frames
        E.g. ``refuse_leak(train=frames_a, test=frames_b)``.

    Raises
    ------
    SubjectLeak
        Names the people.
    """
    people = {
        name: {person(s): s for s in (side.subjects if isinstance(side, Frames) else side)}
        for name, side in sides.items()
    }
    names = list(people)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            both = people[one].keys() & people[other].keys()
            if both:
                raise SubjectLeak((people[other][p] for p in both), between=(one, other))


@cache
def published() -> tuple[PublishedFold, ...]:
    """Every published test set known here."""
    return tuple(fold for name in partitions() for fold in partition(name))


def partitions() -> tuple[str, ...]:
    """Names of the published partitions and single test lists, e.g. ``bp4d-3``."""
    return tuple(entry["name"] for entry in _file()["partitions"])


@cache
def partition(name: str) -> tuple[PublishedFold, ...]:
    """The test sets of one published partition, in the order of its file.

    Raises
    ------
    ValueError
        Unknown name; the known ones are listed.
    """
    entries = {entry["name"]: entry for entry in _file()["partitions"]}
    if name not in entries:
        raise ValueError(f"unknown partition {name!r}; known are {sorted(entries)}")
    entry = entries[name]
    dataset = entry["dataset"]
    parts = {part: _prefixed(dataset, codes) for part, codes in entry["parts"].items()}
    whole = entries[entry["population"]]["parts"] if "population" in entry else entry["parts"]
    everyone = set(_prefixed(dataset, " ".join(whole.values())))
    everyone -= set(_prefixed(dataset, entry.get("absent", "")))
    return tuple(
        PublishedFold(
            partition=name,
            part=part,
            dataset=dataset,
            subjects=subjects,
            rest=tuple(sorted(everyone - set(subjects))),
            called={
                code: index for code, names in entry["called"].items() for index, to in names.items() if to == part
            },
            frames=entry["frames"].get(part),
            sources=tuple(entry["sources"]),
        )
        for part, subjects in parts.items()
    )


def fold_by_hash(digest: str) -> PublishedFold:
    """The published test set with this :func:`fold_hash`.

    Raises
    ------
    ValueError
        When no published test set has it; the known ones are listed.
    """
    known = {fold.hash: fold for fold in published()}
    if digest not in known:
        listed = ", ".join(f"{key} ({fold.partition} {fold.part})" for key, fold in known.items())
        raise ValueError(f"no published fold has the hash {digest!r}; known are {listed}")
    return known[digest]


def which_published(subjects: Iterable[str]) -> PublishedFold | None:
    """Which published test set these people are, or None when they are none."""
    digest = fold_hash(subjects)
    return next((fold for fold in published() if fold.hash == digest), None)


@cache
def _file() -> dict:
    return json.loads(resources.files("fau_utils.data").joinpath("folds.json").read_text("utf-8"))


def _prefixed(dataset: str, codes: str) -> tuple[str, ...]:
    return tuple(sorted(f"{dataset}/{code}" for code in codes.split()))
