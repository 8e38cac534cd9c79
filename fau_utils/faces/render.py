"""From who, what and when to a picture with all its truth."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Rendered:
    """B pictures of side R and what is true of them.

    Attributes
    ----------
    image : Tensor
        (B, 3, R, R) float32 in [0, 1], display-referred (sRGB-like).
    landmarks : Tensor
        (B, 68, 2) float32, px, x right and y down; a pixel's centre has integer coordinates.
    visible : Tensor
        (B, 68) bool: inside the picture, not behind another part of the face, not behind an occluder.
    occluded : Tensor
        (B, R, R) bool: covered by an occluder (all False without one).
    alpha : Tensor
        (B, R, R) float32 in [0, 1]: coverage by the head (occluders do not take away from it).
    """

    image: Tensor
    landmarks: Tensor
    visible: Tensor
    occluded: Tensor
    alpha: Tensor
