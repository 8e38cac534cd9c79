"""What every method promises, over every method and several flavours of data."""

from dataclasses import replace

import pytest
import torch

from fau_utils import methods
from fau_utils.data.options import keywords_of
from fau_utils.methods import (
    BaseRate,
    CnnDetector,
    FmaeIat,
    GraphDetector,
    LandmarkMlp,
    Method,
    OcclusionMae,
    PretrainedVit,
    SupervisedClips,
    VitDetector,
    masked_bce,
)
from fau_utils.methods.domain_baselines import Dann, LandmarkTask
from fau_utils.methods.domain_separation import DomainSeparation
from fau_utils.training import budget_for

METHODS = {
    "cnn": lambda aus, subjects, seed: CnnDetector(aus, size=32, seed=seed),
    "vit": lambda aus, subjects, seed: VitDetector(aus, size=32, seed=seed),
    "vit by patch": lambda aus, subjects, seed: VitDetector(aus, size=32, dim=96, depth=3, stem="patch", seed=seed),
    "pretrained vit": lambda aus, subjects, seed: PretrainedVit(aus, size=32, model="mini64", seed=seed),
    "pretrained vit as published": lambda aus, subjects, seed: PretrainedVit(
        aus, size=32, model="small", dim=24, depth=2, heads=2, init=None, drop_path=0.0, seed=seed
    ),
    "fmae-iat": lambda aus, subjects, seed: FmaeIat(aus, subjects=subjects, size=32, model="mini64", seed=seed),
    "fmae-iat as published, with all options": lambda aus, subjects, seed: FmaeIat(
        aus,
        subjects=subjects,
        size=32,
        model="small",
        dim=24,
        heads=2,
        depth=3,
        identity="uniform",
        ramp=40,
        drop=0.5,
        permuted=True,
        outputs=41,
        drop_path=0.0,
        seed=seed,
    ),
    "graph-detector": lambda aus, subjects, seed: GraphDetector(aus, size=32, model="mini64", seed=seed),
    "graph-detector as published": lambda aus, subjects, seed: GraphDetector(
        aus, size=32, model="small", dim=24, depth=2, heads=2, width=16, seed=seed
    ),
    "occlusion-mae": lambda aus, subjects, seed: OcclusionMae(aus, size=32, model="mini64", seed=seed),
    "occlusion-mae with a given teacher, by queries": lambda aus, subjects, seed: OcclusionMae(
        aus,
        teacher=GraphDetector(aus, size=32, model="mini64", seed=seed),
        size=32,
        model="mini64",
        pool="attention",
        distance="mse",
        seed=seed,
    ),
    "domain-separation": lambda aus, subjects, seed: DomainSeparation(aus, size=32, seed=seed),
    "domain-separation, unshared": lambda aus, subjects, seed: DomainSeparation(
        aus, size=32, detector="unshared", reads="encoded", seed=seed
    ),
    "landmark task": lambda aus, subjects, seed: LandmarkTask(aus, size=32, seed=seed),
    "dann": lambda aus, subjects, seed: Dann(aus, size=32, weight=[1.5] * len(aus), seed=seed),
    "clip detector": lambda aus, subjects, seed: SupervisedClips(aus, size=32, dim=32, seed=seed),
    "landmarks": lambda aus, subjects, seed: LandmarkMlp(aus, seed=seed),
    "base rate": lambda aus, subjects, seed: BaseRate(aus, subjects=subjects),
}


def _usual(kind):
    """Builds a method with what ``fau train`` gives it."""

    def build(aus, subjects, seed):
        given = {"subjects": subjects, "size": 32, "seed": seed}
        return kind(aus, **{name: value for name, value in given.items() if name in keywords_of(kind)})

    return build


# a method that is new in the dictionary is held to the contract without a line here
_KNOWN = {type(build((1, 12), ("blobs/P000",), 0)) for build in METHODS.values()}
METHODS |= {
    name: _usual(kind) for name, kind in methods.METHODS.items() if issubclass(kind, Method) and kind not in _KNOWN
}
FLAVOURS = {
    "all coded": {},
    "partly coded": {"unknown": 0.3},
    "one AU": {"aus": (12,)},
    "other AUs": {"aus": (1, 2, 4, 6, 9)},
}


@pytest.fixture(params=list(METHODS))
def build(request):
    return METHODS[request.param]


@pytest.fixture(params=list(FLAVOURS))
def data(request, blobs):
    return blobs(3, 4, size=32, **FLAVOURS[request.param])


def prepared(build, data, seed=0) -> Method:
    method = build(data.aus, data.subjects, seed)
    method.prepare(data.batch(torch.arange(len(data))).image)
    return method


def learnt(method, batch, steps=2):
    """A few steps, so that no test sees an untouched zero head."""
    groups = [group for group in method.param_groups() if group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=1e-2) if groups else None
    for _ in range(steps):
        total = method.loss(batch).total
        if optimizer is not None:
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
    return method


def test_shapes_types_and_ranges(build, data):
    batch = data.batch(torch.arange(10))
    method = learnt(prepared(build, data), batch)
    losses = method.loss(batch)
    assert losses.total.shape == ()
    assert losses.total.isfinite()
    with torch.no_grad():
        prob, feature = method.eval().predict(batch), method.embed(batch)
    assert method.aus == data.aus
    assert prob.shape == (10, len(data.aus))
    assert prob.dtype == torch.float32
    assert ((prob >= 0) & (prob <= 1)).all()
    assert feature.shape[0] == 10
    assert feature.ndim == 2
    assert feature.dtype == torch.float32
    assert feature.isfinite().all()


def test_prediction_does_not_look_at_labels(build, data):
    batch = data.batch(torch.arange(10))
    method = learnt(prepared(build, data), batch).eval()
    blind = replace(batch, au=torch.full_like(batch.au, torch.nan), intensity=None)
    with torch.no_grad():
        assert torch.equal(method.predict(blind), method.predict(batch))
        assert torch.equal(method.embed(blind), method.embed(batch))


def test_unknown_labels_give_no_gradient(build, data):
    batch = data.batch(torch.arange(10))
    method = learnt(prepared(build, data), batch)
    nothing = replace(batch, au=torch.full_like(batch.au, torch.nan))
    total = method.loss(nothing).total
    assert total.isfinite()
    if total.requires_grad:
        method.zero_grad()
        total.backward()
        for name, parameter in method.named_parameters():
            assert parameter.grad is None or not parameter.grad.any(), name


def test_evaluation_is_deterministic_and_judges_each_face_alone(build, data):
    batch = data.batch(torch.arange(10))
    method = learnt(prepared(build, data), batch).eval()
    with torch.no_grad():
        prob = method.predict(batch)
        assert torch.equal(method.predict(batch), prob)
        torch.testing.assert_close(method.predict(batch[2:5]), prob[2:5], atol=1e-4, rtol=1e-4)


def test_parameter_groups_hold_every_trainable_parameter_once(build, data):
    method = build(data.aus, data.subjects, 0)
    grouped = [id(p) for group in method.param_groups() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)


def test_the_seed_decides_the_beginning_and_nothing_else_is_touched(build, data):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, same, other = (build(data.aus, data.subjects, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    pairs = list(zip(first.state_dict().values(), same.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    if list(first.parameters()):
        assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_a_state_dict_carries_everything_that_was_learnt(build, data):
    batch = data.batch(torch.arange(10))
    method = learnt(prepared(build, data), batch).eval()
    other = build(data.aus, data.subjects, 1).eval()
    with torch.no_grad():
        assert not torch.equal(other.predict(batch), method.predict(batch))
        other.load_state_dict(method.state_dict())
        assert torch.equal(other.predict(batch), method.predict(batch))


@pytest.mark.parametrize("name", ["smoke", "laptop", "gpu"])
def test_every_method_has_the_named_budgets(build, name):
    method = build((1, 12), ("blobs/P000",), 0)
    assert budget_for(method, name).name == name


def test_unknown_and_repeated_aus_are_refused(build):
    with pytest.raises(ValueError, match=r"unknown AU \[3\]"):
        build((1, 3), ("blobs/P000",), 0)
    with pytest.raises(ValueError, match="twice"):
        build((12, 12), ("blobs/P000",), 0)


def test_masked_bce_is_the_mean_over_coded_labels_only():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    target = torch.tensor([[1.0, torch.nan], [0.0, torch.nan]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], target[:, 0])
    loss = masked_bce(logits, target)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert not logits.grad[:, 1].any()
    assert logits.grad[:, 0].all()
