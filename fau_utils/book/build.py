"""Builds the HTML with Sphinx, beside the old one, and puts it in place when it is complete."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fau_utils.book import assemble
from fau_utils.book.pages import Page
from fau_utils.book.project import PACKAGE, Project, write

_TOOLS = ("sphinx", "myst-nb", "sphinx-book-theme", "sphinx-design", "sphinx-exercise", "sphinxcontrib-bibtex")


class BuildError(Exception):
    """Sphinx ended without a book."""


@dataclass(frozen=True)
class Built:
    """What building did.

    Attributes
    ----------
    fresh : bool
        False where nothing had changed since the last build.
    warnings : tuple of str
        What Sphinx complained about; kept from the last build where nothing changed.
    """

    fresh: bool
    warnings: tuple[str, ...]


def build(project: Project, pages: Sequence[Page]) -> Built:
    """Assemble the pages and build the HTML, unless nothing changed.

    Raises
    ------
    BuildError
        With the last lines of what Sphinx said.
    """
    assemble.assemble(project, pages)
    print_of_inputs = fingerprint(project)
    stamp = project.build / "html.json"
    if (project.html / "index.html").is_file():
        with contextlib.suppress(OSError, ValueError):
            last = json.loads(stamp.read_text(encoding="utf-8"))
            if last.get("inputs") == print_of_inputs:
                return Built(False, tuple(last["warnings"]))
    stamp.unlink(missing_ok=True)
    warnings = _sphinx(project)
    write(stamp, json.dumps({"inputs": print_of_inputs, "warnings": warnings}, indent=1) + "\n")
    return Built(True, tuple(warnings))


def fingerprint(project: Project) -> str:
    """Hash of all that the HTML depends on."""
    total = hashlib.sha256()
    for path in sorted(project.pages.rglob("*")):
        if path.is_file():
            total.update(f"{path.relative_to(project.pages).as_posix()}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    for name in ("sphinx_ext.py", "terms.py", "api.py"):
        total.update(Path(__file__).with_name(name).read_bytes())
    total.update(" ".join(f"{name}={importlib.metadata.version(name)}" for name in _TOOLS).encode())
    return total.hexdigest()


def _sphinx(project: Project) -> list[str]:
    new, said = project.work / "html", project.work / "warnings.txt"
    shutil.rmtree(new, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-T", "-d", str(project.work / "doctrees")]
    process = subprocess.Popen(
        [*command, "-w", str(said), str(project.pages), str(new)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": _path()},
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        process.kill()
        process.wait()
        raise
    warnings = [_without_machine(project, line) for line in _lines(said)]
    if process.returncode != 0 or not (new / "index.html").is_file():
        log = project.build / "sphinx.log"
        write(log, output)
        told = [line.strip() for line in output.splitlines() if "rror" in line or "xception" in line]
        raise BuildError(f"Sphinx built no book: {(told or ['?'])[0]} (all it said: {project.name(log)})")
    old = project.work / "old_html"
    if project.html.exists():
        os.replace(project.html, old)
    os.replace(new, project.html)
    return warnings


def _path() -> str:
    # the package may be used from its folder without being installed
    return os.pathsep.join(part for part in (str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")) if part)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _without_machine(project: Project, line: str) -> str:
    return line.replace(f"{project.pages}{os.sep}", "").replace(f"{project.root}{os.sep}", "")
