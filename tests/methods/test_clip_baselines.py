"""The rivals of CLP: losses against loops and against lightly, and what each of them trains."""

import pytest
import torch
from torch.nn import functional as F

from fau_utils.data.clips import ClipSet
from fau_utils.methods import METHODS, Clp, CrossOnly, Learner, Moco, OwnRows, SimClr, SupervisedClips, TemporalOnly
from fau_utils.methods.clip_baselines import ClipAutoencoder, Untrained, moco_loss, simclr_loss
from fau_utils.models import store
from fau_utils.models.clip_encoder import ClipEncoder
from fau_utils.training import Budget, budget_for, fit

SMALL = {"size": 32, "dim": 32, "head": 16}
LEARNERS = {
    "moco": lambda seed=0: Moco(memory=40, seed=seed, **SMALL),
    "simclr": lambda seed=0: SimClr(seed=seed, **SMALL),
    "temporal": lambda seed=0: TemporalOnly(length=4, memory=8, seed=seed, **SMALL),
    "cross": lambda seed=0: CrossOnly(length=4, memory=40, negatives=24, seed=seed, **SMALL),
    "own rows": lambda seed=0: OwnRows(length=4, memory=40, negatives=24, seed=seed, **SMALL),
    "autoencoder": lambda seed=0: ClipAutoencoder(seed=seed, **{**SMALL, "head": 0}),
}


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def clips(blobs):
    return ClipSet(blobs(6, 12, size=32), length=4)


@pytest.fixture
def batch(clips):
    return next(clips.batches(batch_size=24))


def test_simclr_is_what_its_equation_says():
    first, second = unit(5, 8), unit(5, 8, seed=1)
    z, terms = torch.cat([first, second]), []
    for i in range(10):
        others = torch.stack([z[i] @ z[n] / 0.2 for n in range(10) if n != i])
        terms.append(others.logsumexp(0) - z[i] @ z[(i + 5) % 10] / 0.2)
    torch.testing.assert_close(simclr_loss(first, second, temperature=0.2), torch.stack(terms).mean())


def test_moco_is_what_its_equation_says_and_empty_places_do_not_count():
    q, k, queue = unit(3, 8), unit(3, 8, seed=1), unit(6, 8, seed=2)
    filled = torch.tensor([True, False, True, True, False, True])
    terms = []
    for i in range(3):
        scores = torch.cat([(q[i] @ k[i])[None], queue[filled] @ q[i]]) / 0.2
        terms.append(-scores.log_softmax(0)[0])
    torch.testing.assert_close(moco_loss(q, k, queue, filled, temperature=0.2), torch.stack(terms).mean())
    assert moco_loss(q, k, queue, torch.zeros(6, dtype=torch.bool)) == 0


def test_both_agree_with_lightly():
    loss = pytest.importorskip("lightly.loss")
    first, second = unit(6, 8), unit(6, 8, seed=1)
    torch.testing.assert_close(simclr_loss(first, second, temperature=0.2), loss.NTXentLoss(0.2)(first, second))
    theirs = loss.NTXentLoss(0.2, memory_bank_size=(10, 8))
    queue = theirs.memory_bank.bank
    ours = moco_loss(first, second, queue, torch.ones(10, dtype=torch.bool), temperature=0.2)
    torch.testing.assert_close(ours, theirs(first, second))


@pytest.mark.parametrize("name", list(LEARNERS))
def test_every_rival_is_a_learner_whose_encoder_learns_without_labels(name, clips):
    learner = LEARNERS[name]()
    assert isinstance(learner, Learner)
    before = [p.clone() for p in learner.encoder.parameters()]
    budget = Budget("tiny", views=24 * 3, batch_size=24, lr=1e-3, weight_decay=0.0)
    fit(learner, clips, budget=budget, augment=False, progress=False)
    moved = [not torch.equal(a, b) for a, b in zip(before, learner.encoder.parameters(), strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    batch = next(clips.batches(batch_size=24))
    assert learner.embed(batch).shape == (24, 32)
    torch.testing.assert_close(learner.project(batch).norm(dim=1), torch.ones(24))
    assert budget_for(learner, "laptop").views > 0


def test_all_rivals_of_a_seed_begin_with_the_same_encoder():
    first = LEARNERS["temporal"](seed=3).encoder.state_dict()
    for name, make in LEARNERS.items():
        other = make(seed=3).encoder.state_dict()
        for key in (key for key in other if not key.startswith("head.")):
            assert torch.equal(first[key], other[key]), (name, key)
    assert not torch.equal(first["trunk.head.weight"], LEARNERS["moco"](seed=4).encoder.trunk.head.weight)


def test_the_parts_of_clp_are_what_their_names_say(batch):
    assert set(TemporalOnly(length=4, **SMALL).loss(batch).parts) == {"temporal", "std", "rank"}
    assert set(CrossOnly(length=4, **SMALL).loss(batch).parts) == {"cross", "std", "rank", "entropy"}
    assert OwnRows(length=4, **SMALL).mask == "none"
    assert Clp(length=4, **SMALL).mask == "person"


def test_moco_keeps_keys_only_while_it_learns(batch):
    learner = LEARNERS["moco"]()
    learner.loss(batch)
    assert int(learner.memory.place) == 24
    with torch.no_grad():
        learner.loss(batch)
    learner.eval().loss(batch)
    assert int(learner.memory.place) == 24


def test_the_autoencoder_learns_to_draw(clips):
    learner = LEARNERS["autoencoder"]()
    budget = Budget("tiny", views=24 * 15, batch_size=24, lr=2e-3, weight_decay=0.0)
    history = fit(learner, clips, budget=budget, augment=False, progress=False).history
    assert history["pixels"].iloc[-3:].mean() < 0.8 * history["pixels"].iloc[0]


def test_the_untrained_encoder_stays_as_it_is_but_for_the_mean_face(clips):
    learner = Untrained(**SMALL)
    before = {name: value.clone() for name, value in learner.named_parameters()}
    budget = Budget("tiny", views=24 * 2, batch_size=24, lr=1e-2, weight_decay=0.0)
    fit(learner, clips, budget=budget, augment=False, progress=False)
    for name, value in learner.named_parameters():
        assert torch.equal(value, before[name]), name
    assert learner.encoder.normalise.mean.std() > 0


def test_fine_tuning_begins_from_what_was_learnt_in_memory_or_on_the_disk(tmp_path, batch):
    learner = LEARNERS["moco"](seed=5)
    folder = store.save(learner.encoder, tmp_path)
    for init in (learner, folder):
        method = SupervisedClips((1, 12), size=32, dim=32, init=init)
        torch.testing.assert_close(method.eval().embed(batch), learner.eval().embed(batch))
    with pytest.raises(store.CheckpointError, match="pass kinds="):
        store.load(folder)
    again = store.load(folder, kinds={"ClipEncoder": ClipEncoder})
    torch.testing.assert_close(again(batch.image), learner.project(batch))


def test_the_ceiling_learns_labels(blobs):
    faces, strangers = blobs(6, 16, size=32), blobs(4, 16, size=32, first=50, seed=1)
    method = SupervisedClips(faces.aus, size=32, dim=32)
    budget = Budget("tiny", views=96 * 6, batch_size=32, lr=2e-3)
    history = fit(method, faces, val=strangers, budget=budget, progress=False).history
    assert history["val_auc"].iloc[-1] > 0.7


def test_all_can_be_typed():
    assert {"clip-moco", "clip-simclr", "clp-temporal", "clp-cross", "clp-own-rows", "clip-autoencoder",
            "clip-detector"} <= set(METHODS)  # fmt: skip
