import numpy as np
import pytest

from fau_utils.metrics import auc_per_au
from fau_utils.metrics.bootstrap import subject_weights
from fau_utils.metrics.landmarks import nme
from fau_utils.probes import Effort, Features, of_array, probe
from fau_utils.probes.scores import measure
from fau_utils.probes.targets import encoded, named

QUICK = Effort(hidden=64, batch_size=128)
KINDS = pytest.mark.parametrize("kind", ["linear", "mlp"])


def told(*, people=16, frames=25, width=32, seed=0) -> Features:
    """Features that tell the domain, one AU of two, a pose and where the landmarks are, but not the other AU."""
    rng = np.random.default_rng(seed)
    count = people * frames
    person = np.repeat(np.arange(people), frames)
    domain = person % 2
    intensity = rng.uniform(0, 5, (count, 2)).astype("float32")
    pose = rng.normal(0, 10, (count, 3))
    shape = rng.uniform(10, 54, (49, 2))
    shape[19:25], shape[25:31] = [20, 24], [44, 24]  # eyes 24 px apart
    shift = rng.normal(0, 3, (count, 1, 2))
    z = 0.3 * rng.normal(size=(count, width))
    z[:, 0] += domain
    z[:, 1] += intensity[:, 0]
    z[:, 2:4] += 0.1 * pose[:, :2]
    z[:, 5:7] += shift[:, 0]
    labels = (intensity >= 2).astype("float32")
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return Features(
        z=z.astype("float32"),
        subject=np.array([f"toy/P{k:03d}" for k in person]),
        clip=person,
        frame=np.tile(np.arange(frames), people),
        aus=(1, 12),
        labels=labels,
        intensity=intensity,
        landmarks=(shape + shift + 0.1 * rng.normal(size=(count, 49, 2))).astype("float32"),
        domain=domain,
        truths={"pose": pose, "glasses": np.where(domain == 1, "round", "none")},
    )


@pytest.fixture(scope="module")
def features():
    return told()


@KINDS
def test_domain_is_found_in_people_never_seen(features, kind):
    found = probe(features, target="domain", kind=kind, effort=QUICK)
    assert found.unit == "subject"
    assert len(found.units) == 4  # a quarter of the eight people of each domain
    assert found.value > 0.9
    assert found.chance == 0.5
    assert found.outputs == 2


@KINDS
def test_the_au_that_features_tell_is_found_and_the_other_is_not(features, kind):
    found = probe(features, target="au", kind=kind, effort=QUICK)
    assert list(found.scores) == ["auc", "f1"]
    assert found.main.each["AU1"] > 0.9
    assert abs(found.main.each["AU12"] - 0.5) < 0.15
    assert found.chance == 0.5
    positive = 0.6
    assert found.scores["f1"].chance == pytest.approx(2 * positive / (1 + positive), abs=0.05)  # says yes to everything
    assert abs(found.control - 0.5) < 0.15


@KINDS
def test_intensity_and_pose_are_regressed_one_output_by_one(features, kind):
    intensity = probe(features, target="intensity", kind=kind, effort=QUICK)
    assert intensity.main.each["AU1"] > 0.85
    assert intensity.main.each["AU12"] < 0.15
    assert intensity.value == pytest.approx(np.mean(list(intensity.main.each.values())))
    assert intensity.chance == 0
    pose = probe(features, target="pose", kind=kind, effort=QUICK)
    assert pose.main.each["yaw"] > 0.8
    assert pose.main.each["roll"] < 0.15
    assert pose.control < 0.1
    assert pose.scores["mae"].chance == pytest.approx(8, abs=1)  # of a normal with deviation 10: 10 * sqrt(2 / pi)
    assert pose.scores["mae"].each["yaw"] < 4


@KINDS
def test_landmarks_are_scored_by_their_error_where_less_is_better(features, kind):
    found = probe(features, target="landmarks", kind=kind, effort=QUICK)
    assert found.main.name == "nme"
    assert found.value < 0.06
    assert found.chance > 0.12
    assert found.control > 0.9 * found.chance
    assert found.above_chance(least=5).verdict == "supported"
    assert found.scores["r2"].value.value > 0.7


def test_words_are_classes_and_unknown_ones_are_left_out(features):
    words = probe(features, target="glasses")
    assert words.outputs == 2
    assert words.value == probe(features, target="domain").value
    some = features.truths["glasses"].astype(object)
    some[::3] = None
    found = probe(features, target=of_array(some, name="glasses"))
    assert found.train + found.validation + found.test == len(features) - len(some[::3])
    numbers, names = encoded(np.array([2.0, np.nan, 0.0]))
    assert numbers.tolist() == [1, -1, 0]
    assert names == ("0.0", "2.0")


def test_labels_that_are_not_coded_take_no_part(features):
    """Features of faces where an AU is unknown could say anything about it."""
    wild = features.labels.copy()
    unknown = np.isnan(wild[:, 0])
    only_first = wild[:, :1]
    poisoned = features.z.copy()
    poisoned[unknown] = 50
    one = probe(features, target=of_array(only_first, name="au1", task="labels"))
    other = probe(Features(**{**vars(features), "z": poisoned}), target=of_array(only_first, name="au1", task="labels"))
    assert one.value == other.value
    assert one.train + one.validation + one.test == (~unknown).sum()


@KINDS
def test_values_known_in_part_are_learnt_from_that_part(features, kind):
    pose = features.truths["pose"].copy()
    rng = np.random.default_rng(0)
    pose[rng.random(pose.shape) < 0.3] = np.nan
    found = probe(features.with_truths(pose=pose), target="pose", kind=kind, effort=QUICK)
    assert found.main.each["yaw"] > 0.75


def test_outputs_that_cannot_be_learnt_are_undefined_and_not_zero(features):
    labels = features.labels.copy()
    labels[:, 1] = np.where(np.isnan(labels[:, 1]), np.nan, 0)  # never seen
    one = Features(**{**vars(features), "labels": labels})
    found = probe(one, target="au")
    assert np.isnan(found.main.each["AU12"])
    assert found.main.value.undefined == 1
    assert found.value == found.main.each["AU1"]
    pose = np.where([True, False, False], np.nan, features.truths["pose"])
    for kind in ("linear", "mlp"):
        angles = probe(features.with_truths(pose=pose), target="pose", kind=kind, effort=QUICK)
        assert np.isnan(angles.main.each["yaw"])
        assert angles.main.each["pitch"] > 0.6
    with pytest.raises(ValueError, match=r"none of AU1, AU12 is known"):
        probe(Features(**{**vars(features), "labels": np.where(np.isnan(labels), labels, 0)}), target="au")


def test_intervals_are_over_people(features):
    """When everybody's frames are wrong by the same amount, many frames are no more sure than few."""
    target = named(features, "intensity")
    person = np.unique(features.subject, return_inverse=True)[1]
    out = target.table + np.random.default_rng(0).normal(size=(16, 1))[person]
    draw = {"resamples": 200, "seed": 0}
    people = measure(out, target.table, person, target, **draw)["mae"]
    frames = measure(out, target.table, np.arange(len(out)), target, **draw)["mae"]
    assert people.value == pytest.approx(frames.value)
    assert people.draws.std() > 3 * frames.draws.std()


def test_a_row_holds_what_a_table_needs(features):
    row = probe(features, target="au").row()
    named = {"target", "kind", "value", "low", "high", "chance", "control", "above_chance", "over", "converged", "f1"}
    assert named <= set(row)
    assert row["over"] == "4 held-out people"
    assert row["above_chance"] == "supported"


def test_scores_equal_those_of_the_metrics(features):
    """On predictions made by hand, with the package's own metrics."""
    rng = np.random.default_rng(0)
    unit = np.unique(features.subject, return_inverse=True)[1]
    out = rng.normal(size=(len(features), 2))
    found = measure(out, features.labels, unit, named(features, "au"), resamples=10, seed=0)
    assert found["auc"].each == pytest.approx(auc_per_au(out, features.labels))
    points = named(features, "landmarks")
    guess = points.table + rng.normal(size=points.table.shape)
    found = measure(guess, points.table, unit, points, resamples=10, seed=0)
    assert found["nme"].value == pytest.approx(nme(guess.reshape(-1, 49, 2), features.landmarks).value)
    values = named(features, "intensity")
    guess = values.table + rng.normal(size=values.table.shape)
    found = measure(guess, values.table, unit, values, resamples=10, seed=0)
    spread = ((values.table - values.table.mean(0)) ** 2).sum(0)
    assert found["r2"].each == pytest.approx(1 - ((guess - values.table) ** 2).sum(0) / spread)
    # a resample by hand: the first row of weights says how often each person is taken
    often = subject_weights(16, resamples=10, seed=0)[0].long().numpy()
    rows = np.repeat(np.arange(len(unit)), often[unit])
    y, p = values.table[rows], guess[rows]
    by_hand = 1 - ((p - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
    assert found["r2"].draws[0] == pytest.approx(by_hand.mean())
