"""AU nodes read from tokens in three ways, and edges made of the nodes: the graph head in miniature.

The published head (:class:`fau_utils.models.graph.GraphHead`) averages the tokens of each AU and compares every pair
of AUs token by token. On faces of 64 px, in minutes, averages learn little (they do not know where a token was), and
the pairs take most of the time. Our own: nodes are read by position or by a query for each AU, and an edge begins as a
function of its two nodes. The gated layers and the cosine classifier are the published ones.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from fau_utils.models.graph import AuGraph, AuTokens, CosineClassifier, GatedLayer, ValidBatchNorm
from fau_utils.models.heads import AttentionHead
from fau_utils.models.vit import READ_PER_TOKEN

Pool = Literal["mean", "attention", "position"]


class PositionNodes(nn.Module):
    """A few numbers of each token, read with weights of its own for each place and AU; nothing where nothing is seen.

    As flattening followed by a linear layer, at low rank; what is visible is scaled to make up for what is not.
    """

    def __init__(self, dim: int, aus: int, *, places: int, width: int):
        super().__init__()
        self.places, self.aus = places, aus
        self.reduce = nn.Linear(dim, READ_PER_TOKEN)
        self.read = nn.Linear(places * READ_PER_TOKEN, aus * width, bias=False)

    def forward(self, tokens: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """Features (B, A, C)."""
        z = self.reduce(tokens) * valid[..., None]  # (B, K, 16)
        filled = z.new_zeros(len(z), self.places, z.shape[-1])
        filled = filled.scatter_add(1, keep[..., None].expand_as(z), z)  # padded ones add zero
        share = valid.sum(1).clamp(min=1) / self.places
        return self.read(filled.flatten(1) * share.rsqrt()[:, None].to(z)).unflatten(1, (self.aus, -1))


class QueryNodes(AttentionHead):
    """Each AU's queries look for its tokens among those that are visible, and may prefer places."""

    def __init__(self, dim: int, aus: int, *, places: int, width: int, heads: int = 4):
        super().__init__(dim, aus, places=places, heads=heads)
        del self.weight, self.bias  # of the logits, which a graph does not have
        self.read = nn.Parameter(torch.empty(aus, dim, width))
        nn.init.normal_(self.read, std=dim**-0.5)

    def forward(self, tokens: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """Features (B, A, C); zero for a face of which nothing is seen."""
        seen = valid.any(1)
        found = self.per_au(tokens, valid | ~seen[:, None], keep=keep)  # (B, A, D)
        return torch.einsum("bad,adc->bac", found * seen[:, None, None], self.read)

    def attention(self, tokens: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """How much each AU looks at each place, over its queries, (B, A, P); of sum 1, or 0 where nothing is seen."""
        keys = self.key(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, K, D / H)
        scores = self.query @ keys.transpose(2, 3) * keys.shape[-1] ** -0.5  # (B, H, A, K)
        scores = (
            scores
            + self.place.expand(len(keep), -1, -1).gather(2, keep[:, None].expand(-1, len(self.place), -1))[:, None]
        )
        share = scores.masked_fill(~valid[:, None, None], -torch.inf).softmax(-1).nan_to_num(0).mean(1)  # (B, A, K)
        places = share.new_zeros(*share.shape[:2], self.places)
        return places.scatter_add(2, keep[:, None].expand_as(share), share)


class MeanNodes(nn.Module):
    """The published nodes: a block of each AU's own on every token, then the mean over those that count."""

    def __init__(self, dim: int, aus: int, *, places: int, width: int):
        super().__init__()
        self.tokens = AuTokens(dim, aus, width=width)

    def forward(self, tokens: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """Features (B, A, C)."""
        _, own = self.tokens(tokens, valid)
        return own.sum(2) / valid.sum(1).clamp(min=1)[:, None, None]


POOLS: dict[str, type[nn.Module]] = {"mean": MeanNodes, "attention": QueryNodes, "position": PositionNodes}


class PooledGraphHead(nn.Module):
    """Tokens of the visible patches to an :class:`~fau_utils.models.graph.AuGraph`.

    Parameters
    ----------
    dim : int
        Width of the encoder's tokens.
    aus : int
        Number A of AUs.
    places : int
        Number P of places on the patch grid.
    width : int
        Width C of nodes and edges.
    pool : {"position", "attention", "mean"}
        How nodes are read, see :data:`POOLS`.
    layers : int
        Gated layers.
    """

    def __init__(self, dim: int, aus: int, *, places: int, width: int = 32, pool: Pool = "position", layers: int = 2):
        super().__init__()
        if pool not in POOLS:
            raise ValueError(f"expected a pool of {', '.join(POOLS)}, found {pool!r}")
        self.aus, self.places = aus, places
        self.nodes = POOLS[pool](dim, aus, places=places, width=width)
        self.node_norm = nn.BatchNorm1d(aus * width)
        self.first, self.second, self.both = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.edge_norm = ValidBatchNorm(aus * aus)
        self.layers = nn.ModuleList(GatedLayer(aus, width) for _ in range(layers))
        self.classify = CosineClassifier(aus, width)
        self.classify_edge = nn.Linear(width, 4)

    def forward(self, tokens: Tensor, valid: Tensor | None = None, keep: Tensor | None = None) -> AuGraph:
        """The graph of each face.

        Parameters
        ----------
        tokens : Tensor, (B, K, dim)
        valid : Tensor, (B, K) bool, optional
            Tokens that count; a face may have none, and then gets the answer that all such faces get.
        keep : Tensor, (B, K) int64, optional
            Place of each token; by default all of them, in order.
        """
        count, length, _ = tokens.shape
        if valid is None:
            valid = torch.ones(count, length, dtype=torch.bool, device=tokens.device)
        if keep is None:
            if length != self.places:
                raise ValueError(f"expected {self.places} tokens or their places in keep=, found {length}")
            keep = torch.arange(length, device=tokens.device).expand(count, -1)
        found = self.nodes(tokens, valid, keep)  # (B, A, C)
        nodes = self.node_norm(found.flatten(1)).unflatten(1, (self.aus, -1)).relu()
        pairs = self.first(nodes)[:, :, None] + self.second(nodes)[:, None]  # (B, A, A, C)
        pairs = pairs + self.both(nodes)[:, :, None] * nodes[:, None]
        edges = self.edge_norm(pairs.flatten(1, 2)).relu()
        for layer in self.layers:
            nodes, edges = layer(nodes, edges)
        return AuGraph(self.classify(nodes), nodes, edges, self.classify_edge(edges))
