"""What every network promises, one row each. A new network is a line in MODELS.

``FAU_GOLDEN=write python -m pytest tests/models/test_contract.py -k golden`` writes ``golden.json`` anew, for a network
that was changed on purpose.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from fau_utils.models import LandmarkNet, MaskedAutoencoder, MiniViT, SmallCnn, seeded
from fau_utils.models.graph import GraphHead
from fau_utils.models.heads import AttentionHead, LinearHead
from fau_utils.models.landmark_heads import PointRegression, ResponseMaps
from fau_utils.models.mae import mae
from fau_utils.models.resnet import ResNet
from fau_utils.models.vit import vit

GOLDEN = Path(__file__).with_name("golden.json")
IMAGE, TOKENS = (3, 64, 64), (9, 16)
MODELS = {  # how to build it, shape of one input, shapes of what it gives for one
    "cnn": (lambda: SmallCnn(5), IMAGE, [(5,)]),
    "landmark perceptron": (lambda: LandmarkNet(5), (49, 2), [(5,)]),
    "mini ViT": (lambda: MiniViT(5), IMAGE, [(5,)]),
    "mini ViT by patch": (lambda: MiniViT(5, stem="patch"), IMAGE, [(5,)]),
    "ViT mini64": (lambda: vit("mini64"), IMAGE, [(64,)]),
    "ViT mini64 by place": (lambda: vit("mini64", stem="patch", pool="position"), IMAGE, [(1024,)]),
    "ViT mini96, class token": (lambda: vit("mini96", stem="linear", cls=True, pool="cls"), IMAGE, [(96,)]),
    "resnet18": (lambda: ResNet(18, stem="small"), (3, 32, 32), [(512,)]),
    "linear head": (lambda: LinearHead(16, 5, std=1.0), TOKENS, [(5,)]),
    "attention head": (lambda: AttentionHead(16, 5, places=9, heads=2), TOKENS, [(5,)]),
    "graph of nearest": (lambda: GraphHead(16, 5, width=8, edges=False), TOKENS, [(5,), (5, 8)]),
    "graph with edges": (lambda: GraphHead(16, 5, width=8), TOKENS, [(5,), (5, 8), (25, 8), (25, 4)]),
    "response maps": (lambda: ResponseMaps(4), (4, 8, 8), [(49, 8, 8)]),
    "point regression": (lambda: PointRegression(6, size=64), (6,), [(49, 2)]),
}


@pytest.fixture(params=list(MODELS))
def case(request):
    build, shape, shapes = MODELS[request.param]
    with seeded(0):
        model, x = build(), torch.rand(6, *shape)
        for name, parameter in model.named_parameters():  # heads that begin at zero judge all faces alike
            if parameter.requires_grad and not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02 if name.endswith("bias") else 0.1)
    return request.param, model, x, shapes


def outputs(model, x):
    found = model(x)
    return [found] if isinstance(found, torch.Tensor) else [part for part in found if part is not None]


def test_shapes(case):
    _, model, x, shapes = case
    assert [tuple(part.shape) for part in outputs(model, x)] == [(6, *shape) for shape in shapes]


def test_gradients_reach_every_parameter(case):
    _, model, x, _ = case
    with seeded(1):
        sum((part * torch.randn_like(part)).sum() for part in outputs(model, x)).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


def test_in_evaluation_the_same_face_gets_the_same_answer_in_any_company(case):
    _, model, x, _ = case
    model.eval()
    first, again, alone = outputs(model, x), outputs(model, x), outputs(model, x[2:3])
    for one, other, single in zip(first, again, alone, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one[2:3], single, atol=1e-4, rtol=1e-4)


def test_it_compiles_as_one_graph_and_says_the_same(case):
    _, model, x, _ = case
    model.eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for one, other in zip(outputs(model, x), outputs(compiled, x), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
def test_compiled_to_machine_code_it_says_the_same():
    build, shape, _ = MODELS["mini ViT"]
    with seeded(0):
        model, x = build().eval(), torch.rand(2, *shape)
    torch._dynamo.reset()
    try:
        found = outputs(torch.compile(model), x)
    except torch._inductor.exc.InductorError as error:
        pytest.skip(f"no working compiler here: {error}")
    for one, other in zip(outputs(model, x), found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_bfloat16_runs_forward_and_back_and_stays_near(case):
    _, model, x, _ = case
    model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(model, x)
        sum(part.float().square().sum() for part in found).backward()
    for exact, rough in zip(outputs(model, x), found, strict=True):
        scale = exact.abs().max().item()
        assert (exact - rough.float()).abs().max().item() < 0.05 * scale + 0.01
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_safetensors_carry_everything(case):
    name, model, x, _ = case
    model.train()
    outputs(model, x)  # moves running statistics
    with seeded(99):
        other = MODELS[name][0]()
    # weights may lie channels-last in memory, which is no part of what they are
    other.load_state_dict(load(save({key: value.contiguous() for key, value in model.state_dict().items()})))
    for one, two in zip(outputs(model.eval(), x), outputs(other.eval(), x), strict=True):
        assert torch.equal(one, two)


def golden(model, x):
    model.eval()
    with torch.no_grad():
        return [round(value, 5) for part in outputs(model, x) for value in part[0].flatten()[:4].tolist()]


def test_golden_values(case):
    name, model, x, _ = case
    kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("FAU_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(dict(sorted({**kept, name: golden(model, x)}.items())), indent=1) + "\n")
        pytest.skip("written")
    assert golden(model, x) == pytest.approx(kept[name], abs=2e-4, rel=1e-3)


def test_an_autoencoder_keeps_the_contract_with_its_mask_given():
    """Its answer is no tensor per face, so it has a test of its own."""
    with seeded(0):
        model, x, noise = mae("mini64"), torch.rand(4, *IMAGE), torch.rand(4, 64)
    assert isinstance(model, MaskedAutoencoder)
    model(x, noise=noise).loss.backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not missing
    model.eval()
    assert torch.equal(model(x, noise=noise).loss, model(x, noise=noise).loss)
