"""The board: means and intervals over seeds, folds and people; pairs, ranks and what a design can see."""

import numpy as np
import pandas as pd
import pytest

from fau_utils.frames import Frames
from fau_utils.metrics.compare import detectable
from fau_utils.results import leaderboard
from fau_utils.results.study import contrast, estimate
from fau_utils.training import Predictions

PEOPLE, DRAWS = 20, 50


def _table(methods, *, seeds=3, folds=("",), spread=1.0):
    rng = np.random.default_rng(0)
    people = rng.normal(0, 3, PEOPLE)
    picks = np.random.default_rng(1).integers(0, PEOPLE, (DRAWS, PEOPLE))
    rows = []
    for seed in range(seeds):
        for fold in folds:
            for method, mean in methods.items():
                each = mean + people + rng.normal(0, spread, PEOPLE) + rng.normal(0, spread / 3)
                rows.append(
                    {
                        **dict.fromkeys(leaderboard.GROUP, "x"), "method": method, "fold": fold, "seed": seed,
                        "f1_tuned": each.mean(), "f1_tuned_draws": each[picks].mean(1).tolist(),
                        "people": PEOPLE, "person_f1": each.tolist(), "persons": [f"{fold}{i}" for i in range(PEOPLE)],
                        "cpu_seconds": 60.0 * seed, "parameters": 1_234_567,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_a_row_is_the_mean_over_seeds_with_the_studies_interval():
    table = _table({"a": 50})
    (row,) = leaderboard.board(table).to_dict("records")
    expected = estimate(table["f1_tuned"].tolist(), table["f1_tuned_draws"].tolist())
    assert [row["f1_tuned"], row["f1_tuned_low"], row["f1_tuned_high"]] == pytest.approx(expected)
    assert (row["seeds"], row["people"], row["cpu_seconds"]) == (3, PEOPLE, 60)


def test_a_seed_with_a_fold_missing_does_not_count():
    table = _table({"a": 50}, folds=("A", "B")).iloc[:-1]
    (row,) = leaderboard.board(table).to_dict("records")
    assert (row["seeds"], row["folds"], row["people"]) == (2, 2, 2 * PEOPLE)
    assert row["f1_tuned"] == pytest.approx(table["f1_tuned"].iloc[:4].mean())


def test_people_who_are_hard_for_all_cancel_in_pairs():
    table = _table({"a": 52, "b": 50}, spread=0.3)
    (pair,) = leaderboard.pairs(table)
    one = leaderboard.board(table).iloc[0]
    assert pair.difference.high - pair.difference.low < (one["f1_tuned_high"] - one["f1_tuned_low"]) / 2
    same = contrast(table, "", ours={"method": "a"}, theirs={"method": "b"}, score="f1_tuned")
    assert (pair.difference.effect, pair.difference.low) == pytest.approx((same.effect, same.low))


def test_pairs_use_only_the_runs_that_both_have():
    table = _table({"a": 52, "b": 50})
    cut = table[(table["method"] == "a") | (table["seed"] < 2)]
    (pair,) = leaderboard.pairs(cut)
    assert pair.seeds == 2
    assert pair.difference.effect == pytest.approx(leaderboard.pairs(table[table["seed"] < 2])[0].difference.effect)


def test_verdicts_are_by_the_corrected_p_and_the_better_one_is_named_first():
    found = leaderboard.corrected(leaderboard.pairs(_table({"low": 40, "high": 60, "near": 60.1})))
    assert len(found) == 3
    told = found.set_index("pair")["verdict"]
    assert told["high less low"] == told["near less low"] == "told apart"
    assert told[[name for name in told.index if "low" not in name]].tolist() == ["cannot tell"]
    assert (found["p, Holm"] >= found["p"]).all()
    assert (found["low"] <= found["points"]).all()
    assert (found["points"] <= found["high"]).all()


@pytest.mark.parametrize("folds", [("",), ("A", "B")])
def test_ranks_are_over_people_with_seeds_averaged(folds):
    found = leaderboard.ranked(_table({"low": 40, "high": 60, "mid": 50}, folds=folds))
    assert found.names == ("high", "mid", "low")
    assert found.mean.tolist() == [1, 2, 3]
    assert found.blocks == PEOPLE * len(folds)


def test_other_people_or_another_test_are_not_compared():
    table = _table({"a": 50, "b": 50})
    table.at[0, "persons"] = ["somebody else", *table.at[0, "persons"][1:]]
    with pytest.raises(ValueError, match="found other ones"):
        leaderboard.ranked(table)
    table.loc[0, "data"] = "y"
    with pytest.raises(ValueError, match="one dataset, protocol and budget"):
        leaderboard.pairs(table)


def test_more_seeds_and_more_people_see_smaller_differences():
    table = _table({"a": 50, "b": 50})
    found = leaderboard.power(table, seeds=(3, 30), people=(PEOPLE, 4 * PEOPLE))
    assert found.loc[30, PEOPLE] < found.loc[3, PEOPLE]
    assert found.loc[3, 4 * PEOPLE] < found.loc[3, PEOPLE]
    (pair,) = leaderboard.pairs(table)  # the design there is, by its own error
    expected = detectable(pair.difference.error, pair.difference.freedom)
    assert found.loc[3, PEOPLE] == pytest.approx(expected, rel=1e-6)


def test_a_person_is_scored_over_all_faces_and_coded_labels():
    nan = np.nan
    frames = Frames(
        pd.DataFrame({"dataset": "d", "subject": ["d/a", "d/a", "d/b"], "clip": "0", "frame": [0, 1, 0], "camera": ""})
    )
    prob = np.array([[0.9, 0.2], [0.9, 0.9], [0.1, 0.1]], "float32")
    label = np.array([[1, 1], [0, nan], [0, 0]], "float32")
    found = leaderboard.person_scores(Predictions(frames, (1, 2), prob, label), np.array([0.5, 0.5]))
    assert found["d/a"] == pytest.approx(100 * 2 * 1 / (2 + 2))  # one hit; two said, two there
    assert np.isnan(found["d/b"])


def test_a_board_for_people_has_intervals_in_the_cell_and_numbers_to_sort_by():
    found = leaderboard.board(_table({"a": 50, "b": 60}))
    text, keys = leaderboard.shown(found)
    assert list(text)[:2] == ["method", "F1, tuned, %"]  # what is the same everywhere says nothing
    assert keys["F1, tuned, %"].tolist() == found["f1_tuned"].tolist()
    assert text["parameters"].tolist() == ["1,234,567"] * 2
    assert text["CPU minutes"].tolist() == ["1.0 ± 1.0"] * 2  # 0, 1 and 2
    (one, _) = leaderboard.shown(leaderboard.board(_table({"a": 50}, seeds=1).assign(cpu_seconds=90.0)))
    assert one["CPU minutes"].tolist() == ["1.5"]
    assert [leaderboard._cost(*pair) for pair in ((0.0, 0.0), (0.234, 0.03))] == ["0", "0.23 ± 0.03"]


def test_runs_from_before_a_score_was_measured_have_an_empty_cell():
    table = _table({"old": 50, "new": 60})
    drawn = [list(row) if name == "new" else None for name, row in zip(table.method, table.f1_tuned_draws, strict=True)]
    table = table.assign(hidden=np.where(table.method == "new", table.f1_tuned, np.nan), hidden_draws=drawn)
    text, keys = leaderboard.shown(leaderboard.board(table.assign(fall=0.0)))
    assert text["AUC, hidden, %"].tolist()[0] == ""
    assert text["AUC, hidden, %"].tolist()[1] == text["F1, tuned, %"].tolist()[1]
    assert np.isnan(keys["AUC, hidden, %"][0])
    assert text["fall, lab to wild, points"].tolist() == ["0.0 [0.0, 0.0]"] * 2
