"""Why a chapter must run again, in words; nothing where it need not."""

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

from fau_utils.book import records
from fau_utils.book.chapters import Chapter
from fau_utils.book.project import PACKAGE, Project, digest


def snapshot(package: Path = PACKAGE) -> dict[str, str]:
    """Hashes of all files of the package, named relative to its parent.

    Taken before a chapter runs: code that is edited while it runs then counts as changed next time.
    """
    return {
        path.relative_to(package.parent).as_posix(): digest(path.read_bytes())
        for path in sorted(package.rglob("*"))
        if path.is_file() and path.suffix not in {".pyc", ".pyo"} and not path.name.startswith(".")
    }


def used_with_data(used: list[str], files: Mapping[str, str]) -> dict[str, str]:
    """Imported modules, and the data files that lie beside them, with their hashes."""
    folders = {Path(name).parent for name in used}
    data = [name for name in files if not name.endswith(".py") and Path(name).parent in folders]
    return {name: files[name] for name in sorted({*used, *data}) if name in files}


def inputs(project: Project, chapter: Chapter) -> dict[str, str]:
    """Hashes of the files that a chapter's header names under ``inputs``."""
    found = sorted({path for pattern in chapter.inputs for path in project.root.glob(pattern) if path.is_file()})
    return {project.name(path): digest(path.read_bytes()) for path in found}


def reason(
    project: Project,
    chapter: Chapter,
    *,
    files: Mapping[str, str],
    values: Mapping[str, object] | None = None,
) -> str | None:
    """The first reason why what a chapter's last run made is out of date.

    Parameters
    ----------
    files : mapping
        From `snapshot`.
    values : mapping, optional
        Parameters wanted now; without them the last run's are taken to be meant.

    Returns
    -------
    str or None
        Such as ``fau_utils/faces/render.py changed``.
    """
    record = records.load(project, chapter.name)
    failure = records.load_failure(project, chapter.name)
    if failure is not None:
        return "last run failed"
    if record is None:
        return "never run"
    if not records.intact(project, record):
        return "executed notebook is missing or damaged"
    if record.text != chapter.hash:
        return "text changed"
    return (
        _parameters(record.values, values)
        or _files(record.used, {name: files.get(name) for name in record.used})
        or _files(record.inputs, inputs(project, chapter))
        or _versions(record.versions)
    )


def _parameters(before: Mapping[str, str], values: Mapping[str, object] | None) -> str | None:
    now = before if values is None else {name: repr(value) for name, value in values.items()}
    for name in now:
        if before.get(name) != now[name]:
            return f"parameter {name} {_bare(before.get(name))} -> {_bare(now[name])}"
    return None


def _files(before: Mapping[str, str], now: Mapping[str, str | None]) -> str | None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            word = "removed" if now.get(name) is None else "changed" if name in before else "added"
            more = sum(before.get(other) != now.get(other) for other in {*before, *now}) - 1
            return f"{name} {word}" + (f" and {more} more" if more else "")
    return None


def _versions(before: Mapping[str, str]) -> str | None:
    for name, version in before.items():
        try:
            now = platform.python_version() if name == "python" else importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            now = "not installed"
        if now != version:
            return f"{name} {version} -> {now}"
    return None


def _bare(text: str | None) -> str:
    return "(none)" if text is None else text.strip("'\"")
