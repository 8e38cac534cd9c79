"""Gaps between groups, each person counted once, with a verdict that may be *cannot tell*."""

import numpy as np
import pandas as pd
import pytest

from fau_utils import metrics
from fau_utils.frames import Frames
from fau_utils.stress.subgroups import Gap, gap, group_score, paired_gap, subgroups
from fau_utils.training import Predictions


def _world(counts, quality, *, seed=0, aus=(1, 2)):
    """People with so many frames each; of quality 1 the scores are perfect, of 0 they are noise."""
    rng = np.random.default_rng(seed)
    subject = np.repeat([f"x/P{k}" for k in range(len(counts))], counts)
    label = (np.arange(len(subject))[:, None] % 2 == 0).astype("float32").repeat(len(aus), 1)
    good = np.repeat(quality, counts)[:, None]
    prob = np.where(rng.random(label.shape) < good, 0.25 + 0.5 * label, rng.random(label.shape))
    table = pd.DataFrame({"dataset": "x", "subject": subject, "clip": "C", "frame": range(len(subject))})
    for au in aus:
        table[f"AU{au}"] = 0
    return Predictions(Frames(table), aus, prob.astype("float32"), label)


def test_with_as_many_frames_of_everybody_a_group_scores_as_its_frames_do():
    found = _world([20] * 6, [0.5] * 6)
    chosen = np.isin(found.subject, ["x/P0", "x/P1", "x/P2"])
    score = group_score(found, chosen)
    expected = 100 * metrics.auc_per_au(found.prob[chosen], found.label[chosen])
    np.testing.assert_allclose(score.value[0], expected)
    assert (score.people, score.frames, score.positives) == (3, 60, 60)


def test_one_person_with_many_frames_does_not_speak_for_the_group():
    found = _world([4000, 400, 400, 400], [0.0, 1, 1, 1])
    everybody = np.ones(len(found), bool)
    pooled = 100 * metrics.auc_per_au(found.prob, found.label).mean()
    assert pooled < 65
    equal = group_score(found, everybody).value.mean()
    assert equal > 80
    once = _world([400] * 4, [0.0, 1, 1, 1])  # the same people with equal numbers of frames
    assert equal == pytest.approx(100 * metrics.auc_per_au(once.prob, once.label).mean(), abs=5)


def test_verdicts_are_larger_within_or_cannot_tell():
    assert Gap(8, 6, 10, margin=5).verdict == "larger than the margin"
    assert Gap(-8, -10, -6, margin=5).verdict == "larger than the margin"
    assert Gap(1, -2, 4, margin=5).verdict == "within the margin"
    assert Gap(4, 1, 7, margin=5).verdict == "cannot tell"  # different from 0, and yet
    assert Gap(0, -9, 9, margin=5).verdict == "cannot tell"
    assert Gap(*[float("nan")] * 3, margin=5).verdict == "cannot tell"


def test_many_people_decide_what_few_cannot():
    quality = np.r_[np.full(60, 0.9), np.full(60, 0.3)]
    many = _world([20] * 120, quality)
    groups = np.where(np.isin(many.subject, [f"x/P{k}" for k in range(60)]), "a", "b")
    table = subgroups(many, groups, margin=5).set_index("group")
    assert table.loc["a", "verdict"] == "larger than the margin"
    assert table.loc["a", "gap"] == pytest.approx(-table.loc["b", "gap"])
    assert table.loc["a", "people"] == 60
    same = subgroups(_world([40] * 200, [0.95] * 200), np.repeat(["a", "b"], 4000), margin=5)
    assert set(same["verdict"]) == {"within the margin"}
    few = _world([20] * 4, [0.9, 0.3, 0.9, 0.3])
    table = subgroups(few, np.where(few.subject < "x/P2", "a", "b"), margin=5)
    assert set(table["verdict"]) == {"cannot tell"}
    alone = subgroups(few, np.where(few.subject < "x/P1", "a", "b"), margin=5)
    assert set(alone["verdict"]) == {"cannot tell"}  # one person is no group
    assert alone[["low", "high"]].isna().all(axis=None)


def test_intervals_of_gaps_cover_what_they_promise():
    missed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        quality = rng.uniform(0.3, 0.9, 24)  # people differ, groups do not
        found = _world([15] * 24, quality, seed=seed, aus=(1,))
        groups = np.where(np.isin(found.subject, [f"x/P{k}" for k in range(7)]), "few", "more")
        row = subgroups(found, groups, margin=5, resamples=200).iloc[0]
        missed += not row["low"] <= 0 <= row["high"]
    assert missed <= 8  # 3 are expected of 60; 8 or fewer in 99.5 % of such trials


def test_the_same_people_twice_are_compared_person_by_person():
    before = _world([20] * 30, np.linspace(0.2, 1, 30))
    after = Predictions(before.frames, before.aus, before.prob.copy(), before.label)
    after.prob[::40] = 0.5
    paired = paired_gap(before, after, margin=5)
    apart = gap(group_score(before, np.ones(600, bool)), group_score(after, np.ones(600, bool), seed=1), margin=5)
    assert paired.effect == pytest.approx(apart.effect)
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)
    assert paired_gap(before, before, margin=5).verdict == "within the margin"
    with pytest.raises(ValueError, match="the same people"):
        paired_gap(before, _world([10] * 60, [1] * 60), margin=5)


def test_seeds_widen_the_interval_when_they_disagree():
    runs = [_world([30] * 40, [q] * 20 + [0.6] * 20, seed=3) for q in (0.9, 0.3)]
    groups = np.repeat(["a", "b"], 600)
    both = subgroups(runs, groups, margin=5).iloc[0]
    one = subgroups(runs[0], groups, margin=5).iloc[0]
    assert both["high"] - both["low"] > 3 * (one["high"] - one["low"])
    assert both["verdict"] == "cannot tell"


def test_unknown_labels_and_unknown_groups_take_part_in_nothing():
    found = _world([20] * 8, [0.8] * 8)
    groups = np.repeat(["a", "b"], 80).astype(object)
    expected = subgroups(found, groups, margin=5)
    more = _world([20] * 9, [0.8] * 8 + [0.0])
    more.prob[:160], more.label[:160] = found.prob, found.label
    unasked = np.append(groups, [None] * 20)
    pd.testing.assert_frame_equal(subgroups(more, unasked, margin=5), expected)
    uncoded = np.append(groups, ["a"] * 20)
    more.label[160:] = np.nan
    pd.testing.assert_frame_equal(subgroups(more, uncoded, margin=5), expected)
    found.label[:80, 1] = np.nan  # coded in one group only: left out for both
    assert subgroups(found, groups, margin=5)["gap"].abs().iloc[0] == pytest.approx(
        abs(
            np.subtract(
                *(100 * metrics.auc_per_au(found.prob[g], found.label[g])[0] for g in (groups == "a", groups == "b"))
            )
        )
    )


def test_wrong_questions_are_refused():
    found = _world([5] * 4, [1] * 4)
    groups = np.repeat(["a", "b"], 10)
    for kwargs, said in (
        ({"margin": 0}, "a margin above 0"),
        ({"margin": 5, "against": "c"}, "found 'c'"),
        ({"margin": 5, "score": "accuracy"}, "expected a score of"),
    ):
        with pytest.raises(ValueError, match=said):
            subgroups(found, groups, **kwargs)
    with pytest.raises(ValueError, match="at least two groups"):
        subgroups(found, ["a"] * 20, margin=5)
    with pytest.raises(ValueError, match="a group for each"):
        subgroups(found, ["a"] * 3, margin=5)
