"""Comparisons of several methods, against numbers from textbooks and other implementations."""

import numpy as np
import pytest
from scipy import stats

from fau_utils.metrics.compare import detectable, holm, nemenyi, paired, ranks
from fau_utils.results.study import estimate


def test_holm_steps_down():
    # by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, 1 x 0.04 -> raised to the one before
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]).tolist() == [1, 1]


def test_comparisons_that_were_not_made_do_not_count():
    found = holm([0.02, np.nan, 0.04])
    assert found[[0, 2]].tolist() == pytest.approx([0.04, 0.04])
    assert np.isnan(found[1])


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="p-values in"):
        holm([0.2, 1.2])


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (8, 3.031), (10, 3.164)])
def test_critical_differences_are_those_of_the_published_table(methods, q):
    # Demsar (2006), table 5a
    assert nemenyi(methods, 30) == pytest.approx(q * np.sqrt(methods * (methods + 1) / 180), abs=2e-3)


# Demsar (2006), table 6: AUC of four decision trees on 14 data sets, with their mean ranks and the test beside it
TREES = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
}


def test_mean_ranks_are_those_of_the_published_example():
    found = ranks(TREES)
    assert dict(zip(found.names, found.mean.round(3), strict=True)) == {
        "C4.5": 3.143, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964,
    }  # fmt: skip
    assert found.names[0] == "C4.5+m+cf"
    assert found.critical == pytest.approx(1.25, abs=0.01)  # as the paper has it


def test_the_test_of_all_ranks_is_friedmans():
    assert ranks(TREES).p == pytest.approx(stats.friedmanchisquare(*TREES.values()).pvalue)


def test_methods_that_are_near_share_a_bar_and_no_bar_lies_within_another():
    rng = np.random.default_rng(0)
    base = rng.normal(size=200)
    near = {"best": base + 2, "also": base + 2 + rng.normal(size=200) * 0.1, "worst": base - 5}
    assert ranks(near).cliques == [(0, 1)]
    same = {name: rng.normal(size=10) for name in "abc"}
    assert ranks(same).cliques == [(0, 2)]


def test_a_block_without_a_score_counts_for_nobody():
    assert ranks({"a": [1, 1, np.nan], "b": [0, 0, 9]}).blocks == 2


@pytest.mark.parametrize("scores", [{"a": [1, 2]}, {"a": [1, 2], "b": [1]}, {"a": [1, np.nan], "b": [1, 1]}])
def test_too_little_to_rank_is_said(scores):
    with pytest.raises(ValueError, match="expected"):
        ranks(scores)


def test_an_interval_is_the_studies_and_its_p_agrees_with_it():
    rng = np.random.default_rng(1)
    values, draws = rng.normal(1, 1, 5), rng.normal(1, 0.3, (5, 200))
    found = paired(values, draws)
    assert (found.effect, found.low, found.high) == pytest.approx(estimate(values, draws))
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    # without people it is the paired t-test
    assert paired(values).p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_one_seed_and_no_people_tell_nothing():
    assert np.isnan(paired([1.0]).p)
    assert paired([0.0, 0.0]).p == 1


def test_four_tests_in_five_find_the_detectable_difference():
    rng = np.random.default_rng(2)
    seeds = 12
    least = detectable(1 / np.sqrt(seeds), seeds - 1)
    found = np.mean([paired(rng.normal(least, 1, seeds)).p < 0.05 for _ in range(800)])
    assert 0.75 < found < 0.86
    assert detectable(1.0) == pytest.approx(2.802, abs=1e-3)
