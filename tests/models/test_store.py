import json

import pytest
import torch

from fau_utils.models import store
from fau_utils.models.mae import mae
from fau_utils.models.store import CheckpointError
from fau_utils.models.vit import vit


@pytest.fixture
def saved(tmp_path):
    model = vit("mini64", pool="position").eval()
    return model, store.save(model, tmp_path / "run" / "model", meta={"seed": 3})


@pytest.mark.parametrize("build", [lambda: vit("mini64", stem="patch", drop_path=0.1), lambda: mae("mini64")])
def test_a_model_comes_back_as_it_was(tmp_path, build):
    model = build()
    again = store.load(store.save(model, tmp_path))
    assert type(again) is type(model)
    assert again.config == model.config
    assert not again.training
    expected = model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in again.state_dict().items())


def test_a_folder_holds_one_json_and_one_safetensors_file(saved):
    _, folder = saved
    description = json.loads((folder / "model.json").read_text())
    assert {path.name for path in folder.iterdir()} == {"model.json", description["weights"]}
    assert description["weights"].endswith(".safetensors")
    assert (description["kind"], description["meta"], description["schema"]) == ("ViT", {"seed": 3}, 1)
    assert description["package"]


def test_saving_again_replaces_the_weights(saved):
    model, folder = saved
    with torch.no_grad():
        model.norm.weight.fill_(2)
    store.save(model, folder)
    assert len(list(folder.iterdir())) == 2
    assert (store.load(folder).norm.weight == 2).all()


@pytest.mark.parametrize("at", [0, 1])
def test_killed_while_saving_the_old_model_is_still_whole(saved, monkeypatch, at):
    model, folder = saved
    old = model.norm.weight.clone()
    with torch.no_grad():
        model.norm.weight.fill_(2)
    calls = []

    def killed(path, data, real=store._replace):
        calls.append(path)
        if len(calls) > at:
            raise KeyboardInterrupt
        real(path, data)

    monkeypatch.setattr(store, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save(model, folder)
    assert torch.equal(store.load(folder).norm.weight, old)


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError):
        store.save(vit("mini64"), tmp_path / "a", meta={"x": torch.zeros(1)})
    assert list((tmp_path / "a").iterdir()) == []


def damage(folder, how):
    weights = next(folder.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    if how == "a flipped bit":
        data[-5] ^= 1
        weights.write_bytes(data)
    elif how == "a short file":
        weights.write_bytes(data[:1000])
    elif how == "no weights":
        weights.unlink()
    elif how == "no json":
        (folder / "model.json").unlink()
    elif how == "half a json":
        (folder / "model.json").write_text('{"schema": 1, "wei')
    elif how == "another json":
        (folder / "model.json").write_text("[1, 2]")
    elif how == "a newer schema":
        text = (folder / "model.json").read_text()
        (folder / "model.json").write_text(text.replace('"schema": 1', '"schema": 2'))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("a flipped bit", "the file is damaged"),
        ("a short file", "in 1,000 bytes; the file is damaged"),
        ("no weights", "found no file"),
        ("no json", "expected a folder with model.json"),
        ("half a json", "expected the description of a model"),
        ("another json", "expected the description of a model"),
        ("a newer schema", "expected schema 1 or older, found 2.*update this package"),
    ],
)
def test_damage_is_noticed_and_named(saved, how, message):
    _, folder = saved
    damage(folder, how)
    with pytest.raises(CheckpointError, match=message):
        store.load(folder)


def test_a_damaged_safetensors_file_is_named(saved):
    _, folder = saved
    damage(folder, "a short file")
    with pytest.raises(CheckpointError, match="expected a complete safetensors file"):
        store.read_safetensors(next(folder.glob("*.safetensors")))


def test_another_kind_of_model_needs_its_builder(tmp_path):
    class Small(torch.nn.Linear):
        def __init__(self, width):
            super().__init__(width, width)
            self.config = {"width": width}

    store.save(Small(3), tmp_path)
    with pytest.raises(CheckpointError, match="expected a model of kind ViT, MaskedAutoencoder, found Small"):
        store.load(tmp_path)
    assert store.load(tmp_path, kinds={"Small": Small}).in_features == 3


def test_weights_outside_the_folder_are_never_read(saved):
    _, folder = saved
    text = json.loads((folder / "model.json").read_text())
    weights = folder / text["weights"]
    (folder.parent / weights.name).write_bytes(weights.read_bytes())
    weights.unlink()
    text["weights"] = f"../{weights.name}"
    (folder / "model.json").write_text(json.dumps(text))
    with pytest.raises(CheckpointError, match="found no file"):
        store.load(folder)
