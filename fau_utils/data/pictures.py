"""Where the pictures of one sequence are: a folder of images, an archive of images, or a video.

Labels carry the frame number that the coders used. Images are found by the number in their name, whatever its
padding; frames of a video by their place. Both are written into the table, so that no later step has to guess.
"""

import logging
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.data.tree import DatasetError, MissingPicture, image_numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """The pictures of one sequence.

    Attributes
    ----------
    place : Path
        The folder, the archive or the video.
    names : dict of int to str, or None
        Image number to file name or archive member; None for a video.
    first : int
        Number of the image that belongs to label frame 1: 1 when names repeat the labels' numbers, 0 when they count
        from 0.
    length : int or None
        Frames that the header of a video promises.
    archived : bool
        Whether `place` is an archive.
    """

    place: Path
    names: dict[int, str] | None = None
    first: int = 1
    length: int | None = None
    archived: bool = False

    def describe(self) -> str:
        """What is there, for messages."""
        if self.names is None:
            return "a video of unknown length" if self.length is None else f"a video of {self.length:,} frames"
        if not self.names:
            return "no image"
        return f"{len(self.names):,} images, numbered {min(self.names)} to {max(self.names)}"


def folder(place: Path, *, first: int = 1) -> Pictures:
    """Images in a folder."""
    return Pictures(place, image_numbers(sorted(os.listdir(place)), folder=place), first=first)


def video(place: Path) -> Pictures:
    """A video; only its header is read.

    Raises
    ------
    DatasetError
        When the file does not open as a video.
    """
    from fau_utils.data.video import info

    return Pictures(place, length=info(place).stated)


def archive(place: Path) -> dict[tuple[str, str], Pictures]:
    """Images in a zip archive by (subject, task), from members called ``.../<SUBJ>/<TASK>/<frame>.jpg``.

    Nothing is unpacked: members are named, and read by name later.

    Raises
    ------
    DatasetError
        When the file is not a zip archive, or two members have one frame number.
    """
    try:
        with zipfile.ZipFile(place) as opened:
            members = [name for name in opened.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError(
            place,
            expected="a zip archive of images",
            found=f"{place.stat().st_size if place.exists() else 0} bytes that are none ({error})",
            hint="the download is cut short: get it again",
        ) from error
    sequences: dict[tuple[str, str], list[str]] = {}
    for member in members:
        parts = member.split("/")
        if len(parts) >= 3:
            sequences.setdefault((parts[-3], parts[-2]), []).append(member)
    found = {}
    for (subject, task), names in sequences.items():
        short = {name.split("/")[-1]: name for name in names}
        numbers = image_numbers(short, folder=place / subject / task)
        found[subject, task] = Pictures(place, {n: short[name] for n, name in numbers.items()}, archived=True)
    return found


def locate(
    frames: np.ndarray,
    pictures: Pictures | None,
    *,
    root: Path,
    labels: Path,
    line: Iterable[int],
    allow_missing: bool,
    wanted: str,
) -> pd.DataFrame:
    """The picture of each label.

    Parameters
    ----------
    frames : ndarray, (N,) int64
        Frame numbers of the labels, from 1.
    pictures : Pictures or None
        None when the sequence has no pictures at all.
    root : Path
        Paths are relative to it.
    labels : Path
        The label file, for messages.
    line : iterable of int
        Line of each label in it.
    allow_missing : bool
        Keep labels without a picture, with a null path, instead of raising.
    wanted : str
        What was looked for, for messages.

    Returns
    -------
    DataFrame
        ``path`` (relative, with ``/``: the image or the video), or ``shard`` and ``key`` (the archive and the name in
        it), null where there is no picture; ``index``, the place in the sequence from 0, which is a video decoder's.

    Raises
    ------
    MissingPicture
        The first label without a picture, by file and line.
    """
    index = frames - 1
    nothing = np.array([None] * len(frames), object)
    path, shard, key = nothing.copy(), nothing.copy(), nothing.copy()
    if pictures is None:
        there = np.zeros(len(frames), bool)
    elif pictures.names is None:
        there = np.ones(len(frames), bool) if pictures.length is None else index < pictures.length
        path[there] = _relative(pictures.place, root)
    else:
        names = [pictures.names.get(int(n)) for n in index + pictures.first]
        there = np.array([name is not None for name in names], bool)
        where = _relative(pictures.place, root)
        if pictures.archived:
            shard[there] = where
            key[:] = names
        else:
            path[:] = [None if name is None else f"{where}/{name}".removeprefix("./") for name in names]
    if not there.all() and not allow_missing:
        row = int(np.flatnonzero(~there)[0])
        raise MissingPicture(
            labels,
            line=int(list(line)[row]),
            expected=f"a picture of frame {frames[row]} in {wanted}",
            found=f"none for {int((~there).sum()):,} of {len(frames):,} labels; "
            + ("there is nothing" if pictures is None else pictures.describe()),
            hint="extract the archive again, or pass allow_missing=True to keep these labels without a picture",
        )
    return pd.DataFrame(
        {
            "path": pd.array(path, "string"),
            "shard": pd.array(shard, "string"),
            "key": pd.array(key, "string"),
            "index": index.astype("int64"),
        }
    )


def counted_from(found: dict, first: int | None) -> dict:
    """The same sequences with the number of their first image set.

    Parameters
    ----------
    found : dict of Pictures
    first : int or None
        None looks: 0 when any sequence has an image 0, else 1. One extraction numbers all its sequences alike, and a
        sequence of which only a segment is left does not show where it began.
    """
    if first is None:
        first = 0 if any(0 in (sequence.names or ()) for sequence in found.values()) else 1
        log.info("images are numbered from %d", first)
    return {key: replace(sequence, first=first) for key, sequence in found.items()}


def without_archives(table: pd.DataFrame) -> pd.DataFrame:
    """Drop ``shard`` and ``key`` when no picture is in an archive."""
    return table if table["shard"].notna().any() else table.drop(columns=["shard", "key"])


def _relative(place: Path, root: Path) -> str:
    return Path(os.path.relpath(place, root)).as_posix()
