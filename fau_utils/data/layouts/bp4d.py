"""Rendered faces in the layout of BP4D, with its irregularities."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.aus import column
from fau_utils.data import bp4d
from fau_utils.data.aucoding import NOT_CODED, WITH_INTENSITY
from fau_utils.data.layouts import footage
from fau_utils.data.layouts.footage import Film, Shot
from fau_utils.frames import Frames

MARGIN = 2
"""Pictures before and behind the coded segment; they have no labels."""

PADDING: tuple[int, ...] = (1, 4, 2, 5, 3)
"""Digits of image numbers, sequence by sequence."""

LAST_AU = 64
"""Columns 0 to 64, then the occlusion flag."""

HIDES: tuple[int, ...] = tuple(n for n in bp4d.CODED if n >= 9)
"""AUs of the lower face, not coded while a hand is before the face."""


def export(
    out: str | os.PathLike,
    *,
    subjects: int | Sequence[str] = ("F001", "F002", "F003", "F004", "M002", "M003"),
    tasks: int | Sequence[str] = 2,
    frames: int = 24,
    form: bp4d.Form = "images",
    missing: int = 1,
    seed: int = 0,
    res: int = 112,
    film: Film = footage.render,
) -> Frames:
    """Write pictures, ``AU_OCC``, ``AU_INT`` and ``2DFeatures``.

    As in the release: coded segments start at any frame, zero padding changes from sequence to sequence, uncoded
    pictures on both sides, code 9 for AUs nobody coded and for what a hand hides, the occlusion flag in the last
    column, ``AU_INT`` without header, frames without landmarks, litter of file managers, other line ends.

    Parameters
    ----------
    out : path-like
    subjects, tasks : int or sequence of str
        How many or which. By default two people of each published fold, so that every fold can be trained and tested.
    frames : int
        Coded frames per sequence, at least 8.
    form : {"images", "video"}
        In videos the coded segment starts at one of the first frames, to keep them short.
    missing : int
        Coded frames of the first sequence without an image; only of images.
    seed, res
        Of the faces.
    film : callable
        As :func:`fau_utils.data.layouts.footage.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.bp4d.read` has to find; with ``allow_missing=True`` when images are missing.
    """
    out = Path(out)
    if frames < 8:
        raise ValueError(f"expected at least 8 frames per sequence, found {frames}")
    subjects = footage.chosen(subjects, known=bp4d.SUBJECTS, what="subjects")
    tasks = footage.chosen(tasks, known=bp4d.TASKS, what="tasks")
    truth = []
    for number, (subject, task) in enumerate((s, t) for s in subjects for t in tasks):
        first = first_frame(number, seed=seed, short=form == "video")
        lead = first - 1 if form == "video" else min(MARGIN, first - 1)
        filmed = footage.shot(
            bp4d.SUBJECTS.index(subject), bp4d.TASKS.index(task), start=first - 1 - lead,
            length=lead + frames + MARGIN, seed=seed, res=res,
        )  # fmt: skip
        coded = np.arange(lead, lead + frames)
        filmed.hidden[coded[3:6]] = number % 2 == 1
        images, points = film(filmed)
        absent = coded[frames // 2 : frames // 2 + missing] if number == 0 and form == "images" else coded[:0]
        if form == "images":
            names = write_images(
                out / "BP4D-training" / subject / task, images, filmed.index + 1, pad=PADDING[number % 5],
                absent=filmed.index[absent] + 1,
            )  # fmt: skip
            path = [None if i in absent else f"BP4D-training/{subject}/{task}/{names[i]}" for i in coded]
        else:
            path = [write_video(out / "BP4D-Spontaneous" / bp4d.video_name(subject, task), images, root=out)] * frames
        table = _labels(filmed, coded)
        write_occurrence(out / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv", table, windows=number == 1)
        write_intensity(out / "AUCoding" / "AU_INT", f"{subject}_{task}", filmed, coded)
        track = write_track(out / "2DFeatures" / f"{subject}_{task}.mat", filmed, points, root=out)
        keys = {"dataset": bp4d.DATASET, "subject": f"{bp4d.DATASET}/{subject}", "clip": task}
        truth.append(_truth(table, vocabulary.BP4D).assign(**keys, **texts(path=path, landmarks=[track] * frames)))
    litter(out / "AUCoding" / "AU_OCC" / f"._{subjects[0]}_{tasks[0]}.csv")
    return Frames(pd.concat(truth, ignore_index=True))


def first_frame(number: int, *, seed: int, short: bool) -> int:
    """First coded frame of a sequence: 1 for the first one, anything up to 2,500 for the others."""
    if number == 0:
        return 1
    return int(np.random.default_rng([seed, number]).integers(2, 10 if short else 2500))


def write_images(
    folder: Path, images: np.ndarray, numbers: np.ndarray, *, pad: int, absent: Sequence[int] = ()
) -> list[str]:
    """JPEG files called by number; those in `absent` are left out. Returns the names of all."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{n:0{pad}d}.jpg" for n in numbers]
    for name, number, image in zip(names, numbers, images, strict=True):
        if number not in absent:
            Image.fromarray(image).save(folder / name, quality=92)
    litter(folder / "Thumbs.db")
    return names


def write_video(path: Path, images: np.ndarray, *, root: Path, fps: int = 25) -> str:
    """An MPEG-4 video. Returns its path relative to `root`."""
    from fau_utils.data.video import write

    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, images, fps=fps, codec="mpeg4")
    return path.relative_to(root).as_posix()


def write_track(path: Path, filmed: Shot, points: np.ndarray, *, root: Path) -> str:
    """A struct array ``fit`` with 49 points per frame, empty where the face is hidden. Returns the relative path."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    fit = np.empty((1, len(filmed.index)), dtype=[("frame", object), ("pred", object)])
    for i, marks in enumerate(footage.landmarks_49(points).astype("float64")):
        fit[0, i] = (float(filmed.index[i] + 1), np.empty((0, 0)) if filmed.hidden[i] else marks)
    savemat(path, {"fit": fit})
    return path.relative_to(root).as_posix()


def write_intensity(folder: Path, sequence: str, filmed: Shot, coded: np.ndarray) -> None:
    """``AU06/F001_T1_AU06.csv`` and so on: no header, frame and intensity, 9 while hidden."""
    for number in WITH_INTENSITY:
        values = np.where(filmed.hidden & (number in HIDES), NOT_CODED, _coded_intensity(filmed.intensity, number))
        path = folder / f"AU{number:02d}" / f"{sequence}_AU{number:02d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{filmed.index[i] + 1},{values[i]}\n" for i in coded))


def write_occurrence(path: Path, table: pd.DataFrame, *, windows: bool) -> None:
    """``AU_OCC``: the header 0, 1, 2, ..., and the occlusion flag at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    end = "\r\n" if windows else "\n"
    rows = [",".join(str(n) for n in range(LAST_AU + 2))]
    for row in table.to_dict("records"):
        cells = [row["frame"], *(row.get(column(n), NOT_CODED) for n in range(1, LAST_AU + 1)), int(row["occluded"])]
        rows.append(",".join(str(cell) for cell in cells))
    path.write_bytes((end.join(rows) + end).encode())


def texts(**columns: Sequence[str | None]) -> dict:
    """Columns of text in which None is null."""
    return {name: pd.array(values, "string") for name, values in columns.items()}


def litter(path: Path) -> None:
    """A file that a file manager left behind."""
    path.write_bytes(b"\0\5\x16\7\0\2")


def _labels(filmed: Shot, coded: np.ndarray) -> pd.DataFrame:
    hidden = filmed.hidden[coded]
    data = {"frame": filmed.index[coded] + 1}
    for number in sorted({*vocabulary.BP4D, 5, 9}):  # of the others, nobody coded any
        present = footage.present(filmed.intensity[coded], number)
        data[column(number)] = np.where(hidden & (number in HIDES), NOT_CODED, present)
    return pd.DataFrame(data).assign(occluded=hidden)


def _truth(table: pd.DataFrame, numbers: Sequence[int]) -> pd.DataFrame:
    cells = table[[column(n) for n in numbers]].astype("Int8")
    kept = table[["frame", "occluded"]].assign(occluded=table["occluded"].astype("boolean"), index=table["frame"] - 1)
    return kept.join(cells.mask(cells == NOT_CODED))


def _coded_intensity(intensity: np.ndarray, number: int) -> np.ndarray:
    return footage.column(intensity, number) * footage.present(intensity, number)
