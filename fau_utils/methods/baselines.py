"""Baselines: what every paper has to beat, and one that should be beaten easily.

A convolutional network and a small transformer on pixels, a perceptron on landmarks, and the base rate of each
person, which looks at no face at all.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from fau_utils import aus as vocabulary
from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses, Method, masked_bce
from fau_utils.models.cnn import SmallCnn
from fau_utils.models.mlp import LandmarkNet
from fau_utils.models.normalise import MeanFace
from fau_utils.models.seeded import seeded
from fau_utils.models.vit_mini import MiniViT


class _PixelDetector(Method):
    """An image measured against the mean face, a network, a sigmoid."""

    def __init__(self, aus: Sequence[int], *, network: nn.Module, size: int):
        super().__init__()
        self.aus = vocabulary.known(aus)
        self.normalise = MeanFace(size)
        # colour beside colour: a quarter more faces per second on a CPU, and what tensor cores want
        self.network = network.to(memory_format=torch.channels_last)
        self.register_buffer("positive_weight", None, persistent=False)

    def prepare(self, images: Tensor) -> None:
        self.normalise.fit(images)

    def balance(self, positive_weight: Tensor) -> None:
        self.positive_weight = positive_weight

    def loss(self, batch: Batch) -> Losses:
        logits = self.network(self._pixels(batch))  # (B, A)
        return Losses(masked_bce(logits, batch.au, positive_weight=self.positive_weight))

    def predict(self, batch: Batch) -> Tensor:
        return self.network(self._pixels(batch)).float().sigmoid()

    def embed(self, batch: Batch) -> Tensor:
        return self.network.features(self._pixels(batch)).float()

    def _pixels(self, batch: Batch) -> Tensor:
        return self.normalise(batch.image).contiguous(memory_format=torch.channels_last)


class CnnDetector(_PixelDetector):
    """A small convolutional network trained with binary cross-entropy.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    size : int
        Side of the images in pixels.
    seed : int
        Decides the initial weights.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 4_800, "batch_size": 32, "lr": 2e-3},
        "laptop": {"views": 24_000, "batch_size": 32, "lr": 2e-3},
        "gpu": {"views": 200_000, "batch_size": 128, "lr": 2e-3},
    }

    def __init__(self, aus: Sequence[int], *, size: int = 64, seed: int = 0):
        with seeded(seed):
            super().__init__(aus, network=SmallCnn(len(aus)), size=size)


class VitDetector(_PixelDetector):
    """A small vision transformer trained with binary cross-entropy.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    size : int
        Side of the images in pixels, a multiple of 8.
    dim, depth, stem
        As :class:`MiniViT`. The default has 0.17 M parameters; 96 and 3 have 0.43 M.
    seed : int
        Decides the initial weights.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 6_400, "batch_size": 32, "lr": 2e-3},
        "laptop": {"views": 32_000, "batch_size": 32, "lr": 2e-3},
        "gpu": {"views": 400_000, "batch_size": 128, "lr": 2e-3},
    }

    def __init__(
        self,
        aus: Sequence[int],
        *,
        size: int = 64,
        dim: int = 64,
        depth: int = 2,
        stem: Literal["conv", "patch"] = "conv",
        seed: int = 0,
    ):
        with seeded(seed):
            super().__init__(aus, network=MiniViT(len(aus), size=size, dim=dim, depth=depth, stem=stem), size=size)


class LandmarkMlp(Method):
    """A perceptron on 49 normalised landmarks; it never sees a pixel.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    seed : int
        Decides the initial weights.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 6_400, "batch_size": 64, "lr": 2e-3},
        "laptop": {"views": 64_000, "batch_size": 64, "lr": 2e-3},
        "gpu": {"views": 384_000, "batch_size": 256, "lr": 2e-3},
    }

    def __init__(self, aus: Sequence[int], *, seed: int = 0):
        super().__init__()
        self.aus = vocabulary.known(aus)
        with seeded(seed):
            self.network = LandmarkNet(len(aus))
        self.register_buffer("positive_weight", None, persistent=False)

    def balance(self, positive_weight: Tensor) -> None:
        self.positive_weight = positive_weight

    def loss(self, batch: Batch) -> Losses:
        logits = self.network(_points(batch))  # (B, A)
        return Losses(masked_bce(logits, batch.au, positive_weight=self.positive_weight))

    def predict(self, batch: Batch) -> Tensor:
        return self.network(_points(batch)).float().sigmoid()

    def embed(self, batch: Batch) -> Tensor:
        return self.network.features(_points(batch)).float()


def _points(batch: Batch) -> Tensor:
    if batch.landmarks is None:
        raise ValueError("expected faces with landmarks (B, 49, 2), found none; use a method that reads pixels")
    return batch.landmarks


class BaseRate(Method):
    """Says of each face how often its owner showed each AU in training, and looks at nothing.

    Whatever it scores above one half is knowledge of people, not of faces: the size of the shortcut that a split
    with the same people on both sides leaves open. Training is counting; there is no gradient.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    subjects : sequence of str
        The training people, by name. ``predict`` gives anybody else the rate of all training frames.
    """

    budgets: ClassVar[dict[str, dict]] = {name: {"views": 0, "batch_size": 512} for name in ("smoke", "laptop", "gpu")}

    def __init__(self, aus: Sequence[int], *, subjects: Sequence[str]):
        super().__init__()
        self.aus = vocabulary.known(aus)
        self.subjects = tuple(subjects)
        # the last row is for people who are not on the list
        self.register_buffer("positive", torch.zeros(len(self.subjects) + 1, len(aus)))
        self.register_buffer("coded", torch.zeros(len(self.subjects) + 1, len(aus)))

    def prepare(self, images: Tensor) -> None:
        self.positive.zero_()
        self.coded.zero_()

    @torch.no_grad()
    def loss(self, batch: Batch) -> Losses:
        """Counts the batch; the total is a constant 0."""
        row = self._row(batch)
        self.positive.index_add_(0, row, (batch.au == 1).to(self.positive))
        self.coded.index_add_(0, row, (~batch.au.isnan()).to(self.coded))
        return Losses(self.positive.new_zeros(()))

    def predict(self, batch: Batch) -> Tensor:
        everybody = self.positive.sum(0) / self.coded.sum(0).clamp(min=1)  # (A,)
        everybody = torch.where(self.coded.sum(0) > 0, everybody, 0.5)
        own = torch.where(self.coded > 0, self.positive / self.coded.clamp(min=1), everybody)  # (S + 1, A)
        own = torch.cat([own[:-1], everybody[None]])
        return own[self._row(batch)]

    def embed(self, batch: Batch) -> Tensor:
        return self.predict(batch)

    def _row(self, batch: Batch) -> Tensor:
        return torch.where(batch.subject < 0, len(self.subjects), batch.subject)


BASELINES: dict[str, type[Method]] = {
    "cnn": CnnDetector,
    "vit": VitDetector,
    "landmarks": LandmarkMlp,
    "base rate": BaseRate,
}
"""The baselines by the name used in tables."""
