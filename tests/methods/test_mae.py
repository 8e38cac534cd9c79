"""Pretraining by masking, and what fine-tuning makes of it."""

import copy
from dataclasses import replace

import pytest
import torch

from fau_utils.methods import Learner, MaePretraining, Method, PretrainedVit
from fau_utils.methods.mae import model_for
from fau_utils.models.normalise import ImageNet, MeanFace
from fau_utils.training import Budget, budget_for, fit

TINY = {"dim": 24, "depth": 2, "heads": 2, "decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2}


@pytest.fixture
def batch(blobs):
    return blobs(3, 4, size=32).batch(torch.arange(12))


def test_it_is_a_learner_that_detects_nothing_and_reads_no_label(batch):
    learner = MaePretraining(size=32, model="mini64")
    assert isinstance(learner, Learner)
    assert not isinstance(learner, Method)
    blind = replace(batch, au=batch.au[:, :0], landmarks=None, visible=None, intensity=None)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = learner.loss(batch).total
        torch.manual_seed(0)
        assert torch.equal(learner.loss(blind).total, first)
    assert learner.embed(blind).shape == (12, learner.network.encoder.width)


def test_every_parameter_learns_and_is_in_one_group(batch):
    learner = MaePretraining(size=32, model="mini64")
    learner.loss(batch).total.backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    grouped = [id(p) for group in learner.param_groups() for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in learner.parameters())


@pytest.mark.parametrize("name", ["smoke", "laptop", "gpu", "paper"])
def test_it_has_the_named_budgets(name):
    assert budget_for(MaePretraining, name).betas == (0.9, 0.95)
    assert budget_for(PretrainedVit, name).views > 0


def test_the_recipe_of_the_paper_is_complete():
    budget = budget_for(MaePretraining, "paper")
    assert (budget.batch_size, budget.lr, budget.weight_decay, budget.clip) == (512, 1.5e-4 * 512 / 256, 0.05, 0)
    assert budget.warmup == pytest.approx(2 / 50)
    tuning = budget_for(PretrainedVit((1, 2), model="small", size=32), "paper")
    assert (tuning.batch_size, tuning.lr, tuning.betas, tuning.clip) == (64, 2e-4 * 64 / 256, (0.9, 0.999), 0)
    assert (tuning.min_lr, tuning.warmup) == (1e-6, 2 / 20)


def test_the_loss_falls_below_that_of_guessing_the_mean(blobs):
    data = blobs(8, 16, size=32)
    learner = MaePretraining(size=32, model="mini64")
    fitted = fit(learner, data, budget=Budget("tiny", views=3200, batch_size=32, lr=3e-3), device="cpu", progress=False)
    losses = fitted.history["loss"]
    assert losses.iloc[-1] < 0.95 * losses.iloc[0]


def test_small_pictures_are_measured_against_the_mean_face_and_large_ones_against_imagenet(batch):
    small, large = MaePretraining(size=32), MaePretraining(size=32, model="base", **TINY)
    assert isinstance(small.normalise, MeanFace)
    assert isinstance(large.normalise, ImageNet)
    small.prepare(batch.image)
    face = batch.image.mean(0)
    torch.testing.assert_close(small.normalise.mean, (face + face.flip(-1)) / 2)
    normalised = large.normalise(batch.image)
    torch.testing.assert_close(normalised[:, 1], (batch.image[:, 1] - 0.456) / 0.224)
    assert (model_for(64), model_for(224)) == ("mini96", "base")


@pytest.mark.parametrize("way", ["in memory", "network", "folder"])
def test_fine_tuning_begins_with_the_encoder_that_was_pretrained(tmp_path, batch, way):
    learner = MaePretraining(size=32, model="mini64", depth=3)
    learner.loss(batch)  # moves the statistics of the stem
    init = {
        "in memory": learner,
        "network": learner.network,
        "folder": learner.save_encoder(tmp_path / "encoder", meta={"views": 0}),
    }[way]
    method = PretrainedVit((1, 12), size=32, init=init)
    assert method.layer_decay == 0.8
    assert len(method.network.blocks) == 3
    for name, value in learner.network.encoder.state_dict().items():
        assert torch.equal(method.network.state_dict()[name], value), name
    with torch.no_grad():
        method.network.blocks[0].attn.qkv.weight.zero_()
    assert learner.network.encoder.blocks[0].attn.qkv.weight.any()  # a copy


def test_a_model_that_is_named_keeps_the_stem_it_was_pretrained_with():
    method = PretrainedVit((1, 12), size=32, model="mini64", init=MaePretraining(size=32, model="mini64"))
    assert method.network.stem == "patch"
    assert PretrainedVit((1, 12), size=32, model="mini64").network.stem == "conv"


def test_the_statistics_of_the_stem_are_taken_again_from_whole_faces(batch):
    learner = MaePretraining(size=32, model="mini64")
    learner.prepare(batch.image)
    method = PretrainedVit((1, 12), size=32, init=learner)
    before = copy.deepcopy([b for n, b in method.network.named_buffers() if "running" in n])
    method.prepare(batch.image)
    after = [b for n, b in method.network.named_buffers() if "running" in n]
    assert before
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_published_sizes_start_with_a_fresh_norm_layer_decay_and_drop_path():
    small = {"dim": 24, "depth": 4, "heads": 2}
    learner = MaePretraining(size=32, model="base", **small, decoder_dim=16, decoder_depth=1, decoder_heads=2)
    with torch.no_grad():
        learner.network.encoder.norm.weight.fill_(3)
    method = PretrainedVit((1, 12), size=32, init=learner)
    assert method.layer_decay == 0.65
    assert (method.network.norm.weight == 1).all()
    assert isinstance(method.normalise, ImageNet)
    assert method.network.pos_embed.requires_grad
    scales = {round(group["lr_scale"], 6) for group in method.param_groups()}
    assert scales == {round(0.65**i, 6) for i in range(6)}
    assert method.network.config["drop_path"] == 0.1
    assert budget_for(method, "laptop").lr == 5e-5


def test_another_image_size_keeps_the_weights_and_stretches_the_positions():
    learner = MaePretraining(size=32, model="base", **TINY)
    method = PretrainedVit((1, 12), size=64, init=learner)
    assert method.loaded.interpolated == ("pos_embed",)
    assert torch.equal(method.network.blocks[0].attn.qkv.weight, learner.network.encoder.blocks[0].attn.qkv.weight)


def test_pretraining_goes_on_where_another_stopped():
    first = MaePretraining(size=32, model="mini64", seed=1)
    second = MaePretraining(size=32, model="mini64", seed=2, init=first)
    pairs = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_frozen_blocks_and_what_lies_below_them_stay_as_they_were(blobs):
    data = blobs(2, 8, size=32)
    method = PretrainedVit(data.aus, size=32, model="small", dim=24, depth=4, heads=2, frozen=2)
    before = copy.deepcopy(method.state_dict())
    fit(method, data, budget=Budget("tiny", views=32, batch_size=8), device="cpu", progress=False)
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert not [name for name in moved if "patch_embed" in name or "blocks.0" in name or "blocks.1" in name]
    assert "network.pos_embed" not in moved
    assert {"network.blocks.2.attn.qkv.weight", "network.blocks.3.mlp.fc1.weight", "head.weight"} <= moved
    with pytest.raises(ValueError, match="0 to 4 frozen"):
        PretrainedVit((1, 2), size=32, model="small", dim=24, depth=4, heads=2, frozen=5)
