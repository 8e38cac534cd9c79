"""What hides part of a face: sunglasses, a mask, a scarf, a hand, an object.

The painters (:mod:`~fau_utils.faces.worn`, :mod:`~fau_utils.faces.held`) draw from landmarks and pose, so a rendered
face, or any photograph whose landmarks are known, can wear them. The renderer lays the result over the face before the
camera's own effects. Patches and blocks that hide parts of *any* image are in :mod:`~fau_utils.faces.patches`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from fau_utils.faces import held, worn
from fau_utils.faces.names import nearest
from fau_utils.faces.rng import uniform
from fau_utils.faces.sdf import Canvas

KINDS: tuple[str, ...] = ("none", "sunglasses", "mask", "scarf", "hand", "object")
"""Occluders by number: ``KINDS[kind]``; 0 hides nothing."""

_PAINTERS = {
    "sunglasses": worn.sunglasses,
    "mask": worn.mask,
    "scarf": worn.scarf,
    "hand": held.hand,
    "object": held.thing,
}
_LOOK = 9501  # plus the kind's number: every kind has a stream of its own
_UNIFORMS = 16
_ROWS_AT_ONCE = 64


def kind_number(name: str) -> int:
    """Number of a kind; an unknown one is refused with the list and the most similar name."""
    return KINDS.index(nearest(name, KINDS, what="occluder kind"))


def kinds(names: Sequence[str]) -> Tensor:
    """Numbers of several kinds, (B,) int64."""
    return torch.tensor([kind_number(name) for name in names], dtype=torch.int64)


def paint(
    kind: Tensor,
    seed: Tensor,
    *,
    landmarks: Tensor,
    pose: Tensor,
    scale: Tensor,
    res: int,
    skin: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Occluders for B faces, each a pure function of its row.

    Parameters
    ----------
    kind : Tensor, (B,) int64
        Numbers of :data:`KINDS`.
    seed : Tensor, (B,) int64
        Colour, cut and place.
    landmarks : Tensor, (B, 68, 2) float32
        px, x right and y down, a pixel's centre at integers.
    pose : Tensor, (B, 3) float32
        Yaw, pitch, roll in rad, signs as in :class:`~fau_utils.faces.nuisance.Nuisance`. The roll is read off the line
        of the eyes instead: an aligned crop has turned the picture.
    scale : Tensor, (B,) float32
        px per face unit (half a head's width is 0.78).
    res : int
        Image side in px.
    skin : Tensor, (B, 3) float32, optional
        Skin colour for hands; by default the seed's.

    Returns
    -------
    rgb : Tensor, (B, 3, res, res) float32 in [0, 1]
        0 where nothing is painted.
    alpha : Tensor, (B, res, res) float32 in [0, 1]
        Coverage; the pixels with alpha > 0 are all that an occluder may change.

    Raises
    ------
    ValueError
        For a number that is no kind.
    """
    if bool(((kind < 0) | (kind >= len(KINDS))).any()):
        raise ValueError(
            f"expected occluder kinds 0 to {len(KINDS) - 1} ({', '.join(KINDS)}), found {kind.tolist()[:8]}"
        )
    device = landmarks.device
    rgb = torch.zeros(len(kind), 3, res, res, device=device)
    alpha = torch.zeros(len(kind), res, res, device=device)
    fine = 2  # samples per pixel side: edges and finger gaps stay clean at 64 px
    for number, name in enumerate(KINDS[1:], start=1):
        for rows in (kind == number).nonzero()[:, 0].split(_ROWS_AT_ONCE):
            if not len(rows):
                continue
            canvas = Canvas.blank(len(rows), res=res, fine=fine, device=device)
            extra = {"skin": skin[rows]} if name == "hand" and skin is not None else {}
            marks = landmarks[rows].float()
            look = uniform(seed[rows], _LOOK + number, _UNIFORMS)
            _PAINTERS[name](canvas, marks, _seen_pose(pose[rows], marks), scale[rows], look, **extra)
            rgb[rows], alpha[rows] = canvas.pixels()
    return rgb, alpha


def _seen_pose(pose: Tensor, marks: Tensor) -> Tensor:
    """The pose with the roll that the eyes have in the picture."""
    eyes = marks[:, 42:48].mean(1) - marks[:, 36:42].mean(1)
    return torch.stack([pose[:, 0], pose[:, 1], torch.atan2(-eyes[:, 1], eyes[:, 0])], 1)
