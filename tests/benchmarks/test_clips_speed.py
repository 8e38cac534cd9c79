"""The benchmark of clips serves what a learner trains on; how fast either is, is nobody's test."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(SPEED))
    try:
        yield importlib.import_module("clips")
    finally:
        sys.path.remove(str(SPEED))
        for name in ("clips", "training", "reference_training"):
            sys.modules.pop(name, None)


def test_the_sampler_and_a_training_step_are_timed_on_the_same_clips(bench):
    found = bench.measure(32, device=torch.device("cpu"), rounds=2, steps=1, batch=14)
    rates = [found[f"{name}_frames_per_second"] for name in ("sampler", "training")]
    assert found["ratio_low"] <= found["ratio"] <= found["ratio_high"]
    assert min(rates) > 0
    batch = next(bench.clips(32, people=4).batches(batch_size=14))
    assert batch.frame.view(2, 7).diff(dim=1).eq(1).all()


def test_the_table_is_shown_and_kept_with_its_origin(bench, monkeypatch, capsys):
    kept = []
    monkeypatch.setattr(bench.reference, "write", lambda name, table, **about: kept.append((name, table, about)))
    threads = torch.get_num_threads()
    bench.main(["--sizes", "32", "--rounds", "1", "--steps", "1", "--batch", "14", "--keep", "some"])
    torch.set_num_threads(threads)
    assert "ratio" in capsys.readouterr().out
    ((name, table, about),) = kept
    assert (name, table["size"].tolist()) == ("some", [32])
    assert about["command"].startswith("python benchmarks/speed/clips.py --sizes 32")
