"""Encoding only what is visible, when each face of a batch shows another number of patches.

A masked autoencoder is trained with the same number of visible patches in every face; an occluder leaves another
number in each. Faces are sorted by that number and cut into a few groups; each group is padded to its own most, and
attention leaves the padding out. One group is padding to the most of the batch, as many groups as faces is no padding
at all; between them lies the fastest (measured in ``benchmarks/experiments/occlusion_mae.py --part cost``).

A padded place repeats a visible patch, so that no pixel of a hidden one is read anywhere, not even by a batch norm.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from fau_utils.models.vit import ViT

GROUPS = 4
"""Groups of a batch; more than this gains little."""


class VisibleTokens(NamedTuple):
    """Latents of the visible patches.

    Attributes
    ----------
    tokens : Tensor, (B, K, D)
        K is the largest number of visible patches; zero where padded.
    valid : Tensor, (B, K) bool
        False where padded; nowhere True for a face that is fully hidden.
    keep : Tensor, (B, K) int64
        Place of each token on the grid.
    """

    tokens: Tensor
    valid: Tensor
    keep: Tensor


def visible_first(hidden: Tensor, *, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Places of the visible patches in front, (B, K) int64, and which of them count, (B, K) bool.

    Parameters
    ----------
    hidden : Tensor, (B, P) bool
    most : int, optional
        K; by default the largest number of visible patches, at least 1. Asking for it makes the host wait for a
        device.
    """
    count = (~hidden).sum(1, keepdim=True)  # (B, 1)
    most = max(1, int(count.max())) if most is None else most
    keep = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    valid = torch.arange(most, device=hidden.device) < count
    return torch.where(valid, keep, keep[:, :1]), valid


def encode_visible(encoder: ViT, image: Tensor, hidden: Tensor, *, groups: int = GROUPS) -> VisibleTokens:
    """Encode the visible patches of each face.

    Parameters
    ----------
    encoder : ViT
    image : Tensor, (B, 3, size, size)
        About zero. What hidden patches show makes no difference.
    hidden : Tensor, (B, P) bool
        On the CPU, where possible: then nobody waits for a device.
    groups : int
        At least 1.

    Returns
    -------
    VisibleTokens
        The same for any number of groups, up to rounding (in training, batch norms of a stem see repeated patches, and
        so a little different statistics).

    Raises
    ------
    ValueError
        When the mask is of another grid, or `groups` is not positive.
    """
    check_grid(encoder, hidden)
    if groups < 1:
        raise ValueError(f"expected at least one group, found {groups}")
    device = image.device
    count = (~hidden).sum(1)
    order = count.argsort(descending=True, stable=True)
    ranked = count[order].tolist()  # one look at the mask; no wait where it is on the CPU
    alike = ranked[0] == ranked[-1]  # nothing would be padded, nothing is gained
    size = len(order) if alike else -(-len(order) // min(groups, len(order)))
    image = without(image, hidden.to(device, non_blocking=True), patch=encoder.patch)
    most = max(1, ranked[0])
    tokens, kept, shown = [], [], []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        keep, valid = visible_first(hidden[rows], most=max(1, ranked[start]))
        full = ranked[min(start + size, len(order)) - 1] == keep.shape[1]  # nothing is padded
        keep, valid = keep.to(device, non_blocking=True), valid.to(device, non_blocking=True)
        one = image[rows.to(device, non_blocking=True)]
        found = tokens_of(encoder, one, keep, None if full else valid)
        found = found if full else found * valid[..., None]
        short = most - keep.shape[1]
        tokens.append(functional.pad(found, (0, 0, 0, short)))
        kept.append(functional.pad(keep, (0, short)))
        shown.append(functional.pad(valid, (0, short)))
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    back = back.to(device, non_blocking=True)
    return VisibleTokens(torch.cat(tokens)[back], torch.cat(shown)[back], torch.cat(kept)[back])


def without(image: Tensor, hidden: Tensor, *, patch: int) -> Tensor:
    """The image with zeros in hidden patches, (B, 3, H, W): no stem, however wide it looks, reads what they show."""
    rows, columns = image.shape[2] // patch, image.shape[3] // patch
    grid = hidden.view(-1, 1, rows, columns)
    return image.masked_fill(grid.repeat_interleave(patch, 2).repeat_interleave(patch, 3), 0.0)


def tokens_of(encoder: ViT, image: Tensor, keep: Tensor, valid: Tensor | None = None) -> Tensor:
    """Tokens of patches after the last norm, without that of the class, (B, K, D).

    As :meth:`ViT.tokens`, with tokens that nobody attends to where `valid`, (B, K) bool, is False.
    """
    if valid is None:
        return encoder.tokens(image, keep)[:, encoder.first :]
    if encoder.stem == "conv":
        x = encoder.patch_embed(image)  # its hidden pixels are zero already
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
    else:
        x = encoder.patch_embed(image, keep)
    x = x + functional.embedding(keep, encoder.pos_embed[0, encoder.first :])
    # a face of which nothing is seen attends to a patch of zeros, which then does not count
    asked = valid | (torch.arange(valid.shape[1], device=valid.device) == 0)
    if encoder.first:
        cls = encoder.cls_token + encoder.pos_embed[:, :1]
        x = torch.cat([cls.expand(len(x), -1, -1).to(x.dtype), x], 1)
        asked = functional.pad(asked, (1, 0), value=True)
    for block in encoder.blocks:
        x = block(x, attn_mask=asked[:, None, None])
    return encoder.norm(x)[:, encoder.first :]


def check_grid(encoder: ViT, hidden: Tensor) -> None:
    """Refuse a mask that is not of the encoder's grid.

    Raises
    ------
    ValueError
    """
    if hidden.shape[1] != encoder.patches:
        raise ValueError(
            f"expected a mask of {encoder.grid} x {encoder.grid} patches of {encoder.patch} px, found "
            f"{hidden.shape[1]} patches; make it with grid={encoder.grid}"
        )
