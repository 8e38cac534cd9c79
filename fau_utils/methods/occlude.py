"""Hiding parts of any faces at random, each at a ratio of its own: the transform that occlusion training uses."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.faces.names import nearest
from fau_utils.faces.patches import BANDS, FILLS, PATCH_KINDS, apply_patches, hidden_patches, patch_count, patch_grid
from fau_utils.faces.rng import uniform

_CHOICE = 9105


@dataclass(frozen=True)
class Occlude:
    """What is hidden in training: scattered patches or one block, at ratios between two ends.

    Attributes
    ----------
    kinds : tuple of str
        Of :data:`~fau_utils.faces.patches.PATCH_KINDS`, each equally likely for each face.
    low, high : float
        Ends of the hidden share of ``random`` and ``block``; each face draws its own, uniformly. Bands have theirs.
    clean : float
        Share of the faces that are left in full view.
    patch : int
        Side of a patch in pixels.
    fill : str
        What is painted, one of :data:`~fau_utils.faces.patches.FILLS`.

    Raises
    ------
    ValueError
        An unknown kind or fill (with the nearest known one), or a number outside [0, 1].
    """

    kinds: tuple[str, ...] = ("random", "block")
    low: float = 0.0
    high: float = 0.75
    clean: float = 0.0
    patch: int = 8
    fill: str = "grey"

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("expected at least one kind of occlusion; use high=0 to hide nothing")
        for kind in self.kinds:
            nearest(kind, PATCH_KINDS, what="patch mask")
        nearest(self.fill, FILLS, what="fill")
        patch_count(torch.tensor([self.low, self.high, self.clean]), grid=1)
        if self.low > self.high:
            raise ValueError(f"expected low <= high, found {self.low} and {self.high}")

    def masks(self, seed: Tensor, *, grid: int) -> Tensor:
        """Hidden patches, (B, P) bool, each row a pure function of its seed, (B,) int64."""
        u = uniform(seed, _CHOICE, 3)
        ratio = self.low + (self.high - self.low) * u[:, 0]
        kind = (u[:, 1] * len(self.kinds)).long().clamp(max=len(self.kinds) - 1)
        hidden = torch.zeros(len(seed), grid * grid, dtype=torch.bool, device=seed.device)
        for number, name in enumerate(self.kinds):
            found = hidden_patches(name, seed, grid=grid, ratio=None if name in BANDS else ratio)
            hidden = torch.where((kind == number)[:, None], found, hidden)
        return hidden & (u[:, 2] >= self.clean)[:, None]

    def draw(self, count: int, *, grid: int) -> Tensor:
        """Masks for so many faces by torch's global random numbers, on the CPU: no device has to be waited for."""
        return self.masks(torch.randint(1 << 62, (count,)), grid=grid)

    def __call__(self, batch: Batch, *, seed: Tensor | None = None) -> Batch:
        """The batch with occluded faces, and `visible` saying what can be seen.

        Parameters
        ----------
        batch : Batch
            With square images that the patch divides; what is not visible already stays so.
        seed : Tensor, (B,) int64, optional
            By default drawn by torch's global random numbers.
        """
        grid = patch_grid(batch.image.shape[-1], patch=self.patch)
        hidden = self.draw(len(batch), grid=grid) if seed is None else self.masks(seed, grid=grid)
        return occluded(batch, hidden, fill=self.fill)


def occluded(batch: Batch, hidden: Tensor, *, fill: str | Tensor = "grey", seed: Tensor | None = None) -> Batch:
    """Some faces with patches painted over and marked as not visible.

    Parameters
    ----------
    batch : Batch
    hidden : Tensor, (B, P) bool
        On any device.
    fill, seed
        As :func:`~fau_utils.faces.patches.apply_patches`; noise and colours are drawn anew where there is no seed.
    """
    hidden = hidden.to(batch.image.device, non_blocking=True)
    if isinstance(fill, str) and fill in ("noise", "colour") and seed is None:
        seed = torch.randint(1 << 62, (len(batch),)).to(batch.image.device, non_blocking=True)
    made = batch.with_image(apply_patches(batch.image, hidden, fill=fill, seed=seed))
    grid = round(hidden.shape[1] ** 0.5)
    made.visible = ~hidden if batch.visible is None else ~(hidden | on_grid(~batch.visible, grid=grid))
    return made


def on_grid(hidden: Tensor, *, grid: int) -> Tensor:
    """The same mask on another grid, (B, grid * grid) bool: a larger patch is hidden where at least half of it is.

    Parameters
    ----------
    hidden : Tensor, (B, P) bool
    grid : int
        Patches per side; divides, or is divided by, that of the mask.

    Raises
    ------
    ValueError
        When neither divides the other.
    """
    now = round(hidden.shape[1] ** 0.5)
    if now == grid:
        return hidden
    if now * now != hidden.shape[1] or max(now, grid) % min(now, grid):
        raise ValueError(
            f"expected a mask whose grid fits to one of {grid} x {grid} patches, found {hidden.shape[1]} patches; "
            f"make it with grid={grid}"
        )
    square = hidden.unflatten(1, (now, now))
    if now < grid:
        return square.repeat_interleave(grid // now, 1).repeat_interleave(grid // now, 2).flatten(1)
    side = now // grid
    share = square.unflatten(2, (grid, side)).unflatten(1, (grid, side)).float().mean((2, 4))
    return (share >= 0.5).flatten(1)
