"""Pictures and videos in which red and green squares stand for faces, and a finder that takes no time."""

from pathlib import Path

import numpy as np
from PIL import Image

from fau_utils.data import video
from fau_utils.data.detector import Found

SIDE = 48  # px of a square


def find(images: np.ndarray) -> list[list[Found]]:
    return [[face for channel in (0, 1) for face in _square(image, channel)] for image in images]


def _square(image: np.ndarray, channel: int) -> list[Found]:
    other = image[..., 1 - channel].astype(int)
    rows, columns = np.nonzero((image[..., channel].astype(int) - other) > 60)
    if not len(rows):
        return []
    left, top = columns.min(), rows.min()
    five = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.63], [0.34, 0.86], [0.66, 0.86]]) * SIDE + [left, top]
    return [Found(np.array([left, top, left + SIDE, top + SIDE], "float64"), five, 0.99)]


def picture(*places: tuple[int, int] | None, size=(96, 192)) -> np.ndarray:
    """A grey picture with a red and a green square at (left, top); None for one that is not there."""
    made = np.full((*size, 3), 128, "uint8")
    for channel, place in enumerate(places):
        if place is not None:
            left, top = place
            made[top : top + SIDE, left : left + SIDE] = 40
            made[top : top + SIDE, left : left + SIDE, channel] = 220
    return made


def film(path: Path, frames: int) -> Path:
    """A video of two squares that drift, the green one away for a fifth of it."""
    pictures = (
        picture((8 + t % 20, 20), None if frames * 2 // 5 <= t < frames * 3 // 5 else (130 - t % 20, 24))
        for t in range(frames)
    )
    video.write(path, pictures, codec="mpeg4")
    return path


def save(path: Path, image: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path
