"""Entries of a comparison: the weights that made the run, frozen learners with a probe, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest

from fau_utils.results import entrant, frozen
from fau_utils.results.job import Job
from fau_utils.results.run import Run
from fau_utils.training import Predictions, predict

SMALL = "synth:subjects=6,frames=8"
CLIPS = "synth:subjects=6,frames=14,clip_length=7"


def _job(tmp_path, method="landmarks", **changes):
    words = {"budget": "smoke", "settings": ("views=64", "batch_size=32"), "data": SMALL}
    return Job(method=method, out=tmp_path / "runs", **{**words, **changes})


def test_an_entrant_has_the_weights_that_its_run_was_made_with(tmp_path):
    entry = entrant.enter(_job(tmp_path))
    again = predict(entry.learner, entry.fold.val, device="cpu")
    assert np.allclose(again.prob, entry.run.validation().prob, atol=1e-6)
    said = entrant.costs(entry, batch_size=8)
    assert said["parameters"] == sum(p.numel() for p in entry.learner.parameters())
    assert said["images_per_second"] > 0
    assert 0 < said["cpu_seconds"] < 60


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    job = _job(tmp_path_factory.mktemp("clp"), "clp", settings=("views=28", "batch_size=14"))
    return job, entrant.enter(job, pretrain=CLIPS)


def test_a_learner_without_labels_is_probed_and_its_run_kept(probed):
    job, entry = probed
    run = entry.run
    assert run.path.parent == job.out
    assert run.predictions().prob.shape == (len(entry.fold.test), 12)
    assert len(run.validation()) == len(entry.fold.val)
    assert len(run.history()) > 0
    assert run.record["views"] == 28
    assert entrant.costs(entry, batch_size=8)["images_per_second"] > 0


def test_a_finished_probe_is_left_as_it_is(probed, monkeypatch):
    job, entry = probed
    monkeypatch.setattr(frozen, "probed", None)  # would be called
    assert frozen.train(job, faces=CLIPS).record == entry.run.record


def test_the_learner_that_was_pretrained_is_the_one_that_is_measured(probed):
    job, entry = probed
    fresh = frozen.learnt(replace(job, seed=0), CLIPS)
    for ours, theirs in zip(entry.learner.encoder.parameters(), fresh.encoder.parameters(), strict=True):
        assert ours.equal(theirs)
    seen = {
        name: frozen.embed(fresh, side, device="cpu")
        for name, side in (("train", entry.fold.train), ("val", entry.fold.val))
    }
    said = frozen.probed({**seen, "test": seen["val"]})
    assert np.allclose(said["val"].prob, entry.run.validation().prob, atol=1e-3)


def test_the_probe_of_a_run_can_be_asked_about_any_face(probed):
    entry = probed[1]
    detector = entry.detector
    assert not detector.training
    again = predict(detector, entry.fold.val, device="cpu")
    assert np.allclose(again.prob, entry.run.validation().prob, atol=1e-5)
    tested = predict(detector, entry.tested(), device="cpu")
    assert np.allclose(tested.prob, entry.run.predictions().prob, atol=1e-5)


def test_a_detector_is_asked_itself(tmp_path):
    entry = entrant.enter(_job(tmp_path))
    assert entry.detector is entry.learner


def test_a_probe_says_rare_movements_as_rarely_as_they_are(probed):
    """Weights that make both labels count alike would say a movement of one face in eight of about half of them."""
    rng = np.random.default_rng(0)
    people = probed[1].fold
    labels = (rng.random((len(people.train), 12)) < 1 / 8).astype("float32")
    features = frozen.embed(probed[1].learner, people.train, device="cpu")
    noise = replace(features, z=rng.normal(size=(len(features), 3)).astype("float32"), labels=labels)
    said = frozen.probed({"train": noise, "val": noise, "test": noise})["test"]
    assert abs(said.prob.mean() - labels.mean()) < 0.05


def test_a_detector_is_not_pretrained(tmp_path):
    with pytest.raises(ValueError, match="leave pretrain out"):
        entrant.enter(_job(tmp_path, "cnn"), pretrain=CLIPS)


def test_calibration_error_of_certain_wrong_answers_is_all_of_it(probed):
    said = probed[1].run.predictions()
    wrong = Predictions(said.frames, said.aus, (1 - said.label).astype("float32"), said.label)
    row = entrant.calibration(wrong, resamples=5)
    assert row["ece"] == pytest.approx(100)
    assert row["ece_draws"] == pytest.approx([100] * 5)
    assert isinstance(probed[1].run, Run)
