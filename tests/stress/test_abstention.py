"""Curves whose answers are known."""

import numpy as np
import pytest

from fau_utils.frames import Frames
from fau_utils.stress.abstention import (
    abstaining,
    aurc_per_au,
    cutoffs,
    excess_aurc_per_au,
    risk_coverage,
    sureness,
)
from fau_utils.training import Predictions

# of four answers the least sure one is wrong: yes, no, yes, and a wrong yes
PROB = np.array([[0.95], [0.1], [0.8], [0.6]])
LABEL = np.array([[1.0], [0.0], [1.0], [0.0]])


def _said(prob, label):
    import pandas as pd

    frames = pd.DataFrame({"dataset": "x", "subject": "x/P", "clip": "C", "frame": range(len(prob))})
    return Predictions(Frames(frames.assign(AU1=0)), (1,), prob.astype("float32"), label.astype("float32"))


def test_the_risk_is_the_share_of_wrong_answers_among_the_surest():
    found = risk_coverage(PROB, LABEL, coverages=(0.25, 0.5, 0.75, 1))
    assert found.risk[0].tolist() == [0, 0, 0, 0.25]
    assert found.answered_positives[0].tolist() == [0.5, 0.5, 1, 1]
    assert aurc_per_au(PROB, LABEL)[0] == pytest.approx(0.25 / 4)
    assert excess_aurc_per_au(PROB, LABEL)[0] == pytest.approx(0)


def test_a_detector_that_is_sure_of_its_errors_pays_for_it():
    label = np.array([[0.0], [0.0], [1.0], [1.0]])  # the surest answer is the wrong one
    assert aurc_per_au(PROB, label)[0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert excess_aurc_per_au(PROB, label)[0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)


def test_equal_sureness_says_nothing_and_order_of_rows_does_not_matter():
    prob, label = np.full((5, 1), 0.7), np.array([[1.0], [0], [1], [1], [0]])
    found = risk_coverage(prob, label, coverages=(0.2, 0.4, 1))
    np.testing.assert_allclose(found.risk[0], 0.4)
    assert aurc_per_au(prob, label)[0] == pytest.approx(0.4)
    assert aurc_per_au(prob, label[::-1].copy())[0] == pytest.approx(0.4)


def test_unknown_labels_are_neither_right_nor_wrong():
    prob = np.vstack([PROB, [[0.99], [0.01]]])
    label = np.vstack([LABEL, [[np.nan], [np.nan]]])
    np.testing.assert_array_equal(risk_coverage(prob, label).risk, risk_coverage(PROB, LABEL).risk)
    assert aurc_per_au(prob, label)[0] == aurc_per_au(PROB, LABEL)[0]
    assert np.isnan(aurc_per_au(PROB, np.full_like(PROB, np.nan))).all()
    assert np.isnan(risk_coverage(PROB, np.full_like(PROB, np.nan)).risk).all()


def test_sureness_is_counted_to_the_end_of_the_scale_on_its_side():
    assert sureness(np.array([[0.0, 0.2, 1.0, 0.6]]), threshold=0.2)[0].tolist() == pytest.approx([1, 0, 1, 0.5])
    with pytest.raises(ValueError, match="between 0 and 1"):
        sureness(PROB, threshold=1.0)
    with pytest.raises(ValueError, match=r"coverages in \(0, 1\]"):
        risk_coverage(PROB, LABEL, coverages=(0.0,))


def test_a_cutoff_is_fixed_beforehand_and_then_the_coverage_is_what_it_is():
    said = _said(PROB, LABEL)
    cut = cutoffs(said.prob, coverage=0.75)
    on_the_same = abstaining(said, cutoff=cut).iloc[0]
    assert on_the_same["coverage"] == 0.75
    assert on_the_same["risk"] == 0
    assert on_the_same["risk_of_all"] == 0.25
    unsure = abstaining(_said(PROB * 0 + 0.5, LABEL), cutoff=cut).iloc[0]
    assert unsure["coverage"] == 0
    assert np.isnan(unsure["risk"])  # whoever does not answer is not right
    assert unsure["risk_of_all"] == 0.5
    with pytest.raises(ValueError, match="a coverage in"):
        cutoffs(PROB, coverage=1.5)
    unknown = abstaining(_said(PROB, np.full_like(LABEL, np.nan)), cutoff=cut).iloc[0]
    assert unknown["known"] == 0
    assert unknown[["coverage", "risk", "answered_positives"]].isna().all()
