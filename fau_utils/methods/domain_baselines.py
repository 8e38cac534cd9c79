"""What domain separation has to beat: nothing at all, landmarks as a second task, and two ways to hide the domain.

References
----------
Ganin & Lempitsky (2015), "Unsupervised Domain Adaptation by Backpropagation". Bousmalis et al. (2016), "Domain
Separation Networks", NeurIPS.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils.methods.contract import Losses
from fau_utils.methods.domain_alignment import refuse_unknown
from fau_utils.methods.domain_networks import TwoDomainDetector, WithLandmarks
from fau_utils.models.landmark_heads import response_loss
from fau_utils.models.reversal import reverse_gradient
from fau_utils.models.seeded import seeded
from fau_utils.models.separation import FeatureEncoder, Size
from fau_utils.roles import Roles


class SourceOnly(TwoDomainDetector):
    """E and A on labelled source faces: what happens when nothing is done. Of the rest it looks at nothing.

    Given the target's labelled faces in the place of the source it is the ceiling.
    """

    def loss_of(self, faces: Roles) -> Losses:
        au = self.au_loss(self.encode(faces.source), faces.source.au)
        return Losses(au, {"au": au})


class LandmarkTask(WithLandmarks):
    """E and A, and L as a second task: landmarks on the source alone, or on guides as well.

    Parameters
    ----------
    aus : sequence of int
    on : {"source", "both"}
    factor : float
        Of the landmark loss.
    labels : bool
        Without AU labels it is a landmark detector alone, to be frozen.
    **options
        Of :class:`~fau_utils.methods.domain_networks.TwoDomainDetector`.
    """

    def __init__(
        self,
        aus: Sequence[int],
        *,
        on: Literal["source", "both"] = "both",
        factor: float = 0.6,
        labels: bool = True,
        **options: Any,
    ):
        super().__init__(aus, **options)
        refuse_unknown({"on": ("source", "both")}, on=on)
        self.on, self.factor, self.labels = on, factor, labels

    def loss_of(self, faces: Roles) -> Losses:
        maps = self.encode(faces.source)
        land = response_loss(self.landmarks(maps), faces.source.landmarks, size=self.size)
        if self.on == "both":
            guided = self.landmarks(self.encode(faces.guide))
            land = land + response_loss(guided, faces.guide.landmarks, size=self.size)
        parts = {"landmarks": self.factor * land}
        if self.labels:
            parts["au"] = self.au_loss(maps, faces.source.au)
        return Losses(sum(parts.values()), parts)


class Dann(TwoDomainDetector):
    """A classifier of the domain reads E's maps through a gradient that is reversed.

    Parameters
    ----------
    aus : sequence of int
    strength : float
        Of the reversed gradient, reached along the paper's ramp.
    ramp : int
        Views (of one process) in which it is reached.
    **options
        Of :class:`~fau_utils.methods.domain_networks.TwoDomainDetector`.
    """

    def __init__(self, aus: Sequence[int], *, strength: float = 0.3, ramp: int = 6_000, **options: Any):
        super().__init__(aus, **options)
        self.strength, self.ramp = strength, ramp
        with seeded(self.seed + 1):
            self.domain = DomainClassifier(self.widths)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def loss_of(self, faces: Roles) -> Losses:
        real_s, real_t = self.encode(faces.source), self.encode(faces.target)
        parts = {"au": self.au_loss(real_s, faces.source.au), "domain": self.domain_loss(real_s, real_t)}
        self.seen += 3 * len(faces.source)
        return Losses(sum(parts.values()), parts)

    def domain_loss(self, real_s: Tensor, real_t: Tensor) -> Tensor:
        """Cross-entropy of source against target, its gradient reversed on the way to the maps."""
        # 2 / (1 + exp(-10 p)) - 1, as models.reversal.ramp; a tensor, so that the host need not wait
        strength = self.strength * (5 * (self.seen / self.ramp).clamp(max=1)).tanh()
        said = [self.domain(reverse_gradient(maps, strength)).float() for maps in (real_s, real_t)]
        return (F.softplus(said[0]).mean() + F.softplus(-said[1]).mean()) / 2


class DomainClassifier(nn.Module):
    """Maps to one logit, positive for the target."""

    def __init__(self, size: Size, *, hidden: int = 64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(16 * size.channels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


class DomainSeparationNetworks(Dann):
    r"""Shared and private encoders: together they can paint the face, and they say different things.

    Shared maps are hidden from the domain by the classifier of :class:`Dann`; private ones are to be orthogonal to
    them, :math:`\|H_c^\top H_p\|_F^2` of the batch's centred unit rows; a decoder paints the face from their sum, with
    the scale-invariant squared error. Another construction than :class:`DomainSeparation`, in spite of its name.

    Parameters
    ----------
    aus : sequence of int
    difference, painting : float
        Factors of the losses; the paper chose .05 and .01 by a target set.
    **options
        Of :class:`Dann`.
    """

    def __init__(self, aus: Sequence[int], *, difference: float = 0.05, painting: float = 0.1, **options: Any):
        super().__init__(aus, **options)
        self.difference, self.painting = difference, painting
        width = self.widths.channels
        with seeded(self.seed + 2):
            self.private = nn.ModuleList(FeatureEncoder(self.widths) for _ in range(2))
            self.decoder = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Upsample(scale_factor=2),
                nn.Conv2d(width, width, 3, padding=1), nn.PReLU(), nn.Upsample(scale_factor=2),
                nn.Conv2d(width, 3, 3, padding=1),
            )  # fmt: skip

    def loss_of(self, faces: Roles) -> Losses:
        pixels = [self.normalise(role.image) for role in (faces.source, faces.target)]
        shared = [self.encoder(x) for x in pixels]
        private = [encoder(x) for encoder, x in zip(self.private, pixels, strict=True)]
        painted = [self.decoder(c + p) for c, p in zip(shared, private, strict=True)]
        parts = {
            "au": self.au_loss(shared[0], faces.source.au),
            "domain": self.domain_loss(*shared),
            "difference": self.difference * sum(map(orthogonality, shared, private)),
            "painting": self.painting * sum(map(scale_invariant_error, painted, pixels)),
        }
        self.seen += 3 * len(faces.source)
        return Losses(sum(parts.values()), parts)


def orthogonality(shared: Tensor, private: Tensor) -> Tensor:
    r""":math:`\|H_c^\top H_p\|_F^2 / D` with pooled maps as rows, centred over the batch and of length one."""
    rows = [F.adaptive_avg_pool2d(maps, 4).flatten(1).float() for maps in (shared, private)]
    unit = [F.normalize(r - r.mean(0), dim=1) for r in rows]
    return (unit[0].T @ unit[1]).square().mean()


def scale_invariant_error(painted: Tensor, pixels: Tensor) -> Tensor:
    r""":math:`\frac1k\|d\|^2 - \frac1{k^2}(\mathbf 1^\top d)^2` of each face's k differences, averaged."""
    d = (painted - pixels).float().flatten(1)
    return (d.square().mean(1) - d.mean(1).square()).mean()
