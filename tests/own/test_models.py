import json
import shutil

import numpy as np
import pytest
import torch

from fau_utils.cli import main
from fau_utils.data import by_name, conventions, rendered
from fau_utils.frames import Frames
from fau_utils.own import add, cards, origin
from fau_utils.own import model as models
from fau_utils.results import job
from fau_utils.results.run import Run
from fau_utils.training import predict

DATA = "synth:subjects=8,frames=8"


@pytest.fixture
def kept(model, tmp_path, monkeypatch):
    """A copy of the model where ``fau models`` looks for it."""
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    return shutil.copytree(model, tmp_path / "small")


def test_a_model_answers_as_the_run_it_was_made_of(run, model):
    test = by_name.synth_sides(DATA)["test"]
    loaded = models.load(model, device="cpu")
    loaded.at_once = 5  # several batches
    prob, distance = loaded(np.asarray(test.images).transpose(0, 2, 3, 1))
    assert np.allclose(prob, Run.read(run).predictions().prob, atol=1e-5)
    assert np.allclose(prob, predict(loaded.method, test, device="cpu").prob, atol=1e-5)
    assert np.isfinite(distance).all()


def test_a_card_says_data_licence_protocol_scores_leakage_groups_and_what_it_is_not_for(model):
    card = models.check(model)
    assert card["data"]["licence"].startswith("rendered")
    assert card["data"]["train"] == "8 people, 64 faces"
    assert card["protocol"] == "ours"
    for name in ("F1 at 0.5", "AUC"):
        score = card["scores"][name]
        assert score["low"] <= score["value"] <= score["high"]
    assert len(card["scores"]["per AU"]) == len(card["aus"]) == 12
    assert card["leakage"] is None or card["leakage"]["chance"] > 0
    assert {"people", "melanin", "glasses"} <= set(card["groups"])
    assert card["warning"].startswith("TEACHING ONLY")
    words = cards.render(model)
    for word in ("TEACHING ONLY", "licence", "leakage", "groups", "not for", "a movement", "95 %"):
        assert word in words


def test_the_threshold_is_chosen_on_validation_people_and_the_range_holds_nearly_all_of_them(run, model):
    loaded = models.load(model, device="cpu")
    val = by_name.synth_sides(DATA)["val"]
    _, distance = loaded(np.asarray(val.images).transpose(0, 2, 3, 1))
    assert (distance <= loaded.limits.distance).mean() == pytest.approx(add.QUANTILE, abs=1.5 / len(val))
    assert "validation" in loaded.card["threshold"]["chosen"]


def test_without_the_data_the_card_says_that_nothing_was_measured(run, tmp_path):
    path = add.add(run, out=tmp_path)
    card = models.check(path)
    assert (card["leakage"], card["groups"], card["limits"]["distance"]) == (None, None, None)
    assert "not measured" in cards.render(path)
    _, distance = models.load(path, device="cpu")(np.zeros((2, 64, 64, 3), "uint8"))
    assert np.isnan(distance).all()


@pytest.mark.parametrize("mark", [True, False])
def test_a_run_on_a_prepared_tree_tells_its_card_who_made_the_faces(tmp_path, mark):
    faces, folder = by_name.synth_sides(DATA)["train"], tmp_path / "crops"
    folder.mkdir()
    table = faces.frames.table[["dataset", "subject", "clip", "frame"]].assign(row=range(len(faces)))
    labels = {f"AU{n}": faces.labels[:, k].int().numpy() for k, n in enumerate(faces.aus)}
    people = table["subject"].str.replace("synth", "lab")
    Frames(table.assign(dataset="lab", subject=people, **labels)).to_parquet(folder / "manifest.parquet")
    np.save(folder / "images.npy", np.asarray(faces.images))
    if mark:
        rendered.mark(folder)
    wanted = job.Job("cnn", str(folder), tmp_path, fold="1 of 3", budget="smoke", settings=("views=32",))
    path = add.add(job.train(wanted, progress=False), crop="none", out=tmp_path / "models")
    card = models.check(path)
    assert card["data"]["faces"] == ("rendered" if mark else "recorded")
    assert card["warning"].startswith("TEACHING ONLY") is mark
    assert card["protocol"] == "ours"


def test_of_old_runs_without_their_data_the_origin_is_unknown_and_published_protocols_have_names():
    said = {"protocol": conventions.named("jaa", dataset="bp4d").hash}
    assert origin.rendered(said, None) is None
    assert "unchecked" in origin.licence("bp4d", None)
    assert origin.licence("bp4d", False).startswith("agreement of Binghamton")
    assert origin.licence("bp4d", True) == origin.LICENCES["synth"]
    assert origin.protocol(said["protocol"], "bp4d") == "jaa"
    assert origin.protocol("0" * 12, "bp4d").startswith("unknown to this version")
    assert set(conventions.EVALUATED) <= set(origin.LICENCES)


def test_other_data_than_the_run_was_trained_on_is_refused(run, tmp_path):
    with pytest.raises(models.BadModel, match="other faces"):
        add.add(run, data="synth:subjects=6,frames=6", out=tmp_path)


def test_a_run_without_weights_and_a_folder_that_is_none_are_refused(run, tmp_path):
    bare = shutil.copytree(run, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(models.BadModel, match="keeps the weights"):
        add.add(bare)
    with pytest.raises(models.BadModel, match="finished run"):
        add.add(tmp_path)
    with pytest.raises(models.BadModel, match="fau models add"):
        models.find(run)


def test_one_changed_byte_is_noticed_before_anything_is_loaded(kept, capsys):
    assert main(["models", "check"]) == 0
    data = bytearray((kept / models.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (kept / models.WEIGHTS).write_bytes(data)
    assert main(["models", "check"]) == 4
    assert "do not use this model" in capsys.readouterr().out
    with pytest.raises(models.BadModel, match="the card says"):
        models.load(kept)
    assert main(["models", "card", "small"]) == 2


def test_a_model_of_a_later_version_is_refused(kept):
    card = json.loads((kept / models.CARD).read_text())
    (kept / models.CARD).write_text(json.dumps(card | {"schema": models.SCHEMA + 1}))
    with pytest.raises(models.BadModel, match="update it"):
        models.check(kept)


def test_models_are_listed_and_described(kept, capsys, monkeypatch):
    assert main(["models", "list"]) == 0
    assert "small" in capsys.readouterr().out
    assert main(["models", "card", "small", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "small"
    assert main(["models", "card", "nobody's"]) == 2
    assert "there are small" in capsys.readouterr().err
    monkeypatch.setenv(models.FOLDER, str(kept / "empty"))
    assert main(["models", "list"]) == 0
    assert "fau models add" in capsys.readouterr().out


def test_a_run_becomes_a_model_by_one_command(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    assert main(["models", "add", str(run), "--name", "mine"]) == 0
    assert "not for" in capsys.readouterr().out
    assert models.load("mine", device="cpu").card["name"] == "mine"
    for command, example in (("predict", "--overlay look/"), ("models add", "fau models add results/")):
        assert main([*command.split(), "--help"]) == 0
        assert example in capsys.readouterr().out


def test_faces_that_do_not_fit_into_memory_go_in_smaller_batches(model, monkeypatch):
    loaded = models.load(model, device="cpu")
    some, sizes = loaded._some, []

    def narrow(crops):
        sizes.append(len(crops))
        if len(crops) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return some(crops)

    monkeypatch.setattr(loaded, "_some", narrow)
    prob, _ = loaded(np.zeros((20, 64, 64, 3), "uint8"))
    assert (len(prob), loaded.at_once) == (20, 8)
    assert sizes == [20, 20, 16, 8, 8, 4][: len(sizes)] or sizes[-3:] == [8, 8, 4]


def test_far_features_are_far_and_usual_ones_are_at_one():
    torch.manual_seed(0)
    z = torch.randn(500, 20) @ torch.diag(torch.linspace(0.1, 5, 20))
    known = models.spread(z, directions=6)
    near = models.apart(z, known)
    assert near.square().mean() == pytest.approx(1, abs=0.05)
    assert models.apart(z + 30, known).min() > near.max()
    off = torch.linalg.svd(z - z.mean(0))[2][-1] * 30  # nothing along the main directions
    assert models.apart(z.mean(0, keepdim=True) + off, known) > near.max()
