"""One chapter to run, and what a run tells while it goes on. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fau_utils.book.chapters import Chapter
from fau_utils.book.parameters import Parameter
from fau_utils.book.records import Failure, Record


@dataclass(frozen=True)
class Job:
    """One chapter to run.

    Attributes
    ----------
    values : mapping
        Every parameter's value.
    reason : str
        Why it runs, in words.
    expected : float or None
        Seconds it may take, from its last run or its author.
    cell_seconds : sequence of float
        Of its last run; empty when there was none.
    """

    chapter: Chapter
    values: Mapping[str, Any]
    declared: Mapping[str, Parameter]
    reason: str
    expected: float | None = None
    cell_seconds: Sequence[float] = ()


class Watcher(Protocol):
    """What a run tells while it goes on; called from several threads."""

    def started(self, job: Job) -> None: ...
    def cell(self, job: Job, done: int, total: int) -> None: ...
    def finished(self, job: Job, result: Record | Failure) -> None: ...
    def tick(self) -> None: ...
