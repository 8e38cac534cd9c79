"""Pictures and videos to a table of AU probabilities: what ``fau predict`` does.

Memory does not grow with the length of a video, nor with the number of files: a part of :data:`PART` pictures is looked
at, written, and forgotten. What a person's baseline or an overlay needs is read from the parts again.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data import crops
from fau_utils.data.detector import Found
from fau_utils.own import finders, geometry, inputs, layouts, overlay, table
from fau_utils.own import model as models
from fau_utils.own.limits import NO_FACE, REASONS
from fau_utils.own.tracks import Tracker
from fau_utils.own.work import Work
from fau_utils.progress import progress

log = logging.getLogger(__name__)

PART = 256
"""Pictures between two savings."""
_SEARCHED = 4_000_000  # pixels that the detector sees at a time
_PATIENCE = 1.0  # seconds that a face may be gone and keep its number


@dataclass(frozen=True)
class Wanted:
    """What to look at, with what, and what to write.

    Attributes
    ----------
    inputs : tuple of path
        Pictures, videos, folders.
    out : Path
        The table; ``OUT.json`` beside it says the same as its header, and more.
    model : str
        Name or folder.
    detector : str
        See :func:`fau_utils.own.finders.finder`.
    layout : str
        One of :data:`fau_utils.own.layouts.LAYOUTS`.
    neutral : {"no", "face", "folder"}
        Whose frames a baseline is estimated from: nobody's, those of each tracked face, or all of a folder, which
        then shows one person.
    overlay : Path, optional
        Folder for annotated videos and a sheet of stills.
    step : int
        Every how many frames of a video.
    answer_all : bool
        Give probabilities also where the model should abstain; the reason stays.
    device : str
    resume : bool
    part : int
        Pictures between two savings.
    """

    inputs: tuple[str | Path, ...]
    out: Path
    model: str | Path
    detector: str = finders.MTCNN
    layout: str = "fau"
    neutral: Literal["no", "face", "folder"] = "no"
    overlay: Path | None = None
    step: int = 1
    answer_all: bool = False
    device: str = "auto"
    resume: bool = True
    part: int = PART


@dataclass(frozen=True)
class Done:
    """What came of it.

    Attributes
    ----------
    out : Path
    pictures, faces, answered : int
    abstained : dict
        Reason to number of rows.
    unreadable : list of (str, str)
        File and what is wrong with it.
    overlays : list of Path
    undrawn : int
        Stills for which the sheet has no room.
    """

    out: Path
    pictures: int
    faces: int
    answered: int
    abstained: dict[str, int]
    unreadable: list[tuple[str, str]]
    overlays: list[Path] = field(default_factory=list)
    undrawn: int = 0


def predict(wanted: Wanted) -> Done:
    """Look at everything and write the table; the same call goes on after it was killed.

    Raises
    ------
    ValueError
        Nothing to look at, no such model or layout, or the beginning of another run lies there.
    NoDetector
        The detector is not installed.
    """
    if wanted.layout not in layouts.LAYOUTS:
        raise ValueError(f"unknown layout {wanted.layout!r}; known are {', '.join(layouts.LAYOUTS)}")
    if wanted.neutral not in ("no", "face", "folder"):
        raise ValueError(f"expected neutral to be no, face or folder, found {wanted.neutral!r}")
    if wanted.step < 1:
        raise ValueError(f"expected a step of 1 frame or more, found {wanted.step}")
    files = inputs.listed(wanted.inputs)
    loaded = models.load(wanted.model, device=wanted.device)
    find, detector = finders.finder(wanted.detector, device=loaded.device)
    known = [[str(one.path), one.path.stat().st_size, one.path.stat().st_mtime_ns] for one in files]
    settings = {"inputs": known, "model": loaded.card["files"], "detector": detector, "step": wanted.step}
    settings |= {"answer_all": wanted.answer_all, "part": wanted.part}
    work = Work(wanted.out.with_name(f".{wanted.out.name}.work"), settings, resume=wanted.resume)
    begin = work.state() or {"file": 0, "frame": 0, "pictures": 0, "tracker": None, "unreadable": []}
    total = sum(inputs.length(one, step=wanted.step) for one in files)
    looker, last = Looker(loaded, find, answer_all=wanted.answer_all), begin
    with progress(what="predict", total=total, initial=begin["pictures"], unit="picture") as bar:
        for rows, last in _parts(files, begin, looker=looker, wanted=wanted, bar=bar):
            work.add(rows, last)
    return _finish(work, files, loaded, detector, wanted, last)


def _parts(files, state, *, looker: "Looker", wanted: Wanted, bar) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Rows of so many pictures, and where the next ones begin."""
    unreadable, seen = list(state["unreadable"]), state["pictures"]
    begun = 0  # pictures in the part
    for number in range(state["file"], len(files)):
        one = files[number]
        tracker = Tracker(patience=_patience(one))
        start = state["frame"] if number == state["file"] else 0
        if start and state["tracker"]:
            tracker.state = state["tracker"]
        pictures, error = inputs.pictures(one, start=start, step=wanted.step), None
        while error is None:
            some, error = _next(pictures, min(_at_once(looker.last), wanted.part - begun))
            if not some:
                break
            looker.see(some, name=str(one.path), tracker=tracker)
            begun, seen = begun + len(some), seen + len(some)
            bar.update(len(some))
            if begun >= wanted.part and error is None:
                place = {"file": number, "frame": some[-1][0] + wanted.step, "tracker": tracker.state}
                yield looker.rows(), {**place, "pictures": seen, "unreadable": unreadable}
                begun = 0
        if error is not None:
            unreadable = [*unreadable, (str(one.path), " ".join(str(error).split()))]
    yield looker.rows(), {"file": len(files), "frame": 0, "tracker": None, "pictures": seen, "unreadable": unreadable}


def _next(pictures: Iterator, count: int) -> tuple[list, Exception | None]:
    """Some pictures, and what ended them before their time: what came before damage is kept."""
    some = []
    try:
        for picture in islice(pictures, count):
            some.append(picture)
    except (ValueError, OSError) as error:
        return some, error
    return some, None


def _at_once(pixels: int) -> int:
    return max(1, min(32, _SEARCHED // max(pixels, 1)))


def _patience(one: inputs.Input) -> int:
    if one.kind != "video":
        return 0
    from fau_utils.data.video import info

    try:
        return round(_PATIENCE * float(info(one.path).fps or 25))
    except (ValueError, OSError):
        return 0  # it will be among the unreadable


class Looker:
    """Finds, cuts and keeps faces until their rows are asked for."""

    def __init__(self, loaded: models.Model, find: finders.Finder, *, answer_all: bool = False):
        self.model, self.find, self.answer_all = loaded, find, answer_all
        self.last = _SEARCHED  # pixels of the last picture: the first comes alone
        self._rows: list[dict[str, Any]] = []
        self._crops: list[np.ndarray] = []

    def see(self, pictures: list[tuple[int, float, np.ndarray]], *, name: str, tracker: Tracker) -> None:
        """Pictures of one file, all of one size."""
        self.last = pictures[0][2].shape[0] * pictures[0][2].shape[1]
        for (frame, time, picture), faces in zip(pictures, self.find(np.stack([p[2] for p in pictures])), strict=True):
            place = {"input": name, "frame": frame, "time": round(time, 4)}
            numbers = tracker.number([face.box for face in faces], frame=frame)
            for number, face in sorted(zip(numbers, faces, strict=True), key=lambda pair: pair[0]):
                self._rows.append({**place, "face": number, **self._cut(picture, face)})
            if not faces:
                self._rows.append({**place, "face": None, layouts.WHY: NO_FACE})

    def _cut(self, picture: np.ndarray, face: Found) -> dict[str, float]:
        said, size = self.model.card["input"], self.model.size
        matrix = geometry.matrix(face, crop=said["crop"], size=size, margin=said["margin"])
        height, width = picture.shape[:2]
        self._crops.append(crops.warp(picture, matrix, size=size, fill=128, filter="bicubic"))
        left, top, right, bottom = face.box
        eyes = geometry.between_eyes(face.five)
        cropped = np.isnan(eyes)
        yaw, pitch, roll = geometry.pose(face.five).round(1)
        return {
            "x": round(left, 1), "y": round(top, 1), "width": round(right - left, 1), "height": round(bottom - top, 1),
            "score": round(face.score, 4), "eyes": round(max(right - left, bottom - top) / 6 if cropped else eyes, 1),
            "yaw": yaw, "pitch": pitch, "roll": roll,
            "outside": 0.0 if cropped else round(crops.outside(matrix, width, height, size=size), 3),
        }  # fmt: skip

    def rows(self) -> pd.DataFrame:
        """Everything since the last call, with the model's answers."""
        names = vocabulary.columns(self.model.aus)
        made = pd.DataFrame(self._rows, columns=[*layouts.PLACE, *layouts.FACE, layouts.WHY, *names])
        made = made.astype({"input": str, "frame": "int64", "face": "Int64", layouts.WHY: object})
        made = made.astype(dict.fromkeys(("time", *layouts.FACE, *names), "float64"))
        faces = made["face"].notna().to_numpy()
        prob, distance = self.model(np.stack(self._crops) if self._crops else np.zeros((0, 1, 1, 3), "uint8"))
        made.loc[faces, "distance"] = distance.astype("float64").round(3)
        limits = self.model.limits
        why = [limits.reason(row) for row in made.loc[faces, list(layouts.FACE)].to_dict("records")]
        made.loc[faces, layouts.WHY] = why
        silent = np.array([bool(word) for word in why], bool) & (not self.answer_all)
        made.loc[faces, names] = np.where(silent[:, None], np.nan, prob.astype("float64").round(4))
        self._rows, self._crops = [], []
        return made


def _finish(work: Work, files, loaded: models.Model, detector: str, wanted: Wanted, state) -> Done:
    """From parts to a table, its description, and pictures to look at."""
    rest = table.baselines(work.parts(), loaded, whose=wanted.neutral)

    def final() -> Iterator[pd.DataFrame]:
        for rows in work.parts():
            yield table.with_own(rows, rest, loaded, whose=wanted.neutral)

    overlays, undrawn = [], 0
    if wanted.overlay is not None:
        overlays, undrawn = overlay.write(final(), files, folder=wanted.overlay, model=loaded, step=wanted.step)
    unreadable = [tuple(pair) for pair in state["unreadable"]]
    said = table.description(loaded, detector=detector, whose=wanted.neutral, rest=rest, unreadable=unreadable)
    counts = table.write(final(), wanted.out, layout=wanted.layout, model=loaded, said=said)
    work.remove()
    reasons = {name: count for name, count in counts.items() if name not in ("", "faces", "answered")}
    return Done(
        wanted.out, state["pictures"], counts["faces"], counts["answered"], reasons, unreadable, overlays, undrawn
    )  # fmt: skip


def render(done: Done) -> str:
    """In words: what there is, what is missing and why."""
    lines = [f"{done.out}: {done.pictures:,} pictures, {done.faces:,} faces, {done.answered:,} with an answer"]
    lines += [f"  {count:6,}  {name}: {REASONS[name]}" for name, count in sorted(done.abstained.items())]
    lines += [f"  {path}" for path in done.overlays]
    if done.undrawn:
        lines += [f"  {done.undrawn} stills are not on the sheet, which has room for {overlay.MOST}"]
    if done.unreadable:
        lines += [f"{len(done.unreadable)} files could not be read to their end:"]
        lines += [f"  {name}: {why}" for name, why in done.unreadable]
    return "\n".join(lines)
