"""``fau train`` from its words to the folder of the finished run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fau_utils import cli
from fau_utils.frames import Frames
from fau_utils.models import store
from fau_utils.results import Run, job
from fau_utils.results.store import finished
from fau_utils.training import fit
from fau_utils.training.fold import RECORD

QUICK = ["--budget", "smoke", "--set", "views=96", "--device", "cpu"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory, blobs):
    """A prepared folder with nine people."""
    faces, folder = blobs(9, 8, size=32), tmp_path_factory.mktemp("data") / "lab"
    folder.mkdir()
    Frames(faces.frames.table.assign(row=range(len(faces)))).to_parquet(folder / "manifest.parquet")
    np.save(folder / "images.npy", faces.images.numpy())
    return folder


@pytest.fixture
def fau(capsys, monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "0")

    def run(*words):
        code = cli.main(["train", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


def test_one_command_leaves_a_finished_run_with_all_that_was_learnt(fau, lab, tmp_path):
    code, out, err = fau("vit", "--data", lab, "--fold", "2 of 3", "--out", tmp_path, "--set", "dim=32", *QUICK)
    assert (code, err) == (0, "")
    run = Run.read(out)
    said = run.record["parameters"]
    assert run.path.parent == tmp_path
    assert run.id.startswith("vit-blobs-2-of-3-s0-")
    assert (run.record["views"], said["options"], said["choose"]) == (96, {"dim": 32}, "val_f1")
    test, validation = (set(said["data"][f"{side}_people"]) for side in ("test", "validation"))
    assert set(run.predictions().subject) == test
    assert set(run.validation().subject) == validation
    assert not test & validation
    assert (run.path / "model.safetensors").is_file()
    assert run.history()["loss"].notna().all()
    work = tmp_path / job.WORK / run.id
    assert json.loads((work / RECORD).read_text())["fold"]["test_people"] == sorted(test)
    assert list((work / "events").glob("events.*"))
    assert [found.id for found in finished(tmp_path)] == [run.id]


def test_a_finished_run_is_left_as_it_is_until_it_is_asked_for_anew(fau, lab, tmp_path):
    words = ["cnn", "--data", lab, "--fold", "1 of 3", "--out", tmp_path, *QUICK]
    first = Path(fau(*words)[1])
    stamp = (first / "run.json").stat().st_mtime_ns
    assert fau(*words)[1] == str(first)
    assert (first / "run.json").stat().st_mtime_ns == stamp
    prob = Run.read(first).predictions().prob
    code, out, err = fau(*words, "--no-resume")  # sees the test faces again, with the same weights
    assert (code, out, err) == (0, str(first), "")
    assert (first / "run.json").stat().st_mtime_ns > stamp
    np.testing.assert_array_equal(Run.read(first).predictions().prob, prob)


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_was_not(fau, lab, tmp_path, monkeypatch):
    words = ["vit", "--data", lab, "--fold", "1 of 3", *QUICK, "--every", 32]
    whole = Run.read(fau(*words, "--out", tmp_path / "whole")[1])
    from fau_utils.methods import VitDetector

    learn, calls = VitDetector.loss, []

    def stopping(self, batch):
        calls.append(len(batch))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return learn(self, batch)

    monkeypatch.setattr(VitDetector, "loss", stopping)
    code, out, err = fau(*words, "--out", tmp_path / "stopped")
    assert (code, out) == (130, "")
    assert err.startswith("fau: stopped; ")
    assert "checkpoints for the same command are in" in err
    assert finished(tmp_path / "stopped") == []
    code, out, err = fau(*words, "--out", tmp_path / "stopped")
    assert (code, err) == (0, "")
    assert len(calls) < 6  # it did not begin anew
    np.testing.assert_array_equal(Run.read(out).predictions().prob, whole.predictions().prob)
    assert Run.read(out).id == whole.id


def test_pretraining_leaves_a_network_that_fine_tuning_begins_from(fau, lab, tmp_path):
    words = ["--data", lab, "--out", tmp_path, *QUICK]
    code, out, err = fau("mae", *words, "--set", "batch_size=48")
    assert (code, err) == (0, "")
    assert type(store.load(out)).__name__ == "MaskedAutoencoder"
    assert finished(tmp_path) == []
    assert fau("mae", *words, "--set", "batch_size=48")[1] == out
    code, tuned, err = fau("pretrained-vit", *words, "--fold", "1 of 3", "--init", out)
    assert (code, err) == (0, "")
    plain = fau("pretrained-vit", *words, "--fold", "1 of 3")[1]
    assert Run.read(tuned).record["parameters"]["init"]
    assert tuned != plain


def test_learning_from_clips_leaves_an_encoder_that_a_detector_begins_from(fau, lab, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        job, "fit", lambda *given, **options: asked.append(options["augment"]) or fit(*given, **options)
    )
    words = ["--data", lab, "--out", tmp_path, *QUICK]
    code, out, err = fau("clp", *words, "--set", "length=4", "--set", "batch_size=16", "--set", "memory=32")
    assert (code, err) == (0, "")
    assert asked == [False]  # mirrored frame by frame, clips would be torn apart
    assert store.read(out)[0]["kind"] == "ClipEncoder"
    code, tuned, err = fau("clip-detector", *words, "--fold", "1 of 3", "--init", out)
    assert (code, err) == (0, "")
    assert Run.read(tuned).record["parameters"]["init"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clp", "--data", "s-{0..3}.tar"], "shards have no order of frames; clp needs"),
        (["nothing"], "unknown method 'nothing'; known are cnn, vit, landmarks, base-rate, mae"),
        (["vit", "--budget", "huge"], "VitDetector has no budget 'huge'"),
        (["vit", "--set", "viewz=3"], "vit and its budget has no option viewz; did you mean views"),
        (["vit", "--set", "views=many"], "--set views: expected a whole number, found 'many'"),
        (["vit", "--set", "lr=-1"], "lr = -1.0 is out of range"),
        (["vit"], "expected --fold with one of the folds of ours on blobs"),
        (["vit", "--fold", "1 of 3", "--choose", "test_f1"], "val_f1, val_auc, val_loss"),
        (["vit", "--fold", "1 of 3", "--init", "no.pth"], "vit begins from no checkpoint; leave --init out"),
        (
            ["pretrained-vit", "--fold", "1 of 3", "--init", "no.pth"],
            "--init no.pth: expected a checkpoint, found none",
        ),
        (["vit", "--fold", "1 of 3", "--devices", "0"], "at least one device and one node"),
        (["vit", "--data", "s-{0..3}.tar"], "shards have no labels; vit needs"),
        (["vit", "--data", "synth", "--fold", "P1"], "leave --fold out"),
        (["vit", "--data", "nowhere"], "no data 'nowhere' here"),
        (["landmarks", "--fold", "1 of 3"], "expected faces with landmarks"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run(fau, lab, tmp_path, words, said):
    data = [] if "--data" in words else ["--data", lab]
    code, out, err = fau(*words, *data, "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
    assert finished(tmp_path / "out") == []


def test_two_processes_that_the_command_starts_leave_one_run(lab, tmp_path):
    words = ["train", "vit", "--data", lab, "--fold", "1 of 3", "--out", tmp_path, *QUICK, "--devices", 2]
    program = [sys.executable, "-m", "fau_utils.cli", *map(str, words)]
    environment = {**os.environ, "FAU_PROGRESS": "1"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = finished(tmp_path)
    assert done.stdout.strip() == str(run.path)
    assert done.stderr.count("| 0/96 ") == 1, "one process shows a bar, which begins once but may end twice"
    assert set(run.predictions().subject) == set(run.record["parameters"]["data"]["test_people"])
