"""A benchmark whose cells take a moment, in a folder of its own."""

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from fau_utils.bench import command
from fau_utils.bench.store import Place, Store

BODY = Path(__file__).with_name("fake_cell.py")


@dataclass
class Bench:
    """A grid's file, its store, and a journal of what the bodies did."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "grid.yml"

    @property
    def out(self) -> Path:
        return self.folder / "store"

    @property
    def store(self) -> Store:
        return Store(self.out)

    @property
    def journal(self) -> Path:
        return self.folder / "journal.txt"

    def write(self, settings=None, *, methods=("a",), seeds=1, wait=0.0, times=2, **limits) -> None:
        """A grid of fake methods; `settings` are those of each, or of each variant."""
        settings = settings or {}
        variants = settings if any(isinstance(v, dict) for v in settings.values()) else {"default": settings}
        variants = {name: {"journal": str(self.journal), **told} for name, told in variants.items()}
        grid = {
            "methods": [{"method": method, "variants": variants} for method in methods],
            "data": "synth",
            "seeds": seeds,
            "limits": limits,
            "retries": {"times": times, "wait": wait},
            "body": ["{python}", str(BODY)],
        }
        self.file.write_text(yaml.safe_dump(grid))

    def run(self, *, again=None, **options) -> tuple[int, str]:
        """Exit code and what was printed."""
        said = io.StringIO()
        console = Console(file=said, width=300, highlight=False)
        return command.run(str(self.file), self.out, command.Options(**options), console, again=again), said.getvalue()

    def start(self, *words: str) -> subprocess.Popen:
        """The command in a process of its own."""
        line = [sys.executable, "-m", "fau_utils.cli", "bench", "run", str(self.file), "--out", str(self.out), *words]
        environment = {**os.environ, "PYTHONPATH": str(BODY.parents[2])}
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def place(self, words: str = "") -> Place:
        """The one cell whose id has these words."""
        (found,) = [place for place in self.store.places() if words in place.id]
        return found

    def results(self) -> dict[str, dict]:
        """What each finished cell kept."""
        return {place.id: place.record["result"] for place in self.store.places() if place.record}

    def told(self, word: str) -> list[str]:
        """Who did that, in the order in which it was done."""
        if not self.journal.exists():
            return []
        lines = [line.split() for line in self.journal.read_text().splitlines()]
        return [line[0] for line in lines if line[1] == word]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
