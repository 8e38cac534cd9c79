import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fau_utils.frames import Frames
from fau_utils.results import reference
from fau_utils.results.study import Study, contrast, curve, estimate, scores, select
from fau_utils.training.evaluate import Predictions

CELLS = [{"arm": arm, "seed": seed} for arm in ("a", "b") for seed in (0, 1)]


def _study(run, **changes):
    return Study(**{"name": "tried", "cells": CELLS, "run": run, "code": ["fau_utils.aus"], **changes})


def _counted(calls):
    def run(cell, device):
        calls.append((cell["arm"], cell["seed"]))
        return {"auc": 50.0 + cell["seed"]}

    return run


def test_seeds_are_the_outer_loop_and_every_row_says_which_cell_it_is_of(tmp_path):
    calls = []
    table = _study(_counted(calls)).conduct(folder=tmp_path, show=False)
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert set(table["cell"]) == {f"arm={a}, seed={s}" for a in "ab" for s in (0, 1)}
    pd.testing.assert_frame_equal(reference.read("tried", folder=tmp_path).table, table)


def test_what_was_made_is_not_made_again_unless_the_version_is_another(tmp_path):
    calls = []
    study = _study(_counted(calls), cells=CELLS[:1])
    study.conduct(folder=tmp_path, show=False)
    _study(_counted(calls)).conduct(folder=tmp_path, show=False)
    assert sorted(calls) == sorted((c["arm"], c["seed"]) for c in CELLS)
    again = []
    _study(_counted(again), version=2).conduct(folder=tmp_path, show=False)
    assert len(again) == 4


def test_rows_of_changed_code_are_made_again(tmp_path, monkeypatch):
    calls = []
    _study(_counted(calls)).conduct(folder=tmp_path, show=False)
    monkeypatch.setattr("fau_utils.provenance.code_hash", lambda code: "changed")
    _study(_counted(calls)).conduct(folder=tmp_path, show=False)
    assert len(calls) == 8


def test_no_cell_is_begun_after_the_time_is_over(tmp_path):
    calls = []
    _study(_counted(calls)).conduct(folder=tmp_path, minutes=0.0, show=False)
    assert calls == []


def test_a_cell_that_fails_keeps_no_other_from_its_turn_and_is_told_at_the_end(tmp_path, caplog):
    def run(cell, device):
        if cell == {"arm": "a", "seed": 1}:
            raise ArithmeticError("too hot")
        return [{"auc": 1.0, "au": au} for au in (1, 2)]

    with pytest.raises(RuntimeError, match="1 of 4 cells failed"):
        _study(run).conduct(folder=tmp_path, show=False)
    assert "too hot" in caplog.text
    assert "arm=a, seed=1" in caplog.text
    assert len(reference.read("tried", folder=tmp_path).table) == 6


@pytest.mark.parametrize(
    ("cells", "said"), [([], "no cells"), ([{"arm": "a"}], "seed"), ([*CELLS, CELLS[0]], "the same")]
)
def test_cells_that_cannot_be_told_apart_are_refused(cells, said):
    with pytest.raises(ValueError, match=said):
        _study(_counted([]), cells=cells)


def test_the_command_takes_seeds_and_arms(tmp_path):
    calls = []
    _study(_counted(calls)).main(["--seeds", "1", "--only", "b", "--out", str(tmp_path), "--device", "cpu"])
    assert calls == [("b", 0)]


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


# a table of code that changed since


def _made_before(tmp_path, monkeypatch, **changes):
    """A study whose table was made, and then the code changed."""
    study = _study(_counted([]), **changes)
    study.conduct(folder=tmp_path, show=False)
    monkeypatch.setattr("fau_utils.provenance.code_hash", lambda code: "changed")
    assert reference.read("tried", folder=tmp_path).stale


def test_runs_that_give_the_same_numbers_again_keep_a_table_and_its_caption_says_how_many(tmp_path, monkeypatch):
    _made_before(tmp_path, monkeypatch)
    calls = []
    assert _study(_counted(calls)).repeat(2, folder=tmp_path) == 2
    assert [arm for arm, _ in calls] == ["a", "b"]  # in turn from the arms
    found = reference.read("tried", folder=tmp_path)
    assert not found.stale
    assert "2 of 4 runs made again" in found.origin
    assert found.record["repeated"]["first_hash"] != "changed"
    assert _study(_counted(calls)).repeat(2, folder=tmp_path) == 0  # it is not stale now


def test_other_numbers_keep_a_table_stale_and_are_named(tmp_path, monkeypatch):
    _made_before(tmp_path, monkeypatch)
    other = _study(lambda cell, device: {"auc": np.nextafter(50.0 + cell["seed"], 99), "seconds": 1.0})
    with pytest.raises(ValueError, match=r"tried, arm=a, seed=0: other numbers than before in \['auc'\]"):
        other.repeat(folder=tmp_path)
    assert reference.read("tried", folder=tmp_path).stale


def test_times_and_what_no_row_has_may_differ(tmp_path, monkeypatch):
    same = {"auc": 1.0, "draws": [1.0, 2.0]}
    rows = iter([{**same, "seconds": 3.0, "none": float("nan")}, {**same, "seconds": 4.0, "none": None}])
    study = _study(lambda cell, device: next(rows), cells=CELLS[:1])
    study.conduct(folder=tmp_path, show=False)
    monkeypatch.setattr("fau_utils.provenance.code_hash", lambda code: "changed")
    assert study.repeat(folder=tmp_path) == 1


def test_another_version_or_number_of_threads_cannot_repeat_a_table(tmp_path, monkeypatch):
    _made_before(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="version 1, now 2"):
        _study(_counted([]), version=2).repeat(folder=tmp_path)
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    with pytest.raises(ValueError, match="now 77"):
        _study(_counted([])).repeat(folder=tmp_path)


def test_repeating_is_an_option_of_the_command(tmp_path, monkeypatch):
    _made_before(tmp_path, monkeypatch)
    calls = []
    _study(_counted(calls)).main(["--device", "cpu", "--out", str(tmp_path), "--repeat", "3"])
    assert len(calls) == 3
