import types

import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.methods import BaseRate, LandmarkMlp, Losses, Method, masked_bce
from fau_utils.training import Budget, fit
from fau_utils.training.launch import fabric_for
from fau_utils.training.memory import Gradients, is_out_of_memory


class Cramped(Method):
    """Nothing in it looks at other faces; its memory holds some number of faces, and may run out at the end only."""

    def __init__(self, aus, *, room=10**6, late=False):
        super().__init__()
        self.aus, self.room, self.late, self.seen = tuple(aus), room, late, []
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.GELU(), nn.Linear(8, len(self.aus)))
        self.register_buffer("count", torch.zeros(()))
        self.draws = []

    def loss(self, batch):
        if len(batch) > self.room and not self.late:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB\nand a long story")
        self.count += len(batch)
        self.draws.append(torch.rand(()).item())
        logits = self.network(batch.image)
        if len(batch) > self.room:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        self.seen += [(c, f) for c, f in zip(batch.clip.tolist(), batch.frame.tolist(), strict=True)]
        main = masked_bce(logits, batch.au)
        return Losses(main, {"au": main})

    def predict(self, batch):
        return self.network(batch.image).sigmoid()

    def embed(self, batch):
        return batch.image.flatten(1)


BUDGET = Budget("tiny", views=160, batch_size=16, lr=1e-2)


def run(method, data, **options):
    return fit(method, data, **{"budget": BUDGET, "device": "cpu", "progress": False, **options})


def gradient(method, batch, *, micro):
    """Losses and gradient of a batch, and the helper that computed them."""
    fabric = fabric_for(device="cpu")
    module, _ = fabric.setup(method, torch.optim.SGD(method.parameters()))
    module.mark_forward_method("loss")
    gradients = Gradients(fabric, module, micro=micro, batch_size=len(batch))
    losses = gradients.of(batch, step=0)
    found = torch.cat([parameter.grad.flatten() for parameter in method.parameters()])
    return losses, found, gradients


@pytest.mark.parametrize("micro", [1, 3, 5, 8, 12, 16, 99])
def test_micro_batches_have_the_gradient_and_the_losses_of_the_whole_batch(blobs, micro):
    batch = blobs(4, 4, size=8).batch(torch.arange(16))
    whole, expected, _ = gradient(Cramped((1, 4, 12)), batch, micro=0)
    losses, found, _ = gradient(Cramped((1, 4, 12)), batch, micro=micro)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(losses.total, whole.total)
    torch.testing.assert_close(losses.parts["au"], whole.parts["au"])


@pytest.mark.parametrize("micro", [1, 3, 5, 8, 12, 16])
def test_no_micro_batch_is_larger_than_asked_for(blobs, micro):
    class Sizes(Cramped):
        sizes = ()

        def loss(self, batch):
            self.sizes += (len(batch),)
            return super().loss(batch)

    method = Sizes((1, 4, 12))
    gradient(method, blobs(4, 4, size=8).batch(torch.arange(16)), micro=micro)
    assert sum(method.sizes) == 16
    assert max(method.sizes) <= micro
    assert max(method.sizes) - min(method.sizes) <= 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after a forward pass"])
@pytest.mark.parametrize(("room", "micro"), [(12, 8), (5, 4), (1, 1)])
def test_a_batch_that_does_not_fit_is_split_and_the_run_goes_on(blobs, caplog, room, micro, late):
    data = blobs(4, 10, size=8)
    roomy = run(Cramped(data.aus), data)
    cramped = run(Cramped(data.aus, room=room, late=late), data)
    assert cramped.method.seen == roomy.method.seen  # none lost, none twice, in order
    assert cramped.method.count == roomy.method.count == 160  # also by what a failed attempt had counted
    np.testing.assert_allclose(cramped.history["loss"], roomy.history["loss"], rtol=1e-4)
    for a, b in zip(cramped.method.parameters(), roomy.method.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    told = [record.getMessage() for record in caplog.records if "out of memory" in record.getMessage()]
    assert told == [f"out of memory with 16 faces at step 1: going on with micro-batches of {micro}"]


def test_random_numbers_of_a_failed_attempt_are_drawn_again(blobs):
    data = blobs(4, 10, size=8)
    planned = run(Cramped(data.aus), data, budget=BUDGET.replace(micro=8)).method
    surprised = run(Cramped(data.aus, room=8, late=True), data).method
    assert surprised.draws[0] == surprised.draws[1]  # the attempt with 16, then the first 8
    assert surprised.draws[1:] == planned.draws


def test_memory_may_run_out_late_in_a_run(blobs, caplog):
    class Shrinking(Cramped):
        def loss(self, batch):
            self.room = 16 if len(self.seen) < 80 else 6
            return super().loss(batch)

    data = blobs(4, 10, size=8)
    fitted = run(Shrinking(data.aus), data)
    assert fitted.method.count == fitted.views == 160
    assert "with 16 faces at step 6: going on with micro-batches of 4" in caplog.text


def test_gradients_of_micro_batches_before_the_one_that_failed_are_thrown_away(blobs):
    class Once(Cramped):
        def loss(self, batch):
            losses = super().loss(batch)
            if len(self.draws) == 2:  # the second half, once
                raise torch.OutOfMemoryError("CUDA out of memory")
            return losses

    batch = blobs(4, 4, size=8).batch(torch.arange(16))
    _, expected, _ = gradient(Cramped((1, 4, 12)), batch, micro=0)
    method = Once((1, 4, 12), room=8)
    _, found, gradients = gradient(method, batch, micro=0)
    assert gradients.micro < 8
    assert method.count == 16
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)


def test_a_single_face_that_does_not_fit_is_an_error_that_says_so(blobs):
    data = blobs(4, 10, size=8)
    method = Cramped(data.aus, room=0)
    with pytest.raises(torch.OutOfMemoryError, match=r"a single face .* at step 1 \(CUDA out of memory.*20.00 MiB\)"):
        run(method, data)
    assert not method.training


def test_other_errors_are_not_taken_for_a_lack_of_memory(blobs):
    class Broken(Cramped):
        def loss(self, batch):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    data = blobs(4, 10, size=8)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run(Broken(data.aus), data)
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert not is_out_of_memory(MemoryError("x"))


def test_what_counts_without_gradients_can_be_split(blobs):
    data = blobs(4, 10, size=8)
    budget = Budget("all", views=0, batch_size=16)
    whole = run(BaseRate(data.aus, subjects=data.subjects), data, budget=budget).method
    parts = run(BaseRate(data.aus, subjects=data.subjects), data, budget=budget.replace(micro=3)).method
    assert torch.equal(whole.positive, parts.positive)


def test_one_of_several_processes_cannot_split_on_its_own(blobs):
    batch = blobs(4, 4, size=8).batch(torch.arange(16))
    _, _, gradients = gradient(Cramped((1, 4, 12)), batch, micro=0)
    gradients._fabric = types.SimpleNamespace(world_size=2, global_rank=1)
    with pytest.raises(torch.OutOfMemoryError, match=r"process 1 ran out of .* 16 faces .* budget with micro"):
        gradients._refuse_hopeless(batch, 1, step=4, failed="CUDA out of memory")


def test_all_processes_make_the_same_number_of_micro_batches():
    gradients = Gradients.__new__(Gradients)
    gradients.micro, gradients._share = 8, 9  # batches of 17 in two processes
    gradients._fabric = types.SimpleNamespace(world_size=2)
    assert {gradients._parts(range(count)) for count in (8, 9)} == {2}


def test_label_weights_of_a_method_with_landmarks_are_split_like_everything_else(blobs):
    data = blobs(4, 10, size=8)
    budget = BUDGET.replace(views=32, label_weights="balanced")
    whole = run(LandmarkMlp(data.aus, seed=0), data, budget=budget)
    assert whole.method.positive_weight.shape == (3,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_real_lack_of_memory_on_a_gpu_is_survived(blobs, caplog):
    class Hungry(Cramped):
        def loss(self, batch):
            free = torch.cuda.mem_get_info()[0]
            kept = torch.empty(len(batch), free // 10, dtype=torch.uint8, device="cuda")  # room for nine faces
            losses = super().loss(batch)
            losses.total = losses.total + 0 * kept[0, 0]
            return losses

    data = blobs(4, 10, size=8)
    fitted = run(Hungry(data.aus), data, device="cuda")
    assert fitted.method.count == 160
    assert "going on with micro-batches of 8" in caplog.text
