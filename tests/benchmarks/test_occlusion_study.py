"""The study of occlusion: a run says what was measured under each mask, and claims are computed from its rows."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "experiments" / "occlusion_mae.py"


@pytest.fixture(scope="module")
def script(blobs):
    spec = importlib.util.spec_from_file_location("experiment_occlusion_mae", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    faces = blobs(2, 8, aus=module.OTHERS.aus)
    support = torch.rand(16, 12, 64)
    module.synth.load, load = (lambda *_: faces), module.synth.load
    module.test = lambda size: (faces, support / support.sum(2, keepdim=True))
    yield module
    module.synth.load = load


@pytest.fixture(scope="module")
def size(script):
    return replace(script.SIZES["cpu"], views=32, batch=16, pretraining=64)


@pytest.fixture
def few(script, monkeypatch):
    """Fewer conditions: each is scored for 200 draws of the people."""
    monkeypatch.setattr(script, "RATIOS", (0.5, 0.75))
    monkeypatch.setattr(script, "BANDS", ("eyes",))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("part", ["arms", "patch"])
def test_rows_of_all_conditions_decide_the_claims(script, size, part):
    rows, setup = [], script.SETUPS[part]
    for arm in ("method", "augmented"):
        rows += [
            {"arm": arm, "seed": 0, **row} for row in script.run({"arm": arm, "seed": 0}, "cpu", size=size, setup=setup)
        ]
    table = pd.DataFrame(rows)
    assert set(table.groupby("arm").size()) == {2 * 2 + 1}
    assert table["auc_draws"].map(len).eq(200).all()
    assert table["cosine"].between(0, 1).all()
    assert table["views"].eq(32).all(), "equal budgets"
    verdicts = script.verdicts(table)
    decided = [verdict for verdict in verdicts if math.isfinite(verdict.effect)]
    assert len(verdicts) == len(script.CLAIMS) == 14
    assert len(decided) == 4
    assert all("beats augmented" in verdict.claim for verdict in decided)


@pytest.mark.usefixtures("few")
def test_draws_of_the_masks_are_averaged(script, size):
    setup = script.SETUPS["arms"]
    rows = script.run({"arm": "teacher", "seed": 0}, "cpu", size=replace(size, draws=2), setup=setup)
    assert len(rows) == 5
    assert {row["draws"] for row in rows} == {2}
    assert len(rows[0]["au_auc"]) == 12


def test_the_cost_of_a_decoder_is_measured(script, size, blobs, monkeypatch):
    monkeypatch.setattr(script, "REPEATS", 3)
    faces = blobs(2, 3, aus=script.OTHERS.aus)
    monkeypatch.setattr(script, "test", lambda size: (faces, None))
    rows = {
        arm: script.run_cost({"arm": arm, "groups": 4, "seed": 0}, "cpu", size=size) for arm in ("method", "inpainted")
    }
    at = {arm: {row["ratio"]: row for row in found if row["kind"] == "random"} for arm, found in rows.items()}
    assert at["method"][0.75]["mflop"] < 0.4 * at["method"][0.0]["mflop"]
    assert at["inpainted"][0.75]["mflop"] > 3 * at["method"][0.75]["mflop"]
    assert all(row["ms"] > 0 for found in rows.values() for row in found)
