"""Studies that are cut, go on, share their cells with other processes, and are made again."""

import multiprocessing
import time

import numpy as np
import pandas as pd
import pytest

from fau_utils.results import reference
from fau_utils.results.conduct import Study

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


# several processes


def _slow(cell, device):
    time.sleep(0.2)
    return {"auc": 50.0 + cell["seed"], "process": multiprocessing.current_process().name}


def _lane(folder, begin, cells):
    begin.wait()
    Study("tried", cells, _slow, ["fau_utils.aus"]).conduct(folder=folder, show=False)


def test_processes_share_the_cells_of_a_study_and_lose_none(tmp_path):
    context = multiprocessing.get_context("spawn")
    cells = [{"arm": arm, "seed": seed} for arm in "abc" for seed in range(4)]
    begin = context.Barrier(2)
    lanes = [context.Process(target=_lane, args=(tmp_path, begin, cells), name=f"lane {k}") for k in range(2)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(120)
    assert [lane.exitcode for lane in lanes] == [0, 0]
    table = reference.read("tried", folder=tmp_path).table
    assert sorted(table["cell"]) == sorted(f"arm={c['arm']}, seed={c['seed']}" for c in cells), "each once"
    assert table["process"].nunique() > 1


def test_a_cell_that_another_process_is_at_is_left_to_it(tmp_path, caplog):
    calls = []
    study = _study(_counted(calls))
    with study._held("arm=b, seed=0", tmp_path) as mine:
        assert mine
        study.conduct(folder=tmp_path, show=False)
    assert ("b", 0) not in calls
    assert len(calls) == 3
    assert "left to another process: 1 of 4 cells" in caplog.text
    study.conduct(folder=tmp_path, show=False)
    assert len(calls) == 4


def test_rows_of_code_that_changes_under_a_cell_are_not_kept(tmp_path, monkeypatch):
    def run(cell, device):
        if cell["seed"]:
            monkeypatch.setattr("fau_utils.provenance.code_hash", lambda code: "edited")
        return {"auc": 1.0}

    with pytest.raises(RuntimeError, match="changed while cell arm=a, seed=1"):
        _study(run).conduct(folder=tmp_path, show=False)
    monkeypatch.undo()
    assert set(reference.read("tried", folder=tmp_path).table["seed"]) == {0}


def test_new_rows_of_a_repeated_table_leave_its_caption_saying_so(tmp_path, monkeypatch):
    _made_before(tmp_path, monkeypatch, cells=CELLS[:2])
    _study(_counted([]), cells=CELLS[:2]).repeat(1, folder=tmp_path)
    _study(_counted([])).conduct(folder=tmp_path, show=False)
    found = reference.read("tried", folder=tmp_path)
    assert len(found.table) == 4
    assert "1 of 2 runs made again" in found.origin
