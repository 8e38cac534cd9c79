"""What a finished chapter was made from, kept beside its executed notebook."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fau_utils.book.project import Project, digest, write

SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """One finished run of one chapter.

    Attributes
    ----------
    text : str
        Hash of the chapter's ``.py``.
    notebook : str
        Hash of the executed notebook; another one there means that a run was cut off between the two.
    values : dict of str to str
        Each parameter's value as Python writes it.
    declared : list of (name, type, default, help)
        The parameters cell, so that the next run need not ask papermill.
    used : dict of str to str
        Source and data files of the package with their hashes, ``fau_utils/faces/render.py``.
    inputs : dict of str to str
        Data files that the header names, with their hashes.
    versions : dict of str to str
        Packages that were imported.
    revision : str or None
        Git commit, with ``+changes``.
    device : str
    memory, device_memory : int
        Peak bytes of the kernel, and on a GPU.
    seconds : float
        From kernel start to the last cell.
    cell_seconds : list of float
        One per cell, for the estimate of the time left next time.
    date : str
        UTC, ISO 8601.
    """

    chapter: str
    text: str
    notebook: str
    values: dict[str, str]
    declared: list[list[str]]
    used: dict[str, str]
    inputs: dict[str, str]
    versions: dict[str, str]
    revision: str | None
    device: str
    memory: int
    device_memory: int
    seconds: float
    cell_seconds: list[float]
    date: str
    schema: int = field(default=SCHEMA)


@dataclass(frozen=True)
class Failure:
    """The last run of a chapter, when it failed."""

    chapter: str
    text: str
    cell: int
    line: int | None
    source: str
    error: str
    date: str


def executed_path(project: Project, chapter: str) -> Path:
    return project.executed / f"{chapter}.ipynb"


def load(project: Project, chapter: str) -> Record | None:
    """The record of a chapter; None where there is none that can be used."""
    return _load(project.records / f"{chapter}.json", Record)


def load_failure(project: Project, chapter: str) -> Failure | None:
    return _load(project.failed / f"{chapter}.json", Failure)


def keep(project: Project, record: Record, notebook: bytes) -> None:
    """Store a finished run: first the notebook, then the record that vouches for it."""
    write(executed_path(project, record.chapter), notebook)
    write(project.records / f"{record.chapter}.json", json.dumps(asdict(record), indent=1) + "\n")
    for suffix in (".json", ".ipynb"):
        (project.failed / f"{record.chapter}{suffix}").unlink(missing_ok=True)


def keep_failure(project: Project, failure: Failure, notebook: bytes | None) -> None:
    """Store a failed run for looking at. What an older run made stays, but counts as out of date."""
    if notebook is not None:
        write(project.failed / f"{failure.chapter}.ipynb", notebook)
    write(project.failed / f"{failure.chapter}.json", json.dumps(asdict(failure), indent=1) + "\n")


def intact(project: Project, record: Record) -> bool:
    """Whether the executed notebook is the one that the record is about."""
    try:
        return digest(executed_path(project, record.chapter).read_bytes()) == record.notebook
    except OSError:
        return False


def _load(path: Path, kind: type):
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        record = kind(**data)
    except (OSError, ValueError, TypeError):  # missing, cut off, or of another version of this program
        return None
    return record if getattr(record, "schema", SCHEMA) == SCHEMA else None
