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
            return super().forward(x.flatten(2)).view(x.shape) if x.ndim > 2 else super().forward(x)
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1) + (1,) * (x.ndim - 2)
        weight = valid.expand(len(x), 1, *x.shape[2:]).float()
        count = weight.sum().clamp(min=1)
        wide = x.float()
        mean = (wide * weight).sum(axes) / count  # (C,)
        variance = ((wide - mean.view(shape)).square() * weight).sum(axes) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((wide - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


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
        where = None if valid is None else valid[:, None]  # (B, 1, L)
        common = self.shared_norm(self.shared(tokens).transpose(1, 2), where).relu()  # (B, D, L)
        own = self.own_norm(self.own(common.transpose(1, 2)).transpose(1, 2), where).relu()  # (B, A D, L)
        own = own.unflatten(1, (self.aus, -1)).transpose(2, 3)  # (B, A, L, D)
        common = common.transpose(1, 2)
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
        """What `asks` (..., L, D) finds in `told` (..., L, D); leading axes broadcast. `valid` is (B, L) bool."""
        q, k, v = self.query(asks), self.key(told), self.value(told)
        lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        q, k, v = (part.expand(*lead, *part.shape[-2:]).flatten(0, -3) for part in (q, k, v))
        mask = None
        if valid is not None:
            shape = (valid.shape[0], *(1,) * (len(lead) - 1), 1, valid.shape[1])
            mask = valid.view(shape).expand(*lead, 1, -1).flatten(0, -3)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).unflatten(0, lead)


class EdgeFeatures(nn.Module):
    """A feature for every ordered pair of AUs: each AU asks the whole face, then each asks each other."""

    def __init__(self, aus: int, width: int):
        super().__init__()
        self.face, self.pair = CrossAttention(width), CrossAttention(width)
        self.linear, self.norm = nn.Linear(width, width), ValidBatchNorm(aus * aus)

    def forward(self, common: Tensor, own: Tensor, valid: Tensor | None = None) -> Tensor:
        """Edges, (B, A * A, D), of tokens (B, L, D) and (B, A, L, D)."""
        asked = self.face(own, common[:, None], valid)  # (B, A, L, D)
        # edge (i, j): j asks i
        pairs = self.pair(asked[:, None], asked[:, :, None], valid).flatten(1, 2)  # (B, A A, L, D)
        where = None if valid is None else valid[:, None, :, None]
        pairs = self.norm(self.linear(pairs), where)
        if valid is None:
            return pairs.mean(2)
        return (pairs * where).sum(2) / valid.sum(1).clamp(min=1)[:, None, None]


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
