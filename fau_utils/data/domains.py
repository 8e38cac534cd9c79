"""Two domains to learn from: a laboratory with AU labels, and a wild one with faces alone.

Rendered ones have a gap of any strength between them and the same AUs just as often; real ones are pairs of prepared
datasets with the AUs they share (:mod:`fau_utils.data.real_pairs`). Target labels are taken away before any learner
sees a face.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd
import torch

from fau_utils.aus import RENDERED
from fau_utils.batch import Batch
from fau_utils.data import synth
from fau_utils.data.images import ImageSet, Memory, as_floats, positions
from fau_utils.data.source import share
from fau_utils.faces.activity import BASE_RATES
from fau_utils.faces.population import Occlusion, Split, SynthFaces
from fau_utils.frames import KEY, Frames
from fau_utils.roles import ROLES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TwoDomains:
    """Source, target and guides, served in threes (:mod:`fau_utils.roles`); what ``fit`` trains on.

    Build one with :meth:`of`. Each role has its own order of faces, and its epochs follow each other without a seam, so
    that the smaller set is shown more often.

    Attributes
    ----------
    source : ImageSet
        With AU labels and landmarks.
    target : ImageSet
        All labels ``nan``, and landmarks ``nan`` unless they were left on purpose.
    guide : ImageSet
        Other faces of the target, with landmarks and no AU labels; where there are none, target faces without
        landmarks, from which the landmark task learns nothing.
    """

    source: ImageSet
    target: ImageSet
    guide: ImageSet

    @classmethod
    def of(
        cls, source: ImageSet, target: ImageSet, *, guides: ImageSet | None = None, target_landmarks: bool = False
    ) -> "TwoDomains":
        """Two sets as domains: shared AUs only, target labels hidden.

        Parameters
        ----------
        source, target : ImageSet
        guides : ImageSet, optional
            Target faces with landmarks, other ones than `target`'s.
        target_landmarks : bool
            Leave the target its landmarks: a privilege, for an upper bound.

        Raises
        ------
        ValueError
            An empty set, pictures of other sizes, no AU in common, or a source without landmarks or labels.
        """
        aus = shared_aus(source, target)
        for name, data in (("source", source), ("target", target)):
            if not len(data):
                raise ValueError(f"expected faces of the {name} domain, found none; check the selection that made it")
        sizes = {tuple(data.images.shape[-2:]) for data in (source, target, guides) if data is not None}
        if len(sizes) > 1:
            raise ValueError(f"expected pictures of one size in both domains, found {sorted(sizes)}; crop them alike")
        source = with_aus(source, aus)
        if source.landmarks is None or bool(source.landmarks.isnan().all()):
            raise ValueError("expected source faces with landmarks, found none; prepare them with --landmarks")
        if bool(source.labels.isnan().all()):
            raise ValueError(f"expected coded labels of AUs {aus} in the source, found none")
        if guides is None or not len(guides) or guides.landmarks is None:
            log.warning("no target face with landmarks: the landmark task is learnt on the source alone")
            guides = _without_landmarks(target)
        target = target if target_landmarks else _without_landmarks(target)
        hidden = [_as_domain(_hidden(data, aus), 1) for data in (target, guides)]
        return cls(_as_domain(source, 0), *hidden)

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs that both domains have."""
        return self.source.aus

    @property
    def guided(self) -> bool:
        """Whether any target face has landmarks for the landmark task."""
        return not bool(self.guide.landmarks.isnan().all())

    @property
    def frames(self) -> Frames:
        """Who is in any of the three, without labels."""
        return Frames(pd.concat([side.frames.table[list(KEY)] for side in self._sides()]).drop_duplicates())

    @property
    def subjects(self) -> tuple[str, ...]:
        """All people, sorted by name."""
        return self.frames.subjects

    @property
    def labels(self) -> torch.Tensor:
        """Those of the source, (N, A): there are no others."""
        return self.source.labels

    def __len__(self) -> int:
        return len(ROLES) * len(self.source)

    def to(self, device: torch.device | str) -> "TwoDomains":
        """All three on a device, where they take little of its memory."""
        return TwoDomains(self.source.to(device), self.target.to(device), self.guide.to(device))

    def batches(
        self,
        *,
        batch_size: int,
        views: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        skip: int = 0,
    ) -> Iterator[Batch]:
        """Batches of whole threes, all of one size: the largest that fits into `batch_size` and can be shared.

        Otherwise as :class:`fau_utils.data.source.Source` says.

        Raises
        ------
        ValueError
            A batch too small for a three in each process.
        """
        each = batch_size // (len(ROLES) * world) * world  # threes of a step, all processes together
        if not each:
            raise ValueError(
                f"expected a batch of at least a {', a '.join(ROLES)} for each of {world} processes, found {batch_size}"
            )
        views = len(self) if views is None else views
        steps = -(-views // batch_size)
        mine = share(each, rank=rank, world=world)
        memory = Memory()
        orders = [
            positions(data, batch_size=each, views=steps * each, seed=_seed(seed, k), skip=skip)
            for k, data in enumerate((self.source, self.target, self.guide))
        ]
        for rows in zip(*orders, strict=True):
            found = [data.raw(row[mine], device=device) for data, row in zip(self._sides(), rows, strict=True)]
            batch = _interleaved(found)
            yield batch.with_image(as_floats(batch.image, memory=memory))

    def _sides(self) -> tuple[ImageSet, ImageSet, ImageSet]:
        return self.source, self.target, self.guide


def _seed(seed: int, role: int) -> int:
    return seed * len(ROLES) + role


def _interleaved(roles: Sequence[Batch]) -> Batch:
    """Batches of equal length as threes; fields that only some have are left out."""
    common = [f.name for f in fields(Batch) if all(getattr(role, f.name) is not None for role in roles)]
    return Batch(**{name: torch.stack([getattr(r, name) for r in roles], 1).flatten(0, 1) for name in common})


def shared_aus(*sets: ImageSet) -> tuple[int, ...]:
    """AUs that all sets have, in the order of the first.

    Raises
    ------
    ValueError
        When there is none; says what each has.
    """
    common = tuple(au for au in sets[0].aus if all(au in data.aus for data in sets))
    if not common:
        raise ValueError(f"expected domains with AUs in common, found {' and '.join(str(data.aus) for data in sets)}")
    return common


def with_aus(data: ImageSet, aus: Sequence[int]) -> ImageSet:
    """The same faces with some of their AUs as label columns.

    Raises
    ------
    ValueError
        An AU that they do not have.
    """
    if missing := [au for au in aus if au not in data.aus]:
        raise ValueError(f"expected faces labelled with AUs {missing}, found {data.aus}")
    columns = [data.aus.index(au) for au in aus]
    intensity = None if data.intensity is None else data.intensity[:, columns]
    return replace(data, aus=tuple(aus), labels=data.labels[:, columns], intensity=intensity)


def _hidden(data: ImageSet, aus: tuple[int, ...]) -> ImageSet:
    labels = torch.full((len(data), len(aus)), torch.nan, device=data.device)
    return replace(data, aus=aus, labels=labels, intensity=None)


def _without_landmarks(data: ImageSet) -> ImageSet:
    return replace(data, landmarks=torch.full((len(data), 49, 2), torch.nan, device=data.device))


def _as_domain(data: ImageSet, domain: int) -> ImageSet:
    landmarks = data.landmarks
    if landmarks is None:
        data = _without_landmarks(data)
    return replace(data, domain=torch.full((len(data),), domain, device=data.device))


@dataclass(frozen=True)
class Gap:
    """A laboratory and a wild population, rendered, with a gap of some strength between them.

    At strength 0 both are laboratories with other people; at 1 the wild one has up to three times the pose, coloured
    light, clutter, blur, noise, and sunglasses on every sixth face. AUs are as frequent in both unless `prior` moves
    them.

    Attributes
    ----------
    strength : float
        g, in [0, 1].
    prior : float
        Shift of the target's base rates in probit units, up for every other AU and down for the rest: a shift of
        labels, to be kept apart from that of appearance.
    seed : int
        Which training people.
    aus : tuple of int
    people, frames : int
        Training people of each domain, and faces of each.
    guides : int
        Target people with landmarks, of whom there are `guide_frames` faces each.
    test_people, test_frames : int
    res : int
    """

    strength: float
    prior: float = 0.0
    seed: int = 0
    aus: tuple[int, ...] = (1, 2, 4, 6, 9, 12, 14, 25)
    people: int = 60
    frames: int = 40
    guides: int = 60
    guide_frames: int = 10
    test_people: int = 60
    test_frames: int = 20
    res: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"expected a gap in [0, 1], found {self.strength}")

    @property
    def lab(self) -> SynthFaces:
        """Configuration of the source."""
        return self._world(2 * self.seed, 0.0, 0.0)

    @property
    def wild(self) -> SynthFaces:
        """Configuration of the target."""
        return self._world(2 * self.seed + 1, self.strength, self.prior)

    def tested(self, *, wild: bool = True) -> ImageSet:
        """Test faces with their labels: the same people, whatever the seed, in either domain."""
        config = replace(self.wild if wild else self.lab, seed=0)
        return _as_domain(synth.load(config, "test"), int(wild))

    def validated(self) -> ImageSet:
        """Target faces of still others, to choose by, for all arms alike; half as many people as are tested."""
        people = -(-self.test_people // 2)
        world = replace(self.wild, seed=0).with_split("val", subjects=people, frames=self.test_frames)
        return _as_domain(synth.load(world, "val"), 1)

    def domains(self, *, guides: int | None = None, target_landmarks: bool = False) -> TwoDomains:
        """Training faces of both.

        Parameters
        ----------
        guides : int, optional
            Only so many of the faces with landmarks; 0 for none.
        target_landmarks : bool
            As for :meth:`TwoDomains.of`.
        """
        faces = synth.load(self.wild, "unlabelled")
        if guides is not None:
            faces = faces.subset(torch.arange(min(guides, len(faces))))
        source, target = synth.load(self.lab, "train"), synth.load(self.wild, "train")
        return TwoDomains.of(source, target, guides=faces, target_landmarks=target_landmarks)

    def ceiling(self) -> TwoDomains:
        """The target's own training faces with their labels in the place of the source."""
        target = synth.load(self.wild, "train")
        return TwoDomains.of(target, target, guides=synth.load(self.wild, "unlabelled"))

    def _world(self, seed: int, strength: float, prior: float) -> SynthFaces:
        return SynthFaces(
            res=self.res, aus=self.aus, seed=7000 + seed, wild=strength, nuisance=0.5 + 0.4 * strength,
            occlusion=Occlusion(("sunglasses",), share=strength / 6) if strength else None,
            rates=tuple(shifted_rates(prior).items()) if prior else (),
            train=Split(self.people, self.frames, "train"), seen=Split(self.people, 20, "train"),
            unlabelled=Split(self.guides, self.guide_frames, "unlabelled", labelled=False),
            test=Split(self.test_people, self.test_frames, "test"),
        )  # fmt: skip


def shifted_rates(probits: float) -> dict[int, float]:
    """Base rates of all rendered AUs, moved up and down in turn."""
    normal = torch.distributions.Normal(0.0, 1.0)
    signs = {au: (1 if k % 2 == 0 else -1) for k, au in enumerate(RENDERED)}
    moved = {au: normal.icdf(torch.tensor(rate)) + signs[au] * probits for au, rate in BASE_RATES.items()}
    return {au: round(float(normal.cdf(value)), 4) for au, value in moved.items()}
