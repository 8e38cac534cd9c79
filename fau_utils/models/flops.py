"""Arithmetic of a vision transformer and a masked autoencoder, counted from their configuration.

Only matrix products are counted: the rest (norms, GELU, softmax, additions) is below 1 % of the operations, though
not of the time. A product of (n, k) and (k, m) is 2 n k m operations. A training step has three products for each one
of the forward pass: itself, the gradient of its input and that of its weights. Attention that recomputes its scores
in the backward pass does more than is counted here; published utilisations do not count that either.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from fau_utils.models.mae import DECODERS, MaskedAutoencoder
from fau_utils.models.vit import SIZES, ViT


@dataclass(frozen=True)
class Work:
    """What one face costs.

    Attributes
    ----------
    embed, encoder, decoder : int
        Floating-point operations of the forward pass: patches to tokens, encoder's blocks, everything after them.
    parameters : int
        Trained numbers.
    """

    embed: int
    encoder: int
    decoder: int
    parameters: int

    @property
    def forward(self) -> int:
        """Operations of the forward pass."""
        return self.embed + self.encoder + self.decoder

    @property
    def training(self) -> int:
        """Operations of forward and backward pass; pixels need no gradient."""
        return 3 * self.forward - self.embed


def vit_work(model: str | Mapping[str, Any], *, outputs: int = 0, **changes: Any) -> Work:
    """A transformer that sees all patches, with a linear head on the pooled feature.

    Parameters
    ----------
    model : str or mapping
        A name of ``SIZES``, or the ``config`` of a :class:`ViT`.
    outputs : int
        Of the linear head; 0 for none.
    **changes
        Arguments of :class:`ViT` that differ.
    """
    config = _filled(model, changes)
    patches, dim = (config["size"] // config["patch"]) ** 2, config["dim"]
    encoder = _blocks(patches + config["cls"], dim, config["depth"], config["mlp"])
    head = 2 * dim * outputs
    return Work(
        embed=_embed(config, patches),
        encoder=encoder,
        decoder=head,
        parameters=_encoder_parameters(config) + (dim + 1) * outputs,
    )


def mae_work(model: str | Mapping[str, Any], *, ratio: float = 0.75, **changes: Any) -> Work:
    """A masked autoencoder: the encoder on visible patches, the decoder on all, pixels of the hidden ones.

    Parameters
    ----------
    model : str or mapping
        A name of ``SIZES``, or the ``config`` of a :class:`MaskedAutoencoder`.
    ratio : float
        Share of the patches that is hidden.
    **changes
        Arguments of :class:`ViT` or :class:`MaskedAutoencoder` that differ.
    """
    own = {"decoder_dim", "decoder_depth"}
    if isinstance(model, str):
        decoder = {**_defaults(MaskedAutoencoder), **DECODERS.get(model, {})}
        config = _filled(model, {k: v for k, v in changes.items() if k not in own})
    else:
        decoder = dict(model)
        config = _filled(model["encoder"], {k: v for k, v in changes.items() if k not in own})
    decoder |= {k: v for k, v in changes.items() if k in own}
    dim, patch, cls = config["dim"], config["patch"], int(config["cls"])
    patches = (config["size"] // patch) ** 2
    visible = int(patches * (1 - ratio))
    pixels = 3 * patch * patch
    width, depth = decoder["decoder_dim"], decoder["decoder_depth"]
    return Work(
        embed=_embed(config, visible),
        encoder=_blocks(visible + cls, dim, config["depth"], config["mlp"]),
        decoder=2 * (visible + cls) * dim * width
        + _blocks(patches + cls, width, depth, 4.0)
        + 2 * (patches - visible) * width * pixels,
        parameters=_encoder_parameters(config)
        + width  # mask token
        + (dim + 1) * width
        + depth * _block_parameters(width, 4.0)
        + 2 * width
        + (width + 1) * pixels,
    )


def _blocks(tokens: int, dim: int, depth: int, mlp: float) -> int:
    hidden = int(dim * mlp)
    linear = 4 * dim * dim + 2 * dim * hidden  # query, key, value, projection; two layers
    attention = 2 * tokens * dim  # scores, and values weighted by them
    return 2 * depth * tokens * (linear + attention)


def _embed(config: Mapping[str, Any], patches: int) -> int:
    return 2 * patches * 3 * config["patch"] ** 2 * config["dim"]


def _block_parameters(dim: int, mlp: float) -> int:
    hidden = int(dim * mlp)
    return 4 * dim * (dim + 1) + (dim + 1) * hidden + (hidden + 1) * dim + 4 * dim


def _encoder_parameters(config: Mapping[str, Any]) -> int:
    dim, cls = config["dim"], int(config["cls"])
    places = (config["size"] // config["patch"]) ** 2 + cls
    learned = places * dim if config["position"] == "learned" else 0
    embed = (3 * config["patch"] ** 2 + 1) * dim
    return embed + cls * dim + learned + config["depth"] * _block_parameters(dim, config["mlp"]) + 2 * dim


def _filled(model: str | Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(model, str) and model not in SIZES:
        raise ValueError(f"expected one of {', '.join(SIZES)}, found {model!r}; or pass the config of a model")
    config = {**_defaults(ViT), **(SIZES[model] if isinstance(model, str) else model), **changes}
    if config["stem"] != "linear" or config["pool"] == "position":
        raise ValueError(
            f"expected the linear stem and pooled tokens of the published sizes, found stem {config['stem']!r} and "
            f"pool {config['pool']!r}; count others with torch.utils.flop_counter.FlopCounterMode"
        )
    return config


def _defaults(kind: type) -> dict[str, Any]:
    parameters = signature(kind.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
