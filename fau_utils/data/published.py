"""What papers do to training faces, by name, for the recipes of :mod:`fau_utils.methods.recipes`.

Random numbers follow from torch's own generator, which a training run seeds.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torchvision.transforms import v2

from fau_utils.batch import Batch
from fau_utils.data.augment import each, random_boxes, random_erasing, resized_crop

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def fmae(batch: Batch) -> Batch:
    """Fine-tuning of FMAE: a random part of 8 to 100 %, RandAugment, and a quarter of the faces partly noise.

    The published code has timm's ``rand-m9-mstd0.5-inc1`` and erases by ``pixel``. Our reading, for tensors on any
    device: torchvision's RandAugment, two operations of strength 9; a side longer than the picture is cut. The mirror
    images are the training loop's. Pixels are floats in [0, 1]; landmarks and visible patches do not go along.
    """
    device, size = batch.image.device, batch.image.shape[-1]
    first, second = torch.randint(2**31, (2,)).tolist()
    own = torch.Generator(device).manual_seed(first)
    height, width = batch.image.shape[-2:]
    drawn = torch.rand(len(batch), 4, generator=own, device=device)
    box = random_boxes(drawn, height=height, width=width, area=(0.08, 1.0))
    shown = resized_crop(replace(batch, landmarks=None, visible=None), box, size=size)
    shown = each(shown, v2.RandAugment(num_ops=2, magnitude=9), generator=torch.Generator().manual_seed(second))
    erased = random_erasing(shown.with_image(torch.ones_like(shown.image)), generator=own).image == 0
    mean, spread = (shown.image.new_tensor(values)[:, None, None] for values in (_MEAN, _SPREAD))
    noise = torch.randn(shown.image.shape, generator=own, device=device) * spread + mean
    return shown.with_image(torch.where(erased, noise, shown.image.clamp(0, 1)))


AUGMENTATIONS: dict[str, Callable[[Batch], Batch]] = {"fmae": fmae}
"""By the name that a recipe gives."""
