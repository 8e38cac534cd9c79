import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import learning

from fau_utils.results import reference

SMALL = ["--views", "64", "128", "--seeds", "1", "--methods", "ViT"]


@pytest.fixture
def small(tmp_path, monkeypatch, blobs):
    monkeypatch.setattr(learning.synth, "load", lambda world, split: blobs(3, 8, size=64))
    return tmp_path


def test_every_run_is_a_row_with_its_origin(small):
    learning.main([*SMALL, "--out", str(small)])
    found = reference.read("learning_cpu", folder=small)
    assert found.table["views"].tolist() == [64, 128]
    assert found.table[["unseen_auc", "seen_auc"]].notna().all(axis=None)
    assert not found.stale
    assert "--views 64 128" in found.record["command"]


def test_a_second_call_makes_only_what_is_missing(small, monkeypatch):
    learning.main([*SMALL, "--out", str(small)])
    made = []
    once = learning.run
    monkeypatch.setattr(learning, "run", lambda *a, **k: made.append(k["views"]) or once(*a, **k))
    learning.main(["--views", "64", "128", "192", *SMALL[3:], "--out", str(small)])
    assert made == [192]
    assert len(reference.read("learning_cpu", folder=small).table) == 3
