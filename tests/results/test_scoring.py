import json

import numpy as np
import pandas as pd
import pytest

from fau_utils import cli
from fau_utils.data.conventions import named
from fau_utils.data.folds import partition
from fau_utils.frames import Frames
from fau_utils.results import Run
from fau_utils.results.score import score
from fau_utils.results.scoring import score_runs
from fau_utils.training import Predictions

AUS = named("fmae", dataset="bp4d").aus


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run per fold of BP4D."""
    root, paths = tmp_path_factory.mktemp("runs"), []
    for seed, part in enumerate(partition("bp4d-3")):
        generator = np.random.default_rng(seed)
        keys = [(s, n) for s in part.subjects for n in range(8)]
        table = pd.DataFrame(keys, columns=["subject", "frame"]).assign(dataset="bp4d", clip="T1", camera="")
        label = (generator.random((len(table), 12)) < 0.4).astype("float32")
        prob = (0.3 * label + 0.7 * generator.random(label.shape)).astype("float32")
        label[generator.random(label.shape) < 0.1] = np.nan
        predictions = Predictions(frames=Frames(table), aus=AUS, prob=prob, label=label)
        paths.append(Run.write(root, label=f"fold{seed}", parameters={"seed": seed}, predictions=predictions).path)
    return paths


def test_runs_of_all_folds_score_as_their_predictions_do(runs):
    table = pd.concat([Run.read(path).predictions().table() for path in runs], ignore_index=True)
    direct = score(table, named("jaa", dataset="bp4d"), resamples=50)
    result = score_runs(runs[::-1], protocol="jaa", resamples=50)
    assert result.headline["value"] == direct.headline["value"]
    assert not [note for note in result.notes if "folds have predictions" in note]


def test_thresholds_are_tuned_on_the_validation_people_that_a_run_kept(runs, tmp_path):
    first, second = (Run.read(path) for path in runs[:2])
    # one of the test people has no frames, and the second run tests the people that the first one validates on
    test = first.predictions().table()
    test = Predictions.from_table(test[test["subject"] != test["subject"].iloc[0]].reset_index(drop=True))
    held = second.predictions()
    flipped = Predictions(frames=held.frames, aus=held.aus, prob=0.5 * held.prob, label=held.label)
    kept = Run.write(tmp_path, label="kept", parameters={"fold": 0}, predictions=test, validation=flipped)
    assert Run.read(kept.path).validation().subject.tolist() == held.subject.tolist()
    assert first.validation() is None
    result = score_runs([kept.path, runs[1]], protocol="ours", resamples=0)
    assert any("validation-tuned threshold is left out" in note for note in result.notes)  # not for every fold
    alone = score_runs([kept.path], protocol="ours", resamples=0)
    tuned = alone.table[alone.table["rule"] == "validation"]
    assert not tuned.empty
    assert not tuned["optimistic"].any()
    assert set(tuned["fold"]) - {""} == {partition("bp4d-3")[0].hash}


def test_the_command_prints_a_table_with_the_flattering_column_marked(runs, capsys):
    words = ["score", *map(str, runs), "--resamples", "20"]
    assert cli.main([*words, "--protocol", "fmae"]) == 0
    out = capsys.readouterr().out
    assert "AU12" in out
    assert "tuned on test (optimistic)" in out
    assert "mean F1 as fmae reports it" in out


def test_the_command_prints_json_of_every_score(runs, capsys):
    assert cli.main(["score", *map(str, runs), "--resamples", "0", "--protocol", "ours", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["protocol_hash"] == named("ours", dataset="bp4d").hash
    assert read["headline"]["low"] is None
    assert 0 < read["headline"]["value"] < 1
    assert {row["average"] for row in read["scores"]} == {"fold", "per_fold_mean", "pooled"}


@pytest.mark.parametrize("words", [["--protocol", "nobody"], ["--protocol", "bp4dplus-fmae4"]])
def test_a_protocol_that_does_not_fit_is_one_line(runs, capsys, words):
    assert cli.main(["score", str(runs[0]), *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_folder_that_is_no_run_and_a_run_given_twice_are_one_line(runs, tmp_path, capsys):
    assert cli.main(["score", str(tmp_path)]) == 2
    assert "no run.json" in capsys.readouterr().err
    assert cli.main(["score", str(runs[0]), str(runs[0])]) == 2
    assert "twice" in capsys.readouterr().err
