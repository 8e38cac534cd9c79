"""Faces in time: movements that rise, hold and fall, and pose and light that stay or drift.

A movement is an *event* with onset, apex and offset (Ekman, Friesen & Hager, 2002, FACS Investigator's Guide). Events
follow one another in slots; which AUs take part in a slot, and how strongly, is one draw of the copula of single
frames, so AUs that go together move together, each a little early or late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces.activity import intensity_of, two_sides
from fau_utils.faces.copula import GROUPS, Group, sample_latent
from fau_utils.faces.nuisance import Nuisance, sample_nuisance
from fau_utils.faces.rng import mix, normal, uniform

_PHASE, _SLOT, _START, _JITTER, _LENGTH, _SIDES, _KEY = range(9401, 9408)

ONSET, APEX, OFFSET = (4.0, 10.0), (0.0, 20.0), (6.0, 15.0)
"""Shortest and longest duration of each phase, in frames at 30 frames per second."""

SLOT = 18.0
"""Frames at 30 fps from one slot of events to the next: about as long as a movement stays at or above ``PRESENT``."""

KEYFRAMES = 45.0
"""With drift, pose and light move smoothly from one random state to the next in so many frames at 30 fps."""

_OVERLAP = 0.15
# An AU that takes part in a share e of the slots is present in e - 0.15 e² of the frames (measured over 1500 clips;
# events of neighbouring slots overlap). Solved for e in _slot_rate, so that clips keep the base rates of frames.


def _slot_rate(rate: Tensor) -> Tensor:
    slots = (1 - (1 - 4 * _OVERLAP * rate).sqrt()) / (2 * _OVERLAP)
    return slots.clamp(max=0.99)  # rates above .84 are not reached: movements also rise and fall


@dataclass(frozen=True)
class Events:
    """Movements on a time line. Times in frames; all tensors broadcast to (B, E, 16).

    Attributes
    ----------
    start : Tensor
        First frame of the onset; may lie before the clip.
    onset, apex, offset : Tensor
        Durations of rising, holding and falling.
    peak : Tensor
        Intensity at the apex, 0 to 5.
    """

    start: Tensor
    onset: Tensor
    apex: Tensor
    offset: Tensor
    peak: Tensor


def smoothstep(t: Tensor) -> Tensor:
    """3t² - 2t³ on [0, 1], constant outside: no jump in speed at either end."""
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def intensity_over_time(events: Events, *, length: int) -> Tensor:
    """Intensity in every frame: where events of one AU overlap, the stronger one shows.

    Parameters
    ----------
    events : Events
        (B, E, 16)
    length : int
        Frames T.

    Returns
    -------
    Tensor, (B, T, 16) float32 in [0, 5]
    """
    time = torch.arange(length, device=events.peak.device, dtype=torch.float32)[None, :, None]
    total = None
    for e in range(events.peak.shape[1]):  # few events: a loop keeps memory at (B, T, 16)
        since = time - events.start[:, e, None]
        rise = smoothstep(since / events.onset[:, e, None])
        fall = smoothstep((since - (events.onset + events.apex)[:, e, None]) / events.offset[:, e, None])
        shown = events.peak[:, e, None] * rise * (1 - fall)
        total = shown if total is None else torch.maximum(total, shown)
    return total


def sample_events(
    clip_seed: Tensor, rate: Tensor, *, length: int, fps: float = 25.0, groups: Sequence[Group] = GROUPS
) -> Events:
    """Movements of a clip.

    Parameters
    ----------
    clip_seed : Tensor, (B,) int64
    rate : Tensor, (B, 16) or (16,)
        Share of *frames* in which each AU is at least slight (``activity.PRESENT``); met on average over clips.
    length : int
        Frames T.
    fps : float
        Durations are given for 30 frames per second and scaled to this.
    groups : sequence of Group

    Returns
    -------
    Events
        (B, E, 16) with enough slots to cover the clip.
    """
    _check(length, fps)
    tempo = fps / 30.0
    slot = SLOT * tempo
    before = sum(phase[1] for phase in (ONSET, APEX, OFFSET)) * tempo / slot + 1  # slots that may reach into the clip
    slots = int(before) + int(length / slot) + 2
    units = len(RENDERED)
    batch = len(clip_seed)
    seed = mix(clip_seed[:, None], _SLOT, torch.arange(slots, device=clip_seed.device)).flatten()

    def per_slot(values: Tensor) -> Tensor:
        return values.view(batch, slots, -1)

    latent = per_slot(sample_latent(seed, groups=groups))
    event_rate = _slot_rate(rate.to(clip_seed.device)).expand(batch, units)[:, None]
    peak = intensity_of(latent, event_rate)
    first = -int(before) * slot
    phase = uniform(clip_seed, _PHASE, 1) * slot
    place = first + phase + torch.arange(slots, device=clip_seed.device) * slot  # (B, E)
    shared = per_slot((uniform(seed, _START, 1) - 0.5) * 0.5 * slot)
    own = per_slot(normal(seed, _JITTER, units).clamp(-2, 2)) * (1.5 * tempo)
    u = uniform(seed, _LENGTH, 6 * units).view(batch, slots, 6, units)
    together = uniform(seed, _LENGTH + 100, 3).view(batch, slots, 3, 1)
    mixed = 0.7 * together + 0.3 * u[:, :, :3]  # the AUs of one slot keep similar, not equal, durations
    onset, apex, offset = (
        ((low + (high - low) * mixed[:, :, i]) * tempo) for i, (low, high) in enumerate((ONSET, APEX, OFFSET))
    )
    return Events(
        start=place[:, :, None] + shared + own,
        onset=onset.clamp(min=1),
        apex=apex,
        offset=offset.clamp(min=1),
        peak=peak,
    )


@dataclass(frozen=True)
class Clip:
    """B clips of T frames.

    Attributes
    ----------
    intensity : Tensor, (B, T, 16) float32
        FACS 0 to 5, the stronger side.
    au : Tensor, (B, T, 16, 2) float32
        Left and right.
    nuisance : Nuisance
        B * T frames, the frames of a clip together.
    """

    intensity: Tensor
    au: Tensor
    nuisance: Nuisance


def sample_clip(
    clip_seed: Tensor,
    rate: Tensor,
    *,
    length: int,
    fps: float = 25.0,
    drift: bool = False,
    groups: Sequence[Group] = GROUPS,
    level: float = 0.5,
    wild: float = 0.0,
) -> Clip:
    """Clips of one person each: movements, pose and light.

    Parameters
    ----------
    clip_seed : Tensor, (B,) int64
        One per clip; the person is the caller's and stays the same throughout.
    rate, length, fps, groups
        As in :func:`sample_events`.
    drift : bool
        False: pose, gaze, light and camera stay as they are (setting S1). True: they wander (S2). The backdrop stays
        in both.
    level, wild : float
        As in :func:`fau_utils.faces.nuisance.sample_nuisance`.

    Raises
    ------
    ValueError
        For a length below 1 or a frame rate that is not positive.
    """
    events = sample_events(clip_seed, rate, length=length, fps=fps, groups=groups)
    intensity = intensity_over_time(events, length=length)
    frame = torch.arange(length, device=clip_seed.device).repeat(len(clip_seed))
    nuisance = nuisance_at(clip_seed.repeat_interleave(length), frame, fps=fps, drift=drift, level=level, wild=wild)
    return Clip(intensity, two_sides(intensity, mix(clip_seed, _SIDES)), nuisance)


def nuisance_at(
    clip_seed: Tensor, frame: Tensor, *, fps: float = 25.0, drift: bool = False, level: float = 0.5, wild: float = 0.0
) -> Nuisance:
    """Pose, light and camera of single frames of clips.

    Parameters
    ----------
    clip_seed, frame : Tensor, (B,) int64
        Any frames of any clips, in any order: a frame does not depend on which others are asked for.

    Returns
    -------
    Nuisance
        B frames. The backdrop and everything else that has no in-between is the clip's; with drift the continuous
        fields follow a smooth path through random key states.
    """
    _check(1, fps)
    time = frame.double() / (KEYFRAMES * fps / 30.0) if drift else torch.zeros_like(frame, dtype=torch.float64)
    key = time.floor().long()
    held = sample_nuisance(mix(clip_seed, _KEY, key), level=level, wild=wild)
    if drift:
        after = sample_nuisance(mix(clip_seed, _KEY, key + 1), level=level, wild=wild)
        way = smoothstep((time - key).float())
        held = _between(held, after, way)
    # blinks are events of their own; between random states they would smear over a second
    return replace(held, seed=mix(clip_seed, _KEY), blink=held.blink.clamp(max=0.12))


def _between(a: Nuisance, b: Nuisance, way: Tensor) -> Nuisance:
    values = {}
    for name in (f.name for f in fields(Nuisance) if f.name != "seed"):
        first, last = getattr(a, name), getattr(b, name)
        w = way.view(-1, *[1] * (first.ndim - 1))
        values[name] = first + (last - first) * w
    light = values["light"]
    values["light"] = light / light.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return Nuisance(seed=a.seed, **values)


def _check(length: int, fps: float) -> None:
    if length < 1:
        raise ValueError(f"expected a clip of at least 1 frame, found {length}")
    if not fps > 0:
        raise ValueError(f"expected a positive frame rate, found {fps}")
