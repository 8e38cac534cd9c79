"""Pose and weak perspective, and the camera of an aligned crop."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fau_utils.faces.canvas import constant
from fau_utils.faces.nuisance import Nuisance

DISTANCE = 5.0  # of the camera from the head, face units
SCALE = 0.385  # picture sides per face unit
HEIGHT = 0.06  # the head's origin lies this much of a side below the middle of the picture
ALIGNED_ZOOM = 1.22

# eyes, tip of the nose, mouth corners of an aligned face, face units about the head's origin
_TEMPLATE = ((-0.318, 0.172), (0.318, 0.172), (0.0, -0.170), (-0.290, -0.555), (0.290, -0.555))


def rotation_matrix(pose: Tensor) -> Tensor:
    """(B, 3, 3) of (B, 3) yaw, pitch, roll in rad: first yaw, then pitch, then roll."""
    (cy, cp, cr), (sy, sp, sr) = pose.cos().unbind(1), pose.sin().unbind(1)
    zero, one = torch.zeros_like(cy), torch.ones_like(cy)

    def stack(*rows):
        return torch.stack([torch.stack(r, 1) for r in rows], 1)

    yaw = stack((cy, zero, sy), (zero, one, zero), (-sy, zero, cy))
    pitch = stack((one, zero, zero), (zero, cp, -sp), (zero, sp, cp))
    roll = stack((cr, -sr, zero), (sr, cr, zero), (zero, zero, one))
    return roll @ pitch @ yaw


@dataclass(frozen=True)
class Camera:
    """How B heads are seen.

    Attributes
    ----------
    rotation : Tensor
        (B, 3, 3) of the head.
    scale : Tensor
        (B,) px per face unit.
    shift : Tensor
        (B, 2) px of the head's origin.
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor

    def origin(self) -> Tensor:
        """(B, 2) px of the head's origin."""
        return self.shift


def default(nuisance: Nuisance, res: int) -> Camera:
    """The camera of an unaligned frame."""
    middle = (res - 1) / 2
    shift = (
        middle
        + res * nuisance.shift
        + res
        * constant(
            (
                0.0,
                HEIGHT,
            ),
            nuisance.shift.device,
        )
    )
    return Camera(rotation_matrix(nuisance.pose), SCALE * res * nuisance.zoom, shift)


def _flat(points: Tensor, rotation: Tensor) -> Tensor:
    turned = torch.einsum("bij,bkj->bki", rotation, points)
    return turned[..., :2] * (DISTANCE / (DISTANCE - turned[..., 2:]))


def aligned(nuisance: Nuisance, res: int, anchors: Tensor) -> Camera:
    """The camera after a similarity alignment on five points of the resting face.

    Parameters
    ----------
    anchors : Tensor
        (B, 5, 3) the points in the head's axes.

    Notes
    -----
    The least-squares similarity of two point sets in the plane is one complex division. The nuisance's roll (a third
    of it), shift (half) and zoom remain as the jitter of an imperfect face tracker.
    """
    pose = nuisance.pose * constant(
        (
            1.0,
            1.0,
            0.0,
        ),
        nuisance.pose.device,
    )
    seen = torch.view_as_complex(_flat(anchors, rotation_matrix(pose)).contiguous())
    goal = torch.view_as_complex(constant(_TEMPLATE, seen.real.device))
    from_mean, to_mean = seen.mean(1, keepdim=True), goal.mean()
    a = ((seen - from_mean).conj() * (goal - to_mean)).sum(1) / (seen - from_mean).abs().square().sum(1)
    b = to_mean - a * from_mean[:, 0]
    pose = torch.cat([pose[:, :2], a.angle()[:, None] + nuisance.pose[:, 2:] / 3], 1)
    scale = a.abs() * SCALE * ALIGNED_ZOOM * nuisance.zoom
    middle = (res - 1) / 2
    offset = torch.stack([b.real, -b.imag], 1) * SCALE * ALIGNED_ZOOM
    shift = middle + res * (
        offset
        + 0.5 * nuisance.shift
        + constant(
            (
                0.0,
                -0.035,
            ),
            nuisance.shift.device,
        )
    )
    return Camera(rotation_matrix(pose), scale * res, shift)


def project(points: Tensor, camera: Camera) -> Tensor:
    """(B, 3, H, W) points in the head's axes to x and y in px and depth towards the camera in face units."""
    b, _, h, w = points.shape
    out = torch.bmm(camera.rotation, points.flatten(2)).view(b, 3, h, w)
    factor = (DISTANCE * camera.scale)[:, None, None] / (DISTANCE - out[:, 2])
    out[:, 0].mul_(factor).add_(camera.shift[:, 0, None, None])
    out[:, 1].mul_(-factor).add_(camera.shift[:, 1, None, None])
    return out
