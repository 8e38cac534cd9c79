"""Who and when, for the reference renderer: counter-based randomness, identity and nuisance.

Sections 1.3 and 1.4 of the specification of the synthetic faces; ranges of colours and of the nuisance, which it
leaves open, are chosen by eye.
"""

import math

import torch
from torch import Tensor

SHAPES, LAYOUTS, UNIFORMS = 27, 20, 19


def _signed(c: int) -> int:
    return c - (1 << 64) if c >= 1 << 63 else c


C0, C1, C2, C3 = map(_signed, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD1B54A32D192ED03))


def mix(z: Tensor) -> Tensor:
    """splitmix64's finaliser on int64; the masks make the arithmetic shifts logical ones."""
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * C1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * C2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def uniform(seed: Tensor, tag: int, n: int) -> Tensor:
    """(B,) int64 seeds to (B, n) float32 in [0, 1)."""
    k = torch.arange(n, device=seed.device)
    z = mix(mix(seed * C3 + _signed(tag * C0 % (1 << 64)))[:, None] + k * C0)
    return ((z >> 40) & 0xFFFFFF).float() * 2.0**-24


def normal(seed: Tensor, tag: int, n: int) -> Tensor:
    """(B,) int64 seeds to (B, n) float32 standard normals."""
    return math.sqrt(2) * torch.erfinv((2 * uniform(seed, tag, n) - 1).clamp(-0.999999, 0.999999))


HAIR = ((0.07, 0.06, 0.06), (0.22, 0.14, 0.09), (0.42, 0.25, 0.13), (0.60, 0.27, 0.12), (0.80, 0.66, 0.38),
        (0.58, 0.58, 0.60))  # fmt: skip
IRIS = ((0.20, 0.12, 0.07), (0.36, 0.24, 0.12), (0.30, 0.36, 0.20), (0.25, 0.42, 0.65), (0.45, 0.52, 0.56))


def sample_identity(seed: Tensor) -> dict[str, Tensor]:
    """Shape coefficients, layout, albedo and expressivity of the people with these (B,) int64 seeds."""
    shape = normal(seed, 1, SHAPES).clamp(-2.2, 2.2)
    shape[:, 16:21] = shape[:, 16:21].abs()  # static wrinkles are never bulges
    u = uniform(seed, 3, UNIFORMS)
    light, dark = u.new_tensor([0.93, 0.75, 0.66]), u.new_tensor([0.33, 0.21, 0.16])
    tint = 0.05 * (u[:, 1:2] - 0.5) * u.new_tensor([1.0, 0.0, -1.0])
    hair, iris = u.new_tensor(HAIR), u.new_tensor(IRIS)
    return {
        "shape": shape,
        "layout": normal(seed, 2, LAYOUTS).clamp(-2.2, 2.2),
        "u": u,
        "skin": light + (dark - light) * u[:, 0:1] + tint,
        "hair": hair[(u[:, 2] * len(HAIR)).long()],
        "iris": iris[(u[:, 6] * len(IRIS)).long()],
        "gain": torch.exp(0.22 * normal(seed, 4, 16).clamp(-2.2, 2.2)),
        "asymmetry": 0.15 * normal(seed, 5, 16).clamp(-2.2, 2.2),
    }


def sample_nuisance(seed: Tensor, level: float = 0.5) -> dict[str, Tensor]:
    """Pose, gaze, blink, light and camera of the frames with these (B,) int64 seeds, in the lab style."""
    n, u = normal(seed, 11, 16).clamp(-2.2, 2.2) * level, uniform(seed, 12, 12)
    azimuth, height = 0.7 * n[:, 5], 0.5 + 0.3 * n[:, 6]
    light = torch.stack([azimuth.sin() * height.cos(), height.sin(), azimuth.cos() * height.cos()], 1)
    return {
        "seed": seed,
        "pose": n[:, 0:3] * n.new_tensor([0.22, 0.13, 0.09]),
        "gaze": 0.025 * n[:, 3:5],
        "blink": ((u[:, 0] - 0.9) * 10).clamp(0, 1) * level,
        "light": light,
        "fill": torch.stack([-light[:, 0], 0.3 + 0 * light[:, 1], light[:, 2]], 1),
        "levels": torch.stack([0.42 + 0.06 * n[:, 7], 0.62 + 0.08 * n[:, 8], 0.14 + 0.04 * n[:, 9]], 1),
        "scale": 1 + 0.04 * n[:, 10],
        "shift": 0.02 * n[:, 11:13],
        "exposure": 1 + 0.10 * n[:, 13],
        "gamma": 1 + 0.10 * n[:, 14],
        "white": 1 + 0.05 * level * (u[:, 1:4] - 0.5),
        "blur": 0.6 * level * u[:, 4],
        "noise": 0.02 + 0.03 * level * u[:, 5],
        "back": 0.42 + 0.2 * (u[:, 6:7] - 0.5) + 0.04 * (u[:, 7:10] - 0.5),
    }
