import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fau_utils.frames import Frames
from fau_utils.results.study import contrast, curve, estimate, scores, select
from fau_utils.training.evaluate import Predictions


def test_scores_draw_the_same_people_in_every_run():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (60, 2)).astype("float32")
    frames = Frames(
        pd.DataFrame(
            {
                "dataset": "synth",
                "subject": [f"synth/S{k % 6}" for k in range(60)],
                "clip": "0",
                "frame": range(60),
                "camera": "",
            }
        )
    )
    noise = rng.uniform(size=(60, 2)).astype("float32")
    rows = [scores(Predictions(frames, (1, 2), prob, label)) for prob in (noise, 0.5 * noise + 0.5 * label, noise)]
    assert rows[1]["auc"] == 100
    assert np.all(np.asarray(rows[1]["auc_draws"]) == 100)
    assert rows[0] == rows[2]
    assert np.std(rows[0]["f1_draws"]) > 0


def test_an_interval_over_seeds_alone_is_students():
    values = [1.0, 2.0, 4.0]
    mean, low, high = estimate(values)
    expected = stats.t.interval(0.95, 2, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)


def test_an_interval_covers_seeds_and_people_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        person = rng.normal(size=30)
        cells = 0.3 * rng.normal(size=(5, 1)) + person + 0.5 * rng.normal(size=(5, 30))
        drawn = rng.integers(0, 30, (200, 30))
        _, low, high = estimate(cells.mean(1), cells[:, drawn].mean(2))
        held.append(low <= 0 <= high)
    assert 0.91 <= np.mean(held) <= 0.985


def test_one_seed_without_people_says_nothing_of_its_error():
    assert np.isnan(estimate([3.0])[1:]).all()


def _table():
    rng = np.random.default_rng(1)
    rows = []
    for seed in range(3):
        shared = rng.normal(size=50)
        for arm, gain in (("ours", 4.0), ("theirs", 0.0)):
            for skew in (0, 1):
                auc = 70 + gain * skew + 0.1 * seed
                rows.append({"arm": arm, "skew": skew, "seed": seed, "auc": auc, "auc_draws": auc + shared})
    return pd.DataFrame(rows)


def test_a_contrast_pairs_seeds_and_draws():
    sides = {"ours": {"arm": "ours"}, "theirs": {"arm": "theirs"}}
    found = contrast(_table(), "gain", **sides, where={"skew": 1}, people=20)
    assert found.effect == pytest.approx(4)
    assert found.high - found.low < 1e-6, "what seeds and people share must cancel"
    assert found.over == "3 seeds and 20 people"
    assert found.verdict == "supported"
    assert contrast(_table(), "none", **sides, where={"skew": 0}).verdict == "not supported"
    assert contrast(_table(), "later", ours={"arm": "new"}, theirs={"arm": "theirs"}, where={"skew": 0}).verdict == (
        "cannot tell"
    )


def test_a_contrast_that_is_not_pinned_down_is_refused():
    with pytest.raises(ValueError, match="several rows"):
        contrast(_table(), "gain", ours={"arm": "ours"}, theirs={"arm": "theirs"})
    with pytest.raises(KeyError, match="colour"):
        select(_table(), colour="red")


def test_a_curve_has_a_row_for_each_group():
    found = curve(_table(), by=["arm", "skew"])
    assert len(found) == 4
    assert (found["seeds"] == 3).all()
    assert (found["low"] < found["mean"]).all()
    assert (found["mean"] < found["high"]).all()
