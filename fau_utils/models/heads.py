"""From features to one logit per AU.

``valid`` marks the tokens that count, (B, L) bool: patches hidden by an occluder take part in nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def mean_of_valid(tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over the tokens that count, (B, D); zero where none does.

    Parameters
    ----------
    tokens : Tensor, (B, L, D)
    valid : Tensor, (B, L) bool, optional
    """
    if valid is None:
        return tokens.mean(1)
    kept = torch.where(valid[..., None], tokens, 0)
    return kept.sum(1) / valid.sum(1, keepdim=True).clamp(min=1)


class LinearHead(nn.Module):
    """A logit per AU, linear in one feature per face.

    Parameters
    ----------
    dim : int
        Width D of a feature or token.
    aus : int
        Number A of AUs.
    std : float
        Of the initial weights. Small ones let a pretrained encoder begin from its own features (FMAE: 2e-5).
    """

    def __init__(self, dim: int, aus: int, *, std: float = 0.02):
        super().__init__()
        self.linear = nn.Linear(dim, aus)
        nn.init.trunc_normal_(self.linear.weight, std=std)
        nn.init.zeros_(self.linear.bias)

    def per_au(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """What each AU makes of the feature, (B, A, D): the terms whose sum, with the bias, is its logit."""
        return self._feature(x, valid)[:, None] * self.linear.weight

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Logits, (B, A), of features (B, D), or of tokens (B, L, D) by their mean."""
        return self.linear(self._feature(x, valid))

    def _feature(self, x: Tensor, valid: Tensor | None) -> Tensor:
        return mean_of_valid(x, valid) if x.ndim == 3 else x


class AttentionHead(nn.Module):
    """One query per AU looks for its tokens; each AU reads a feature of its own.

    Parameters
    ----------
    dim : int
        Width D of a token.
    aus : int
        Number A of AUs.
    places : int
        Number P of places on the patch grid, when each AU may prefer places from the start of training; 0 when not.
        On aligned faces a preference for places is most of what there is to learn, and queries alone take many more
        views to find it.
    heads : int
        Queries of each AU; D is a multiple.
    """

    def __init__(self, dim: int, aus: int, *, places: int = 0, heads: int = 1):
        super().__init__()
        if dim % heads:
            raise ValueError(f"expected a dim that heads divides, found {dim} and {heads}")
        self.heads, self.places = heads, places
        self.query = nn.Parameter(torch.randn(heads, aus, dim // heads) / (dim // heads) ** 0.5)
        self.key, self.value = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim)
        self.place = nn.Parameter(torch.randn(aus, places)) if places else None
        self.weight = nn.Parameter(torch.empty(aus, dim))
        self.bias = nn.Parameter(torch.zeros(aus))
        nn.init.normal_(self.weight, std=dim**-0.5)

    def per_au(self, tokens: Tensor, valid: Tensor | None = None, *, keep: Tensor | None = None) -> Tensor:
        """A feature for each AU, (B, A, D).

        Parameters
        ----------
        tokens : Tensor, (B, L, D)
        valid : Tensor, (B, L) bool, optional
            A face without any gets zeros.
        keep : Tensor, (B, L) int64, optional
            Place of each token on the grid; by default the first to the last.
        """
        count = len(tokens)
        k, v = (
            part(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.key, self.value)
        )  # (B, heads, L, D / heads)
        q = self.query.expand(count, -1, -1, -1)  # (B, heads, A, D / heads)
        found = F.scaled_dot_product_attention(q.to(k), k, v, attn_mask=self._mask(k, valid, keep))
        return found.transpose(1, 2).flatten(2)  # (B, A, D)

    def forward(self, tokens: Tensor, valid: Tensor | None = None, *, keep: Tensor | None = None) -> Tensor:
        """Logits, (B, A)."""
        return torch.einsum("bad,ad->ba", self.per_au(tokens, valid, keep=keep), self.weight) + self.bias

    def _mask(self, k: Tensor, valid: Tensor | None, keep: Tensor | None) -> Tensor | None:
        if self.place is None:
            return None if valid is None else valid[:, None, None, :]
        count, _, length, _ = k.shape
        if keep is None and length != self.places:
            raise ValueError(f"expected {self.places} tokens or their places in keep=, found {length}")
        preferred = self.place.expand(count, -1, -1)  # (B, A, P)
        if keep is not None:
            preferred = preferred.gather(2, keep[:, None].expand(-1, preferred.shape[1], -1))
        if valid is not None:
            preferred = preferred.masked_fill(~valid[:, None], -torch.inf)
        return preferred[:, None].to(k.dtype)  # (B, 1, A, L)
