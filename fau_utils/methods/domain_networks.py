"""What every detector for two domains shares: an encoder and an AU head, batches in threes, and how weights learn."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fau_utils import aus as vocabulary
from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses, Method
from fau_utils.methods.domain_losses import weighted_asymmetric_loss
from fau_utils.methods.domain_recipes import BASELINES
from fau_utils.methods.recipes import Recipe
from fau_utils.models.landmark_heads import POINTS, ResponseMaps, attention, soft_argmax
from fau_utils.models.normalise import MeanFace
from fau_utils.models.seeded import seeded
from fau_utils.models.separation import SIZES, AuHead, FeatureEncoder, Size
from fau_utils.roles import Roles, taken_apart

ADAM: dict[str, dict[str, Any]] = {
    "task": {"betas": (0.95, 0.999), "lr_scale": 1.0},
    "generation": {"betas": (0.5, 0.9), "lr_scale": 0.5},
    "discrimination": {"betas": (0.5, 0.9), "lr_scale": 0.5},
}
"""ADLD's three Adams. Adam moves each weight by its own gradients alone, so they are one with three groups."""


NUMBERS: dict[str, Any] = {"lr": 2e-3, "weight_decay": 0.0, "clip": 0.0}
"""Of every budget. Nothing is clipped: one norm over all three would let a discriminator slow the others down."""


class TwoDomainDetector(Method):
    """An encoder E and an AU head A, trained with threes of source, target and guide.

    Faces that are not in threes, without a domain, have only their AU labels learnt.

    Parameters
    ----------
    aus : sequence of int
    size : int
        Side of the images, px.
    networks : str or Size
        Of :data:`fau_utils.models.separation.SIZES`.
    weight : sequence of float, optional
        Of each AU in the loss, see :func:`fau_utils.methods.domain_losses.inverse_rates`.
    seed : int
        Decides the initial weights.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 2_880, "batch_size": 24, **NUMBERS},
        "laptop": {"views": 14_400, "batch_size": 24, **NUMBERS},
        "gpu": {"views": 600_000, "batch_size": 96, **NUMBERS},
    }
    recipes: ClassVar[dict[str, Recipe]] = BASELINES
    unused_parameters: ClassVar[bool] = True

    def __init__(
        self,
        aus: Sequence[int],
        *,
        size: int = 64,
        networks: str | Size = "mini",
        weight: Sequence[float] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.aus = vocabulary.known(aus)
        if isinstance(networks, str) and networks not in SIZES:
            raise ValueError(f"expected networks of one of the sizes {', '.join(SIZES)}, found {networks!r}")
        self.widths = SIZES[networks] if isinstance(networks, str) else networks
        self.size, self.seed = size, seed
        self.normalise = MeanFace(size)
        with seeded(seed):
            self.encoder = FeatureEncoder(self.widths)
            self.head = AuHead(self.widths, len(self.aus))
        self.register_buffer("weight", None if weight is None else torch.as_tensor(weight, dtype=torch.float32))
        self._threes = False

    @property
    def side(self) -> int:
        """Side of the feature maps in cells."""
        return self.size // 4

    def prepare(self, images: Tensor) -> None:
        self.normalise.fit(images)

    def encode(self, batch: Batch) -> Tensor:
        """Feature maps F = E(x), (B, C, h, w)."""
        return self.encoder(self.normalise(batch.image))

    def au_loss(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Weighted asymmetric loss of what the AU head makes of some maps."""
        return weighted_asymmetric_loss(self.head(maps), labels, self.weight)

    def loss(self, batch: Batch) -> Losses:
        if batch.domain is None or not self.training:
            au = self.au_loss(self.encode(batch), batch.au)
            return Losses(au, {"au": au})
        return self.loss_of(self.roles(batch))

    def loss_of(self, faces: Roles) -> Losses:
        """Training loss of threes, taken apart."""
        raise NotImplementedError

    def roles(self, batch: Batch) -> Roles:
        """A training batch taken apart; the first one is looked at, so that no GPU waits at the others.

        Raises
        ------
        ValueError
            When it is not in threes, or knows no landmarks.
        """
        faces = taken_apart(batch)
        if not self._threes:
            domains = [set(role.domain.tolist()) for role in faces]
            if domains != [{0}, {1}, {1}] or batch.landmarks is None:
                raise ValueError(
                    "expected threes of a source, a target and a guiding face, with landmarks where they are known; "
                    "train on fau_utils.data.domains.TwoDomains"
                )
            self._threes = True
        return faces

    def predict(self, batch: Batch) -> Tensor:
        return self.head(self.read(batch)).float().sigmoid()

    def embed(self, batch: Batch) -> Tensor:
        return self.head.features(self.read(batch)).float()

    def read(self, batch: Batch) -> Tensor:
        """The maps that are classified, (B, C, h, w)."""
        return self.encode(batch)

    def parts(self) -> dict[str, list[nn.Module]]:
        """Which modules learn by which of :data:`ADAM`; all that are not named by ``task``."""
        return {}

    def param_groups(self) -> list[dict]:
        named = {name: _trainable(modules) for name, modules in self.parts().items()}
        taken = {id(p) for parameters in named.values() for p in parameters}
        task = [p for p in _trainable([self]) if id(p) not in taken]
        groups = {"task": task, **named}
        return [{"params": groups[name], "weight_decay": 0.0, **ADAM[name]} for name in groups]


class WithLandmarks(TwoDomainDetector):
    """Adds L, the landmark branch on the same feature maps."""

    def __init__(self, aus: Sequence[int], **options: Any):
        super().__init__(aus, **options)
        with seeded(self.seed + 1):
            self.landmarks = landmark_branch(self.widths)

    @torch.no_grad()
    def locate(self, batch: Batch) -> Tensor:
        """Landmarks as L sees them, (B, 49, 2) px."""
        return soft_argmax(self.landmarks(self.encode(batch)), size=self.size)

    @torch.no_grad()
    def attend(self, batch: Batch) -> Tensor:
        """Attention maps, (B, 49, h, w), each of which sums to one."""
        return attention(self.landmarks(self.encode(batch)))


def landmark_branch(size: Size) -> ResponseMaps:
    """L for feature maps of a size."""
    return ResponseMaps(size.channels, points=POINTS, hidden=size.channels)


def _trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for module in modules for p in module.parameters() if p.requires_grad]
