import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.data.weights import negatives_per_positive, positive_rates
from fau_utils.methods import BaseRate, CnnDetector, LandmarkMlp, VitDetector, masked_bce
from fau_utils.methods.vit import PretrainedVit
from fau_utils.training import Budget, fit
from fau_utils.training.optimizer import adamw, set_rate
from fau_utils.training.prepared import positive_weights

BUDGET = Budget("tiny", views=160, batch_size=16, lr=0.2, min_lr=0.02, weight_decay=0.3, betas=(0.8, 0.9))


def run(method, data, **options):
    return fit(method, data, **{"budget": BUDGET, "device": "cpu", "progress": False, **options})


def test_biases_and_norms_do_not_decay_and_groups_keep_their_factor():
    method = VitDetector((1, 4), size=16)
    optimizer = adamw(method, BUDGET)
    decays = {p: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {decays[p] for p in method.parameters() if p.ndim > 1} == {0.3}
    assert {decays[p] for p in method.parameters() if p.ndim <= 1} == {0.0}
    assert len(decays) == len(list(method.parameters()))
    optimizer.param_groups[0]["lr_scale"] = 0.5
    set_rate(optimizer, 0.2)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)


def test_one_kernel_moves_all_weights_where_there_is_one(monkeypatch):
    assert adamw(nn_method(), BUDGET).param_groups[0]["fused"]
    monkeypatch.setattr("fau_utils.training.optimizer.FUSED", ("cuda",))
    assert not adamw(nn_method(), BUDGET).param_groups[0]["fused"]


def nn_method():
    return LandmarkMlp((1, 4))


def test_frozen_weights_stay_and_nothing_to_learn_needs_no_optimiser(blobs):
    data = blobs(4, 10, size=16)
    method = CnnDetector(data.aus, size=16)
    for parameter in method.network.parameters():
        parameter.requires_grad_(False)
    assert adamw(method, BUDGET) is None
    method.network.head.bias.requires_grad_(True)
    kept = method.network.head.weight.detach().clone(), method.network.head.bias.detach().clone()
    run(method, data)
    assert torch.equal(method.network.head.weight, kept[0])
    assert not torch.equal(method.network.head.bias, kept[1])


def test_the_rate_falls_to_the_least_one(blobs):
    rates = run(LandmarkMlp((1, 4, 12)), blobs(4, 10, size=16)).history["lr"]
    assert rates.max() == pytest.approx(0.2)
    assert 0.02 < rates.iloc[-1] < 0.03
    steps = 10
    # what is above the least rate is the cosine alone
    alone = BUDGET.replace(lr=0.18, min_lr=0.0)
    np.testing.assert_allclose(rates[1:] - 0.02, [alone.rate(s, steps=steps) for s in range(1, steps)])


@pytest.mark.parametrize(
    "build",
    [lambda aus: CnnDetector(aus, size=16), LandmarkMlp, lambda aus: PretrainedVit(aus, size=16)],
    ids=["cnn", "landmarks", "vit"],
)
def test_balanced_positives_count_as_much_as_negatives(blobs, build):
    data = blobs(4, 40, size=16, unknown=0.3)
    data.labels[:, 0] = torch.where(torch.arange(160) % 10 == 0, data.labels[:, 0] * 0 + 1, data.labels[:, 0] * 0)
    method = run(build(data.aus), data, budget=BUDGET.replace(label_weights="balanced", lr=0.0, min_lr=0.0)).method
    weight = method.positive_weight
    np.testing.assert_allclose(weight, negatives_per_positive(positive_rates(data.labels)), rtol=1e-6)
    coded = ~data.labels.isnan()
    for k in range(3):
        positive = (data.labels[coded[:, k], k] == 1).sum()
        negative = (data.labels[coded[:, k], k] == 0).sum()
        assert float(positive * weight[k]) == pytest.approx(float(negative), rel=1e-5)
    # and the loss reads them
    batch = data.batch(torch.arange(64))
    balanced = method.loss(batch).total
    method.positive_weight = None
    assert balanced > 1.1 * method.loss(batch).total
    assert "positive_weight" not in method.state_dict()


def test_the_weighted_loss_is_a_weighted_sum_over_coded_labels():
    logits, weight = torch.randn(5, 2), torch.tensor([3.0, 0.5])
    target = torch.tensor([[1.0, 0], [0, 1], [torch.nan, 1], [1, torch.nan], [0, 0]])
    p = logits.sigmoid()
    each = torch.where(target == 1, -weight * p.log(), -(1 - p).log())
    expected = each[~target.isnan()].mean()
    torch.testing.assert_close(masked_bce(logits, target, positive_weight=weight), expected)


def test_weights_that_nothing_would_read_are_refused(blobs):
    data = blobs(4, 10, size=16)
    balanced = BUDGET.replace(label_weights="balanced")
    with pytest.raises(ValueError, match="BaseRate does not weigh labels"):
        run(BaseRate(data.aus, subjects=data.subjects), data, budget=balanced)


def test_an_au_without_positives_cannot_be_balanced(blobs):
    data = blobs(4, 10, size=16)
    data.labels[:, 1] = 0
    with pytest.raises(ValueError, match="a positive label of AU4 among the training faces"):
        positive_weights(data)
    with pytest.raises(ValueError, match="faces with labels to weigh, found list"):
        positive_weights([])


def test_the_gradient_is_clipped_to_its_norm(blobs):
    norms = []

    class Notes(LandmarkMlp):
        def loss(self, batch):
            losses = super().loss(batch)
            losses.total = losses.total * 1e4
            return losses

    data = blobs(4, 10, size=16)
    method = Notes(data.aus)
    original = torch.optim.AdamW.step

    def step(self, *arguments, **options):
        norms.append(nn.utils.get_total_norm([p.grad for p in method.parameters()]).item())
        return original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", step)
        run(method, data, budget=BUDGET.replace(clip=0.25))
        assert norms == pytest.approx([0.25] * 10, rel=1e-3)
        norms.clear()
        run(method, data, budget=BUDGET.replace(clip=0.0))
        assert min(norms) > 1
