import json
import logging
import os
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import torch

from fau_utils.methods import LandmarkMlp
from fau_utils.results import DamagedRun, Run, finished, query, runs
from fau_utils.results import run as run_module
from fau_utils.training import Budget, fit, predict


@pytest.fixture(scope="module")
def trained(blobs):
    train, test = blobs(4, 8), blobs(3, 8, seed=1, first=100, unknown=0.3)
    method = LandmarkMlp(train.aus)
    fitted = fit(method, train, budget=Budget("tiny", views=64, batch_size=16), device="cpu", progress=False)
    return fitted, predict(method, test, device="cpu")


def write(root, trained, **changes):
    fitted, predictions = trained
    options = {"label": "mlp", "parameters": {"method": "mlp", "lr": 0.1}, "fitted": fitted, "predictions": predictions}
    return Run.write(root, **{**options, **changes})


def test_a_run_reads_back_as_it_was_written(tmp_path, trained):
    fitted, predictions = trained
    run = Run.read(write(tmp_path, trained).path)
    again = run.predictions()
    np.testing.assert_array_equal(again.prob, predictions.prob)
    np.testing.assert_array_equal(again.label, predictions.label)
    assert np.isnan(again.label).any()
    assert again.aus == predictions.aus
    assert again.subject.tolist() == predictions.subject.tolist()
    pd.testing.assert_frame_equal(run.history(), fitted.history)
    pd.testing.assert_frame_equal(run.metrics(), predictions.scores())


def test_the_record_says_where_the_numbers_come_from(tmp_path, trained):
    record = write(tmp_path, trained).record
    assert record["parameters"] == {"method": "mlp", "lr": 0.1}
    assert (record["seed"], record["views"]) == (0, 64)
    assert record["budget"]["name"] == "tiny"
    assert record["versions"]["torch"]
    assert len(record["code_hash"]) == 16
    assert record["seconds"] > 0
    assert record["peak_memory"] > 10_000_000


def test_the_id_follows_from_the_parameters_and_not_from_their_order(tmp_path, trained):
    first = write(tmp_path, trained, parameters={"a": 1, "b": (1, 2)})
    assert write(tmp_path, trained, parameters={"b": [1, 2], "a": 1}).id == first.id
    assert write(tmp_path, trained, parameters={"a": 2, "b": [1, 2]}).id != first.id
    assert len(finished(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(run.id for run in finished(tmp_path))


def test_parameters_that_are_no_data_are_refused(tmp_path, trained):
    with pytest.raises(ValueError, match="plain data"):
        write(tmp_path, trained, parameters={"method": LandmarkMlp})
    with pytest.raises(ValueError, match="finite"):
        write(tmp_path, trained, parameters={"lr": float("nan")})
    with pytest.raises(ValueError, match="label of letters"):
        write(tmp_path, trained, label="../elsewhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["predictions.parquet", "run.json"])
def test_a_run_that_dies_while_writing_leaves_nothing_and_keeps_the_old_one(tmp_path, trained, monkeypatch, file):
    old = write(tmp_path, trained)

    def die(*args, **kwargs):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        if file == "run.json":
            patched.setattr(Path, "write_text", die)
        else:
            patched.setattr(pd.DataFrame, "to_parquet", die)
        with pytest.raises(OSError, match="No space"):
            write(tmp_path, trained)
    assert [path.name for path in tmp_path.iterdir()] == [old.id]
    assert len(finished(tmp_path)) == 1


def test_a_killed_write_is_invisible(tmp_path, trained, monkeypatch):
    seen = []
    real = run_module._put_in_place
    # what another process would find at the last moment before the run is put in place
    monkeypatch.setattr(run_module, "_put_in_place", lambda *paths: (seen.append(finished(tmp_path)), real(*paths)))
    write(tmp_path, trained)
    assert seen == [[]]
    assert len(finished(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", None),
        ("metrics.parquet", "PAR1"),
        ("predictions.parquet", None),
    ],
)
def test_a_damaged_run_is_passed_over_with_a_warning_that_names_it(tmp_path, trained, caplog, file, content):
    good, bad = write(tmp_path, trained), write(tmp_path, trained, parameters={"seed": 2})
    if content is None:
        (bad.path / file).unlink()
    else:
        (bad.path / file).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert runs(tmp_path)["run"].tolist() == [good.id]
        assert query(tmp_path, "select distinct run from predictions")["run"].tolist() == [good.id]
    assert bad.id in caplog.text
    assert file in caplog.text
    with pytest.raises(DamagedRun, match=bad.id):
        Run.read(bad.path)


def test_a_run_of_a_newer_layout_is_not_guessed_at(tmp_path, trained):
    run = write(tmp_path, trained)
    (run.path / "run.json").write_text(json.dumps({**run.record, "schema": 99}))
    with pytest.raises(DamagedRun, match="layout 99"):
        Run.read(run.path)


def test_sql_sees_all_runs_at_once(tmp_path, trained):
    _, predictions = trained
    for lr in (0.1, 0.2):
        write(tmp_path, trained, parameters={"lr": lr})
    table = query(
        tmp_path,
        "select cast(r.parameters->>'$.lr' as double) as lr, avg(m.auc) as auc, count(*) as aus "
        "from runs r join metrics m using (run) group by all order by lr",
    )
    assert table["lr"].tolist() == [0.1, 0.2]
    assert table["aus"].tolist() == [3, 3]
    assert table["auc"][0] == pytest.approx(predictions.scores()["auc"].mean())
    counts = query(tmp_path, "select run, count(*) as faces, count(label_AU1) as coded from predictions group by run")
    assert counts["faces"].tolist() == [24, 24]
    # nan is a number to SQL: what is not coded has to be null there
    assert counts["coded"][0] == (~np.isnan(predictions.label[:, 0])).sum()
    assert query(tmp_path, "select max(views) as v from history")["v"][0] == 64


def test_empty_folder_and_wrong_sql_say_so(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="at least one finished run"):
        query(tmp_path, "select 1")
    write(tmp_path, trained)
    with pytest.raises(duckdb.Error):
        query(tmp_path, "select nothing from nowhere")


def test_weights_come_back_bit_for_bit_and_only_when_kept(tmp_path, trained):
    fitted, _ = trained
    other = LandmarkMlp(fitted.method.aus, seed=7)
    write(tmp_path, trained, weights=True).load_weights(other)
    for a, b in zip(fitted.method.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(FileNotFoundError, match="weights=True"):
        write(tmp_path, trained).load_weights(other)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, trained):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        write(tmp_path, trained)
