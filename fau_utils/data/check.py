"""What is in a dataset's folder, held against what the literature counted.

A count that differs is a warning: releases differ, and people train on parts. Damage is an error: a file that cannot
be read as what it is. Exit codes of the command (:attr:`Report.exit_code`): 0 nothing damaged, 1 damage, 2 wrong
usage (no such dataset or folder), 3 counts differ or files are missing, and ``strict`` was asked for.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data import safe
from fau_utils.data.expected import EXPECTED, Expected
from fau_utils.data.folds import partition
from fau_utils.data.options import keywords_of, refuse_unknown
from fau_utils.data.readers import reader_of
from fau_utils.data.rendered import is_rendered
from fau_utils.data.tree import IMAGE_SUFFIXES, DatasetError, MissingPicture
from fau_utils.data.weights import class_weights, positive_rates
from fau_utils.frames import Frames

Status = Literal["agrees", "differs", "noted"]

_PARTS = {"bp4d": "bp4d-3", "bp4dplus": "bp4dplus-fmae4", "disfa": "disfa-3"}
_RATE = 0.0051  # percent: rates are printed with two decimals
_WEIGHT = 1e-3  # of the weight


@dataclass(frozen=True)
class Finding:
    """One number that was counted here.

    Attributes
    ----------
    what : str
    found, expected : number, str or None
        `expected` is None where nobody published a count.
    status : {"agrees", "differs", "noted"}
    source : str
        Who counted `expected`.
    """

    what: str
    found: float | str
    expected: float | str | None
    status: Status
    source: str = ""


@dataclass(frozen=True)
class Match:
    """A published list of frames and how far this folder is from it."""

    name: str
    expected: int
    coded: int
    pictured: int
    source: str
    note: str

    @property
    def matches(self) -> str:
        """``labels and pictures``, ``labels``, ``pictures`` or nothing."""
        found = [
            name for name, count in (("labels", self.coded), ("pictures", self.pictured)) if count == self.expected
        ]
        return " and ".join(found)


@dataclass(frozen=True)
class Trouble:
    """A file that is damaged or missing, and what to do."""

    file: str
    line: int | None
    expected: str
    found: str
    hint: str


@dataclass(frozen=True)
class Report:
    """Everything :func:`check` found.

    Attributes
    ----------
    dataset, root : str
    findings : tuple of Finding
    lists : tuple of Match
        Published frame lists, the nearest in number of labelled frames first.
    missing : tuple of Trouble
        What should be there and is not; warnings.
    damage : tuple of Trouble
        What is there and cannot be used; errors.
    strict : bool
        Whether warnings make the exit code 3.
    """

    dataset: str
    root: str
    findings: tuple[Finding, ...] = ()
    lists: tuple[Match, ...] = ()
    missing: tuple[Trouble, ...] = ()
    damage: tuple[Trouble, ...] = ()
    strict: bool = field(default=False, repr=False)

    @property
    def exit_code(self) -> int:
        """0 fine or warnings only, 1 damage, 3 warnings with ``strict``."""
        if self.damage:
            return 1
        warned = bool(self.missing) or any(f.status == "differs" for f in self.findings)
        return 3 if self.strict and warned else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "dataset": self.dataset,
            "root": self.root,
            "exit_code": self.exit_code,
            "findings": [asdict(f) for f in self.findings],
            "lists": [{**asdict(m), "matches": m.matches} for m in self.lists],
            "missing": [asdict(t) for t in self.missing],
            "damage": [asdict(t) for t in self.damage],
        }

    def render(self):
        """The same as a group of :mod:`rich` tables, for a terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        counts = Table("what", "found", "expected", "", "counted by", title=f"{self.dataset} in {self.root}")
        colour = {"agrees": "green", "differs": "yellow", "noted": ""}
        for f in self.findings:
            counts.add_row(f.what, _shown(f.found), _shown(f.expected), Text(f.status, colour[f.status]), f.source)
        parts: list = [counts]
        if self.lists:
            lists = Table("published list", "frames", "labels here", "pictures here", "matches", "note")
            for m in self.lists:
                lists.add_row(m.name, *(f"{n:,}" for n in (m.expected, m.coded, m.pictured)), m.matches, m.note)
            parts.append(lists)
        for title, style, troubles in (("missing", "yellow", self.missing), ("damaged", "red", self.damage)):
            if troubles:
                table = Table("file", "line", "expected", "found", "what to do", title=Text(title, style))
                for t in troubles:
                    table.add_row(t.file, _shown(t.line), t.expected, t.found, t.hint)
                parts.append(table)
        return Group(*parts)


def check(
    dataset: str,
    root: str | os.PathLike,
    *,
    strict: bool = False,
    open_pictures: int = 100,
    reader: Callable[..., Frames] | None = None,
    **options: Any,
) -> Report:
    """Count a dataset's folder.

    Parameters
    ----------
    dataset : str
        One of :data:`fau_utils.data.expected.EXPECTED`.
    root : path-like
    strict : bool
        Let warnings make the exit code 3.
    open_pictures : int
        How many image files, evenly over the dataset, are opened to see whether they can be.
    reader : callable, optional
        By default the dataset's own.
    **options
        Passed on to the reader, e.g. ``camera="right"`` for DISFA.

    Raises
    ------
    ValueError
        No such dataset or folder, or an option that its reader does not have; a command ends with exit code 2.
    """
    if dataset not in EXPECTED:
        raise ValueError(f"expected one of {sorted(EXPECTED)}, found {dataset!r}")
    if not Path(root).is_dir():
        raise ValueError(f"expected the folder of {dataset}, found no folder at {root}; is the disk mounted?")
    read = reader or reader_of(dataset)
    taken = [name for name in keywords_of(read) if name != "allow_missing"]  # which is tried both ways
    refuse_unknown(list(options), taken, of=f"fau check of {dataset}")
    complaint: DatasetError | None = None
    try:
        frames = read(root, **options)
    except DatasetError as error:
        complaint = error
        try:
            frames = read(root, allow_missing=True, **options)
        except DatasetError as worse:
            return Report(dataset, str(root), damage=(_trouble(worse),), strict=strict)
    known = EXPECTED[dataset]
    missing, absent = _lacking(frames, complaint), _absent_people(frames, known)
    damage = _unreadable(frames, Path(root), open_pictures)
    findings, lists = compare(frames, known)
    if is_rendered(root) and absent:  # nobody misses them
        findings.append(Finding("people not in this tree, a rehearsal", len(absent), None, "noted"))
    elif absent:
        missing.append(_missed(known.dataset, absent))
    return Report(dataset, str(root), tuple(findings), tuple(lists), tuple(missing), tuple(damage), strict)


def compare(frames: Frames, known: Expected) -> tuple[list[Finding], list[Match]]:
    """Counts of a table against published ones; see :func:`check`."""
    table = frames.table
    # two cameras show one coded frame
    coded = table.drop_duplicates(["subject", "clip", "frame"])
    clips = coded.groupby(["subject", "clip"], sort=True)["frame"]
    found = [
        _count("people", len(frames.subjects), known.subjects, known.source),
        _count("coded sequences", clips.ngroups, known.sequences, known.source),
    ]
    complete = known.lists[0] if known.lists else None
    found.append(
        _count("coded frames", len(coded), complete and complete.frames, complete.source if complete else known.source)
    )
    for task, expected in known.per_clip.items():
        found.append(_count(f"frames of {task}", int((coded["clip"] == task).sum()), expected, known.source))
    per_person = coded["subject"].value_counts()
    for subject, expected in known.per_subject.items():
        if subject in per_person and per_person[subject] != expected:
            found.append(_count(f"frames of {subject}", int(per_person[subject]), expected, known.source))
    gaps = int((clips.max() - clips.min() + 1 - clips.size()).clip(lower=0).gt(0).sum())
    found.append(_count("sequences with gaps", gaps, 0 if known.dataset == "bp4d" else None, known.source))
    found += _labels(frames.select(coded.index.to_numpy()), known)
    pictured = len(coded[_has_picture(coded)])
    lists = [Match(e.name, e.frames, len(coded), pictured, e.source, e.note) for e in known.lists]
    return found, sorted(lists, key=lambda m: (not m.matches, abs(m.expected - m.coded)))


def _labels(frames: Frames, known: Expected) -> list[Finding]:
    """AU columns, labels that are not coded, positive rates and class weights."""
    absent = [n for n in known.aus if n not in frames.aus]
    found = [_count("AUs without labels", ", ".join(vocabulary.columns(absent)) or "none", "none", known.source)]
    numbers = [n for n in known.aus if n in frames.aus]
    values = frames.labels(numbers, cut=known.cut if frames.scale == "intensity" else None)
    for au, unknown in zip(numbers, np.isnan(values).sum(0), strict=True):
        if unknown:
            found.append(Finding(f"labels of AU{au} not coded", int(unknown), None, "noted"))
    if not known.rates:
        return found
    aus = [n for n in known.rates["all"] if n in numbers]
    values = values[:, [numbers.index(n) for n in aus]]
    people = frames.table["subject"].to_numpy(str)
    groups = {part.part: part for part in partition(_PARTS[known.dataset])} if known.dataset in _PARTS else {}
    for name, rates in known.rates.items():
        rows = np.isin(people, groups[name].subjects) if name in groups else np.ones(len(people), bool)
        # a rate is a property of its frame list: with other frames it differs without anything being wrong
        if rows.sum() == known.rate_frames[name]:
            for au, rate in zip(aus, 100 * positive_rates(values[rows]), strict=True):
                found.append(_near(f"AU{au} in {name}, % positive", rate, rates[au], _RATE, known.source))
    for name, weights in known.weights.items():
        rows = np.isin(people, groups[name].rest)
        expected_rows = sum(known.rate_frames[part] for part in known.weights if part != name)
        if rows.sum() == expected_rows and len(aus) == len(weights) and (positive_rates(values[rows]) > 0).all():
            mine = class_weights(positive_rates(values[rows]))
            worst = int(np.abs(mine / weights - 1).argmax())
            label = f"class weights, {name} tested (AU{aus[worst]}, farthest)"
            found.append(_near(label, mine[worst], weights[worst], _WEIGHT * weights[worst], known.source))
    return found


def _count(what: str, found: Any, expected: Any, source: str) -> Finding:
    status: Status = "noted" if expected is None else "agrees" if found == expected else "differs"
    return Finding(what, found, expected, status, source if expected is not None else "")


def _near(what: str, found: float, expected: float, tolerance: float, source: str) -> Finding:
    close = abs(found - expected) <= tolerance
    return Finding(what, round(float(found), 6), expected, "agrees" if close else "differs", source)


def _trouble(error: DatasetError) -> Trouble:
    return Trouble(str(error.file), error.line, error.expected, error.found, error.hint)


def _has_picture(table: pd.DataFrame) -> np.ndarray:
    there = np.zeros(len(table), bool)
    for column in ("path", "key"):
        if column in table:
            there |= table[column].notna().to_numpy(bool)
    return there


def _lacking(frames: Frames, complaint: DatasetError | None) -> list[Trouble]:
    """What the reader complained of, and labels without a picture; once, when these are the same."""
    table = frames.table
    lacking = table[~_has_picture(table)]
    told = [] if complaint is None else [_trouble(complaint)]
    if not len(lacking):
        return told
    most = lacking.groupby(["subject", "clip"]).size().sort_values(ascending=False)
    shown = ", ".join(f"{subject}/{clip} {count:,}" for (subject, clip), count in most.head(10).items())
    trouble = Trouble(
        f"{len(most)} sequences",
        None,
        f"a picture of each of {len(table):,} labelled frames",
        f"none of {len(lacking):,}: {shown}{' ...' if len(most) > 10 else ''}",
        "extract the missing frames, or go on without them (allow_missing=True)",
    )
    if isinstance(complaint, MissingPicture):  # it names the place of the first one, and the remedy
        return [replace(trouble, file=told[0].file, line=told[0].line, hint=told[0].hint)]
    return [*told, trouble]


def _absent_people(frames: Frames, known: Expected) -> list[str]:
    """Of those whom published folds divide."""
    return sorted(_everyone(known.dataset) - set(frames.subjects))


def _everyone(dataset: str) -> set[str]:
    return {who for part in partition(_PARTS[dataset]) for who in part.subjects} if dataset in _PARTS else set()


def _missed(dataset: str, absent: Sequence[str]) -> Trouble:
    shown = ", ".join(absent[:20]) + (" ..." if len(absent) > 20 else "")
    everyone = f"{len(_everyone(dataset))} people"
    return Trouble(dataset, None, everyone, f"no {len(absent)} of them: {shown}", "published folds need everybody")


def _unreadable(frames: Frames, root: Path, count: int) -> list[Trouble]:
    """Image files of an even sample that cannot be decoded, and empty files of any kind."""
    table = frames.table
    if "path" not in table:
        return []
    paths = table["path"].dropna().drop_duplicates().to_numpy(str)
    is_image = np.array([Path(p).suffix.lower() in IMAGE_SUFFIXES for p in paths], bool)
    images, videos = paths[is_image], paths[~is_image]
    sample = images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]
    found = []
    for path in (*sample, *videos):
        try:
            if (root / path).stat().st_size == 0:
                raise safe.UnreadableImage("0 bytes")
            if path not in videos:
                safe.picture(root / path)
        except (OSError, safe.UnreadableImage) as error:
            found.append(Trouble(path, None, "a file that can be decoded", str(error), "copy or extract it again"))
    return found


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
