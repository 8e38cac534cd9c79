import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.metrics.agreement import ccc_per_au, mae_per_au, pcc_per_au
from fau_utils.metrics.icc import icc_per_au

METRICS = [icc_per_au, mae_per_au, pcc_per_au, ccc_per_au]


def intensities(seed, *, frames=200, aus=5):
    generator = np.random.default_rng(seed)
    actual = generator.integers(0, 6, (frames, aus)).astype("float64")
    predicted = 0.6 * actual + generator.normal(0.5, 1.0, actual.shape)
    actual[generator.random(actual.shape) < 0.2] = np.nan
    return predicted, actual


def icc31(x, y):
    """ICC(3,1) from the two-way analysis of variance, as in Shrout & Fleiss and in pingouin."""
    table = np.stack([x, y], axis=1)
    n, k = table.shape
    faces, raters = table.mean(1, keepdims=True), table.mean(0, keepdims=True)
    between = k * ((faces - table.mean()) ** 2).sum() / (n - 1)
    error = ((table - faces - raters + table.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    return (between - error) / (between + (k - 1) * error)


def ccc(x, y):
    return 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)


REFERENCE = {
    icc_per_au: icc31,
    mae_per_au: lambda x, y: np.abs(x - y).mean(),
    pcc_per_au: lambda x, y: scipy.stats.pearsonr(x, y).statistic,
    ccc_per_au: ccc,
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_their_textbook_formulas_on_random_masked_data(metric, seed):
    predicted, actual = intensities(seed)
    expected = [REFERENCE[metric](x[~np.isnan(y)], y[~np.isnan(y)]) for x, y in zip(predicted.T, actual.T, strict=True)]
    np.testing.assert_allclose(metric(predicted, actual), expected, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(
        metric(torch.from_numpy(predicted), torch.from_numpy(actual)), metric(predicted, actual)
    )


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_predicted_where_nothing_is_coded_changes_nothing(metric):
    predicted, actual = intensities(1)
    nonsense = np.where(np.isnan(actual), np.nan, predicted)
    np.testing.assert_array_equal(metric(nonsense, actual), metric(predicted, actual))
    assert not np.allclose(metric(predicted, actual), metric(predicted, np.nan_to_num(actual)))


@pytest.mark.parametrize("metric", METRICS)
def test_an_au_that_is_nowhere_coded_has_no_score(metric):
    predicted, actual = intensities(2)
    actual[:, 2] = np.nan
    assert np.flatnonzero(np.isnan(metric(predicted, actual))).tolist() == [2]
    assert np.isnan(metric(predicted[:0], actual[:0])).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_constant_has_no_correlation_and_no_rounding_invents_one(constant):
    _, actual = intensities(3)
    flat = np.full_like(actual, constant)
    assert np.isnan(pcc_per_au(flat, actual)).all()
    assert (icc_per_au(flat, actual) == 0).all()
    assert (ccc_per_au(flat, actual) == 0).all()
    assert np.isnan(icc_per_au(flat, np.where(np.isnan(actual), np.nan, 3.0))).all()


def test_consistency_forgives_an_offset_and_concordance_does_not():
    _, actual = intensities(4)
    offset = actual + 1
    np.testing.assert_allclose(icc_per_au(offset, actual), 1)
    np.testing.assert_allclose(pcc_per_au(2 * actual, actual), 1)
    assert (ccc_per_au(offset, actual) < 0.95).all()
    assert (icc_per_au(2 * actual, actual) < 0.95).all()


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-5, 5))
def test_correlation_ignores_scale_and_offset(seed, scale, offset):
    predicted, actual = intensities(seed, frames=20, aus=2)
    np.testing.assert_allclose(pcc_per_au(scale * predicted + offset, actual), pcc_per_au(predicted, actual), atol=1e-9)


def test_failed_predictions_are_refused():
    predicted, actual = intensities(5)
    predicted[np.argmax(~np.isnan(actual[:, 0])), 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        icc_per_au(predicted, actual)
    with pytest.raises(ValueError, match="one shape"):
        mae_per_au(predicted[:, :2], actual)
