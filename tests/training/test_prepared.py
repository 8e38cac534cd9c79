import types

import pytest
import torch

from fau_utils.methods import CnnDetector, LandmarkMlp
from fau_utils.training import Budget, fit
from fau_utils.training.divided import dividing
from fau_utils.training.prepared import crosses, placed, refuse_divided

BUDGET = Budget("tiny", views=48, batch_size=16)


class Stream:
    """A source that knows no length."""

    def __init__(self, data):
        self.data, self.asked = data, []

    def batches(self, **options):
        self.asked.append(options)
        return self.data.batches(**options)


def test_a_source_without_a_length_serves_what_the_budget_says(blobs):
    data = blobs(4, 10, size=16)
    stream = Stream(data)
    fitted = fit(LandmarkMlp(data.aus), stream, budget=BUDGET, seed=2, device="cpu", progress=False)
    known = fit(LandmarkMlp(data.aus), data, budget=BUDGET, seed=2, device="cpu", progress=False)
    assert fitted.views == 48
    for a, b in zip(fitted.method.parameters(), known.method.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="expected a budget with views: Stream does not know how many faces it has"):
        fit(LandmarkMlp(data.aus), stream, budget=BUDGET.replace(views=0), device="cpu", progress=False)


def test_no_face_is_read_for_a_learner_that_does_not_ask(blobs):
    data = blobs(4, 10, size=16)
    for method, times in ((LandmarkMlp(data.aus), 1), (CnnDetector(data.aus, size=16), 2)):
        stream = Stream(data)
        fit(method, stream, budget=BUDGET, device="cpu", progress=False)
        assert len(stream.asked) == times


def test_an_empty_set_is_refused(blobs):
    data = blobs(4, 10, size=16)
    with pytest.raises(ValueError, match="at least one face to train on, found none"):
        placed(data.subset([]), LandmarkMlp(data.aus), device=torch.device("cpu"))


def test_a_source_that_ends_too_early_is_no_finished_run(blobs):
    class Short(Stream):
        def batches(self, **options):
            return list(self.data.batches(**options))[:2]

    data = blobs(4, 10, size=16)
    with pytest.raises(ValueError, match="expected 48 faces in 3 steps, Short served 32 and ended"):
        fit(LandmarkMlp(data.aus), Short(data), budget=BUDGET, device="cpu", progress=False)


def test_what_needs_the_whole_model_is_refused_when_it_is_divided():
    divided, whole = types.SimpleNamespace(strategy=dividing(world=2)), types.SimpleNamespace(strategy=None)
    with pytest.raises(ValueError, match="compile: not with fsdp"):
        refuse_divided(divided, compile=True)
    refuse_divided(divided, compile=False)
    refuse_divided(whole, compile=True)


def test_a_multiple_is_passed_once():
    passed = [k for k in range(1, 20) if crosses(k - 1, k, 6)]
    assert passed == [6, 12, 18]
    assert crosses(5, 19, 6)
    assert not crosses(5, 19, 0)
