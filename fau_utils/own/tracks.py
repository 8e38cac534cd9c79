"""Which face is whose from frame to frame: boxes that overlap most go together (the Hungarian method)."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

_FORESIGHT = 5  # frames for which a speed says where a box will be


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (M, 4) and (N, 4), left, top, right, bottom: (M, N)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(-1) for b in (one, other)]
    return common / np.maximum(area[0][:, None] + area[1][None] - common, 1e-9)


class Tracker:
    """Gives every face a number that it keeps.

    A face is the one of before when their boxes overlap enough, the old box moved on by its last movement. Whoever
    has been gone for longer than `patience` is somebody new on return: no face is recognised, so two numbers may be
    one person, and after a cut one number two.

    Parameters
    ----------
    least : float
        Overlap (intersection over union) below which two boxes are two faces.
    patience : int
        Frames.
    """

    def __init__(self, *, least: float = 0.3, patience: int = 25):
        self.least, self.patience = least, patience
        self._known: list[dict] = []
        self._next = 0

    def number(self, boxes: Sequence[np.ndarray], *, frame: int) -> list[int]:
        """The numbers of a frame's faces; `boxes` are (4,) each, `frame` rises from call to call."""
        self._known = [face for face in self._known if frame - face["frame"] <= self.patience]
        boxes = np.asarray(boxes, "float64").reshape(-1, 4)
        before = np.array([_moved_on(face, frame) for face in self._known]).reshape(-1, 4)
        share = overlap(before, boxes)
        numbers: dict[int, dict] = {}
        for old, new in zip(*linear_sum_assignment(-share), strict=True):
            if share[old, new] >= self.least:
                face = self._known[old]
                passed = frame - face["frame"]
                step = (boxes[new] - face["box"]).reshape(2, 2).mean(0) / passed
                speed = (np.array(face["speed"]) + step) / 2  # boxes shake from frame to frame
                numbers[new] = face | {"box": boxes[new].tolist(), "frame": frame, "speed": speed.tolist()}
        for new, box in enumerate(boxes):
            if new not in numbers:
                numbers[new] = {"face": self._next, "box": box.tolist(), "frame": frame, "speed": [0.0, 0.0]}
                self._next += 1
        seen = {face["face"] for face in numbers.values()}
        self._known = [face for face in self._known if face["face"] not in seen] + list(numbers.values())
        return [numbers[k]["face"] for k in range(len(boxes))]

    @property
    def state(self) -> dict:
        """Plain data to go on from."""
        return {"known": self._known, "next": self._next}

    @state.setter
    def state(self, value: dict) -> None:
        self._known, self._next = list(value["known"]), value["next"]


def _moved_on(face: dict, frame: int) -> np.ndarray:
    return np.array(face["box"]) + np.tile(face["speed"], 2) * min(frame - face["frame"], _FORESIGHT)
