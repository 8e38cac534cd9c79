"""An hour on a GPU: steps that fail or hang leave the others alone, and what is done is not done again."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def session():
    spec = importlib.util.spec_from_file_location("gpu_session", ROOT / "benchmarks" / "gpu_session.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_session"] = module  # dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["gpu_session"]


def _step(session, name, code, minutes=1.0, **more):
    command = (sys.executable, "-c", code)
    return session.Step(name, command, command, minutes, **more)


def _codes(ended):
    return {entry["name"]: entry["code"] for entry in ended}


def test_a_step_that_fails_or_hangs_leaves_the_others_alone(session, tmp_path):
    steps = [
        _step(session, "fails", "raise SystemExit('no card')"),
        _step(session, "hangs", "import time; print('so far', flush=True); time.sleep(600)", minutes=0.12),
        _step(session, "works", "print('well')"),
    ]
    ended = session.run(steps, tmp_path, minutes=2)
    assert _codes(ended) == {"fails": 1, "hangs": None, "works": 0}
    assert [entry["last"] for entry in ended] == ["no card", "so far", "well"]
    assert json.loads((tmp_path / "session.json").read_text()) == ended


def test_the_same_command_does_what_is_left_and_goes_on_with_studies(session, tmp_path):
    count = "import pathlib; p = pathlib.Path(r'{}'); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"
    once, study = tmp_path / "once", tmp_path / "study"
    steps = [_step(session, "once", count.format(once)), _step(session, "study", count.format(study), goes_on=True)]
    out = tmp_path / "out"
    session.run(steps, out, minutes=2)
    session.run(steps, out, minutes=2)
    assert (once.read_text(), study.read_text()) == ("x", "xx")
    failing = [_step(session, "once", "raise SystemExit(3)")]
    assert _codes(session.run(failing, out, minutes=2))["once"] == 0, "what was done stays done"


def test_without_time_nothing_begins(session, tmp_path, capsys):
    assert session.run([_step(session, "works", "print(1)")], tmp_path, minutes=0.01) == []
    assert "no time left" in capsys.readouterr().out


def test_a_study_is_told_its_minutes_and_tables_are_kept(session, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "TABLES", tmp_path / "tables")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "clp_gpu.parquet").write_text("rows")
    command = (sys.executable, "-c", "import sys; print(sys.argv[1])", "{left}")
    (entry,) = session.run([session.Step("clp", command, command, 2)], tmp_path / "out", minutes=1)
    assert 0 < float(entry["last"]) < 1
    assert (tmp_path / "out" / "clp_gpu.parquet").read_text() == "rows"


def test_every_step_names_a_script_that_is_there(session):
    assert len({step.name for step in session.STEPS}) == len(session.STEPS)
    for step in session.STEPS:
        for command in (step.command, step.rehearsal):
            assert command[1] == "-m" or (ROOT / command[1]).is_file()
        assert "cuda" in step.command or "gpu" in step.command
        assert "cuda" not in step.rehearsal
