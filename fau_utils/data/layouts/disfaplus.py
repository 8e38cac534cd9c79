"""Rendered faces in the layout of DISFA+, with its irregularities."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fau_utils.aus import column
from fau_utils.data import disfa, disfaplus
from fau_utils.data.layouts import footage
from fau_utils.data.layouts.bp4d import texts, write_images
from fau_utils.data.layouts.disfa import FIRST_PERSON
from fau_utils.data.layouts.footage import Film
from fau_utils.frames import Frames

TRIALS: tuple[str, ...] = ("A1_AU1_TrailNo_1", "C4_AU12_TrailNo_2", "Y3_AU4_TrailNo_1")
"""Folder names with an AU's number in them, which is the posed one and not the labelled one."""


def export(
    out: str | os.PathLike,
    *,
    subjects: int | Sequence[str] = 2,
    trials: int | Sequence[str] = 2,
    frames: int = 16,
    seed: int = 0,
    res: int = 112,
    film: Film = footage.render,
) -> Frames:
    """Write ``DISFAPlusDataset/Labels`` and ``Images``.

    As in the release: a file per AU with comments and ``<frame>.jpg <intensity>``, trials named after an AU, and people
    who are also in DISFA: the same seed gives :func:`fau_utils.data.layouts.disfa.export` the same faces.

    Parameters
    ----------
    out : path-like
    subjects, trials : int or sequence of str
        How many or which.
    frames : int
        Frames per trial, at least 8.
    seed, res
        Of the faces.
    film : callable
        As :func:`fau_utils.data.layouts.footage.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.disfaplus.read` has to find.
    """
    base = Path(out) / "DISFAPlusDataset"
    if frames < 8:
        raise ValueError(f"expected at least 8 frames per trial, found {frames}")
    subjects = footage.chosen(subjects, known=disfaplus.SUBJECTS, what="subjects")
    trials = footage.chosen(trials, known=TRIALS, what="trials")
    truth = []
    for subject in subjects:
        for number, trial in enumerate(sorted(trials)):
            person = FIRST_PERSON + disfa.SUBJECTS.index(subject)
            filmed = footage.shot(person, 1 + number, start=0, length=frames, seed=seed, res=res)
            images, _ = film(filmed)
            names = write_images(base / "Images" / subject / trial, images, filmed.index, pad=3)
            _write_labels(base / "Labels" / subject / trial, filmed, names)
            path = [f"DISFAPlusDataset/Images/{subject}/{trial}/{name}" for name in names]
            cells = {column(n): pd.array(footage.column(filmed.intensity, n), "Int8") for n in disfa.AUS}
            keys = {"dataset": disfaplus.DATASET, "subject": f"{disfaplus.DATASET}/{subject}", "clip": trial}
            truth.append(pd.DataFrame({"frame": filmed.index, **cells}).assign(**keys, **texts(path=path)))
    return Frames(pd.concat(truth, ignore_index=True), scale="intensity")


def _write_labels(folder: Path, filmed: footage.Shot, names: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in disfa.AUS:
        values = footage.column(filmed.intensity, number)
        rows = [f"{name}\t{value}" for name, value in zip(names, values, strict=True)]
        text = "\n".join([f"# AU{number}", "# image intensity", *rows]) + "\n"
        (folder / f"AU{number}.txt").write_text(text)
