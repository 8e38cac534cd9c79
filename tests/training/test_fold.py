import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fau_utils.data.conventions import ours
from fau_utils.data.folds import SubjectLeak
from fau_utils.data.images import ImageSet
from fau_utils.data.protocols import Protocol
from fau_utils.frames import Frames
from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.metrics.thresholds import tuned
from fau_utils.training.budget import Budget
from fau_utils.training.fold import RECORD, SealedFold, SealedTest, SealError, run_fold

TINY = Budget("tiny", views=64, batch_size=16, warmup=0.0)


class Linear(Method):
    """Learns from mean colours; notes which people it was asked about, and may break down."""

    def __init__(self, train, *, seed=0, fails_on=None):
        super().__init__()
        self.aus, self.asked, self.fails_on = train.aus, [], fails_on
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.linear = nn.Linear(3, len(self.aus))

    def loss(self, batch):
        self.asked.append(("loss", len(batch)))
        return Losses(masked_bce(self.linear(batch.image.mean((2, 3))), batch.au))

    def predict(self, batch):
        if len(batch) == self.fails_on:
            raise MemoryError("no room")
        self.asked.append(("predict", len(batch)))
        return self.linear(batch.image.mean((2, 3))).sigmoid()

    def embed(self, batch):
        return batch.image.mean((2, 3))


@pytest.fixture
def sides(blobs):
    """Of 40, 24 and 14 faces, so that a batch tells its side."""
    return blobs(5, 8, size=8), blobs(3, 8, size=8, first=10, seed=1), blobs(2, 7, size=8, first=20, seed=2)


def run(fold, *, build=Linear, budget=TINY, **options):
    return run_fold(build, fold, **{"budget": budget, "device": "cpu", "progress": False, "choose": None, **options})


def test_the_test_faces_are_predicted_once_and_after_everything_else(sides):
    outcome = run(SealedFold(*sides), budget=TINY.replace(eval_every=16))
    asked = outcome.fitted.method.asked
    assert [what for what in asked if what[1] == 14] == [("predict", 14)]
    assert asked[-1] == ("predict", 14)
    assert ("predict", 24) in asked
    assert outcome.predictions.frames.subjects == ("blobs/P020", "blobs/P021")
    np.testing.assert_array_equal(outcome.predictions.label, sides[2].labels.numpy())


def test_thresholds_are_tuned_on_the_validation_people(sides):
    outcome = run(SealedFold(*sides))
    np.testing.assert_array_equal(outcome.validation.label, sides[1].labels.numpy())
    np.testing.assert_array_equal(outcome.thresholds, tuned(outcome.validation.prob, outcome.validation.label))
    assert outcome.thresholds.shape == (3,)


@pytest.mark.parametrize("choose", ["val_f1", "val_auc"])
def test_validation_chooses_the_weights_that_are_tested(sides, choose):
    outcome = run(SealedFold(*sides), choose=choose, budget=TINY.replace(lr=0.5))
    looks = outcome.fitted.history[choose].dropna()
    assert 4 <= len(looks) <= 10  # a step each, though the budget does not say how often
    said = outcome.validation.scores()
    assert said[choose.removeprefix("val_")].mean() == pytest.approx(looks.max(), abs=1e-6)


def test_a_run_that_asks_again_is_refused(sides):
    fold = SealedFold(*sides)
    run(fold)
    with pytest.raises(SealError, match="predicted these 14 test faces before; a second look would be a choice"):
        run(fold)


def test_other_seeds_and_methods_are_other_runs(sides):
    fold = SealedFold(*sides)
    run(fold, seed=0)
    run(fold, seed=1)
    run(fold, build=lambda train: Linear(train, seed=5))
    run(fold, budget=TINY.replace(lr=0.1))


def test_the_opening_is_on_the_disk_before_the_first_prediction(sides, tmp_path):
    class Looks(Linear):
        found = None

        def predict(self, batch):
            if len(batch) == 14:
                Looks.found = json.loads((tmp_path / "run" / RECORD).read_text())
            return super().predict(batch)

    fold = SealedFold(*sides)
    run(fold, build=Looks, folder=tmp_path / "run")
    assert Looks.found["fold"]["test_people"] == ["blobs/P020", "blobs/P021"]
    assert Looks.found["fold"]["hash"] == fold.hash
    assert Looks.found["fold"]["validation_faces"] == 24


def test_a_run_that_crashed_after_the_look_may_open_again_and_says_the_same(sides, tmp_path):
    with pytest.raises(MemoryError):
        run(SealedFold(*sides), build=lambda train: Linear(train, fails_on=14), folder=tmp_path)
    opened = (tmp_path / RECORD).read_text()
    again = run(SealedFold(*sides), folder=tmp_path)  # sealed anew, as in another process
    assert (tmp_path / RECORD).read_text() == opened
    np.testing.assert_array_equal(run(SealedFold(*sides)).predictions.prob, again.predictions.prob)


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"budget": TINY.replace(lr=0.1)}, {"choose": "val_f1"}, {"augment": False}],
    ids=["seed", "budget", "choice", "augmentation"],
)  # fmt: skip
def test_other_settings_after_the_look_are_refused_before_training(sides, tmp_path, changed):
    run(SealedFold(*sides), folder=tmp_path)
    built = []

    def build(train):
        built.append(Linear(train))
        return built[0]

    with pytest.raises(SealError, match=r"settings or data differ.*give the new run a folder of its own"):
        run(SealedFold(*sides), build=build, folder=tmp_path, **changed)
    assert built[0].asked == []


def test_other_data_after_the_look_are_refused(sides, tmp_path):
    run(SealedFold(*sides), folder=tmp_path)
    train, val, test = sides
    relabelled = dataclasses.replace(train, labels=1 - train.labels)
    for changed in ((train.subset(range(39)), val, test), (relabelled, val, test), (train, val, test.subset(range(8)))):
        with pytest.raises(SealError, match="settings or data differ"):
            run(SealedFold(*changed), folder=tmp_path)


def test_other_weights_after_the_look_are_refused_at_the_seal(sides, tmp_path):
    run(SealedFold(*sides), folder=tmp_path)
    said = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps({**said, "weights": "0" * 16}))

    def build(train):
        build.method = Linear(train)
        return build.method

    with pytest.raises(SealError, match=r"with other weights .*; resume from its checkpoints"):
        run(SealedFold(*sides), build=build, folder=tmp_path)
    assert ("predict", 14) not in build.method.asked


def test_a_record_that_cannot_be_read_counts_as_a_look(sides, tmp_path):
    (tmp_path / RECORD).write_text("{")
    with pytest.raises(SealError, match=r"cannot be read .*begin in a new folder"):
        run(SealedFold(*sides), folder=tmp_path)


def test_a_person_on_two_sides_is_refused(blobs, sides):
    train, val, test = sides
    for changed in ((train, blobs(2, 4, size=8), test), (train, val, blobs(2, 4, size=8)), (train, test, test)):
        with pytest.raises(SubjectLeak):
            SealedFold(*changed)


def test_sides_with_other_aus_or_without_faces_are_refused(blobs, sides):
    train, val, test = sides
    with pytest.raises(ValueError, match=r"expected AUs \(1, 4, 12\) on every side, found \(4, 1, 12\) in validation"):
        SealedFold(train, blobs(3, 8, size=8, aus=(4, 1, 12), first=50), test)
    with pytest.raises(ValueError, match="faces on the validation side, found none"):
        SealedFold(train, val.subset([]), test)


def test_subject_indices_are_those_of_the_training_people(sides):
    train, val, test = sides
    fold = SealedFold(train.subset(train.subject >= 2), val, test)
    assert fold.train.subjects == ("blobs/P002", "blobs/P003", "blobs/P004")
    assert set(fold.train.subject.tolist()) == {0, 1, 2}
    assert set(fold.val.subject.tolist()) == {-1}


def test_a_sealed_test_shows_only_what_it_is_made_of(sides):
    sealed = SealedTest(sides[2])
    assert repr(sealed) == "SealedTest(14 faces of 2 people)"
    assert len(sealed.open("a")) == 14
    assert not any(isinstance(getattr(sealed, name), ImageSet) for name in dir(sealed) if not name.startswith("_"))


def graded(people, frames=6):
    """Faces with intensities, as DISFA has them."""
    subject = np.repeat(people, frames)
    table = pd.DataFrame(
        {
            "dataset": [name.split("/")[0] for name in subject],
            "subject": subject,
            "clip": "C",
            "frame": np.tile(np.arange(frames), len(people)),
            "AU1": np.tile([0, 1, 2, 3, None, 5], len(people)),
            "AU12": np.tile([5, 4, 3, 2, 1, 0], len(people)),
        }
    )
    images = torch.zeros(len(table), 3, 8, 8, dtype=torch.uint8)
    return ImageSet.from_frames(images, frames=Frames(table, scale="intensity"), cut=1.0)


def test_a_protocol_divides_the_people_and_reads_the_labels():
    data = graded([f"lab/P{i}" for i in range(9)])
    protocol = dataclasses.replace(
        ours("lab", subjects=data.frames.subjects, aus=(12, 1), folds=3), cut=2.0, unknown="negative"
    )
    fold = SealedFold.by_protocol(data, protocol, fold=protocol.folds[1].hash)
    assert fold.test.subjects == protocol.folds[1].test
    assert fold.val.frames.subjects == protocol.folds[1].validation
    assert fold.train.frames.subjects == protocol.folds[1].train
    assert fold.protocol == protocol.hash
    assert fold.train.aus == (12, 1)
    assert fold.train.labels[:6].tolist() == [[1, 0], [1, 0], [1, 1], [1, 1], [0, 0], [0, 1]]
    assert fold.train.intensity[0].tolist() == [5, 0]


def test_validation_people_come_from_the_training_folds_where_a_protocol_names_none():
    data = graded([f"lab/P{i}" for i in range(10)])
    folds = tuple(dataclasses.replace(f, train=f.train + f.validation, validation=()) for f in
                  ours("lab", subjects=data.frames.subjects, aus=(1,), folds=2).folds)  # fmt: skip
    protocol = Protocol(name="published", dataset="lab", aus=(1,), folds=folds, cut=2.0)
    fold = SealedFold.by_protocol(data, protocol, fold=folds[0])
    assert fold.test.subjects == folds[0].test
    assert len(fold.val.frames.subjects) == 1
    assert sorted(fold.val.frames.subjects + fold.train.frames.subjects) == list(folds[0].train)


def test_a_person_of_two_datasets_is_held_out_under_both_names():
    names = [f"{dataset}/SN{i:03d}" for dataset in ("disfa", "disfaplus") for i in range(1, 9)]
    for seed in range(5):
        fold = SealedFold.by_holdout(graded(names), seed=seed)
        assert len(fold.test.subjects) == 4
        assert len({name.split("/")[1] for name in fold.test.subjects}) == 2
        assert len(fold.train) + len(fold.val) + len(fold.test) == 96
