"""A store of runs: a folder, a benchmark, or a place that is no folder of this computer; the same tables of each."""

import json
import logging
import re
import shutil

import fsspec
import numpy as np
import pandas as pd
import pytest

from fau_utils import cli, cli_results
from fau_utils.frames import Frames
from fau_utils.results import DamagedRun, Run, finished, query, runs, store
from fau_utils.training import Predictions

CELLS = {"cnn-s0": 0, "cnn-s1": 1}


def _write(root, seed, **parameters):
    frames = Frames(
        pd.DataFrame({"dataset": "d", "subject": ["d/a", "d/b"] * 4, "clip": "0", "frame": range(8), "camera": ""})
    )
    label = np.tile([[1.0, 0], [0, 1]], (4, 1)).astype("float32")
    said = Predictions(frames, (1, 2), np.abs(label - 0.2).astype("float32"), label)
    given = {"method": "cnn", "data": {"name": "synth"}, "seed": seed, **parameters}
    return Run.write(root, label=f"cnn-s{seed}", parameters=given, predictions=said, validation=said)


def _bench(root, **changes):
    """Two finished cells, one that only failed, one of another body, and a network that was pretrained on the way."""
    for cell, seed in CELLS.items():
        work = root / "cells" / cell / "work-1"
        run = _write(work / "runs", seed)
        (work / "runs" / "pretrained").mkdir()
        result = {"run": f"runs/{run.id}", "f1": 50.0 + seed, "hidden": 60.0, "hidden_draws": [1.0], "device": "x"}
        place = {"method": "cnn", "variant": "slow", "data": "synth", "protocol": "ours", "fold": None, "seed": seed}
        record = {"schema": 1, "cell": cell, "folder": "work-1", "place": {**place, "budget": "laptop"}}
        (root / "cells" / cell / "run.json").write_text(json.dumps({**record, "result": result, **changes}))
    (root / "cells" / "failed").mkdir()
    (root / "cells" / "waits").mkdir()
    (root / "cells" / "waits" / "run.json").write_text(json.dumps({"schema": 1, "result": {"score": 1}}))
    (root / "plan.json").write_text("{}")
    return root


@pytest.fixture
def memory():
    """A place on object storage, as far as anything here can tell."""
    system = fsspec.filesystem("memory")
    yield system, "memory://store"
    system.rm("/store", recursive=True)


def _there(memory, root):
    system, url = memory
    system.put(str(root), "/store", recursive=True)
    return url


def test_a_benchmark_is_asked_like_a_folder_of_runs(tmp_path):
    root = _bench(tmp_path / "bench")
    assert [run.path.parents[2].name for run in finished(root)] == ["cnn-s0", "cnn-s1"]
    table = query(root, "select * from scores order by seed")
    assert table["cell"].tolist() == list(CELLS)
    assert (table["f1"].tolist(), table["hidden"].tolist()) == ([50, 51], [60, 60])  # what the cell measured
    assert table["auc"].tolist() == [100, 100]  # what it did not, from the run
    assert set(table["variant"]) == {"slow"}
    assert "hidden_draws" not in table
    joined = query(root, "select count(*) as n from scores join predictions using (run, cell) where cell = 'cnn-s1'")
    assert joined["n"][0] == 8


def test_equal_runs_of_two_cells_stay_apart(tmp_path):
    root = _bench(tmp_path / "bench")
    first, second = (root / "cells" / cell for cell in CELLS)
    shutil.rmtree(second / "work-1")
    shutil.copytree(first / "work-1", second / "work-1")
    record = json.loads((first / "run.json").read_text())
    (second / "run.json").write_text(json.dumps({**record, "cell": "cnn-s1"}))
    counts = query(root, "select cell, count(*) as n from metrics group by cell order by cell")
    assert (counts["cell"].tolist(), counts["n"].tolist()) == (list(CELLS), [2, 2])


@pytest.mark.parametrize("kind", ["folder", "bench"])
def test_object_storage_gives_the_tables_of_the_disk(tmp_path, memory, kind):
    root = tmp_path / "store"
    if kind == "bench":
        _bench(root)
    else:
        for seed in (0, 1):
            _write(root, seed)
    url = _there(memory, root)
    for view in store.VIEWS:
        sql = f"select * from {view} order by all"
        here, there = (query(place, sql).drop(columns="path", errors="ignore") for place in (root, url))
        pd.testing.assert_frame_equal(here, there)
        assert len(here) or view == "history"  # nothing was trained
    for here, there in zip(finished(root), finished(url), strict=True):
        assert here.id == there.id
        assert np.array_equal(here.predictions().prob, there.predictions().prob)
        assert np.array_equal(here.validation().label, there.validation().label)
        pd.testing.assert_frame_equal(here.metrics(), there.metrics())
        pd.testing.assert_frame_equal(here.history(), there.history())
        with pytest.raises(FileNotFoundError, match="weights=True"):
            there.load_weights(None)


def test_damaged_and_newer_runs_are_passed_over_there_too(tmp_path, memory, caplog):
    good, cut, new = (_write(tmp_path / "store", seed) for seed in range(3))
    url = _there(memory, tmp_path / "store")
    memory[0].pipe_file(f"/store/{cut.id}/predictions.parquet", b"PAR1")
    memory[0].pipe_file(f"/store/{new.id}/run.json", json.dumps({**new.record, "schema": 99}).encode())
    with caplog.at_level(logging.WARNING):
        assert runs(url)["run"].tolist() == [good.id]
    assert "layout 99" in caplog.text
    assert cut.id in caplog.text
    with pytest.raises(DamagedRun):
        store._read(memory[0], "/store/none")


def test_a_cell_of_a_newer_layout_is_not_guessed_at(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert finished(_bench(tmp_path / "bench", schema=99)) == []
    assert "layout 99" in caplog.text


def test_a_place_that_nobody_can_open_is_one_line(tmp_path, capsys):
    assert cli.main(["results", "nowhere://x"]) == 2
    assert cli.main(["results", str(tmp_path)]) == 2
    assert "Traceback" not in (said := capsys.readouterr().err)
    assert "at least one finished run" in said


def test_help_names_the_columns_that_there_are(tmp_path, capsys):
    root = _bench(tmp_path / "bench")
    assert tuple(cli_results.VIEWS) == store.VIEWS
    for view, words in cli_results.VIEWS.items():
        listed = set(re.findall(r"\w+", words))
        there = {name for name in query(root, f"select * from {view}") if not name.endswith("AU2")}
        assert there <= listed
    assert cli.main(["results", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "prob_AU1" in said
    assert "images_per_second" in said


def test_the_command_shows_a_table_answers_sql_and_writes_csv(tmp_path, capsys):
    root = str(_bench(tmp_path / "bench"))
    assert cli.main(["results", root]) == 0
    said = capsys.readouterr().out
    assert "cnn-s1" in said
    assert "51.0" in said
    assert "protocol" in said
    assert "fold" not in said  # empty everywhere
    asked = "select method, avg(f1) as mean_f1 from scores group by method"
    assert cli.main(["results", root, "--sql", asked]) == 0
    assert "50.5" in capsys.readouterr().out
    out = tmp_path / "new" / "out.csv"
    assert cli.main(["results", root, "--table", "metrics", "--csv", str(out)]) == 0
    assert len(pd.read_csv(out)) == 4
    assert "4 rows in" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--table", "nothing"], ["--sql", "select x from scores"], ["--sql", "what"]])
def test_a_wrong_question_is_one_line(tmp_path, capsys, words):
    _write(tmp_path / "runs", 0)
    assert cli.main(["results", str(tmp_path / "runs"), *words]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 3
