"""`SynthFaces`: the rendered dataset as one frozen, hashed configuration.

It says *who* (splits of people who never overlap), *how often* (base rates, their skew between people, which AUs move
together), *under what* (pose, light, domain, occluders) and *what is known* (label threshold, unknown cells). What
each frame shows follows from it alone; :mod:`fau_utils.faces.plan` spells that out row by row.
"""

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from fau_utils.aus import BP4D, RENDERED
from fau_utils.faces.activity import PRESENT, base_rates
from fau_utils.faces.copula import GROUPS, Group, loadings
from fau_utils.faces.names import nearest
from fau_utils.faces.occluders import KINDS
from fau_utils.faces.patches import FILLS, PATCH_KINDS, patch_count, patch_grid
from fau_utils.faces.render import GRIDS
from fau_utils.provenance import code_hash

POOLS: dict[str, int] = {"train": 0, "val": 10_000, "test": 20_000, "unlabelled": 30_000}
"""First subject number of each pool of people. Pools never share a person; the last one has no upper end."""

SPLITS: tuple[str, ...] = ("train", "val", "test", "seen", "unlabelled")
"""Rendered splits. ``seen`` holds new frames of the training people: it measures the identity gap, never a method."""


@dataclass(frozen=True)
class Split:
    """People and frames of one split.

    Attributes
    ----------
    subjects : int
        Number of people, the first ones of the pool: 20 training people are among the 40.
    frames : int
        Frames per person; with clips, clips x clip length.
    people : str
        Pool the people come from, one of :data:`POOLS`.
    skew : float, optional
        Base-rate skew of this split in probit units; by default the configuration's.
    labelled : bool
        False makes every label unknown (``nan``); the intensities stay in the set for analysis.
    """

    subjects: int
    frames: int
    people: str
    skew: float | None = None
    labelled: bool = True

    def __post_init__(self) -> None:
        nearest(self.people, tuple(POOLS), what="pool of people")
        if self.subjects < 1 or self.frames < 1:
            raise ValueError(f"expected at least 1 subject and 1 frame, found {self.subjects} and {self.frames}")
        if self.people != "unlabelled" and self.subjects > 10_000:
            raise ValueError(
                f"the pool {self.people!r} has 10,000 people, found {self.subjects}; use people='unlabelled', "
                "which has no end"
            )
        if self.skew is not None and not self.skew >= 0:
            raise ValueError(f"expected a skew >= 0, found {self.skew}")


@dataclass(frozen=True)
class Occlusion:
    """What hides part of the faces.

    Attributes
    ----------
    kinds : tuple of str
        Occluders (``sunglasses``, ``mask``, ``scarf``, ``hand``, ``object``) and patch masks (``random``, ``block``,
        ``upper``, ``lower``, ``left``, ``right``, ``eyes``, ``mouth``), each equally likely; name one twice to double
        it.
    share : float
        Share of the frames (of the clips, when there are clips) that are occluded at all.
    ratio : float
        Hidden share of the patches for ``random`` and ``block``.
    patch : int
        Patch side in px, for patch masks and for the per-patch visibility of every kind.
    fill : str
        What patch masks paint: ``grey``, ``mean``, ``noise`` or ``colour``.
    """

    kinds: tuple[str, ...] = KINDS[1:]
    share: float = 1.0
    ratio: float = 0.5
    patch: int = 8
    fill: str = "grey"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("occlusion without kinds; use occlusion=None for faces in full view")
        for kind in self.kinds:
            nearest(kind, (*KINDS[1:], *PATCH_KINDS), what="occluder kind")
        nearest(self.fill, FILLS, what="fill")
        if not 0 <= self.share <= 1:
            raise ValueError(f"expected a share of occluded frames in [0, 1], found {self.share}")
        patch_count(self.ratio, grid=1)


@dataclass(frozen=True)
class SynthFaces:
    """The rendered dataset. Every field is part of the hash.

    The defaults are a laboratory task in the likeness of BP4D: 12 AUs, 40 training people, aligned crops of 64 px.

    Attributes
    ----------
    res : int
        Image side in px: 64, 112 or 224.
    align : bool
        Crop by the eyes, as a face aligner would, with its small errors.
    aus : tuple of int
        AUs that are labels. All 16 move in any case, as in life.
    seed : int
        Another seed, other people.
    identity_strength : float
        How different people look; 0 one face for all, 1 lifelike, up to 1.4.
    nuisance : float
        Pose, gaze, blink, light and camera; 0 none, 0.5 laboratory, 1.5 strong.
    wild : float
        0 laboratory, 1 in the wild (pose, background, colour cast, blur, texture): the domain gap.
    skew : float
        Base-rate skew between people in probit units; 0 none, 1.2 as in real data, 2.5 a caricature.
    rates : tuple of (AU, rate)
        Changes to the population's base rates, ``fau_utils.faces.activity.BASE_RATES``.
    groups : tuple of Group
        AUs that move together.
    amplitude : float
        Scales what is drawn, never the labels: 0.6 subtle faces, 1.2 broad ones.
    label_threshold : float
        A label is 1 at or above this FACS intensity.
    unknown : float
        Share of label cells that are not coded (``nan``).
    occlusion : Occlusion, optional
        None shows faces in full view.
    clip_length : int
        1 for single frames; above, each person's frames come in clips of this length.
    fps : float
        Frames per second of clips; sets how long a movement takes in frames.
    drift : bool
        In clips: pose, light and gaze constant (False, setting S1) or drifting (True, S2). The person is constant.
    train, val, test, seen, unlabelled : Split
    """

    res: int = 64
    align: bool = True
    aus: tuple[int, ...] = BP4D
    seed: int = 0
    identity_strength: float = 1.0
    nuisance: float = 0.5
    wild: float = 0.0
    skew: float = 0.0
    rates: tuple[tuple[int, float], ...] = ()
    groups: tuple[Group, ...] = GROUPS
    amplitude: float = 1.0
    label_threshold: float = PRESENT
    unknown: float = 0.0
    occlusion: Occlusion | None = None
    clip_length: int = 1
    fps: float = 25.0
    drift: bool = False
    train: Split = field(default=Split(40, 100, "train"))
    val: Split = field(default=Split(30, 20, "val"))
    test: Split = field(default=Split(60, 20, "test"))
    seen: Split = field(default=Split(40, 20, "train"))
    unlabelled: Split = field(default=Split(3000, 4, "unlabelled", labelled=False))

    def __post_init__(self) -> None:
        self._check_task()
        self._check_numbers()
        self._check_splits()

    def _check_task(self) -> None:
        if not self.aus or len(set(self.aus)) != len(self.aus):
            raise ValueError(f"expected different AUs to label, found {self.aus}")
        hidden = [au for au in self.aus if au not in RENDERED]
        if hidden:
            raise ValueError(f"AUs {hidden} are not rendered; choose from {list(RENDERED)}")
        loadings(self.groups)
        base_rates(self.rates)
        if self.occlusion is not None:
            grid = patch_grid(self.res, patch=self.occlusion.patch)
            for kind in set(self.occlusion.kinds) & {"random", "block"}:
                if not int(patch_count(self.occlusion.ratio, grid=grid)) and self.occlusion.ratio:
                    raise ValueError(
                        f"ratio {self.occlusion.ratio} hides no patch of a {grid} x {grid} grid for kind {kind!r}"
                    )

    def _check_numbers(self) -> None:
        bounds = {
            "identity_strength": (0, 3), "nuisance": (0, 3), "wild": (0, 1), "skew": (0, 10),
            "amplitude": (0, 2), "unknown": (0, 1), "clip_length": (1, 10_000), "fps": (1, 1000),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"expected {name} in [{low}, {high}], found {value}")
        if self.res not in GRIDS:
            raise ValueError(f"expected a picture size of {sorted(GRIDS)} px, found {self.res}")
        if not 0 < self.label_threshold <= 5:
            raise ValueError(f"expected a label threshold in (0, 5] FACS intensity, found {self.label_threshold}")

    def _check_splits(self) -> None:
        for name in SPLITS:
            split = getattr(self, name)
            if split.frames % self.clip_length:
                raise ValueError(
                    f"{name}: {split.frames} frames per person are no whole number of clips of {self.clip_length}; "
                    f"take {max(1, round(split.frames / self.clip_length)) * self.clip_length}"
                )
        pools = [getattr(self, name).people for name in SPLITS if name != "seen"]
        if len(set(pools)) != len(pools):
            raise ValueError(
                f"train, val, test and unlabelled must be different people, found the pools {pools}; "
                "only `seen` may take the training people"
            )
        if self.seen.people != self.train.people or self.seen.subjects > self.train.subjects:
            raise ValueError(
                f"`seen` holds new frames of training people: expected at most {self.train.subjects} subjects of the "
                f"pool {self.train.people!r}, found {self.seen.subjects} of {self.seen.people!r}"
            )

    @property
    def dataset(self) -> str:
        """Name in tables: ``synth``, and ``synth7`` for the people of seed 7, so that subject codes never collide."""
        return "synth" if self.seed == 0 else f"synth{self.seed}"

    def split(self, name: str) -> Split:
        """A split by name.

        Raises
        ------
        ValueError
            Lists the splits. A leaky division of frames is not rendered: see ``fau_utils.data.holdout``.
        """
        if name == "random_frames":
            raise ValueError(
                "random_frames is a way of dividing a set, not a rendered split: load 'train' and divide it with "
                "fau_utils.data.holdout.holdout(..., by='random_frames'), which is leaky and says so"
            )
        return getattr(self, nearest(name, SPLITS, what="split"))

    def skew_of(self, name: str) -> float:
        """Base-rate skew in effect in a split."""
        own = self.split(name).skew
        return self.skew if own is None else own

    def with_split(self, name: str, **changes: object) -> "SynthFaces":
        """The same dataset with one split changed: ``with_split("test", skew=0.0)``."""
        return replace(self, **{name: replace(self.split(name), **changes)})

    def hash(self, split: str | None = None) -> str:
        """Content hash, 16 hexadecimal digits: the fields and the code that draws.

        Parameters
        ----------
        split : str, optional
            Hash only what the pictures of this split depend on, so that a larger test set leaves the training set's
            cache valid.
        """
        content = asdict(self)
        if split is not None:
            own = content[split]
            for name in SPLITS:
                del content[name]
            own["skew"] = self.skew_of(split)
            del own["labelled"]
            for name in ("skew", "aus", "label_threshold", "unknown"):  # what is known of a picture, not what is in it
                del content[name]
            content |= {"split": split, "own": own}
        content["code"] = code_version()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def code_version() -> str:
    """Hash of the source of everything that decides what a rendered face looks like: this folder.

    A change of the code makes new pictures, so it must make a new hash; comments do not count.
    """
    return code_hash(Path(__file__).parent.glob("*.py"))


FIELDS: tuple[str, ...] = tuple(f.name for f in fields(SynthFaces))
"""Names of the knobs, for tables and for reading a configuration back."""
