"""A published training recipe by name: options of a method and numbers of its budget, with where they are from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """What ``fau train METHOD --set recipe=NAME`` trains with.

    A recipe takes the place of the budget: papers count in epochs, and how many faces that is depends on the data.

    Attributes
    ----------
    name : str
    epochs : float
        Times that each training face is shown.
    warmup : float
        Of them, epochs in which the rate rises.
    options : mapping
        Of the method's constructor.
    numbers : mapping
        Of the budget, all but views and warm-up.
    augment : str
        What is done to training faces, one of :data:`fau_utils.data.published.AUGMENTATIONS`; empty for the mirror
        images alone.
    source : str
    """

    name: str
    epochs: float
    warmup: float
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    augment: str = ""
    source: str = ""

    def budget(self, faces: int = 0) -> dict[str, Any]:
        """Numbers of the budget for a training set of so many faces, see :class:`fau_utils.training.Budget`."""
        views = round(self.epochs * faces)
        return {"views": views, "warmup": self.warmup / self.epochs, **self.numbers}
