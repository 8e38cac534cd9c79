"""Finding the face in a picture, for sets without landmarks and for crops that ask for a detector's box.

OpenCV's ``FaceDetectorYN`` (YuNet: Wu, Peng & Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector") with a model
file that the user brings: nothing is downloaded and no weights are shipped.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LONGEST = 640  # px; larger pictures are made smaller before the search, smaller ones searched as they are
_SCORE = 0.6


class NoDetector(RuntimeError):
    """There is no detector; the message says what to install or where its model comes from."""


@dataclass(frozen=True)
class Found:
    """A face.

    Attributes
    ----------
    box : ndarray, (4,) float64
        Left, top, right, bottom in px.
    five : ndarray, (5, 2) float64
        Eyes, nose tip and mouth corners in px, the picture's left one first, pixel centres whole.
    score : float
        The detector's, from 0 to 1.
    """

    box: np.ndarray
    five: np.ndarray
    score: float


class FaceDetector:
    """The largest face of a picture.

    Parameters
    ----------
    model : path-like
        A YuNet file, such as ``face_detection_yunet_2023mar.onnx`` of the OpenCV model zoo.
    score : float
        Faces of which the detector is less sure are passed over.

    Raises
    ------
    NoDetector
        OpenCV is not installed, there is no such file, or it is no model of this kind.
    """

    def __init__(self, model: str | os.PathLike, *, score: float = _SCORE):
        cv2 = _cv2()
        path = Path(model)
        if not path.is_file():
            raise NoDetector(
                f"{path}: expected the model file of a face detector, found nothing of this name; "
                "download face_detection_yunet_2023mar.onnx from the OpenCV model zoo and pass its path"
            )
        cv2.setNumThreads(1)  # pictures are prepared in parallel
        try:
            self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score)
        except cv2.error as error:
            raise NoDetector(
                f"{path}: expected a YuNet model (.onnx) that OpenCV {cv2.__version__} can load, found another file "
                f"({str(error).strip().splitlines()[-1]}); download it again from the OpenCV model zoo"
            ) from error
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def find(self, image: np.ndarray) -> Found | None:
        """The largest face of a picture, (H, W, 3) uint8 RGB; None when there is none."""
        cv2 = _cv2()
        height, width = image.shape[:2]
        scale = min(1.0, LONGEST / max(height, width))
        small = np.ascontiguousarray(image[..., ::-1])
        if scale < 1:
            small = cv2.resize(small, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        faces = self._net.detect(small)[1]
        return None if faces is None else largest(faces / np.where(np.arange(15) < 14, scale, 1.0))


def largest(faces: np.ndarray) -> Found:
    """The largest of YuNet's faces, (N, 15): left, top, width, height, five points, score."""
    face = np.asarray(faces, "float64")[np.argmax(faces[:, 2] * faces[:, 3])]
    left, top, width, height = face[:4]
    return Found(np.array([left, top, left + width, top + height]), face[4:14].reshape(5, 2), float(face[14]))


def _cv2():
    try:
        import cv2
    except ImportError as error:
        raise NoDetector(
            "finding faces needs OpenCV, which is not installed: pip install opencv-python-headless"
        ) from error
    if not hasattr(cv2, "FaceDetectorYN"):
        raise NoDetector(f"OpenCV {cv2.__version__} has no FaceDetectorYN: pip install 'opencv-python-headless>=4.10'")
    return cv2
