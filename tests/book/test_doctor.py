import json
import subprocess
import sys

import pytest

from fau_utils import cli, cli_own
from fau_utils.book import doctor
from fau_utils.book.doctor import Finding


def _found(monkeypatch, **checks):
    for name in (
        "python",
        "command",
        "packages",
        "torch_runs",
        "gpu",
        "processor",
        "memory",
        "disk",
        "cache",
        "notebooks",
        "browser",
        "xelatex",
    ):
        made = checks.get(name, lambda *_, name=name: Finding(name, "fine", "as it should be"))
        monkeypatch.setattr(doctor, name, made)


def test_this_installation_can_run_the_book():
    """The slow checks start a kernel and import torch in processes of their own."""
    for finding in (
        doctor.python(), doctor.command(), doctor.packages(), doctor.torch_runs(), doctor.notebooks(),
        cli_own.face_detector(), cli_own.kept_models(), doctor.xelatex(),
    ):  # fmt: skip
        assert finding.state != "broken", finding


def test_a_package_that_is_missing_or_too_old_is_named(monkeypatch):
    wanted = ["numpy>=999", "no-such-thing>=1", "pandas>=1", 'ruff>=999; extra == "dev"']
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: wanted)
    found = doctor.packages()
    assert found.state == "broken"
    assert "numpy" in found.found
    assert "no-such-thing is missing" in found.found
    assert "pandas" not in found.found
    assert "ruff" not in found.found, "readers need no linter"
    assert "pip install" in found.remedy


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_shell_that_does_not_find_fau_is_told_how(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor.sys, "prefix", str(tmp_path / "env"))
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "activate").touch()
    (tmp_path / "fau").touch(mode=0o755 if elsewhere else 0o644)
    found = doctor.command()
    assert (found.state, "another fau" in found.found) == ("worth knowing", elsewhere)
    assert found.remedy == f"once in each shell: . {tmp_path}/env/bin/activate"


def test_a_damaged_model_and_what_only_some_need_are_worth_knowing(tmp_path, monkeypatch):
    monkeypatch.setenv("FAU_MODELS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli_own.kept_models().state == "fine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "card.json").write_text("{}")
    for finding in (cli_own.kept_models(), doctor.xelatex(), doctor.browser()):
        assert finding.state == "worth knowing"
    assert "mine" in cli_own.kept_models().found


def test_torch_that_cannot_be_imported_is_told_with_a_remedy(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nRuntimeError: operator torchvision::nms does not exist")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *a, **k: failed)
    found = doctor.torch_runs()
    assert found.state == "broken"
    assert "nms" in found.found
    assert "one index" in found.remedy


def test_more_threads_than_cores_is_worth_knowing(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert doctor.processor().state == "worth knowing"


def test_a_folder_without_room_is_broken(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1e8})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert doctor.disk(tmp_path).state == "broken"


def test_a_check_that_breaks_is_a_finding_and_stops_no_other(monkeypatch):
    def ill():
        raise KeyError("x")

    _found(monkeypatch, gpu=ill)
    states = {f.what: f.state for f in doctor.examine()}
    assert states["GPU"] == "broken"
    assert states["browser"] == "fine"


@pytest.mark.parametrize(("state", "code"), [("fine", 0), ("worth knowing", 0), ("broken", 1)])
def test_the_command_ends_with_1_only_when_something_is_broken(monkeypatch, capsys, state, code):
    _found(monkeypatch, memory=lambda: Finding("memory", state, "1 GiB free", "close other programs"))
    assert cli.main(["doctor", "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    assert said["ready"] is (code == 0)
    assert cli.main(["doctor"]) == code
    said = capsys.readouterr()
    assert "close other programs" in said.out
    assert "looking at memory" in said.err, "checks take seconds"


def test_it_needs_nothing_heavy_to_say_that_something_is_missing():
    words = "import sys; import fau_utils.book.doctor; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
