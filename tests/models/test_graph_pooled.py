"""The small graph head."""

import pytest
import torch

from fau_utils.models.graph_pooled import POOLS, PooledGraphHead


@pytest.fixture(params=list(POOLS))
def head(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PooledGraphHead(24, 5, places=16, width=8, pool=request.param)


@pytest.fixture
def tokens():
    return torch.randn(6, 16, 24, generator=torch.Generator().manual_seed(0))


def test_a_graph_has_a_node_for_each_au_and_an_edge_for_each_ordered_pair(head, tokens):
    graph = head(tokens)
    assert graph.nodes.shape == (6, 5, 8)
    assert graph.edges.shape == (6, 25, 8)
    assert graph.edge_logits.shape == (6, 25, 4)
    assert ((graph.probability >= 0) & (graph.probability <= 1)).all()
    assert (graph.nodes >= 0).all()


@torch.no_grad()
def test_tokens_that_do_not_count_and_their_order_change_nothing(head, tokens):
    head.eval()
    keep = torch.stack([torch.randperm(16, generator=torch.Generator().manual_seed(k)) for k in range(6)])
    valid = torch.arange(16) < 9
    some, places = tokens.gather(1, keep[..., None].expand_as(tokens)), keep
    expected = head(some[:, :9], None if False else valid[:9].expand(6, -1), places[:, :9])
    noise = torch.where(valid[:, None], some, 50.0)
    found = head(noise, valid.expand(6, -1), places)
    torch.testing.assert_close(found.nodes, expected.nodes, atol=1e-5, rtol=1e-5)
    order = torch.randperm(9)
    turned = head(some[:, order], valid[:9].expand(6, -1), places[:, order])
    torch.testing.assert_close(turned.probability, expected.probability, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_all_faces_of_which_nothing_is_seen_get_one_answer(head, tokens):
    head.eval()
    places = torch.arange(16).expand(6, -1)
    said = head(tokens, torch.zeros(6, 16, dtype=torch.bool), places).probability
    assert said.isfinite().all()
    torch.testing.assert_close(said, said[:1].expand_as(said))


def test_edges_depend_on_the_order_of_the_pair(head, tokens):
    edges = head(tokens).edges.unflatten(1, (5, 5))
    assert not torch.allclose(edges, edges.transpose(1, 2))


@torch.no_grad()
def test_attention_of_the_queries_sums_to_one_over_visible_places(tokens):
    head = PooledGraphHead(24, 5, places=16, width=8, pool="attention")
    keep = torch.arange(16).expand(6, -1)
    valid = torch.rand(6, 16, generator=torch.Generator().manual_seed(0)) < 0.5
    valid[2] = False
    share = head.nodes.attention(tokens, valid, keep)
    assert share.shape == (6, 5, 16)
    assert not share.masked_select(~valid[:, None].expand_as(share)).any()
    torch.testing.assert_close(share.sum(2), valid.any(1)[:, None].float().expand(6, 5))


def test_an_unknown_pool_and_tokens_without_places_are_refused(tokens):
    with pytest.raises(ValueError, match="expected a pool of mean, attention, position, found 'max'"):
        PooledGraphHead(24, 5, places=16, pool="max")
    with pytest.raises(ValueError, match="expected 16 tokens or their places"):
        PooledGraphHead(24, 5, places=16)(tokens[:, :9])
