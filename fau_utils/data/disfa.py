"""DISFA: 27 people, one video each from two cameras, 130,814 frames with intensities of 12 AUs.

Mavadati et al. (2013), "DISFA: A Spontaneous Facial Action Intensity Database", IEEE Trans. Affective Computing 4(2).
Labels ``ActionUnit_Labels/SN001/SN001_au12.txt`` hold ``frame,intensity`` with frames from 1. Videos are in
``Videos_LeftCamera`` and ``Video_RightCamera`` (plural and singular). Published lists differ in the camera and in
whether label 1 is image 0 or image 1 (:data:`NAMINGS`), so the table holds both numbers: ``frame`` is the label's,
from 1, and ``index`` the decoder's, from 0.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fau_utils.data import perau, pictures
from fau_utils.data.pictures import Pictures
from fau_utils.data.tree import (
    DatasetError,
    Numbers,
    au_number,
    existing_root,
    files,
    frame_number,
    one_folder,
    read_numbers,
    refuse_outside,
    refuse_repeated,
    subfolders,
    whole,
)
from fau_utils.frames import Frames

log = logging.getLogger(__name__)

DATASET = "disfa"
SUBJECTS: tuple[str, ...] = tuple(f"SN{n:03d}" for n in (*range(1, 14), 16, 17, 18, 21, *range(23, 33)))
AUS: tuple[int, ...] = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
INTENSITIES: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
CLIP = "video"
"""Everybody has one."""

Camera = Literal["left", "right"]


@dataclass(frozen=True)
class Naming:
    """How a code base names the image of label frame t.

    Attributes
    ----------
    camera : str
        ``left`` or ``right``; empty where its code does not say.
    pattern : str
        With ``{subject}`` and ``{number}``.
    first : int
        Number of the image of label frame 1.
    source : str
    """

    camera: str
    pattern: str
    first: int
    source: str

    def name(self, subject: str, frame: int) -> str:
        """Name of the image of a label frame (from 1): ``NAMINGS["jaa"].name("SN002", 1) == "SN002/0.jpg"``."""
        return self.pattern.format(subject=subject, number=frame - 1 + self.first)

    def frame(self, number: int) -> int:
        """Label frame (from 1) of the image with a number."""
        return number - self.first + 1


NAMINGS: dict[str, Naming] = {
    "jaa": Naming("left", "{subject}/{number}.jpg", 0, "PyTorch-JAANet, ARL lists"),
    "megraph": Naming("left", "{subject}/{number}.png", 0, "ME-GraphAU lists; camera by its author, issue 2"),
    "aunet": Naming("left", "LeftVideo{subject}_comp_{number:08d}.jpg", 0, "AU-Net lists"),
    "fmae": Naming("right", "RightVideo{subject}/frame_{number}.jpg", 1, "FMAE-IAT"),
    "fgnet": Naming("", "{subject}/{number:05d}.png", 1, "FG-Net csv; the suffix is our reading"),
    "libreface": Naming("right", "{subject}/{number:04d}.png", 1, "LibreFace ffmpeg call; the folder is our reading"),
}
"""Published names of extracted frames. Only :attr:`Naming.first` and the camera differ in what is seen."""


def read(
    root: str | os.PathLike,
    *,
    camera: Camera | Literal["both"] = "left",
    aus: Sequence[int] | None = None,
    images: str | os.PathLike | None = None,
    naming: str | None = None,
    allow_missing: bool = False,
) -> Frames:
    """The frames of DISFA, with intensities.

    Parameters
    ----------
    root : path-like
        The folder with ``ActionUnit_Labels`` in it.
    camera : {"left", "right", "both"}
        Which videos; with `both` every label comes twice, under two cameras.
    aus : sequence of int, optional
        By default all 12.
    images : path-like, optional
        A folder, inside or relative to `root`, of frames that were extracted earlier, to use instead of the videos.
    naming : str, optional
        How they are named, one of :data:`NAMINGS`; required with `images`.
    allow_missing : bool
        Keep labels without a picture (null ``path``) and make absent labels null instead of raising.

    Returns
    -------
    Frames
        Of scale "intensity" (0 to 5). ``subject`` is ``disfa/SN001``, ``clip`` is ``video``, ``frame`` the number
        printed in the label file, ``index`` the place in the video from 0, ``camera`` the camera, ``naming`` how the
        pictures count (``video`` or one of :data:`NAMINGS`), ``landmarks`` the frame's ``.mat`` file, for the left
        camera only: published code pairs them with it, and they do not fit the other view.

    Raises
    ------
    DatasetError
        Names file, line, expectation and what to do.
    """
    root = existing_root(root)
    cameras = _cameras(camera, images=images, naming=naming)
    wanted = AUS if aus is None else tuple(aus)
    labels = one_folder(root, r"action_?unit_?labels", called="ActionUnit_Labels")
    tables = {
        subject: _subject(folder, subject, aus=wanted, allow_missing=allow_missing)
        for subject, folder in subfolders(labels, r"SN\d{3}").items()
    }
    if not tables:
        raise DatasetError(labels, expected="folders SN001, SN002, ...", found="none", hint="extract the archive again")
    parts = []
    for side in cameras:
        found = _extracted(root, images, naming) if images is not None else _videos(root, side)
        for subject, (table, line, path) in tables.items():
            wanted_place = f"the {side or 'extracted'} pictures of {subject}"
            place = pictures.locate(
                table["frame"].to_numpy("int64"), found.get(subject), root=root, labels=path, line=line,
                allow_missing=allow_missing, wanted=wanted_place,
            )  # fmt: skip
            _report_excess(table["frame"].to_numpy("int64"), found.get(subject), path)
            keys = {"dataset": DATASET, "subject": f"{DATASET}/{subject}", "clip": CLIP, "camera": side}
            parts.append(table.assign(**keys, naming=naming or "video").join(place))
    whole_table = pictures.without_archives(pd.concat(parts, ignore_index=True))
    whole_table["landmarks"] = _landmarks(root, whole_table)
    return Frames(whole_table, scale="intensity")


def read_labels(path: str | os.PathLike, *, what: str) -> tuple[pd.Series, np.ndarray]:
    """One label file: intensities (Int8) by frame number, and the line of each.

    Raises
    ------
    DatasetError
        A damaged line, an intensity outside 0 to 5 (DISFA has no code for *not coded*), a frame below 1 or twice.
    """
    path = Path(path)
    numbers = read_numbers(path, columns=2)
    frames = _frames(numbers, path)
    refuse_outside(
        numbers.values[:, 1], INTENSITIES, path=path, line=numbers.line, what=what, meaning="an intensity from 0 to 5"
    )
    return pd.Series(pd.array(numbers.values[:, 1], "Int8"), index=frames), numbers.line


def _frames(numbers: Numbers, path: Path) -> np.ndarray:
    frames = whole(numbers.values[:, 0], path=path, line=numbers.line, what="frame number")
    if frames.min() < 1:
        raise DatasetError(
            path,
            line=int(numbers.line[frames.argmin()]),
            expected="frame numbers from 1",
            found=f"{frames.min()}",
            hint="the file was renumbered from 0: take the one of the release",
        )
    refuse_repeated(frames, path=path, line=numbers.line)
    return frames


def _cameras(camera: str, *, images, naming: str | None) -> tuple[str, ...]:
    if camera not in ("left", "right", "both"):
        raise ValueError(f"expected camera 'left', 'right' or 'both', found {camera!r}")
    if images is None:
        if naming is not None:
            raise ValueError("naming says how extracted images are called: pass images= too, or leave it out")
        return ("left", "right") if camera == "both" else (camera,)
    if naming not in NAMINGS:
        raise ValueError(f"extracted images need naming=, one of {sorted(NAMINGS)}; found {naming!r}")
    return (NAMINGS[naming].camera,)


def _subject(
    folder: Path, subject: str, *, aus: Sequence[int], allow_missing: bool
) -> tuple[pd.DataFrame, np.ndarray, Path]:
    by_au: dict[int, Path] = {}
    for name, path in files(folder, r"SN\d{3}_au\d+\.txt").items():
        if name[:5].upper() != subject.upper():
            raise DatasetError(
                path, expected=f"labels of {subject}, as its folder says", found=name, hint="move it back"
            )
        by_au[au_number(name)] = path  # the number in the name: listings sort au12 before au2
    return perau.join(
        by_au, lambda path, what: read_labels(path, what=what), aus=aus, absent=folder, allow_missing=allow_missing
    )


def _videos(root: Path, camera: str) -> dict[str, Pictures]:
    folder = one_folder(root, rf"videos?_{camera}camera", called=_called(camera), required=False)
    found = {}
    for name, path in files(folder or root, rf"{camera}VideoSN\d{{3}}_comp\.(avi|mp4|mkv)").items():
        found[re.search(r"SN\d{3}", name, re.IGNORECASE)[0].upper()] = pictures.video(path)
    return found


def _called(camera: str) -> str:
    return "Videos_LeftCamera" if camera == "left" else "Video_RightCamera"


def _extracted(root: Path, images: str | os.PathLike, naming: str) -> dict[str, Pictures]:
    scheme = NAMINGS[naming]
    place = existing_root(root / images)
    pattern = scheme.pattern.rsplit("/", 1)
    if len(pattern) == 2:
        return {
            re.search(r"SN\d{3}", name, re.IGNORECASE)[0].upper(): pictures.folder(folder, first=scheme.first)
            for name, folder in subfolders(place, pattern[0].format(subject=r"SN\d{3}")).items()
        }
    by_subject: dict[str, list[str]] = {}
    for name in files(place, r".*SN\d{3}.*\.(jpg|jpeg|png)"):
        by_subject.setdefault(re.search(r"SN\d{3}", name, re.IGNORECASE)[0].upper(), []).append(name)
    return {
        subject: Pictures(place, {frame_number(name): name for name in names}, first=scheme.first)
        for subject, names in by_subject.items()
    }


def _report_excess(frames: np.ndarray, found: Pictures | None, labels: Path) -> None:
    if found is None:
        return
    there = found.length if found.names is None else len(found.names)
    if there is not None and there > frames.max():
        log.warning("%s: labels end with frame %d, %s has %d", labels, frames.max(), found.place, there)


def _landmarks(root: Path, table: pd.DataFrame) -> pd.Series:
    """Landmark file of each row. Files of some people are reported to count from 0, those of others from 1."""
    marks = pd.Series([pd.NA] * len(table), dtype="string")
    folder = one_folder(root, r"landmark_?points", called="Landmark_Points", required=False)
    if folder is None:
        return marks
    for subject, inside in subfolders(folder, r"SN\d{3}").items():
        numbered = {frame_number(path): path for path in inside.rglob("*.mat") if not path.name.startswith(".")}
        rows = ((table["subject"] == f"{DATASET}/{subject.upper()}") & (table["camera"] == "left")).to_numpy()
        if not numbered or not rows.any():
            continue
        first = 0 if 0 in numbered else 1
        known = {number - first: path.relative_to(root).as_posix() for number, path in numbered.items()}
        marks[rows] = [known.get(int(index), pd.NA) for index in table.loc[rows, "index"]]
        lost = int(marks[rows].isna().sum())
        if lost:
            log.warning("%s: %d frames without landmarks; files are numbered from %d", inside, lost, first)
    return marks
