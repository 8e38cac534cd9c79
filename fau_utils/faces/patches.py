"""Which patches of an image are hidden, at exact ratios, and what is painted there.

Nothing here knows how a face is drawn: the masks live on the patch grid (P = grid * grid patches, row-major) and
:func:`apply_patches` paints them on any image, rendered or photographed. All masks are pure functions of a seed,
so two arms of an experiment that ask with the same seeds are tested under the same masks.
"""

from typing import Literal

import torch
from torch import Tensor

from fau_utils.faces.names import nearest
from fau_utils.faces.rng import mix, uniform

BANDS: dict[str, tuple[float, float, float, float]] = {
    "upper": (0.0, 0.5, 0.0, 1.0),
    "lower": (0.5, 1.0, 0.0, 1.0),
    "left": (0.0, 1.0, 0.0, 0.5),
    "right": (0.0, 1.0, 0.5, 1.0),
    "eyes": (0.25, 0.5, 0.0, 1.0),
    "mouth": (0.625, 0.875, 0.0, 1.0),
}
"""Semantic blocks of an aligned face: top, bottom, left, right as shares of the image (left is the image's left).

The bands are those of the aligned crop, where eyes lie near 0.40 and the mouth near 0.72 of the height; they are
rounded outward to the patch grid.
"""

PATCH_KINDS: tuple[str, ...] = ("random", "block", *BANDS)
"""Everything :func:`hidden_patches` can hide."""

Fill = Literal["grey", "mean", "noise", "colour"]
FILLS: tuple[str, ...] = ("grey", "mean", "noise", "colour")
"""Named fills of :func:`apply_patches`."""

TEST_SEED = 2212_04029
"""Seed of :func:`fixed_masks`: one fixed set of masks for every arm and every method."""

# Streams of the counter-based generator: one per decision, so that no two decisions share numbers.
_SCORES, _BLOCK, _NOISE, _COLOUR = 9101, 9102, 9103, 9104


def patch_grid(size: int, *, patch: int) -> int:
    """Patches per side of a square image of `size` px cut into patches of `patch` px.

    Raises
    ------
    ValueError
        When the patch does not divide the image; nothing is cropped silently.
    """
    if patch < 1 or size % patch:
        raise ValueError(
            f"an image of {size} px cannot be cut into patches of {patch} px; resize the image or choose a patch "
            f"size that divides {size}"
        )
    return size // patch


def patch_count(ratio: float | Tensor, *, grid: int) -> Tensor:
    """Number of hidden patches for a ratio: ``round(ratio * grid**2)``, halves rounded up, int64.

    Raises
    ------
    ValueError
        When a ratio is outside [0, 1] or not a number. 0 hides nothing and 1 hides everything.
    """
    if grid < 1:
        raise ValueError(f"expected a grid of at least one patch per side, found {grid}")
    ratio = torch.as_tensor(ratio, dtype=torch.float64)
    # the negated form also catches nan
    if not bool(((ratio >= 0) & (ratio <= 1)).all()):
        raise ValueError(f"expected a hidden ratio in [0, 1], found {ratio.flatten().tolist()[:5]}")
    return (ratio * (grid * grid) + 0.5).floor().long()


def _counts(ratio: float | Tensor, seed: Tensor, grid: int) -> Tensor:
    return patch_count(ratio, grid=grid).to(seed.device).expand(len(seed))


def random_patches(seed: Tensor, *, ratio: float | Tensor, grid: int) -> Tensor:
    """Scattered patches, drawn without replacement.

    Parameters
    ----------
    seed : Tensor, (B,) int64
        One seed per image.
    ratio : float or Tensor, (B,)
        Share of patches to hide; exactly ``round(ratio * P)`` are hidden in each row.
    grid : int
        Patches per side, P = grid².

    Returns
    -------
    Tensor, (B, P) bool
        True where the patch is hidden. For one seed the patches hidden at a smaller ratio stay hidden at a larger
        one, so a curve over ratios compares nested masks.
    """
    scores = uniform(seed, _SCORES, grid * grid)
    order = scores.argsort(dim=1, stable=True)  # stable: equal scores must fall alike on every device
    place = torch.arange(grid * grid, device=seed.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, place)
    return rank < _counts(ratio, seed, grid)[:, None]


def block(seed: Tensor, *, ratio: float | Tensor, grid: int) -> Tensor:
    """One connected block of exactly ``round(ratio * P)`` patches at a random place.

    Its side ratio lies between 1/2 and 2 where the grid allows. When no rectangle has exactly the wanted area, the
    first or the last row of the rectangle is incomplete: the ratio is exact, the shape is nearly a rectangle.

    Parameters
    ----------
    seed : Tensor, (B,) int64
    ratio : float or Tensor, (B,)
    grid : int
        Patches per side.

    Returns
    -------
    Tensor, (B, P) bool
        True where the patch is hidden.
    """
    n = _counts(ratio, seed, grid)
    u = uniform(seed, _BLOCK, 5).double()
    least = -(-n // grid)  # fewest rows that can hold n patches
    wanted = (n.double() * 2 ** (2 * u[:, 0] - 1)).sqrt().round().long()
    rows = wanted.clamp(max=grid).maximum(least).clamp(min=1)
    columns = -(-n // rows).clamp(max=grid)
    columns = columns.clamp(min=1)
    rows = -(-n // columns)  # no empty row
    top = (u[:, 1] * (grid - rows + 1)).long()
    left = (u[:, 2] * (grid - columns + 1)).long()
    line = torch.arange(grid, device=seed.device)
    r = line[None, :] - top[:, None]
    c = line[None, :] - left[:, None]
    inside = ((r >= 0) & (r < rows[:, None]))[:, :, None] & ((c >= 0) & (c < columns[:, None]))[:, None, :]
    r = torch.where(u[:, 3:4] < 0.5, rows[:, None] - 1 - r, r)
    c = torch.where(u[:, 4:5] < 0.5, columns[:, None] - 1 - c, c)
    number = r[:, :, None] * columns[:, None, None] + c[:, None, :]
    return (inside & (number < n[:, None, None])).flatten(1)


def band(name: str, *, grid: int) -> Tensor:
    """A semantic block: a half of the image, or the band of the eyes or of the mouth.

    Parameters
    ----------
    name : str
        One of :data:`BANDS`.
    grid : int
        Patches per side; edges that fall inside a patch are rounded outward.

    Returns
    -------
    Tensor, (P,) bool
        True where the patch is hidden.
    """
    top, bottom, left, right = BANDS[nearest(name, tuple(BANDS), what="band")]
    first = torch.arange(grid, dtype=torch.float64) / grid
    last = first + 1.0 / grid
    small = 1e-9
    rows = (last > top + small) & (first < bottom - small)
    columns = (last > left + small) & (first < right - small)
    return (rows[:, None] & columns[None, :]).flatten()


def hidden_patches(kind: str, seed: Tensor, *, grid: int, ratio: float | Tensor | None = None) -> Tensor:
    """Hidden patches of any kind in :data:`PATCH_KINDS`.

    Parameters
    ----------
    kind : str
        ``"random"`` and ``"block"`` need a `ratio`; the bands have their own and take none.
    seed : Tensor, (B,) int64
    grid : int
    ratio : float or Tensor, optional

    Returns
    -------
    Tensor, (B, P) bool

    Raises
    ------
    ValueError
        For an unknown kind (lists the valid ones and the most similar), a ratio that is missing, not wanted or
        outside [0, 1].
    """
    nearest(kind, PATCH_KINDS, what="patch mask")
    if kind in BANDS:
        if ratio is not None:
            raise ValueError(f"the band {kind!r} has a fixed area; pass ratio=None, found {ratio}")
        return band(kind, grid=grid).to(seed.device).expand(len(seed), -1).clone()
    if ratio is None:
        raise ValueError(f"{kind!r} needs a ratio in [0, 1], found None")
    return {"random": random_patches, "block": block}[kind](seed, ratio=ratio, grid=grid)


def fixed_masks(count: int, *, kind: str, grid: int, ratio: float | None = None, draw: int = 0) -> Tensor:
    """The fixed masks of a test set: row i depends on i, `kind`, `ratio` and `draw` alone.

    Every arm and every method that asks for them gets the same ones, on any device and for any batch size.

    Parameters
    ----------
    count : int
        Number of test images.
    kind, grid, ratio
        As in :func:`hidden_patches`.
    draw : int
        Which of several independent sets.

    Returns
    -------
    Tensor, (count, P) bool
    """
    seed = mix(TEST_SEED, draw, torch.arange(count))
    return hidden_patches(kind, seed, grid=grid, ratio=ratio)


def patches_to_pixels(hidden: Tensor, *, size: int) -> Tensor:
    """The same mask in pixels.

    Parameters
    ----------
    hidden : Tensor, (B, P) bool
        P must be a square number whose root divides `size`.
    size : int
        Image height and width in px.

    Returns
    -------
    Tensor, (B, size, size) bool
    """
    patches = hidden.shape[1]
    grid = round(patches**0.5)
    if grid * grid != patches:
        raise ValueError(f"expected a square number of patches, found {patches}")
    if size % grid:
        raise ValueError(
            f"an image of {size} px has no {grid} x {grid} patch grid; resize it or choose a grid that divides {size}"
        )
    side = size // grid
    mask = hidden.view(-1, grid, 1, grid, 1).expand(-1, -1, side, -1, side)
    return mask.reshape(-1, size, size)


def pixels_to_patches(mask: Tensor, *, grid: int, share: float = 0.5) -> Tensor:
    """Patches of which at least `share` of the pixels are hidden.

    Parameters
    ----------
    mask : Tensor, (B, H, H) bool
    grid : int
        Patches per side.
    share : float
        In (0, 1]; 0.5 calls a patch hidden when half of it is.

    Returns
    -------
    Tensor, (B, P) bool
    """
    size = mask.shape[-1]
    if size % grid:
        raise ValueError(
            f"an image of {size} px has no {grid} x {grid} patch grid; resize it or choose a grid that divides {size}"
        )
    side = size // grid
    area = mask.float().view(-1, grid, side, grid, side).mean(dim=(2, 4))
    return (area >= share).flatten(1)


def apply_patches(image: Tensor, hidden: Tensor, *, fill: Fill | Tensor = "grey", seed: Tensor | None = None) -> Tensor:
    """Paint the hidden patches of any image.

    Parameters
    ----------
    image : Tensor, (B, 3, H, H) float32 in [0, 1], or uint8
    hidden : Tensor, (B, P) bool
    fill : {"grey", "mean", "noise", "colour"} or Tensor
        Mid grey; the mean colour of what stays visible (grey where nothing does); independent noise per pixel; one
        colour per patch; or a picture, broadcast to the images and of their dtype (such as the mean training face).
    seed : Tensor, (B,) int64, optional
        Needed by ``"noise"`` and ``"colour"``.

    Returns
    -------
    Tensor, like `image`
        The visible pixels are returned bit for bit; with everything hidden the result is the fill alone.

    Raises
    ------
    ValueError
        For an unknown fill, a missing seed, or an image the patch grid does not divide.
    """
    if image.ndim != 4 or image.shape[-1] != image.shape[-2]:
        raise ValueError(f"expected square images (B, 3, H, H), found {tuple(image.shape)}")
    if len(hidden) != len(image):
        raise ValueError(f"expected one mask per image, found {len(hidden)} masks for {len(image)} images")
    mask = patches_to_pixels(hidden, size=image.shape[-1])[:, None]
    if isinstance(fill, Tensor):
        return torch.where(mask, fill.to(image.device, image.dtype), image)
    nearest(fill, FILLS, what="fill")
    paint = _fill(image, mask, hidden, fill, seed)
    if not image.is_floating_point():
        paint = (paint * 255).round()
    return torch.where(mask, paint.to(image.dtype), image)


def _fill(image: Tensor, mask: Tensor, hidden: Tensor, fill: str, seed: Tensor | None) -> Tensor:
    batch, channels, size, _ = image.shape
    if fill == "grey":
        return image.new_full((1, 1, 1, 1), 0.5, dtype=torch.float32)
    if fill == "mean":
        scaled = image.float() if image.is_floating_point() else image.float() / 255
        visible = (~mask).sum(dim=(2, 3), keepdim=True)
        mean = (scaled * ~mask).sum(dim=(2, 3), keepdim=True) / visible.clamp(min=1)
        return torch.where(visible > 0, mean, 0.5)
    if seed is None:
        raise ValueError(f"fill={fill!r} needs a seed (B,) so that it can be repeated")
    if fill == "noise":
        return uniform(seed, _NOISE, channels * size * size).view(batch, channels, size, size)
    grid = round(hidden.shape[1] ** 0.5)
    colour = uniform(seed, _COLOUR, channels * grid * grid).view(batch, channels, grid, grid)
    return colour.repeat_interleave(size // grid, dim=2).repeat_interleave(size // grid, dim=3)


def hidden_share(support: Tensor, mask: Tensor) -> Tensor:
    """How much of each AU's support is hidden.

    Parameters
    ----------
    support : Tensor, (B, A, H, H) bool
        Pixels where an AU can change the image.
    mask : Tensor, (B, H, H) bool
        Hidden pixels.

    Returns
    -------
    Tensor, (B, A) float32 in [0, 1]
        ``nan`` for an AU without support in the picture.
    """
    total = support.flatten(2).sum(2).float()
    covered = (support & mask[:, None]).flatten(2).sum(2).float()
    return torch.where(total > 0, covered / total.clamp(min=1), torch.nan)
