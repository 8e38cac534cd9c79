"""Scores of saved predictions under a protocol, without training anything again.

Re-scoring can change what an unknown label counts as, the threshold, the epoch, the average and what an undefined
F1 becomes. It cannot change the pictures (crop, camera) or who was trained on; those are the run's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd

from fau_utils import metrics
from fau_utils.aus import columns
from fau_utils.data.folds import which_published
from fau_utils.data.protocols import Protocol, Threshold
from fau_utils.frames import KEY
from fau_utils.metrics.precision import average_precision_per_au, balanced_accuracy_per_au
from fau_utils.metrics.thresholds import tuned
from fau_utils.training import Predictions

ON_TEST = "test_for_demonstration_only"
RULES: tuple[Threshold, ...] = get_args(Threshold)


@dataclass(frozen=True)
class Score:
    """What a protocol makes of predictions.

    Attributes
    ----------
    protocol : Protocol
    table : DataFrame
        A row per threshold rule x average x fold x AU x metric: ``rule`` (empty for AUC and average precision, which
        need none), ``average`` (``fold``, ``per_fold_mean``, ``pooled``), ``fold`` (hash; empty for averages), ``au``
        (null for the mean over AUs), ``metric``, ``value``, ``low``, ``high`` (95 % interval over people, where
        computed), ``undefined`` (AUs or folds that have no score and are left out), ``positives``, ``frames``,
        ``threshold``, ``reported`` (the protocol reports it), ``optimistic`` (threshold or epoch was chosen on the
        test people, or the rule pretends to).
    notes : tuple of str
        What could not be done as the protocol says.
    """

    protocol: Protocol
    table: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    @property
    def headline(self) -> pd.Series:
        """The row of the one number the protocol prints: mean F1 by its first threshold rule and first average."""
        t = self.table
        rows = t[(t["rule"] == self.protocol.thresholds[0]) & (t["average"] == self.protocol.averages[0])]
        return rows[rows["au"].isna() & (rows["metric"] == "f1")].iloc[0]

    def per_au(self, *, metric: str = "f1") -> pd.DataFrame:
        """A row per AU (and the mean) with a column per threshold rule and average."""
        rows = self.table[(self.table["metric"] == metric) & (self.table["average"] != "fold")]
        named = rows.assign(au=rows["au"].map(lambda au: "mean" if pd.isna(au) else f"AU{au}"))
        wide = named.pivot(index="au", columns=["rule", "average"], values="value")
        return wide.reindex([*columns(self.protocol.aus), "mean"])


class _Side(NamedTuple):
    """Some frames of one fold."""

    prob: np.ndarray
    label: np.ndarray
    subject: np.ndarray
    epoch: np.ndarray

    def at(self, epoch: int) -> "_Side":
        rows = self.epoch == epoch
        return _Side(*(values[rows] for values in self))


class _Fold(NamedTuple):
    name: str
    test: _Side
    validation: _Side | None


def score(
    predictions: pd.DataFrame | Predictions,
    protocol: Protocol,
    *,
    rules: Sequence[Threshold] = RULES,
    resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """Score predictions as a protocol says.

    Parameters
    ----------
    predictions : DataFrame or Predictions
        Frame key, ``prob_AU1`` ... and ``label_AU1`` ..., as :meth:`Predictions.table` gives them. Optional columns:
        ``split`` (``test`` or ``validation``; default test), ``fold`` (hash of the test people a row was predicted
        for, needed when validation rows of several folds are there), ``epoch`` (predictions of several epochs, for
        the protocol's model-selection rule). Labels may be FACS intensities, if the protocol has a cut.
    protocol : Protocol
        One without folds takes the test rows as one fold.
    rules : sequence of str
        Threshold rules to report beside the protocol's own, where the rows for them are there. A threshold chosen on
        the test people is marked ``optimistic``: it shows how much that choice flatters.
    resamples : int
        Of the subject bootstrap for F1 and AUC; 0 for none. Thresholds and epochs stay as chosen.
    seed : int

    Raises
    ------
    ValueError
        Another dataset, missing AUs, people who are in no test list, a frame scored twice, or no validation rows
        where the protocol's first threshold rule or its model selection needs them.
    """
    notes: list[str] = []
    table = _checked(predictions, protocol)
    folds = _folds(table, protocol, notes)
    folds = [_selected(fold, protocol, notes) for fold in folds]
    rows: list[dict] = []
    for metric, measure in (("auc", metrics.auc_per_au), ("average_precision", average_precision_per_au)):
        rows += _without_threshold(metric, measure, folds, protocol, resamples, seed)
    for rule in dict.fromkeys((*protocol.thresholds, *rules)):
        if rule == "validation" and any(fold.validation is None for fold in folds):
            if rule == protocol.thresholds[0]:
                raise ValueError(
                    f"{protocol.name} tunes thresholds on validation people, found no such rows; predict them too"
                )
            notes.append("no validation rows: the validation-tuned threshold is left out")
            continue
        rows += _with_threshold(rule, folds, protocol, resamples, seed)
    return Score(protocol, _finished(rows, protocol, chosen_on_test=_epochs_on_test(table, protocol)), tuple(notes))


def f1_of(counts: metrics.Counts, *, undefined: str = "nan") -> np.ndarray:
    """F1 of each AU from counts, under a protocol's reading of an AU with neither positives nor detections.

    ``nan``: it has none. ``zero``: it is 0, as in scikit-learn. ``aunet``: when any AU has no positives, 1 is added to
    *every* AU's positives; likewise detections, and 0.01 to hits (AU-Net, ``utils/metrics.py``).
    """
    hits = counts.true_positive.astype("float64")
    positives, detections = hits + counts.false_negative, hits + counts.false_positive
    if undefined == "aunet":
        positives = positives + (positives.min() == 0)
        detections = detections + (detections.min() == 0)
        hits = hits + 0.01 * (hits.min() == 0)
        recall, precision = hits / positives, hits / detections
        return 2 * recall * precision / (recall + precision)
    below = positives + detections
    return np.where(below > 0, 2 * hits / np.maximum(below, 1), 0.0 if undefined == "zero" else np.nan)


def _checked(predictions: pd.DataFrame | Predictions, protocol: Protocol) -> pd.DataFrame:
    table = predictions.table() if isinstance(predictions, Predictions) else predictions
    datasets = sorted(table["dataset"].unique())
    if datasets != [protocol.dataset]:
        raise ValueError(f"protocol {protocol.name} is for {protocol.dataset}, found predictions on {datasets}")
    names = columns(protocol.aus)
    missing = [name for name in names if f"prob_{name}" not in table or f"label_{name}" not in table]
    if missing:
        raise ValueError(f"protocol {protocol.name} scores {missing}, which were not predicted; choose other aus")
    defaults = {"split": "test", "fold": "", "epoch": 0}
    table = table.assign(**{name: value for name, value in defaults.items() if name not in table})
    strange = sorted(set(table["split"]) - {"test", "validation", "train"})
    if strange:
        raise ValueError(f"expected split test, validation or train, found {strange}")
    table = table[table["split"] != "train"]
    twice = table.duplicated([*KEY, "split", "fold", "epoch"])
    if twice.any():
        key = table.loc[twice, list(KEY)].iloc[0].to_dict()
        raise ValueError(f"{twice.sum()} frames are predicted twice, e.g. {key}; score one run per fold")
    return table


def _labels(table: pd.DataFrame, protocol: Protocol) -> np.ndarray:
    values = table[[f"label_{name}" for name in columns(protocol.aus)]].to_numpy("float64", copy=True)
    if protocol.cut is not None and (values[~np.isnan(values)] > 1).any():
        values = np.where(np.isnan(values), np.nan, values >= protocol.cut)
    return np.nan_to_num(values, nan=0.0) if protocol.unknown == "negative" else values


def _side(table: pd.DataFrame, protocol: Protocol) -> _Side | None:
    if not len(table):
        return None
    prob = table[[f"prob_{name}" for name in columns(protocol.aus)]].to_numpy("float64", copy=True)
    label = _labels(table, protocol)
    kept = ~np.isnan(label).any(1) if protocol.unknown == "drop_frame" else np.ones(len(label), bool)
    who, epoch = table["subject"].to_numpy(str), table["epoch"].to_numpy()
    return _Side(prob[kept], label[kept], who[kept], epoch[kept])


def _folds(table: pd.DataFrame, protocol: Protocol, notes: list[str]) -> list[_Fold]:
    if protocol.folds and (table["fold"] == "").all():
        if (table["split"] == "validation").any() and len(protocol.folds) > 1:
            raise ValueError("validation rows need a column 'fold': the hash of the test people they were held out for")
        tested_in = {subject: fold.hash for fold in protocol.folds for subject in fold.test}
        where = table["subject"].map(tested_in)
        if len(protocol.folds) == 1:
            where = where.where(table["split"] == "test", protocol.folds[0].hash)
        if where.isna().any():
            strangers = sorted(table["subject"][where.isna()].unique())
            raise ValueError(f"{protocol.name} tests none of {strangers[:5]}; use a protocol with these people")
        table = table.assign(fold=where)
    lists = {fold.hash: set(fold.test) for fold in protocol.folds}
    made = []
    for name, rows in table.groupby("fold", sort=True):
        test = rows[rows["split"] == "test"]
        people = set(test["subject"])
        if lists and (name not in lists or not people <= lists[name]):
            known = which_published(people)
            called = f"; these people are {known.partition} {known.part}" if known else ""
            raise ValueError(f"fold {name!r} is none of {protocol.name}'s ({', '.join(lists)}){called}")
        if lists and people != lists[name]:
            notes.append(f"fold {name}: {len(people)} of {len(lists[name])} test people have predictions")
        side = _side(test, protocol)
        if side is None or not len(side.label):
            raise ValueError(f"fold {name!r} has no test rows to score")
        made.append(_Fold(str(name), side, _side(rows[rows["split"] == "validation"], protocol)))
    if len(lists) > len(made):
        notes.append(f"{len(made)} of {len(lists)} folds have predictions")
    return made


def _epochs_on_test(table: pd.DataFrame, protocol: Protocol) -> bool:
    return table["epoch"].nunique() > 1 and protocol.selection.startswith("best_on_test")


def _selected(fold: _Fold, protocol: Protocol, notes: list[str]) -> _Fold:
    """The fold at the epoch that the protocol would have kept."""
    epochs = sorted(set(fold.test.epoch))
    if len(epochs) == 1:
        if protocol.selection != "last":
            notes.append(f"fold {fold.name}: one epoch was predicted, so {protocol.selection!r} had nothing to choose")
        return fold
    chosen = epochs[-1]
    if protocol.selection != "last":
        side = fold.validation if protocol.selection == "validation" else fold.test
        if side is None:
            raise ValueError(
                f"{protocol.name} chooses the epoch on validation people, found no such rows; predict them too"
            )
        on_test = protocol.selection != "validation" and protocol.thresholds[0] == ON_TEST
        chosen = max(epochs, key=lambda epoch: _mean_f1(side.at(epoch), protocol, tune=on_test))
    validation = None if fold.validation is None else fold.validation.at(chosen)
    return _Fold(fold.name, fold.test.at(chosen), validation)


def _mean_f1(side: _Side, protocol: Protocol, *, tune: bool) -> float:
    threshold = _tuned(side, protocol) if tune else 0.5
    counts = metrics.confusion(side.prob, side.label, threshold=threshold)
    value = metrics.mean_over_aus(f1_of(counts, undefined=protocol.undefined_f1)).value
    return -np.inf if np.isnan(value) else value


def _tuned(side: _Side, protocol: Protocol) -> np.ndarray:
    return tuned(side.prob, side.label, scope=protocol.threshold_scope)


def _thresholds(rule: str, fold: _Fold, protocol: Protocol) -> np.ndarray:
    if rule == "0.5":
        return np.full(len(protocol.aus), 0.5)
    return _tuned(fold.validation if rule == "validation" else fold.test, protocol)


def _with_threshold(rule: str, folds: list[_Fold], protocol: Protocol, resamples: int, seed: int) -> list[dict]:
    thresholds = [_thresholds(rule, fold, protocol) for fold in folds]
    decided = [  # one decision per frame, so that folds with different thresholds can be pooled
        fold.test._replace(prob=(fold.test.prob >= threshold).astype("float64"))
        for fold, threshold in zip(folds, thresholds, strict=True)
    ]

    def f1(prob, label):
        return f1_of(metrics.confusion(prob, label), undefined=protocol.undefined_f1)

    def resampled(side: _Side, number: int) -> np.ndarray | None:
        if protocol.undefined_f1 == "aunet":  # its repair looks at all AUs at once and has no sums over people
            return None
        drawn = _resampled(side, metrics.f1_per_au, resamples, seed + number)
        return np.nan_to_num(drawn, nan=0.0) if drawn is not None and protocol.undefined_f1 == "zero" else drawn

    rows = _averaged("f1", f1, folds, decided, resampled, thresholds)
    rows += _averaged("balanced_accuracy", balanced_accuracy_per_au, folds, decided, lambda *_: None, thresholds)
    return [{"rule": rule, **row} for row in rows]


def _without_threshold(
    metric: str, measure, folds: list[_Fold], protocol: Protocol, resamples: int, seed: int
) -> list[dict]:
    def resampled(side: _Side, number: int) -> np.ndarray | None:
        return _resampled(side, measure, resamples, seed + number) if metric == "auc" else None

    none = [np.full(len(protocol.aus), np.nan)] * len(folds)
    return [{"rule": "", **row} for row in _averaged(metric, measure, folds, [f.test for f in folds], resampled, none)]


def _resampled(side: _Side, measure, resamples: int, seed: int) -> np.ndarray | None:
    if not resamples or len(set(side.subject)) < 2:
        return None
    return metrics.resampled_scores(side.prob, side.label, side.subject, measure, resamples=resamples, seed=seed)


def _averaged(metric: str, measure, folds, sides: list[_Side], resampled, thresholds: list[np.ndarray]) -> list[dict]:
    """Rows of one metric: each fold, the mean of the folds, and all frames together."""
    pooled = _Side(*(np.concatenate(values) for values in zip(*sides, strict=True)))
    values = np.array([measure(side.prob, side.label) for side in sides])  # (F, A)
    draws = [resampled(side, number) for number, side in enumerate(sides)]
    mean_draws = None if any(d is None for d in draws) else _known_mean(np.stack(draws), 0)
    same = np.array(thresholds).T  # (A, F)
    one = np.array([row[0] if len(set(row)) == 1 else np.nan for row in same])
    groups = [
        ("fold", fold.name, value, np.isnan(value), draw, side, threshold)
        for fold, value, draw, side, threshold in zip(folds, values, draws, sides, thresholds, strict=True)
    ]
    groups.append(("per_fold_mean", "", _known_mean(values, 0), np.isnan(values).sum(0), mean_draws, pooled, one))
    whole = measure(pooled.prob, pooled.label)
    draw = draws[0] if len(sides) == 1 else resampled(pooled, len(sides))
    groups.append(("pooled", "", whole, np.isnan(whole), draw, pooled, one))
    return [row for group in groups for row in _rows(metric, *group)]


def _rows(metric, average, fold, value, undefined, draw, side: _Side, threshold) -> list[dict]:
    shared = {"average": average, "fold": fold, "metric": metric}
    positives, coded = (side.label == 1).sum(0), (~np.isnan(side.label)).sum(0)
    low, high = _interval(draw) if draw is not None else (np.full(len(value), np.nan),) * 2
    rows = [
        {**shared, "au": i, "value": value[i], "low": low[i], "high": high[i], "undefined": int(undefined[i]),
         "positives": int(positives[i]), "frames": int(coded[i]), "threshold": threshold[i]}
        for i in range(len(value))
    ]  # fmt: skip
    low, high = _interval(_known_mean(draw, 1)[:, None]) if draw is not None else ([np.nan], [np.nan])
    rows.append(
        {**shared, "au": None, "value": _known_mean(value, 0), "low": low[0], "high": high[0],
         "undefined": int(np.isnan(value).sum()), "positives": int(positives.sum()), "frames": len(side.label),
         "threshold": threshold[0] if len(set(threshold)) == 1 else np.nan}
    )  # fmt: skip
    return rows


def _known_mean(values: np.ndarray, axis: int) -> np.ndarray:
    known = ~np.isnan(values)
    count = known.sum(axis)
    return np.where(count > 0, np.where(known, values, 0).sum(axis) / np.maximum(count, 1), np.nan)


def _interval(draw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """2.5th and 97.5th percentile of each column, over the resamples that have a score."""
    ends = np.full((2, draw.shape[1]), np.nan)
    for column, drawn in enumerate(draw.T):
        known = drawn[~np.isnan(drawn)]
        if len(known):
            ends[:, column] = np.quantile(known, [0.025, 0.975])
    return ends[0], ends[1]


def _finished(rows: list[dict], protocol: Protocol, *, chosen_on_test: bool) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    numbers = dict(enumerate(protocol.aus))
    reported_rule = table["rule"].isin(["", *protocol.thresholds])
    return table.assign(
        protocol=protocol.name,
        au=table["au"].map(numbers).astype("Int64"),
        value=table["value"].astype("float64"),
        reported=reported_rule & table["average"].isin(["fold", *protocol.averages]),
        optimistic=(table["rule"] == ON_TEST) | chosen_on_test,
    )[
        ["protocol", "rule", "average", "fold", "au", "metric", "value", "low", "high", "undefined", "positives",
         "frames", "threshold", "reported", "optimistic"]
    ]  # fmt: skip
