"""Augmentation on the device, each face for itself."""

import torch
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.faces.landmarks import FLIP_49


def flip(batch: Batch, flipped: Tensor) -> Batch:
    """Mirror some faces from left to right.

    AU labels have no side and stay; landmarks change places with their twins, patches with theirs.

    Parameters
    ----------
    batch : Batch
    flipped : Tensor, (B,) bool
        Which faces to mirror.
    """
    image = torch.where(flipped[:, None, None, None], batch.image.flip(-1), batch.image)
    mirrored = batch.with_image(image)
    if batch.landmarks is not None:
        twins = torch.tensor(FLIP_49, device=image.device)
        points = batch.landmarks.index_select(1, twins)
        # a pixel's centre has whole coordinates
        points = torch.stack([image.shape[-1] - 1 - points[..., 0], points[..., 1]], dim=-1)
        mirrored.landmarks = torch.where(flipped[:, None, None], points, batch.landmarks)
    if batch.visible is not None:
        side = round(batch.visible.shape[1] ** 0.5)
        patches = batch.visible.unflatten(1, (side, side)).flip(-1).flatten(1)
        mirrored.visible = torch.where(flipped[:, None], patches, batch.visible)
    return mirrored


def random_flip(batch: Batch, *, generator: torch.Generator) -> Batch:
    """Mirror each face with probability one half.

    `generator` lives on the device of the batch.
    """
    return flip(batch, torch.rand(len(batch), generator=generator, device=batch.image.device) < 0.5)
