"""Identity losses by hand, what the reversal reaches, who takes part, and the published recipes."""

import math

import pytest
import torch
from torch.nn import functional as F

from fau_utils.data.images import ImageSet
from fau_utils.methods import FmaeIat, PretrainedVit
from fau_utils.methods.fmae_iat import (
    IdentityAdversary,
    kept,
    one_vs_all_identity_loss,
    softmax_identity_loss,
    uniform_confusion_loss,
)
from fau_utils.training import Budget, fit, predict

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0], [3.0, 3.0, 3.0]])
WHO = torch.tensor([0, 2, -1])  # the last is a stranger


@pytest.fixture(scope="module")
def faces(blobs) -> ImageSet:
    return blobs(4, 6, size=32)


def small(faces, **options) -> FmaeIat:
    return FmaeIat(faces.aus, subjects=faces.subjects, size=32, model="mini64", **options)


def gradients(method, batch) -> dict[str, torch.Tensor]:
    method.zero_grad()
    method.loss(batch).total.backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def everybody(faces):
    return faces.batch(torch.arange(len(faces)))


def test_one_vs_all_is_the_mean_over_known_faces_and_all_people():
    def bce(z, y):
        p = 1 / (1 + math.exp(-z))
        return -math.log(p if y else 1 - p)

    rows = [
        [bce(z, s == who) for s, z in enumerate(row)] for row, who in ((LOGITS[0].tolist(), 0), (LOGITS[1].tolist(), 2))
    ]
    expected = sum(map(sum, rows)) / 6
    assert float(one_vs_all_identity_loss(LOGITS, WHO)) == pytest.approx(expected, rel=1e-6)


def test_softmax_and_confusion_are_those_of_the_known_faces():
    def log_softmax(row):
        total = math.log(sum(map(math.exp, row)))
        return [z - total for z in row]

    first, second = (log_softmax(row) for row in LOGITS[:2].tolist())
    assert float(softmax_identity_loss(LOGITS, WHO)) == pytest.approx(-(first[0] + second[2]) / 2, rel=1e-6)
    expected = -(sum(first) / 3 + sum(second) / 3) / 2
    assert float(uniform_confusion_loss(LOGITS, WHO)) == pytest.approx(expected, rel=1e-6)
    assert float(uniform_confusion_loss(torch.zeros(2, 5), torch.tensor([0, 4]))) == pytest.approx(math.log(5))


def test_the_softmax_gradient_is_as_many_times_stronger_as_there_are_people():
    people = 41
    found = []
    for loss in (one_vs_all_identity_loss, softmax_identity_loss):
        logits = torch.full((1, people), -math.log(people - 1)).requires_grad_()  # every sigmoid is 1 / S
        loss(logits, torch.tensor([7])).backward()
        found.append(logits.grad[0, 7])
    assert float(found[1] / found[0]) == pytest.approx(people, rel=1e-5)


@pytest.mark.parametrize("loss", [one_vs_all_identity_loss, softmax_identity_loss, uniform_confusion_loss])
def test_strangers_and_people_beyond_the_outputs_give_nothing(loss):
    logits = torch.randn(3, 4, requires_grad=True)
    total = loss(logits, torch.tensor([-1, 4, 9]))
    total.backward()
    assert float(total.detach()) == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("identity", ["bce", "ce"])
def test_the_gradient_is_reversed_below_the_head_and_nowhere_else(faces, identity):
    batch = everybody(faces)
    method = small(faces, identity=identity, strength=3.0).train()
    with torch.no_grad():
        method.head.weight.normal_()
    together = gradients(method, batch)
    method.strength = 0.0
    au = gradients(method, batch)  # nothing of the identity loss comes through
    method.strength = -1.0
    plain = gradients(method, batch)  # as if nothing were reversed
    for name, value in together.items():
        if name.startswith("adversary"):
            torch.testing.assert_close(value, plain[name])
            assert value.any()
        else:
            expected = au[name] - 3 * (plain[name] - au[name])
            torch.testing.assert_close(value, expected, atol=1e-4, rtol=1e-3)
    moved = [
        name for name in au if not name.startswith(("adversary", "head")) and not torch.equal(au[name], plain[name])
    ]
    assert any(name.startswith("patch_embed") or "patch_embed" in name for name in moved)
    assert torch.equal(au["head.weight"], plain["head.weight"])


def test_confusion_teaches_the_encoder_only_and_identity_the_head_only(faces):
    batch = everybody(faces)
    method = small(faces, identity="uniform", strength=2.0).train()
    feature = method.network.features(method.normalise(batch.image)).detach().requires_grad_()
    said, confused = method._adversary_of(feature)
    softmax_identity_loss(said, batch.subject).backward()
    assert feature.grad is None
    before = method.adversary[0].weight.grad.clone()
    uniform_confusion_loss(confused, batch.subject).backward()
    assert feature.grad.any()
    assert torch.equal(method.adversary[0].weight.grad, before)


def test_the_total_is_the_sum_of_its_parts_and_lambda_is_not_in_it(faces):
    batch = everybody(faces)
    values = []
    for strength in (0.5, 5.0):
        losses = small(faces, strength=strength).train().loss(batch)
        total = losses.total.detach()
        assert float(total) == pytest.approx(sum(float(part.detach()) for part in losses.parts.values()))
        values.append(float(total))
    assert values[0] == pytest.approx(values[1])


def test_without_strength_it_is_the_pretrained_vit(faces):
    plain = PretrainedVit(faces.aus, size=32, model="mini64", seed=3)
    ours = small(faces, strength=0.0, seed=3)
    batch = everybody(faces)
    assert ours.adversary is None
    assert torch.equal(ours.loss(batch).total, plain.loss(batch).total)
    other = small(faces, strength=1.0, seed=3)
    assert all(torch.equal(p, other.get_parameter(name)) for name, p in plain.named_parameters())
    assert not torch.equal(other.adversary[0].weight, small(faces, strength=1.0, seed=4).adversary[0].weight)
    with pytest.raises(ValueError, match="no identity head"):
        ours.name_people(batch)


def test_heads_have_the_published_layers_and_may_begin_at_the_base_rate():
    shapes = [[tuple(p.shape) for p in IdentityAdversary(64, 5, depth=d).parameters() if p.ndim > 1] for d in (1, 2, 3)]
    assert shapes == [[(5, 64)], [(32, 64), (5, 32)], [(32, 64), (16, 32), (5, 16)]]
    head = IdentityAdversary(64, 5, base_rate_bias=True)
    torch.testing.assert_close(head[0].bias.sigmoid(), torch.full((5,), 0.2))
    with pytest.raises(ValueError, match="1, 2 or 3 layers, found 4"):
        IdentityAdversary(64, 5, depth=4)


def test_outputs_for_people_who_never_train_are_never_right(faces):
    method = small(faces, outputs=41)
    assert method.name_people(everybody(faces)).shape == (len(faces), 41)
    with pytest.raises(ValueError, match="an output for each of 4 people, found 3"):
        small(faces, outputs=3)


def test_lambda_rises_in_views_and_the_run_carries_how_far_it_is(faces):
    method = small(faces, strength=2.0, ramp=100).train()
    batch = everybody(faces)
    found = [float(method._lambda())]
    for _ in range(3):
        method.loss(batch)
        found.append(float(method._lambda()))
    expected = [2 * (2 / (1 + math.exp(-10 * views / 100)) - 1) for views in (0, 24, 48, 72)]
    assert found == pytest.approx(expected, rel=1e-5)
    other = small(faces, strength=2.0, ramp=100)
    other.load_state_dict(method.state_dict())
    assert float(other._lambda()) == found[-1]
    other.eval().loss(batch)
    assert float(other._lambda()) == found[-1]


def test_permuted_identities_are_fixed_for_each_frame_and_say_nothing_of_the_person(blobs):
    faces = blobs(4, 200, size=32)
    method = small(faces, permuted=True)
    drawn = method._people_of(everybody(faces))
    assert torch.equal(drawn, method._people_of(everybody(faces)))
    half = method._people_of(faces.batch(torch.arange(300, 500)))
    assert torch.equal(half, drawn[300:500])
    counts = torch.zeros(4, 4).index_put_((faces.subject, drawn), torch.ones(len(drawn)), accumulate=True)
    assert counts.min() > 25  # of 50 expected
    strangers = faces.with_subjects(faces.subjects[:2])
    assert (method._people_of(everybody(strangers))[400:] == -1).all()


def test_people_outside_training_are_predicted_and_give_no_identity_loss(faces, blobs):
    method = small(faces)
    others = blobs(3, 4, size=32, first=50).with_subjects(faces.subjects)
    losses = method.loss(everybody(others))
    assert float(losses.parts["identity"].detach()) == 0
    assert len(predict(method, others, device="cpu")) == 12


def test_a_share_of_the_patches_is_left_out_in_training_only(faces):
    torch.manual_seed(0)
    counts = [kept(3, 16, most=0.75, device="cpu").shape[1] for _ in range(200)]
    assert (min(counts), max(counts)) == (5, 16)
    keep = kept(3, 16, most=0.75, device="cpu")
    assert all(len(set(row.tolist())) == keep.shape[1] for row in keep)
    batch = everybody(faces)
    method = small(faces, drop=0.75)
    with torch.no_grad():
        method.head.weight.normal_()
        still = method.eval().predict(batch)
        assert torch.equal(still, method.predict(batch))
        assert torch.equal(method._feature(batch), method.embed(batch)), "nor when the loss of other faces is asked for"
        assert not torch.equal(method.train()._feature(batch), method._feature(batch))


def test_what_is_done_to_training_faces_is_not_done_to_others(faces):
    seen = []

    def black(batch):
        seen.append(len(batch))
        return batch.with_image(torch.zeros_like(batch.image))

    method = small(faces, augment=black)
    batch = everybody(faces)
    with torch.no_grad():
        method.head.weight.normal_()
        assert method.eval().predict(batch).std(0).max() > 0
        method.loss(batch)
        assert not seen
        method.train()
        assert method._feature(batch).std(0).max() < 1e-5
    assert seen == [24]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"identity": "l2"}, "identity = 'l2'"), ({"strength": -1.0}, "strength = -1.0"), ({"drop": 1.0}, "drop = 1.0"),
     ({"ramp": -1}, "ramp = -1"), ({"reads": "cls"}, "reads = 'cls'")],
)  # fmt: skip
def test_options_out_of_range_are_named(faces, wrong, said):
    with pytest.raises(ValueError, match=said):
        small(faces, **wrong)


def test_a_strong_adversary_makes_the_pooled_feature_say_less_of_who_it_is(blobs):
    """The mechanism, on pictures where identity is a colour that no AU needs."""
    faces = blobs(6, 40, size=32)
    budget = Budget("test", views=2400, batch_size=48, lr=2e-3)
    agreement = []
    for strength in (1e-6, 1.0):
        method = small(faces, identity="ce", strength=strength, permuted=False)
        fit(method, faces, budget=budget, device="cpu", progress=False)
        with torch.no_grad():
            said = method.name_people(everybody(faces))
        agreement.append(float(F.cross_entropy(said, faces.subject)))
    assert agreement[0] < agreement[1]


def test_recipes_are_those_of_the_readme():
    found = FmaeIat.recipes
    assert len(found) == 12
    numbers = {
        name: (recipe.budget()["lr"], recipe.epochs, recipe.warmup, recipe.options["strength"])
        for name, recipe in found.items()
        if name.endswith("published")
    }
    assert numbers == {
        "bp4d-fmae-published": (5e-5, 20, 2, 0.0),
        "bp4d-iat-published": (1.25e-4, 30, 3, 2.0),
        "bp4dplus-fmae-published": (1.25e-4, 20, 2, 0.0),
        "bp4dplus-iat-published": (1.25e-4, 30, 3, 1.0),
        "disfa-fmae-published": (1.25e-4, 20, 2, 0.0),
        "disfa-iat-published": (1.25e-4, 20, 2, 0.5),
    }


@pytest.mark.parametrize("dataset", ["bp4d", "bp4dplus", "disfa"])
def test_controlled_recipes_differ_in_the_adversary_only(dataset):
    plain, ours = (FmaeIat.recipes[f"{dataset}-{arm}"] for arm in ("fmae", "iat"))
    assert plain.budget(1000) == ours.budget(1000)
    assert plain.augment == ours.augment
    differ = {name for name in {*plain.options, *ours.options} if plain.options.get(name) != ours.options.get(name)}
    assert differ == {"strength", "identity", "depth", "outputs"}


def test_epochs_become_views_of_the_training_set():
    recipe = FmaeIat.recipes["bp4d-iat"]
    numbers = Budget(name="paper", **recipe.budget(1000))
    assert (numbers.views, numbers.batch_size, numbers.warmup, numbers.clip) == (30_000, 64, 0.1, 0.0)
