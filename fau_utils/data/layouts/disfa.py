"""Rendered faces in the layout of DISFA, with its irregularities."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.aus import column
from fau_utils.data import disfa
from fau_utils.data.layouts import footage
from fau_utils.data.layouts.bp4d import litter, texts, write_video
from fau_utils.data.layouts.footage import Film
from fau_utils.frames import Frames

FOLDERS: dict[str, str] = {"left": "Videos_LeftCamera", "right": "Video_RightCamera"}
SHORT = "SN010"
"""One frame shorter than the others, as in the release."""

FIRST_PERSON = 2000
"""Number of the first person, for :func:`fau_utils.data.layouts.footage.shot`."""


def export(
    out: str | os.PathLike,
    *,
    subjects: int | Sequence[str] = ("SN001", "SN003", "SN010", "SN024"),
    frames: int = 40,
    extracted: Sequence[str] = (),
    landmarks: bool = True,
    seed: int = 0,
    res: int = 112,
    film: Film = footage.render,
) -> Frames:
    """Write two videos per person, ``ActionUnit_Labels`` and ``Landmark_Points``.

    As in the release: a plural and a singular folder, label files whose names sort AU12 before AU2, one person with
    a frame less, landmark files that count from 1 for one person and from 0 for the next.

    Parameters
    ----------
    out : path-like
    subjects : int or sequence of str
        How many or which; by default people of all three published folds.
    frames : int
        Frames per video, at least 8.
    extracted : sequence of str
        Also write ``extracted/<name>/`` with the frames as this code base numbers them, one of
        :data:`fau_utils.data.disfa.NAMINGS`: the same label is image 0 of one camera here, image 1 of the other there.
    landmarks : bool
    seed, res
        Of the faces.
    film : callable
        As :func:`fau_utils.data.layouts.footage.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.disfa.read` has to find with ``camera="both"``: all frames of the left camera,
        then all of the right.
    """
    out = Path(out)
    if frames < 8:
        raise ValueError(f"expected at least 8 frames per video, found {frames}")
    subjects = footage.chosen(subjects, known=disfa.SUBJECTS, what="subjects")
    if extracted:
        extracted = footage.chosen(extracted, known=tuple(disfa.NAMINGS), what="namings")
    truth: dict[str, list[pd.DataFrame]] = {"left": [], "right": []}
    for number, subject in enumerate(subjects):
        length = frames - 1 if subject == SHORT else frames
        filmed = footage.shot(
            FIRST_PERSON + disfa.SUBJECTS.index(subject), 0, start=0, length=length, seed=seed, res=res
        )
        _write_labels(out / "ActionUnit_Labels" / subject, filmed)
        for side, tables in truth.items():
            images, points = film(filmed.from_the(side))
            name = f"{side.capitalize()}Video{subject}_comp.avi"
            path = write_video(out / FOLDERS[side] / name, images, root=out, fps=20)
            for naming in (disfa.NAMINGS[n] for n in extracted):
                if (naming.camera or "left") == side:
                    _write_extracted(out / "extracted" / _key(naming), naming, subject, images)
            tracked = landmarks and side == "left"  # the tracker ran on one camera
            marks = _write_landmarks(out, subject, points, first=1 - number % 2) if tracked else [None] * length
            tables.append(_truth(filmed, subject, side).assign(**texts(path=[path] * length, landmarks=marks)))
    litter(out / "ActionUnit_Labels" / subjects[0] / "Thumbs.db")
    return Frames(pd.concat([*truth["left"], *truth["right"]], ignore_index=True), scale="intensity")


def _write_labels(folder: Path, filmed: footage.Shot) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in disfa.AUS:
        values = footage.column(filmed.intensity, number)
        text = "".join(f"{index + 1},{value}\n" for index, value in zip(filmed.index, values, strict=True))
        (folder / f"{folder.name}_au{number}.txt").write_text(text)


def _write_landmarks(out: Path, subject: str, points: np.ndarray, *, first: int) -> list[str]:
    from scipy.io import savemat

    folder = out / "Landmark_Points" / subject
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, marks in enumerate(footage.landmarks_66(points).astype("float64")):
        path = folder / f"{i + first:05d}_lm.mat"
        savemat(path, {"pts": marks})
        paths.append(path.relative_to(out).as_posix())
    return paths


def _write_extracted(folder: Path, naming: disfa.Naming, subject: str, images: np.ndarray) -> None:
    from PIL import Image

    for i, image in enumerate(images):
        path = folder / naming.name(subject, i + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def _key(naming: disfa.Naming) -> str:
    return next(name for name, known in disfa.NAMINGS.items() if known is naming)


def _truth(filmed: footage.Shot, subject: str, side: str) -> pd.DataFrame:
    cells = {column(n): pd.array(footage.column(filmed.intensity, n), "Int8") for n in disfa.AUS}
    keys = {"dataset": disfa.DATASET, "subject": f"{disfa.DATASET}/{subject}", "clip": disfa.CLIP, "camera": side}
    return pd.DataFrame({"frame": filmed.index + 1, "index": filmed.index, **cells}).assign(**keys, naming="video")
