import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from fau_utils.metrics.f1 import f1_per_au, mean_over_aus
from fau_utils.metrics.thresholds import PERCENT, sweep, tuned


def predictions(seed, *, frames=300, aus=4, unknown=0.1):
    generator = np.random.default_rng(seed)
    label = (generator.random((frames, aus)) < np.linspace(0.02, 0.6, aus)).astype("float64")
    prob = 1 / (1 + np.exp(1.5 - 2 * label - generator.standard_normal(label.shape)))
    prob = np.where(generator.random(label.shape) < 0.5, np.round(prob, 2), prob)  # half of them on a threshold
    label[generator.random(label.shape) < unknown] = np.nan
    return prob, label


def by_loop(prob, label):
    """What published code does: one call per threshold and AU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [
                [f1_score(y[~np.isnan(y)], p[~np.isnan(y)] >= t, zero_division=np.nan) for t in PERCENT]
                for p, y in zip(prob.T, label.T, strict=True)
            ]
        )


@pytest.mark.parametrize(("seed", "kind"), [(0, "float64"), (1, "float32")])
def test_sweep_is_bit_identical_to_the_loop_over_thresholds_and_aus(seed, kind):
    prob, label = predictions(seed, aus=3)
    label[:, 1] = 0  # an empty class
    prob = prob.astype(kind)
    np.testing.assert_array_equal(sweep(prob, label).f1, by_loop(prob.astype("float64"), label))
    np.testing.assert_array_equal(sweep(torch.from_numpy(prob), torch.from_numpy(label)).f1, sweep(prob, label).f1)


def test_sweep_is_at_least_a_hundred_times_faster_than_the_loop():
    prob, label = predictions(0, frames=4000, aus=2)
    began = time.process_time()
    slow = by_loop(prob, label)
    loop = time.process_time() - began
    passes = []
    for _ in range(5):
        began = time.process_time()
        fast = sweep(prob, label).f1
        passes.append(time.process_time() - began)
    np.testing.assert_array_equal(fast, slow)
    assert loop / min(passes) >= 100


@given(st.integers(0, 10_000), st.lists(st.floats(0, 1), min_size=1, max_size=8, unique=True).map(sorted))
def test_sweep_agrees_with_f1_at_any_thresholds(seed, thresholds):
    prob, label = predictions(seed, frames=30, aus=2)
    found = sweep(prob, label, thresholds=thresholds)
    for column, threshold in zip(found.f1.T, thresholds, strict=True):
        np.testing.assert_array_equal(column, f1_per_au(prob, label, threshold=threshold))


def test_counts_of_a_sweep_add_up_to_the_coded_frames():
    prob, label = predictions(1)
    total = sum(sweep(prob, label).counts)
    assert (total == (~np.isnan(label)).sum(0)[:, None]).all()


def test_tuned_threshold_is_the_best_of_all_on_the_frames_it_was_tuned_on():
    prob, label = predictions(2)
    best = f1_per_au(prob, label, threshold=tuned(prob, label))
    assert (best >= np.nanmax(sweep(prob, label).f1, axis=1) - 1e-15).all()
    assert best.mean() > f1_per_au(prob, label).mean()


def test_common_threshold_is_best_for_the_mean_and_worse_than_one_for_each():
    prob, label = predictions(3)
    common = tuned(prob, label, scope="common")
    assert len(set(common)) == 1
    means = [np.nanmean(f1_per_au(prob, label, threshold=t)) for t in PERCENT]
    assert mean_over_aus(f1_per_au(prob, label, threshold=common)).value == pytest.approx(max(means))
    assert f1_per_au(prob, label, threshold=tuned(prob, label)).mean() >= max(means)


def test_equally_good_thresholds_give_the_one_nearest_to_one_half():
    prob = np.array([[0.1], [0.9]])
    assert tuned(prob, np.array([[0.0], [1.0]])) == [0.5]
    assert tuned(prob, np.array([[1.0], [1.0]])) == [0.1]


def test_an_au_without_anything_keeps_the_default_threshold():
    prob, label = predictions(4)
    label[:, 0] = np.nan
    assert tuned(prob, label)[0] == 0.5
    assert (tuned(prob[:, :1], label[:, :1], scope="common") == 0.5).all()


def test_thresholds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="ascending"):
        sweep(*predictions(0), thresholds=[0.5, 0.5])
