from dataclasses import fields

import pytest
import torch

from fau_utils.faces.identity import FACTORS, LAYOUT, LOOK, SHAPE, mean_identity, sample_identity


def test_subjects_of_a_slice_are_the_slice_of_the_subjects():
    seed = torch.arange(40) * 977
    every, some = sample_identity(seed), sample_identity(seed[7:12])
    for field in fields(every):
        assert torch.equal(getattr(every[7:12], field.name), getattr(some, field.name)), field.name


def test_strength_scales_how_different_people_are():
    seed = torch.arange(500)
    weak, strong = sample_identity(seed, strength=0.4), sample_identity(seed, strength=1.0)
    assert torch.allclose(weak.shape, 0.4 * strong.shape)
    assert torch.allclose(weak.look.std(0), 0.4 * strong.look.std(0), atol=1e-5)
    assert weak.expressivity.log().std() < 0.5 * strong.expressivity.log().std()


def test_no_strength_is_the_mean_face():
    mean = mean_identity(2)
    assert not mean.shape.any()
    assert not mean.layout.any()
    assert (mean.look == 0.5).all()
    assert (mean.expressivity == 1).all()
    assert not mean.asymmetry.any()


def test_resting_folds_are_never_negative():
    folded = [i for i, f in enumerate(SHAPE) if f.draw == "folded"]
    assert len(folded) == 5
    assert (sample_identity(torch.arange(200)).shape[:, folded] >= 0).all()


def test_factors_are_found_by_name():
    people = sample_identity(torch.arange(3))
    assert len({f.name for f in FACTORS}) == len(SHAPE) + len(LAYOUT) + len(LOOK)
    assert people.factor("mouth_curve").shape == (3,)
    with pytest.raises(ValueError, match="unknown identity factor 'moth_curve'"):
        people.factor("moth_curve")
    with pytest.raises(ValueError, match="strength"):
        sample_identity(torch.arange(3), strength=-1)
