"""AUs as the nodes of a graph, and how they go together as its edges.

Two heads on the tokens of any encoder: a graph that joins each AU to its nearest ones (the first stage of ME-GraphAU),
and one with a learned feature for every ordered pair (the second). Both judge an AU by the cosine between its node and
a vector of its own, so what they give are probabilities already, without a sigmoid.

Written from the papers' descriptions. Our reading: how hidden tokens are left out (``valid``), which the papers do not
have.

References
----------
Luo et al. (2022), "Learning Multi-dimensional Edge Feature-based AU Relation Graph for Facial Action Unit
Recognition", sections 3.1-3.3. Bresson & Laurent (2017), "Residual Gated Graph ConvNets", for the gated layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AuGraph(NamedTuple):
    """What a graph head says of some faces.

    Attributes
    ----------
    probability : Tensor, (B, A) in [0, 1]
    nodes : Tensor, (B, A, D)
        Not negative.
    edges : Tensor, (B, A * A, D), or None
        Edge i * A + j is that of the ordered pair (i, j).
    edge_logits : Tensor, (B, A * A, 4), or None
        Of the classes of :func:`edge_classes`.
    """

    probability: Tensor
    nodes: Tensor
    edges: Tensor | None = None
    edge_logits: Tensor | None = None


class ValidBatchNorm(nn.BatchNorm1d):
    """Batch norm over axis 1 of a tensor of any shape, whose statistics count only what is valid."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """The normalised tensor.

        Parameters
        ----------
        x : Tensor, (B, C, ...)
        valid : Tensor, bool, broadcastable to x, optional
            The same for all channels.
        """
        if valid is None or not self.training:
            return super().forward(x.flatten(2)).reshape(x.shape) if x.ndim > 2 else super().forward(x)
        axes = [0, *range(2, x.ndim)]
        weight = valid.expand(len(x), 1, *x.shape[2:]).float()
        count = weight.sum()
        wide = x.float()
        mean = (wide * weight).sum(axes) / count.clamp(min=1)  # (C,)
        variance = ((wide - _as_channels(mean, x)).square() * weight).sum(axes) / count.clamp(min=1)
        return self.by(x, mean, variance, count)

    def by(self, x: Tensor, mean: Tensor, variance: Tensor, count: Tensor) -> Tensor:
        """The tensor normalised by moments (C,) of `count` values per channel, which the running ones follow."""
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((x.float() - _as_channels(mean, x)) * _as_channels(scale, x) + _as_channels(self.bias, x)).to(x.dtype)


def _as_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (x.ndim - 2))


class AuTokens(nn.Module):
    """Tokens of an encoder to tokens of each AU: one linear block for all, then one per AU.

    Parameters
    ----------
    dim : int
        Width of the encoder's tokens.
    aus : int
        Number A of AUs.
    width : int
        Width D of what comes out.
    """

    def __init__(self, dim: int, aus: int, *, width: int):
        super().__init__()
        self.aus = aus
        self.shared, self.shared_norm = nn.Linear(dim, width), ValidBatchNorm(width)
        # A independent blocks are one wide one
        self.own, self.own_norm = nn.Linear(width, aus * width), ValidBatchNorm(aus * width)

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens for all AUs, (B, L, D), and for each, (B, A, L, D); zero where not valid."""
        count, length, _ = tokens.shape
        where = None if valid is None else valid.reshape(-1, 1)  # (B L, 1)
        common = self.shared_norm(self.shared(tokens.flatten(0, 1)), where).relu()  # (B L, D)
        own = self.own_norm(self.own(common), where).relu()  # (B L, A D)
        common = common.unflatten(0, (count, length))
        own = own.view(count, length, self.aus, -1).transpose(1, 2)  # (B, A, L, D)
        if valid is not None:
            common, own = common * valid[..., None], own * valid[:, None, :, None]
        return common, own


class NearestGraph(nn.Module):
    """One graph layer over each AU's nearest AUs, by the dot products of their nodes.

    Parameters
    ----------
    aus, width : int
        Numbers A of AUs and D of a node's features.
    nearest : int
        Neighbours of a node, itself included: 4 on BP4D, 3 on DISFA. Ties let in more.
    """

    def __init__(self, aus: int, width: int, *, nearest: int = 4):
        super().__init__()
        self.nearest = min(nearest, aus)
        self.neighbour, self.self_ = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = ValidBatchNorm(aus)

    def forward(self, nodes: Tensor) -> Tensor:  # (B, A, D)
        """Updated nodes, (B, A, D), not negative."""
        message = self.adjacency(nodes).to(nodes) @ self.neighbour(nodes) + self.self_(nodes)
        return (nodes + self.norm(message)).relu()

    def adjacency(self, nodes: Tensor) -> Tensor:
        """Who hears whom, (B, A, A), normalised by the roots of both degrees; no gradient."""
        nodes = nodes.detach().float()
        likeness = nodes @ nodes.transpose(1, 2)
        least = likeness.topk(self.nearest, dim=-1).values[..., -1:]
        joined = (likeness >= least).float()
        root = joined.sum(-1).rsqrt()
        return root[..., None] * joined * root[:, None]


class CrossAttention(nn.Module):
    """Single-head attention with keys half as wide as values."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width // 2, bias=False)
        self.key = nn.Linear(width, width // 2, bias=False)
        self.value = nn.Linear(width, width, bias=False)

    def forward(self, asks: Tensor, told: Tensor, valid: Tensor | None) -> Tensor:
        """What each of `asks`, (B, A, L, D), finds in `told`, (B, L, D); `valid` is (B, L) bool."""
        mask = None if valid is None else valid[:, None]
        found = F.scaled_dot_product_attention(
            self.query(asks).flatten(1, 2), self.key(told), self.value(told), attn_mask=mask
        )
        return found.reshape(asks.shape)


class EdgeFeatures(nn.Module):
    """A feature for every ordered pair of AUs: each AU asks the whole face, then each asks each other.

    What pair (i, j) found is never built token by token. An edge is the mean over the tokens of j, so the attention is
    averaged first; the moments that its batch norm needs follow from the attention and the products of the values of i
    among themselves. On 12 AUs, 49 tokens and 512 features that is an eighth of the products.
    """

    def __init__(self, aus: int, width: int):
        super().__init__()
        self.face, self.pair = CrossAttention(width), CrossAttention(width)
        self.linear, self.norm = nn.Linear(width, width), ValidBatchNorm(aus * aus)

    def forward(self, common: Tensor, own: Tensor, valid: Tensor | None = None) -> Tensor:
        """Edges, (B, A * A, D), of tokens (B, L, D) and (B, A, L, D); zero in a face without a valid token."""
        count, _, length, width = own.shape
        asked = self.face(own, common, valid)  # (B, A, L, D)
        # a weighted mean of linear functions is the linear function of the weighted mean: A tokens, not A * A
        value = self.linear(self.pair.value(asked))  # (B, A, L, D)
        share = self._attention(asked, valid)  # (B, A, L, A, L): of token m of i, for token l of j
        asks = share.new_ones(count, length) if valid is None else valid.to(share)  # (B, L)
        some = asks.sum(1)
        mean_share = torch.einsum("bimjl,bl->bimj", share, asks / some.clamp(min=1)[:, None])
        edges = torch.einsum("bimj,bimd->bijd", mean_share.to(value), value).flatten(1, 2)  # (B, A A, D)
        if self.training:
            edges = self.norm.by(edges, *self._moments(edges, value, share, asks), some.sum() * width)
        else:
            edges = self.norm(edges)
        return edges if valid is None else edges * valid.any(1)[:, None, None]

    def _attention(self, asked: Tensor, valid: Tensor | None) -> Tensor:
        count, aus, length, _ = asked.shape
        query, key = self.pair.query(asked).flatten(1, 2), self.pair.key(asked).flatten(1, 2)  # (B, A L, D / 2)
        scores = key @ (query * query.shape[-1] ** -0.5).transpose(1, 2)  # (B, A L, A L)
        scores = scores.reshape(count, aus, length, aus, length)
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, :, None, None], torch.finfo(scores.dtype).min)
        return scores.softmax(2)

    def _moments(self, edges: Tensor, value: Tensor, share: Tensor, asks: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, (A A,), of what each pair found, over faces, valid tokens of j, and features."""
        total = (asks.sum() * value.shape[-1]).clamp(min=1)
        mean = (edges.float() * asks.sum(1)[:, None, None]).sum((0, 2)) / total
        about = value.detach().float().mean((0, 2, 3))  # any number will do; near the mean, little cancels
        centred = value.float() - about.view(1, -1, 1, 1)
        products = centred @ centred.transpose(2, 3)  # (B, A, L, L)
        square = (torch.einsum("bimn,binjl->bimjl", products.to(share), share) * share).sum(2)  # (B, A, A, L)
        square = torch.einsum("bijl,bl->ij", square.float(), asks.float()).flatten() / total  # (A A,)
        return mean, (square - (mean - about.repeat_interleave(value.shape[1])).square()).clamp(min=0)


class GatedLayer(nn.Module):
    """A residual gated graph layer: edges hear their nodes, nodes hear each other through the edges' gates."""

    def __init__(self, aus: int, width: int):
        super().__init__()
        names = ("edge_from", "edge_to", "edge_self", "node_self", "node_other")
        self.linears = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in names})
        self.edge_norm, self.node_norm = ValidBatchNorm(aus * aus), ValidBatchNorm(aus)

    def forward(self, nodes: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes (B, A, D) and edges (B, A * A, D), updated."""
        aus, linear = nodes.shape[1], self.linears
        told = linear["edge_from"](nodes)[:, :, None] + linear["edge_to"](nodes)[:, None]  # (B, A, A, D)
        edges = edges + self.edge_norm(told.flatten(1, 2) + linear["edge_self"](edges)).relu()
        gate = edges.unflatten(1, (aus, aus)).float().sigmoid().softmax(2).to(nodes)  # over j
        heard = torch.einsum("bijd,bjd->bid", gate, linear["node_other"](nodes)) / aus
        return (nodes + self.node_norm(linear["node_self"](nodes) + heard)).relu(), edges


class CosineClassifier(nn.Module):
    """How much a node looks like its AU's own vector: a probability, as neither has a negative part."""

    def __init__(self, aus: int, width: int):
        super().__init__()
        self.own = nn.Parameter(nn.init.xavier_uniform_(torch.empty(aus, width)))

    def forward(self, nodes: Tensor) -> Tensor:  # (B, A, D), not negative
        """Probabilities, (B, A)."""
        return F.cosine_similarity(nodes.float(), self.own.relu().float(), dim=-1, eps=1e-6).clamp(0, 1)


class GraphHead(nn.Module):
    """Tokens to an :class:`AuGraph`.

    Parameters
    ----------
    dim : int
        Width of the encoder's tokens.
    aus : int
        Number A of AUs.
    width : int
        Width D of nodes and edges, 512 as published.
    edges : bool
        The second stage, with a feature for every pair; the first stage joins nearest AUs instead.
    layers : int
        Gated layers of the second stage.
    nearest : int
        Neighbours in the first stage.
    """

    def __init__(self, dim: int, aus: int, *, width: int = 512, edges: bool = True, layers: int = 2, nearest: int = 4):
        super().__init__()
        self.tokens = AuTokens(dim, aus, width=width)
        self.nearest = None if edges else NearestGraph(aus, width, nearest=nearest)
        self.edges = EdgeFeatures(aus, width) if edges else None
        self.layers = nn.ModuleList(GatedLayer(aus, width) for _ in range(layers if edges else 0))
        self.classify = CosineClassifier(aus, width)
        self.classify_edge = nn.Linear(width, 4) if edges else None

    def forward(self, tokens: Tensor, valid: Tensor | None = None) -> AuGraph:
        """The graph of each face.

        Parameters
        ----------
        tokens : Tensor, (B, L, dim)
        valid : Tensor, (B, L) bool, optional
            Tokens that count, at least one for each face.
        """
        common, own = self.tokens(tokens, valid)
        nodes = own.mean(2) if valid is None else own.sum(2) / valid.sum(1).clamp(min=1)[:, None, None]
        if self.edges is None:
            nodes = self.nearest(nodes)
            return AuGraph(self.classify(nodes), nodes)
        edges = self.edges(common, own, valid)
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        return AuGraph(self.classify(nodes), nodes, edges, self.classify_edge(edges))


def edge_classes(au: Tensor) -> Tensor:
    """What a pair of AUs does in a face: 0 neither, 1 only the second, 2 only the first, 3 both.

    Parameters
    ----------
    au : Tensor, (B, A) in {0, 1, nan}

    Returns
    -------
    Tensor, (B, A * A) int64
        ``2 * y_i + y_j`` for edge ``i * A + j``; -100, which cross-entropy leaves out, where one is not coded.
    """
    first, second = au[:, :, None], au[:, None]
    known = ~(first.isnan() | second.isnan())
    kind = (2 * first.nan_to_num(0) + second.nan_to_num(0)).long()
    return torch.where(known, kind, -100).flatten(1)
