"""Damage is exact and the same for all; scores are those of the damaged pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fau_utils.methods import CnnDetector
from fau_utils.methods.contract import Losses, Method
from fau_utils.stress.image_quality import LEVELS, degrade, degraded, quality_curve


class Spy(Method):
    """Remembers what it is shown; the brighter, the surer."""

    aus = (1, 4, 12)

    def __init__(self):
        super().__init__()
        self.images = []

    def loss(self, batch):
        return Losses(batch.image.sum() * 0)

    def embed(self, batch):
        return batch.image.flatten(1)

    def predict(self, batch):
        self.images.append(batch.image.clone())
        return batch.image.mean((1, 2, 3))[:, None].expand(-1, 3).clamp(0, 1)


def _seeds(count):
    return torch.arange(count)


def test_every_method_sees_the_same_damaged_pictures(blobs):
    faces = blobs(3, 6, size=32)
    one, other = Spy(), Spy()
    quality_curve({"one": one}, faces, kinds={"noise": (16,), "jpeg": (10,)}, device="cpu", batch_size=5)
    quality_curve(
        {"cnn": CnnDetector((1, 4, 12), size=32), "other": other},
        faces,
        kinds={"noise": (16,), "jpeg": (10,)},
        device="cpu",
    )
    assert torch.equal(torch.cat(one.images), torch.cat(other.images))
    shown = torch.cat(one.images).split(18)
    for damaged, (kind, level) in zip(shown[1:], (("noise", 16), ("jpeg", 10)), strict=True):
        expected = degraded(faces, kind, level)
        assert torch.equal(damaged, expected.images.float() / 255)
        assert torch.equal(expected.labels, faces.labels)


def test_the_noise_of_a_face_depends_on_its_row_and_the_seed_only(blobs):
    faces = blobs(2, 4, size=32)
    whole = degraded(faces, "noise", 20, seed=3).images
    assert torch.equal(degraded(faces.subset([0, 1]), "noise", 20, seed=3).images, whole[:2])
    assert not torch.equal(degraded(faces, "noise", 20, seed=4).images, whole)


def test_noise_has_the_spread_and_blur_the_width_that_was_asked_for():
    grey = torch.full((8, 3, 64, 64), 128, dtype=torch.uint8)
    assert degrade(grey, "noise", 16, seed=_seeds(8)).float().std().item() == pytest.approx(16, rel=0.02)
    point = torch.zeros(1, 3, 65, 65, dtype=torch.uint8)
    point[:, :, 32, :] = 255  # a line across: its profile is the Gaussian
    profile = degrade(point, "blur", 2.0, seed=_seeds(1))[0, 0, :, 32].double()
    away = torch.arange(65) - 32.0
    assert ((profile * away**2).sum() / profile.sum()).sqrt().item() == pytest.approx(2.0, rel=0.05)


def test_resolution_keeps_what_fits_into_so_many_pixels():
    checks = (torch.arange(64) % 2 * 255).to(torch.uint8).expand(1, 3, 64, 64)
    assert (degrade(checks, "resolution", 16, seed=_seeds(1)).float() - 127.5).abs().max() < 10  # too fine: all grey
    halves = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    halves[..., 32:] = 200
    kept = degrade(halves, "resolution", 8, seed=_seeds(1))
    assert (kept[..., :16] == 0).all()
    assert (kept[..., 48:] == 200).all()


def test_jpeg_is_what_pillow_writes_and_leaves_the_picture_alone(blobs):
    images = blobs(1, 2, size=64).images
    images = images.contiguous(memory_format=torch.channels_last)
    kept = images.clone()
    found = degrade(images, "jpeg", 25, seed=_seeds(2))
    for before, after in zip(images, found, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(before.movedim(0, -1).numpy()).save(buffer, "JPEG", quality=25)
        pillow = np.asarray(Image.open(buffer)).astype(float)
        assert np.array_equal(pillow, after.movedim(0, -1).numpy())
    assert torch.equal(images, kept)


def test_no_damage_is_the_picture_itself(blobs):
    images = blobs(1, 2, size=32).images
    for kind, level in (("resolution", 32), ("blur", 0), ("noise", 0)):
        assert torch.equal(degrade(images, kind, level, seed=_seeds(2)), images)


@pytest.mark.parametrize(
    ("kind", "level", "said"),
    [
        ("resolution", 33, "resolution: expected a level from 1 to 32"),
        ("resolution", 8.5, "whole px"),
        ("blur", -1, "blur: expected a level from 0 to 8"),
        ("noise", float("nan"), "found nan"),
        ("jpeg", 0, "from 1 to 100"),
        ("blurr", 1, "did you mean 'blur'"),
    ],
)
def test_bad_levels_are_named_before_anything_is_predicted(blobs, kind, level, said):
    spy = Spy()
    with pytest.raises(ValueError, match=said):
        quality_curve({"spy": spy}, blobs(1, 2, size=32), kinds={kind: (level,)}, device="cpu")
    assert not spy.images


def test_scores_leave_out_what_is_not_coded(blobs):
    faces = blobs(4, 8, size=32)
    faces.labels[:, 2] = torch.nan
    heard = []
    table = quality_curve(
        {"spy": Spy()}, faces, kinds={"blur": (1,)}, device="cpu", score=lambda p: heard.append(p) or {"n": len(p)}
    )
    assert table["kind"].tolist() == ["clean", "blur"]
    assert table["n"].tolist() == [32, 32]
    assert all(np.isnan(p.label[:, 2]).all() for p in heard)
    plain = quality_curve({"spy": Spy()}, faces, kinds={}, device="cpu")
    two = faces.labels[:, :2].numpy()
    assert np.isfinite(plain["auc"][0])
    assert not np.isnan(two).any()


def test_the_levels_of_the_book_are_levels(blobs):
    images = blobs(1, 2, size=64).images
    for kind, levels in LEVELS.items():
        worse = [float((degrade(images, kind, x, seed=_seeds(2)).float() - images).abs().mean()) for x in levels]
        assert worse == sorted(worse), kind
    with pytest.raises(ValueError, match="at least one method"):
        quality_curve({}, blobs(1, 2))
