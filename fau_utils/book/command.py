"""`fau book`, `fau book --list` and `fau pair`: what the command line calls."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fau_utils.book import chapters as chapter_files
from fau_utils.book import project as projects
from fau_utils.book import records, staleness
from fau_utils.book.chapters import Chapter
from fau_utils.book.errors import UserError
from fau_utils.book.jobs import Job
from fau_utils.book.pages import Page
from fau_utils.book.parameters import Parameter, assign, split
from fau_utils.book.project import Project
from fau_utils.book.records import Failure, Record
from fau_utils.book.words import duration, size
from fau_utils.data.pool import cpus

GOOD, BAD = 0, 1
CHAPTER_MEMORY = 3.5 * 2**30
"""Bytes that a chapter may take at laptop budget; the largest took 2.7 GiB."""
AT_MOST = 4
"""Chapters at a time, unless more are asked for."""


@dataclass(frozen=True)
class Options:
    """What a reader may ask of `fau book`."""

    only: Sequence[str] = ()
    budget: str | None = None
    settings: Sequence[str] = ()
    jobs: int | None = None
    force: bool = False
    html: bool = True
    keep_going: bool = False


@dataclass
class _Plan:
    """What is known before anything runs."""

    chapters: list[Chapter]
    selected: list[Chapter]
    files: dict[str, str]
    values: dict[str, dict[str, Any]]
    known: dict[str, dict[str, Parameter]]
    reasons: dict[str, str] = field(default_factory=dict)


def make(root: Path | None, options: Options, console: Console) -> int:
    """Run what must run, build the HTML, say what was done.

    Returns
    -------
    int
        0 for a good book; 1 when a chapter failed or the pages have a problem.

    Raises
    ------
    UserError, Interrupted, OSError
    """
    project = projects.find(root)
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs {options.jobs}: expected 1 or more")
    chosen = split(options.settings)
    with _stoppable(), projects.locked(project):
        plan = _plan(project, options, chosen)
        done = _run(project, plan, options, console)
        book = _pages(project, plan)
        if done or not options.html:
            console.print(_table(project, plan, done))
        failed = [name for name, result in done.items() if isinstance(result, Failure)]
        good = not failed
        if options.html:
            good = _html(project, book, plan, options, console) and good
        if failed:
            console.print(f"{len(failed)} of {len(done)} chapters failed: {', '.join(failed)}", style="bold red")
        return GOOD if good else BAD


def show(root: Path | None, options: Options, console: Console) -> int:
    """The chapters with what they need and what their last run did; runs nothing, writes nothing."""
    project = projects.find(root)
    found = chapter_files.select(chapter_files.discover(project), options.only)
    files = staleness.snapshot()
    table = Table("chapter", "title", "state", "about", "last run", "peak memory", "date", box=None, pad_edge=False)
    for chapter in found:
        record = records.load(project, chapter.name)
        reason = staleness.reason(project, chapter, files=files)
        failure = records.load_failure(project, chapter.name)
        state = "up to date" if reason is None else f"failed in cell {failure.cell}" if failure else reason
        table.add_row(
            chapter.name,
            chapter.title,
            state,
            f"{chapter.minutes:g} min" if chapter.minutes else "",
            duration(record.seconds) if record else "",
            size(record.memory) if record else "",
            record.date[:16].replace("T", " ") if record else "",
        )
    console.print(table)
    return GOOD


def pair(root: Path | None, names: Sequence[str], *, check: bool, console: Console) -> int:
    """Write the ``.ipynb`` of each chapter where it differs from its ``.py``; with `check` only say so."""
    from fau_utils.book import pairing

    project = projects.find(root)
    good = True
    for chapter in chapter_files.select(chapter_files.discover(project), names):
        if check and not pairing.in_step(chapter):
            good = False
            console.print(f"{chapter.notebook.name} is not what {chapter.path.name} makes; run fau pair", markup=False)
        elif not check and pairing.pair(chapter):
            console.print(f"wrote {project.name(chapter.notebook)}", markup=False)
    return GOOD if good else BAD


def _plan(project: Project, options: Options, chosen: dict[str, str]) -> _Plan:
    """Names, types and reasons; refuses what is wrong before anything runs."""
    found = chapter_files.discover(project)
    selected = chapter_files.select(found, options.only)
    known = {chapter.name: _declared(project, chapter) for chapter in selected}
    values = assign(known, chosen, budget=options.budget)
    plan = _Plan(found, selected, staleness.snapshot(), values, known)
    for chapter in selected:
        reason = staleness.reason(project, chapter, files=plan.files, values=values[chapter.name])
        if options.force and reason is None:
            reason = "asked for by --force"
        if reason is not None:
            plan.reasons[chapter.name] = reason
    return plan


def _declared(project: Project, chapter: Chapter) -> dict[str, Parameter]:
    """Parameters of a chapter, from its last run where its text is the same: asking papermill costs seconds."""
    record = records.load(project, chapter.name)
    if record is not None and record.text == chapter.hash:
        return {row[0]: Parameter(row[0], row[1], chapter_files.literal(row[2]), row[3]) for row in record.declared}
    from fau_utils.book import pairing, parameters

    path = project.work / f"{chapter.name}.parameters.ipynb"
    projects.write(path, pairing.paired_text(chapter))
    return parameters.declared(str(path))


def _run(project: Project, plan: _Plan, options: Options, console: Console) -> dict[str, Record | Failure]:
    if not plan.reasons:
        console.print(f"nothing to run: {len(plan.selected)} chapters are up to date", markup=False)
        return {}
    from fau_utils.book import runner
    from fau_utils.book.report import Report

    jobs = []
    for chapter in plan.selected:
        if chapter.name not in plan.reasons:
            continue
        _warn_of_drift(chapter, console)
        record = records.load(project, chapter.name)
        same = record is not None and record.values.get("budget") == repr(plan.values[chapter.name].get("budget"))
        minutes = chapter.minutes if plan.values[chapter.name].get("budget", "laptop") == "laptop" else None
        jobs.append(
            Job(
                chapter,
                plan.values[chapter.name],
                plan.known[chapter.name],
                plan.reasons[chapter.name],
                expected=record.seconds if same else 60 * minutes if minutes else None,
                cell_seconds=record.cell_seconds if same else (),
            )
        )
    workers = min(options.jobs or _at_a_time(plan), len(jobs))
    threads = max(1, cpus() // workers) if workers > 1 else None
    if workers > 1:  # the long ones first: none is left running alone at the end
        jobs.sort(key=lambda job: -(job.expected or 0.0))
    with Report(jobs, console=console, workers=workers) as report:
        return runner.run(project, jobs, workers=workers, watcher=report, threads=threads)


def _at_a_time(plan: _Plan) -> int:
    """As many chapters as cores and free memory carry: networks this small gain little from a second core."""
    import psutil

    budgets = {plan.values[name].get("budget", "laptop") for name in plan.reasons}
    if not budgets <= {"smoke", "laptop"}:  # larger ones fill a machine alone
        return 1
    carried = int(psutil.virtual_memory().available // CHAPTER_MEMORY)
    return max(1, min(AT_MOST, cpus(), carried))


def _warn_of_drift(chapter: Chapter, console: Console) -> None:
    from fau_utils.book import pairing

    if not pairing.in_step(chapter):
        words = f"{chapter.notebook.name} is not what {chapter.path.name} makes; the .py is run, fau pair rewrites it"
        console.print(f"note: {words}", markup=False, style="yellow")


def _pages(project: Project, plan: _Plan) -> list[Page]:
    book = []
    files = staleness.snapshot()  # not the plan's: code may have been edited while chapters ran
    for chapter in plan.chapters:
        record = records.load(project, chapter.name)
        if record is not None and not records.intact(project, record):
            record = None
        failure = records.load_failure(project, chapter.name)
        stale = staleness.reason(project, chapter, files=files) if record is not None else None
        book.append(Page(chapter, record, failure, stale))
    return book


def _html(project: Project, book: list[Page], plan: _Plan, options: Options, console: Console) -> bool:
    from fau_utils.book import build, check

    failed = [page.chapter.name for page in book if page.failure is not None]
    if failed and not options.keep_going:
        words = f"the HTML was not built: {', '.join(failed)} failed; --keep-going builds it with a page that says so"
        console.print(words, markup=False, style="bold red")
        return False
    begin = time.monotonic()
    try:
        built = build.build(project, book)
    except build.BuildError as error:
        console.print(str(error), markup=False, style="bold red")
        return False
    complete = all(page.record is not None and page.failure is None for page in book)
    lines = [f"warning: {line}" for line in built.warnings]
    if built.fresh:
        took = f"HTML built in {time.monotonic() - begin:.1f} s"
        problems = check.check(project.html, private=[project.root, projects.PACKAGE.parent])
        for page in book:
            if page.record is not None and page.failure is None:
                text = records.executed_path(project, page.chapter.name).read_text(encoding="utf-8")
                problems += check.check_figures(page.chapter.name, json.loads(text))
        projects.write(project.build / "problems.txt", "".join(f"{problem}\n" for problem in problems))
    else:
        took = "HTML is up to date"
    with contextlib.suppress(OSError):
        lines += [f"problem: {p}" for p in (project.build / "problems.txt").read_text(encoding="utf-8").splitlines()]
    for line in lines[:20]:
        console.print(line, markup=False, style="yellow", soft_wrap=True)
    if len(lines) > 20:
        console.print(f"... and {len(lines) - 20} more", markup=False, style="yellow")
    index = project.html / "index.html"
    console.print(f"{took}. Open {project.name(index)}", markup=False)
    console.print(index.resolve().as_uri(), markup=False, soft_wrap=True)
    # where chapters are missing, references to them have nowhere to go
    return not lines or not complete


def _table(project: Project, plan: _Plan, done: dict[str, Record | Failure]) -> Table:
    table = Table("chapter", "", "time", "peak memory", box=None, pad_edge=False)
    for chapter in plan.chapters:
        result = done.get(chapter.name) or records.load(project, chapter.name)
        if isinstance(result, Failure):
            table.add_row(chapter.name, f"failed in cell {result.cell}", "", "")
        elif result is None:
            table.add_row(chapter.name, "not run", "", "")
        else:
            state = "ran" if chapter.name in done else "kept"
            table.add_row(chapter.name, state, duration(result.seconds), size(result.memory))
    return table


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end a run as Ctrl-C does."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    for name in ("SIGTERM", "SIGHUP"):
        with contextlib.suppress(AttributeError, ValueError):  # Windows; or not in the main thread
            before[name] = signal.signal(getattr(signal, name), stop)
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
