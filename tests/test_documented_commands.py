"""Every command that a page tells the reader to type is one that exists, with these options."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from fau_utils.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")),
    *sorted((ROOT / "book").glob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.py")),
]
BLOCK = re.compile(r"^(?:# )?```(?:sh|bash)\n(.*?)^(?:# )?```", re.DOTALL | re.MULTILINE)
GROUP = typer.main.get_command(app)
USAGE = typer.BadParameter.__base__  # typer does not export the error of unknown words by its name


def told(page: Path) -> list[str]:
    """The lines of a page's shell blocks, joined where they go on."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    text = "".join(
        re.sub(r"^# ?", "", block, flags=re.MULTILINE) if page.suffix == ".py" else block for block in blocks
    )
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


TOLD = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in told(page)]


def parse(words: list[str]) -> None:
    """Follow the words down to their command and let it parse the rest; nothing is run."""
    command, rest = GROUP, words
    while hasattr(command, "commands"):
        context = command.make_context(command.name, list(rest[:1]), resilient_parsing=True)
        context.resilient_parsing = False  # an unknown word is an error again
        _, command, _ = command.resolve_command(context, list(rest))
        rest = rest[1:]
    command.make_context(command.name, list(rest))


def test_pages_tell_commands():
    pages = {page for page, line in TOLD if line.split()[0] in {"fau", "make"}}
    chapters = {"notebooks/05_engine.py", "notebooks/30_clp.py"}
    assert {"README.md", "CONTRIBUTING.md", "book/howto.md", "book/syllabus.md", *chapters} <= pages


@pytest.mark.parametrize(("page", "line"), [(p, t) for p, t in TOLD if t.split()[0] == "fau"])
def test_fau_has_the_command_and_its_options(page, line):
    words = shlex.split(line.partition(" && ")[0], comments=True)[1:]
    parse(words)


@pytest.mark.parametrize(("page", "line"), [(p, t) for p, t in TOLD if t.split()[0] == "make"])
def test_make_has_the_target(page, line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    words = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert set(words) <= set(targets)


@pytest.mark.parametrize(
    "line", ["fau bork", "fau bench list", "fau book --jbos 2", "fau bench export results", "fau score --protocol"]
)
def test_a_command_that_does_not_exist_is_seen(line):
    with pytest.raises(USAGE):
        parse(shlex.split(line)[1:])
