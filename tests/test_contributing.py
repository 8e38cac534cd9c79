"""The examples of CONTRIBUTING.md are done as they stand there, in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^(?P<fence>````?)(?P<kind>\w+)\n(?P<body>.*?)^(?P=fence)\n", re.DOTALL | re.MULTILINE)
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))


@pytest.fixture
def copy(tmp_path):
    """What the examples need of the repository; no chapter is there but the one they add."""
    for name in ("fau_utils", "tests", "book"):
        ignored = shutil.ignore_patterns("__pycache__", "reference_results")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.rmtree(tmp_path / "book" / "quizzes", ignore_errors=True)
    (tmp_path / "book" / "quizzes").mkdir()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _follow(section: str, folder: Path) -> list[str]:
    """Do what a section says; returns the files it changed or added."""
    touched = []
    for block in BLOCK.finditer(SECTIONS[section]):
        kind, body = block["kind"], block["body"]
        if kind == "sh":
            _run(body, folder)
            continue
        name, text = re.fullmatch(r"# (\S+)\n(.*)", body, re.DOTALL).groups()
        touched.append(name)
        if kind == "diff":
            _change(folder / name, text.splitlines())
        else:
            assert not (folder / name).exists(), f"{name} is there already"
            (folder / name).write_text(text)
    return touched


def _change(path: Path, lines: list[str]) -> None:
    text, place = path.read_text(), 0
    for line in lines:
        sign, words = line[0], line[1:] + "\n"
        if sign == "+":
            text = text[:place] + words + text[place:]
            place += len(words)
            continue
        found = text.find(words, place)
        assert found >= 0, f"{path.name} has no line {words!r}"
        place = found + (len(words) if sign == " " else 0)
        if sign == "-":
            text = text[:found] + text[found + len(words) :]
    path.write_text(text)


def _run(commands: str, folder: Path) -> None:
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder),
        "PYTEST_ADDOPTS": "-p no:cacheprovider -n 0",
    }
    result = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert "no tests ran" not in result.stdout


def _is_clean(folder: Path, names: list[str]) -> None:
    for tool in (["check"], ["format", "--check"]):
        sources = [name for name in names if name.endswith(".py") and not name.startswith("notebooks/")]
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *tool, *sources], cwd=folder, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout


def test_a_method_takes_one_file_and_one_line_in_the_dictionary(copy):
    touched = _follow("Add a method", copy)
    assert touched == ["fau_utils/methods/thumbnail.py", "fau_utils/methods/__init__.py"]
    before = (ROOT / touched[1]).read_text().splitlines()
    added = [line for line in (copy / touched[1]).read_text().splitlines() if line not in before]
    assert added == ["from fau_utils.methods.thumbnail import Thumbnail", '    "thumbnail": Thumbnail,']
    _is_clean(copy, touched)
    assert len(list((copy / "results").glob("thumbnail-synth*/predictions.parquet"))) == 1


def test_a_dataset_takes_one_module_its_name_and_a_test(copy):
    touched = _follow("Add a dataset", copy)
    assert touched == ["fau_utils/data/portraits.py", "fau_utils/data/readers.py", "tests/data/test_portraits.py"]
    _is_clean(copy, touched)


def test_a_chapter_takes_a_source_and_a_quiz(copy):
    touched = _follow("Add a chapter", copy)
    assert touched == ["notebooks/60_thumbnails.py", "book/quizzes/60.yml"]
    page = (copy / "build" / "html" / "chapters" / "60_thumbnails.html").read_text()
    assert "Fig. 60.1" in page or "Figure 60.1" in page
    assert page.count('<details class="sd-sphinx-override sd-dropdown') >= 6


def test_every_block_of_the_page_is_a_file_a_change_or_a_command():
    kinds = [block["kind"] for block in BLOCK.finditer(TEXT)]
    assert set(kinds) <= {"python", "diff", "sh", "yaml", "text"}
    assert kinds.count("text") == 1, "only the first is not done here: it runs all tests"
