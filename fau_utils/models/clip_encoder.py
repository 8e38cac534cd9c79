"""An encoder for frames of clips, its slowly following twin, and a memory of what the twin has said.

He et al. (2020), "Momentum Contrast for Unsupervised Visual Representation Learning", for the last two.
"""

import copy
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from fau_utils.models.normalise import ImageNet, MeanFace
from fau_utils.models.resnet import ResNet
from fau_utils.models.vit_mini import MiniViT

LARGEST_MINIATURE = 128
"""Side in px up to which a trunk that is not named is the miniature."""


class ClipEncoder(nn.Module):
    """Frames to features h, and to embeddings z of length 1 in which losses live.

    Parameters
    ----------
    size : int
        Side of the images in pixels.
    trunk : {"mini", "resnet18", "resnet34", "resnet50"}, optional
        By default a small transformer up to 128 px and ResNet-18 above.
    dim : int
        Width of h.
    head : int
        Width D of z, behind a rectifier and a linear layer; 0 for none, and z is h at length 1.

    Attributes
    ----------
    width : int
        D.
    config : dict
        Arguments that build it again.
    """

    def __init__(self, *, size: int = 64, trunk: str | None = None, dim: int = 256, head: int = 128):
        super().__init__()
        trunk = trunk or ("mini" if size <= LARGEST_MINIATURE else "resnet18")
        self.config: dict[str, Any] = {"size": size, "trunk": trunk, "dim": dim, "head": head}
        if trunk == "mini":
            self.normalise: nn.Module = MeanFace(size)
            self.trunk: nn.Module = MiniViT(dim, size=size)
            self.trunk.head.reset_parameters()  # which begins at zero where it gives logits
        elif trunk in ("resnet18", "resnet34", "resnet50"):
            self.normalise = ImageNet()
            network = ResNet(int(trunk[6:]), stem="small" if size <= LARGEST_MINIATURE else "published")
            self.trunk = nn.Sequential(network, nn.Linear(network.dim, dim))
        else:
            raise ValueError(f"expected a trunk mini, resnet18, resnet34 or resnet50, found {trunk!r}")
        self.norm = nn.BatchNorm1d(dim)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(dim, head)) if head else nn.Identity()
        self.width = head or dim

    def features(self, image: Tensor) -> Tensor:  # (B, 3, size, size) in [0, 1]
        """h, (B, dim): what probes and classifiers read."""
        return self.norm(self.trunk(self.normalise(image)))

    def forward(self, image: Tensor) -> Tensor:
        """z, (B, D) float32 of length 1."""
        return F.normalize(self.head(self.features(image)).float(), dim=1)


class Follower(nn.Module):
    """The momentum encoder f_k: a copy that moves a little towards the original, and never learns itself.

    Parameters
    ----------
    encoder : nn.Module
        Copied as it is.
    momentum : float
        Share m of its own weights that it keeps in each step.
    """

    def __init__(self, encoder: nn.Module, *, momentum: float = 0.99):
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"expected a momentum in [0, 1], found {momentum}")
        self.network = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> None:
        """Its weights become m times its own plus 1 - m times the encoder's; buffers are its own affair."""
        own, other = list(self.network.parameters()), [p.detach() for p in encoder.parameters()]
        torch._foreach_lerp_(own, other, 1 - self.momentum)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """k, (B, D) of length 1, without a gradient."""
        return self.network(image)


class Memory(nn.Module):
    """The last K embeddings, first in and first out, with whose they are and from which clip.

    Everything lies in buffers, so that it is in checkpoints. Nothing here makes the host wait for a GPU.

    Parameters
    ----------
    size : int
        Number K of rows.
    dim : int

    Attributes
    ----------
    rows : Tensor, (K, D) float32
    person, clip : Tensor, (K,) int64
        -1 where nothing is yet.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        if size < 1:
            raise ValueError(f"expected a memory of at least one row, found {size}")
        self.register_buffer("rows", torch.zeros(size, dim))
        self.register_buffer("person", torch.full((size,), -1))
        self.register_buffer("clip", torch.full((size,), -1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, rows: Tensor, *, person: Tensor, clip: Tensor) -> None:
        """Put embeddings of all processes in place of the oldest.

        Parameters
        ----------
        rows : Tensor, (B, D)
            As many in every process.
        person, clip : Tensor, (B,) int64
        """
        size = len(self.rows)
        rows, person, clip = (gathered(value)[-size:] for value in (rows, person, clip))
        where = (self.place + torch.arange(len(rows), device=rows.device)) % size
        self.rows.index_copy_(0, where, F.normalize(rows.float(), dim=1))
        self.person.index_copy_(0, where, person)
        self.clip.index_copy_(0, where, clip)
        self.place.add_(len(rows)).remainder_(size)

    def contents(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, people and clips as they are now; what is put in later does not change them."""
        return self.rows.clone(), self.person.clone(), self.clip.clone()


def gathered(value: Tensor) -> Tensor:
    """Rows of all processes, in their order, without a gradient; of this one where there is no other."""
    if not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1):
        return value
    parts = [torch.empty_like(value) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, value.contiguous())
    return torch.cat(parts)
