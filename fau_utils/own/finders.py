"""Which face detector: MTCNN, a YuNet file of the user's, or none for pictures that are crops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fau_utils.data.detector import LONGEST, FaceDetector, Found, largest

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
    yunet = Yunet(name)
    return (lambda images: [yunet.all(image) for image in images]), f"{Path(name).name} {yunet.digest[:12]}"


class Yunet(FaceDetector):
    """All faces of a picture; preparation of datasets looks for the largest only."""

    def all(self, image: np.ndarray) -> list[Found]:
        """Every face of a picture, (H, W, 3) uint8 RGB, the surest first."""
        import cv2

        height, width = image.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        small = np.ascontiguousarray(image[..., ::-1])
        if scale < 1:
            small = cv2.resize(small, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        faces = self._net.detect(small)[1]
        if faces is None:
            return []
        faces = faces / np.where(np.arange(15) < 14, scale, 1.0)
        return [largest(face[None]) for face in faces[np.argsort(-faces[:, 14])]]


def _whole(images: np.ndarray) -> list[list[Found]]:
    height, width = images.shape[1:3]
    face = Found(np.array([0.0, 0.0, width, height]), np.full((5, 2), np.nan), 1.0)
    return [[face] for _ in images]
