import math

import pytest
import torch
from torch.nn import functional as F

from fau_utils.methods.domain_baselines import orthogonality, scale_invariant_error
from fau_utils.methods.domain_losses import (
    deception,
    discrimination,
    info_nce,
    inverse_rates,
    landmark_confusion,
    landmark_target,
    same_labels,
    weighted_asymmetric_loss,
)


def unit(*shape):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=1)


def test_weights_are_inverse_to_base_rates_and_one_on_average():
    weight = inverse_rates([0.1, 0.2, 0.4])
    assert float(weight.mean()) == pytest.approx(1)
    assert float(weight[0] / weight[2]) == pytest.approx(4)
    with pytest.raises(ValueError, match=r"base rates in \(0, 1\)"):
        inverse_rates([0.1, 0.0])


def test_the_asymmetric_loss_is_its_equation_over_coded_labels():
    logits = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.2]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0], [0.0, torch.nan], [torch.nan, 1.0]])
    w, p = torch.tensor([2.0, 0.5]), logits.detach().sigmoid()
    element = torch.where(y == 1, p.log(), p * (1 - p).log()) * w
    loss = weighted_asymmetric_loss(logits, y, w)
    torch.testing.assert_close(loss, -element[~y.isnan()].mean())
    loss.backward()
    assert logits.grad[1, 1] == 0 == logits.grad[2, 0]
    # the factor p of absent labels is a constant: d/dx of -p0 log(1 - p) is p0 p
    assert float(logits.grad[1, 0]) == pytest.approx(float(w[0] * p[1, 0] ** 2 / 4), rel=1e-5)


def test_nothing_coded_is_no_loss():
    assert weighted_asymmetric_loss(torch.ones(2, 3), torch.full((2, 3), torch.nan)) == 0


def test_landmark_maps_have_a_one_in_the_cell_of_each_known_landmark():
    points = torch.tensor([[[0.0, 0.0], [31.0, 0.0], [torch.nan, 3.0]]])
    maps = landmark_target(points, size=32, grid=8)
    assert maps.shape == (1, 3, 8, 8)
    assert maps[0, 0, 0, 0] == 1 == maps[0, 1, 0, 7]
    assert maps.sum() == 2


def test_a_texture_hides_landmarks_best_where_every_cell_is_as_likely():
    assert landmark_confusion(torch.full((2, 49, 8, 8), 1 / 64)) == pytest.approx(0, abs=1e-12)
    assert landmark_confusion(torch.zeros(2, 49, 8, 8)) > 0


def test_least_squares_judge_and_deceiver_want_opposite_things():
    real, fake = torch.ones(4), torch.zeros(4)
    assert discrimination(real, fake) == 0
    assert deception(fake) == 1
    assert discrimination(real, 1 - fake) == 0.5
    assert deception(1 - fake) == 0


def test_contrast_is_its_equation():
    q, k, t = unit(5, 8), unit(5, 8).roll(1, 1), 0.5
    s = q @ k.T / t
    each = [
        math.log(math.exp(s[i, i]) / sum(math.exp(v) for v in s[i]))
        + math.log(math.exp(s[i, i]) / sum(math.exp(v) for v in s[:, i]))
        for i in range(5)
    ]
    assert float(info_nce(q, k, temperature=t)) == pytest.approx(-sum(each) / 10, rel=1e-5)


def test_faces_with_the_same_labels_are_no_negatives():
    q = unit(4, 8)
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    aware = info_nce(q, q, same=same)
    assert aware < info_nce(q, q)
    assert info_nce(q, q, same=torch.ones(4, 4, dtype=torch.bool)) == 0  # nobody to be told from


def test_negatives_of_the_other_domain_replace_those_of_the_batch():
    q, others = unit(3, 8), unit(7, 8).roll(2, 1)
    expected = [math.log(math.exp(2) / (math.exp(2) + float((2 * others @ q[i]).exp().sum()))) for i in range(3)]
    assert float(info_nce(q, q, others=others)) == pytest.approx(-sum(expected) / 3, rel=1e-5)


def test_labels_are_the_same_where_all_coded_ones_agree():
    labels = torch.tensor([[1.0, 0.0], [1.0, torch.nan], [0.0, 0.0], [torch.nan, torch.nan]])
    same = same_labels(labels)
    assert same[0, 1]
    assert same[1, 0]
    assert not same[0, 2]
    assert not same[3].any()


def test_orthogonal_codes_cost_nothing_and_equal_ones_do():
    maps = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    left, right = maps.clone(), maps.flip(0)
    assert orthogonality(left, left) > orthogonality(left, right * 0) == 0


def test_scale_invariant_error_forgives_a_shift():
    pixels = torch.rand(2, 3, 4, 4)
    assert scale_invariant_error(pixels + 0.3, pixels) == pytest.approx(0, abs=1e-6)
    assert scale_invariant_error(pixels * 0, pixels) > 0.01
