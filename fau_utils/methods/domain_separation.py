"""Landmarks with domain separation and reconstruction: AU labels from the laboratory, faces from the wild.

Shang & Yu, "Boosting Facial Action Unit Detection Through Jointly Learning Facial Landmark Detection and Domain
Separation and Reconstruction", arXiv 2310.05207 (v5).
Claim: learning landmarks on both domains with the modules that separate what a face does from what its domain looks
like, and aligning both rounds of that separation by contrast, detects AUs better in a domain without AU labels.
From the paper's abstract: two tasks with shared modules of the same structure, projectors, an improved contrastive
loss with four supervisors. From its closest published ancestor, ADLD (Shao et al., arXiv 1903.10143): the modules, two
rounds, losses and where gradients stop. *Our reading*: that these belong together, guides (target faces with landmarks
and no AU labels), the four pairs, the projectors, and what improves the loss. Version 4 of the same number aligns
pixels (``alignment="pixels"``) and is another text.

Discriminators and generator move at once, each by its own loss from the same pass, where ADLD moves the discriminators
a moment earlier: the discriminators that a generator meets have learnt from the batch before, and nothing is computed
twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from fau_utils.batch import Batch
from fau_utils.methods import domain_losses as losses
from fau_utils.methods.contract import Losses
from fau_utils.methods.domain_alignment import Alignment, refuse_unknown
from fau_utils.methods.domain_networks import WithLandmarks, landmark_branch
from fau_utils.methods.domain_recipes import RECIPES
from fau_utils.methods.recipes import Recipe
from fau_utils.models.landmark_heads import argmax, attention, response_loss
from fau_utils.models.seeded import seeded
from fau_utils.models.separation import (
    DomainDiscriminator,
    FeatureEncoder,
    FeatureGenerator,
    LandmarkDiscriminator,
    TextureEncoder,
    frozen,
)
from fau_utils.roles import Roles

CHOICES: dict[str, tuple[str, ...]] = {
    "detector": ("shared", "unshared", "given"),
    "alignment": ("contrast", "pixels", "none"),
    "supervisors": ("separated", "reconstructed"),
    "negatives": ("labels", "plain", "domains"),
    "reads": ("reconstructed", "encoded"),
}

ADLD_CELLS = 44 * 44


@dataclass(frozen=True)
class Weights:
    """Factors of the losses: ADLD's, and for `align` our reading."""

    au: float = 1.0
    landmarks: float = 0.6
    landmark_adversary: float = 400.0  # for maps of 44 x 44: a mean over cells, so it is scaled with their number
    domain_adversary: float = 1.2
    cycle: float = 40.0
    itself: float = 3.0
    align: float = 0.1


class Rounds(NamedTuple):
    """Both separations and reconstructions; ``_s`` source, ``_t`` target.

    Maps are (B, C, h, w), those of points and moved points (B, 49, h, w).
    """

    real_s: Tensor
    real_t: Tensor
    points_s: Tensor
    points_t: Tensor
    texture_s: Tensor
    texture_t: Tensor
    again_s: Tensor  # self-reconstruction R
    again_t: Tensor
    swapped_s: Tensor  # F~s: the target's movement on the source's texture
    swapped_t: Tensor  # F~t: the source's movement on the target's texture
    felt_s: Tensor  # landmark features of the swapped maps, by a copy of L that learns nothing from them
    felt_t: Tensor
    moved_s: Tensor  # and its response maps
    moved_t: Tensor
    texture_swapped_s: Tensor
    texture_swapped_t: Tensor
    back_s: Tensor  # F^s, from both swapped
    back_t: Tensor


class DomainSeparation(WithLandmarks):
    """Landmark and texture of two domains separated, swapped, put together, separated and put together again.

    Parameters
    ----------
    aus : sequence of int
        The AUs that both domains have.
    detector : {"shared", "unshared", "given"}
        Where landmarks of target faces come from. E and L are shared with the landmark task, as in the paper; a twin of
        the same structure learns the landmark task and nothing is shared; or the batch's own landmarks, and guides
        teach nobody (what ADLD does).
    finder : nn.Module, optional
        With ``unshared``: a detector trained before, with ``locate(batch)``, which stays as it is.
    alignment, supervisors, pairs, negatives, temperature
        As ``kind, about, pairs, negatives, temperature`` of
        :class:`~fau_utils.methods.domain_alignment.Alignment`.
    adversaries : bool
    reads : {"reconstructed", "encoded"}
        What is classified of target faces at test.
    align_after : int
        Views (of one process) after which alignment begins.
    factors : Weights
    **options
        Of :class:`~fau_utils.methods.domain_networks.TwoDomainDetector`.

    Raises
    ------
    ValueError
        For an option that is not known.
    """

    recipes: ClassVar[dict[str, Recipe]] = RECIPES

    def __init__(
        self,
        aus: Sequence[int],
        *,
        detector: Literal["shared", "unshared", "given"] = "shared",
        finder: nn.Module | None = None,
        alignment: Literal["contrast", "pixels", "none"] = "contrast",
        supervisors: Literal["separated", "reconstructed"] = "separated",
        pairs: Sequence[int] = (1, 2, 3, 4),
        negatives: Literal["labels", "plain", "domains"] = "labels",
        temperature: float = 0.5,
        adversaries: bool = True,
        reads: Literal["reconstructed", "encoded"] = "reconstructed",
        align_after: int = 0,
        factors: Weights | None = None,
        **options: Any,
    ):
        super().__init__(aus, **options)
        chosen = {"detector": detector, "alignment": alignment, "supervisors": supervisors, "reads": reads}
        refuse_unknown(CHOICES, negatives=negatives, **chosen)
        if not set(pairs) <= {1, 2, 3, 4} or (finder is not None and detector != "unshared"):
            raise ValueError(f"expected pairs of 1 to 4, a finder only with 'unshared', found {pairs}, {detector!r}")
        self.detector, self.alignment, self.supervisors = detector, alignment, supervisors
        self.adversaries, self.reads, self.align_after = adversaries, reads, align_after
        self.factors = factors or Weights()
        wide, how = self.widths, {"pairs": pairs, "negatives": negatives, "temperature": temperature}
        with seeded(self.seed + 2):
            self.texture, self.generator = TextureEncoder(wide), FeatureGenerator(wide)
            self.texture_judge = LandmarkDiscriminator(wide)
            self.judge_s, self.judge_t = (DomainDiscriminator(wide, side=self.side) for _ in range(2))
        with seeded(self.seed + 3):
            self.aligned = Alignment(wide.channels, kind=alignment, about=supervisors, **how)
        self.twin: nn.ModuleDict | None = None
        if detector == "unshared" and finder is None:
            with seeded(self.seed + 4):
                self.twin = nn.ModuleDict({"encoder": FeatureEncoder(wide), "landmarks": landmark_branch(wide)})
        if finder is not None:
            finder.eval().requires_grad_(False)
        self._finder = [finder]  # in a list, so that it is no part of this module: it is not trained here
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def parts(self) -> dict[str, list[nn.Module]]:
        return {
            "generation": [self.texture, self.generator, self.aligned],
            "discrimination": [self.texture_judge, self.judge_s, self.judge_t],
        }

    def prepare(self, images: Tensor) -> None:
        super().prepare(images)
        if self._finder[0] is not None:
            self._finder[0].to(images.device)

    def loss_of(self, faces: Roles) -> Losses:
        source, target, _ = faces
        rounds = self.rounds(source, target)
        found, guided = self.find(faces)
        points_s, guessed = source.landmarks, argmax(rounds.points_t, size=self.size)
        points_t = torch.where(found.isnan(), guessed, found)
        k = self.factors

        au = (self.au_loss(rounds.real_s, source.au) + self.au_loss(rounds.swapped_t, source.au)) / 2
        # no face is taught by its own guess: real target maps learn only from landmarks that came from elsewhere
        pairs = [(rounds.points_s, points_s), (rounds.points_t, found)]
        pairs += [(rounds.moved_s, points_t), (rounds.moved_t, points_s)]
        land = sum(self.point_loss(maps, points) for maps, points in pairs) / 2 + guided
        itself = losses.absolute(rounds.again_s, rounds.real_s) + losses.absolute(rounds.again_t, rounds.real_t)
        cycle = losses.absolute(rounds.back_s, rounds.real_s) + losses.absolute(rounds.back_t, rounds.real_t)
        parts = {"au": k.au * au, "landmarks": k.landmarks * land}
        parts |= {"itself": k.itself * itself / 2, "cycle": k.cycle * cycle / 2}
        if self.adversaries:
            parts |= self.adversarial(rounds, points_s, points_t)
        if self.alignment != "none":
            on = (self.seen >= self.align_after).float()  # stays on the device
            parts |= {f"align {n}": k.align * on * term for n, term in self.align(rounds, source.au).items()}
        self.seen += len(source) * len(faces)
        return Losses(sum(parts.values()), parts)

    def rounds(self, source: Batch, target: Batch) -> Rounds:
        """Both rounds. Each domain passes E on its own, so that they do not meet in a batch norm.

        Gradients stop where ADLD's do: attention on its way into G; F on its way into T; swapped maps on their way
        into the second T. So E and L learn from real faces, T and G from what is made of them.
        """
        t, g, both = self.texture, self.generator, torch.cat  # norms of T, G and L are each face's own
        real_s, real_t = self.encode(source), self.encode(target)
        points_s, points_t = self.landmarks(both([real_s, real_t])).chunk(2)
        where_s, where_t = attention(points_s.detach()), attention(points_t.detach())
        texture_s, texture_t = t(both([real_s, real_t]).detach()).chunk(2)
        again_s, again_t, swapped_s, swapped_t = g(
            both([where_s, where_t, where_t, where_s]), both([texture_s, texture_t, texture_s, texture_t])
        ).chunk(4)

        swapped = both([swapped_s, swapped_t])
        felt = frozen(self.landmarks, swapped, call="features")
        moved_s, moved_t = frozen(self.landmarks.responses, felt).chunk(2)
        texture_swapped = t(swapped.detach())
        # by now the source's movement is on the target's texture, and the other way round
        back = g(attention(both([moved_t, moved_s]).detach()), texture_swapped)
        return Rounds(
            real_s, real_t, points_s, points_t, texture_s, texture_t, again_s, again_t, swapped_s, swapped_t,
            *felt.chunk(2), moved_s, moved_t, *texture_swapped.chunk(2), *back.chunk(2),
        )  # fmt: skip

    def find(self, faces: Roles) -> tuple[Tensor, Tensor]:
        """Landmarks of the target faces, (B, 49, 2) px or ``nan``, and the loss of the landmark task on guides."""
        source, target, guide = faces
        known, nothing = target.landmarks, source.image.new_zeros(())
        if self.detector == "given":
            return known, nothing
        if self.detector == "shared":
            return known, self.point_loss(self.landmarks(self.encode(guide)), guide.landmarks)
        if self._finder[0] is not None:
            return torch.where(known.isnan(), self._finder[0].locate(target), known), nothing
        maps = [self.twin["landmarks"](self.twin["encoder"](self.normalise(f.image))) for f in (source, target, guide)]
        loss = self.point_loss(maps[0], source.landmarks) + self.point_loss(maps[2], guide.landmarks)
        return torch.where(known.isnan(), argmax(maps[1], size=self.size), known), loss

    def point_loss(self, responses: Tensor, points: Tensor) -> Tensor:
        """Cross-entropy over the cells of each landmark's map, those that are known."""
        return response_loss(responses, points, size=self.size)

    def adversarial(self, rounds: Rounds, points_s: Tensor, points_t: Tensor) -> dict[str, Tensor]:
        """What discriminators learn, of detached maps, and what T and G learn of discriminators that stand still."""
        where = [losses.landmark_target(p, size=self.size, grid=self.side) for p in (points_s, points_t)]
        texture = torch.cat([rounds.texture_s, rounds.texture_t])
        trios = [
            (self.judge_s, rounds.real_s.detach(), rounds.swapped_s),
            (self.judge_t, rounds.real_t.detach(), rounds.swapped_t),
        ]
        judged = losses.landmark_discrimination(self.texture_judge(texture.detach()), torch.cat(where))
        confused = losses.landmark_confusion(frozen(self.texture_judge, texture))
        told = sum(losses.discrimination(judge(real), judge(fake.detach())) for judge, real, fake in trios)
        deceived = sum(losses.deception(frozen(judge, fake)) for judge, _, fake in trios)
        scale = self.factors.landmark_adversary * self.side**2 / ADLD_CELLS
        return {
            "finds landmarks": scale * judged,
            "hides landmarks": scale * confused,
            "tells domains": told / 2,
            "deceives": self.factors.domain_adversary * deceived / 2,
        }

    def align(self, rounds: Rounds, labels: Tensor) -> dict[int, Tensor]:
        """The four terms by their numbers: each pairs what the second round found with what the first one did."""
        if self.supervisors == "reconstructed":
            again = (rounds.again_s, rounds.again_t, rounds.back_s, rounds.back_t)
            return self.aligned((rounds.real_s, rounds.real_t) * 2, again, labels)
        felt = [self.landmarks.features(maps.detach()) for maps in (rounds.real_s, rounds.real_t)]
        second = (rounds.felt_t, rounds.felt_s, rounds.texture_swapped_s, rounds.texture_swapped_t)
        return self.aligned((*felt, rounds.texture_s, rounds.texture_t), second, labels)

    def read(self, batch: Batch) -> Tensor:
        """E(x) of source faces, and of all others G(a, z)."""
        real = self.encode(batch)
        if self.reads == "encoded":
            return real
        again = self.generator(attention(self.landmarks(real)), self.texture(real))
        return again if batch.domain is None else torch.where(batch.domain[:, None, None, None] == 0, real, again)

    @torch.no_grad()
    def separate(self, batch: Batch) -> dict[str, Tensor]:
        """What there is of each face: ``a`` (B, h w) where it moves, ``z`` its texture and ``F`` (B, C, h, w)."""
        real = self.encode(batch)
        return {"a": attention(self.landmarks(real)).sum(1).flatten(1), "z": self.texture(real), "F": real}
