"""What papers do to training faces."""

import torch

from fau_utils.batch import Batch
from fau_utils.data.published import AUGMENTATIONS, fmae


def faces(count=40, size=32):
    image = torch.full((count, 3, size, size), 0.2)
    image[:, 0] = torch.linspace(0, 1, size)  # red says where in the row a pixel comes from
    zeros = torch.zeros(count, dtype=torch.int64)
    return Batch(image=image, au=torch.ones(count, 2), subject=zeros, clip=zeros, frame=torch.arange(count))


def test_fmae_shows_each_face_another_part_and_some_partly_noise():
    batch = faces()
    torch.manual_seed(0)
    shown = fmae(batch)
    assert shown.image.shape == batch.image.shape
    assert torch.equal(shown.frame, batch.frame)
    assert batch.image[0, 0, 0, 0] == 0, "the faces of the set are left alone"
    differs = (shown.image != batch.image).flatten(1).any(1)
    assert differs.float().mean() > 0.9
    # noise differs from pixel to pixel along columns, where the faces are constant
    rough = (shown.image[:, 2].diff(dim=1).abs() > 0.3).float().mean((1, 2))
    assert 0.05 < (rough > 0.01).float().mean() < 0.6
    spans = shown.image[:, 0].amax((1, 2)) - shown.image[:, 0].amin((1, 2))
    assert len(set(spans.round(decimals=2).tolist())) > 10


def test_the_same_seed_shows_the_same_and_leaves_what_was_drawn_before_alone():
    torch.manual_seed(3)
    first = AUGMENTATIONS["fmae"](faces(6)).image
    torch.manual_seed(3)
    assert torch.equal(AUGMENTATIONS["fmae"](faces(6)).image, first)
    assert not torch.equal(AUGMENTATIONS["fmae"](faces(6)).image, first)
