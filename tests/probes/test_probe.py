import logging

import numpy as np
import pytest

from fau_utils.probes import Effort, Features, difference, probe
from fau_utils.probes.division import divide, shuffled
from fau_utils.probes.targets import named, of_array

QUICK = Effort(hidden=64, batch_size=128)


def faces(people=10, clips=6, frames=5, *, width=24, seed=0, **known) -> Features:
    """Noise features of some people; every clip has its own number, as in an image set."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(np.arange(people * clips), frames)
    return Features(
        z=rng.normal(size=(len(clip), width)).astype("float32"),
        subject=np.array([f"toy/P{k:03d}" for k in clip // clips]),
        clip=clip,
        frame=np.tile(np.arange(frames), people * clips),
        **known,
    )


def with_z(features: Features, z: np.ndarray) -> Features:
    return Features(**{**vars(features), "z": z.astype("float32")})


def person(features: Features) -> np.ndarray:
    return np.unique(features.subject, return_inverse=True)[1]


@pytest.fixture(scope="module")
def planted():
    """Each person has an offset in feature space."""
    plain = faces(seed=1)
    return with_z(plain, plain.z + 2 * np.random.default_rng(2).normal(size=(10, 24))[person(plain)])


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_planted_identity_is_found(planted, kind):
    found = probe(planted, target="identity", kind=kind, effort=QUICK)
    assert found.value > 0.9
    assert found.chance == pytest.approx(0.1)
    assert found.control < 0.35
    assert found.converged
    assert found.above_chance(least=20).verdict == "supported"
    assert set(found.scores) == {"balanced accuracy", "accuracy"}
    assert len(found.units) == 10 * 2  # of six clips of each person, two (a quarter, rounded) are held out
    assert found.unit == "clip"


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_noise_is_at_chance_and_the_control_agrees(kind):
    found = probe(faces(clips=12), target="identity", kind=kind, effort=QUICK)
    assert found.main.value.low <= 0.1 + 0.05
    assert found.value < 0.2
    assert abs(found.value - found.control) < 0.1
    assert found.above_chance(least=20).verdict == "not supported"


def test_identity_hidden_from_a_line_is_found_by_the_network():
    """XOR: two people, told apart by whether two signs agree. No hyperplane divides them."""
    rng = np.random.default_rng(0)
    features = faces(people=2, clips=80, frames=4, width=4)
    sign = rng.choice([-1.0, 1.0], size=160)
    z = features.z * 0.3
    z[:, 0] += sign[features.clip]
    z[:, 1] += sign[features.clip] * np.where(person(features) == 1, 1, -1)
    hidden = with_z(features, z)
    line, network = (probe(hidden, kind=kind, effort=QUICK) for kind in ("linear", "mlp"))
    assert line.converged
    assert line.value < 0.7
    assert network.value > 0.95
    assert difference(network, line).low > 0.2


def test_a_random_frame_split_leaks_and_the_held_out_clips_do_not(caplog):
    """Frames of a clip are all but equal, and features know the clip, not the person."""
    features = faces(people=8, clips=8, frames=12, width=96)
    rng = np.random.default_rng(0)
    alike = with_z(features, rng.normal(size=(64, 96))[features.clip] + 0.01 * features.z)
    honest = probe(alike, target="identity")
    with caplog.at_level(logging.WARNING):
        leaky = probe(alike, target="identity", held_out="random_frames")
    assert "random_frames" in caplog.text
    assert leaky.value > 0.95
    assert honest.value < 0.35
    assert leaky.control > 0.95  # whole clips were given to the wrong person: only a leak can read that
    assert leaky.above_chance(least=10).verdict == "not supported"
    assert "LEAKY" in leaky.over


def test_no_unit_is_in_two_parts(planted):
    for name, held in (("identity", "clip"), ("au", "subject")):
        labelled = Features(**{**vars(planted), "aus": (1,), "labels": (planted.z[:, :1] > 0).astype("float32")})
        parts = divide(labelled, named(labelled, name), seed=3)
        sets = [set(parts.unit[rows].tolist()) for rows in (parts.train, parts.validation, parts.test)]
        assert parts.held_out == held
        assert all(sets)
        assert not sets[0] & sets[1]
        assert not sets[2] & (sets[0] | sets[1])
        assert sum(map(len, (parts.train, parts.validation, parts.test))) == len(planted)


def test_nothing_of_the_test_faces_reaches_the_standardisation(planted):
    parts = divide(planted, named(planted, "identity"), seed=0)
    moved = planted.z.copy()
    moved[parts.test] = 1e6 * np.random.default_rng(0).normal(size=moved[parts.test].shape)
    found, again = probe(planted), probe(with_z(planted, moved))
    assert again.penalty == found.penalty
    assert again.gradient == found.gradient  # training saw the very same numbers
    assert again.value < found.value


def test_unknown_faces_take_part_in_nothing(planted):
    rng = np.random.default_rng(0)
    domain = (person(planted) % 2).astype(np.int64)
    signal = with_z(planted, planted.z + 3 * domain[:, None])
    unknown = rng.random(len(planted)) < 0.3
    some = probe(signal, target=of_array(np.where(unknown, -1, domain), name="domain"))
    assert some.train + some.validation + some.test == (~unknown).sum()
    poisoned = signal.z.copy()
    poisoned[unknown] = 1e4
    again = probe(with_z(signal, poisoned), target=of_array(np.where(unknown, -1, domain), name="domain"))
    assert again.value == some.value
    assert again.gradient == some.gradient


def test_one_clip_of_a_person_is_an_error_that_names_the_person(planted):
    single = planted.select((person(planted) != 3) | (planted.clip == planted.clip[person(planted) == 3][0]))
    with pytest.raises(ValueError, match=r"two clips of each class, found one only of toy/P003.*with_clips_cut"):
        probe(single)
    with pytest.raises(ValueError, match="three clips"):
        probe(faces(clips=2))


def test_a_long_video_can_be_cut_into_clips_with_gaps():
    cut = faces(people=3, clips=1, frames=40).with_clips_cut(4, gap=2)
    assert len(np.unique(cut.clip)) == 12
    first = cut.select(cut.subject == "toy/P000")
    assert first.frame[first.clip == first.clip[0]].tolist() == list(range(10))
    assert [first.frame[first.clip == c].min() for c in np.unique(first.clip)] == [0, 12, 22, 32]
    assert probe(cut).unit == "clip"


def test_shuffling_moves_whole_clips_and_keeps_the_counts(planted):
    target = named(planted, "identity")
    wrong = shuffled(target, planted, seed=0)
    assert (wrong.values != target.values).mean() > 0.5
    for clip in np.unique(planted.clip):
        assert len(np.unique(wrong.values[planted.clip == clip])) == 1
    assert np.array_equal(np.bincount(wrong.values), np.bincount(target.values))


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_the_same_seed_gives_the_same_result_and_another_seed_another(planted, kind):
    one, same, other = (probe(planted, kind=kind, seed=seed, effort=QUICK) for seed in (0, 0, 1))
    assert one.row() == same.row() or kind == "mlp"  # a network's gradient is nan, which equals nothing
    assert one.main == same.main
    assert np.array_equal(one.main.draws, same.main.draws)
    assert one.units != other.units


def test_cut_short_it_says_so(planted, caplog):
    with caplog.at_level(logging.WARNING):
        line = probe(planted, effort=Effort(iterations=2))
        network = probe(planted, kind="mlp", effort=Effort(epochs=2))
    assert not line.converged
    assert not network.converged
    assert "not converged after" in caplog.text
    assert "still got better after 2 epochs" in caplog.text
    caplog.clear()
    assert probe(planted).converged
    assert not caplog.records


def test_results_on_other_units_are_not_compared(planted):
    with pytest.raises(ValueError, match="same held-out units"):
        difference(probe(planted, seed=0), probe(planted, seed=1))


def test_unknown_names_are_refused_with_those_that_are_there(planted):
    with pytest.raises(ValueError, match=r"know no 'pose'; they know identity"):
        probe(planted, target="pose")
    with pytest.raises(ValueError, match="'linear' or 'mlp'"):
        probe(planted, kind="deep")
    with pytest.raises(ValueError, match="300 rows"):
        probe(planted, target=np.zeros(7, int))
    with pytest.raises(ValueError, match="two classes"):
        probe(planted, target=np.zeros(300, int))


def test_features_that_are_not_finite_are_refused():
    z = np.zeros((4, 2), "float32")
    z[1, 1] = np.nan
    rows = {"subject": np.array(["toy/A"] * 4), "clip": np.arange(4), "frame": np.arange(4)}
    with pytest.raises(ValueError, match="1 of 4 faces"):
        Features(z=z, **rows)
