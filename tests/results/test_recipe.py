"""A published recipe from a dataset's folder to a finished run, on rendered faces at the published size."""

import numpy as np
import pytest
import torch

from fau_utils import cli
from fau_utils.data import bp4d
from fau_utils.data.layouts import bp4d as layout
from fau_utils.data.prepare import prepare
from fau_utils.frames import Frames
from fau_utils.models.vit import vit
from fau_utils.results import Run, job

SHRUNK = ["--set", "model=small", "--set", "views=4", "--set", "batch_size=2", "--device", "cpu"]


def test_fmae_iat_as_published_on_a_bp4d_tree(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "0")
    people = ("F001", "F003", "F005", "F004")  # of the parts 1, 2, 2, 3
    layout.export(tmp_path / "tree", subjects=people, tasks=("T1",), frames=8, res=224)
    frames = bp4d.read(tmp_path / "tree", allow_missing=True)
    prepare(frames, tmp_path / "tree", tmp_path / "bp4d", crop="megraph", size=224, workers=1)
    torch.save({"model": vit("small", position="sincos").state_dict()}, tmp_path / "fmae.pth")

    words = ["--data", tmp_path / "bp4d", "--fold", "1", "--init", tmp_path / "fmae.pth", "--out", tmp_path / "runs"]
    words += ["--choose", "last", "--every", "1000", "--set", "recipe=bp4d-iat-published", *SHRUNK]
    code = cli.main(["train", "fmae-iat", *map(str, words)])
    said = capsys.readouterr()
    assert (code, said.err) == (0, "")
    run = Run.read(said.out.strip())
    given = run.record["parameters"]
    assert given["recipe"] == "bp4d-iat-published"
    assert (given["options"]["strength"], given["options"]["outputs"], given["options"]["model"]) == (2.0, 41, "small")
    numbers = given["budget"]
    assert (numbers["lr"], numbers["min_lr"], numbers["clip"], numbers["warmup"]) == (1.25e-4, 1e-6, 0.0, 0.1)
    assert given["init"]
    assert set(run.predictions().subject) == {"bp4d/F001"}
    assert run.history()[["au", "identity"]].notna().all(axis=None)
    # one-vs-all over 41 outputs that begin at one half
    assert 0.5 < run.history()["identity"].iloc[0] < 0.9


@pytest.fixture
def lab_plan(tmp_path, blobs):
    """What is planned with some settings, on a prepared folder of nine people."""
    faces, folder = blobs(9, 8, size=32), tmp_path / "lab"
    folder.mkdir()
    Frames(faces.frames.table.assign(row=range(len(faces)))).to_parquet(folder / "manifest.parquet")
    np.save(folder / "images.npy", faces.images.numpy())
    return lambda *settings: job.plan(job.Job("fmae-iat", str(folder), tmp_path, fold="2", settings=settings))


def test_a_recipe_decides_epochs_and_augmentation_and_what_is_typed_goes_before(lab_plan):
    made = lab_plan("recipe=bp4d-fmae-published")
    faces = len(made.data.train)
    assert (made.budget.name, made.budget.views) == ("bp4d-fmae-published", 20 * faces)
    assert (made.budget.lr, made.options["strength"]) == (5e-5, 0.0)
    assert lab_plan("recipe=bp4d-fmae").budget.views == 30 * faces
    changed = lab_plan("recipe=bp4d-fmae", "views=64", "strength=0.5", "model=mini64")
    assert (changed.budget.views, changed.options["strength"]) == (64, 0.5)
    assert changed.id != lab_plan("views=64", "strength=0.5", "model=mini64").id
    method = changed.build(changed.data.train)
    assert method.augment is job.AUGMENTATIONS["fmae"]
    assert method.subjects == changed.data.train.frames.subjects


def test_an_unknown_recipe_and_a_method_without_any_say_so(lab_plan, tmp_path):
    with pytest.raises(
        ValueError, match=r"--set recipe: expected bp4d-fmae or bp4d-fmae-published or .*, found 'mine'"
    ):
        lab_plan("recipe=mine")
    with pytest.raises(ValueError, match="cnn and its budget has no option recipe"):
        job.plan(job.Job("cnn", "synth", tmp_path, settings=("recipe=bp4d-iat",)))


def test_folds_are_numbered_in_the_order_of_their_protocol(lab_plan):
    assert lab_plan().data.name == "blobs 2 of 3"
