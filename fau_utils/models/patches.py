"""Images as sequences of square patches, and back."""

import torch
from torch import Tensor


def cut(image: Tensor, patch: int, keep: Tensor | None = None) -> Tensor:
    """Patches of an image; pixels of patches that are not kept are never read.

    Parameters
    ----------
    image : Tensor, (B, C, H, W)
        H and W are multiples of `patch`.
    patch : int
        Side p in pixels.
    keep : Tensor, (B, K) int64, optional
        Which patches, numbered row by row from the top left; all P of them by default.

    Returns
    -------
    Tensor, (B, K or P, C, p, p)
    """
    columns = image.shape[3] // patch
    grid = image.unflatten(3, (columns, patch)).unflatten(2, (image.shape[2] // patch, patch))
    grid = grid.permute(0, 2, 4, 1, 3, 5)  # (B, gh, gw, C, p, p)
    if keep is None:
        return grid.flatten(1, 2)
    face = torch.arange(len(image), device=image.device)[:, None]
    return grid[face, keep // columns, keep % columns]


def patchify(image: Tensor, patch: int, keep: Tensor | None = None) -> Tensor:
    """Patches as vectors, (B, K or P, p * p * C), colour fastest: the order of the published masked autoencoders."""
    return cut(image, patch, keep).permute(0, 1, 3, 4, 2).flatten(2)


def unpatchify(vectors: Tensor, patch: int, *, shape: tuple[int, int] | None = None) -> Tensor:
    """The image again, (B, C, H, W), from all its patches, (B, P, p * p * C).

    Parameters
    ----------
    vectors : Tensor, (B, P, p * p * C)
    patch : int
    shape : (int, int), optional
        H and W in pixels; a square by default.

    Raises
    ------
    ValueError
        When that many patches do not make such an image.
    """
    count = vectors.shape[1]
    side = round(count**0.5)
    rows, columns = (shape[0] // patch, shape[1] // patch) if shape else (side, side)
    if rows * columns != count:
        raise ValueError(f"expected {rows} x {columns} patches, found {count}; give the shape of the image in pixels")
    grid = vectors.unflatten(2, (patch, patch, -1)).unflatten(1, (rows, columns))  # (B, gh, gw, p, p, C)
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def shown(pixels: Tensor, keep: Tensor, patch: int) -> Tensor:
    """The image with zeros outside the patches kept, (B, C, H, W)."""
    rows, columns = pixels.shape[2] // patch, pixels.shape[3] // patch
    seen = pixels.new_zeros(len(pixels), rows * columns).scatter_(1, keep, 1.0).view(-1, 1, rows, columns)
    return pixels * seen.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
