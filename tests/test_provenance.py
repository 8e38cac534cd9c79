import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import fau_utils
from fau_utils import provenance


def test_used_files_follow_imports_and_stay_in_the_package():
    files = {path.name for path in provenance.used_files(["fau_utils.data.images"])}
    assert {"images.py", "batch.py", "frames.py", "aus.py"} <= files
    assert "contract.py" not in files
    assert all(
        path.is_relative_to(Path(fau_utils.__file__).parent) for path in provenance.used_files(["fau_utils.batch"])
    )


def test_unknown_module_is_refused():
    with pytest.raises(ValueError, match=r"fau_utils\.nothing"):
        provenance.code_hash(["fau_utils.nothing"])
    with pytest.raises(ValueError, match="numpy"):
        provenance.code_hash([np])


def test_code_hash_changes_with_the_text_and_not_with_line_endings(tmp_path):
    file = tmp_path / "method.py"
    file.write_bytes(b"a = 1\nb = 2\n")
    first = provenance.code_hash([file])
    file.write_bytes(b"a = 1\r\nb = 2\r\n")
    assert provenance.code_hash([file]) == first
    file.write_bytes(b"a = 1\nb = 3\n")
    assert provenance.code_hash([file]) != first


def test_code_hash_of_a_module_changes_when_something_it_imports_changes(tmp_path, monkeypatch):
    package = tmp_path / "fau_utils"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "top.py").write_text("from fau_utils import below\n")
    (package / "below.py").write_text("x = 1\n")
    (package / "aside.py").write_text("y = 1\n")
    monkeypatch.setattr(provenance, "_ROOT", package)
    first = provenance.code_hash(["fau_utils.top"])
    (package / "aside.py").write_text("y = 2\n")
    assert provenance.code_hash(["fau_utils.top"]) == first
    (package / "below.py").write_text("x = 2\n")
    assert provenance.code_hash(["fau_utils.top"]) != first


def test_code_hash_looks_past_what_only_people_read(tmp_path):
    file = tmp_path / "method.py"
    file.write_text('"""Old."""\n\n\ndef f(x):\n    """Ä doc. # 1"""\n    return x + "# no comment"  # why\n')
    first = provenance.code_hash([file])
    file.write_text('"""New words."""\n# more\ndef f(x):\n    return x + "# no comment"\n')
    assert provenance.code_hash([file]) == first
    file.write_text('def f(x):\n    return x + "# other text"\n')
    assert provenance.code_hash([file]) != first


def test_a_name_that_a_package_hands_on_is_followed_home_and_its_neighbours_are_not(tmp_path, monkeypatch):
    package = tmp_path / "fau_utils"
    (package / "methods").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "methods" / "__init__.py").write_text(
        "from fau_utils.methods.one import f\nfrom fau_utils.methods.two import g\n"
    )
    (package / "methods" / "one.py").write_text("def f(): ...\n")
    (package / "methods" / "two.py").write_text("def g(): ...\n")
    (package / "top.py").write_text("from fau_utils.methods import f\n")
    monkeypatch.setattr(provenance, "_ROOT", package)
    assert {path.name for path in provenance.used_files(["fau_utils.top"])} == {"top.py", "one.py"}
    everything = {path.name for path in provenance.used_files(["fau_utils.methods"])}
    assert everything == {"__init__.py", "one.py", "two.py"}


def test_git_revision_marks_changes_and_is_none_outside_a_repository(tmp_path):
    assert provenance.git_revision(tmp_path) is None

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True)

    git("init", "-q")
    assert provenance.git_revision(tmp_path) is None
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("-c", "user.name=n", "-c", "user.email=e@example.org", "commit", "-q", "-m", "m")
    clean = provenance.git_revision(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("2")
    assert provenance.git_revision(tmp_path) == f"{clean}+changes"


def test_versions_skip_what_is_not_installed():
    found = provenance.versions(["torch", "no-such-package"])
    assert found["torch"] == torch.__version__.split("+")[0]
    assert set(found) == {"python", "torch"}


def test_peak_memory_lies_between_what_is_held_now_and_what_the_machine_has():
    held = psutil.Process().memory_info().rss
    assert 0.95 * held <= provenance.peak_memory() < psutil.virtual_memory().total


def test_device_name_says_how_many_threads():
    assert str(torch.get_num_threads()) in provenance.device_name("cpu")
