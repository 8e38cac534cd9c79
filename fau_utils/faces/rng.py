"""Counter-based random numbers: the same on every device, in every batch, in every order.

A value is a pure function of (seed, tag, position), made by the splitmix64 finaliser (Steele, Lea & Flood, 2014,
"Fast splittable pseudorandom number generators", OOPSLA) in wrapping int64 arithmetic. Integers are therefore exact on
CPU and GPU alike; the uniforms use the top 24 bits and are exact float32; normals pass through ``erfinv`` and can
differ in the last bits between devices.
"""

import math

import torch
from torch import Tensor


def _signed(value: int) -> int:
    # torch takes Python integers as signed 64 bit; the constants are written unsigned
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MULTIPLY_1 = _signed(0xBF58476D1CE4E5B9)
_MULTIPLY_2 = _signed(0x94D049BB133111EB)
_START = _signed(0xD1B54A32D192ED03)


def _scramble(z: Tensor) -> Tensor:
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _MULTIPLY_1  # >> keeps the sign, so mask it off
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _MULTIPLY_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))


def mix(*parts: Tensor | int) -> Tensor:
    """Hash integers into one int64; the order of the parts counts.

    Parameters
    ----------
    *parts : Tensor of int64, or int
        Broadcast against each other. At least one.

    Returns
    -------
    Tensor
        int64 of the broadcast shape (0-d, on the CPU, when all parts are Python integers).
    """
    if not parts:
        raise ValueError("mix needs at least one integer, found none")
    device = next((p.device for p in parts if isinstance(p, Tensor)), torch.device("cpu"))
    state = torch.full((), _START, dtype=torch.int64, device=device)
    for part in parts:
        if isinstance(part, Tensor):
            if part.dtype.is_floating_point:
                raise ValueError(f"expected integer seeds, found {part.dtype}; convert with .long()")
            part = part.long()
        else:
            part = _signed(part)
        state = _scramble((state ^ part) + _GOLDEN)
    return state


def _bits(seed: Tensor, tag: int, n: int) -> Tensor:
    if seed.ndim != 1:
        raise ValueError(f"expected seeds of shape (B,), found {tuple(seed.shape)}")
    counter = torch.arange(n, dtype=torch.int64, device=seed.device) * _GOLDEN
    return (_scramble(mix(seed, tag)[:, None] + counter) >> 40) & 0xFFFFFF


def uniform(seed: Tensor, tag: int, n: int) -> Tensor:
    """`n` uniforms in [0, 1) for each seed.

    Parameters
    ----------
    seed : Tensor
        (B,) int64.
    tag : int
        Says what the numbers are for; different tags give independent numbers for one seed.
    n : int
        How many.

    Returns
    -------
    Tensor
        (B, n) float32, multiples of 2^-24. The first m of n numbers do not depend on n.
    """
    return _bits(seed, tag, n).to(torch.float32) * 2.0**-24


def normal(seed: Tensor, tag: int, n: int) -> Tensor:
    """`n` standard normals for each seed: (B, n) float32, within about ±5.4; see `uniform`."""
    # the half step keeps the argument of erfinv away from ±1
    centred = (_bits(seed, tag, n).to(torch.float32) + 0.5) * 2.0**-23 - 1.0
    return torch.erfinv(centred.clamp_(-1 + 2.0**-23, 1 - 2.0**-23)) * math.sqrt(2.0)
