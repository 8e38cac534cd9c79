"""BP4D-Spontaneous: 41 people, 8 tasks, 146,847 coded frames.

Zhang et al. (2014), "BP4D-Spontaneous: a high-resolution spontaneous 3D dynamic facial expression database", Image
and Vision Computing 32. Two forms are in use: images named by the coders' frame number
(``BP4D-training/F001/T1/12.jpg``; padding changes from sequence to sequence), and videos
(``BP4D-Spontaneous/2F01_01.avi``) whose first frame is the coders' frame 1. Labels: ``AUCoding/AU_OCC/F001_T1.csv``
(column k is AU k, the last one an occlusion flag) and ``AUCoding/AU_INT/AU06/F001_T1_AU06.csv``.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fau_utils import aus as vocabulary
from fau_utils.data import aucoding, pictures
from fau_utils.data.pictures import Pictures
from fau_utils.data.tree import DatasetError, MissingPicture, existing_root, files, subfolders
from fau_utils.frames import Frames, Scale

DATASET = "bp4d"
SUBJECTS: tuple[str, ...] = (*(f"F{n:03d}" for n in range(1, 24)), *(f"M{n:03d}" for n in range(1, 19)))
TASKS: tuple[str, ...] = tuple(f"T{n}" for n in range(1, 9))
CODED: tuple[int, ...] = (1, 2, 4, 5, 6, 7, *range(9, 21), *range(22, 28), 32, 38, 39)
"""AUs whose columns published code reads; :func:`read` gives the 12 evaluated ones by default."""

VIDEO_TASKS: dict[str, str] = {
    "01": "T1", "03": "T2", "07": "T3", "08": "T4", "09": "T5", "10": "T6", "11": "T7", "13": "T8",
}  # fmt: skip
"""Number in a video's name to task. They are not in step: ``2F01_03.avi`` is T2."""

Form = Literal["images", "video"]

_SUBJECT = r"[FM]\d{3}"
_VIDEO = re.compile(r"2([FM])(\d{2})_(\d{2})\.(?:avi|mp4|mkv)", re.IGNORECASE)
_IMAGE_FOLDERS = (
    "BP4D-training", "BP4D/BP4D-training", "release/BP4D-training", "BP4D/release/BP4D-training", "BP4D", "2D+3D", ".",
)  # fmt: skip


def read(
    root: str | os.PathLike,
    *,
    aus: Sequence[int] | None = None,
    scale: Scale = "occurrence",
    form: Form | None = None,
    allow_missing: bool = False,
) -> Frames:
    """The coded frames of BP4D.

    Parameters
    ----------
    root : path-like
        The folder with ``AUCoding`` and the pictures in it.
    aus : sequence of int, optional
        By default the 12 evaluated AUs, or the five with intensity.
    scale : {"occurrence", "intensity"}
        ``AU_OCC`` or ``AU_INT``.
    form : {"images", "video"}, optional
        By default whichever is there; images when both are.
    allow_missing : bool
        Keep labels without a picture (null ``path``), sequences without labels or pictures, and absent intensity
        files (null cells) instead of raising.

    Returns
    -------
    Frames
        ``subject`` is ``bp4d/F001``, ``clip`` the task, ``frame`` the coders' number, ``index`` the place in the
        video from 0 (``frame - 1``); ``path`` an image or a video, ``occluded`` the occlusion flag, ``landmarks`` the
        sequence's ``.mat`` file. Occluded and all-negative frames are kept: leaving them out is a protocol's decision.

    Raises
    ------
    DatasetError
        Names file, line, expectation and what to do.
    """
    root = existing_root(root)
    found = find_pictures(root, form=form, required=not allow_missing)
    coded = _coded(root, aus=aus, scale=scale, allow_missing=allow_missing)
    if not allow_missing:
        aucoding.refuse_uncoded(found, coded, tasks=TASKS)
    return aucoding.assemble(
        DATASET, root, coded, found, tracks=_tracks(root), scale=scale, allow_missing=allow_missing
    )


def video_sequence(name: str) -> tuple[str, str]:
    """Subject and task of a video by its name: ``2F01_03.avi`` is F001, T2.

    Raises
    ------
    DatasetError
        When the name has another form, or a number that stands for no task.
    """
    match = _VIDEO.fullmatch(Path(name).name)
    if match is None or match[3] not in VIDEO_TASKS:
        raise DatasetError(
            name,
            expected="a name such as 2F01_01.avi, ending in one of " + ", ".join(VIDEO_TASKS),
            found=Path(name).name,
            hint="rename the file, or take it out of the folder",
        )
    return f"{match[1].upper()}0{match[2]}", VIDEO_TASKS[match[3]]


def video_name(subject: str, task: str) -> str:
    """Name of a video: F001, T2 is ``2F01_03.avi``."""
    number = next(code for code, name in VIDEO_TASKS.items() if name == task)
    return f"2{subject[0]}{subject[2:]}_{number}.avi"


def find_pictures(root: Path, *, form: Form | None, required: bool) -> dict[tuple[str, str], Pictures]:
    """Pictures of every sequence by (subject, task).

    Raises
    ------
    MissingPicture
        When there are none and they are `required`.
    DatasetError
        When a video has a name that means nothing.
    """
    if form not in (None, "images", "video"):
        raise ValueError(f"expected form 'images', 'video' or None, found {form!r}")
    found: dict[tuple[str, str], Pictures] = {}
    if form != "video":
        for place in _IMAGE_FOLDERS:
            for subject, inside in subfolders(root / place, _SUBJECT).items():
                for task, folder in subfolders(inside, r"T\d{1,2}").items():
                    found[subject.upper(), task.upper()] = pictures.folder(folder)
            if found:
                return found
    if form != "images":
        for place in (root / "BP4D-Spontaneous", root):
            for name, path in files(place, r"2[FM].*\.(avi|mp4|mkv)").items():
                found[video_sequence(name)] = pictures.video(path)
            if found:
                return found
    if required:
        raise MissingPicture(
            root,
            expected="images in BP4D-training/F001/T1/ or videos called BP4D-Spontaneous/2F01_01.avi",
            found="neither" if form is None else f"no {form}",
            hint="give the folder that holds AUCoding and pictures, or pass allow_missing=True for labels only",
        )
    return {}


def _coded(root: Path, *, aus: Sequence[int] | None, scale: Scale, allow_missing: bool) -> dict:
    if scale == "occurrence":
        wanted = vocabulary.BP4D if aus is None else tuple(aus)
        return {
            key: (*aucoding.occurrence(path, aus=wanted, occlusion=True), path)
            for key, path in aucoding.occurrence_files(root).items()
        }
    return aucoding.intensity_tables(root, aus=aus, allow_missing=allow_missing)


def _tracks(root: Path) -> dict[tuple[str, str], Path]:
    """Landmark files by sequence: ``BP4D-fpoints/F001_T1.mat`` or ``2DFeatures/F001_T1.mat``."""
    found = {}
    for place in ("2DFeatures", "BP4D-fpoints"):
        for name, path in files(root / place, r"[FM]\d{3}_T\d{1,2}\.mat").items():
            subject, task = Path(name).stem.upper().split("_")
            found[subject, task] = path
    return found
