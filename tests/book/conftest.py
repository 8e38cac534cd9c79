"""One built book for all tests that only look at it or start from it."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tree

from fau_utils import cli


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A project whose two chapters were run and whose pages were built, by the command itself."""
    root = tree.make(tmp_path_factory.mktemp("book") / "project")
    assert cli.main(["pair", "--root", str(root)]) == 0
    assert cli.main(["book", "--root", str(root), "--budget", "smoke", "--jobs", "2"]) == 0
    return root


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A copy of the built project that a test may change."""
    return shutil.copytree(built, tmp_path / "project")


@pytest.fixture
def fau(capsys):
    """Runs the command line: ``fau("book", root, "--list")`` gives exit code and all it said on one line each."""

    def run(command: str, root: Path, *words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = cli.main([command, "--root", str(root), *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run
