import pytest
import torch

from fau_utils.models.heads import AttentionHead, LinearHead, mean_of_valid


def tokens(count=4, length=6, dim=8):
    return torch.randn(count, length, dim, generator=torch.Generator().manual_seed(0))


def some_valid(count=4, length=6):
    valid = torch.rand(count, length, generator=torch.Generator().manual_seed(1)) < 0.5
    valid[:, 2] = True
    return valid


HEADS = {
    "linear": lambda: LinearHead(8, 3, std=1.0),
    "attention": lambda: AttentionHead(8, 3),
    "attention, two queries": lambda: AttentionHead(8, 3, heads=2),
    "attention with places": lambda: AttentionHead(8, 3, places=6),
}


@pytest.fixture(params=list(HEADS))
def head(request):
    torch.manual_seed(0)
    return HEADS[request.param]()


def test_hidden_tokens_change_nothing(head):
    valid, x = some_valid(), tokens()
    other = torch.where(valid[..., None], x, 1e3 * torch.randn_like(x))
    torch.testing.assert_close(head(other, valid), head(x, valid))
    assert not torch.allclose(head(other), head(x))


def test_all_valid_is_as_if_nothing_was_said(head):
    torch.testing.assert_close(head(tokens(), torch.ones(4, 6, dtype=torch.bool)), head(tokens()))


def test_a_linear_head_takes_features_as_well():
    head = LinearHead(8, 3, std=1.0)
    torch.testing.assert_close(head(tokens()), head(tokens().mean(1)))


def test_the_mean_of_no_token_is_zero():
    assert mean_of_valid(tokens(), torch.zeros(4, 6, dtype=torch.bool)).abs().sum() == 0


def test_places_follow_the_tokens_that_were_kept():
    head = AttentionHead(8, 3, places=6)
    order = torch.tensor([5, 0, 3, 1, 4, 2]).expand(4, -1)
    shuffled = tokens().gather(1, order[..., None].expand(-1, -1, 8))
    torch.testing.assert_close(head(shuffled, keep=order), head(tokens()))
    assert not torch.allclose(head(shuffled), head(tokens()))


def test_an_au_finds_the_token_that_looks_like_its_query():
    head = AttentionHead(4, 2)
    with torch.no_grad():
        head.query.copy_(20 * torch.eye(4)[None, :2])
        head.key.weight.copy_(torch.eye(4))
        head.value.weight.copy_(torch.eye(4))
        head.value.bias.zero_()
    x = torch.eye(4)[None]  # token k is the unit vector k
    torch.testing.assert_close(head.per_au(x)[0], torch.eye(4)[:2], atol=1e-3, rtol=0)


def test_tokens_without_places_are_refused():
    with pytest.raises(ValueError, match="expected 6 tokens or their places"):
        AttentionHead(8, 3, places=6)(tokens(length=5))


def test_a_face_without_any_token_is_judged_by_the_bias_alone(head):
    valid, x = some_valid(), tokens().requires_grad_()
    valid[1] = False
    for parameter in head.parameters():
        if parameter.shape == (3,):
            torch.nn.init.normal_(parameter)
    logits = head(x, valid)
    bias = next(p for name, p in head.named_parameters() if p.shape == (3,) and name.endswith("bias"))
    torch.testing.assert_close(logits[1], bias)
    logits.sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[1].any()


def test_features_of_each_au_are_what_its_logit_is_made_of(head):
    found, weight, bias = (
        (head.per_au(tokens()), torch.ones(3, 8), head.linear.bias)
        if isinstance(head, LinearHead)
        else (head.per_au(tokens()), head.weight, head.bias)
    )
    assert found.shape == (4, 3, 8)
    torch.testing.assert_close((found * weight).sum(-1) + bias, head(tokens()))
