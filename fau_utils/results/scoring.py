"""Runs on disk scored under a named protocol, for the command ``fau score``."""

import os
from collections.abc import Sequence
from typing import Any

import pandas as pd

from fau_utils.data.conventions import named
from fau_utils.data.folds import fold_hash
from fau_utils.data.protocols import Protocol
from fau_utils.results.run import Run
from fau_utils.results.score import Score, score
from fau_utils.training import Predictions


def score_runs(paths: Sequence[str | os.PathLike], *, protocol: str, resamples: int = 1000) -> Score:
    """Score the saved predictions of one run, or of one run per fold.

    Parameters
    ----------
    paths : sequence of path-like
        Folders of runs on one dataset.
    protocol : str
        One of :data:`fau_utils.data.conventions.NAMES`.
    resamples : int
        Of the subject bootstrap; 0 for no intervals.

    Raises
    ------
    DamagedRun
        A folder that is no run.
    ValueError
        No run, runs on several datasets, an unknown protocol, or predictions that it cannot score.
    """
    if not paths:
        raise ValueError("expected at least one run, found none")
    found = [Run.read(path) for path in paths]
    tests = [run.predictions().table() for run in found]
    datasets = sorted({name for table in tests for name in table["dataset"]})
    if len(datasets) != 1:
        raise ValueError(f"expected runs on one dataset, found {datasets}; score them one by one")
    chosen = named(protocol, dataset=datasets[0])
    held = [run.validation() for run in found]
    if any(validation is not None for validation in held):
        tests = [_with_validation(test, kept, chosen) for test, kept in zip(tests, held, strict=True)]
    return score(pd.concat(tests, ignore_index=True), chosen, resamples=resamples)


def _with_validation(test: pd.DataFrame, validation: Predictions | None, protocol: Protocol) -> pd.DataFrame:
    """Rows of a run that tests one fold, those of its validation people marked as such."""
    people = set(test["subject"])
    # a person without frames is missing from the run, not from the protocol
    fold = next((fold.hash for fold in protocol.folds if people <= set(fold.test)), fold_hash(people))
    rows = [test.assign(split="test", fold=fold)]
    if validation is not None:
        rows.append(validation.table().assign(split="validation", fold=fold))
    return pd.concat(rows, ignore_index=True)


def as_dict(result: Score) -> dict[str, Any]:
    """Plain data for ``--json``; undefined scores are null."""
    table = result.table.astype(object).where(result.table.notna(), None)
    headline = result.headline.astype(object)
    return {
        "protocol": result.protocol.name,
        "protocol_hash": result.protocol.hash,
        "dataset": result.protocol.dataset,
        "headline": headline.where(headline.notna(), None).to_dict(),
        "notes": list(result.notes),
        "scores": table.to_dict("records"),
    }


def render(result: Score):
    """Per-AU F1 and AUC in percent as a :mod:`rich` table; what was chosen on test people is marked."""
    from rich.console import Group
    from rich.table import Table

    f1, auc = result.per_au(metric="f1"), result.per_au(metric="auc")
    columns = [("F1", f1, rule, average) for rule, average in f1] + [
        ("AUC", auc, rule, average) for rule, average in auc
    ]
    flattering = set(result.table.loc[result.table["optimistic"], "rule"])
    protocol = result.protocol
    table = Table("", title=f"protocol {protocol.name} ({protocol.hash}) on {protocol.dataset}, percent")
    for name, _, rule, average in columns:
        where = {"": "", "0.5": " at 0.5", "validation": " tuned on validation"}.get(rule, " tuned on test")
        mark = " (optimistic)" if rule in flattering else ""
        table.add_column(f"{name}{where}{mark}\n{average.replace('_', ' ')}", justify="right")
    for au in f1.index:
        values = [frame.loc[au, (rule, average)] for _, frame, rule, average in columns]
        table.add_row(au, *("undefined" if pd.isna(v) else f"{100 * v:.1f}" for v in values))
    h = result.headline
    what = f"{h['rule']}, {h['average']}".replace("_", " ")
    interval = "" if pd.isna(h["low"]) else f" [{100 * h['low']:.1f}, {100 * h['high']:.1f}]"
    headline = f"mean F1 as {protocol.name} reports it ({what}): {100 * h['value']:.1f}{interval}"
    return Group(table, headline, *(f"note: {note}" for note in result.notes))
