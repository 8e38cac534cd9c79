import time
from functools import partial

import numpy as np
import pytest

from fau_utils.metrics import (
    auc_per_au,
    f1_per_au,
    paired_difference,
    resampled_scores,
    subject_bootstrap,
    subject_bootstrap_per_au,
)


def predictions(seed, *, people=12, frames=20, aus=3, spread=0.5):
    """Predictions whose quality differs from person to person."""
    generator = np.random.default_rng(seed)
    subject = np.repeat([f"synth/S{i:03d}" for i in range(people)], frames)
    quality = 1 + spread * generator.standard_normal((people, 1)).repeat(frames, 0)
    label = (generator.random((people * frames, aus)) < 0.3).astype(float)
    prob = 1 / (1 + np.exp(1 - quality * 1.5 * label - generator.standard_normal(label.shape)))
    label[generator.random(label.shape) < 0.1] = np.nan
    return np.round(prob, 2), label, subject


METRICS = [f1_per_au, partial(f1_per_au, threshold=0.35), auc_per_au]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("people", [12, 60])  # fewer and more people than resamples: two ways to count pairs
def test_fast_resampling_equals_repeating_rows(metric, people):
    prob, label, subject = predictions(0, people=people, frames=6)
    fast = resampled_scores(prob, label, subject, metric, resamples=25)
    slow = resampled_scores(prob, label, subject, lambda p, y: metric(p, y), resamples=25)
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    assert len(np.unique(fast[:, 0])) > 15


@pytest.mark.parametrize("metric", METRICS)
def test_interval_holds_the_value_and_repeats_with_the_seed(metric):
    prob, label, subject = predictions(1)
    interval = subject_bootstrap(prob, label, subject, metric)
    assert interval.low < interval.value < interval.high
    assert interval.value == pytest.approx(np.mean(metric(prob, label)))
    assert interval == subject_bootstrap(prob, label, subject, metric)
    assert interval != subject_bootstrap(prob, label, subject, metric, seed=1)


def test_people_not_frames_decide_the_width():
    prob, label, subject = predictions(2, people=10, spread=1.0)
    again = 20
    once = subject_bootstrap(prob, label, subject, auc_per_au)
    copied = subject_bootstrap(
        np.tile(prob, (again, 1)), np.tile(label, (again, 1)), np.tile(subject, again), auc_per_au
    )
    assert copied.high - copied.low == pytest.approx(once.high - once.low)
    by_frame = subject_bootstrap(prob, label, np.arange(len(prob)), auc_per_au)
    assert by_frame.high - by_frame.low < once.high - once.low


def test_interval_covers_the_truth_about_as_often_as_it_says():
    truth = np.mean([np.mean(auc_per_au(*predictions(10_000 + s, people=200)[:2])) for s in range(20)])
    hit = 0
    for seed in range(200):
        interval = subject_bootstrap(*predictions(seed, people=40, frames=10), auc_per_au, resamples=300)
        hit += interval.low <= truth <= interval.high
    assert 0.88 <= hit / 200 <= 0.99


def test_paired_difference_is_narrower_than_two_intervals_and_zero_against_itself():
    prob, label, subject = predictions(3, spread=1.0)
    worse = prob + 0.05 * np.random.default_rng(0).standard_normal(prob.shape)
    difference = paired_difference(prob, worse, label, subject, auc_per_au)
    single = subject_bootstrap(prob, label, subject, auc_per_au)
    assert difference.high - difference.low < 0.5 * (single.high - single.low)
    assert difference.low < difference.value < difference.high
    nothing = paired_difference(prob, prob, label, subject, f1_per_au)
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_undefined_aus_are_left_out_and_counted():
    prob, label, subject = predictions(4)
    label[:, 1] = np.nan
    interval = subject_bootstrap(prob, label, subject, auc_per_au)
    assert interval.undefined == 1
    assert interval.value == pytest.approx(np.mean(auc_per_au(prob[:, [0, 2]], label[:, [0, 2]])))
    per_au = subject_bootstrap_per_au(prob, label, subject, auc_per_au)
    assert np.isnan(per_au[1].low)
    assert per_au[0].low < per_au[0].high


def test_one_person_has_no_interval():
    prob, label, _ = predictions(5)
    with pytest.raises(ValueError, match="at least two people"):
        subject_bootstrap(prob, label, ["synth/S000"] * len(prob), f1_per_au)
    with pytest.raises(ValueError, match="one subject per prediction"):
        subject_bootstrap(prob, label, ["synth/S000"], f1_per_au)


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("frames", [1, 7, 83])
def test_pairs_of_people_are_counted_exactly_in_blocks_and_across_them(decimals, frames):
    prob, label, subject = predictions(7, people=6, frames=frames, aus=1)
    prob = np.round(prob + np.random.default_rng(0).random(prob.shape), decimals)
    fast = resampled_scores(prob, label, subject, auc_per_au, resamples=8)
    slow = resampled_scores(prob, label, subject, lambda p, y: auc_per_au(p, y), resamples=8)
    np.testing.assert_allclose(fast, slow, atol=1e-12)


@pytest.mark.parametrize(("metric", "limit"), [(f1_per_au, 2), (auc_per_au, 4)])
def test_a_thousand_resamples_of_all_of_bp4d_take_seconds(metric, limit):
    generator = np.random.default_rng(6)
    prob = generator.random((146_847, 12), dtype="float32")
    label = (generator.random(prob.shape, dtype="float32") < prob).astype("float32")
    subject = generator.integers(0, 41, len(prob))
    begin = time.process_time()
    interval = subject_bootstrap(prob, label, subject, metric, resamples=1000)
    assert time.process_time() - begin < limit  # measured 0.2 and 1.1 s on one thread
    assert interval.resamples == 1000
