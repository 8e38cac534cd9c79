"""How far a benchmark is: counts, what runs, what failed, the time left."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from fau_utils.bench.plan import DONE, FAILED, LEFT, RUNNING, state_of
from fau_utils.bench.store import Place, Store, read_json


@dataclass(frozen=True)
class Entry:
    """One cell now: its id, where in the grid it is, its state, and its record or what its folder says."""

    id: str
    place: dict[str, Any]
    state: str
    about: dict[str, Any] = field(repr=False)
    folder: Place = field(repr=False)

    @property
    def kind(self) -> str:
        """Cells of one kind take about as long as each other: all but fold and seed are the same."""
        return "|".join(str(self.place.get(name)) for name in ("method", "variant", "data", "protocol", "budget"))

    @property
    def elapsed(self) -> float:
        """Seconds since the attempt began."""
        return max(0.0, time.time() - self.about.get("started_at", time.time()))


@dataclass(frozen=True)
class Progress:
    """All planned cells now."""

    grid: str
    entries: Sequence[Entry]

    def of(self, state: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.state == state]

    @property
    def counts(self) -> dict[str, int]:
        return {state: len(self.of(state)) for state in (DONE, RUNNING, FAILED, LEFT)}

    def expected(self, entry: Entry) -> float | None:
        """Seconds that a cell takes, from finished ones of its kind, else from all."""
        done = self.of(DONE)
        like = [e.about["seconds"] for e in done if e.kind == entry.kind] or [e.about["seconds"] for e in done]
        return mean(like) if like else None

    def seconds_left(self, workers: int = 1) -> float | None:
        """Until all is done, with so many cells at a time; None before the first one is finished."""
        if not self.of(DONE):
            return 0.0 if not (self.of(LEFT) or self.of(RUNNING)) else None
        left = [self.expected(e) for e in self.of(LEFT)]
        left += [max(0.0, self.expected(e) - e.elapsed) for e in self.of(RUNNING)]
        if not left:
            return 0.0
        return max(max(left), sum(left) / max(1, min(workers, len(left))))


def read(store: Store, *, only: Collection[str] | None = None) -> Progress:
    """The cells of the last plan and what their folders say; reads files only.

    Parameters
    ----------
    only : collection of str, optional
        Ids of cells; by default all.

    Raises
    ------
    ValueError
        When nothing was ever planned here.
    """
    plan = read_json(store.plan_file)
    if plan is None:
        raise ValueError(f"{store.root}: no benchmark was begun here; begin one with `fau bench run GRID`")
    entries = []
    for cell in plan["cells"]:
        if only is not None and cell["id"] not in only:
            continue
        place = store.place(cell["id"])
        state, about = state_of(place, cell["digest"])
        where = {name: value for name, value in cell.items() if name not in ("id", "digest")}
        entries.append(Entry(cell["id"], where, state, about, place))
    return Progress(plan["grid"], entries)


def duration(seconds: float | None) -> str:
    """``1 h 05 min``, ``3 min 20 s``, ``12 s``; ``?`` when unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def render(progress: Progress, *, workers: int = 1, failures: bool = True):
    """The table of a terminal, for :mod:`rich`."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = progress.counts
    table = Table(title=f"grid {progress.grid}: {len(progress.entries)} cells", title_justify="left")
    for name in (DONE, RUNNING, FAILED, LEFT):
        table.add_column(name, justify="right")
    table.add_column("time left", justify="right")
    table.add_row(*(str(n) for n in counts.values()), duration(progress.seconds_left(workers)))
    parts: list[Any] = [table]
    for entry in progress.of(RUNNING):
        about = entry.about
        attempt = f", attempt {about['attempt']}" if about.get("attempt", 1) > 1 else ""
        device = f", GPU {about['gpu']}" if about.get("gpu") else ""
        waits = f", waits: {about.get('error', '')}" if about["state"] == "waiting" else ""
        expected = progress.expected(entry)
        of = f" of about {duration(expected)}" if expected else ""
        parts.append(Text(f"  {entry.id}  {duration(entry.elapsed)}{of}{attempt}{device}{waits}"))
    if failures:
        for entry in progress.of(FAILED):
            parts.append(Text(f"  {entry.id}  failed: {entry.about.get('error', '')}\n    log {entry.folder.log}"))
    return Group(*parts)
