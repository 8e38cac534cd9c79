"""A study: arms x conditions x seeds, each cell a run, all rows one reference table; and the contrasts over it.

A study can be cut at any moment and gone on with: a row is kept as soon as its cell is done, rows made by the same
code are not made again, and seeds are the outer loop, so that what is there is a balanced design.

Intervals are over seeds *and* people. The two are crossed, every seed is tested on the same people, so the variance
of a mean over both is about the sum of the one over seeds (people held) and the one over people (seeds averaged),
with Welch and Satterthwaite's degrees of freedom (Satterthwaite, 1946, Biometrics Bulletin 2). What seeds and people
do together is in both, which errs towards wide.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from fau_utils import metrics, provenance
from fau_utils.metrics.contrast import Contrast
from fau_utils.progress import progress
from fau_utils.results import reference
from fau_utils.training.evaluate import Predictions

log = logging.getLogger(__name__)

Cell = dict[str, Any]
Row = dict[str, Any]

RESAMPLES = 200
"""Draws of the test people that each row keeps."""


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
            At the end, when cells failed: each is logged with its traceback, and keeps no other from its turn.
        """
        rows = self._kept(folder)
        done = {row["cell"] for row in rows}
        waiting = sorted((c for c in self.cells if _key(c) not in done), key=lambda cell: cell["seed"])
        begin = time.perf_counter()
        failed = 0
        for cell in progress(waiting, what=self.name, unit="cell") if show else waiting:
            if minutes is not None and time.perf_counter() - begin > 60 * minutes:
                log.warning("%s: stopped after %g minutes; the same command goes on", self.name, minutes)
                break
            started = time.perf_counter()
            try:
                found = self.run(dict(cell), device)
            except Exception:
                log.exception("%s: cell %s failed", self.name, _key(cell))
                failed += 1
                continue
            took = time.perf_counter() - started
            found = [found] if isinstance(found, Mapping) else list(found)
            rows += [{**cell, **row, "cell": _key(cell), "cell_seconds": took} for row in found]
            self._keep(rows, device=device, folder=folder)
        if failed:
            raise RuntimeError(f"{self.name}: {failed} of {len(waiting)} cells failed, see above; all others are kept")
        return pd.DataFrame(rows)

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
        command = " ".join(["python", script.as_posix(), *given])
        chosen = Study(options.name, cells, self.run, self.code, self.version, self.command or command)
        if options.repeat:
            chosen.repeat(options.repeat, device=options.device, folder=options.out)
            return
        chosen.conduct(device=options.device, minutes=options.minutes, folder=options.out)

    def _kept(self, folder: Path) -> list[Row]:
        try:
            found = reference.read(self.name, folder=folder)
        except (FileNotFoundError, ValueError):
            return []
        if found.stale or found.record.get("version") != self.version:
            log.warning("%s: the code has changed since; its %d rows are made again", self.name, len(found.table))
            return []
        return found.table.to_dict("records")

    def _keep(self, rows: list[Row], *, device: str, folder: Path) -> None:
        reference.write(
            self.name,
            pd.DataFrame(rows),
            command=self.command,
            code=self.code,
            device=provenance.device_name(device),
            extra={"version": self.version, "threads": torch.get_num_threads()},
            folder=folder,
        )


def scores(predictions: Predictions, *, resamples: int = RESAMPLES) -> Row:
    """F1 at 0.5 and AUC, means over AUs in percent, for a row: ``f1, auc, f1_draws, auc_draws``.

    The draws are the scores of `resamples` draws of the test people. They are the same people in every run on the same
    test set, so that two runs can be compared draw by draw.
    """
    row: Row = {}
    for name, metric in (("f1", metrics.f1_per_au), ("auc", metrics.auc_per_au)):
        drawn = metrics.resampled_scores(
            predictions.prob, predictions.label, predictions.subject, metric, resamples=resamples, seed=0
        )
        known = ~np.isnan(drawn)
        means = np.where(known, drawn, 0).sum(1) / np.maximum(1, known.sum(1))
        row[name] = 100 * float(np.nanmean(metric(predictions.prob, predictions.label)))
        row[f"{name}_draws"] = (100 * means).astype("float32").tolist()
    return row


def estimate(values: Sequence[float], draws: Sequence[Sequence[float]] | None = None) -> tuple[float, float, float]:
    """Mean over seeds with a 95 % interval over seeds and, where there are draws, over people.

    Parameters
    ----------
    values : (S,)
        One per seed.
    draws : (S, R), optional
        Of the same people for every seed.

    Returns
    -------
    tuple of float
        Mean, low, high; the ends are ``nan`` where one seed and no draws say nothing.
    """
    values = np.asarray(values, float)
    seeds = len(values)
    parts, freedom = [], []
    if seeds > 1:
        parts.append(values.var(ddof=1) / seeds)
        freedom.append(seeds - 1)
    if draws is not None:
        table = np.asarray([np.asarray(row, float) for row in draws])
        parts.append(table.mean(0).var(ddof=1))
        freedom.append(np.inf)  # the bootstrap's own error is small beside the others
    mean, variance = float(values.mean()), float(sum(parts))
    if not parts:
        return mean, float("nan"), float("nan")
    if variance == 0:
        return mean, mean, mean
    below = sum(part**2 / df for part, df in zip(parts, freedom, strict=True))
    quantile = stats.t.ppf(0.975, variance**2 / below) if below else stats.norm.ppf(0.975)
    half = float(quantile * variance**0.5)
    return mean, mean - half, mean + half


def select(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """Rows in which each named column has that value, or one of a list of values.

    Raises
    ------
    KeyError
        A column that is not there; those that are, are listed.
    """
    for name, value in where.items():
        if name not in table:
            raise KeyError(f"expected a column {name!r}, found {sorted(table)}")
        wanted = value if isinstance(value, (list, tuple, set)) else [value]
        table = table[table[name].isin(list(wanted))]
    return table


def contrast(
    table: pd.DataFrame,
    claim: str,
    *,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    score: str = "auc",
    where: Mapping[str, Any] | None = None,
    least: float = 0.0,
    unit: str | None = None,
    people: int | None = None,
) -> Contrast:
    """A declared claim, *ours minus theirs is more than* `least`, over the seeds that both have.

    Parameters
    ----------
    table : DataFrame
        Rows of a study; ``<score>_draws`` is used where it is there.
    claim : str
    ours, theirs : mapping
        Column values that pick the two sides; each seed must then have one row on each.
    score : str
    where : mapping, optional
        Column values that both sides have.
    least, unit
        As in :class:`Contrast`.
    people : int, optional
        Number of test people, for the words.

    Returns
    -------
    Contrast
        ``nan`` throughout, so *cannot tell*, where no seed has both.

    Raises
    ------
    ValueError
        When a seed has several rows on one side: the columns do not pin the comparison down.
    """
    common = select(table, **dict(where or {}))
    sides = []
    for picks in (ours, theirs):
        side = select(common, **dict(picks)).dropna(subset=score)
        if side["seed"].duplicated().any():
            raise ValueError(f"{claim}: several rows of one seed for {dict(picks)}; say which in `where`")
        sides.append(side.set_index("seed"))
    mine, other = sides
    seeds = [seed for seed in mine.index if seed in other.index]
    unit = unit or {"auc": "AUC points", "f1": "F1 points"}.get(score, "points")
    if not seeds:
        return Contrast(claim, *[float("nan")] * 3, over="no runs yet", least=least, unit=unit)
    mine, other = mine.loc[seeds], other.loc[seeds]
    draws = None
    if f"{score}_draws" in table and not (mine[f"{score}_draws"].isna().any() or other[f"{score}_draws"].isna().any()):
        pairs = zip(mine[f"{score}_draws"], other[f"{score}_draws"], strict=True)
        draws = [np.asarray(a) - np.asarray(b) for a, b in pairs]
    mean, low, high = estimate(mine[score].to_numpy() - other[score].to_numpy(), draws)
    over = f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    if draws is not None:
        over += f" and {people} people" if people else " and the people"
    return Contrast(claim, mean, low, high, over=over, least=least, unit=unit)


def curve(table: pd.DataFrame, *, by: str | Iterable[str], score: str = "auc") -> pd.DataFrame:
    """Mean and interval of a score in each group: columns of `by`, ``mean, low, high, seeds``; for lines with bands."""
    names = [by] if isinstance(by, str) else list(by)
    rows = []
    for key, group in table.dropna(subset=score).groupby(names, sort=True, dropna=False):
        drawn = f"{score}_draws"
        draws = list(group[drawn]) if drawn in group and not group[drawn].isna().any() else None
        mean, low, high = estimate(group[score], draws)
        values = dict(zip(names, key, strict=True))
        rows.append({**values, "mean": mean, "low": low, "high": high, "seeds": group["seed"].nunique()})
    return pd.DataFrame(rows, columns=[*names, "mean", "low", "high", "seeds"])


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
