import pytest
import torch
from torch.nn import functional as F

from fau_utils.models.graph import EdgeFeatures, GatedLayer, GraphHead, NearestGraph, ValidBatchNorm, edge_classes
from fau_utils.models.seeded import seeded

AUS, WIDTH = 5, 16


def head(**changes):
    with seeded(0):
        return GraphHead(8, AUS, width=WIDTH, **changes)


def tokens(count=6, length=9):
    return torch.randn(count, length, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=[True, False], ids=["edges", "nearest"])
def graph(request):
    return head(edges=request.param)


def test_probabilities_nodes_and_edges_have_their_shapes_and_ranges(graph):
    found = graph(tokens())
    assert found.probability.shape == (6, AUS)
    assert 0 <= found.probability.min() <= found.probability.max() <= 1
    assert found.nodes.shape == (6, AUS, WIDTH)
    assert found.nodes.min() >= 0
    if found.edges is not None:
        assert found.edges.shape == (6, AUS * AUS, WIDTH)
        assert found.edge_logits.shape == (6, AUS * AUS, 4)


@pytest.mark.parametrize("training", [False, True])
def test_hidden_tokens_change_nothing(graph, training):
    valid = torch.rand(6, 9, generator=torch.Generator().manual_seed(2)) < 0.6
    valid[:, 0] = True
    graph.train(training)
    x = tokens()
    first = graph(x, valid)
    second = graph(torch.where(valid[..., None], x, 100 * torch.randn_like(x)), valid)
    for one, other in zip(first, second, strict=True):
        if one is not None:
            torch.testing.assert_close(one, other)


def test_hiding_tokens_is_as_if_they_were_not_there(graph):
    graph.eval()
    valid = torch.ones(6, 9, dtype=torch.bool)
    valid[:, 4:] = False
    whole, part = graph(tokens(), valid), graph(tokens()[:, :4])
    torch.testing.assert_close(whole.probability, part.probability)
    torch.testing.assert_close(whole.nodes, part.nodes)
    if part.edges is not None:
        torch.testing.assert_close(whole.edges, part.edges)


def test_the_order_of_tokens_is_of_no_account(graph):
    graph.eval()
    torch.testing.assert_close(graph(tokens()).nodes, graph(tokens().flip(1)).nodes)


def test_an_edge_belongs_to_its_ordered_pair():
    """Edge (i, j) is what j finds in i: with all other AUs changed, it stays."""
    graph = head()
    graph.eval()
    common, own = graph.tokens(tokens())
    before = graph.edges(common, own)
    changed = own.clone()
    changed[:, [0, 2, 4]] = 10 * torch.rand_like(changed[:, [0, 2, 4]])
    after = graph.edges(common, changed)
    same = (before - after).abs().amax((0, 2)) == 0
    pairs = {(k // AUS, k % AUS) for k in same.nonzero().flatten().tolist()}
    assert pairs == {(1, 1), (1, 3), (3, 1), (3, 3)}
    assert not torch.allclose(before[:, 1 * AUS + 3], before[:, 3 * AUS + 1])


def edges_one_by_one(layer, common, own):
    """Every pair by itself, every token of it built, as the paper tells it; and the batch norm that saw all pairs."""

    def ask(attention, asks, told):
        q, k, v = attention.query(asks), attention.key(told), attention.value(told)
        return (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v

    norm = torch.nn.BatchNorm2d(AUS * AUS)
    norm.load_state_dict(layer.norm.state_dict())
    norm.weight, norm.bias = layer.norm.weight, layer.norm.bias
    norm.train(layer.training)
    asked = [ask(layer.face, own[:, i], common) for i in range(AUS)]
    pairs = [layer.linear(ask(layer.pair, asked[j], asked[i])) for i in range(AUS) for j in range(AUS)]
    return norm(torch.stack(pairs, 1)).mean(2), norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("hidden", [0, 4])
def test_edges_are_those_of_the_pairs_one_by_one(training, hidden):
    with seeded(0):
        layer = EdgeFeatures(AUS, WIDTH).train(training)
        common, own = torch.randn(3, 9, WIDTH) + 1, torch.randn(3, AUS, 9, WIDTH) + 1
        torch.nn.init.normal_(layer.norm.weight)
        layer.norm.running_mean.normal_()
        weight = torch.randn(3, AUS * AUS, WIDTH)
    valid = None
    if hidden:
        valid = torch.ones(3, 9, dtype=torch.bool)
        valid[:, -hidden:] = False
    seen = slice(None, 9 - hidden)
    expected, norm = edges_one_by_one(layer, common[:, seen], own[:, :, seen])
    wanted = torch.autograd.grad((expected * weight).sum(), list(layer.parameters()))
    found = layer(common, own, valid)
    given = torch.autograd.grad((found * weight).sum(), list(layer.parameters()))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(layer.norm.running_var, norm.running_var)
    torch.testing.assert_close(layer.norm.running_mean, norm.running_mean)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_aus_in_another_order_give_the_same_graph_in_that_order(graph):
    order = torch.tensor([3, 0, 4, 1, 2])
    pairs = (order[:, None] * AUS + order).flatten()
    other = head(edges=graph.edges is not None)
    state = graph.state_dict()
    for name, value in state.items():
        if name.startswith("tokens.own") and value.ndim:
            state[name] = value.unflatten(0, (AUS, WIDTH))[order].flatten(0, 1)
        elif value.ndim and len(value) == AUS:
            state[name] = value[order]
        elif value.ndim and len(value) == AUS * AUS:
            state[name] = value[pairs]
    other.load_state_dict(state)
    before, after = graph(tokens()), other(tokens())
    torch.testing.assert_close(after.probability, before.probability[:, order], atol=1e-4, rtol=1e-3)
    if before.edges is not None:
        torch.testing.assert_close(after.edge_logits, before.edge_logits[:, pairs], atol=1e-4, rtol=1e-3)


def test_a_face_without_any_token_gets_an_answer_and_disturbs_no_other(graph):
    valid = torch.ones(6, 9, dtype=torch.bool)
    valid[2] = False
    others = torch.arange(6) != 2
    if graph.edges is None:
        graph.eval()  # its batch norm over nodes counts the empty node, too
    else:
        alone = graph.edges(*graph.tokens(tokens()[others]))
        torch.testing.assert_close(graph.edges(*graph.tokens(tokens(), valid), valid)[others], alone)
    found = graph(tokens(), valid)
    found.probability.sum().backward()
    assert found.probability.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in graph.parameters())


def test_a_gated_layer_does_what_its_equations_say():
    with seeded(0):
        layer = GatedLayer(3, 4).eval()
    nodes, edges = torch.rand(2, 3, 4), torch.rand(2, 9, 4)
    found_nodes, found_edges = layer(nodes, edges)
    w = {name: linear.weight for name, linear in layer.linears.items()}
    scale = (1 + layer.edge_norm.eps) ** -0.5  # fresh running statistics: mean 0, variance 1
    b, i = 1, 2
    new = []
    for j in range(3):
        told = w["edge_from"] @ nodes[b, i] + w["edge_to"] @ nodes[b, j] + w["edge_self"] @ edges[b, 3 * i + j]
        new.append(edges[b, 3 * i + j] + (told * scale).relu())
    torch.testing.assert_close(found_edges[b, 3 * i : 3 * i + 3], torch.stack(new))
    gates = torch.stack(new).sigmoid().softmax(0)
    heard = sum(gates[j] * (w["node_other"] @ nodes[b, j]) for j in range(3)) / 3
    expected = (nodes[b, i] + (w["node_self"] @ nodes[b, i] + heard) * scale).relu()
    torch.testing.assert_close(found_nodes[b, i], expected)


def test_a_node_hears_its_nearest_and_itself():
    graph = NearestGraph(4, 2, nearest=2)
    nodes = torch.tensor([[[1.0, 0.0], [0.9, 0.0], [0.0, 1.0], [0.0, 0.8]]])
    assert (graph.adjacency(nodes)[0] > 0).int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    torch.testing.assert_close(graph.adjacency(nodes)[0, 0, 1], torch.tensor(0.5))


def test_batch_norm_over_what_is_valid_is_batch_norm_of_that():
    x = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0))
    valid = torch.zeros(4, 1, 7, dtype=torch.bool)
    valid[..., :3] = True
    some, plain = ValidBatchNorm(3), torch.nn.BatchNorm1d(3)
    torch.testing.assert_close(some(x, valid)[..., :3], plain(x[..., :3]))
    torch.testing.assert_close(some.running_mean, plain.running_mean)
    torch.testing.assert_close(some.running_var, plain.running_var)
    torch.testing.assert_close(ValidBatchNorm(3)(x), torch.nn.BatchNorm1d(3)(x))


def test_classes_of_edges_leave_out_what_is_not_coded():
    au = torch.tensor([[1.0, 0.0, torch.nan]])
    assert edge_classes(au).view(3, 3).tolist() == [[3, 2, -100], [1, 0, -100], [-100, -100, -100]]


def test_it_learns_which_aus_go_together():
    """Two AUs that are always equal get edges of class 0 and 3 and nothing else."""
    graph = head()
    generator = torch.Generator().manual_seed(3)
    sign = (torch.rand(64, 1, generator=generator) < 0.5).float()
    x = torch.randn(64, 4, 8, generator=generator) * 0.3 + (2 * sign - 1)[..., None]
    au = sign.expand(-1, AUS)
    optimizer = torch.optim.Adam(graph.parameters(), lr=1e-2)
    for _ in range(30):
        found = graph(x)
        loss = F.binary_cross_entropy(found.probability.clamp(1e-6, 1 - 1e-6), au)
        loss = loss + F.cross_entropy(found.edge_logits.flatten(0, 1), edge_classes(au).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = graph.eval()(x)
    assert ((found.probability > 0.5) == au.bool()).float().mean() > 0.95
    assert (found.edge_logits.argmax(-1) == edge_classes(au)).float().mean() > 0.95
