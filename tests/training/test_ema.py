import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.methods import CnnDetector, LandmarkMlp
from fau_utils.metrics import auc_per_au
from fau_utils.training import Budget, fit, predict
from fau_utils.training.ema import Ema, averaged

BUDGET = Budget("tiny", views=160, batch_size=16, lr=1e-2, eval_every=64)


def run(method, data, **options):
    return fit(method, data, **{"budget": BUDGET, "seed": 1, "device": "cpu", "progress": False, **options})


def test_the_average_follows_its_equation():
    module = nn.Linear(2, 1)
    expected = [p.detach().double().clone() for p in module.parameters()]
    ema = Ema(module, decay=0.3)
    for step in range(20):
        with torch.no_grad():
            for p in module.parameters():
                p.add_(torch.randn_like(p))
        ema.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, module.parameters(), strict=True)]
    for a, b in zip(ema.average, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)


def test_the_decay_grows_to_what_was_asked_for():
    ema = Ema(nn.Linear(1, 1), decay=0.99)
    decays = [ema.decay(step) for step in range(2000)]
    assert decays[0] == pytest.approx(0.1)
    assert decays == sorted(decays)
    assert decays[-1] == 0.99


def test_swapping_there_and_back_changes_no_bit():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    ema = Ema(module, decay=0.5)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))
    weights, average = [p.detach().clone() for p in module.parameters()], [a.clone() for a in ema.average]
    module[1].running_mean.add_(7)

    def look_and_fail():
        with averaged(ema):
            assert all(torch.equal(p, a) for p, a in zip(module.parameters(), average, strict=True))
            assert (module[1].running_mean == 7).all()  # statistics are the latest
            raise KeyError

    with pytest.raises(KeyError):
        look_and_fail()
    assert all(torch.equal(p, w) for p, w in zip(module.parameters(), weights, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(ema.average, average, strict=True))
    with averaged(None):
        assert all(torch.equal(p, w) for p, w in zip(module.parameters(), weights, strict=True))


def test_the_average_is_validated_and_returned_and_the_history_says_so(blobs):
    data, val = blobs(4, 10, size=16), blobs(3, 10, size=16, seed=1, first=50)
    plain = run(CnnDetector(data.aus, size=16), data, val=val)
    mean = run(CnnDetector(data.aus, size=16), data, val=val, budget=BUDGET.replace(ema=0.9))
    # training itself is not changed by it
    np.testing.assert_array_equal(plain.history["loss"], mean.history["loss"])
    assert "ema" not in plain.history
    assert mean.history["ema"].tolist() == pytest.approx([min(0.9, (1 + s) / (10 + s)) for s in range(10)])
    assert not torch.equal(plain.method.network.head.weight, mean.method.network.head.weight)
    last = mean.history["val_auc"].iloc[-1]
    said = predict(mean.method, val, device="cpu")
    assert np.nanmean(auc_per_au(said.prob, said.label)) == pytest.approx(last)
    for (name, a), (_, b) in zip(plain.method.named_buffers(), mean.method.named_buffers(), strict=True):
        assert torch.equal(a, b), name


def test_the_returned_average_is_that_of_the_weights_after_each_step(blobs):
    seen = []

    class Notes(LandmarkMlp):
        def loss(self, batch):
            seen.append([p.detach().clone() for p in self.parameters()])
            return super().loss(batch)

    data = blobs(4, 10, size=16)
    run(Notes(data.aus, seed=0), data)
    seen.append([p.detach().clone() for p in run(LandmarkMlp(data.aus, seed=0), data).method.parameters()])
    expected = seen[0]
    for step, now in enumerate(seen[1:]):
        decay = min(0.6, (1 + step) / (10 + step))
        expected = [decay * a + (1 - decay) * b for a, b in zip(expected, now, strict=True)]
    found = run(LandmarkMlp(data.aus, seed=0), data, budget=BUDGET.replace(ema=0.6)).method
    for a, b in zip(found.parameters(), expected, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=1e-4, atol=1e-6)
