import subprocess
import sys

import pytest

from fau_utils import cli
from fau_utils.book import command


@pytest.fixture
def fau(capsys):
    def run(*words):
        code = cli.main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_help_names_the_commands(fau):
    code, out, _ = fau("--help")
    assert code == 0
    assert "book" in out
    assert "pair" in out


@pytest.mark.parametrize(
    "words", [["book", "--bugdet", "smoke"], ["boook"], ["book", "--jobs", "two"], ["book", "extra"], ["book", "--set"]]
)
def test_a_mistake_on_the_command_line_is_one_line(fau, words):
    code, out, err = fau(*words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("fau: ")


def test_a_folder_that_is_no_project_is_one_line(fau, tmp_path):
    code, _, err = fau("book", "--root", str(tmp_path))
    assert code == 2
    assert "notebooks/ and book/conf.py" in err


def test_a_bug_is_one_line_that_says_how_to_see_more(fau, monkeypatch):
    def broken(*_):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(command, "show", broken)
    monkeypatch.delenv("FAU_DEBUG", raising=False)
    code, _, err = fau("book", "--list")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "FAU_DEBUG=1" in err


def test_a_reader_that_closes_the_pipe_gets_no_traceback():
    code = f"{sys.executable} -m fau_utils.cli book --help | true"
    result = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=False)
    assert result.stderr == ""
