"""Faces about which a model should say nothing, and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

NO_FACE = "no face"
REASONS: Mapping[str, str] = {
    NO_FACE: "the detector found none",
    "unsure": "the detector is not sure that it is a face: often hidden, blurred or drawn",
    "turned": "the head is turned further than in training",
    "small": "the face has fewer pixels than the model needs",
    "cut off": "part of the crop lies outside the picture",
    "unlike training": "the model's features lie further from those of its training people than theirs do: hidden "
    "parts, other light, other kinds of picture",
}
"""What stands in the column ``abstained``, and what it means. The first that applies is given."""


@dataclass(frozen=True)
class Limits:
    """Where a model was trained to work.

    Attributes
    ----------
    score : float
        The detector's, at least.
    eyes : float
        Least distance between the eyes in px; for faces without points, a sixth of the picture's side counts as it.
    yaw, pitch : float
        Degrees to either side.
    outside : float
        Largest share of the crop outside the picture.
    distance : float
        Largest distance of features from the training people's, see :class:`fau_utils.own.model.Model`.
    """

    score: float = 0.85
    eyes: float = 20.0
    yaw: float = 35.0
    pitch: float = 30.0
    outside: float = 0.25
    distance: float = float("inf")

    def reason(self, face: Mapping[str, float]) -> str:
        """Why there is to be no answer, or the empty word.

        Parameters
        ----------
        face : mapping
            ``score, eyes, yaw, pitch, outside, distance``; what is ``nan`` is not known and holds nothing back.
        """
        too_much = {
            "unsure": face["score"] < self.score,
            "turned": abs(face["yaw"]) > self.yaw or abs(face["pitch"]) > self.pitch,
            "small": face["eyes"] < self.eyes,
            "cut off": face["outside"] > self.outside,
            "unlike training": face["distance"] > self.distance,
        }
        return next((name for name, applies in too_much.items() if applies), "")

    def as_dict(self) -> dict[str, float | None]:
        """For json, which has no infinity."""
        return {name: float(value) if np.isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, said: Mapping[str, float | None]) -> "Limits":
        """The inverse of :meth:`as_dict`."""
        return cls(**{name: float("inf") if value is None else float(value) for name, value in said.items()})
