"""BP4D+ (MMSE): 140 people, 10 tasks of which four are coded.

Zhang et al. (2016), "Multimodal Spontaneous Emotion Corpus for Human Behavior Analysis", CVPR. Its people have the
codes of BP4D's but are others. Pictures are in ``2D+3D/F001.zip`` (members ``F001/T1/12.jpg``), unpacked folders of
the same shape, or videos ``F001_T1.mp4``; labels in ``AUCoding/AU_OCC/F001_T1.csv``, whose columns stand in another
order than BP4D's and end with AU39, not with an occlusion flag.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fau_utils import aus as vocabulary
from fau_utils.data import aucoding, pictures
from fau_utils.data.pictures import Pictures
from fau_utils.data.tree import MissingPicture, existing_root, files, subfolders
from fau_utils.frames import Frames, Scale

DATASET = "bp4dplus"
SUBJECTS: tuple[str, ...] = (*(f"F{n:03d}" for n in range(1, 83)), *(f"M{n:03d}" for n in range(1, 59)))
TASKS: tuple[str, ...] = tuple(f"T{n}" for n in range(1, 11))
CODED_TASKS: tuple[str, ...] = ("T1", "T6", "T7", "T8")
ORDER: tuple[int, ...] = (
    1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28, 29, 30, 31, 32, 33, 34, 35,
    36, 37, 38, 39,
)  # fmt: skip
"""AUs of ``AU_OCC`` in the order of its columns, after the frame number."""

Form = Literal["archives", "folders", "video"]

_SUBJECT = r"[FM]\d{3}"


def read(
    root: str | os.PathLike,
    *,
    aus: Sequence[int] | None = None,
    scale: Scale = "occurrence",
    form: Form | None = None,
    first_image: Literal[0, 1] | None = None,
    allow_missing: bool = False,
) -> Frames:
    """The coded frames of BP4D+.

    Parameters
    ----------
    root : path-like
        The folder with ``AUCoding`` and the pictures in it.
    aus : sequence of int, optional
        By default the 12 evaluated AUs, or the five with intensity.
    scale : {"occurrence", "intensity"}
        ``AU_OCC`` or ``AU_INT``.
    form : {"archives", "folders", "video"}, optional
        By default unpacked folders, else archives, else videos.
    first_image : {0, 1}, optional
        Number in the name of the image that belongs to label frame 1. By default looked up: 0 when any sequence has
        an image 0, else 1. Notes by people who hold the data say that images count from 0 and labels from 1; give it
        when images were removed.
    allow_missing : bool
        Keep labels without a picture (null ``path`` and ``key``), sequences without labels or pictures, and absent
        intensity files (null cells) instead of raising.

    Returns
    -------
    Frames
        As of :func:`fau_utils.data.bp4d.read`; subjects are ``bp4dplus/F001``. Pictures in archives have ``shard`` (the
        zip) and ``key`` (the member) instead of ``path``.

    Raises
    ------
    DatasetError
        Names file, line, expectation and what to do.
    """
    root = existing_root(root)
    found = find_pictures(root, form=form, first_image=first_image, required=not allow_missing)
    if scale == "occurrence":
        wanted = vocabulary.BP4D if aus is None else tuple(aus)
        coded = {
            key: (*aucoding.occurrence(path, aus=wanted, occlusion=False, order=ORDER), path)
            for key, path in aucoding.occurrence_files(root).items()
        }
    else:
        coded = aucoding.intensity_tables(root, aus=aus, allow_missing=allow_missing)
    if not allow_missing:
        aucoding.refuse_uncoded(found, coded, tasks=CODED_TASKS)
    return aucoding.assemble(
        DATASET, root, coded, found, tracks=_tracks(root), scale=scale, allow_missing=allow_missing
    )


def find_pictures(
    root: Path, *, form: Form | None, first_image: int | None, required: bool
) -> dict[tuple[str, str], Pictures]:
    """Pictures of every sequence by (subject, task).

    Raises
    ------
    MissingPicture
        When there are none and they are `required`.
    DatasetError
        When an archive is damaged.
    """
    if form not in (None, "archives", "folders", "video"):
        raise ValueError(f"expected form 'archives', 'folders', 'video' or None, found {form!r}")
    if first_image not in (None, 0, 1):
        raise ValueError(f"expected first_image 0, 1 or None, found {first_image!r}")
    found: dict[tuple[str, str], Pictures] = {}
    if form in (None, "folders"):
        found = _folders(root)
    if not found and form in (None, "archives"):
        for place in (root / "2D+3D", root):
            for path in files(place, _SUBJECT + r"\.zip").values():
                found |= pictures.archive(path)
            if found:
                break
    if found:
        return pictures.counted_from(found, first_image)
    if form in (None, "video"):
        for place in (root, *subfolders(root, r".*").values()):
            for name, path in files(place, _SUBJECT + r"_T\d{1,2}\.(mp4|avi|mkv)").items():
                subject, task = Path(name).stem.upper().split("_")
                found[subject, task] = pictures.video(path)
            if found:
                return found
    if required:
        raise MissingPicture(
            root,
            expected="archives 2D+3D/F001.zip, images in F001/T1/, or videos F001_T1.mp4",
            found="none of them" if form is None else f"no {form}",
            hint="give the folder that holds AUCoding and pictures, or pass allow_missing=True for labels only",
        )
    return {}


def _folders(root: Path) -> dict[tuple[str, str], Pictures]:
    for place in (root / "2D+3D", root / "BP4D+", root):
        found = {
            (subject.upper(), task.upper()): pictures.folder(folder)
            for subject, inside in subfolders(place, _SUBJECT).items()
            for task, folder in subfolders(inside, r"T\d{1,2}").items()
        }
        found = {key: sequence for key, sequence in found.items() if sequence.names}
        if found:
            return found
    return {}


def _tracks(root: Path) -> dict[tuple[str, str], Path]:
    found = {}
    for name, path in files(root / "2DFeatures", _SUBJECT + r"_T\d{1,2}\.mat").items():
        subject, task = re.split("_", Path(name).stem.upper())
        found[subject, task] = path
    return found
