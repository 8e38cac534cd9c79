"""CLP: its losses against loops, who may be asked, what learns, and what survives an interruption."""

import copy
import os
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from fau_utils.data.clips import ClipSet
from fau_utils.methods import METHODS, Clp, Learner, Method
from fau_utils.methods.clp import (
    contrastive_reconstruction_loss,
    cross_identity_reconstruction,
    in_clips,
    reconstruction_loss,
    temporal_margin_loss,
)
from fau_utils.models.collapse import Collapsed
from fau_utils.training import Budget, budget_for, fit
from fau_utils.training.checkpoints import Checkpoints

SMALL = {"size": 32, "length": 4, "dim": 32, "head": 16, "memory": 48, "negatives": 24}


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture(scope="module")
def clips(blobs):
    return ClipSet(blobs(6, 12, size=32), length=4)


@pytest.fixture
def batch(clips):
    return next(clips.batches(batch_size=24))


def by_hand(q, *, reading, margin, temperature=0.1):
    """The three readings of L_T for one clip, as loops over the frames."""
    frames, terms = range(len(q)), []
    for i in frames:
        if reading == "C":
            far = [torch.exp(q[i] @ q[k] / temperature) for k in frames if abs(k - i) > 1]
            for j in (j for j in frames if abs(j - i) == 1):
                near = torch.exp((q[i] @ q[j] - margin) / temperature)
                terms.append(-torch.log(near / (near + sum(far))))
            continue
        for j in frames:
            for k in frames:
                ranked = (i < j < k or i > j > k) if reading == "A" else abs(j - i) == 1 < abs(k - i)
                if ranked:
                    least = margin * (abs(k - j) if reading == "A" else 1)
                    terms.append(F.relu((q[i] - q[j]).square().sum() - (q[i] - q[k]).square().sum() + least))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("reading", ["A", "B", "C"])
@pytest.mark.parametrize("frames", [3, 7])
def test_contrast_in_time_is_what_its_equation_says(reading, frames):
    q = unit(5, frames, 8)
    expected = torch.stack([by_hand(clip, reading=reading, margin=0.1) for clip in q]).mean()
    torch.testing.assert_close(temporal_margin_loss(q, margin=0.1, reading=reading), expected)


@pytest.mark.parametrize("reading", ["A", "B", "C"])
def test_contrast_in_time_has_a_finite_gradient_also_where_all_frames_are_the_same(reading):
    q = unit(2, 1, 8).expand(2, 3, 8).clone().requires_grad_()
    temporal_margin_loss(q, reading=reading).backward()
    assert q.grad.isfinite().all()


def test_frames_in_order_on_an_arc_satisfy_the_ranking_and_shuffled_ones_do_not():
    angle = torch.linspace(0, 1.5, 7)
    arc = torch.stack([angle.cos(), angle.sin()], 1)[None]
    assert temporal_margin_loss(arc, margin=0.01) == 0
    assert temporal_margin_loss(arc[:, torch.tensor([3, 0, 5, 1, 6, 2, 4])], margin=0.01) > 0.1


def test_clips_of_two_frames_and_unknown_readings_are_refused():
    with pytest.raises(ValueError, match="at least 3 frames, found 2"):
        temporal_margin_loss(unit(2, 2, 4))
    with pytest.raises(ValueError, match="expected reading A, B or C, found 'D'"):
        temporal_margin_loss(unit(2, 3, 4), reading="D")
    with pytest.raises(ValueError, match="expected mask of person, clip, none, found 'nobody'"):
        Clp(mask="nobody", **SMALL)


def test_nothing_of_the_own_person_takes_part_in_the_reconstruction():
    q, rows, owner = unit(3, 8), unit(20, 8, seed=1), torch.arange(20) % 5
    person = torch.tensor([0, 3, 9])
    q_hat, attention = cross_identity_reconstruction(q, rows, person, owner)
    assert not attention[0, owner == 0].any()
    assert not attention[1, owner == 3].any()
    assert (attention[2] > 0).all()
    torch.testing.assert_close(attention.sum(1), torch.ones(3))
    torch.testing.assert_close(q_hat.norm(dim=1), torch.ones(3))
    changed = torch.where((owner == 0)[:, None], unit(20, 8, seed=2), rows)
    again, _ = cross_identity_reconstruction(q, changed, person, owner)
    assert torch.equal(again[0], q_hat[0])
    assert not torch.equal(again[1], q_hat[1])


def test_empty_rows_are_nobodys_and_who_is_alone_gets_nothing_and_no_gradient():
    q = unit(2, 8).requires_grad_()
    rows, owner = unit(6, 8, seed=1), torch.tensor([4, 4, -1, -1, 4, -1])
    q_hat, attention = cross_identity_reconstruction(q, rows, torch.tensor([4, 5]), owner)
    assert not attention[:, owner == -1].any()
    assert not attention[0].any()
    assert not q_hat[0].any()
    reconstruction_loss(q_hat, unit(2, 8, seed=3)).sum().backward()
    assert not q.grad[0].any()
    assert q.grad[1].any()


def test_the_contrastive_reading_leaves_out_keys_of_the_own_clip():
    q_hat, k_r, others = unit(2, 8), unit(2, 8, seed=1), unit(5, 8, seed=2)
    allowed = torch.tensor([[True, True, False, False, True], [False] * 5])
    loss = contrastive_reconstruction_loss(q_hat, k_r, others, allowed, temperature=0.5)
    scores = torch.cat([(q_hat[0] @ k_r[0])[None], others[allowed[0]] @ q_hat[0]]) / 0.5
    torch.testing.assert_close(loss[0], -scores.log_softmax(0)[0])
    assert loss[1] == 0


def test_with_one_person_only_in_the_memory_the_reconstruction_is_nothing(batch):
    learner = Clp(**SMALL).train()
    losses = learner.loss(replace(batch, subject=torch.zeros_like(batch.subject)))
    assert losses.parts["cross"] == 0
    assert losses.total.isfinite()
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in learner.encoder.parameters() if p.grad is not None)


def test_it_is_a_learner_that_reads_no_label_and_every_parameter_learns(batch):
    learner = Clp(**SMALL)
    assert isinstance(learner, Learner)
    assert not isinstance(learner, Method)
    learner.prepare(batch.image)
    blind = replace(batch, au=batch.au[:, :0], landmarks=None, visible=None, intensity=None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = copy.deepcopy(learner).loss(batch).total
        torch.manual_seed(0)
        losses = learner.loss(blind)
    assert torch.equal(losses.total, first)
    torch.testing.assert_close(losses.total, losses.parts["temporal"] + losses.parts["cross"])
    losses.total.backward()
    grouped = {id(p) for group in learner.param_groups() for p in group["params"]}
    for name, parameter in learner.named_parameters():
        learns = name.startswith("encoder.")
        assert (id(parameter) in grouped) == learns, name
        assert (parameter.grad is not None) == learns, name
    assert learner.eval().embed(blind).shape == (24, 32)
    torch.testing.assert_close(learner.project(blind).norm(dim=1), torch.ones(24))


def test_one_view_is_drawn_for_a_clip_and_another_for_each_key(batch):
    learner = Clp(**SMALL)
    still = batch.with_image(batch.image[::4].repeat_interleave(4, 0))  # nothing moves in these clips
    seen = learner.views(still.image, together=4).unflatten(0, (-1, 4))
    torch.testing.assert_close(seen, seen[:, :1].expand_as(seen))
    alone = learner.views(still.image).unflatten(0, (-1, 4))
    assert (alone - alone[:, :1])[:, 1:].flatten(2).abs().mean(2).min() > 1e-3


def test_the_encoder_is_shown_a_clip_in_one_view(batch):
    learner, shown = Clp(**SMALL).train(), []
    learner.encoder.register_forward_pre_hook(lambda module, given: shown.append(given[0]))
    learner.loss(batch.with_image(batch.image[::4].repeat_interleave(4, 0)))
    seen = shown[0].unflatten(0, (-1, 4))
    torch.testing.assert_close(seen, seen[:, :1].expand_as(seen))


def test_empty_places_for_earlier_keys_are_no_negatives(batch):
    losses = []
    for negatives in (1, 24):
        learner = Clp(**{**SMALL, "negatives": negatives}).train()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            losses.append(learner.loss(batch).parts["cross"])
    torch.testing.assert_close(losses[0], losses[1])


def test_the_momentum_encoder_follows_slowly_and_the_memory_knows_whose_its_rows_are(batch):
    learner = Clp(momentum=0.9, **SMALL).train()
    before = [p.clone() for p in learner.follower.network.parameters()]
    with torch.no_grad():
        for parameter in learner.encoder.parameters():
            parameter.add_(1.0)
    learner.loss(batch)
    for own, now in zip(before, learner.follower.network.parameters(), strict=True):
        torch.testing.assert_close(now, own + 0.1, atol=1e-4, rtol=1e-4)
    _, person, clip = in_clips(batch, 4)
    assert learner.memory.person[:12].tolist() == person.tolist() * 2
    assert learner.memory.clip[:12].tolist() == clip.tolist() * 2
    assert (learner.memory.person[12:] == -1).all()
    torch.testing.assert_close(learner.memory.rows[:12].norm(dim=1), torch.ones(12))
    for _ in range(4):
        learner.loss(batch)
    assert (learner.memory.person >= 0).all()  # 60 rows went into 48 places
    assert int(learner.memory.place) == 60 % 48


def test_looking_at_the_loss_without_a_gradient_changes_nothing(batch):
    learner = Clp(**SMALL).train()
    learner.loss(batch)
    memory = learner.memory.rows.clone()
    with torch.no_grad():
        learner.loss(batch)
    assert torch.equal(learner.memory.rows, memory)


@pytest.mark.parametrize("options", [{"temporal": "B"}, {"temporal": "C", "cross": "A"}, {"reference": "middle"},
                                     {"mask": "clip"}, {"mask": "none"}, {"head": 0}])  # fmt: skip
def test_every_reading_trains(clips, options):
    learner = Clp(**{**SMALL, **options})
    budget = Budget("tiny", views=24 * 6, batch_size=24, lr=1e-3)
    history = fit(learner, clips, budget=budget, augment=False, progress=False).history
    assert history[["temporal", "cross", "std", "rank", "entropy"]].notna().all(axis=None)


def test_rows_of_the_own_person_make_the_reconstruction_easier_and_take_more_than_their_share(batch):
    """The negative control cheats: its loss is lower, for nothing."""
    masked, open_ = (Clp(mask=mask, cross="A", weight=1.0, **SMALL).train() for mask in ("person", "none"))
    ends = []
    for learner in (masked, open_):
        torch.manual_seed(0)
        with torch.random.fork_rng():
            for _ in range(3):
                losses = learner.loss(batch)
        ends.append(float(losses.parts["cross"].detach()))
    assert ends[1] < ends[0]


def test_batches_that_are_no_whole_clips_are_refused(batch):
    with pytest.raises(ValueError, match="whole clips of 4 frames, found a batch of 23"):
        Clp(**SMALL).loss(batch[:23])


def test_an_interrupted_run_ends_as_one_that_was_not_with_memory_and_momentum(clips, tmp_path):
    budget = Budget("tiny", views=24 * 8, batch_size=24, lr=1e-3)
    options = {"budget": budget, "augment": False, "progress": False, "seed": 2}
    whole = fit(Clp(**SMALL), clips, **options).method

    class Stopped(Clp):
        steps = 0

        def loss(self, batch):
            self.steps += 1
            if self.steps > 5:
                raise InterruptedError
            return super().loss(batch)

    Stopped.__module__, Stopped.__qualname__ = Clp.__module__, Clp.__qualname__  # the same run by its name
    kept = Checkpoints(tmp_path, every=24 * 2)
    with pytest.raises(InterruptedError):
        fit(Stopped(**SMALL), clips, checkpoints=kept, **options)
    resumed = fit(Clp(**SMALL), clips, checkpoints=kept, **options).method
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_collapsed_run_is_stopped_with_a_message(clips):
    learner = Clp(**SMALL)
    learner.watch.every = 1
    learner.prepare = lambda images: None
    last = learner.encoder.head[1]
    torch.nn.init.zeros_(last.weight)  # every face becomes the bias
    budget = Budget("tiny", views=24 * 30, batch_size=24, lr=0.0)
    with pytest.raises(Collapsed, match=r"collapsed \(std.*5 readings up to step 5 .*Try less weight"):
        fit(learner, clips, budget=budget, augment=False, progress=False)


def test_it_has_the_named_budgets_in_whole_clips_and_its_name_can_be_typed():
    for name in ("smoke", "laptop", "gpu", "paper"):
        assert budget_for(Clp, name).batch_size % 7 == 0
    assert METHODS["clp"] is Clp


def _in_two(rank, out, batch):
    """A process that was forked: forward passes only, for autograd's threads do not survive a fork."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{out / 'meet'}", rank=rank, world_size=2)
    learner = Clp(**SMALL).train()
    for _ in range(2):
        losses = learner.loss(batch[rank * 12 : (rank + 1) * 12])
    torch.save({"loss": losses.total.detach(), **dict(learner.named_buffers())}, out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_two_processes_have_one_memory_with_the_keys_of_both(batch, tmp_path):
    torch.multiprocessing.start_processes(_in_two, args=(tmp_path, batch), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name in ("rows", "person", "clip", "place"):
        assert torch.equal(first[f"memory.{name}"], second[f"memory.{name}"])
        assert torch.equal(first[f"past.{name}"], second[f"past.{name}"])
    clip = in_clips(batch, 4)[2].tolist()
    assert first["memory.clip"][:24].tolist() == (clip[:3] * 2 + clip[3:] * 2) * 2
    assert first["past.clip"][:12].tolist() == clip * 2
    assert int(first["memory.place"]) == 24
    assert first["loss"].isfinite()
