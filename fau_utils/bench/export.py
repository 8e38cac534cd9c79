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

GROUP = ["method", "variant", "data", "protocol", "budget"]
SCORES = {"auc": "AUC", "f1": "F1 at 0.5", "f1_tuned": "F1 tuned on validation"}


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
    """A row per method, variant, dataset, protocol and budget: means over folds and seeds with 95 % intervals.

    A seed counts when all its folds are finished. Intervals are over seeds and people, see
    :mod:`fau_utils.results.study`; folds have other people each, so their draws are averaged.
    """
    from fau_utils.results.study import estimate

    wanted: dict[tuple, dict[int, list]] = {}
    for entry in now.entries:
        key = tuple(entry.place[name] for name in GROUP)
        wanted.setdefault(key, {}).setdefault(entry.place["seed"], []).append(entry)
    rows = []
    for key, by_seed in wanted.items():
        whole = [[e.about["result"] for e in s] for s in by_seed.values() if all(e.state == DONE for e in s)]
        row: dict[str, Any] = {**dict(zip(GROUP, key, strict=True)), "seeds": len(whole), "planned": len(by_seed)}
        row["folds"] = max(len(entries) for entries in by_seed.values())
        for name in SCORES:
            if not whole or any(name not in result for folds in whole for result in folds):
                continue
            values = [float(np.mean([result[name] for result in folds])) for folds in whole]
            drawn = f"{name}_draws"
            draws = None
            if all(drawn in result for folds in whole for result in folds):
                draws = [np.mean([result[drawn] for result in folds], axis=0) for folds in whole]
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), estimate(values, draws), strict=True))
        seconds = [e.about["seconds"] for s in by_seed.values() for e in s if e.state == DONE]
        row["minutes_per_cell"] = np.mean(seconds) / 60 if seconds else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _shown(groups: pd.DataFrame) -> pd.DataFrame:
    """For people: each score with its interval in one cell, columns that never differ left out."""
    table = pd.DataFrame({name: groups[name] for name in GROUP if name == "method" or groups[name].nunique() > 1})
    for name, title in SCORES.items():
        if name in groups:
            table[f"{title}, %"] = [
                "" if pd.isna(row[name]) else f"{row[name]:.1f}" + _interval(row[f"{name}_low"], row[f"{name}_high"])
                for _, row in groups.iterrows()
            ]
    table["seeds"] = [f"{row.seeds} of {row.planned}" for row in groups.itertuples()]
    table["minutes"] = groups["minutes_per_cell"].map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    return table


def _interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f" [{low:.1f}, {high:.1f}]"


def _latex(groups: pd.DataFrame) -> str:
    table = _shown(groups)
    special = {"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#"}

    def escaped(text: str) -> str:
        return "".join(special.get(letter, letter) for letter in str(text))

    lines = [" & ".join(map(escaped, row)) + r" \\" for row in [list(table), *table.values.tolist()]]
    top, *rest = lines
    inner = "\n".join([r"\toprule", top, r"\midrule", *rest, r"\bottomrule"])
    return (
        f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{'l' * len(list(table))}}}\n{inner}\n\\end{{tabular}}\n"
    )


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ccc}
th button{font:inherit;font-weight:bold;background:none;border:0;padding:0;cursor:pointer}"""
_SORT = """document.querySelectorAll("th").forEach((th,i)=>{const b=th.querySelector("button");let up=false;
b.onclick=()=>{const t=th.closest("table").tBodies[0];up=!up;const v=r=>{const x=r.cells[i].innerText;
const n=parseFloat(x);return isNaN(n)?x:n};[...t.rows].sort((a,b)=>{const x=v(a),y=v(b);
return (x>y?1:x<y?-1:0)*(up?-1:1)}).forEach(r=>t.append(r))}})"""


def _page(now: Progress, groups: pd.DataFrame, unfinished: list[tuple[str, str, str]]) -> str:
    table = _shown(groups)
    head = "".join(f"<th><button>{html.escape(str(name))}</button></th>" for name in table)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in table.values.tolist()
    )
    counts = now.counts
    said = f"{counts[DONE]} of {len(now.entries)} cells are finished, {counts[FAILED]} failed."
    left = "".join(f"<li>{html.escape(f'{cell}: {state} {error}')}</li>" for cell, state, error in unfinished)
    title = html.escape(f"Benchmark {now.grid}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{said} Brackets hold 95 % intervals over seeds and test people; a click on a "
        f"column sorts by it.</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + (f"<h2>Not finished</h2><ul>{left}</ul>" if left else "")
        + f"<script>{_SORT}</script></body></html>\n"
    )
