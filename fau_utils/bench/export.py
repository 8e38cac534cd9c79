"""What is finished as CSV, LaTeX and a page that needs no network; what is not, by name."""

import html
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fau_utils.bench import progress
from fau_utils.bench.plan import DONE, FAILED
from fau_utils.bench.progress import Progress
from fau_utils.bench.store import Store
from fau_utils.results import leaderboard
from fau_utils.results.leaderboard import COSTS, GROUP

CODE = (
    "fau_utils.data.by_name", "fau_utils.training.fold", "fau_utils.results.run", "fau_utils.stress.robustness",
)  # fmt: skip
"""Beside the methods' own files, what decides a reference table."""


def export(store: Path, to: Path) -> list[Path]:
    """Write ``cells.csv``, ``summary.csv``, ``summary.tex``, ``index.html`` and, if need be, ``unfinished.csv``.

    Parameters
    ----------
    store : Path
        Folder of a benchmark.
    to : Path
        Folder for the files, made when missing.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        When nothing is finished there.
    """
    now = progress.read(Store(store.resolve()))
    table = cells(now)
    if table.empty:
        raise ValueError(f"{store}: no cell is finished yet, see `fau bench status {store}`")
    groups = summary(now)
    to.mkdir(parents=True, exist_ok=True)
    unfinished = [(e.id, e.state, e.about.get("error", "")) for e in now.entries if e.state != DONE]
    contents = {
        "cells.csv": table.to_csv(index=False),
        "summary.csv": groups.to_csv(index=False),
        "summary.tex": _latex(groups),
        "index.html": _page(now, groups, unfinished),
    }
    (to / "unfinished.csv").unlink(missing_ok=True)
    if unfinished:
        contents["unfinished.csv"] = pd.DataFrame(unfinished, columns=["cell", "state", "error"]).to_csv(index=False)
    for name, text in contents.items():
        (to / name).write_text(text, encoding="utf-8")
    return [to / name for name in contents]


def reference(store: Path, name: str, *, folder: Path | None = None) -> Path:
    """Keep all finished cells as a reference table, with draws and a score per test person, for chapters to read.

    Parameters
    ----------
    store : Path
        Folder of a benchmark.
    name : str
        Of the table.
    folder : Path, optional
        By default that of the book.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        Nothing is finished, a cell has no run, or it was made by other code than is here now.
    """
    from fau_utils.bench import fingerprint
    from fau_utils.methods import METHODS
    from fau_utils.results import reference as references

    now = progress.read(Store(store.resolve()))
    rows, devices = [], set()
    for entry in now.of(DONE):
        record = entry.about
        if record["ingredients"].get("code") != fingerprint.code_of(entry.place["method"]):
            raise ValueError(
                f"{entry.id}: was made by other code than is here; `fau bench run {now.grid}` makes it again"
            )
        rows.append({**entry.place, **_with_persons(entry.folder.result_of(record), record["result"] or {})})
        rows[-1] |= {"settings": record["parameters"]["settings"], "cell_seconds": record["seconds"]}
        devices.add(str(rows[-1].pop("device", "")))
    if not rows:
        raise ValueError(f"{store}: no cell is finished yet, see `fau bench status {store}`")
    code = {METHODS[row["method"]].__module__ for row in rows} | {*CODE}
    return references.write(
        name,
        pd.DataFrame(rows),
        command=f"fau bench run {now.grid}",
        code=code,
        device=", ".join(sorted(devices)),
        extra={"planned": len(now.entries), "grid": now.grid},
        **({} if folder is None else {"folder": folder}),
    )


def _with_persons(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    from fau_utils.metrics.thresholds import tuned
    from fau_utils.results.run import Run

    if "run" not in result:
        raise ValueError(f"{folder.parent.name}: expected a run in its result, found {sorted(result)}")
    run = Run.read(folder / result["run"])
    said, validation = run.predictions(), run.validation()
    each = leaderboard.person_scores(said, tuned(validation.prob, validation.label))
    kept = {name: value for name, value in result.items() if name != "run"}
    return {**kept, "persons": each.index.tolist(), "person_f1": each.tolist()}


def cells(now: Progress) -> pd.DataFrame:
    """A row per finished cell: where it is in the grid, its plain results, what it took and where it ran."""
    rows = []
    for entry in now.of(DONE):
        record = entry.about
        plain = {k: v for k, v in (record["result"] or {}).items() if not isinstance(v, list | dict)}
        took = {k: record[k] for k in ("seconds", "peak_memory", "attempts", "host", "gpu", "git_revision", "finished")}
        rows.append({"cell": entry.id, **entry.place, **plain, **took})
    return pd.DataFrame(rows)


def summary(now: Progress) -> pd.DataFrame:
    """A row per method, variant, dataset, protocol and budget: :func:`leaderboard.board` of what is finished.

    A seed counts when all its folds are finished; a method without such a seed has a row without scores.
    """
    wanted: dict[tuple, dict[int, list]] = {}
    for entry in now.entries:
        key = tuple(entry.place[name] for name in GROUP)
        wanted.setdefault(key, {}).setdefault(entry.place["seed"], []).append(entry)
    rows = []
    for key, by_seed in wanted.items():
        whole = [e for s in by_seed.values() if all(e.state == DONE for e in s) for e in s]
        row: dict[str, Any] = {**dict(zip(GROUP, key, strict=True)), "seeds": 0, **dict.fromkeys(COSTS, np.nan)}
        if whole:
            runs = pd.DataFrame([{**e.place, **(e.about["result"] or {})} for e in whole])
            row |= leaderboard.board(runs).iloc[0].to_dict()
        row |= {"planned": len(by_seed), "folds": max(len(entries) for entries in by_seed.values())}
        seconds = [e.about["seconds"] for s in by_seed.values() for e in s if e.state == DONE]
        row["minutes_per_cell"] = np.mean(seconds) / 60 if seconds else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _latex(groups: pd.DataFrame) -> str:
    table, _ = leaderboard.shown(groups)
    special = {letter: f"\\{letter}" for letter in "_%&#${}"} | {
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    }  # fmt: skip

    def escaped(text: str) -> str:
        return "".join(special.get(letter, letter) for letter in str(text))

    lines = [" & ".join(map(escaped, row)) + r" \\" for row in [list(table), *table.values.tolist()]]
    top, *rest = lines
    inner = "\n".join([r"\toprule", top, r"\midrule", *rest, r"\bottomrule"])
    return (
        f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{'l' * len(list(table))}}}\n{inner}\n\\end{{tabular}}\n"
    )


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem}"""


def _page(now: Progress, groups: pd.DataFrame, unfinished: list[tuple[str, str, str]]) -> str:
    from fau_utils.plots.tables import sortable

    text, keys = leaderboard.shown(groups)
    counts = now.counts
    said = f"{counts[DONE]} of {len(now.entries)} cells are finished, {counts[FAILED]} failed."
    left = "".join(f"<li>{html.escape(f'{cell}: {state} {error}')}</li>" for cell, state, error in unfinished)
    title = html.escape(f"Benchmark {now.grid}")
    caption = f"{leaderboard.CAPTION} A heading sorts."
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><main><h1>{title}</h1><p>{said}</p>{sortable(text, caption=caption, keys=keys)}"
        + (f"<h2>Not finished</h2><ul>{left}</ul>" if left else "")
        + "</main></body></html>\n"
    )
