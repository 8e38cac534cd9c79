"""What was named on the command line, as a list of files; and each file's pictures, one after another."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from fau_utils.data.decode import decode
from fau_utils.data.safe import FORMATS
from fau_utils.data.unlabelled import IMAGE_SUFFIXES

VIDEO_SUFFIXES: tuple[str, ...] = (".avi", ".mp4", ".mov", ".wmv", ".mkv", ".mpg", ".mpeg", ".webm", ".m4v")

_TURNED = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """A file.

    Attributes
    ----------
    path : Path
    kind : {"image", "video", "other"}
        By its suffix; ``other`` are files named one by one that are neither.
    """

    path: Path
    kind: Literal["image", "video", "other"]


def listed(names: Sequence[str | os.PathLike]) -> list[Input]:
    """Files and the contents of folders, sorted within a folder; hidden files and other kinds are passed over.

    Raises
    ------
    ValueError
        A name that is not there, or nothing to look at.
    """
    found: dict[Path, Input] = {}
    for name in names:
        path = Path(name)
        if not path.exists():
            raise ValueError(f"{path}: expected a picture, a video or a folder, found nothing of this name")
        below = [path]
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file() and not p.name.startswith("."))
            below = [p for p in inside if _kind(p) != "other"]
        found |= {p: Input(p, _kind(p)) for p in below}
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        raise ValueError(f"expected pictures or videos ({kinds}), found none below {', '.join(map(str, names))}")
    return list(found.values())


def _kind(path: Path) -> Literal["image", "video", "other"]:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else "other"


def length(one: Input, *, step: int = 1) -> int:
    """How many pictures a file is said to have; 1 where nobody knows."""
    if one.kind != "video":
        return 1
    from fau_utils.data.video import info

    try:
        stated = info(one.path).stated
    except (ValueError, OSError):
        return 1
    return 1 if stated is None else -(-stated // step)


def pictures(one: Input, *, start: int = 0, step: int = 1) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frame number from 0, time in s, and (H, W, 3) uint8 RGB; one picture is in memory.

    Raises
    ------
    ValueError, OSError
        The file is none, or damaged; what came before the damage has been given.
    """
    if one.kind == "other":
        raise ValueError(f"expected a picture or a video by its suffix, found {one.path.suffix or 'none'}")
    if one.kind == "image":
        if not start:
            yield 0, 0.0, _upright(one.path)
        return
    yield from _film(one.path, start=start, step=step)


def _film(path: Path, *, start: int, step: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frames as they are to be shown: each at its own time since the film began, turned as the camera was held.

    Where a container has no time stamps, as old AVI files, time follows from the number.
    """
    from fau_utils.data.decoder import Decoder

    with Decoder(path, threads=2) as decoder:
        stream = decoder.stream
        began = float((stream.start_time or 0) * (stream.time_base or 0))
        fps = float(stream.average_rate or 25)
        decoder.advance(start)
        for k, frame in enumerate(islice(decoder.all(partial=False), 0, None, step)):
            number = start + k * step
            time = number / fps if frame.time is None else float(frame.time) - began
            quarter = round(frame.rotation / 90)  # to the left
            yield number, time, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter))


def _upright(path: Path) -> np.ndarray:
    """A picture as its camera says it is to be held: phones store it lying."""
    from PIL import Image

    picture = decode(path)
    try:
        with Image.open(path, formats=FORMATS) as header:
            quarter, mirrored = _TURNED.get(header.getexif().get(274, 1), (0, False))
    except (OSError, ValueError, SyntaxError) as error:
        log.debug("%s: no orientation (%s)", path, error)
        return picture
    picture = np.rot90(picture, quarter)
    return np.ascontiguousarray(picture[:, ::-1] if mirrored else picture)
