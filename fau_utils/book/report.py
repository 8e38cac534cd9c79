"""What a run says while it goes on: bars on a terminal, plain lines elsewhere."""

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from fau_utils.book.jobs import Job
from fau_utils.book.records import Failure, Record
from fau_utils.book.words import duration, failure_line, size

HEARTBEAT = 60.0
"""Seconds between two signs of life where there are no bars."""


class Report:
    """Implements `jobs.Watcher`. Time left comes from the last run's cells, else from the authors' minutes."""

    def __init__(self, jobs: list[Job], *, console: Console, workers: int = 1):
        self.jobs, self.console, self.workers = jobs, console, workers
        self._lock = threading.Lock()
        self._running: dict[str, tuple[Job, float, int, int]] = {}  # job, begin, cells done, cells
        self._done: set[str] = set()
        self._spoke = time.monotonic()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Report":
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("cell {task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[left]}"),
            )
            self._bars = Progress(*columns, console=self.console, transient=True)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def started(self, job: Job) -> None:
        name = job.chapter.name
        with self._lock:
            self._spoke = time.monotonic()
            self._running[name] = (job, time.monotonic(), 0, max(1, len(job.cell_seconds)))
            place = len(self._done) + len(self._running)
            if self._bars is not None:
                self._tasks[name] = self._bars.add_task(name, total=max(1, len(job.cell_seconds)), left="")
        about = f", about {duration(job.expected)}" if job.expected else ""
        self.console.print(f"[{place}/{len(self.jobs)}] {name} runs: {job.reason}{about}", markup=False)

    def cell(self, job: Job, done: int, total: int) -> None:
        name = job.chapter.name
        with self._lock:
            self._running[name] = (job, self._running[name][1], done, total)
            if self._bars is not None:
                self._bars.update(self._tasks[name], completed=done, total=total)

    def finished(self, job: Job, result: Record | Failure) -> None:
        name = job.chapter.name
        with self._lock:
            begin = self._running.pop(name)[1]
            self._done.add(name)
            if self._bars is not None:
                self._bars.remove_task(self._tasks.pop(name))
            left = self._left_in_all()
        took = duration(time.monotonic() - begin)
        if isinstance(result, Failure):
            self.console.print(failure_line(result), markup=False, style="bold red")
        else:
            left_words = f"; about {duration(left)} left" if left else ""
            self.console.print(f"    {name} done in {took}, {size(result.memory)}{left_words}", markup=False)

    def tick(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._bars is not None:
                for name, task in self._tasks.items():
                    job, begin, done, total = self._running[name]
                    left = _left(job, now - begin, done, total)
                    self._bars.update(task, left=f"{duration(left)} left" if left else duration(now - begin))
                return
            if now - self._spoke < HEARTBEAT:
                return
            self._spoke = now
            lines = []
            for name, (job, begin, done, total) in self._running.items():
                left = _left(job, now - begin, done, total)
                words = f", about {duration(left)} left" if left else ""
                lines.append(f"    {name}: cell {done + 1} of {total}, {duration(now - begin)} so far{words}")
        for line in lines:
            self.console.print(line, markup=False)

    def _left_in_all(self) -> float | None:
        now = time.monotonic()
        parts = [_left(job, now - begin, done, total) for job, begin, done, total in self._running.values()]
        known = {*self._done, *self._running}
        parts += [job.expected for job in self.jobs if job.chapter.name not in known]
        if not parts or any(part is None for part in parts):
            return None
        return sum(parts) / max(1, min(self.workers, len(parts)))


def _left(job: Job, elapsed: float, done: int, total: int) -> float | None:
    """Seconds one chapter still needs."""
    if len(job.cell_seconds) == total:
        behind = sum(job.cell_seconds[:done])
        ahead = sum(job.cell_seconds[done:])
        # the machine may be slower or faster today
        return ahead * (elapsed / behind if behind > 5 and done > total / 3 else 1.0)
    return None if job.expected is None else max(0.0, job.expected - elapsed)
