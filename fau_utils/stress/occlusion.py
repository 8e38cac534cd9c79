"""How scores fall when faces are occluded: the same masks for every method of the book."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fau_utils import metrics
from fau_utils.data import synth
from fau_utils.data.images import ImageSet
from fau_utils.faces.names import nearest
from fau_utils.faces.occluders import KINDS
from fau_utils.faces.patches import BANDS, PATCH_KINDS, apply_patches, fixed_masks, patch_count, patch_grid
from fau_utils.faces.population import Occlusion, SynthFaces
from fau_utils.methods.contract import Method
from fau_utils.stress.support import hidden_aus
from fau_utils.training.evaluate import Predictions, predict

_ROWS = 2048

WORN: tuple[str, ...] = KINDS[1:]
"""Kinds that need faces drawn with them, see :func:`wearing`."""

Condition = tuple[str, float | None]


def conditions(kinds: Sequence[str], ratios: Sequence[float]) -> list[Condition]:
    """Kinds and ratios to be tested: ``random`` and ``block`` at every ratio, bands and what is worn once.

    Raises
    ------
    ValueError
        An unknown kind, or a ratio outside [0, 1].
    """
    for kind in kinds:
        nearest(kind, (*PATCH_KINDS, *WORN), what="occluder kind")
    patch_count(torch.tensor([float(r) for r in ratios] or [0.0]), grid=1)
    found: list[Condition] = []
    for kind in kinds:
        once = kind in BANDS or kind in WORN
        found += [(kind, None)] if once else [(kind, float(ratio)) for ratio in ratios]
    return found


def wearing(config: SynthFaces, split: str, kinds: Sequence[str] = WORN, *, rows: object = None) -> dict[str, ImageSet]:
    """The rendered faces of a split once more for each kind: with sunglasses, with a mask and so on.

    Parameters
    ----------
    config : SynthFaces
        Without occlusion.
    split : str
    kinds : sequence of str
        Of :data:`WORN`.
    rows : optional
        Of the split, as :meth:`ImageSet.subset` takes them; all by default.

    Returns
    -------
    dict of str to ImageSet
        Row by row the same people and movements; ``visible`` says which patches are at least half free.
    """
    found = {}
    for kind in kinds:
        nearest(kind, WORN, what="occluder kind")
        data = synth.load(replace(config, occlusion=Occlusion(kinds=(kind,))), split)
        found[kind] = data if rows is None else data.subset(rows)
    return found


def occlude(data: ImageSet, hidden: Tensor, *, fill: str | Tensor = "grey") -> ImageSet:
    """The faces with patches painted over, and ``visible`` that says which.

    Landmarks in hidden patches are put where they are in the mean of the set: nobody could have found them.

    Parameters
    ----------
    data : ImageSet
    hidden : Tensor, (N, P) bool
    fill : str or Tensor
        As :func:`fau_utils.faces.patches.apply_patches`.

    Raises
    ------
    ValueError
        When the patch grid does not divide the images.
    """
    seed = torch.arange(len(data)) if fill in ("noise", "colour") else None
    images = data.raw(torch.arange(len(data), device=data.device)).image.cpu()
    painted = apply_patches(images, hidden, fill=fill, seed=seed)
    landmarks = None if data.landmarks is None else _without_hidden(data.landmarks, hidden.to(data.device), painted)
    return replace(data, images=painted.to(data.device), visible=(~hidden).to(data.device), landmarks=landmarks)


def _without_hidden(landmarks: Tensor, hidden: Tensor, images: Tensor) -> Tensor:
    grid = round(hidden.shape[1] ** 0.5)
    cell = (landmarks * (grid / images.shape[-1])).long().clamp(0, grid - 1)  # (N, 49, 2): column, row
    covered = hidden.gather(1, cell[..., 1] * grid + cell[..., 0])
    return torch.where(covered[..., None], landmarks.nanmean(0), landmarks)


def occlusion_curve(
    methods: Mapping[str, Method],
    data: ImageSet,
    *,
    kinds: Sequence[str] = ("random", "block"),
    ratios: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 0.9),
    seed: int = 0,
    draws: int = 1,
    patch: int = 8,
    fill: str = "grey",
    worn: Mapping[str, ImageSet] | None = None,
    support: Tensor | None = None,
    independent: int | None = None,
    score: Callable[[Predictions], Mapping[str, object]] | None = None,
    device: torch.device | str = "auto",
    batch_size: int = 512,
) -> pd.DataFrame:
    """Scores of some methods on the same faces under the same masks.

    Every method is shown the painted face and told the mask in ``batch.visible``; one that does not read it is not
    told. Row i of the data has the same mask for all methods, devices and batch sizes.

    Parameters
    ----------
    methods : mapping of str to Method
        Trained, of the same AUs in the same order as the data.
    data : ImageSet
    kinds, ratios
        See :func:`conditions`.
    seed : int
        First of the mask sets, see :func:`fau_utils.faces.patches.fixed_masks`.
    draws : int
        Mask sets; each gives rows of its own.
    patch : int
        Side of a patch in pixels; must divide the images.
    fill : str
    worn : mapping of str to ImageSet, optional
        Of :func:`wearing`: the same faces with what the kinds of :data:`WORN` are named after.
    support : Tensor, (N, A, P), optional
        Of :func:`~fau_utils.stress.support.support_in_patches`, for the columns about hidden AUs.
    independent : int, optional
        AU that goes with no other: nobody can know it where it is hidden.
    score : callable, optional
        Predictions to columns; by default F1 at 0.5 and AUC, means over AUs in percent.
    device, batch_size
        As :func:`fau_utils.training.predict`.

    Returns
    -------
    DataFrame
        ``method, kind, ratio, draw, hidden`` (true share of hidden patches), the scores, and ``au_auc, au_f1`` (a list
        in the order of the AUs); with `support` also ``hidden_auc, visible_auc`` (AUs of whose pixels at least 90 %, or
        at most 10 %, are hidden in a face, AU by AU over such faces), and with `independent` those of this AU alone.
        A score is ``nan`` where it is not defined.
    """
    grid = patch_grid(int(data.images.shape[-1]), patch=patch)
    rows = []
    for kind, ratio in conditions(kinds, ratios):
        dressed = _dressed(kind, data, worn)
        for draw in range(seed, seed + (draws if dressed is None else 1)):
            if dressed is None:
                hidden = fixed_masks(len(data), kind=kind, grid=grid, ratio=ratio, draw=draw)
            else:  # painted already
                hidden = ~dressed.visible.cpu()
            said = _predict(
                methods,
                data if dressed is None else dressed,
                hidden,
                fill=fill if dressed is None else None,
                device=device,
                batch_size=batch_size,
            )
            share = float(hidden.float().mean())
            for name, found in said.items():
                row = {"method": name, "kind": kind, "ratio": share if ratio is None else ratio, "draw": draw}
                row |= {"hidden": share, **(score or _scores)(found), **_by_au(found)}
                if support is not None:
                    row |= _by_hiding(found, hidden_aus(support, hidden), independent)
                rows.append(row)
    return pd.DataFrame(rows)


def _dressed(kind: str, data: ImageSet, worn: Mapping[str, ImageSet] | None) -> ImageSet | None:
    if kind not in WORN:
        return None
    found = (worn or {}).get(kind)
    if found is None or found.visible is None:
        raise ValueError(f"{kind!r} is drawn on faces, not painted over: give worn=wearing(config, split, [{kind!r}])")
    if len(found) != len(data):
        raise ValueError(f"expected {len(data)} faces with {kind}, found {len(found)}; take the same rows of both")
    return found


def _predict(
    methods: Mapping[str, Method], data: ImageSet, hidden: Tensor, *, fill: str | None, **options: object
) -> dict[str, Predictions]:
    parts: dict[str, list[Predictions]] = {name: [] for name in methods}
    for part, mask in _parts(data, hidden):
        painted = part if fill is None else occlude(part, mask, fill=fill)
        for name, method in methods.items():
            parts[name].append(predict(method, painted, **options))
    return {
        name: Predictions(
            data.frames,
            data.aus,
            np.concatenate([part.prob for part in found]),
            np.concatenate([part.label for part in found]),
        )
        for name, found in parts.items()
    }


def _parts(data: ImageSet, hidden: Tensor) -> Iterator[tuple[ImageSet, Tensor]]:
    """So many rows at a time that painted copies of a large set fit into memory."""
    for start in range(0, len(data), _ROWS):
        stop = min(start + _ROWS, len(data))
        yield data.subset(torch.arange(start, stop)), hidden[start:stop]


def _scores(found: Predictions) -> dict[str, float]:
    return {
        "f1": 100 * float(np.nanmean(metrics.f1_per_au(found.prob, found.label))),
        "auc": 100 * float(np.nanmean(metrics.auc_per_au(found.prob, found.label))),
    }


def _by_au(found: Predictions) -> dict[str, list[float]]:
    return {
        "au_auc": (100 * metrics.auc_per_au(found.prob, found.label)).astype(float).tolist(),
        "au_f1": (100 * metrics.f1_per_au(found.prob, found.label)).astype(float).tolist(),
    }


def _by_hiding(found: Predictions, share: Tensor, independent: int | None) -> dict[str, float]:
    row = {}
    for name, mask in (("hidden", share.numpy() >= 0.9), ("visible", share.numpy() <= 0.1)):
        auc = 100 * metrics.auc_per_au(found.prob, np.where(mask, found.label, np.nan))
        row[f"{name}_auc"] = float(np.nanmean(auc)) if np.isfinite(auc).any() else float("nan")
        if independent is not None:
            row[f"{name}_independent_auc"] = float(auc[found.aus.index(independent)])
    return row
