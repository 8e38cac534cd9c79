"""What ``fau bench`` does."""

import contextlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fau_utils.bench import local, plan, progress
from fau_utils.bench.grid import Grid, load
from fau_utils.bench.plan import DONE, FAILED, LEFT, RUNNING, Task
from fau_utils.bench.progress import Progress
from fau_utils.bench.store import ROOT, Store, held, remove

GRIDS = ROOT / "benchmarks" / "grids"

Read = Callable[[], Progress]


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes
    ----------
    jobs : int, optional
        Cells at a time.
    executor : str
        ``local``, or one of Snakemake's, such as ``slurm``.
    only : tuple of str
        Cells or methods.
    arguments : tuple of str
        Further words for Snakemake.
    dry : bool
        Say what would run, and run nothing.
    """

    jobs: int | None = None
    executor: str = "local"
    only: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    dry: bool = False


def find(name: str) -> Path:
    """A grid's file: a path, or the name of one that comes with the book."""
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    return GRIDS / f"{name}.yml"


def store_for(grid: Grid, out: Path | None) -> Store:
    """Where its results go: the folder that was named, else ``results/bench/<grid>`` from here."""
    return Store((Path("results") / "bench" / grid.name if out is None else out).resolve())


def run(name: str, out: Path | None, options: Options, console, *, again: Sequence[str] | None = None) -> int:
    """Run what is to run; 0 when every cell is done, 1 when some failed.

    Parameters
    ----------
    again : sequence of str, optional
        Failed cells to try again; all of them when it is empty. By default none.

    Raises
    ------
    ValueError
        A wrong grid or name, or another driver on the store.
    fau_utils.bench.local.Interrupted
    """
    grid = load(find(name))
    store = store_for(grid, out)
    notebook = ROOT / "notebooks" / f"{grid.notebook}.ipynb"
    if grid.body is None and not notebook.is_file():
        raise ValueError(f"notebook: expected {notebook.name} among the chapters, found none")
    with contextlib.nullcontext() if options.dry else store.driven():
        whole = plan.plan(grid, store, notebook=notebook)
        tasks = _again(plan.among(whole, options.only, grid=grid.name), again, dry=options.dry)
        todo = [task for task in tasks if task.state in (LEFT, RUNNING)]
        for line in reasons(tasks):
            console.print(line, markup=False)
        if options.dry:
            return 0
        plan.write(grid, store, whole, notebook=notebook)
        read = partial(progress.read, store, only={task.cell.id for task in tasks})
        if todo:
            _engine(todo, options, store, console, read)
        return _report(store, read(), console, run=len(todo), others=len(whole) - len(tasks))


def reasons(tasks: Sequence[Task]) -> list[str]:
    """What runs and why, cells of one reason together; and what failed before."""
    counts = {state: [t for t in tasks if t.state == state] for state in (DONE, FAILED, LEFT, RUNNING)}
    lines = [f"{len(tasks)} cells: {len(counts[DONE])} up to date, {len(counts[LEFT] + counts[RUNNING])} to run"]
    grouped: dict[str, list[Task]] = {}
    for task in counts[LEFT] + counts[RUNNING]:
        grouped.setdefault(task.reason, []).append(task)
    for reason, group in sorted(grouped.items(), key=lambda item: -len(item[1])):
        named = ", ".join(task.cell.id for task in group[:2]) + (
            f" and {len(group) - 2} more" if len(group) > 2 else ""
        )
        lines.append(f"  {reason}: {named}")
    for task in counts[FAILED]:
        lines.append(f"  failed before, not run again (fau bench retry): {task.cell.id}: {task.reason}")
    return lines


def status(out: Path, console, *, as_json: bool = False) -> dict[str, Any] | int:
    """Print how far a store is; plain data with `as_json`. 1 when cells failed."""
    store = Store(out.resolve())
    now = progress.read(store)
    if as_json:
        cells = [{"id": e.id, "state": e.state, **e.place, "error": e.about.get("error")} for e in now.entries]
        return {"grid": now.grid, "driver": store.driver, **now.counts, "cells": cells}
    console.print(progress.render(now, workers=max(1, len(now.of(RUNNING)))))
    console.print(f"driver: process {store.driver}" if store.driver else "no driver works here", markup=False)
    return 1 if now.of(FAILED) else 0


def clean(out: Path, console, *, everything: bool = False, failed: bool = False) -> int:
    """Remove cells that the last plan does not have, and what failed or was cut off; with `everything` the store.

    Raises
    ------
    ValueError
        No store there, or one at which a driver works.
    """
    store = Store(out.resolve())
    if not store.cells.is_dir():
        raise ValueError(f"{out}: no benchmark was begun here")
    with store.driven():
        if everything:
            count = len(store.places())
            remove(store.cells)
            store.plan_file.unlink(missing_ok=True)
            shutil.rmtree(store.root / "snakemake", ignore_errors=True)
            console.print(f"{count} cells removed", markup=False)
            return 0
        planned = {entry.id: entry for entry in progress.read(store).entries}
        gone = 0
        for place in store.places():
            entry = planned.get(place.id)
            with held(place.lock) as mine:
                if mine and (entry is None or (failed and entry.state == FAILED)):
                    remove(place.folder)
                    gone += 1
        console.print(f"{gone} of {gone + len(store.places())} cells removed", markup=False)
    return 0


def _again(tasks: list[Task], again: Sequence[str] | None, *, dry: bool) -> list[Task]:
    if again is None:
        return tasks
    from dataclasses import replace

    failed = {task.cell.id for task in tasks if task.state == FAILED}
    if unknown := [word for word in again if word not in failed]:
        raise ValueError(f"{unknown[0]} did not fail; failed are {', '.join(sorted(failed)) or 'none'}")
    made = []
    for task in tasks:
        if task.state == FAILED and (not again or task.cell.id in again):
            if not dry:
                plan.forget_failure(task.place)
            task = replace(task, state=LEFT, reason=f"failed: {task.reason}")
        made.append(task)
    return made


def _engine(todo: list[Task], options: Options, store: Store, console, read: Read) -> None:
    workers = options.jobs or local.default_workers(todo)
    if options.executor != "local":
        from fau_utils.bench import snake

        with _Live(read, console, workers) as live:
            snake.run(
                todo, store, options.executor, jobs=options.jobs or 50, arguments=options.arguments, tick=live.tick
            )
        return
    with _Live(read, console, workers) as live:
        local.run(todo, workers=workers, ended=live.ended, tick=live.tick)


def _report(store: Store, now: Progress, console, *, run: int, others: int) -> int:
    failed = now.of(FAILED)
    for entry in failed:
        about = entry.about
        where = f", cell {about['cell']} of the notebook" if about.get("cell") is not None else ""
        console.print(f"{entry.id}: failed{where}: {about.get('error')}", markup=False)
        if about.get("traceback"):
            console.print(about["traceback"].rstrip(), markup=False)
        console.print(f"  log {entry.folder.log}", markup=False)
    stopped: dict[str, int] = {}
    for entry in now.of(LEFT):
        if why := entry.about.get("error"):
            stopped[why] = stopped.get(why, 0) + 1
    for why, number in stopped.items():
        console.print(f"{number} not finished: {why}; the same command takes it up", markup=False)
    counts = now.counts
    console.print(
        f"{run} cells run; {counts[DONE]} done, {counts[FAILED]} failed, {counts[LEFT] + counts[RUNNING]} left "
        f"in {store.root}" + (f"; {others} more in the grid, not asked for" if others else ""),
        markup=False,
    )
    return 0 if counts[DONE] == len(now.entries) else 1


class _Live:
    """The table of a terminal; in a log file a line per finished cell."""

    def __init__(self, read: Read, console, workers: int):
        self.read, self.console, self.workers = read, console, workers
        self.last = 0.0
        self.live = None

    def __enter__(self) -> "_Live":
        if self.console.is_terminal:
            from rich.live import Live

            self.live = Live(console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live is not None:
            self.live.stop()

    def ended(self, task: Task, code: int) -> None:
        if self.live is None:
            now = self.read()
            left = progress.duration(now.seconds_left(self.workers))
            done, failed = now.counts[DONE], now.counts[FAILED]
            said = f"{task.cell.id} {({0: 'done', 1: 'failed'}).get(code, 'not finished')}"
            self.console.print(f"{said}; {done} of {len(now.entries)} done, {failed} failed, {left} left", markup=False)

    def tick(self) -> None:
        if self.live is not None and time.monotonic() - self.last > 1:
            self.last = time.monotonic()
            self.live.update(progress.render(self.read(), workers=self.workers))
