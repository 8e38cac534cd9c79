"""Which face detector: the one of the extra ``own``, a YuNet file of the user's, or none for pictures that are crops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fau_utils.data.detector import FaceDetector, Found

Finder = Callable[[np.ndarray], list[list[Found]]]
"""Pictures of one size, (N, H, W, 3) uint8 RGB, to the faces on each, the surest first."""

MTCNN, CROPPED = "mtcnn", "cropped"


def finder(name: str = MTCNN, *, device: torch.device | str = "cpu") -> tuple[Finder, str]:
    """A detector by name, and what it is called in records.

    Parameters
    ----------
    name : str
        ``mtcnn``; ``cropped``, which finds one face in every picture and no points; or the path of a YuNet file.
    device : torch.device or str

    Raises
    ------
    NoDetector
        What it needs is missing; says what to install or to bring.
    """
    if name == CROPPED:
        return _whole, CROPPED
    if name == MTCNN:
        from fau_utils.own.mtcnn import Mtcnn

        made = Mtcnn(device=device)
        return made, f"{MTCNN} {made.digest[:12]}"
    yunet = FaceDetector(name)
    return (lambda images: [yunet.all(image) for image in images]), f"{Path(name).name} {yunet.digest[:12]}"


def _whole(images: np.ndarray) -> list[list[Found]]:
    height, width = images.shape[1:3]
    face = Found(np.array([0.0, 0.0, width, height]), np.full((5, 2), np.nan), 1.0)
    return [[face] for _ in images]
