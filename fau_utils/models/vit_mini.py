"""A vision transformer small enough to learn action units in a minute on two cores.

Two choices decide whether a transformer of this size learns at all: a convolutional stem with batch norm instead
of a linear patch embedding, and a read-out with its own weights for each position instead of mean pooling. The
read-out is legitimate because faces are aligned (it is "flatten, then linear" at low rank); it is not what the
papers of this book do on large models.

References
----------
Dosovitskiy et al. (2021), "An Image is Worth 16x16 Words"; Xiao et al. (2021), "Early Convolutions Help
Transformers See Better", for the stem.
"""

from typing import Literal

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from fau_utils.models.patches import cut

PATCH = 8
HEAD_WIDTH = 32


class MiniViT(nn.Module):
    """Stem, blocks, positional read-out.

    Parameters
    ----------
    outputs : int
        Number A of logits.
    size : int
        Side of the images in pixels, a multiple of 8; there are P = (size / 8)**2 tokens.
    dim : int
        Width D of a token, a multiple of 32.
    depth : int
        Number of blocks.
    stem : {"conv", "patch"}
        Three overlapping convolutions, or convolutions inside each 8 x 8 patch that see nothing of its
        neighbours (so that a hidden patch leaks into no other).
    rank : int
        Numbers per token that the read-out reads.
    """

    def __init__(
        self,
        outputs: int,
        *,
        size: int = 64,
        dim: int = 64,
        depth: int = 2,
        stem: Literal["conv", "patch"] = "conv",
        rank: int = 16,
    ):
        super().__init__()
        if size % PATCH or dim % HEAD_WIDTH:
            raise ValueError(f"expected a size divisible by {PATCH} and a dim by {HEAD_WIDTH}, found {size} and {dim}")
        self.patches = (size // PATCH) ** 2
        self.stem = {"conv": ConvStem, "patch": PatchStem}[stem](dim)
        self.position = nn.Parameter(torch.empty(1, self.patches, dim).normal_(std=0.02))
        self.blocks = nn.ModuleList(Block(dim, dim // HEAD_WIDTH, mlp_ratio=4, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.reduce = nn.Linear(dim, rank)
        self.head = nn.Linear(self.patches * rank, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def tokens(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encoded tokens.

        Parameters
        ----------
        image : Tensor, (B, 3, size, size)
            About zero; 0 is the mean face.
        keep : Tensor, (B, K) int64, optional
            Positions of the tokens to encode; the others are never looked at by the blocks.

        Returns
        -------
        Tensor, (B, K or P, D)
        """
        x = self.stem(image) + self.position  # (B, P, D)
        if keep is not None:
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))  # (B, K, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def features(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """What the head reads, (B, P * rank): zero where a token was not kept, the rest scaled to make up."""
        z = self.reduce(self.tokens(image, keep))  # (B, K, rank)
        if keep is not None:
            place = keep[..., None].expand_as(z)
            z = z.new_zeros(len(z), self.patches, z.shape[-1]).scatter(1, place, z)
            z = z * (self.patches / keep.shape[1]) ** 0.5
        return z.flatten(1)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """Logits, (B, A)."""
        return self.head(self.features(image, keep))


class ConvStem(nn.Module):
    """Three strided convolutions: (B, 3, H, W) to (B, P, D) tokens that overlap."""

    def __init__(self, dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            *_step(3, 32, nn.ReLU()),
            *_step(32, 64, nn.ReLU()),
            *_step(64, dim, nn.Identity()),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).flatten(2).transpose(1, 2)


class PatchStem(nn.Module):
    """Convolutions inside each patch: (B, 3, H, W) to (B, P, D) tokens, each of its own 8 x 8 pixels only.

    Only its batch norm connects patches, through the statistics of a training batch.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.layers = nn.Sequential(*_step(3, 32, nn.GELU()), *_step(32, 64, nn.GELU()))
        self.project = nn.Linear(2 * 2 * 64, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """All tokens, or only those of the patches kept, (B, K) int64: the others are never looked at."""
        patches = cut(image, PATCH, keep)  # (B, K, 3, 8, 8)
        x = self.layers(patches.flatten(0, 1).contiguous(memory_format=torch.channels_last))  # (B K, 64, 2, 2)
        # Read with colour beside colour, as it lies in memory: otherwise both passes turn it around, at 10 ms of 36.
        weight = self.project.weight.unflatten(1, x.shape[1:]).permute(0, 2, 3, 1).flatten(1)
        x = functional.linear(x.permute(0, 2, 3, 1).flatten(1), weight, self.project.bias)
        return self.norm(x).unflatten(0, patches.shape[:2])


def _step(before: int, width: int, activation: nn.Module) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), activation
