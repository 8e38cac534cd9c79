"""The speed reference must draw real faces: a broken one would make every ratio meaningless."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(SPEED))
    try:
        yield importlib.import_module("reference_faces")
    finally:
        sys.path.remove(str(SPEED))


@pytest.fixture(scope="module")
def people(study):
    return importlib.import_module("reference_people")


@pytest.fixture(scope="module")
def renderer(study):
    return study.ReferenceRenderer(res=64, grid=48)


def draw(people, renderer, au):
    seed = torch.arange(len(au))
    return renderer(people.sample_identity(seed), au, people.sample_nuisance(seed + 100))


def only(study, au, faces=4):
    intensity = torch.zeros(faces, 16, 2)
    intensity[:, study.COLUMN[au]] = 5
    return intensity


def test_pictures_are_finite_and_in_range(people, renderer):
    au = people.uniform(torch.arange(8), 1, 32).view(8, 16, 2) * 5
    image, landmarks, visible = draw(people, renderer, au)
    assert image.shape == (8, 3, 64, 64)
    assert torch.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image.std() > 0.1
    assert torch.isfinite(landmarks).all()
    assert visible.float().mean() > 0.8


def test_lip_corner_puller_changes_the_mouth_and_not_the_brows(study, people, renderer):
    neutral, before, _ = draw(people, renderer, torch.zeros(4, 16, 2))
    smiling, after, _ = draw(people, renderer, only(study, 12))
    change = (smiling - neutral).abs().mean((0, 1))
    eyes, mouth = before[:, 36:48, 1].mean(), before[:, 48:, 1].mean()
    rows = torch.arange(64)
    assert change[(rows - mouth).abs() < 5].mean() > 0.02
    assert change[rows < eyes - 6].mean() < 0.002
    moved = (after - before).norm(dim=-1).mean(0)
    assert moved[[48, 54]].min() > 1.5
    assert moved[17:27].max() < 0.05


def test_every_action_unit_changes_the_picture(study, people, renderer):
    neutral = draw(people, renderer, torch.zeros(1, 16, 2))[0]
    seed = torch.zeros(16, dtype=torch.int64)
    au = 5 * torch.eye(16)[:, :, None].expand(16, 16, 2)
    images = renderer(people.sample_identity(seed), au, people.sample_nuisance(seed + 100))[0]
    assert ((images - neutral).abs().mean((1, 2, 3)) > 5e-4).all()


def test_the_same_seeds_give_the_same_bits(study, people, renderer):
    first, second = (draw(people, renderer, only(study, 26))[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_grid_beyond_the_key_is_refused(study):
    with pytest.raises(ValueError, match="grid <= 64"):
        study.ReferenceRenderer(res=64, grid=65)
