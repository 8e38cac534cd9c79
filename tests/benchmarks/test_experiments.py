"""The scripts of the reference results: each names code that exists, and one of them is run small."""

import importlib.util
import sys
from pathlib import Path

import pytest

from fau_utils import provenance
from fau_utils.results import reference

FOLDER = Path(__file__).parents[2] / "benchmarks" / "experiments"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py"))


def _script(name):
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_study_declares_its_arms_and_the_code_that_decides_its_numbers(name):
    script = _script(name)
    study = script.STUDY
    arms = {cell["arm"] for cell in study.cells} | set(getattr(script, "ARMS", ()))  # of cells, or within each
    assert len(arms) > 1, "nothing to compare with"
    assert any(path.parent.name == "methods" for path in provenance.used_files(study.code))
    assert len({cell["seed"] for cell in study.cells}) >= 3


def test_learning_is_measured_on_people_seen_and_unseen(tmp_path, monkeypatch, blobs):
    script = _script("learning")
    monkeypatch.setattr(script.synth, "load", lambda world, split: blobs(3, 8, size=64))
    monkeypatch.setattr(
        script,
        "STUDY",
        script.Study("learning_cpu", [{"arm": "ViT", "views": 64, "seed": 0}], script.run, script.STUDY.code),
    )
    script.STUDY.main(["--out", str(tmp_path), "--device", "cpu"])
    found = reference.read("learning_cpu", folder=tmp_path)
    assert found.table[["auc", "f1", "seen_auc", "seconds"]].notna().all(axis=None)
    assert not found.stale
