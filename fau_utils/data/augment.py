"""Augmentation on the device, each face for itself.

torchvision's transforms draw once for a whole batch; here every face has its own draw, in one pass over the batch.
Flips and crops work on pixels uint8 as well, for a quarter of the cost; :func:`fau_utils.data.views.views` has them
done while faces are read. :func:`each` runs any other transform of torchvision face by face.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from fau_utils.batch import Batch
from fau_utils.faces import rng
from fau_utils.faces.landmarks import FLIP_49

_FLIP = 0x466C6970
"""Says what the random numbers are for."""


def flip(batch: Batch, flipped: Tensor) -> Batch:
    """Mirror some faces from left to right.

    AU labels have no side and stay; landmarks change places with their twins, patches with theirs.

    Parameters
    ----------
    batch : Batch
    flipped : Tensor, (B,) bool
        Which faces to mirror.
    """
    mirrored = batch.with_image(_mirrored(batch.image, flipped))
    if batch.landmarks is not None:
        mirrored.landmarks = flip_landmarks(batch.landmarks, flipped, width=batch.image.shape[-1])
    if batch.visible is not None:
        mirrored.visible = flip_patches(batch.visible, flipped)
    return mirrored


def flip_landmarks(landmarks: Tensor, flipped: Tensor, *, width: int) -> Tensor:
    """Landmarks, (B, 49, 2) px, of faces of which some are mirrored; each point becomes its twin."""
    points = landmarks.index_select(1, torch.tensor(FLIP_49, device=landmarks.device))
    # a pixel's centre has whole coordinates
    points = torch.stack([width - 1 - points[..., 0], points[..., 1]], dim=-1)
    return torch.where(flipped[:, None, None], points, landmarks)


def flip_patches(visible: Tensor, flipped: Tensor) -> Tensor:
    """Patches, (B, P) bool, of faces of which some are mirrored."""
    side = round(visible.shape[1] ** 0.5)
    mirrored = visible.unflatten(1, (side, side)).flip(-1).flatten(1)
    return torch.where(flipped[:, None], mirrored, visible)


def _mirrored(image: Tensor, flipped: Tensor) -> Tensor:
    if image.device.type != "cpu":
        return torch.where(flipped[:, None, None, None], image.flip(-1), image)
    # on a CPU only those that are mirrored cost anything; on a GPU looking which they are would make the host wait
    image = image.clone()
    for k in flipped.nonzero().flatten().tolist():
        image[k] = image[k].flip(-1)
    return image


def random_flip(batch: Batch, *, generator: torch.Generator) -> Batch:
    """Mirror each face with probability one half.

    `generator` lives on the device of the batch.
    """
    return flip(batch, torch.rand(len(batch), generator=generator, device=batch.image.device) < 0.5)


def seeded_flip(batch: Batch, *, seed: int, step: int) -> Batch:
    """Mirror each face with probability one half, decided by seed, step, and which frame of which clip it is.

    So the same faces are mirrored however many processes share a step, and after any interruption.
    """
    drawn = rng.uniform(rng.mix(batch.clip, batch.frame, seed, step), _FLIP, 1)  # (B, 1)
    return flip(batch, drawn[:, 0] < 0.5)


def crop(batch: Batch, corner: Tensor, *, size: int) -> Batch:
    """A square part of each face.

    Parameters
    ----------
    batch : Batch
        Without `visible`, which belongs to a grid over the whole picture.
    corner : Tensor, (B, 2) int64
        Left and top px of each part.
    size : int
        Side of the part in px.

    Raises
    ------
    ValueError
        A part larger than the picture, or a batch with a grid.
    """
    height, width = batch.image.shape[-2:]
    if size > min(height, width):
        raise ValueError(f"expected a part of at most {min(height, width)} px, found {size}")
    if batch.visible is not None:
        raise ValueError("cropping moves the patches under their grid: crop first, then hide patches")
    if batch.image.device.type == "cpu":
        last = batch.image.is_contiguous(memory_format=torch.channels_last)  # as decoders give them
        image = torch.empty(
            (*batch.image.shape[:2], size, size),
            dtype=batch.image.dtype,
            memory_format=torch.channels_last if last else torch.contiguous_format,
        )
        for part, whole, (left, top) in zip(image, batch.image, corner.tolist(), strict=True):
            part.copy_(whole[:, top : top + size, left : left + size])
    else:
        steps = torch.arange(size, device=corner.device)
        one, colour = (torch.arange(n, device=corner.device) for n in batch.image.shape[:2])
        rows, columns = corner[:, 1, None] + steps, corner[:, 0, None] + steps
        image = batch.image[
            one[:, None, None, None], colour[:, None, None], rows[:, None, :, None], columns[:, None, None]
        ]
    cropped = batch.with_image(image)
    if batch.landmarks is not None:
        cropped.landmarks = batch.landmarks - corner[:, None]
    return cropped


def random_crop(batch: Batch, *, size: int, generator: torch.Generator) -> Batch:
    """A part of each face at a random place, as JAA-Net (176 of 200 px) and ME-GraphAU (224 of 256 px) train on."""
    height, width = batch.image.shape[-2:]
    room = torch.tensor([width - size + 1, height - size + 1], device=batch.image.device)
    drawn = torch.rand(len(batch), 2, generator=generator, device=batch.image.device)
    return crop(batch, (drawn * room).long(), size=size)


def centre_crop(batch: Batch, *, size: int) -> Batch:
    """The middle of each face, for testing what was trained on random parts."""
    height, width = batch.image.shape[-2:]
    corner = torch.tensor([(width - size) // 2, (height - size) // 2], device=batch.image.device)
    return crop(batch, corner.expand(len(batch), 2), size=size)


def resized_crop(batch: Batch, box: Tensor, *, size: int) -> Batch:
    """A rectangle of each face, stretched to a square; bilinear, without averaging where it is made smaller.

    Parameters
    ----------
    batch : Batch
        Pixels as floats; without `visible`.
    box : Tensor, (B, 4) float32
        Left, top, width and height px.
    size : int
        Side of the result in px.
    """
    if batch.visible is not None:
        raise ValueError("cropping moves the patches under their grid: crop first, then hide patches")
    height, width = batch.image.shape[-2:]
    whole = box.new_tensor([width, height])
    scale = box[:, 2:] / whole
    shift = (2 * box[:, :2] + box[:, 2:]) / whole - 1
    theta = torch.cat([torch.diag_embed(scale), shift[..., None]], 2)  # (B, 2, 3)
    grid = F.affine_grid(theta, [len(batch), batch.image.shape[1], size, size], align_corners=False)
    cropped = batch.with_image(F.grid_sample(batch.image, grid, padding_mode="border", align_corners=False))
    if batch.landmarks is not None:
        # a pixel's centre has whole coordinates
        cropped.landmarks = (batch.landmarks + 0.5 - box[:, None, :2]) * (size / box[:, None, 2:]) - 0.5
    return cropped


def random_boxes(
    drawn: Tensor,
    *,
    height: int,
    width: int,
    area: tuple[float, float] = (0.2, 1),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Rectangles for :func:`resized_crop`; by default MAE's, which keep at least a fifth of the picture.

    A side that would be longer than the picture's is cut to it; torchvision draws again instead.

    Parameters
    ----------
    drawn : Tensor, (B, 4)
        Uniform in [0, 1): area, ratio of width to height, and place in both directions.
    height, width : int
        Of the pictures, px.
    area, aspect : pair of float
        Smallest and largest share of the picture, and ratio, the latter even on a logarithmic scale.

    Returns
    -------
    Tensor, (B, 4)
        Left, top, width and height px.
    """
    pixels = (area[0] + drawn[:, 0] * (area[1] - area[0])) * height * width
    low, high = (math.log(a) for a in aspect)
    ratio = torch.exp(low + drawn[:, 1] * (high - low))
    wide, tall = (pixels * ratio).sqrt().clamp(max=width), (pixels / ratio).sqrt().clamp(max=height)
    return torch.stack([drawn[:, 2] * (width - wide), drawn[:, 3] * (height - tall), wide, tall], 1)


def affine(batch: Batch, turn: Tensor, scale: Tensor) -> Batch:
    """Turn and enlarge each face about the picture's middle; what comes from outside is black.

    Parameters
    ----------
    batch : Batch
        Pixels as floats.
    turn : Tensor, (B,) float32
        rad, clockwise as the picture is seen.
    scale : Tensor, (B,) float32
    """
    if batch.visible is not None:
        raise ValueError("turning moves the patches under their grid: turn first, then hide patches")
    cos, sin = turn.cos() * scale, turn.sin() * scale
    forward = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], 1)  # (B, 2, 2)
    back = torch.linalg.inv(forward)
    height, width = batch.image.shape[-2:]
    shape = torch.tensor([width, height], device=turn.device, dtype=turn.dtype)
    theta = torch.cat([back * (shape / shape[:, None]), torch.zeros_like(back[..., :1])], 2)
    grid = F.affine_grid(theta, list(batch.image.shape), align_corners=False)
    moved = batch.with_image(F.grid_sample(batch.image, grid, align_corners=False))
    if batch.landmarks is not None:
        middle = (shape - 1) / 2
        moved.landmarks = (batch.landmarks - middle) @ forward.transpose(1, 2) + middle
    return moved


def random_affine(batch: Batch, *, degrees: float = 15, scale: float = 0.25, generator: torch.Generator) -> Batch:
    """Turn and enlarge each face at random; by default within AU-Net's 15 degrees and 25 per cent."""
    drawn = torch.rand(2, len(batch), generator=generator, device=batch.image.device) * 2 - 1
    return affine(batch, drawn[0] * math.radians(degrees), 1 + drawn[1] * scale)


def colour(batch: Batch, *, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Batch:
    """Change each face's brightness, then contrast, then saturation, by factors (B,) as in torchvision."""
    grey = batch.image.new_tensor([0.2989, 0.587, 0.114])[:, None, None]

    def blend(image: Tensor, other: Tensor, factor: Tensor) -> Tensor:
        return torch.lerp(other, image, factor[:, None, None, None]).clamp_(0, 1)

    image = blend(batch.image, torch.zeros_like(batch.image), brightness)
    image = blend(image, (image * grey).sum(1, keepdim=True).mean((2, 3), keepdim=True), contrast)
    return batch.with_image(blend(image, (image * grey).sum(1, keepdim=True), saturation))


def random_colour(batch: Batch, *, strength: float = 0.4, generator: torch.Generator) -> Batch:
    """Factors between 1 - strength and 1 + strength for each face; by default ME-GraphAU's, without hue."""
    factors = 1 + strength * (torch.rand(3, len(batch), generator=generator, device=batch.image.device) * 2 - 1)
    return colour(batch, brightness=factors[0], contrast=factors[1], saturation=factors[2])


def random_erasing(
    batch: Batch,
    *,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: float = 0.3,
    generator: torch.Generator,
) -> Batch:
    """Black out a rectangle of some faces, as in Zhong et al. (2020), "Random Erasing Data Augmentation", AAAI.

    Parameters
    ----------
    batch : Batch
    probability : float
        Of each face; FMAE's is 0.25.
    area : pair of float
        Smallest and largest share of the picture.
    aspect : float
        Smallest ratio of the sides; the largest is its inverse.
    generator : torch.Generator
    """
    height, width = batch.image.shape[-2:]
    device = batch.image.device
    drawn = torch.rand(5, len(batch), generator=generator, device=device)
    pixels = (area[0] + drawn[0] * (area[1] - area[0])) * height * width
    ratio = torch.exp((2 * drawn[1] - 1) * math.log(1 / aspect))
    high = (pixels * ratio).sqrt().clamp(max=height)
    wide = (pixels / ratio).sqrt().clamp(max=width)
    top, left = drawn[2] * (height - high), drawn[3] * (width - wide)
    y, x = (torch.arange(n, device=device)[None] for n in (height, width))
    rows = (y >= top[:, None]) & (y < (top + high)[:, None])
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
    hidden = rows[:, None, :, None] & columns[:, None, None, :] & (drawn[4] < probability)[:, None, None, None]
    return batch.with_image(batch.image.masked_fill(hidden, 0))


def each(batch: Batch, transform: Callable[[Tensor], Tensor], *, generator: torch.Generator) -> Batch:
    """Any transform of ``torchvision.transforms.v2`` that leaves geometry alone, with its own draw for each face.

    Slower than the functions above, since faces are handled one by one. The transform draws from torch's global
    generator; its state is put back afterwards.

    Parameters
    ----------
    batch : Batch
    transform : callable
        (3, H, W) to (3, H, W), e.g. ``v2.GaussianBlur(5)``.
    generator : torch.Generator
    """
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    devices = [batch.image.device] if batch.image.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return batch.with_image(torch.stack([transform(image) for image in batch.image]))
