"""What a model sees: one batch of faces with labels that may be unknown."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class Batch:
    """Faces and what is known of them. Every tensor has the batch as its first axis.

    Attributes
    ----------
    image : Tensor, (B, 3, H, W) float32 in [0, 1]
    au : Tensor, (B, A) float32 in {0, 1, nan}
        ``nan`` is *not coded*; losses and metrics mask it, and nothing turns it into 0.
    subject : Tensor, (B,) int64
        Index of the person among the subjects of the dataset (not of the batch).
    clip, frame : Tensor, (B,) int64
        Index of the clip in the dataset, and the frame number in the clip.
    landmarks : Tensor, (B, 49, 2) float32, optional
        Pixels, x to the right and y down, of the 49-point subset.
    visible : Tensor, (B, P) bool, optional
        Per patch of the grid, row-major: False where an occluder hides it.
    domain : Tensor, (B,) int64, optional
        0 source (laboratory), 1 target (wild).
    intensity : Tensor, (B, A) float32 in [0, 5] or nan, optional
        FACS intensity, for probes; no method trains on it unless it says so.
    """

    image: Tensor
    au: Tensor
    subject: Tensor
    clip: Tensor
    frame: Tensor
    landmarks: Tensor | None = None
    visible: Tensor | None = None
    domain: Tensor | None = None
    intensity: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image)

    def _present(self) -> Iterator[tuple[str, Tensor]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "Batch":
        """The batch on another device."""
        return Batch(**{name: value.to(device, non_blocking=non_blocking) for name, value in self._present()})

    def __getitem__(self, index: slice | Tensor) -> "Batch":
        """Some rows of the batch, as a batch."""
        return Batch(**{name: value[index] for name, value in self._present()})

    def with_image(self, image: Tensor) -> "Batch":
        """The same batch with other pixels (after augmentation or occlusion)."""
        return replace(self, image=image)
