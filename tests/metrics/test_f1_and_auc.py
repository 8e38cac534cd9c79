import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from fau_utils.metrics import auc_per_au, confusion, f1_per_au, mean_over_aus, precision_per_au, recall_per_au


def random_case(seed, *, count=200, aus=5, ties=False):
    """Random scores with unknown labels; column 3 has no positives, column 4 nothing coded."""
    generator = np.random.default_rng(seed)
    prob = generator.random((count, aus))
    if ties:
        prob = np.round(prob, 1)
    label = (generator.random((count, aus)) < 0.3 + 0.4 * prob).astype(float)
    label[generator.random((count, aus)) < 0.2] = np.nan
    label[:, 3] = np.where(np.isnan(label[:, 3]), np.nan, 0)
    label[:, 4] = np.nan
    return prob, label


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_scores_agree_with_scikit_learn_on_random_masked_data(seed, ties):
    prob, label = random_case(seed, ties=ties)
    for au in range(4):
        known = ~np.isnan(label[:, au])
        truth, score = label[known, au], prob[known, au]
        said = score >= 0.5
        for ours, theirs in ((f1_per_au, f1_score), (precision_per_au, precision_score)):
            assert ours(prob, label)[au] == pytest.approx(theirs(truth, said, zero_division=0), abs=1e-9)
        if au < 3:
            assert recall_per_au(prob, label)[au] == pytest.approx(recall_score(truth, said), abs=1e-9)
            assert auc_per_au(prob, label)[au] == pytest.approx(roc_auc_score(truth, score), abs=1e-9)
    assert np.isnan(auc_per_au(prob, label)[3:]).all()
    assert np.isnan(f1_per_au(prob, label)[4])


@pytest.mark.parametrize("metric", [f1_per_au, auc_per_au, precision_per_au, recall_per_au])
def test_unknown_labels_never_count_as_negative(metric):
    prob, label = random_case(0)
    known = ~np.isnan(label[:, 0])
    alone = metric(prob[known, :1], label[known, :1])
    np.testing.assert_array_equal(metric(prob[:, :1], label[:, :1]), alone)
    as_negative = metric(prob[:, :1], np.nan_to_num(label[:, :1]))
    if metric is not recall_per_au:  # recall looks at positives only
        assert as_negative != alone
    # what is predicted where nothing is known does not matter either
    changed = np.where(np.isnan(label), 1.0, prob)
    np.testing.assert_array_equal(metric(changed[:, :1], label[:, :1]), alone)


def test_f1_is_undefined_only_when_nothing_is_positive_and_nothing_predicted():
    label = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    prob = np.array([[0.1, 0.9, 0.1], [0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(f1_per_au(prob, label), [np.nan, 0.0, 0.0])


def test_threshold_itself_counts_as_present_and_may_differ_per_au():
    prob, label = np.array([[0.5, 0.5]]), np.array([[1.0, 1.0]])
    assert f1_per_au(prob, label).tolist() == [1.0, 1.0]
    assert f1_per_au(prob, label, threshold=np.array([0.4, 0.6])).tolist() == [1.0, 0.0]


def test_counts_add_up_to_the_coded_frames():
    prob, label = random_case(1)
    assert sum(confusion(prob, label)).tolist() == (~np.isnan(label)).sum(0).tolist()
    hits = ((prob >= 0.5) & (label == 1)).sum(0)
    np.testing.assert_array_equal(confusion(prob, label).true_positive, hits)


def test_mean_leaves_undefined_aus_out_and_counts_them():
    mean = mean_over_aus(np.array([0.5, np.nan, 1.0]))
    assert mean == (0.75, 1)
    assert np.isnan(mean_over_aus(np.array([np.nan])).value)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([np.exp, np.cbrt, lambda x: 3 * x - 7]))
def test_auc_sees_only_the_order_of_scores(seed, monotone):
    prob, label = random_case(seed, count=40, ties=True)
    np.testing.assert_allclose(auc_per_au(monotone(prob), label), auc_per_au(prob, label), atol=1e-12)
    np.testing.assert_allclose(auc_per_au(-prob, label), 1 - auc_per_au(prob, label), atol=1e-12)


def test_constant_scores_have_auc_one_half():
    assert auc_per_au(np.full((10, 1), 0.3), np.arange(10)[:, None] % 2).tolist() == [0.5]


def test_tensors_and_arrays_give_the_same_scores():
    prob, label = random_case(2)
    for metric in (f1_per_au, auc_per_au):
        np.testing.assert_array_equal(metric(torch.from_numpy(prob), torch.from_numpy(label)), metric(prob, label))


def test_wrong_input_is_refused():
    prob, label = random_case(0)
    with pytest.raises(ValueError, match="one shape"):
        f1_per_au(prob[:, :2], label)
    with pytest.raises(ValueError, match="cut intensities"):
        auc_per_au(prob, label * 3)
    prob[0, 0], label[0, 0] = np.nan, 1
    with pytest.raises(ValueError, match="predictions that are nan"):
        auc_per_au(prob, label)
