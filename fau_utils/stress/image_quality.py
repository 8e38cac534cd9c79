"""How scores fall when pictures get worse: fewer pixels, blur, noise, JPEG; the same pixels for every method.

Each level is exact and each row has its own fixed noise, so that two methods, devices or batch sizes see one picture.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import gaussian_blur

from fau_utils import metrics
from fau_utils.data.images import ImageSet
from fau_utils.faces.names import nearest
from fau_utils.faces.rng import mix, normal
from fau_utils.methods.contract import Method
from fau_utils.metrics.calibration import ece_per_au
from fau_utils.progress import progress
from fau_utils.training.device import resolve
from fau_utils.training.evaluate import Predictions, predict

LEVELS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"resolution": (32, 16, 12, 8), "blur": (0.5, 1, 2, 3), "noise": (8, 16, 32, 64), "jpeg": (50, 25, 10, 5)}
)
"""Levels at which methods are compared on faces of 64 px, from mild to severe.

``resolution``: pixels per side that are left, enlarged again to the size the method expects (antialiased, bilinear).
``blur``: standard deviation of a Gaussian in px. ``noise``: standard deviation in grey levels of 0 to 255, each pixel
and colour by itself. ``jpeg``: quality, 1 to 100, as Pillow writes it, colours at half the resolution.
"""

_ROWS = 512
_NOISE = 9801


def checked_level(kind: str, level: float, *, size: int) -> float:
    """The level, if it is one of that kind for pictures of `size` px.

    Raises
    ------
    ValueError
        An unknown kind, or a level outside its range; the range is named.
    """
    nearest(kind, tuple(LEVELS), what="kind of picture damage")
    level = float(level)
    low, high, whole, unit = {
        "resolution": (1, size, True, f"whole px per side, at most the picture's {size}"),
        "blur": (0, size / 4, False, f"px, at most a quarter of the picture's {size}"),
        "noise": (0, 255, False, "grey levels"),
        "jpeg": (1, 100, True, "a whole JPEG quality"),
    }[kind]
    if not low <= level <= high or (whole and level != int(level)):  # nan fails the first comparison
        raise ValueError(f"{kind}: expected a level from {low:g} to {high:g} ({unit}), found {level:g}")
    return level


def degrade(images: Tensor, kind: str, level: float, *, seed: Tensor) -> Tensor:
    """Pictures with one kind of damage.

    Parameters
    ----------
    images : Tensor, (N, 3, H, H) uint8
        On any device; JPEG is coded on the CPU, so that its bytes are the same everywhere.
    kind : str
        One of :data:`LEVELS`.
    level : float
        Exactly no damage is the full resolution, blur 0 or noise 0; JPEG always costs something.
    seed : Tensor, (N,) int64
        Of each picture's noise.

    Returns
    -------
    Tensor, (N, 3, H, H) uint8

    Raises
    ------
    ValueError
        As :func:`checked_level`; or pictures that are not uint8.
    """
    size = images.shape[-1]
    level = checked_level(kind, level, size=size)
    if images.dtype != torch.uint8:
        raise ValueError(f"expected pictures of type uint8, found {images.dtype}")
    if kind == "jpeg":
        return _recoded(images, int(level))
    if level == (size if kind == "resolution" else 0):
        return images
    pixels = images.float()
    if kind == "resolution":
        small = F.interpolate(
            pixels, size=int(level), mode="bilinear", antialias=True
        ).round()  # a camera has 256 levels
        pixels = F.interpolate(small, size=size, mode="bilinear")
    elif kind == "blur":
        pixels = gaussian_blur(pixels, kernel_size=2 * int(np.ceil(3 * level)) + 1, sigma=level)
    else:
        pixels = pixels + level * normal(seed.to(images.device), _NOISE, pixels[0].numel()).view_as(pixels)
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _recoded(images: Tensor, quality: int) -> Tensor:
    from PIL import Image

    found = images.cpu().movedim(1, -1).numpy().copy()  # not the given pictures
    for index, pixels in enumerate(found):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        found[index] = np.asarray(Image.open(buffer))
    return torch.from_numpy(found).movedim(-1, 1).contiguous().to(images.device)


def degraded(data: ImageSet, kind: str, level: float, *, seed: int = 0) -> ImageSet:
    """A set with damaged pictures; labels and landmarks stay, whatever a point detector would make of it."""
    rows = torch.arange(len(data))
    parts = []
    for part in rows.split(_ROWS):
        images = data.raw(part.to(data.device)).image
        parts.append(degrade(images, kind, level, seed=mix(seed, part)).to(data.device))
    checked_level(kind, level, size=int(data.images.shape[-1]))  # also for an empty set
    return replace(data, images=torch.cat(parts) if parts else data.images)


Score = Callable[[Predictions], Mapping[str, object]]


def quality_curve(
    methods: Mapping[str, Method],
    data: ImageSet,
    *,
    kinds: Mapping[str, Sequence[float]] = LEVELS,
    seed: int = 0,
    score: Score | None = None,
    device: torch.device | str = "auto",
    batch_size: int = 512,
) -> pd.DataFrame:
    """Scores of trained methods on the same damaged pictures.

    A method that reads landmarks is given those of the set, which no damage moves: its curve is flat by construction
    and says nothing.

    Parameters
    ----------
    methods : mapping of str to Method
        Of the same AUs in the same order as the data.
    data : ImageSet
    kinds : mapping of str to levels
        By default :data:`LEVELS`.
    seed : int
        Of the noise.
    score : callable, optional
        Predictions to columns; by default F1 at 0.5, AUC and ECE, means over AUs in percent.
    device, batch_size
        As :func:`fau_utils.training.predict`.

    Returns
    -------
    DataFrame
        ``method, kind, level`` and the scores; the first row of a method has the kind ``clean`` and no level. A score
        is ``nan`` where it is not defined.

    Raises
    ------
    ValueError
        No methods, an unknown kind or a level outside its range, before anything is predicted.
    """
    if not methods:
        raise ValueError("expected at least one method, found none")
    size = int(data.images.shape[-1])
    asked = [(kind, checked_level(kind, level, size=size)) for kind, levels in kinds.items() for level in levels]
    device = resolve(device)
    rows = []
    for kind, level in progress([("clean", float("nan")), *asked], what="picture quality", unit="level"):
        parts: dict[str, list[Predictions]] = {name: [] for name in methods}
        for rows_of_part in torch.arange(len(data)).split(_ROWS):
            part = data.subset(rows_of_part).to(device)
            if kind != "clean":
                noise = mix(seed, rows_of_part).to(device)
                part = replace(part, images=degrade(part.images, kind, level, seed=noise))
            for name, method in methods.items():
                parts[name].append(predict(method, part, device=device, batch_size=batch_size))
        for name, found in parts.items():
            rows.append({"method": name, "kind": kind, "level": level, **(score or scored)(_joined(data, found))})
    return pd.DataFrame(rows)


def _joined(data: ImageSet, parts: Sequence[Predictions]) -> Predictions:
    prob, label = (np.concatenate([getattr(part, name) for part in parts]) for name in ("prob", "label"))
    return Predictions(data.frames, data.aus, prob, label)


def scored(found: Predictions) -> dict[str, float]:
    """``auc, f1, ece``: means over the AUs that have one, in percent."""
    of = {"auc": metrics.auc_per_au, "f1": metrics.f1_per_au, "ece": ece_per_au}
    return {name: 100 * metrics.mean_over_aus(metric(found.prob, found.label)).value for name, metric in of.items()}
