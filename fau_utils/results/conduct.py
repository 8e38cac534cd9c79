"""A study: arms x conditions x seeds, each cell a run, all rows one reference table.

A study can be cut at any moment and gone on with: a row is kept as soon as its cell is done, rows made by the same
code are not made again, and seeds are the outer loop, so that what is there is a balanced design. Several processes
may conduct one study, on one computer or over a shared folder: each takes the next cell that nobody is at.
"""

import argparse
import contextlib
import hashlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout

from fau_utils import provenance
from fau_utils.progress import progress
from fau_utils.results import reference
from fau_utils.results.study import Row

log = logging.getLogger(__name__)

Cell = dict[str, Any]

LANES = ".lanes"
"""Folder of locks beside the tables; they are empty, and nothing is lost with them."""


@dataclass(frozen=True)
class Study:
    """What is run, and which code decides its numbers.

    Attributes
    ----------
    name : str
        Of the reference table.
    cells : sequence of dict
        Plain settings of each run, ``arm`` and ``seed`` among them; the most important first.
    run : callable
        ``run(cell, device) -> row or rows``: what was measured, as plain numbers, strings and lists. The cell's
        settings are added to each row.
    code : sequence of str
        Modules of the package, see :func:`fau_utils.provenance.code_hash`. The script's own file is not among them:
        `version` is raised by hand when a change there changes numbers.
    version : int
    command : str
        What a reader types to make the table.

    Raises
    ------
    ValueError
        No cells, cells without ``arm`` or ``seed``, or two cells that are the same.
    """

    name: str
    cells: Sequence[Cell]
    run: Callable[[Cell, str], Row | list[Row]] = field(repr=False)
    code: Sequence[str] = ()
    version: int = 1
    command: str = ""

    def __post_init__(self) -> None:
        if not self.cells:
            raise ValueError(f"study {self.name!r} has no cells")
        for cell in self.cells:
            if missing := [name for name in ("arm", "seed") if name not in cell]:
                raise ValueError(f"study {self.name!r}: expected {missing} in every cell, found {cell}")
        if len(set(map(_key, self.cells))) != len(self.cells):
            raise ValueError(f"study {self.name!r}: two cells are the same")

    def conduct(
        self,
        *,
        device: str = "cpu",
        minutes: float | None = None,
        folder: Path = reference.FOLDER,
        show: bool = True,
    ) -> pd.DataFrame:
        """Run the cells that are not in the table yet, seeds outermost.

        Parameters
        ----------
        device : str
        minutes : float, optional
            No cell is begun after so long.
        folder : Path
            Where the reference table is kept.
        show : bool
            A bar with the time left.

        Returns
        -------
        DataFrame
            All rows there are now.

        Raises
        ------
        RuntimeError
            At the end, when cells failed: each is logged with its traceback, and keeps no other from its turn. At once,
            when the code was changed during a cell: nobody could say which code made its rows.
        """
        begun = provenance.code_hash(self.code)
        done = self._done(folder)
        if not done and (folder / f"{self.name}.parquet").is_file():
            log.warning("%s: the code has changed since, or the file is damaged; all rows are made again", self.name)
        waiting = sorted((c for c in self.cells if _key(c) not in done), key=lambda cell: cell["seed"])
        begin = time.perf_counter()
        failed = elsewhere = 0
        for cell in progress(waiting, what=self.name, unit="cell") if show else waiting:
            if minutes is not None and time.perf_counter() - begin > 60 * minutes:
                log.warning("%s: stopped after %g minutes; the same command goes on", self.name, minutes)
                break
            with self._held(_key(cell), folder) as mine:
                if not mine:
                    elsewhere += 1
                elif _key(cell) not in self._done(folder):  # it may have been made since
                    failed += not self._made(cell, device=device, folder=folder, begun=begun)
        if elsewhere:
            log.warning("%s: left to another process: %d of %d cells", self.name, elsewhere, len(waiting))
        if failed:
            raise RuntimeError(f"{self.name}: {failed} of {len(waiting)} cells failed, see above; all others are kept")
        return pd.DataFrame(self._rows(folder))

    def repeat(self, runs: int = 1, *, device: str = "cpu", folder: Path = reference.FOLDER) -> int:
        """Run some cells of a stale table again; when all give the same numbers, the table is the present code's.

        A change of code that should change no number makes every table stale that it touches. This is what it takes to
        keep them: as many runs as one can afford, in turn from different arms, compared to the last bit. How many they
        were is kept with the table and said in its caption.

        Parameters
        ----------
        runs : int
            How many cells, at most.
        device : str
        folder : Path
            Where the reference table is kept.

        Returns
        -------
        int
            How many cells were run: none when the table is not stale.

        Raises
        ------
        ValueError
            Another version of the script made the table, or another device or number of threads, which may differ in
            the last bits; or a cell gives other numbers: which ones is said, and the table stays as it is.
        """
        found = reference.read(self.name, folder=folder)
        if not found.stale:
            return 0
        here = {"version": self.version, "threads": torch.get_num_threads(), "device": provenance.device_name(device)}
        if wrong := [
            f"{name} {found.record.get(name)}, now {now}" for name, now in here.items() if found.record.get(name) != now
        ]:
            raise ValueError(f"{self.name} was made with {'; '.join(wrong)}: it cannot be repeated here")
        kept = dict(tuple(found.table.groupby("cell", sort=False)))
        turns: dict[str, int] = {}
        order = []
        for cell in (c for c in self.cells if _key(c) in kept):
            turns[cell["arm"]] = turns.get(cell["arm"], 0) + 1
            order.append((turns[cell["arm"]], len(order), cell))
        chosen = [cell for *_, cell in sorted(order, key=lambda entry: entry[:2])][:runs]
        for cell in progress(chosen, what=f"{self.name} again", unit="cell"):
            again = self.run(dict(cell), device)
            again = [again] if isinstance(again, Mapping) else list(again)
            if differs := _differences(kept[_key(cell)].to_dict("records"), again):
                raise ValueError(f"{self.name}, {_key(cell)}: other numbers than before in {differs}")
        reference.confirm(found, runs=len(chosen), of=len(kept), folder=folder)
        return len(chosen)

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """The study as a command: ``--device --minutes --seeds --only --name --out --repeat``."""
        given = list(sys.argv[1:] if arguments is None else arguments)
        parser = argparse.ArgumentParser(prog=self.name)
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        parser.add_argument("--minutes", type=float, help="begin no cell after so long; the next call goes on")
        parser.add_argument("--seeds", type=int, help="only the first so many")
        parser.add_argument("--only", nargs="+", help="arms", choices=sorted({c["arm"] for c in self.cells}))
        parser.add_argument("--name", default=self.name, help="of the table")
        parser.add_argument("--out", type=Path, default=reference.FOLDER)
        parser.add_argument("--repeat", type=int, metavar="N", help="run N cells of a stale table again and compare")
        options, _ = parser.parse_known_args(given)  # a script may have options of its own
        seeds = sorted({cell["seed"] for cell in self.cells})[: options.seeds]
        cells = [c for c in self.cells if c["seed"] in seeds and (not options.only or c["arm"] in options.only)]
        script, root = Path(sys.argv[0]).resolve(), reference.FOLDER.parents[1]
        script = script.relative_to(root) if script.is_relative_to(root) else Path(script.name)
        command = self.command or f"python {script.as_posix()}"  # what makes all of it, whatever was asked for now
        chosen = Study(options.name, cells, self.run, self.code, self.version, command)
        if options.repeat:
            chosen.repeat(options.repeat, device=options.device, folder=options.out)
            return
        chosen.conduct(device=options.device, minutes=options.minutes, folder=options.out)

    def _made(self, cell: Cell, *, device: str, folder: Path, begun: str) -> bool:
        """Run a cell and keep its rows; whether it did not fail."""
        started = time.perf_counter()
        try:
            found = self.run(dict(cell), device)
        except Exception:
            log.exception("%s: cell %s failed", self.name, _key(cell))
            return False
        took = time.perf_counter() - started
        found = [found] if isinstance(found, Mapping) else list(found)
        if provenance.code_hash(self.code) != begun:
            raise RuntimeError(
                f"{self.name}: its code was changed while cell {_key(cell)} ran, whose rows are not kept; begin again"
            )
        with self._held("table", folder, wait=True):
            kept, extra = self._kept(folder), {"version": self.version, "threads": torch.get_num_threads()}
            if kept and "repeated" in kept.record:
                extra["repeated"] = kept.record["repeated"]
            rows = [{**cell, **row, "cell": _key(cell), "cell_seconds": took} for row in found]
            reference.write(
                self.name,
                pd.DataFrame((kept.table.to_dict("records") if kept else []) + rows),
                command=self.command,
                code=self.code,
                device=provenance.device_name(device),
                extra=extra,
                folder=folder,
            )
        return True

    @contextlib.contextmanager
    def _held(self, what: str, folder: Path, *, wait: bool = False) -> Iterator[bool]:
        """Hold a cell or the table against other processes; whether it is held. A killed one holds nothing."""
        path = folder / LANES / f"{self.name}-{hashlib.sha1(what.encode()).hexdigest()[:16]}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _kept(self, folder: Path) -> reference.Reference | None:
        """The table, if this code made it."""
        try:
            found = reference.read(self.name, folder=folder)
        except (FileNotFoundError, ValueError):
            return None
        return None if found.stale or found.record.get("version") != self.version else found

    def _rows(self, folder: Path) -> list[Row]:
        kept = self._kept(folder)
        return kept.table.to_dict("records") if kept else []

    def _done(self, folder: Path) -> set[str]:
        kept = self._kept(folder)
        return set(kept.table["cell"]) if kept else set()


def _differences(before: list[Row], now: list[Row]) -> list[str]:
    """Columns in which rows are not equal to the last bit; times are left out, and columns only one side has."""
    if len(before) != len(now):
        return [f"{len(now)} rows instead of {len(before)}"]
    timed = ("seconds", "ms")
    names = {name for old, new in zip(before, now, strict=True) for name in old if name in new}
    pairs = {name: [(old.get(name), new.get(name)) for old, new in zip(before, now, strict=True)] for name in names}
    return sorted(
        name
        for name, values in pairs.items()
        if not name.endswith(timed) and not all(_same(old, new) for old, new in values)
    )


def _same(old: Any, new: Any) -> bool:
    blank = [value is None or (isinstance(value, float) and np.isnan(value)) for value in (old, new)]
    if any(blank):  # a table has nan where a row has None
        return all(blank)
    if isinstance(old, str):
        return old == new
    return np.array_equal(np.asarray(old, float), np.asarray(new, float), equal_nan=True)


def _key(cell: Cell) -> str:
    return ", ".join(f"{name}={cell[name]}" for name in sorted(cell))
