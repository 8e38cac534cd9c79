"""Rendered faces in the layout of BP4D+, with its irregularities."""

import os
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.aus import column
from fau_utils.data import bp4dplus
from fau_utils.data.aucoding import NOT_CODED
from fau_utils.data.layouts import footage
from fau_utils.data.layouts.bp4d import (
    HIDES,
    first_frame,
    litter,
    texts,
    write_images,
    write_intensity,
    write_track,
    write_video,
)
from fau_utils.data.layouts.footage import Film
from fau_utils.frames import Frames

UNCODED_TASK = "T2"
"""A task with pictures and no labels; six of the ten are such."""

_PERSON = 1000  # people have the codes of BP4D's and are others


def export(
    out: str | os.PathLike,
    *,
    subjects: int | Sequence[str] = ("F001", "F004", "F011", "M022"),
    tasks: int | Sequence[str] = 2,
    frames: int = 24,
    form: bp4dplus.Form = "archives",
    first_image: Literal[0, 1] = 0,
    seed: int = 0,
    res: int = 112,
    film: Film = footage.render,
) -> Frames:
    """Write pictures, ``AU_OCC``, ``AU_INT`` and ``2DFeatures``.

    As in the release: columns in an order of their own without an occlusion flag, one zip per person, images that
    count from 0 beside labels that count from 1, a task that nobody coded, code 9.

    Parameters
    ----------
    out : path-like
    subjects, tasks : int or sequence of str
        How many or which; by default somebody of each published fold. Tasks of T1, T6, T7, T8.
    frames : int
        Coded frames per sequence, at least 8.
    form : {"archives", "folders", "video"}
    first_image : {0, 1}
        Number of the image of label frame 1.
    seed, res
        Of the faces.
    film : callable
        As :func:`fau_utils.data.layouts.footage.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.bp4dplus.read` has to find.
    """
    out = Path(out)
    if frames < 8:
        raise ValueError(f"expected at least 8 frames per sequence, found {frames}")
    subjects = footage.chosen(subjects, known=bp4dplus.SUBJECTS, what="subjects")
    tasks = footage.chosen(tasks, known=bp4dplus.CODED_TASKS, what="coded tasks")
    for subject in subjects:  # archives grow task by task; one of an earlier call must not
        (out / "2D+3D" / f"{subject}.zip").unlink(missing_ok=True)
    truth = []
    for number, (subject, task) in enumerate((s, t) for s in subjects for t in (*tasks, UNCODED_TASK)):
        coded_here = task != UNCODED_TASK
        lead = first_frame(number, seed=seed + _PERSON, short=True) - 1
        filmed = footage.shot(
            _PERSON + bp4dplus.SUBJECTS.index(subject), bp4dplus.TASKS.index(task), start=0,
            length=lead + frames + 2 if coded_here else 4, seed=seed, res=res,
        )  # fmt: skip
        coded = np.arange(lead, lead + frames)
        if coded_here:
            filmed.hidden[coded[3:6]] = number % 2 == 1
        images, points = film(filmed)
        place = _write_pictures(out, subject, task, images, filmed.index + first_image, form=form)
        if not coded_here:
            continue
        table = _labels(filmed, coded)
        write_occurrence(out / "AUCoding" / "AU_OCC" / f"{subject}_{task}.csv", table)
        write_intensity(out / "AUCoding" / "AU_INT", f"{subject}_{task}", filmed, coded)
        track = write_track(out / "2DFeatures" / f"{subject}_{task}.mat", filmed, points, root=out)
        located = {name: [values[i] for i in coded] for name, values in place.items()}
        keys = {"dataset": bp4dplus.DATASET, "subject": f"{bp4dplus.DATASET}/{subject}", "clip": task}
        truth.append(_truth(table).assign(**keys, **texts(**located, landmarks=[track] * frames)))
    litter(out / "AUCoding" / "AU_OCC" / f"._{subjects[0]}_{tasks[0]}.csv")
    return Frames(pd.concat(truth, ignore_index=True))


def write_occurrence(path: Path, table: pd.DataFrame) -> None:
    """``AU_OCC``: the AUs of :data:`fau_utils.data.bp4dplus.ORDER`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(str(n) for n in (0, *bp4dplus.ORDER))]
    for row in table.to_dict("records"):
        cells = [row["frame"], *(row.get(column(n), NOT_CODED) for n in bp4dplus.ORDER)]
        rows.append(",".join(str(cell) for cell in cells))
    path.write_text("\n".join(rows) + "\n")


def _write_pictures(
    out: Path, subject: str, task: str, images: np.ndarray, numbers: np.ndarray, *, form: bp4dplus.Form
) -> dict[str, list[str | None]]:
    nowhere: list[str | None] = [None] * len(images)
    if form == "video":
        return {"path": [write_video(out / "Videos" / f"{subject}_{task}.mp4", images, root=out)] * len(images)}
    if form == "folders":
        names = write_images(out / "2D+3D" / subject / task, images, numbers, pad=4)
        return {"path": [f"2D+3D/{subject}/{task}/{name}" for name in names]}
    shard = out / "2D+3D" / f"{subject}.zip"
    shard.parent.mkdir(parents=True, exist_ok=True)
    names = [f"{subject}/{task}/{number:04d}.jpg" for number in numbers]
    with zipfile.ZipFile(shard, "a") as archive:
        for name, image in zip(names, images, strict=True):
            archive.writestr(zipfile.ZipInfo(name), _jpeg(image))  # ZipInfo: no date, so the same bytes every time
    return {"path": nowhere, "shard": [shard.relative_to(out).as_posix()] * len(images), "key": names}


def _jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _labels(filmed: footage.Shot, coded: np.ndarray) -> pd.DataFrame:
    hidden = filmed.hidden[coded]
    data = {"frame": filmed.index[coded] + 1}
    for number in sorted({*vocabulary.BP4D, 5, 9, 20}):
        present = footage.present(filmed.intensity[coded], number)
        data[column(number)] = np.where(hidden & (number in HIDES), NOT_CODED, present)
    return pd.DataFrame(data)


def _truth(table: pd.DataFrame) -> pd.DataFrame:
    cells = table[[column(n) for n in vocabulary.BP4D]].astype("Int8")
    return table[["frame"]].assign(index=table["frame"] - 1).join(cells.mask(cells == NOT_CODED))
