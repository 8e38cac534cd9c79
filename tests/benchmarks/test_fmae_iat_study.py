"""The study of FMAE-IAT: what is declared can be computed from what is run, on every budget, and one cell is run."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "experiments" / "fmae_iat.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("experiment_of_fmae_iat", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PARTS = ["grid", "dynamics", "people", "pretraining", "scale", "split"]
SEVERAL = {"dynamics": ("when", ["last", "val", "test"]), "split": ("tested on", ["the same people", "strangers"])}


@pytest.mark.parametrize("budget", ["cpu", "gpu"])
@pytest.mark.parametrize("part", PARTS)
def test_every_declared_claim_is_decided_by_the_cells_of_its_part(script, part, budget):
    cells = script.study(part, budget=budget).cells
    name, values = SEVERAL.get(part, ("row", ["only"]))
    rows = [{**cell, name: value} for cell in cells for value in values]
    table = pd.DataFrame(rows)
    for score in ("auc", "f1", "no_gap", "hidden_linear", "hidden_mlp", "flattery"):
        table[score] = np.random.default_rng(0).normal(70, 1, len(table))
    for verdict in script.verdicts(part, table):
        assert not math.isnan(verdict.effect), verdict.claim
        assert verdict.over == f"{script.SIZES[budget].seeds} seeds"


def test_the_most_important_cells_come_first_and_seeds_are_balanced(script):
    cells = script.cells("grid", script.SIZES["cpu"])
    first = {(cell["strength"], cell["skew"]) for cell in cells[:9]}
    assert first == {(strength, skew) for strength in (0.0, 0.5, 2.0) for skew in (0.0, 1.2, 2.5)}
    assert {cell["seed"] for cell in cells[:9]} == {0}


def test_a_gain_is_taken_over_the_same_seed_skew_and_people(script):
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(3):
        for skew, gain in ((0.0, 1.0), (1.2, 3.0), (2.5, 2.0)):
            people = rng.normal(70 + 10 * seed + skew, 5, 50)  # by far the largest differences, and shared
            for arm, more in (("no adversary", 0.0), ("lambda 0.5", gain), ("lambda 2", -gain)):
                rows.append({"arm": arm, "seed": seed, "skew": skew, "auc": 70 + more, "auc_draws": people + more})
    table = pd.DataFrame(rows[::-1]).assign(f1=0.0, no_gap=0.0, hidden_linear=0.0, hidden_mlp=0.0)
    found = {verdict.claim: verdict for verdict in script.verdicts("grid", table)}
    more = found["lambda 0.5 gains more AUC at skew 1.2 than without skew"]
    assert (more.effect, more.low, more.high) == pytest.approx((2, 2, 2))
    assert more.over == "3 seeds and the people"
    assert more.unit == "AUC points"
    assert found["lambda 2 gains more AUC at skew 2.5 than without skew"].effect == pytest.approx(-1)


def test_label_efficiency_has_four_shares_for_both_beginnings_and_keeps_the_keys_it_had(script):
    cells = script.study("pretraining").cells
    first = [c for c in cells if c["seed"] == 0 and (c["pool"], c["strength"]) == ("position", 0.0)]
    asked = {(c["init"], script.LABELS[c["labels"]]) for c in first}
    assert asked == {(init, every) for init in ("mae", "random") for every in (1, 2, 8, 32)}
    few = {"arm": "no adversary", "init": "mae", "pool": "position", "labels": "few labels", "strength": 0.0, "seed": 0}
    assert few in cells
    assert {**few, "labels": "all labels"} in cells


def test_a_run_says_what_strangers_known_people_and_probes_say(script, blobs, monkeypatch):
    def load(config, split):
        known = split in ("train", "seen")
        faces = blobs(4, 10, seed=1 if split == "seen" else 0, first=0 if known else 20)
        return replace(faces, intensity=faces.labels * 3, clip=torch.arange(len(faces)))

    monkeypatch.setattr(script.synth, "load", load)
    script.load.cache_clear()
    size = replace(script.SIZES["cpu"], views=64)
    cell = {"arm": "lambda 2, ramp", "strength": 2.0, "skew": 1.2, "seed": 0}
    row = script.run_grid(cell, "cpu", size=size)
    script.load.cache_clear()
    for name in ("auc", "f1", "val_auc", "seen_auc", "seen_skewed_auc", "identity_linear", "identity_mlp", "train_au"):
        assert math.isfinite(row[name]), name
    assert row["no_gap"] == row["auc"] - row["seen_auc"]
    assert len(row["auc_draws"]) == 200
    assert row["people"] == 4
