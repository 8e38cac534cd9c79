import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from fau_utils import metrics
from fau_utils.data.conventions import named, ours
from fau_utils.data.folds import partition
from fau_utils.frames import Frames
from fau_utils.metrics.thresholds import PERCENT, tuned
from fau_utils.results.score import f1_of, score
from fau_utils.training import Predictions

AUS = ours("bp4d").aus
TEST = "test_for_demonstration_only"


def predicted(people, *, seed=0, clips=2, frames=6, aus=AUS, unknown=0.0, skill=1.5, **columns):
    generator = np.random.default_rng(seed)
    rows = [(s, f"T{c}", n) for s in people for c in range(clips) for n in range(frames)]
    label = (generator.random((len(rows), len(aus))) < np.linspace(0.1, 0.6, len(aus))).astype("float64")
    prob = 1 / (1 + np.exp(1.2 - skill * label - generator.standard_normal(label.shape)))
    label[generator.random(label.shape) < unknown] = np.nan
    table = pd.DataFrame(rows, columns=["subject", "clip", "frame"]).assign(dataset="bp4d", camera="", **columns)
    values = {f"prob_AU{a}": prob[:, i] for i, a in enumerate(aus)}
    values |= {f"label_AU{a}": label[:, i] for i, a in enumerate(aus)}
    return pd.concat([table, pd.DataFrame(values)], axis=1)


def everyone():
    return [s for part in partition("bp4d-3") for s in part.subjects]


def cell(result, *, rule="0.5", average="pooled", au=None, metric="f1", fold=""):
    t = result.table
    rows = t[(t["rule"] == rule) & (t["average"] == average) & (t["metric"] == metric) & (t["fold"] == fold)]
    rows = rows[rows["au"].isna() if au is None else rows["au"] == au]
    assert len(rows) == 1
    return rows.iloc[0]


def arrays(table, aus=AUS):
    return (table[[f"{kind}_AU{a}" for a in aus]].to_numpy() for kind in ("prob", "label"))


def test_fold_pooled_and_mean_scores_agree_with_scikit_learn():
    table = predicted(everyone())
    result = score(table, named("jaa", dataset="bp4d"), resamples=0)
    prob, label = arrays(table)
    for i, au in enumerate(AUS):
        assert cell(result, au=au)["value"] == pytest.approx(f1_score(label[:, i], prob[:, i] >= 0.5), abs=1e-12)
        auc = cell(result, au=au, metric="auc", rule="")["value"]
        assert auc == pytest.approx(roc_auc_score(label[:, i], prob[:, i]), abs=1e-12)
    folds = []
    for part in partition("bp4d-3"):
        rows = table["subject"].isin(part.subjects)
        prob, label = arrays(table[rows])
        folds.append([f1_score(label[:, i], prob[:, i] >= 0.5) for i in range(len(AUS))])
        assert cell(result, average="fold", fold=part.hash)["value"] == pytest.approx(np.mean(folds[-1]), abs=1e-12)
    assert cell(result, average="per_fold_mean")["value"] == pytest.approx(np.mean(folds), abs=1e-12)
    assert cell(result, average="per_fold_mean", au=AUS[3])["value"] == pytest.approx(np.mean(folds, 0)[3], abs=1e-12)
    assert result.headline["value"] == cell(result, average="per_fold_mean")["value"]
    assert cell(result)["value"] != pytest.approx(np.mean(folds), abs=1e-4)


def with_validation(seed=0):
    parts = []
    for number, fold in enumerate(ours("bp4d").folds):
        parts.append(predicted(fold.test, seed=seed + number, fold=fold.hash, split="test"))
        parts.append(predicted(fold.validation, seed=seed + 10 + number, fold=fold.hash, split="validation"))
    return pd.concat(parts, ignore_index=True)


def test_validation_thresholds_come_from_the_validation_people_of_the_same_fold():
    table, protocol = with_validation(), ours("bp4d")
    result = score(table, protocol, resamples=0)
    for fold in protocol.folds:
        mine = table[table["fold"] == fold.hash]
        chosen = tuned(*arrays(mine[mine["split"] == "validation"]))
        expected = metrics.f1_per_au(*arrays(mine[mine["split"] == "test"]), threshold=chosen)
        got = [cell(result, rule="validation", average="fold", fold=fold.hash, au=au) for au in AUS]
        np.testing.assert_allclose([row["value"] for row in got], expected, atol=1e-12)
        np.testing.assert_array_equal([row["threshold"] for row in got], chosen)


def test_choosing_the_threshold_on_the_test_people_flatters_and_is_marked():
    result = score(with_validation(), ours("bp4d"), resamples=0)
    means = {rule: cell(result, rule=rule, average="per_fold_mean") for rule in ("0.5", "validation", TEST)}
    assert means[TEST]["value"] > max(means["0.5"]["value"], means["validation"]["value"])
    assert {rule: bool(row["optimistic"]) for rule, row in means.items()} == {
        "0.5": False,
        "validation": False,
        TEST: True,
    }
    assert {rule: bool(row["reported"]) for rule, row in means.items()} == {
        "0.5": True,
        "validation": True,
        TEST: False,
    }
    assert set(result.per_au().index) == {*(f"AU{a}" for a in AUS), "mean"}


def test_fmae_takes_one_threshold_for_all_aus_of_a_fold():
    table = predicted(everyone())
    result = score(table, named("fmae", dataset="bp4d"), resamples=0)
    for part in partition("bp4d-3"):
        prob, label = arrays(table[table["subject"].isin(part.subjects)])
        best = max(metrics.f1_per_au(prob, label, threshold=t).mean() for t in PERCENT)
        row = cell(result, rule=TEST, average="fold", fold=part.hash)
        assert row["value"] == pytest.approx(best, abs=1e-12)
        assert row["threshold"] in PERCENT
    assert result.headline["rule"] == TEST
    assert result.headline["optimistic"]


def test_the_same_predictions_score_differently_by_convention_alone():
    table = predicted(everyone(), unknown=0.1)
    names = ("fmae", "megraph", "jaa", "fgnet", "aunet")
    base = named("jaa", dataset="bp4d")
    values = {name: score(table, named(name, dataset="bp4d"), resamples=0).headline["value"] for name in names}
    assert values["fmae"] != values["jaa"] == values["fgnet"]
    unknown = {
        policy: score(table, dataclasses.replace(base, unknown=policy), resamples=0).headline["value"]
        for policy in ("mask", "negative", "drop_frame")
    }
    assert len(set(unknown.values())) == 3
    assert unknown["negative"] < unknown["mask"]


def test_unknown_labels_are_counted_out_of_the_frames():
    table = predicted(everyone(), unknown=0.2)
    _, label = arrays(table)
    row = cell(score(table, ours("bp4d"), resamples=0), au=AUS[0])
    assert row["frames"] == (~np.isnan(label[:, 0])).sum()
    assert row["positives"] == np.nansum(label[:, 0])
    negative = dataclasses.replace(ours("bp4d"), unknown="negative")
    assert cell(score(table, negative, resamples=0), au=AUS[0])["frames"] == len(table)


def rare(convention):
    """AU1 never present and never detected in P1, present elsewhere."""
    table = predicted(everyone())
    there = table["subject"].isin(partition("bp4d-3")[0].subjects)
    table.loc[there, ["label_AU1", "prob_AU1"]] = 0.0
    protocol = dataclasses.replace(named("jaa", dataset="bp4d"), undefined_f1=convention)
    return score(table, protocol, resamples=0)


def test_an_au_without_anything_in_a_fold_is_left_out_counted_or_zero_by_convention():
    fold = partition("bp4d-3")[0].hash
    rows = {rule: cell(rare(rule), average="fold", fold=fold, au=1) for rule in ("nan", "zero", "aunet")}
    assert np.isnan(rows["nan"]["value"])
    assert rows["zero"]["value"] == 0
    assert 0 < rows["aunet"]["value"] < 0.05
    means = {rule: cell(rare(rule), average="fold", fold=fold) for rule in rows}
    assert means["nan"]["undefined"] == 1
    assert means["zero"]["value"] == pytest.approx(means["nan"]["value"] * 11 / 12)
    assert means["aunet"]["value"] != pytest.approx(means["zero"]["value"])
    assert cell(rare("nan"), average="per_fold_mean", au=1)["undefined"] == 1


def test_aunets_repair_changes_every_au_when_one_has_no_positives():
    counts = metrics.Counts(*np.array([[5.0, 0.0], [1.0, 0.0], [2.0, 0.0], [10.0, 18.0]]))
    plain, repaired = f1_of(counts), f1_of(counts, undefined="aunet")
    assert plain[0] == pytest.approx(10 / 13)
    assert repaired[0] == pytest.approx(2 * 5.01 / (8 + 7))  # 7 + 1 positives, 6 + 1 detections
    whole = metrics.Counts(*np.array([[5.0, 1.0], [1.0, 1.0], [2.0, 1.0], [10.0, 15.0]]))
    np.testing.assert_allclose(f1_of(whole, undefined="aunet"), f1_of(whole))


@pytest.mark.parametrize("rule", ["last", "validation", "best_on_test_for_demonstration_only"])
def test_the_epoch_is_chosen_as_the_protocol_says(rule):
    protocol = dataclasses.replace(ours("bp4d"), selection=rule, folds=ours("bp4d").folds[:1])
    fold = protocol.folds[0]
    skills = {0: (1.0, 3.0), 1: (3.0, 1.0), 2: (0.0, 0.0)}  # validation, test
    table = pd.concat(
        [
            predicted(people, skill=skills[epoch][side], seed=epoch, fold=fold.hash, split=split, epoch=epoch)
            for epoch in skills
            for side, (split, people) in enumerate((("validation", fold.validation), ("test", fold.test)))
        ],
        ignore_index=True,
    )
    expected = {"last": 2, "validation": 1, "best_on_test_for_demonstration_only": 0}[rule]
    rows = table[(table["epoch"] == expected) & (table["split"] == "test")]
    result = score(table, protocol, resamples=0)
    row = cell(result, average="fold", fold=fold.hash)
    assert row["value"] == pytest.approx(metrics.f1_per_au(*arrays(rows)).mean(), abs=1e-12)
    assert bool(row["optimistic"]) == (rule == "best_on_test_for_demonstration_only")


def test_every_score_has_an_interval_over_people_around_it():
    table = predicted(everyone())
    result = score(table, ours("bp4d"), resamples=200)
    for average in ("per_fold_mean", "pooled"):
        row = cell(result, average=average)
        assert row["low"] < row["value"] < row["high"]
    pooled = cell(result)
    prob, label = arrays(table)
    direct = metrics.subject_bootstrap(prob, label, table["subject"], metrics.f1_per_au, resamples=200, seed=3)
    assert (pooled["low"], pooled["high"]) == (direct.low, direct.high)
    auc = cell(result, metric="auc", rule="", au=AUS[0])
    assert auc["low"] < auc["value"] < auc["high"]


def test_predictions_of_a_run_and_their_table_score_the_same():
    table = predicted(everyone())
    prob, label = arrays(table)
    keys = table[["dataset", "subject", "clip", "frame", "camera"]]
    run = Predictions(frames=Frames(keys), aus=AUS, prob=prob, label=label)
    protocol = ours("bp4d")
    pd.testing.assert_frame_equal(
        score(run, protocol, resamples=0).table, score(run.table(), protocol, resamples=0).table
    )


def test_a_protocol_without_folds_scores_a_run_as_it_was_split():
    table = predicted([f"synth/S{i}" for i in range(6)], aus=(1, 12)).assign(dataset="synth")
    result = score(table, ours("synth", aus=(1, 12)), resamples=0)
    assert (
        cell(result)["value"] == cell(result, average="fold")["value"] == cell(result, average="per_fold_mean")["value"]
    )
    assert any("no validation rows" in note for note in result.notes)


def test_intensities_are_cut_by_the_protocol():
    protocol = ours("disfa")
    people = [s for part in partition("disfa-3") for s in part.subjects]
    table = predicted(people, aus=protocol.aus).assign(dataset="disfa")
    names = [f"label_AU{a}" for a in protocol.aus]
    binary = score(table, protocol, resamples=0).headline["value"]
    table[names] = table[names] * 2 + (table[names] == 0)  # 0 -> 1, below the cut; 1 -> 2, at it
    assert score(table, protocol, resamples=0).headline["value"] == binary
    assert score(table, dataclasses.replace(protocol, cut=1.0), resamples=0).headline["value"] != binary


def test_missing_folds_and_people_are_noted():
    part = partition("bp4d-3")[0]
    notes = score(predicted(part.subjects[:5]), named("jaa", dataset="bp4d"), resamples=0).notes
    assert any("5 of 14 test people" in note for note in notes)
    assert any("1 of 3 folds" in note for note in notes)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.assign(dataset="disfa"), "is for bp4d"),
        (lambda t: t.drop(columns="prob_AU12"), "AU12"),
        (lambda t: t.assign(subject="bp4d/F099"), "F099|twice"),
        (lambda t: pd.concat([t, t]), "twice"),
        (lambda t: t.assign(split="dev"), "dev"),
        (lambda t: t.assign(fold="1"), "is none of"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_reason(spoil, message):
    with pytest.raises(ValueError, match=message):
        score(spoil(predicted(everyone())), ours("bp4d"), resamples=0)


def test_another_partition_is_named():
    protocol = dataclasses.replace(ours("bp4d"), folds=ours("bp4d").folds[1:])
    part = partition("bp4d-3")[0]
    with pytest.raises(ValueError, match="bp4d-3 P1"):
        score(predicted(part.subjects, fold=part.hash), protocol, resamples=0)


def test_validation_rows_without_their_fold_are_refused():
    table = with_validation().drop(columns="fold")
    table = table.drop_duplicates(["subject", "clip", "frame", "split"])
    with pytest.raises(ValueError, match="column 'fold'"):
        score(table, ours("bp4d"), resamples=0)
