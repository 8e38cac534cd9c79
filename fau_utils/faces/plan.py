"""Every frame of a `SynthFaces` split as one row: who, when, what, under what.

A plan is small (no pixels) and complete: rendering a row needs nothing else. Rows can be picked, and fields replaced,
so an experiment can draw the same people with other movements, or one frame under another light.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces.activity import base_rates, sample_intensity, subject_rates, two_sides
from fau_utils.faces.dynamics import intensity_over_time, nuisance_at, sample_events
from fau_utils.faces.nuisance import Nuisance, sample_nuisance
from fau_utils.faces.occluders import KINDS
from fau_utils.faces.patches import PATCH_KINDS
from fau_utils.faces.population import POOLS, SPLITS, SynthFaces
from fau_utils.faces.rng import mix, uniform

# Streams of seeds. They are part of the dataset's definition: a new purpose takes a new number.
_PERSON, _FRAME, _CLIP, _SIDES, _OCCLUSION, _UNKNOWN = range(9601, 9607)

HIDING: tuple[str, ...] = (*KINDS, *PATCH_KINDS)
"""Names of `Plan.hiding`: 0 is none, then the occluders, then the patch masks."""


@dataclass(frozen=True)
class Plan:
    """N frames. Indexing picks rows.

    Attributes
    ----------
    subject : Tensor, (N,) int64
        Number of the person, unique over all pools of the configuration.
    person : Tensor, (N,) int64
        Identity seed.
    clip, frame : Tensor, (N,) int64
        Number of the clip of this person in this split, and of the frame in the clip. A single frame is a clip of one.
    seed : Tensor, (N,) int64
        Seed of the clip (of the frame, when frames are single).
    intensity : Tensor, (N, 16) float32 in [0, 5]
        FACS intensity, the stronger side: the ground truth of labels.
    au : Tensor, (N, 16, 2) float32 in [0, 5]
        What is drawn, left and right.
    hiding : Tensor, (N,) int64
        What hides the face, a number of :data:`HIDING`.
    coded : Tensor, (N, 16) bool
        False where the label is unknown.
    """

    subject: Tensor
    person: Tensor
    clip: Tensor
    frame: Tensor
    seed: Tensor
    intensity: Tensor
    au: Tensor
    hiding: Tensor
    coded: Tensor

    def __len__(self) -> int:
        return len(self.subject)

    def __getitem__(self, rows: slice | Tensor) -> "Plan":
        return Plan(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, device: torch.device | str) -> "Plan":
        """The plan on another device."""
        return Plan(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def showing(self, other: "Plan") -> "Plan":
        """These people in these pictures, with the movements of `other`, row by row."""
        return replace(self, intensity=other.intensity, au=other.au)


def person_seed(config: SynthFaces, subject: Tensor) -> Tensor:
    """Identity seeds of people by number, (N,) int64."""
    return mix(config.seed, _PERSON, subject)


def plan(config: SynthFaces, split: str, *, device: torch.device | str = "cpu") -> Plan:
    """All frames of a split, person by person and clip by clip.

    Raises
    ------
    ValueError
        For an unknown split.
    """
    part = config.split(split)
    clips = part.frames // config.clip_length
    number = torch.arange(part.subjects * clips, device=device)
    subject = POOLS[part.people] + number.div(clips, rounding_mode="floor")
    return plan_clips(config, split, subject=subject, clip=number % clips)


def plan_clips(config: SynthFaces, split: str, *, subject: Tensor, clip: Tensor) -> Plan:
    """The frames of some clips: the building block of :func:`plan` and of endless streams of new frames.

    Parameters
    ----------
    config : SynthFaces
    split : str
        Sets the skew, and keeps the frames of one person in two splits apart.
    subject, clip : Tensor, (C,) int64
        Person and clip number of each clip; any combination is valid, beyond the split's own counts too.

    Returns
    -------
    Plan
        C * clip_length rows, the frames of a clip together.
    """
    length = config.clip_length
    code = SPLITS.index(split)
    person = person_seed(config, subject)
    # every part is hashed on its own: no two of (person, split, clip) can meet in one seed but by accident of 2^-64
    seed = mix(config.seed, _CLIP if length > 1 else _FRAME, subject, code, clip)
    rate = subject_rates(person, skew=config.skew_of(split), rates=base_rates(config.rates).to(subject.device))
    if length > 1:
        events = sample_events(seed, rate, length=length, fps=config.fps, groups=config.groups)
        intensity = intensity_over_time(events, length=length)
    else:
        intensity = sample_intensity(seed, rate, groups=config.groups)[:, None]
    au = two_sides(intensity, mix(seed, _SIDES)) * config.amplitude
    frame = torch.arange(length, device=subject.device).repeat(len(subject))
    rows = torch.arange(len(subject), device=subject.device).repeat_interleave(length)
    coded = torch.ones(len(rows), len(RENDERED), dtype=torch.bool, device=subject.device)
    if config.unknown > 0:
        coded = uniform(mix(seed[rows], frame), _UNKNOWN, len(RENDERED)) >= config.unknown
    if not config.split(split).labelled:
        coded = torch.zeros_like(coded)
    return Plan(
        subject=subject[rows],
        person=person[rows],
        clip=clip[rows],
        frame=frame,
        seed=seed[rows],
        intensity=intensity.flatten(0, 1),
        au=au.flatten(0, 1).clamp(max=5),
        hiding=_hiding(config, seed)[rows],
        coded=coded,
    )


def _hiding(config: SynthFaces, seed: Tensor) -> Tensor:
    """What hides each clip: constant within it, so that an occluder does not flicker."""
    if config.occlusion is None:
        return torch.zeros_like(seed)
    u = uniform(seed, _OCCLUSION, 2)
    numbers = torch.tensor([HIDING.index(kind) for kind in config.occlusion.kinds], device=seed.device)
    kind = numbers[(u[:, 0] * len(numbers)).long().clamp(max=len(numbers) - 1)]
    return torch.where(u[:, 1] < config.occlusion.share, kind, 0)


def nuisance_of(config: SynthFaces, rows: Plan) -> Nuisance:
    """Pose, gaze, light and camera of the rows."""
    options = {"level": config.nuisance, "wild": config.wild}
    if config.clip_length == 1:
        return sample_nuisance(rows.seed, **options)
    return nuisance_at(rows.seed, rows.frame, fps=config.fps, drift=config.drift, **options)
