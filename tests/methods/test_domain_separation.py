"""Where gradients go and where they stop, who is separated from what, and what happens at the edges."""

from dataclasses import replace

import pytest
import torch

from fau_utils.batch import Batch
from fau_utils.data.domains import TwoDomains
from fau_utils.methods import domain_losses
from fau_utils.methods.domain_baselines import Dann, DomainSeparationNetworks, LandmarkTask, SourceOnly
from fau_utils.methods.domain_separation import DomainSeparation, Weights
from fau_utils.roles import taken_apart
from fau_utils.training import Budget, fit
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.optimizer import adamw, set_rate
from fau_utils.training.readings import NotFinite

AUS = (1, 4, 12)
BUDGET = Budget("tiny", views=36, batch_size=12, lr=1e-3, weight_decay=0.0, clip=0.0)
MODULES = ("encoder", "head", "landmarks", "texture", "generator", "texture_judge", "judge_s", "judge_t", "aligned")
ARMS = {
    "source only": SourceOnly,
    "landmarks on the source": lambda aus, **o: LandmarkTask(aus, on="source", **o),
    "landmarks on both": LandmarkTask,
    "DANN": Dann,
    "DSN": DomainSeparationNetworks,
    "whole": DomainSeparation,
    "not aligned": lambda aus, **o: DomainSeparation(aus, alignment="none", **o),
    "pixels aligned": lambda aus, **o: DomainSeparation(aus, alignment="pixels", **o),
    "reconstructions aligned": lambda aus, **o: DomainSeparation(aus, supervisors="reconstructed", **o),
    "negatives of the other domain": lambda aus, **o: DomainSeparation(aus, negatives="domains", **o),
    "unshared": lambda aus, **o: DomainSeparation(aus, detector="unshared", **o),
    "frozen": lambda aus, **o: DomainSeparation(aus, detector="unshared", finder=LandmarkTask(aus, **o), **o),
    "given": lambda aus, **o: DomainSeparation(aus, detector="given", **o),
}


@pytest.fixture(scope="module")
def domains(blobs):
    return TwoDomains.of(blobs(4, 6, size=32), blobs(4, 6, size=32, first=9), guides=blobs(3, 4, size=32, first=20))


@pytest.fixture(scope="module")
def batch(domains) -> Batch:
    return next(domains.batches(batch_size=12))


def method(**options) -> DomainSeparation:
    made = DomainSeparation(AUS, size=32, **options).train()
    with torch.no_grad():  # at the beginning it says nothing, and gives the maps no gradient
        made.head.linear.weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    return made


def reached(made: DomainSeparation, loss: torch.Tensor) -> set[str]:
    """Modules that get a gradient of a loss."""
    made.zero_grad()
    loss.backward()
    return {
        name
        for name in (*MODULES, *(["twin"] if made.twin is not None else []))
        if any(p.grad is not None and bool(p.grad.any()) for p in getattr(made, name).parameters())
    }


def parts_of(made, batch):
    return made.loss(batch).parts


ROUTES = {
    "au": {"encoder", "head", "texture", "generator"},
    "landmarks": {"encoder", "landmarks", "texture", "generator"},
    "itself": {"texture", "generator"},
    "cycle": {"texture", "generator"},
    "finds landmarks": {"texture_judge"},
    "hides landmarks": {"texture"},
    "tells domains": {"judge_s", "judge_t"},
    "deceives": {"texture", "generator"},
    "align 1": {"texture", "generator", "aligned"},
    "align 2": {"texture", "generator", "aligned"},
    "align 3": {"texture", "aligned"},
    "align 4": {"texture", "aligned"},
}


@pytest.mark.parametrize("part", ROUTES)
def test_each_loss_teaches_the_modules_it_is_meant_for_and_no_other(batch, part):
    made = method()
    assert reached(made, parts_of(made, batch)[part]) == ROUTES[part]


def test_all_losses_have_a_route(batch):
    assert set(parts_of(method(), batch)) == set(ROUTES)


def test_losses_of_generated_maps_alone_leave_encoder_and_landmark_branch_as_they_are(batch):
    made = method()
    source, target, _ = made.roles(batch)
    for name in ("moved_s", "moved_t"):
        maps = getattr(made.rounds(source, target), name)
        assert reached(made, made.point_loss(maps, source.landmarks)) == {"texture", "generator"}
    au = made.au_loss(made.rounds(source, target).swapped_t, source.au)
    assert reached(made, au) == {"head", "texture", "generator"}
    au = made.au_loss(made.rounds(source, target).real_s, source.au)
    assert reached(made, au) == {"encoder", "head"}


def test_the_second_texture_does_not_teach_the_generator(batch):
    made = method()
    source, target, _ = made.roles(batch)
    assert reached(made, made.rounds(source, target).texture_swapped_s.square().sum()) == {"texture"}


def test_attention_is_detached_on_its_way_into_the_generator(batch):
    made = method()
    source, target, _ = made.roles(batch)
    assert "landmarks" not in reached(made, made.rounds(source, target).again_t.square().sum())
    assert "landmarks" not in reached(made, made.rounds(source, target).back_t.square().sum())


def test_reconstructions_do_not_teach_what_they_are_made_of(batch):
    made = method()
    source, target, _ = made.roles(batch)
    rounds = made.rounds(source, target)
    # back to G by another way than the last call: through the swapped maps, which are detached both times
    for back in (rounds.back_s, rounds.back_t):
        inputs = (rounds.swapped_s, rounds.swapped_t, rounds.moved_s, rounds.moved_t)
        assert torch.autograd.grad(back.sum(), inputs, allow_unused=True, retain_graph=True) == (None,) * 4
    target_of = torch.randn(2, 3, requires_grad=True)
    domain_losses.absolute(torch.zeros(2, 3, requires_grad=True), target_of).backward()
    assert target_of.grad is None


def test_the_swap_takes_movement_from_one_domain_and_texture_from_the_other(batch):
    made = method().eval()  # batch norm aside, each face is on its own
    source, target, _ = taken_apart(batch)
    rounds = made.rounds(source, target)
    other = made.rounds(replace(source, image=1 - source.image), target)
    with torch.no_grad():
        a = made.landmarks(made.encode(source)).flatten(2).softmax(-1).view_as(rounds.points_s)
        expected = made.generator(a, made.texture(made.encode(target)))
    torch.testing.assert_close(rounds.swapped_t, expected)
    torch.testing.assert_close(rounds.texture_t, other.texture_t)
    assert not torch.allclose(rounds.swapped_t, other.swapped_t)


def test_domains_do_not_meet_in_a_batch_norm(batch):
    made = method()
    source, target, _ = taken_apart(batch)
    other = replace(target, image=target.image * 0.2)
    torch.testing.assert_close(made.rounds(source, target).real_s, made.rounds(source, other).real_s)


def test_target_faces_are_classified_as_reconstructed_and_source_faces_as_encoded(batch):
    made = method().eval()
    made.generator.layers[0].weight.data.normal_()
    with torch.no_grad():
        both = made.predict(batch)
        real = made.head(made.encode(batch)).sigmoid()
        blind = made.predict(replace(batch, domain=None))
        encoded = method(reads="encoded").eval()
        encoded.load_state_dict(made.state_dict())
    source = batch.domain == 0
    torch.testing.assert_close(both[source], real[source])
    torch.testing.assert_close(both[~source], blind[~source])
    assert not torch.allclose(both[~source], real[~source])
    torch.testing.assert_close(encoded.predict(batch), real)


def test_unshared_landmarks_come_from_a_twin_that_only_the_landmark_task_teaches(batch):
    made = method(detector="unshared")
    parts = parts_of(made, batch)
    assert reached(made, parts["landmarks"]) == {"encoder", "landmarks", "texture", "generator", "twin"}
    for name in ("au", "cycle", "deceives"):
        assert "twin" not in reached(made, parts_of(made, batch)[name])


def test_guides_do_not_teach_the_shared_modules_when_landmarks_are_unshared_or_given(batch):
    dark = batch.with_image(batch.image.clone())
    dark.image[2::3] = 0
    for detector, matters in (("shared", True), ("given", False)):
        made = method(detector=detector)
        with torch.no_grad():
            same = torch.equal(made.loss(batch).parts["landmarks"], made.loss(dark).parts["landmarks"])
        assert same != matters


def test_a_finder_is_neither_trained_nor_saved(domains):
    finder = LandmarkTask(AUS, size=32)
    made = method(detector="unshared", finder=finder)
    before = {name: value.clone() for name, value in finder.state_dict().items()}
    fit(made, domains, budget=BUDGET, device="cpu", progress=False)
    assert all(torch.equal(value, before[name]) for name, value in finder.state_dict().items())
    assert not any("finder" in name for name in made.state_dict())


def test_alignment_begins_after_its_views(domains):
    made = method(align_after=24)
    history = fit(made, domains, budget=BUDGET, device="cpu", progress=False).history
    assert (history["align 1"].iloc[:2] == 0).all()
    assert history["align 1"].iloc[2] > 0


def test_three_adams_are_one_with_three_groups():
    made, twin = method(), method()
    one = adamw(made, BUDGET)
    three = [torch.optim.Adam(g["params"], lr=1e-3 * g["lr_scale"], betas=g["betas"]) for g in twin.param_groups()]
    assert [g["betas"] for g in one.param_groups] == [(0.95, 0.999), (0.5, 0.9), (0.5, 0.9)]
    set_rate(one, 1e-3)
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for a, b in zip(made.parameters(), twin.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        for optimizer in (one, *three):
            optimizer.step()
    for (name, a), b in zip(made.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_trains_on_two_domains_without_a_target_label(domains, arm):
    made = ARMS[arm](AUS, size=32)
    groups = made.param_groups()
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in made.parameters() if p.requires_grad)
    history = fit(made, domains, budget=BUDGET, device="cpu", progress=False).history
    assert history.notna().all(axis=None)


def test_a_run_of_three_optimisers_goes_on_where_it_was_cut(domains, tmp_path, monkeypatch):
    options = {"budget": BUDGET, "device": "cpu", "progress": False}
    kept = {**options, "checkpoints": Checkpoints(tmp_path, every=12)}
    whole = fit(method(align_after=12), domains, **options)
    served = TwoDomains.batches

    def cut(self, **asked):  # ends like a session does
        for step, batch in enumerate(served(self, **asked)):
            if step == 2 and asked["batch_size"] == BUDGET.batch_size:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(TwoDomains, "batches", cut)
    with pytest.raises(KeyboardInterrupt):
        fit(method(align_after=12), domains, **kept)
    monkeypatch.undo()
    again = fit(method(align_after=12), domains, **kept)
    for (name, a), b in zip(whole.method.state_dict().items(), again.method.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_an_adversary_that_diverges_stops_the_run_and_says_where(domains):
    class Exploding(DomainSeparation):
        def adversarial(self, *arguments):
            return {name: part * 1e38 * 1e5 for name, part in super().adversarial(*arguments).items()}

    with pytest.raises(NotFinite, match=r"loss was (inf|nan) at step 1"):
        fit(Exploding(AUS, size=32), domains, budget=BUDGET, device="cpu", progress=False)


def test_a_plain_set_is_refused_with_words(blobs):
    plain = replace(blobs(4, 6, size=32), domain=torch.zeros(24, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected threes of a source, a target and a guiding face"):
        fit(DomainSeparation(AUS, size=32), plain, budget=BUDGET, device="cpu", progress=False)
    with pytest.raises(ValueError, match="in threes"):
        method().loss(Batch(**{n: v[:10] for n, v in next(_batches(plain))._present()}))


def _batches(data):
    return data.batches(batch_size=12)


def test_batches_without_a_domain_teach_their_labels_alone(blobs):
    made = method()
    losses = made.loss(blobs(4, 6, size=32).batch(torch.arange(10)))
    assert reached(made, losses.total) == {"encoder", "head"}


@pytest.mark.parametrize(
    "options", [{"detector": "frozen"}, {"alignment": "l1"}, {"pairs": (5,)}, {"networks": "big"}, {"reads": "both"}]
)
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        DomainSeparation(AUS, size=32, **options)


def test_factors_scale_their_losses(batch):
    once, made = method(), method(factors=Weights(cycle=80.0))
    made.load_state_dict(once.state_dict())
    torch.testing.assert_close(made.loss(batch).parts["cycle"], 2 * once.loss(batch).parts["cycle"])
    assert domain_losses.absolute(torch.ones(2), torch.zeros(2)) == 1
