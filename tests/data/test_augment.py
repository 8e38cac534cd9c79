"""Each function against torchvision's, which handles one face at a time."""

import math

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from fau_utils.batch import Batch
from fau_utils.data import augment


def faces(count=6, size=32, *, seed=0, kind=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.rand(count, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(smooth, size=(size, size), mode="bilinear")
    image = (image * 255).to(torch.uint8) if kind == torch.uint8 else image
    zeros = torch.zeros(count, dtype=torch.int64)
    marks = torch.rand(count, 49, 2, generator=generator) * 16 + 8
    return Batch(image=image, au=torch.ones(count, 2), subject=zeros, clip=zeros, frame=zeros, landmarks=marks)


@pytest.mark.parametrize("kind", [torch.float32, torch.uint8])
def test_random_parts_are_parts_of_their_face_with_its_landmarks(kind):
    batch = faces(kind=kind)
    out = augment.random_crop(batch, size=20, generator=torch.Generator().manual_seed(3))
    assert out.image.dtype == kind
    corners = (batch.landmarks - out.landmarks)[:, 0].long()
    for part, whole, (left, top) in zip(out.image, batch.image, corners.tolist(), strict=True):
        assert torch.equal(part, whole[:, top : top + 20, left : left + 20])
    assert len({tuple(c) for c in corners.tolist()}) > 1, "each face has its own part"


def test_the_middle_is_what_torchvision_calls_the_middle():
    batch = faces(size=33)
    assert torch.equal(augment.centre_crop(batch, size=21).image, F.center_crop(batch.image, [21, 21]))


def test_parts_that_are_too_large_and_grids_are_refused():
    batch = faces()
    with pytest.raises(ValueError, match="at most 32 px"):
        augment.centre_crop(batch, size=33)
    batch.visible = torch.ones(6, 16, dtype=torch.bool)
    with pytest.raises(ValueError, match="under their grid"):
        augment.centre_crop(batch, size=20)
    with pytest.raises(ValueError, match="under their grid"):
        augment.random_affine(batch, generator=torch.Generator())


def test_turning_and_enlarging_agrees_with_torchvision_face_by_face():
    batch = faces()
    turn, scale = torch.linspace(-0.3, 0.3, 6), torch.linspace(0.8, 1.2, 6)
    out = augment.affine(batch, turn, scale)
    for image, whole, angle, factor in zip(out.image, batch.image, turn.tolist(), scale.tolist(), strict=True):
        theirs = F.affine(
            whole, math.degrees(angle), [0, 0], factor, [0, 0], interpolation=v2.InterpolationMode.BILINEAR
        )  # fmt: skip
        assert (image - theirs).abs()[:, 4:-4, 4:-4].max() < 1e-3


def test_landmarks_turn_with_the_pixels():
    batch = faces(1)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    batch.landmarks[0, 5] = torch.tensor([21.0, 12.0])
    batch.image = torch.exp(-((x - 21) ** 2 + (y - 12) ** 2) / 8).expand(1, 3, 32, 32)
    out = augment.affine(batch, torch.tensor([0.25]), torch.tensor([1.2]))
    spot = out.image[0, 0]
    found = torch.stack([(x * spot).sum(), (y * spot).sum()]) / spot.sum()
    torch.testing.assert_close(found, out.landmarks[0, 5], atol=0.1, rtol=0)


def test_colour_agrees_with_torchvision_face_by_face():
    batch = faces()
    factors = 0.6 + 0.8 * torch.rand(3, 6, generator=torch.Generator().manual_seed(1))
    out = augment.colour(batch, brightness=factors[0], contrast=factors[1], saturation=factors[2]).image
    for image, whole, (brightness, contrast, saturation) in zip(out, batch.image, factors.T.tolist(), strict=True):
        theirs = F.adjust_brightness(whole, brightness)
        theirs = F.adjust_saturation(F.adjust_contrast(theirs, contrast), saturation)
        torch.testing.assert_close(image, theirs, atol=2e-4, rtol=0)


def test_erasing_blacks_out_one_rectangle_of_the_stated_area_in_some_faces():
    batch = faces(400)
    batch.image = torch.ones_like(batch.image)
    out = augment.random_erasing(batch, generator=torch.Generator().manual_seed(0)).image
    share = (out[:, 0] == 0).float().mean((1, 2))
    erased = share > 0
    assert 60 < erased.sum() < 140
    assert share[erased].min() > 0.005
    assert share.max() < 0.4
    for image in out[erased][:20, 0]:
        rows, columns = (image == 0).any(1).nonzero(), (image == 0).any(0).nonzero()
        inside = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside == 0).all()


@pytest.mark.parametrize("draw", [augment.random_colour, augment.random_affine, augment.random_erasing])
def test_every_face_has_its_own_draw_and_the_generator_decides(draw):
    batch = faces(8)
    batch.image = batch.image[:1].expand(8, -1, -1, -1).clone()

    def image(seed):
        return draw(batch, generator=torch.Generator().manual_seed(seed)).image

    assert torch.equal(image(0), image(0))
    assert not torch.equal(image(0), image(1))
    assert len({tuple(face.flatten().tolist()) for face in image(0)}) > 1


def test_any_transform_of_torchvision_is_drawn_for_each_face_and_leaves_the_global_generator_alone():
    batch = faces(8)
    batch.image = batch.image[:1].expand(8, -1, -1, -1).clone()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    blur = v2.GaussianBlur(5, sigma=(0.1, 3.0))
    out = augment.each(batch, blur, generator=torch.Generator().manual_seed(0)).image
    assert torch.equal(torch.rand(1), expected)
    assert len({tuple(face.flatten().tolist()) for face in out}) == 8
    assert torch.equal(augment.each(batch, blur, generator=torch.Generator().manual_seed(0)).image, out)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_nothing_waits_for_the_host_and_flips_and_parts_are_the_same():
    batch, corner, flipped = faces(), torch.tensor([[3, 5]] * 6), torch.arange(6) % 2 == 0
    there = batch.to("cuda")
    corner_there, flipped_there = corner.cuda(), flipped.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        cropped = augment.crop(there, corner_there, size=20)
        mirrored = augment.flip(cropped, flipped_there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    here = augment.flip(augment.crop(batch, corner, size=20), flipped)
    assert torch.equal(mirrored.image.cpu(), here.image)
    torch.testing.assert_close(mirrored.landmarks.cpu(), here.landmarks)


def test_a_resized_crop_shows_its_rectangle_and_moves_landmarks_with_it(blobs):
    batch = blobs(1, 3, size=32).batch(torch.arange(3))
    batch.visible = None
    whole = torch.tensor([[0.0, 0, 32, 32]]).expand(3, 4)
    same = augment.resized_crop(batch, whole, size=32)
    torch.testing.assert_close(same.image, batch.image, atol=1e-4, rtol=0)
    torch.testing.assert_close(same.landmarks, batch.landmarks)
    quarter = augment.resized_crop(batch, torch.tensor([[8.0, 4, 16, 16]]).expand(3, 4), size=16)
    torch.testing.assert_close(quarter.image, batch.image[:, :, 4:20, 8:24], atol=1e-4, rtol=0)
    torch.testing.assert_close(quarter.landmarks, batch.landmarks - torch.tensor([8.0, 4]))
    twice = augment.resized_crop(batch, torch.tensor([[8.0, 4, 16, 16]]).expand(3, 4), size=32)
    expected = torch.nn.functional.interpolate(batch.image[:, :, 4:20, 8:24], size=32, mode="bilinear")
    torch.testing.assert_close(twice.image[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_random_boxes_lie_in_the_picture_with_the_asked_areas():
    boxes = augment.random_boxes(torch.rand(500, 4, generator=torch.Generator().manual_seed(0)), height=40, width=60)
    left, top, wide, tall = boxes.unbind(1)
    assert (boxes >= 0).all()
    assert (left + wide <= 60 + 1e-3).all()
    assert (top + tall <= 40 + 1e-3).all()
    area = wide * tall / 2400
    assert area.min() > 0.15
    assert area.max() <= 1
    assert (wide / tall).min() < 0.9 < 1.2 < (wide / tall).max()
