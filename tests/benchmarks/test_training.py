"""The benchmark of training steps compares equals; how fast they are is nobody's test."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
TINY = {"dim": 24, "depth": 2, "heads": 2}
DECODER = {"decoder_dim": 24, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(SPEED))
    try:
        yield importlib.import_module("training")
    finally:
        sys.path.remove(str(SPEED))
        sys.modules.pop("training", None)


@pytest.fixture
def cases(bench):
    return {
        "mae, patch stem": bench.Case("tiny", "mae", "mini64", 32, 4),
        "mae, linear stem": bench.Case("tiny", "mae", "mini64", 32, 4, {"stem": "linear"}),
        "mae as published": bench.Case("tiny", "mae", "small", 32, 4, TINY | DECODER),
        "vit, conv stem": bench.Case("tiny", "vit", "mini64", 32, 4),
        "vit as published": bench.Case("tiny", "vit", "small", 32, 4, TINY),
    }


NAMES = ["mae, patch stem", "mae, linear stem", "mae as published", "vit, conv stem", "vit as published"]
MEASURE = {"device": torch.device("cpu"), "rounds": 1, "steps": 1, "batch": None}


@pytest.mark.parametrize("name", NAMES)
def test_reference_and_product_have_equal_losses_in_the_first_steps(bench, cases, name):
    found = bench.measure(cases[name], levers=[], **MEASURE)
    assert len(found["losses"]) == 3
    for theirs, ours in found["losses"]:
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert len({theirs for theirs, _ in found["losses"]}) == 3  # something is learnt


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_reference_and_product_are_equal(bench, cases, name):
    case = cases[name]
    images = bench.Images.draw(8, case.size)
    learner = case.learner()
    if case.task == "vit":
        torch.nn.init.normal_(learner.head.weight, std=0.1)
    learner.prepare(images.pixels.float() / 255)
    reference = bench.Published(learner, images, device=torch.device("cpu"))
    product = bench.Product(learner, images, batch=4, device=torch.device("cpu"))
    indices = torch.arange(4)
    torch.manual_seed(0)
    product.gradients.of(product.batch(indices, flip=False), step=0)
    torch.manual_seed(0)
    pixels, labels = reference.loader.batch([0, 1, 2, 3], flip=False)
    model = reference.loop.model
    loss = model(pixels) if case.task == "mae" else reference.loop.criterion(model(pixels), labels)
    loss.backward()
    twins = dict(model.named_parameters())
    for name, parameter in learner.named_parameters():
        torch.testing.assert_close(parameter.grad, twins[bench._flat(name)].grad, atol=1e-5, rtol=1e-3)


def test_a_difference_between_the_two_stops_the_benchmark(bench, cases, monkeypatch):
    forward = bench.published.MaskedAutoencoder.forward
    monkeypatch.setattr(bench.published.MaskedAutoencoder, "forward", lambda self, image: 1.01 * forward(self, image))
    with pytest.raises(SystemExit, match="not the same"):
        bench.measure(cases["mae as published"], levers=[], **MEASURE)


def test_levers_are_offered_where_they_fit_and_train(bench, cases):
    mae, vit = cases["mae as published"], cases["vit as published"]
    cpu = torch.device("cpu")
    assert bench.levers_for(mae, ["freeze", "small-decoder", "bf16"], device=cpu) == ["small-decoder", "bf16"]
    assert bench.levers_for(vit, ["freeze", "small-decoder", "bf16"], device=cpu) == ["freeze", "bf16"]
    readings = bench.measure(vit, levers=["freeze", "bf16"], **MEASURE)["readings"]
    assert list(readings) == ["reference", "product", "freeze", "bf16"]


def test_operations_are_those_of_the_network_that_is_timed(bench, cases):
    whole = bench.flops(bench.Case("S", "mae", "small", 224, 8), batch=1)
    small = bench.flops(bench.Case("S", "mae", "small", 224, 8), batch=1, lever="small-decoder")
    assert 3 < whole / small < 6  # at 224 px the published decoder is most of the work of ViT-S
    assert bench.flops(cases["vit as published"], batch=6) == 6 * bench.flops(cases["vit as published"], batch=1)
    assert bench.flops(cases["mae, patch stem"], batch=1) != bench.flops(cases["mae, patch stem"], batch=1)  # nan


def test_the_command_writes_a_table_and_every_reading(bench, cases, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(bench.CASES, "cpu", [cases["vit as published"]])
    monkeypatch.setattr(bench, "matmul_rate", lambda device: 1e9)
    before = torch.get_num_threads()
    try:
        bench.main(["--threads", "1", "--rounds", "2", "--steps", "1", "--json", str(tmp_path / "out.json")])
    finally:
        torch.set_num_threads(before)
    assert "ratio (min-max)" in capsys.readouterr().out
    written = json.loads((tmp_path / "out.json").read_text())
    row = written["table"][1]
    assert row["variant"] == "product"
    assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert len(written["readings"][0]["readings"]["product"]["wall"]) == 2
    assert row["share_of_matmul"] > 0
