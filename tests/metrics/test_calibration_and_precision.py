import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from torchmetrics.functional.classification import binary_calibration_error

from fau_utils.metrics.calibration import ece_per_au, reliability
from fau_utils.metrics.precision import average_precision_per_au, balanced_accuracy_per_au

METRICS = [ece_per_au, average_precision_per_au, balanced_accuracy_per_au]


def predictions(seed, *, frames=400, aus=4):
    generator = np.random.default_rng(seed)
    label = (generator.random((frames, aus)) < 0.3).astype("float64")
    prob = 1 / (1 + np.exp(1 - 2 * label - generator.standard_normal(label.shape)))
    label[generator.random(label.shape) < 0.15] = np.nan
    return np.round(prob, seed % 4 + 1), label


def per_au(score, prob, label):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [score(y[~np.isnan(y)], p[~np.isnan(y)]) for p, y in zip(prob.T, label.T, strict=True)]


@pytest.mark.parametrize("seed", range(8))
def test_precision_and_balance_agree_with_scikit_learn_on_random_masked_data(seed):
    prob, label = predictions(seed)
    expected = per_au(average_precision_score, prob, label)
    np.testing.assert_allclose(average_precision_per_au(prob, label), expected, atol=1e-9, rtol=0)
    expected = per_au(lambda y, p: balanced_accuracy_score(y, p >= 0.3), prob, label)
    np.testing.assert_allclose(balanced_accuracy_per_au(prob, label, threshold=0.3), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("seed", range(4))
def test_calibration_error_agrees_with_torchmetrics(seed, bins):
    prob, label = predictions(seed * 4 + 3)  # four decimals: none on the edge of a bin, where rounding decides
    prob = np.clip(prob + 3e-6, 0, 1)

    def expected(y, p):
        return binary_calibration_error(torch.from_numpy(p), torch.from_numpy(y).long(), n_bins=bins).item()

    np.testing.assert_allclose(ece_per_au(prob, label, bins=bins), per_au(expected, prob, label), atol=1e-6)


def test_calibration_error_agrees_with_a_loop_over_bins():
    prob, label = predictions(2)
    prob, label = np.append(prob, [[0.0, 1.0, 0.5, 0.25]], 0), np.append(label, [[1.0, 0.0, 1.0, 0.0]], 0)
    for au, value in enumerate(ece_per_au(prob, label, bins=8)):
        known = ~np.isnan(label[:, au])
        p, y = prob[known, au], label[known, au]
        place = np.minimum(np.floor(p * 8), 7)
        gaps = [(place == b).mean() * abs(p[place == b].mean() - y[place == b].mean()) for b in set(place)]
        assert value == pytest.approx(sum(gaps), abs=1e-9)


def test_reliability_counts_every_coded_frame_once_and_leaves_empty_bins_undefined():
    prob, label = predictions(1)
    diagram = reliability(prob * 0.5, label, bins=10)
    assert (diagram.count.sum(1) == (~np.isnan(label)).sum(0)).all()
    assert np.isnan(diagram.said[:, 6:]).all()
    assert np.isnan(diagram.seen[:, 6:]).all()
    filled = diagram.count > 0
    low = np.broadcast_to(np.arange(10) / 10, filled.shape)
    assert (diagram.said[filled] >= low[filled] - 1e-12).all()
    assert (diagram.said[filled] <= low[filled] + 0.1 + 1e-12).all()


def test_a_calibrated_forecast_has_a_small_error_and_an_overconfident_one_a_large():
    generator = np.random.default_rng(0)
    truth = generator.random((20_000, 1))
    label = (generator.random(truth.shape) < truth).astype("float64")
    assert ece_per_au(truth, label)[0] < 0.02
    assert ece_per_au((truth > 0.5).astype("float64"), label)[0] > 0.2


@pytest.mark.parametrize("metric", METRICS)
def test_unknown_labels_take_part_in_nothing(metric):
    prob, label = predictions(5)
    other = np.where(np.isnan(label), 1 - prob, prob)
    np.testing.assert_array_equal(metric(prob, label), metric(other, label))
    assert not np.allclose(metric(prob, label), metric(prob, np.nan_to_num(label)))


def test_what_is_undefined_stays_undefined():
    prob, label = predictions(6)
    label[:, 0], label[:, 1], label[:, 2] = np.nan, 0, 1
    assert np.isnan(ece_per_au(prob, label)).tolist() == [True, False, False, False]
    assert np.isnan(average_precision_per_au(prob, label)).tolist() == [True, True, False, False]
    assert np.isnan(balanced_accuracy_per_au(prob, label)).tolist() == [True, True, True, False]
    assert average_precision_per_au(prob, label)[2] == 1


def test_logits_are_refused_as_probabilities():
    with pytest.raises(ValueError, match="sigmoid"):
        ece_per_au(np.array([[2.0]]), np.array([[1.0]]))
