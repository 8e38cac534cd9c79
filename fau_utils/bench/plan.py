"""Which cells of a grid are to run, and why."""

import datetime
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from fau_utils.bench import fingerprint, processes
from fau_utils.bench.grid import Cell, Grid
from fau_utils.bench.store import HOST, Place, Store, held, read_json, write_json

DONE, FAILED, RUNNING, LEFT = "done", "failed", "running", "left"


@dataclass(frozen=True)
class Task:
    """A cell as it is wanted now.

    Attributes
    ----------
    cell : Cell
    place : Place
    digest : str
        Of what decides its result.
    state : str
        ``done``, ``failed``, ``running`` or ``left``.
    reason : str
        Why it is to run; empty for one that is done. Of a failed one what it failed of.
    """

    cell: Cell
    place: Place
    digest: str
    ingredients: dict[str, Any] = field(repr=False)
    state: str
    reason: str = ""


def plan(grid: Grid, store: Store, *, notebook: Path, check: bool = True) -> list[Task]:
    """All cells of a grid, with what is to do for each.

    Parameters
    ----------
    check : bool
        Look up all names first, see :func:`fau_utils.bench.fingerprint.check`.

    Raises
    ------
    ValueError
        A wrong name.
    """
    cells = grid.cells()
    if check and grid.body is None:
        fingerprint.check(cells)
    tasks = []
    for cell in cells:
        place = store.place(cell.id)
        found = fingerprint.ingredients(cell, grid, notebook=notebook)
        digest = fingerprint.digest_of(found)
        state, reason = _state(place, digest, found)
        tasks.append(Task(cell, place, digest, found, state, reason))
    return tasks


def among(tasks: Sequence[Task], only: Sequence[str], *, grid: str) -> list[Task]:
    """The tasks that match a pattern, all without one. What is planned stays the whole grid.

    Parameters
    ----------
    only : sequence of str
        Ids of cells or methods; ``*`` stands for anything.

    Raises
    ------
    ValueError
        Patterns that fit no cell.
    """
    found = [task for task in tasks if not only or any(_fits(task.cell, word) for word in only)]
    if not found:
        raise ValueError(f"no cell of grid {grid} fits {', '.join(only)}; give an id of `fau bench status`, or *vit*")
    return found


def write(grid: Grid, store: Store, tasks: Sequence[Task], *, notebook: Path) -> None:
    """Put down what each cell of the grid is to do, for the processes that do it and for ``fau bench status``."""
    revision = _revision(notebook.parent)
    for task in tasks:
        task.place.folder.mkdir(parents=True, exist_ok=True)
        spec = {
            "digest": task.digest,
            "place": task.cell.place,
            "parameters": task.cell.parameters,
            "ingredients": task.ingredients,
            "limits": task.cell.limits.model_dump(),
            "retries": task.cell.retries.model_dump(),
            "notebook": f"{notebook.parent.name}/{notebook.name}",  # a pod has the package elsewhere
            "body": grid.body or ["{python}", "-m", "fau_utils.bench.notebook"],
            "git_revision": revision,
            "sources": fingerprint.sources(task.ingredients, grid, notebook=notebook),
        }
        if read_json(task.place.folder / "spec.json") != spec:
            write_json(task.place.folder / "spec.json", spec)
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    cells = [{"id": t.cell.id, "digest": t.digest, **t.cell.place} for t in tasks]
    write_json(store.plan_file, {"grid": grid.name, "made": made, "cells": cells})


def forget_failure(place: Place) -> None:
    """Let a failed cell be tried again."""
    with held(place.lock) as mine:
        if mine:
            place.clear_state()


def state_of(place: Place, digest: str) -> tuple[str, dict[str, Any]]:
    """What a cell's folder says now, with its record or its state."""
    record = place.finished(digest)
    if record is not None:
        return DONE, record
    state = place.state or {}
    if state.get("digest") != digest:
        return LEFT, {}
    if state["state"] == "failed":
        return FAILED, state
    if state["state"] in ("running", "waiting") and _lives(state):
        return RUNNING, state
    return LEFT, state


def _lives(state: dict[str, Any]) -> bool:
    if state.get("host") != HOST:  # of another machine we know only that it said something lately
        return _age(state) < 120
    return processes.alive(state["pid"], state["started"])


def _age(state: dict[str, Any]) -> float:
    return datetime.datetime.now(datetime.UTC).timestamp() - float(state.get("beat", 0))


def _state(place: Place, digest: str, found: dict[str, Any]) -> tuple[str, str]:
    state, about = state_of(place, digest)
    if state == DONE:
        return state, ""
    if state == FAILED:
        return state, about.get("error", "")
    if state == RUNNING:
        return state, "goes on in a process that outlived its driver"
    if about.get("state") == "stopped":
        return state, about.get("error") or "was stopped"
    if about.get("state") in ("running", "waiting"):
        return state, "was killed while it ran"
    record = place.record
    if record is not None:
        return state, fingerprint.difference(record["ingredients"], found)
    if place.spec is not None and place.spec["digest"] != digest:
        return state, f"never finished; {fingerprint.difference(place.spec['ingredients'], found)}"
    return state, "never run" if place.spec is None else "never begun"


def _fits(cell: Cell, word: str) -> bool:
    return fnmatch(cell.id, word) or cell.method == word


def _revision(folder: Path) -> str | None:
    # provenance.git_revision says the same, but its module imports torch
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=30)
        more = [*git, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(more, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if changed else "")


def command(place: Place) -> list[str]:
    """What an engine calls to run a cell."""
    return [sys.executable, "-m", "fau_utils.bench.cell", str(place.folder)]
