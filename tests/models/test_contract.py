"""What every network promises, one row each. A new network is a line in MODELS.

``FAU_GOLDEN=write python -m pytest tests/models/test_contract.py -k golden`` writes ``golden.json`` anew, for a network
that was changed on purpose.
"""

import importlib
import json
import os
import pkgutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from fau_utils import models
from fau_utils.models import LandmarkNet, MaskedAutoencoder, MiniViT, SmallCnn, seeded, separation
from fau_utils.models.clip_encoder import ClipEncoder
from fau_utils.models.graph import GraphHead
from fau_utils.models.graph_pooled import POOLS, PooledGraphHead
from fau_utils.models.heads import AttentionHead, LinearHead
from fau_utils.models.landmark_heads import PointRegression, ResponseMaps
from fau_utils.models.mae import mae
from fau_utils.models.resnet import ResNet
from fau_utils.models.vit import vit

GOLDEN = Path(__file__).with_name("golden.json")
IMAGE, TOKENS, MAPS = (3, 64, 64), (9, 16), (16, 16, 16)
MINI = separation.SIZES["mini"]


class Generator(separation.FeatureGenerator):
    """With both inputs in one: three maps of attention, then the texture."""

    def forward(self, maps):
        return super().forward(maps[:, :3], maps[:, 3:])


MODELS = {  # how to build it, shape of one input, shapes of what it gives for one
    "cnn": (lambda: SmallCnn(5), IMAGE, [(5,)]),
    "landmark perceptron": (lambda: LandmarkNet(5), (49, 2), [(5,)]),
    "mini ViT": (lambda: MiniViT(5), IMAGE, [(5,)]),
    "mini ViT by patch": (lambda: MiniViT(5, stem="patch"), IMAGE, [(5,)]),
    "ViT mini64": (lambda: vit("mini64"), IMAGE, [(64,)]),
    "ViT mini64 by place": (lambda: vit("mini64", stem="patch", pool="position"), IMAGE, [(1024,)]),
    "ViT mini96, class token": (lambda: vit("mini96", stem="linear", cls=True, pool="cls"), IMAGE, [(96,)]),
    "resnet18": (lambda: ResNet(18, stem="small"), (3, 32, 32), [(512,)]),
    "resnet50": (lambda: ResNet(50), IMAGE, [(2048,)]),
    "encoder of clips": (ClipEncoder, IMAGE, [(128,)]),
    "encoder of clips, resnet18": (lambda: ClipEncoder(trunk="resnet18", size=32), (3, 32, 32), [(128,)]),
    "linear head": (lambda: LinearHead(16, 5, std=1.0), TOKENS, [(5,)]),
    "attention head": (lambda: AttentionHead(16, 5, places=9, heads=2), TOKENS, [(5,)]),
    "graph of nearest": (lambda: GraphHead(16, 5, width=8, edges=False), TOKENS, [(5,), (5, 8)]),
    "graph with edges": (lambda: GraphHead(16, 5, width=8), TOKENS, [(5,), (5, 8), (25, 8), (25, 4)]),
    **{
        f"pooled graph by {pool}": (
            lambda pool=pool: PooledGraphHead(16, 5, places=9, width=8, pool=pool),
            TOKENS,
            [(5,), (5, 8), (25, 8), (25, 4)],
        )
        for pool in POOLS
    },
    "feature encoder": (lambda: separation.FeatureEncoder(MINI), IMAGE, [MAPS]),
    "texture encoder": (lambda: separation.TextureEncoder(MINI), MAPS, [MAPS]),
    "feature generator": (lambda: Generator(MINI), (19, 16, 16), [MAPS]),
    "AU branches": (lambda: separation.AuHead(MINI, 5), MAPS, [(5,)]),
    "landmark discriminator": (lambda: separation.LandmarkDiscriminator(MINI), MAPS, [(49, 16, 16)]),
    "domain discriminator": (lambda: separation.DomainDiscriminator(MINI, side=16), MAPS, [(1, 1, 1)]),
    "projector": (lambda: separation.Projector(16), MAPS, [(64,)]),
    "response maps": (lambda: ResponseMaps(4), (4, 8, 8), [(49, 8, 8)]),
    "point regression": (lambda: PointRegression(6, size=64), (6,), [(49, 2)]),
}
EXEMPT = {
    "MaskedAutoencoder": "answers with a loss and has a test below",
    "Follower": "never learns by a gradient, see test_clip_parts.py",
    "Memory": "has buffers only, see test_clip_parts.py",
    "GradientReversal": "has no parameters, see test_reversal.py",
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


def test_every_public_network_is_listed_part_of_one_that_is_or_exempt_for_a_reason():
    seen = {kind for build, *_ in MODELS.values() for part in build().modules() for kind in type(part).__mro__}
    public = set()
    for found in pkgutil.iter_modules(models.__path__):
        module = importlib.import_module(f"{models.__name__}.{found.name}")
        public |= {
            kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__
        }
    public = {kind for kind in public if issubclass(kind, torch.nn.Module) and not kind.__name__.startswith("_")}
    assert {kind.__name__ for kind in public - seen} == set(EXEMPT)


@pytest.mark.parametrize(("name", "dim", "millions"), [("small", 384, 22), ("base", 768, 86), ("large", 1024, 303)])
def test_published_sizes_see_224_px(name, dim, millions):
    """The two large ones without numbers: shapes only."""
    device = "cpu" if name == "small" else "meta"
    with seeded(0), torch.device(device), torch.no_grad():
        model, x = vit(name).eval(), torch.rand(2, 3, 224, 224)
        found = model(x)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
    assert found.shape == (2, dim)
    if device == "cpu":
        assert found.isfinite().all()
        assert (found[0] - found[1]).abs().max() > 0
