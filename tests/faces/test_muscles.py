import numpy as np
import pytest
import torch

from fau_utils.aus import RENDERED
from fau_utils.faces import fields, muscles, surface
from fau_utils.faces.identity import SHAPE, mean_identity, sample_identity
from fau_utils.faces.render import contraction


def test_every_rendered_unit_moves_or_repaints_something():
    for movement in muscles.MOVEMENTS:
        assert movement.skin or movement.painted, movement.au
        assert set(movement.painted) <= set(muscles.PAINTED), movement.au


def test_folds_at_rest_are_the_folded_identity_factors():
    assert list(muscles.LINES_AT_REST) == [f.name for f in SHAPE if f.draw == "folded"]


def test_a_pulled_insertion_moves_towards_the_attachment_by_the_gain():
    pull = muscles.Pull((0.6, 0.0), (0.3, -0.5), 0.1, 40, 1.3)
    move = fields.movement(np.array([0.3]), np.array([-0.5]), pull)[:, 0]
    direction = np.array([0.3, 0.5]) / np.hypot(0.3, 0.5)
    assert move[:2] == pytest.approx(0.1 * direction, abs=1e-6)
    behind = fields.movement(np.array([0.9]), np.array([0.5]), pull)[:, 0]
    assert behind == pytest.approx(0, abs=1e-12)


def test_sides_of_a_movement_are_mirror_images_and_stay_on_their_side():
    built = surface.build(48, 64, 96)
    bases = built.directions[surface.SHAPE_SOLID :].view(16, 2, 3, 48, 64)
    left, right = bases[:, 0], bases[:, 1]
    mirrored = left.flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    assert torch.allclose(mirrored, right, atol=1e-5)
    assert not left[..., built.x < -0.1].any()


def test_contraction_grows_with_intensity_and_follows_the_facs_letters():
    au = torch.zeros(6, 16, 2)
    au[:, 3, 0] = torch.arange(6.0)
    c = contraction(au, mean_identity(6))
    assert c[:, 3, 0].tolist() == pytest.approx(list(muscles.CONTRACTION))
    assert not c[:, :3].any()


def test_pressed_lips_do_not_part():
    au = torch.zeros(2, 16, 2)
    au[:, RENDERED.index(25)] = 5
    au[1, RENDERED.index(24)] = 5
    c = contraction(au, mean_identity(2))[:, RENDERED.index(25)]
    assert (c[1] < 0.25 * c[0]).all()


def test_habitual_asymmetry_favours_one_side():
    people = sample_identity(torch.arange(8))
    c = contraction(torch.full((8, 16, 2), 2.0), people)[:, 0]
    assert torch.equal((c[:, 0] > c[:, 1]), people.asymmetry[:, 0] > 0)
