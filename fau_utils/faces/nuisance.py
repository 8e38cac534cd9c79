"""Everything about a frame that is neither who nor which movement: pose, gaze, blink, light, camera, style."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from fau_utils.faces import rng

_POSE, _EYES, _LIGHT, _CAMERA, _STYLE = range(0x2A00, 0x2A05)  # tags of the random streams


@dataclass(frozen=True)
class Nuisance:
    """B frames. Indexing with anything that indexes a tensor's first axis gives those frames.

    All fields but `seed` are float32 and continuous: linear interpolation between two frames is a valid frame.

    Attributes
    ----------
    seed : Tensor
        (B,) int64, for sensor noise and backdrop.
    pose : Tensor
        (B, 3) yaw (positive: towards the right of the picture), pitch (positive: down), roll (positive: counter-
        clockwise in the picture), rad.
    gaze : Tensor
        (B, 2) yaw and pitch of the eyes relative to the head, rad, same signs as the pose.
    blink : Tensor
        (B,) 0 open .. 1 closed (AU 43/45).
    light : Tensor
        (B, 3) unit vector towards the key light, x right, y up, z towards the camera.
    key, ambient, fill : Tensor
        (B,) strengths of the key light, the sky and the light opposite to the key.
    light_colour : Tensor
        (B, 3) colour of the key light, mean 1.
    zoom : Tensor
        (B,) camera scale relative to the default.
    shift : Tensor
        (B, 2) translation of the head, fraction of the image side, x right and y down.
    exposure, gamma : Tensor
        (B,) exposure factor and exponent.
    white : Tensor
        (B, 3) white-balance factors.
    blur : Tensor
        (B,) standard deviation of the blur, in 1/64 of the image side.
    noise : Tensor
        (B,) standard deviation of the sensor noise, in units of the image range [0, 1].
    wild : Tensor
        (B,) 0 = plain laboratory backdrop .. 1 = cluttered.
    """

    seed: Tensor
    pose: Tensor
    gaze: Tensor
    blink: Tensor
    light: Tensor
    key: Tensor
    ambient: Tensor
    fill: Tensor
    light_colour: Tensor
    zoom: Tensor
    shift: Tensor
    exposure: Tensor
    gamma: Tensor
    white: Tensor
    blur: Tensor
    noise: Tensor
    wild: Tensor

    def __len__(self) -> int:
        return len(self.seed)

    def __getitem__(self, index) -> "Nuisance":
        return Nuisance(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> "Nuisance":
        """The same frames on another device."""
        return Nuisance(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def sample_nuisance(frame_seed: Tensor, *, level: float | Tensor = 0.5, wild: float | Tensor = 0.0) -> Nuisance:
    """Frames from seeds.

    Parameters
    ----------
    frame_seed : Tensor
        (B,) int64, one per frame (mix the subject's seed, the frame number and the split with `rng.mix`).
    level : float or (B,) Tensor
        Amount of every nuisance, >= 0: 0 = frontal, open eyes, one light and no noise; 1 = yaw of 14 degrees (standard
        deviation).
    wild : float or (B,) Tensor
        Domain style, 0 = laboratory .. 1 = in the wild: wider pose, harder and coloured light, clutter, blur, noise.

    Returns
    -------
    Nuisance
        On the device of the seeds.
    """
    seed = frame_seed
    level = torch.as_tensor(level, dtype=torch.float32, device=seed.device).expand(len(seed))
    wild = torch.as_tensor(wild, dtype=torch.float32, device=seed.device).expand(len(seed))
    if bool((level < 0).any()) or bool((wild < 0).any()) or bool((wild > 1).any()):
        raise ValueError("expected level >= 0 and wild in [0, 1], found values outside")
    more, column = 1 + wild, level[:, None]

    pose = rng.normal(seed, _POSE, 3).clamp_(-2.3, 2.3)
    pose = pose * pose.new_tensor([0.24, 0.14, 0.09]) * (column * (1 + 0.7 * wild[:, None]))
    eyes = rng.normal(seed, _EYES, 3)
    closing = rng.uniform(seed, _EYES + 0x100, 2)
    # most frames have open eyes; a few per cent are caught in a blink
    blink = torch.where(closing[:, 0] < 0.05, 0.4 + 0.6 * closing[:, 1], 0.12 * closing[:, 1]) * level.clamp(max=1)

    light = rng.normal(seed, _LIGHT, 8).clamp_(-2.2, 2.2)
    azimuth = 0.35 + light[:, 0] * 0.55 * level * more
    height = 0.55 + light[:, 1] * 0.22 * level
    direction = torch.stack([height.cos() * azimuth.sin(), height.sin(), height.cos() * azimuth.cos()], 1)
    colour = 1 + 0.035 * column * more[:, None] * torch.stack([light[:, 2], 0.2 * light[:, 3], -light[:, 2]], 1)

    camera = rng.normal(seed, _CAMERA, 10).clamp_(-2.2, 2.2)
    style = rng.uniform(seed, _STYLE, 4)
    white = 1 + 0.02 * column * more[:, None] * torch.stack([camera[:, 6], 0.3 * camera[:, 7], -camera[:, 6]], 1)
    return Nuisance(
        seed=seed,
        pose=pose,
        gaze=(eyes[:, :2] * column * eyes.new_tensor([0.18, 0.09])).clamp(-0.6, 0.6),
        blink=blink,
        light=direction,
        key=0.78 * (1 + 0.12 * level * more * light[:, 4]) * (1 + 0.25 * wild * (style[:, 1] - 0.3)),
        ambient=0.46 * (1 + 0.10 * level * light[:, 5]) * (1 - 0.35 * wild * style[:, 0]),
        fill=(0.16 + 0.05 * level * light[:, 6]).clamp(min=0.02),
        light_colour=colour,
        zoom=torch.exp(0.05 * level * more * camera[:, 0]),
        shift=0.018 * column * more[:, None] * camera[:, 1:3],
        exposure=torch.exp(0.09 * level * more * camera[:, 3]),
        gamma=torch.exp(0.05 * level * more * camera[:, 4]),
        white=white,
        blur=0.25 * level.clamp(max=1) * style[:, 2] + 0.85 * wild * style[:, 2] ** 2,
        noise=(0.007 * level + 0.03 * wild * style[:, 3] ** 2).clamp(min=0),
        wild=wild.clone(),
    )
