import sys

import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.methods import BaseRate, CnnDetector, LandmarkMlp, Losses, Method, VitDetector, masked_bce
from fau_utils.metrics import auc_per_au
from fau_utils.training import Budget, fit, predict


class Probe(Method):
    """A linear method that remembers what it was shown."""

    budgets = {"smoke": {"views": 64}}  # noqa: RUF012

    def __init__(self, aus, *, spoil_at=None, stop_at=None):
        super().__init__()
        self.aus = tuple(aus)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.linear = nn.Linear(3, len(self.aus))
        self.shown, self.sample, self.spoil_at, self.stop_at = [], None, spoil_at, stop_at
        self.modes = set()

    def prepare(self, images):
        self.sample = images.clone()

    def loss(self, batch):
        self.modes.add(self.training)
        self.shown.append(batch)
        if self.stop_at == len(self.shown):
            raise KeyboardInterrupt
        main = masked_bce(self.linear(batch.image.mean((2, 3))), batch.au)
        if self.spoil_at == len(self.shown):
            main = main * torch.nan
        extra = 0.5 * self.linear.weight.square().mean()
        return Losses(main + extra, {"au": main, "size": extra})

    def predict(self, batch):
        self.modes.add(self.training)
        assert batch.au.isnan().all()
        return self.linear(batch.image.mean((2, 3))).sigmoid()

    def embed(self, batch):
        return batch.image.mean((2, 3))


def run(method, data, **options):
    options = {"budget": Budget("tiny", views=200, batch_size=16), "device": "cpu", "progress": False, **options}
    return fit(method, data, **options)


@pytest.mark.parametrize(
    ("build", "views"),
    [
        (lambda aus: CnnDetector(aus, size=32), 800),
        (lambda aus: VitDetector(aus, size=32), 1200),
        (LandmarkMlp, 4800),
    ],
    ids=["cnn", "vit", "landmarks"],
)
def test_methods_learn_what_is_painted_on_people_they_never_saw(blobs, build, views):
    train, test = blobs(12, 40, size=32), blobs(6, 20, size=32, seed=1, first=100)
    # the landmarks of the two sets must be of one kind of face
    neutral = [data.landmarks[data.labels.sum(1) == 0].mean(0) for data in (train, test)]
    test.landmarks.add_(neutral[0] - neutral[1])
    before = auc_per_au(*_said(build(train.aus), test)).mean()
    fitted = run(build(train.aus), train, budget=Budget("tiny", views=views, batch_size=32))
    after = auc_per_au(*_said(fitted.method, test)).mean()
    assert after > 0.95 > before
    assert fitted.history["loss"].iloc[-1] < 0.7 * fitted.history["loss"].iloc[0]


def _said(method, data):
    said = predict(method, data, device="cpu")
    return said.prob, said.label


@pytest.mark.parametrize("build", [lambda aus: CnnDetector(aus, size=32), LandmarkMlp], ids=["cnn", "landmarks"])
def test_the_same_seed_gives_bit_identical_weights_and_another_seed_does_not(blobs, build):
    train = blobs(4, 8, size=32)

    def weights(seed):
        torch.rand(seed + 1)  # what the caller drew before must not matter
        state = run(build(train.aus), train, seed=seed, budget=Budget("tiny", views=100, batch_size=16)).method
        return torch.cat([value.flatten().float() for value in state.state_dict().values()])

    first = weights(0)
    assert torch.equal(weights(0), first)
    assert not torch.equal(weights(1), first)


def test_the_callers_random_numbers_are_left_alone(blobs):
    train = blobs(2, 8, size=32)
    torch.manual_seed(9)
    expected = torch.rand(2)
    torch.manual_seed(9)
    run(Probe(train.aus), train)
    assert torch.equal(torch.rand(2), expected)


def test_small_numbers_are_numbers_again_after_training(blobs):
    train = blobs(2, 8, size=32)
    with pytest.raises(KeyboardInterrupt):
        run(Probe(train.aus, stop_at=2), train)
    run(Probe(train.aus), train)
    assert sys.float_info.min / 2 > 0


def test_views_are_counted_exactly_and_history_tells_them(blobs):
    train = blobs(4, 8, size=32)
    method = Probe(train.aus)
    fitted = run(method, train, budget=Budget("tiny", views=203, batch_size=16))
    assert sum(len(batch) for batch in method.shown) == fitted.views == 203
    history = fitted.history
    assert history["views"].iloc[-1] == 203
    assert history["step"].iloc[-1] == len(method.shown) == 13
    np.testing.assert_allclose(history["au"] + history["size"], history["loss"], rtol=1e-5)
    assert (fitted.seed, fitted.device, fitted.budget.name) == (0, "cpu", "tiny")
    assert fitted.seconds > 0


def test_zero_views_mean_each_face_once(blobs):
    train = blobs(4, 8, size=32)
    method = Probe(train.aus)
    assert run(method, train, budget=Budget("once", views=0, batch_size=5)).views == 32


def test_prepare_sees_training_images_once_and_unmirrored(blobs):
    train = blobs(2, 4, size=32)
    method = Probe(train.aus)
    run(method, train)
    given = {tuple(image.flatten()[:50].tolist()) for image in method.sample}
    assert given == {tuple((image / 255).flatten()[:50].tolist()) for image in train.images}
    assert len(method.sample) == 8


def test_augmentation_mirrors_some_faces_and_can_be_turned_off(blobs):
    train = blobs(2, 8, size=32)
    for augment in (True, False):
        method = Probe(train.aus)
        run(method, train, augment=augment)
        rows = torch.cat([batch.image for batch in method.shown])
        known = (train.images.float() / 255).flatten(1)
        mirrored = (
            1 - torch.tensor([(row - known).abs().amax(1).min() < 1e-6 for row in rows.flatten(1)]).float().mean()
        )
        assert (0.3 < mirrored < 0.7) if augment else mirrored == 0


def test_the_gradient_is_clipped(blobs):
    train = blobs(2, 8, size=32)

    def moved(clip):
        method = Probe(train.aus)
        before = method.linear.weight.detach().clone()
        # so small a gradient that AdamW's eps holds it back
        budget = Budget("tiny", views=16, batch_size=16, clip=clip, weight_decay=0.0, warmup=0.0)
        return (run(method, train, budget=budget).method.linear.weight - before).abs().max()

    assert moved(1e-10) < 0.1 * moved(1.0)


def test_a_loss_that_is_not_finite_stops_with_step_and_rate(blobs):
    train = blobs(4, 8, size=32)
    with pytest.raises(
        FloatingPointError,
        match=r"nan at step 7, learning rate \d\.\d+e-\d\d; its 15 faces are in .*; lower the learning rate",
    ):
        run(Probe(train.aus, spoil_at=7), train)


def test_an_interrupt_leaves_method_mode_and_random_numbers_usable(blobs):
    train = blobs(4, 8, size=32)
    method = Probe(train.aus, stop_at=3)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        run(method, train)
    assert torch.equal(torch.rand(1), expected)
    assert not method.training
    method.stop_at = None
    assert np.isfinite(predict(method, train, device="cpu").prob).all()
    assert run(method, train).views == 200


def test_validation_is_looked_at_every_so_many_views_without_disturbing_training(blobs):
    train, val = blobs(4, 8, size=32), blobs(3, 8, size=32, seed=1, first=50)
    budget = Budget("tiny", views=200, batch_size=16, eval_every=64)
    method = Probe(train.aus)
    with_val = run(method, train, budget=budget, val=val)
    looked = with_val.history.dropna(subset="val_auc")
    assert [views // 64 for views in looked["views"]] == [1, 2, 3]
    assert looked["views"].iloc[-1] == 200
    assert looked["val_auc"].iloc[-1] == pytest.approx(np.nanmean(auc_per_au(*_said(method, val))))
    assert method.modes == {True, False}
    without = run(Probe(train.aus), train, budget=budget)
    assert torch.equal(without.method.linear.weight, with_val.method.linear.weight)


def test_a_rate_scale_of_a_group_is_kept(blobs):
    class Scaled(Probe):
        def param_groups(self):
            return [
                {"params": [self.linear.weight], "lr_scale": 0.0},
                {"params": [self.linear.bias], "weight_decay": 0.0},
            ]

    train = blobs(2, 8, size=32)
    method = Scaled(train.aus)
    weight, bias = (p.detach().clone() for p in (method.linear.weight, method.linear.bias))
    run(method, train)
    assert torch.equal(method.linear.weight, weight)
    assert not torch.equal(method.linear.bias, bias)


def test_other_aus_are_refused_before_anything_is_trained(blobs):
    train = blobs(2, 8, size=32, aus=(1, 12))
    method = Probe((12, 1))
    with pytest.raises(ValueError, match=r"AUs \(12, 1\), found \(1, 12\)"):
        run(method, train)
    assert method.shown == []


def test_cuda_is_refused_where_there_is_none(blobs):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    train = blobs(2, 8, size=32)
    with pytest.raises(ValueError, match="use device='auto' or 'cpu'"):
        run(Probe(train.aus), train, device="cuda")


def test_predictions_keep_the_order_of_the_set_and_the_names(blobs):
    data = blobs(3, 8, size=32, unknown=0.3).subset([5, 20, 1])
    said = predict(Probe(data.aus).train(), data, batch_size=2, device="cpu")
    assert said.subject.tolist() == ["blobs/P000", "blobs/P002", "blobs/P000"]
    assert said.frames.table["frame"].tolist() == [5, 4, 1]
    np.testing.assert_array_equal(said.label, data.labels.numpy())
    again = predict(Probe(data.aus), data, batch_size=3, device="cpu")
    np.testing.assert_allclose(again.prob, said.prob, atol=1e-6)


def test_scores_per_au_count_what_is_known(blobs):
    data = blobs(6, 30, size=32, unknown=0.3)
    said = predict(Probe(data.aus), data, device="cpu")
    scores = said.scores(threshold=0.4)
    assert scores["au"].tolist() == list(data.aus)
    assert (scores["positives"] + scores["negatives"] + scores["unknown"]).tolist() == [180] * 3
    assert scores["unknown"].tolist() == data.labels.isnan().sum(0).tolist()
    interval = said.interval(auc_per_au, resamples=50)
    assert interval.low <= interval.value <= interval.high
    assert interval.value == pytest.approx(scores["auc"].mean())


def test_mixed_precision_reaches_the_network_on_a_single_device(blobs):
    train = blobs(2, 8, size=32)
    method, seen = Probe(train.aus), set()
    method.linear.register_forward_hook(lambda module, given, made: seen.add(made.dtype))
    run(method, train, precision="bf16-mixed")
    assert seen == {torch.bfloat16}


@pytest.mark.parametrize("choose", ["val_auc", "val_loss"])
def test_the_weights_that_validation_liked_best_are_kept(blobs, choose):
    train, val = blobs(4, 8, size=32), blobs(3, 8, size=32, seed=1, first=50)
    budget = Budget("tiny", views=200, batch_size=16, eval_every=16, lr=0.3)
    fitted = run(Probe(train.aus), train, budget=budget, val=val, choose=choose)
    looks = fitted.history[choose].dropna()
    best = looks.min() if choose == "val_loss" else looks.max()
    assert looks.iloc[-1] != best  # else this shows nothing
    again = run(fitted.method, train, budget=budget.replace(lr=0.0, views=16), val=val, choose=choose)
    assert again.history[choose].iloc[-1] == pytest.approx(best, abs=1e-6)


def test_choosing_needs_faces_to_choose_by_and_a_known_rule(blobs):
    train = blobs(2, 8, size=32)
    for options in ({"choose": "val_f1"}, {"choose": "test_f1", "val": train}):
        with pytest.raises(ValueError, match="val_f1, val_auc, val_loss, with validation faces"):
            run(Probe(train.aus), train, **options)


def test_nothing_is_printed_but_the_bar(blobs, capfd, monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "1")
    train = blobs(2, 8, size=32)
    run(LandmarkMlp(train.aus), train, budget=Budget("b", views=64, batch_size=16), progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.replace("\r", "\n").splitlines() if line.strip()]
    assert all(line.startswith("LandmarkMlp:") for line in lines), captured.err
    assert "loss=" in lines[-1]
    assert "64/64" in lines[-1]
    run(LandmarkMlp(train.aus), train, progress=False)
    assert capfd.readouterr() == ("", "")


def test_base_rate_needs_no_gradient(blobs):
    train = blobs(2, 8, size=32)
    fitted = run(BaseRate(train.aus, subjects=train.subjects), train, budget="smoke")
    assert fitted.views == 16
    assert (fitted.history["loss"] == 0).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_the_gpu_learns_in_bfloat16_and_reports_its_memory(blobs):
    train, test = blobs(12, 40, size=32), blobs(6, 20, size=32, seed=1, first=100)
    fitted = fit(CnnDetector(train.aus, size=32), train, budget=Budget("tiny", views=3200), progress=False)
    assert fitted.device.startswith("cuda")
    assert auc_per_au(*_said(fitted.method, test)).mean() > 0.95
    assert 1e6 < fitted.peak_memory < 2e9
