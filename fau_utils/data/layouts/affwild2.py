"""Rendered faces in the layout of Aff-Wild2's AU track, with the gaps that face detection leaves in it."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data.affwild2 import AUS, NOT_ANNOTATED, SPLITS
from fau_utils.data.layouts.drawing import Draw, column, intensities, render
from fau_utils.faces.activity import PRESENT
from fau_utils.frames import Frames

EDITION = "3rd ABAW Annotations"


@dataclass(frozen=True)
class _Video:
    """One label file and its images: `frames` in the video, `lines` of labels, numbers without a face."""

    name: str
    split: str
    top: str = "cropped_aligned"
    lines: int = 0  # relative to the frames
    gaps: tuple[int, ...] = field(default=())


_VIDEOS = (
    _Video("video1", "train", gaps=(1, 4)),
    _Video("10-60-1280x720", "train", lines=3),
    _Video("video5_left", "train", gaps=(2,)),
    _Video("video5_right", "train", lines=-2),
    _Video("127-30-1280x720", "validation", top="cropped_aligned_new_50_vids", lines=-1),
    _Video("video73", "validation", gaps=(3,), lines=1),
)


def export(out: str | os.PathLike, *, frames: int = 8, seed: int = 0, res: int = 112, draw: Draw = render) -> Frames:
    """Write six videos' images and labels, and the same labels as multi-task files.

    As in the release: 5-digit numbers from 1, numbers missing where no face was found, more or fewer label lines
    than frames, -1 for what is not annotated, two people of one video, two image archives, litter of file managers.

    Parameters
    ----------
    out : path-like
    frames : int
        Frames per video, at least 6.
    seed, res
        Of the faces; 112 px is the release's size.
    draw : callable
        As :func:`~fau_utils.data.layouts.drawing.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.affwild2.read` has to find.
    """
    if frames < 6:
        raise ValueError(f"expected at least 6 frames per video, found {frames}")
    out = Path(out)
    truth, listed = [], {"train": [], "validation": []}
    for person, video in enumerate(_VIDEOS):
        numbers = np.arange(1, frames + max(video.lines, 0) + 1)
        seeds = 1000 * person + numbers
        intensity = intensities(seeds, seed=seed)
        labels = _labels(intensity, seed=seed + person)
        written = [n for n in range(1, frames + 1) if n not in video.gaps]
        rows = [n - 1 for n in written]
        pictures = draw([person] * len(rows), seeds[rows], intensity[rows], seed=seed, res=res)
        folder = out / video.top / video.name
        for number, picture in zip(written, pictures, strict=True):
            _save(picture, folder / f"{number:05d}.jpg")
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        annotated = labels.iloc[: frames + video.lines]
        _write_labels(out / EDITION / "AU_Detection_Challenge" / SPLITS[video.split] / f"{video.name}.txt", annotated)
        for number in (n for n in written if n <= len(annotated)):
            row = labels.iloc[number - 1]
            listed[video.split].append((f"{video.name}/{number:05d}.jpg", row))
            path = f"{video.top}/{video.name}/{number:05d}.jpg"
            truth.append({"video": video.name, "split": video.split, "frame": number, "path": path, **row})
    for split, rows in listed.items():
        _write_multitask(out / EDITION / "MTL_Challenge" / f"{_MULTITASK[split]}_set_annotations.txt", rows)
    return _frames(truth)


_MULTITASK = {"train": "training", "validation": "validation"}


def _labels(intensity: np.ndarray, *, seed: int) -> pd.DataFrame:
    table = pd.DataFrame({vocabulary.column(n): column(intensity, n) >= PRESENT for n in AUS}).astype("Int8")
    unknown = np.random.default_rng(seed).random(table.shape) < 0.1
    unknown[4] = True  # a frame of which nothing is known
    return table.mask(unknown)


def _save(picture: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture)).save(path, quality=95)


def _write_labels(path: Path, labels: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels.fillna(NOT_ANNOTATED).to_csv(path, index=False, lineterminator="\n")


def _write_multitask(path: Path, rows: list[tuple[str, pd.Series]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(["image", "valence", "arousal", "expression", *vocabulary.columns(AUS)])]
    for place, (name, row) in enumerate(rows):
        others = ["-5", "-5", "-1"] if place % 3 == 0 else ["0.25", "-0.5", "0"]
        lines.append(",".join([name, *others, *map(str, row.fillna(NOT_ANNOTATED))]))
    path.write_text("\n".join(lines) + "\n")


def _frames(rows: list[dict]) -> Frames:
    table = pd.DataFrame(rows)
    people = table.pop("video")
    clips = people.str.removesuffix("_left").str.removesuffix("_right")
    return Frames(table.assign(dataset="affwild2", subject="affwild2/" + people, clip=clips))
