"""A grid that really trains, killed at random, and its table for the book."""

import json
import os
import random
import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fau_utils.bench import fingerprint, grid
from fau_utils.bench.export import export, reference
from fau_utils.frames import Frames
from fau_utils.results import leaderboard
from fau_utils.results import reference as references
from fau_utils.results.run import Run
from fau_utils.training import Predictions

BODY = Path(__file__).with_name("real_cell.py")
GRID = {
    "methods": [{"method": "landmarks", "variants": {"default": {"views": 1920, "batch_size": 16, "eval_every": 640}}}],
    "data": "synth:subjects=4,frames=12",
    "budgets": "smoke",
    "seeds": 2,
    "body": ["{python}", str(BODY)],
}


def _undisturbed(cell, work, monkeypatch) -> dict:
    """What the body of a cell says when nothing happens to it, in this process, which has all imports behind it."""
    work.mkdir()
    (work / "parameters.json").write_text(json.dumps(cell.parameters))
    monkeypatch.setattr(sys, "argv", [str(BODY), str(work)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the cells: the order of sums is in the last bit
    try:
        runpy.run_path(str(BODY))
    finally:
        torch.set_num_threads(threads)
    return json.loads((work / "result.json").read_text())


def test_training_that_is_killed_five_times_at_random_ends_in_the_table_of_an_undisturbed_run(bench, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    bench.file.write_text(yaml.safe_dump(GRID))
    cells = grid.load(bench.file).cells()
    expected = {cell.id: _undisturbed(cell, bench.folder / cell.id, monkeypatch) for cell in cells}
    dice = random.Random(os.environ.get("FAU_KILLS", "0"))
    kept: dict[str, str] = {}
    for _ in range(5):
        driver = bench.start("--jobs", "2")
        time.sleep(dice.uniform(1.0, 4.0))
        driver.kill()
        driver.communicate()
        now = {place.id: place.record["folder"] for place in bench.store.places() if place.record}
        assert kept.items() <= now.items(), "a finished cell was done again"
        kept = now
    assert bench.run(jobs=2)[0] == 0
    assert bench.results() == expected  # to the last bit, draws and all
    export(bench.out, bench.folder / "to")
    table = pd.read_csv(bench.folder / "to" / "summary.csv")
    assert table["auc"].tolist() == [pytest.approx(np.mean([result["auc"] for result in expected.values()]))]
    assert table["seeds"].tolist() == [2]


def _trained(bench, *, code):
    """One cell that says it was made by this code, and has a run of two people."""
    bench.write(methods=("landmarks",))
    bench.run()
    place = bench.place()
    frames = Frames(
        pd.DataFrame({"dataset": "d", "subject": ["d/a", "d/b"] * 4, "clip": "0", "frame": range(8), "camera": ""})
    )
    label = np.tile([[1.0, 0], [0, 1]], (4, 1)).astype("float32")
    said = Predictions(frames, (1, 2), np.abs(label - 0.2), label)
    record = place.record
    run = Run.write(place.result_of(record) / "runs", label="x", parameters={}, predictions=said, validation=said)
    result = {"run": f"runs/{run.path.name}", "f1": 100.0, "f1_draws": [1.0, 2.0], "people": 2, "device": "a processor"}
    record |= {"result": result, "ingredients": {**record["ingredients"], "code": code}}
    (place.folder / "run.json").write_text(json.dumps(record))


def test_the_table_for_the_book_has_a_score_per_person_and_its_origin(bench):
    _trained(bench, code=fingerprint.code_of("landmarks"))
    reference(bench.out, "board", folder=bench.folder / "kept")
    found = references.read("board", folder=bench.folder / "kept")
    (row,) = found.table.to_dict("records")
    assert (row["method"], row["f1"], list(row["f1_draws"])) == ("landmarks", 100, [1, 2])
    assert (list(row["persons"]), list(row["person_f1"])) == (["d/a", "d/b"], [100, 100])
    assert found.record["device"] == "a processor"
    assert "fau_utils.methods.baselines" in found.record["code"]
    assert not found.stale
    assert leaderboard.board(found.table)["f1"].tolist() == [100]


def test_a_cell_of_other_code_does_not_enter_the_book(bench):
    _trained(bench, code={"fau_utils/methods/baselines.py": "of yesterday"})
    with pytest.raises(ValueError, match="made by other code than is here"):
        reference(bench.out, "board", folder=bench.folder / "kept")


def test_a_cell_without_a_run_is_named(bench):
    bench.write(methods=("landmarks",))
    bench.run()
    place = bench.place()
    record = place.record
    record["ingredients"]["code"] = fingerprint.code_of("landmarks")
    (place.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="expected a run in its result, found"):
        reference(bench.out, "board", folder=bench.folder / "kept")
