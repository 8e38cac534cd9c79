"""Tables of what is finished: right means and intervals, and what is not finished is named."""

import json

import numpy as np
import pandas as pd
import pytest

from fau_utils import cli
from fau_utils.bench import progress
from fau_utils.bench.export import _latex, _page, cells, export, summary
from fau_utils.bench.plan import DONE, FAILED
from fau_utils.results.leaderboard import GROUP
from fau_utils.results.study import estimate


def _entry(method, seed, fold, auc, *, state=DONE):
    place = {"method": method, "variant": "default", "data": "d", "protocol": "ours", "fold": fold, "seed": seed}
    draws = (auc + np.linspace(-2, 2, 50) * (1 if fold == "A" else -1)).tolist()
    about = {"error": "no"}
    if state == DONE:
        took = {"peak_memory": 1, "attempts": 1, "host": "h", "gpu": None, "git_revision": None, "finished": "today"}
        about = {"result": {"auc": auc, "auc_draws": draws}, "seconds": 60.0, **took}
    return progress.Entry(f"{method}-{fold}-{seed}", {**place, "budget": "gpu"}, state, about, None)


def test_scores_are_averaged_over_folds_and_then_over_seeds():
    entries = [_entry("m", s, f, auc) for s, f, auc in [(0, "A", 60), (0, "B", 80), (1, "A", 70), (1, "B", 90)]]
    (row,) = summary(progress.Progress("g", entries)).to_dict("records")
    # the people of the two folds cancel out here, so that only the seeds are left
    assert row["auc"] == 75
    assert (row["auc_low"], row["auc_high"]) == pytest.approx(estimate([70, 80])[1:])
    assert (row["seeds"], row["planned"], row["folds"]) == (2, 2, 2)


def test_a_seed_with_a_fold_missing_does_not_count():
    entries = [
        _entry("m", 0, "A", 60),
        _entry("m", 0, "B", 80),
        _entry("m", 1, "A", 0),
        _entry("m", 1, "B", 0, state=FAILED),
    ]
    (row,) = summary(progress.Progress("g", entries)).to_dict("records")
    assert (row["auc"], row["seeds"], row["planned"]) == (70, 1, 2)


def test_a_method_without_results_has_a_row_without_scores():
    table = summary(progress.Progress("g", [_entry("m", 0, "A", 60), _entry("n", 0, "A", 0, state=FAILED)]))
    assert table.set_index("method")["auc"].isna().to_dict() == {"m": False, "n": True}


def test_what_is_kept_under_stress_reaches_every_table():
    entry = _entry("m", 0, "A", 60)
    entry.about["result"] |= {"hidden": 55.0, "hidden_draws": [54.0, 56.0], "fall": 7.0, "fall_draws": [6.0, 8.0]}
    now = progress.Progress("g", [entry, _entry("n", 0, "A", 60)])
    table = summary(now).set_index("method")
    assert (table.loc["m", "hidden"], table.loc["m", "fall"]) == (55, 7)
    assert table.loc["m", "hidden_low"] < 55 < table.loc["m", "hidden_high"]
    assert np.isnan(table.loc["n", "hidden"])  # made before there was such a number
    assert r"AUC, hidden, \%" in _latex(table.reset_index())
    assert "55.0 [" in _page(now, table.reset_index(), [])
    assert cells(now)["fall"].tolist()[0] == 7


def test_cells_keep_plain_results_only():
    table = cells(progress.Progress("g", [_entry("m", 0, "A", 60)]))
    assert table["auc"].tolist() == [60]
    assert "auc_draws" not in table


def test_files_are_written_and_name_what_is_missing(bench, capsys):
    bench.write({"good": {"sleep": 0}, "bad": {"fail": 1, "error": "ValueError: <b>"}}, seeds=2)
    bench.run(jobs=2)
    for place in bench.store.places():  # the fake cell has no scores
        if place.record:
            record = {**place.record, "result": {"auc": 90.04, "f1": 50.0}}
            (place.folder / "run.json").write_text(json.dumps(record))
    assert cli.main(["bench", "export", str(bench.out), str(bench.folder / "to")]) == 0
    assert len(capsys.readouterr().out.split()) == 5
    to = bench.folder / "to"
    assert len(pd.read_csv(to / "cells.csv")) == 2
    assert pd.read_csv(to / "unfinished.csv")["state"].tolist() == ["failed", "failed"]
    page = (to / "index.html").read_text()
    assert "90.0 [90.0, 90.0]" in page
    assert "2 of 4 cells are finished" in page
    assert "<b>" not in page
    assert "http" not in page
    assert page.index("<button") < page.index("<tbody>")  # headings sort
    assert r"AUC, \%" in (to / "summary.tex").read_text()


def test_what_latex_takes_for_a_command_is_escaped():
    table = pd.DataFrame([{**dict.fromkeys(GROUP, "x"), "method": "a_b&c%{\\\\}", "seeds": 1, "planned": 1}])
    text = _latex(table)
    assert r"a\_b\&c\%\{\textbackslash{}\}" in text.replace(r"\textbackslash{}\textbackslash{}", r"\textbackslash{}")
    assert all(word in text for word in (r"\toprule", r"\midrule", r"\bottomrule"))


def test_nothing_finished_is_one_line(bench):
    bench.write({"fail": 1})
    bench.run()
    with pytest.raises(ValueError, match="no cell is finished yet"):
        export(bench.out, bench.folder / "to")
