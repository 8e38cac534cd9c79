"""Vision transformers in the published sizes and in miniature, encoding only the patches that they are shown.

From the papers: the sizes S, B and L at patch 16, pre-norm blocks, fixed sine-cosine positions for pretraining and
learned ones for fine-tuning, mean pooling before the last norm. Our own: the miniatures for 64 px with other stems,
and one last norm that serves tokens and pooled features alike (the published code has ``norm`` in pretraining and a
fresh ``fc_norm`` in fine-tuning). Names of parameters are those of timm and of the published files.

References
----------
Dosovitskiy et al. (2021), "An Image is Worth 16x16 Words"; He et al. (2022), "Masked Autoencoders Are Scalable
Vision Learners"; Ning, Salah and Onal Ertugrul (2024), arXiv 2407.11243, section 3.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from fau_utils.models.patches import cut, shown
from fau_utils.models.vit_mini import PATCH, ConvStem, PatchStem

_MINI: dict[str, Any] = {
    "size": 64,
    "patch": PATCH,
    "cls": False,
    "position": "learned",
    "stem": "conv",
}

SIZES: dict[str, dict[str, Any]] = {
    "small": {"dim": 384, "depth": 12, "heads": 6},
    "base": {"dim": 768, "depth": 12, "heads": 12},
    "large": {"dim": 1024, "depth": 24, "heads": 16},
    "mini64": {"dim": 64, "depth": 2, "heads": 2, **_MINI},
    "mini96": {"dim": 96, "depth": 3, "heads": 3, **_MINI},
    "mini192": {"dim": 192, "depth": 6, "heads": 6, **_MINI},
}
"""What :func:`vit` gives to :class:`ViT`: three as published, three for 64 px."""

READ_PER_TOKEN = 16
"""Numbers per token that the positional read-out keeps."""


class ViT(nn.Module):
    """Patches to tokens, blocks, last norm.

    Parameters
    ----------
    size : int
        Side of the images in pixels, a multiple of `patch`; there are P = (size / patch)**2 patches.
    patch : int
        Side of a patch in pixels; 8 for the stems with convolutions.
    dim, depth, heads : int
        Width D of a token, number of blocks, attention heads of each.
    mlp : float
        Width of a block's hidden layer, in units of D.
    cls : bool
        Put one learned token before those of the patches.
    drop_path : float
        Probability with which the last block is skipped for an image in training; it grows linearly from 0 at
        the first.
    position : {"sincos", "learned"}
        Fixed table (a buffer, as in pretraining) or a parameter (as in fine-tuning).
    stem : {"linear", "conv", "patch"}
        What makes a token of a patch: one linear map as published; three overlapping convolutions with batch norm,
        before which hidden patches become 0; or convolutions inside each patch.
    pool : {"mean", "cls", "position"}
        What :meth:`features` is: the mean of the patch tokens, the first token, or a few numbers of each token side
        by side (for aligned faces; the only one of the three that learns within minutes in miniature).

    Attributes
    ----------
    width : int
        Length of a feature: D, or P * 16 with positional read-out.
    grid : int
        Patches along one side.
    first : int
        Number of tokens before those of the patches, 0 or 1.
    config : dict
        All arguments, enough to build it again.

    Raises
    ------
    ValueError
        When sizes do not divide, or a first token is to be pooled that does not exist.
    """

    def __init__(
        self,
        *,
        size: int = 224,
        patch: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp: float = 4.0,
        cls: bool = True,
        drop_path: float = 0.0,
        position: Literal["sincos", "learned"] = "sincos",
        stem: Literal["linear", "conv", "patch"] = "linear",
        pool: Literal["mean", "cls", "position"] = "mean",
    ):
        super().__init__()
        self.config = {
            "size": size, "patch": patch, "dim": dim, "depth": depth, "heads": heads, "mlp": mlp, "cls": cls,
            "drop_path": drop_path, "position": position, "stem": stem, "pool": pool,
        }  # fmt: skip
        if size % patch or dim % heads or dim % 4:
            raise ValueError(
                f"expected size % patch, dim % heads and dim % 4 to be 0, found size {size}, patch {patch}, dim {dim} "
                f"and {heads} heads; change one of them"
            )
        if stem != "linear" and patch != PATCH:
            raise ValueError(f"expected patch {PATCH} with the {stem} stem, found {patch}; take the linear stem")
        if pool == "cls" and not cls:
            raise ValueError("expected a cls token to pool, found cls=False; take pool='mean'")
        self.size, self.patch, self.dim, self.pool, self.stem = size, patch, dim, pool, stem
        self.grid, self.first = size // patch, int(cls)
        self.patches = self.grid**2

        self.patch_embed = LinearStem(dim, patch) if stem == "linear" else _STEMS[stem](dim)
        if stem != "linear":
            # convolutions are a third faster on a CPU with colour beside colour
            self.patch_embed.to(memory_format=torch.channels_last)
        if cls:
            self.cls_token = nn.Parameter(torch.empty(1, 1, dim).normal_(std=0.02))
        if position == "sincos":
            self.register_buffer("pos_embed", sincos_position(dim, self.grid, cls=cls))
        else:
            self.pos_embed = nn.Parameter(torch.empty(1, self.first + self.patches, dim).normal_(std=0.02))
        self.blocks = blocks(dim, depth, heads, mlp=mlp, drop_path=drop_path)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.width = dim
        if pool == "position":
            self.reduce = nn.Linear(dim, READ_PER_TOKEN)
            self.width = self.patches * READ_PER_TOKEN

    def encode(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens before the last norm, (B, [1+]K, D); arguments as :meth:`tokens`."""
        place = self.pos_embed[0, self.first :]  # (P, D)
        if self.stem == "conv":
            # its convolutions overlap: what is hidden must be gone before them
            x = self.patch_embed(image if keep is None else shown(image, keep, self.patch))
            x = x if keep is None else x.gather(1, keep[..., None].expand(-1, -1, self.dim))
        else:
            x = self.patch_embed(image, keep)
        x = x + (place if keep is None else functional.embedding(keep, place))  # (B, K, D)
        if self.first:
            cls = self.cls_token + self.pos_embed[:, :1]
            x = torch.cat([cls.expand(len(x), -1, -1).to(x.dtype), x], 1)  # (B, 1+K, D)
        for block in self.blocks:
            x = block(x)
        return x

    def tokens(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encoded tokens.

        Parameters
        ----------
        image : Tensor, (B, 3, size, size)
            About zero.
        keep : Tensor, (B, K) int64, optional
            Patches that are visible, numbered row by row, each at most once; the others are never encoded.

        Returns
        -------
        Tensor, (B, [1+]K, D)
            After the last norm, in the order of `keep`; K = P without it. The cls token, where there is one, comes
            first.
        """
        return self.norm(self.encode(image, keep))

    def features(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """What a head reads, (B, width); arguments as :meth:`tokens`."""
        x = self.encode(image, keep)
        if self.pool == "cls":
            return self.norm(x[:, 0])
        x = x[:, self.first :]
        if self.pool == "mean":
            return self.norm(x.mean(1))
        z = self.reduce(self.norm(x))  # (B, K, 16)
        if keep is not None:
            # zero where nothing was seen, the rest scaled to make up
            filled = z.new_zeros(len(z), self.patches, z.shape[-1])
            z = filled.scatter(1, keep[..., None].expand_as(z), z) * (self.patches / keep.shape[1]) ** 0.5
        return z.flatten(1)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """As :meth:`features`."""
        return self.features(image, keep)

    def reestimate_statistics(self, images: Iterable[Tensor]) -> None:
        """Take the batch norm statistics of the stem anew, from batches of whole images (B, 3, size, size).

        Masked pretraining leaves those of masked images behind; do this before a frozen probe. A linear stem has
        none.
        """
        with torch.no_grad():
            update_bn(images, self.patch_embed)


def vit(name: str, **changes: Any) -> ViT:
    """A vision transformer of one of the :data:`SIZES`.

    Parameters
    ----------
    name : str
        ``small``, ``base``, ``large`` (224 px), or ``mini64``, ``mini96``, ``mini192`` (64 px).
    **changes
        Arguments of :class:`ViT` that differ.

    Raises
    ------
    ValueError
        When there is no such size.
    """
    if name not in SIZES:
        raise ValueError(f"expected one of {', '.join(SIZES)}, found {name!r}; or build ViT(...) with your own numbers")
    return ViT(**SIZES[name] | changes)


class LinearStem(nn.Module):
    """One linear map of each patch, (B, 3, H, W) to (B, K or P, D).

    ``proj`` is a convolution in the published files, and here only holds the weights: as its windows do not overlap,
    a matrix product over the patches kept is the same.
    """

    def __init__(self, dim: int, patch: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)
        nn.init.xavier_uniform_(self.proj.weight.view(dim, -1))
        nn.init.zeros_(self.proj.bias)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        patches = cut(image, self.proj.kernel_size[0], keep).flatten(2)  # (B, K, 3 p p)
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


_STEMS = {"conv": ConvStem, "patch": PatchStem}


def blocks(dim: int, depth: int, heads: int, *, mlp: float = 4.0, drop_path: float = 0.0) -> nn.ModuleList:
    """Pre-norm transformer blocks as published: biases everywhere, layer norms with 1e-6, Xavier-uniform weights."""
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    norm = partial(nn.LayerNorm, eps=1e-6)
    made = nn.ModuleList(
        Block(dim, heads, mlp_ratio=mlp, qkv_bias=True, drop_path=rate, norm_layer=norm) for rate in rates
    )
    made.apply(xavier)
    return made


def xavier(module: nn.Module) -> None:
    """Initial weights of one linear layer: Xavier-uniform, no bias."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def sincos_position(dim: int, grid: int, *, cls: bool) -> Tensor:
    """Fixed positions of a square grid, (1, [1+] grid**2, dim).

    The first half of a vector encodes the column, the second the row; in each half sines precede cosines, with
    frequencies 10000**(-4i / dim). The cls token, where there is one, is at zero.
    """
    frequency = 10_000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angle = torch.arange(grid, dtype=torch.float64)[:, None] * frequency  # (grid, dim / 4)
    one = torch.cat([angle.sin(), angle.cos()], 1)  # (grid, dim / 2)
    column, row = one.repeat(grid, 1), one.repeat_interleave(grid, 0)
    table = torch.cat([column, row], 1).float()
    return torch.cat([table.new_zeros(int(cls), dim), table])[None]
