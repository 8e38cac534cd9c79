import math

import pytest
import torch
from torch import nn

from fau_utils.models.reversal import GradientReversal, ramp, reverse_gradient, uniform_confusion


def test_values_stay_and_gradients_turn_exactly():
    x = torch.randn(5, 3, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    given = torch.randn(5, 3)
    y.backward(given)
    assert torch.equal(x.grad, given * -0.3)


def test_what_reads_the_features_learns_at_full_strength():
    features, head = torch.randn(4, 3, requires_grad=True), nn.Linear(3, 2)
    head(features).square().sum().backward()
    plain, before = head.weight.grad.clone(), features.grad.clone()
    head.zero_grad()
    features.grad = None
    head(reverse_gradient(features, 2.0)).square().sum().backward()
    torch.testing.assert_close(head.weight.grad, plain)
    torch.testing.assert_close(features.grad, -2 * before)


def test_a_strength_that_is_a_tensor_is_one_and_gets_no_gradient():
    x, strength = torch.randn(5, 3, requires_grad=True), torch.tensor(0.3)
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    given = torch.randn(5, 3)
    y.backward(given)
    assert torch.equal(x.grad, given * -strength)
    assert strength.grad is None


def test_strength_can_be_set_at_each_step_and_is_not_saved():
    layer = GradientReversal(0.0)
    assert not layer.state_dict()
    for strength in (0.0, 1.5):
        x = torch.ones(2, requires_grad=True)
        layer.strength = strength
        layer(x).sum().backward()
        torch.testing.assert_close(x.grad, torch.full((2,), -strength))


def test_reversing_twice_is_not_reversing_and_second_derivatives_exist():
    x = torch.randn(3, requires_grad=True)
    (first,) = torch.autograd.grad(reverse_gradient(reverse_gradient(x)).pow(3).sum(), x, create_graph=True)
    torch.testing.assert_close(first, 3 * x**2)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, 6 * x)


def test_the_gradient_is_reversed_under_autocast_and_when_compiled():
    def loss(x):
        with torch.autocast("cpu", torch.bfloat16):
            return (reverse_gradient(x, 0.5) @ torch.ones(3, 1)).sum()

    for function in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True)):
        x = torch.randn(2, 3, requires_grad=True)
        function(x).backward()
        torch.testing.assert_close(x.grad, torch.full((2, 3), -0.5))


def test_a_strength_that_changes_at_each_step_is_not_compiled_anew_each_time():
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    layer = GradientReversal()
    torch._dynamo.reset()
    first = nn.Linear(3, 3)
    compiled = torch.compile(nn.Sequential(first, layer), backend=count)
    for step in range(12):
        layer.strength = ramp(step / 12)
        x = torch.randn(2, 3, requires_grad=True)
        compiled(x).sum().backward()
        torch.testing.assert_close(x.grad, -layer.strength * first.weight.sum(0).expand(2, -1))
    assert len(graphs) <= 3


def test_the_ramp_is_the_papers():
    assert ramp(0) == 0
    assert ramp(1) == pytest.approx(2 / (1 + math.exp(-10)) - 1)
    assert ramp(0.1, strength=2) == pytest.approx(2 * (2 / (1 + math.exp(-1)) - 1))
    with pytest.raises(ValueError, match=r"found 1\.2"):
        ramp(1.2)


def test_confusion_is_least_where_all_are_equally_likely():
    assert uniform_confusion(torch.full((3, 7), 2.0)).item() == pytest.approx(math.log(7))
    logits = torch.randn(3, 7, requires_grad=True)
    assert uniform_confusion(logits) > math.log(7)
    uniform_confusion(logits).backward()
    # towards the uniform distribution: the gradient is the softmax less 1 / S
    torch.testing.assert_close(logits.grad, (logits.softmax(-1) - 1 / 7).detach() / 3)
