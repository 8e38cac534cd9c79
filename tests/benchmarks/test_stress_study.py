"""The stress study: a run has rows of every axis, and its claims find their rows."""

import importlib.util
import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from fau_utils.faces.population import Split, SynthFaces
from fau_utils.results import study

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "experiments" / "stress.py"


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("FAU_CACHE", str(tmp_path))
    spec = importlib.util.spec_from_file_location("experiment_stress", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    few = SynthFaces(test=Split(4, 6, "test"), val=Split(2, 2, "val"))
    for name in ("TESTED", "MET_AGAIN"):
        monkeypatch.setattr(module, name, few)
    monkeypatch.setattr(module, "CROWD", few.with_split("test", subjects=30, frames=2))
    monkeypatch.setattr(module, "RESAMPLES", 20)
    world = SynthFaces(train=Split(4, 6, "train"), seen=Split(2, 2, "train"))
    monkeypatch.setattr(module, "world", lambda seed: world)
    monkeypatch.setattr(module, "VIEWS", 32)
    gap = module.Gap
    monkeypatch.setattr(module, "Gap", lambda g, aus, test_frames: gap(g, aus=aus, test_people=4, test_frames=6))
    return module


def test_a_run_has_rows_of_every_axis_and_claims_find_theirs(script):
    cell = {"arm": "landmarks", "seed": 0}  # the fastest; for its claims it stands in for another
    rows = [{"arm": "CNN", "seed": 0, **row} for row in script.run(cell, "cpu")]
    table = pd.DataFrame(rows)
    assert set(table["axis"]) == {"clean", "hidden", "damage", "domain", "group", "look", "identity"}
    assert table.loc[table.axis == "look", "kind"].value_counts().eq(2).all()
    assert table.loc[table.kind == "glasses", "people"].sum() == 30
    assert table.loc[table.axis == "identity", "leak"].between(0, 100).all()
    assert not table.loc[table.axis != "identity", "auc"].isna().any()
    found = [study.contrast(table, **claim) for claim in script.CLAIMS]
    decided = [claim for claim in found if math.isfinite(claim.effect)]
    assert len(decided) == 8  # those about the CNN alone
