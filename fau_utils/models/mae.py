"""Masked autoencoders: hide most of a face, encode the rest, predict the hidden pixels.

From the paper: three quarters hidden at random, an encoder that sees only what is visible, a light decoder with a
mask token for each hidden patch, a squared error on the hidden patches whose pixels are normalised patch by patch.
Our own: the decoder takes tokens as they come, visible ones first, each with its place added, instead of putting
them back into image order (attention does not know an order), and predicts pixels only where they were hidden.

References
----------
He et al. (2022), "Masked Autoencoders Are Scalable Vision Learners", section 3; facebookresearch/mae for sizes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fau_utils.models.patches import patchify, unpatchify
from fau_utils.models.vit import ViT, blocks, sincos_position, vit, xavier

__all__ = ["DECODERS", "MaskedAutoencoder", "Reconstruction", "mae", "patchify", "unpatchify"]

_PUBLISHED: dict[str, Any] = {"decoder_dim": 512, "decoder_depth": 8, "decoder_heads": 16}
_MINI: dict[str, Any] = {"decoder_dim": 64, "decoder_depth": 1, "decoder_heads": 2, "floor": 0.1}

DECODERS: dict[str, dict[str, Any]] = {
    "small": _PUBLISHED,
    "base": _PUBLISHED,
    "large": _PUBLISHED,
    "mini64": _MINI,
    "mini96": _MINI,
    "mini192": {"decoder_dim": 96, "decoder_depth": 2, "decoder_heads": 3, "floor": 0.1},
}
"""What :func:`mae` gives to :class:`MaskedAutoencoder` for each size of the encoder."""


@dataclass
class Reconstruction:
    """What came of one batch.

    Attributes
    ----------
    loss : Tensor, ()
        Mean squared error over the hidden patches, in units of the target.
    predicted : Tensor, (B, P - K, p * p * 3)
        Pixels of the hidden patches (normalised, where the target is), in the order of ``order[:, K:]``.
    order : Tensor, (B, P) int64
        All patches: first the K visible ones, then the hidden ones.
    latent : Tensor, (B, [1+]K, D)
        Encoded visible tokens after the last norm.
    """

    loss: Tensor
    predicted: Tensor
    order: Tensor
    latent: Tensor

    @property
    def visible(self) -> int:
        """Number K of patches that were seen."""
        return self.order.shape[1] - self.predicted.shape[1]

    @property
    def hidden(self) -> Tensor:
        """True where a patch was hidden, (B, P) bool, in image order."""
        return torch.ones_like(self.order, dtype=torch.bool).scatter(1, self.order[:, : self.visible], False)

    @property
    def pixels(self) -> Tensor:
        """Predictions in image order, (B, P, p * p * 3); 0 at visible patches, which nobody was asked about."""
        place = self.order[:, self.visible :, None].expand_as(self.predicted)
        shape = (*self.order.shape, self.predicted.shape[-1])
        return self.predicted.new_zeros(shape).scatter(1, place, self.predicted)


class MaskedAutoencoder(nn.Module):
    """An encoder of visible patches and a decoder of hidden ones.

    Parameters
    ----------
    encoder : ViT
    decoder_dim, decoder_depth, decoder_heads : int
        Width of the decoder's tokens, its blocks, their attention heads.
    normalise_target : bool
        Predict the pixels of each patch less their mean, divided by their standard deviation.
    floor : float
        Added to that standard deviation: patches of nearly one colour then count less. 0 as published.
    """

    def __init__(
        self,
        encoder: ViT,
        *,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        normalise_target: bool = True,
        floor: float = 0.0,
    ):
        super().__init__()
        self.config = {
            "encoder": encoder.config, "decoder_dim": decoder_dim, "decoder_depth": decoder_depth,
            "decoder_heads": decoder_heads, "normalise_target": normalise_target, "floor": floor,
        }  # fmt: skip
        self.encoder = encoder
        self.patch, self.patches = encoder.patch, encoder.patches
        self.normalise_target, self.floor = normalise_target, floor

        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder_dim).normal_(std=0.02))
        self.decoder_embed = nn.Linear(encoder.dim, decoder_dim)
        self.register_buffer("decoder_pos_embed", sincos_position(decoder_dim, encoder.grid, cls=encoder.first > 0))
        self.decoder_blocks = blocks(decoder_dim, decoder_depth, decoder_heads)
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_dim, encoder.patch**2 * 3)
        self.decoder_embed.apply(xavier)
        self.decoder_pred.apply(xavier)

    @classmethod
    def from_config(cls, encoder: dict[str, Any], **decoder: Any) -> "MaskedAutoencoder":
        """Build one from the ``config`` of another."""
        return cls(ViT(**encoder), **decoder)

    def forward(
        self,
        image: Tensor,
        *,
        ratio: float = 0.75,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Reconstruction:
        """Hide, encode, predict, compare.

        Parameters
        ----------
        image : Tensor, (B, 3, size, size)
            About zero.
        ratio : float
            Share of the patches that is hidden; K = int(P * (1 - ratio)) stay visible.
        noise : Tensor, (B, P), optional
            The K patches with the smallest values stay visible. Random by default.
        generator : torch.Generator, optional
            Draws the noise; torch's global one by default.

        Raises
        ------
        ValueError
            When no patch would be hidden or none left.
        """
        visible = int(self.patches * (1 - ratio))
        if not 0 < visible < self.patches:
            raise ValueError(f"expected a ratio that hides some of {self.patches} patches, not all; found {ratio}")
        if noise is None:
            noise = torch.rand(len(image), self.patches, device=image.device, generator=generator)
        order = noise.argsort(1)  # (B, P)

        latent = self.encoder.tokens(image, order[:, :visible])  # (B, [1+]K, D)
        predicted = self.decode(latent, order, start=visible)  # (B, P-K, p p 3)
        target = self.target(image, order[:, visible:])
        return Reconstruction(functional.mse_loss(predicted.float(), target), predicted, order, latent)

    def decode(self, latent: Tensor, order: Tensor, *, start: int = 0) -> Tensor:
        """Pixels predicted from visible tokens.

        Parameters
        ----------
        latent : Tensor, (B, [1+]K, D)
        order : Tensor, (B, P) int64
            All patches, those of `latent` first.
        start : int
            Predict ``order[:, start:]`` only.

        Returns
        -------
        Tensor, (B, P - start, p * p * 3)
            In the order of `order`.
        """
        first = self.encoder.first
        x = self.decoder_embed(latent)  # (B, [1+]K, Dd)
        masked = order.shape[1] + first - x.shape[1]
        x = torch.cat([x, self.mask_token.expand(len(x), masked, -1).to(x.dtype)], 1)  # (B, [1+]P, Dd)
        place = functional.embedding(order + first, self.decoder_pos_embed[0])
        if first:
            place = functional.pad(place, (0, 0, 1, 0))  # the cls token is at zero
        x = x + place
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x[:, first + start :]))

    def target(self, image: Tensor, keep: Tensor | None = None) -> Tensor:
        """What is to be predicted of the patches `keep` (B, K) or of all, (B, K or P, p * p * 3) float32."""
        pixels = patchify(image, self.patch, keep).float()
        if not self.normalise_target:
            return pixels
        mean, spread = self._statistics(pixels)
        return (pixels - mean) / spread

    @torch.no_grad()
    def fill(self, image: Tensor, made: Reconstruction) -> Tensor:
        """The image with its hidden patches as predicted, for looking at, (B, 3, size, size).

        Where the target is normalised, the mean and spread of each true patch are put back.
        """
        true = patchify(image, self.patch).float()
        guess = made.pixels.float()
        if self.normalise_target:
            mean, spread = self._statistics(true)
            guess = guess * spread + mean
        return unpatchify(torch.where(made.hidden[..., None], guess, true), self.patch)

    def _statistics(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean = pixels.mean(-1, keepdim=True)
        # not var_mean: it takes three times as long on a CPU
        variance = (pixels - mean).square().sum(-1, keepdim=True) / (pixels.shape[-1] - 1)
        return mean, (variance + 1e-6).sqrt() + self.floor


def mae(name: str, **changes: Any) -> MaskedAutoencoder:
    """A masked autoencoder around a :func:`~fau_utils.models.vit.vit` of that size.

    The miniatures get the stem that stays inside each patch: nothing leaks to a neighbour, and hidden patches cost
    nothing.

    Parameters
    ----------
    name : str
        As for :func:`~fau_utils.models.vit.vit`.
    **changes
        Arguments of :class:`MaskedAutoencoder` or of :class:`~fau_utils.models.vit.ViT` that differ.
    """
    own = {key: changes.pop(key) for key in (*_PUBLISHED, "normalise_target", "floor") if key in changes}
    stem = {"stem": "patch"} if name.startswith("mini") else {}
    encoder = vit(name, **stem | changes)
    return MaskedAutoencoder(encoder, **DECODERS[name] | own)
