import math
import re

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from fau_utils.data.images import ImageSet
from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.training import Budget, Checkpoints, fit
from fau_utils.training.launch import fabric_for
from fau_utils.training.readings import NotFinite, Readings, first_bad

# 100 steps, read every second one
BUDGET = Budget("tiny", views=800, batch_size=8, lr=1e-2, warmup=0.2)


class Spoilt(Method):
    """Its loss, or its gradient, is not finite at some step."""

    def __init__(self, aus, *, loss_at=0, gradient_at=0, with_value=torch.nan):
        super().__init__()
        self.aus, self.loss_at, self.gradient_at, self.value = tuple(aus), loss_at, gradient_at, with_value
        self.shown, self.read = [], 0
        self.linear = nn.Linear(3, len(self.aus))

    def loss(self, batch):
        self.shown.append(batch)
        total = masked_bce(self.linear(batch.image.mean((2, 3))), batch.au)
        if len(self.shown) == self.loss_at:
            total = total + self.value
        if len(self.shown) == self.gradient_at:
            total = total + torch.sqrt(0 * self.linear.weight.square().sum())  # 0, with an infinite slope
        return Losses(total)

    def predict(self, batch):
        return self.linear(batch.image.mean((2, 3))).sigmoid()

    def embed(self, batch):
        return batch.image.mean((2, 3))


def stopped(method, data, **options):
    with pytest.raises(NotFinite) as raised:
        fit(method, data, **{"budget": BUDGET, "seed": 4, "device": "cpu", "progress": False, **options})
    return raised.value


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("step", [1, 10, 11, 100])
def test_a_loss_that_is_not_finite_is_named_with_its_step_rate_and_faces(blobs, step, value):
    data = blobs(4, 10, size=8)
    method = Spoilt(data.aus, loss_at=step, with_value=value)
    error = stopped(method, data)
    assert f"the loss was {value} at step {step}, learning rate {BUDGET.rate(step - 1, steps=100):.2e};" in str(error)
    assert error.step == step
    kept, shown = load_file(error.batch), method.shown[step - 1]
    assert str(error.batch) in str(error)
    # mirrored as the learner saw them
    assert kept.keys() == {"image", "au", "subject", "clip", "frame", "landmarks", "visible"}
    for name, rows in kept.items():
        torch.testing.assert_close(rows, getattr(shown, name), rtol=0, atol=0, equal_nan=True)
    assert not method.training


def test_it_stops_within_two_steps_of_the_next_reading(blobs):
    data = blobs(4, 10, size=8)
    method = Spoilt(data.aus, loss_at=11)
    stopped(method, data)
    assert len(method.shown) <= 12


def test_a_gradient_that_is_not_finite_is_named_at_its_own_step(blobs):
    data = blobs(4, 10, size=8)
    error = stopped(Spoilt(data.aus, gradient_at=9), data)
    assert re.match(r"the gradient's norm was (nan|inf) at step 9, ", str(error))


def test_faces_lie_beside_the_checkpoints_and_no_checkpoint_is_spoilt(blobs, tmp_path):
    data, checkpoints = blobs(4, 10, size=8), Checkpoints(tmp_path, every=8, keep=99)
    error = stopped(Spoilt(data.aus, loss_at=7), data, checkpoints=checkpoints)
    assert error.batch == tmp_path / "not-finite-step-7.safetensors"
    assert [path.name for path in checkpoints.paths()] == [f"step-{step:09d}" for step in (6, 5, 4, 3, 2, 1)]
    for path in checkpoints.paths():
        assert all(value.isfinite().all() for value in load_file(path / "tensors.safetensors").values())


def test_any_source_can_serve_the_faces_again(blobs):
    class Counted:
        """Knows no length, and no more than it has to."""

        def __init__(self, data: ImageSet):
            self.data = data

        def batches(self, **options):
            return self.data.batches(**options)

    data = blobs(4, 10, size=8)
    method = Spoilt(data.aus, loss_at=33)
    error = stopped(method, Counted(data))
    assert torch.equal(load_file(error.batch)["image"], method.shown[32].image)


def test_unknown_labels_and_infinite_parts_are_no_failure(blobs):
    class Part(Spoilt):
        def loss(self, batch):
            losses = super().loss(batch)
            return Losses(losses.total, {"odds": losses.total.detach() / 0})

    data = blobs(4, 10, size=8, unknown=0.9)
    fitted = fit(Part(data.aus), data, budget=BUDGET, device="cpu", progress=False)
    assert fitted.history["odds"].map(math.isinf).any()
    assert fitted.views == 800


def test_losses_are_read_rarely_and_averaged():
    readings, fabric = Readings(every=3), fabric_for(device="cpu")
    for value in (1.0, 2.0, 6.0):
        assert not readings.due
        readings.add(Losses(torch.tensor(value), {"part": torch.tensor(value / 2)}), norm=torch.tensor(9.0))
    assert readings.due
    values = readings.values(fabric=fabric)
    assert first_bad(values) is None
    assert readings.read(values) == {"loss": 3.0, "part": 1.5}
    assert not readings.due
