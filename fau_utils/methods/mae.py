"""Masked autoencoding of faces (MAE) as pretraining.

He et al. (2022), "Masked Autoencoders Are Scalable Vision Learners"; on faces, Ning, Salah & Onal Ertugrul (2024),
arXiv 2407.11243 (FMAE).
Claim: a network that can fill in three quarters of a face has learnt features that detect AUs better than those of a
network that has seen labels only.
From the papers: network, loss, and the numbers of the ``paper`` budget. Our own: the miniatures for 64 px with their
mean face and their budgets.
"""

from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from fau_utils.batch import Batch
from fau_utils.methods.contract import Learner, Losses
from fau_utils.models import store
from fau_utils.models.mae import MaskedAutoencoder, Reconstruction, mae
from fau_utils.models.normalise import ImageNet, MeanFace
from fau_utils.models.pretrained import load_pretrained
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import ViT

LARGEST_MINIATURE = 128
"""Side in px up to which a model that is not named is a miniature."""


class MaePretraining(Learner):
    """Hides most of each face and predicts it. Reads no label.

    Parameters
    ----------
    size : int
        Side of the images in pixels.
    model : str, optional
        One of :data:`fau_utils.models.vit.SIZES`; by default ``mini96`` up to 128 px, ``base`` above.
    ratio : float
        Share of the patches that is hidden.
    init : path or nn.Module, optional
        Weights to go on from, see :func:`fau_utils.models.pretrained.load_pretrained`.
    seed : int
        Decides the initial weights.
    **changes
        Of the model, see :func:`fau_utils.models.mae.mae`.

    Attributes
    ----------
    network : MaskedAutoencoder
    normalise : MeanFace or ImageNet
        Miniatures are shown differences from the mean face, published sizes ImageNet's colours.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 3_072, "batch_size": 64, "lr": 1.5e-3, "betas": (0.9, 0.95)},
        "laptop": {
            "views": 128_000, "batch_size": 64, "lr": 1.5e-3, "min_lr": 1.5e-4, "betas": (0.9, 0.95), "warmup": 0.05,
        },
        "gpu": {
            "views": 4_000_000, "batch_size": 512, "lr": 1.5e-3, "min_lr": 1.5e-4, "betas": (0.9, 0.95), "warmup": 0.05,
        },
        # FMAE: 50 epochs of 9 million faces, 2 of them warm-up; lr = 1.5e-4 * 512 / 256
        "paper": {
            "views": 450_000_000, "batch_size": 512, "lr": 3e-4, "betas": (0.9, 0.95), "warmup": 0.04, "clip": 0.0,
        },
    }  # fmt: skip

    def __init__(
        self,
        *,
        size: int = 64,
        model: str | None = None,
        ratio: float = 0.75,
        init: str | Path | nn.Module | None = None,
        seed: int = 0,
        **changes: Any,
    ):
        super().__init__()
        model = model or model_for(size)
        with seeded(seed):
            self.network = mae(model, size=size, **changes)
        self.ratio = ratio
        self.normalise = normaliser(model, size)
        if init is not None:
            self.loaded = load_pretrained(self.network, trunk_of(init))

    def prepare(self, images: Tensor) -> None:
        self.normalise.fit(images)

    def reconstruct(self, batch: Batch, *, noise: Tensor | None = None) -> Reconstruction:
        """Hide, encode, predict; see :class:`fau_utils.models.mae.MaskedAutoencoder`."""
        return self.network(self.normalise(batch.image), ratio=self.ratio, noise=noise)

    def loss(self, batch: Batch) -> Losses:
        return Losses(self.reconstruct(batch).loss)

    def embed(self, batch: Batch) -> Tensor:
        """Features of whole faces, pooled as the encoder is told to."""
        return self.network.encoder.features(self.normalise(batch.image)).float()

    def save_encoder(self, folder: str | Path, *, meta: dict[str, Any] | None = None) -> Path:
        """Keep what fine-tuning needs, see :func:`fau_utils.models.store.save`; the decoder is left behind.

        The mean face is not part of it: it is taken again from the images of the next task.
        """
        return store.save(self.network.encoder, folder, meta=meta)


def model_for(size: int) -> str:
    """The model for images of that side, where none is named."""
    return "mini96" if size <= LARGEST_MINIATURE else "base"


def normaliser(model: str, size: int) -> MeanFace | ImageNet:
    """What images are measured against before a model of that name."""
    return MeanFace(size) if model.startswith("mini") else ImageNet()


def trunk_of(init: str | Path | nn.Module) -> str | Path | ViT | MaskedAutoencoder | nn.Module:
    """Whatever holds the weights: the network of a pretraining, otherwise the thing itself."""
    return init.network if isinstance(init, MaePretraining) else init
