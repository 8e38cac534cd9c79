"""Precision, compilation and kernels: what may change speed and must not change what is learnt."""

import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.methods import CnnDetector, LandmarkMlp, Losses
from fau_utils.training import Budget, Checkpoints, fit
from fau_utils.training import precision as module
from fau_utils.training.compiled import compiled
from fau_utils.training.launch import fabric_for
from fau_utils.training.memory import Gradients
from fau_utils.training.precision import precision_for, seconds_per_step
from fau_utils.training.repeatable import repeatable

BUDGET = Budget("tiny", views=160, batch_size=16, lr=1e-2)
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def run(method, data, **options):
    return fit(method, data, **{"budget": BUDGET, "device": "cpu", "progress": False, **options})


def flat(method):
    return torch.cat([value.flatten().float() for value in method.state_dict().values()])


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        (None, CPU, "32-true"),
        (None, CUDA, "bf16-mixed"),
        ("measure", CUDA, "bf16-mixed"),
        ("32-true", CUDA, "32-true"),
        ("bf16-mixed", CPU, "bf16-mixed"),
    ],
)
def test_precision_follows_the_device_unless_it_is_said(asked, device, expected):
    assert precision_for(asked, None, None, device=device, budget=BUDGET, seed=0) == expected


@pytest.mark.parametrize(("times", "expected"), [(2.0, "bf16-mixed"), (1.1, "32-true"), (0.5, "32-true")])
def test_a_cpu_takes_bf16_only_where_it_was_measured_to_be_worth_it(blobs, monkeypatch, caplog, times, expected):
    monkeypatch.setattr(module, "seconds_per_step", lambda *_, **__: {"32-true": times, "bf16-mixed": 1.0})
    caplog.set_level("INFO")
    data = blobs(4, 10, size=16)
    fitted = run(LandmarkMlp(data.aus), data, precision="measure")
    assert fitted.precision == expected
    assert f"{times:.2f} times as fast as in float32" in caplog.text


def test_measuring_changes_neither_weights_nor_random_numbers(blobs):
    class Draws(CnnDetector):
        def loss(self, batch):
            return super().loss(batch.with_image(batch.image + 0.1 * torch.randn_like(batch.image)))

    data = blobs(4, 10, size=16)
    method, before = Draws(data.aus, size=16), torch.get_rng_state()
    kept = flat(method)
    seconds = seconds_per_step(method, data, batch_size=8, seed=0, steps=2)
    assert all(0 < s < 60 for s in seconds.values())
    assert torch.equal(flat(method), kept)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in method.parameters())
    measured = run(method, data, precision="measure")
    assert torch.equal(
        flat(measured.method), flat(run(Draws(data.aus, size=16), data, precision=measured.precision).method)
    )


def test_a_resumed_run_keeps_the_precision_that_was_measured(blobs, tmp_path, monkeypatch):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=80)
    for times in (9.0, 0.1):
        monkeypatch.setattr(module, "seconds_per_step", lambda *_, t=times, **__: {"32-true": t, "bf16-mixed": 1.0})
        assert run(LandmarkMlp(data.aus), data, precision="measure", checkpoints=checkpoints).precision == "bf16-mixed"


class Compilable(LandmarkMlp):
    eager = 0

    def loss(self, batch):
        if not torch.compiler.is_compiling():
            type(self).eager += 1
        return super().loss(batch)


def test_a_compiled_loss_teaches_the_same(blobs, monkeypatch):
    original = torch.compile
    # all of the compiler but the last step, which takes half a minute
    monkeypatch.setattr(torch, "compile", lambda function: original(function, backend="aot_eager"))
    data = blobs(4, 10, size=16)
    budget = BUDGET.replace(views=64)
    Compilable.eager = 0
    compiled_run = run(Compilable(data.aus), data, budget=budget, compile=True)
    assert Compilable.eager == 0
    assert "loss" not in vars(compiled_run.method)
    eager = run(Compilable(data.aus), data, budget=budget)
    assert Compilable.eager == 4
    np.testing.assert_allclose(compiled_run.history["loss"], eager.history["loss"], rtol=1e-4)
    torch.testing.assert_close(flat(compiled_run.method), flat(eager.method), rtol=1e-3, atol=1e-4)


def test_without_a_working_compiler_the_loss_runs_as_it_is_and_one_line_says_so(blobs, monkeypatch, caplog):
    def broken(graph, example):
        raise RuntimeError("no C++ compiler on this machine")

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: original(function, backend=broken))
    data = blobs(4, 10, size=16)
    fitted = run(LandmarkMlp(data.aus), data, compile=True)
    told = [record.getMessage() for record in caplog.records if "is not compiled" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("LandmarkMlp is not compiled and runs as it is: ")
    assert torch.equal(flat(fitted.method), flat(run(LandmarkMlp(data.aus), data).method))


def test_a_learners_own_error_is_raised_as_it_is(blobs):
    class Broken(LandmarkMlp):
        def loss(self, batch):
            raise KeyError("mine")

    method = Broken((1, 4, 12))
    with compiled(method, wanted=True), pytest.raises(KeyError, match="mine"):
        method.loss(blobs(2, 4, size=8).batch(torch.arange(4)))
    assert "loss" not in vars(method)


class Restless(CnnDetector):
    """Its gradient is another one each time, by so little that nothing else tells."""

    calls = 0

    def loss(self, batch):
        type(self).calls += 1
        losses = super().loss(batch)
        return Losses(losses.total * (1 + 1e-6 * self.calls))


@pytest.mark.parametrize(("build", "expected"), [(CnnDetector, True), (Restless, False)])
def test_whether_gradients_repeat_is_found_out_without_a_trace(blobs, build, expected):
    data = blobs(4, 10, size=16)
    fabric, method = fabric_for(device="cpu"), build(data.aus, size=16)
    module, _ = fabric.setup(method, torch.optim.SGD(method.parameters()))
    gradients = Gradients(fabric, module, micro=0, batch_size=16)
    kept, random = flat(method), torch.get_rng_state()
    assert repeatable(gradients, method, data.batch(torch.arange(16)), device=CPU) is expected
    assert torch.equal(flat(method), kept)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in method.parameters())


def test_on_a_cpu_training_is_deterministic_and_nothing_is_computed_twice(blobs):
    data = blobs(4, 10, size=16)
    Restless.calls = 0
    assert run(Restless(data.aus, size=16), data).deterministic
    assert Restless.calls == 10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_kernels_that_do_not_repeat_are_recorded(blobs):
    class Scatters(CnnDetector):
        """Adds up many numbers into few places, in whatever order threads arrive."""

        def loss(self, batch):
            losses = super().loss(batch)
            weight = self.network.head.weight
            many = weight.flatten()[torch.randint(weight.numel(), (10**6,), device=weight.device)]
            return Losses(losses.total + 1e-3 * (many * torch.rand_like(many)).sum())

    data = blobs(4, 10, size=16)
    fitted = {build: run(build(data.aus, size=16), data, device="cuda") for build in (CnnDetector, Scatters)}
    assert not fitted[Scatters].deterministic
    again = run(CnnDetector(data.aus, size=16), data, device="cuda")
    assert fitted[CnnDetector].deterministic == torch.equal(flat(again.method), flat(fitted[CnnDetector].method))


def test_layers_of_a_network_that_lies_colour_beside_colour_stay_so(blobs):
    data = blobs(4, 10, size=16)
    method = run(CnnDetector(data.aus, size=16), data).method
    kernels = [m.weight for m in method.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[1] > 1]
    assert kernels
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
