"""Two numbers of a trained method for a leaderboard: AUC under hidden patches, and its fall from lab to wild.

Both on few faces of each test person, so that they cost seconds; people count for the intervals, not frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from fau_utils import metrics
from fau_utils.data.domains import Gap
from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Method
from fau_utils.stress.occlusion import occlusion_curve
from fau_utils.training.evaluate import Predictions, predict

FRAMES = 10
"""Faces of each test person."""

RATIOS: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
KINDS: tuple[str, ...] = ("random", "block")


def few(data: ImageSet, *, frames: int = FRAMES) -> ImageSet:
    """At most so many faces of each person, evenly over those there are."""
    subject = data.frames.table["subject"].to_numpy(str)
    rows = [np.flatnonzero(subject == name) for name in np.unique(subject)]
    picked = [own[np.unique(np.linspace(0, len(own) - 1, min(frames, len(own))).round().astype(int))] for own in rows]
    return data.subset(np.sort(np.concatenate(picked)))


def hidden(
    method: Method,
    data: ImageSet,
    *,
    kinds: Sequence[str] = KINDS,
    ratios: Sequence[float] = RATIOS,
    resamples: int = 200,
    device: torch.device | str = "auto",
) -> dict[str, float | list[float]]:
    """Area under the curve of AUC over the share of hidden patches, divided by the range of shares, in percent.

    So it is a mean AUC, and 50 is chance as everywhere. Curves of several kinds are averaged. The masks are those of
    :func:`~fau_utils.stress.occlusion.occlusion_curve`, the same for every method on the same faces.

    Parameters
    ----------
    method : Method
    data : ImageSet
    kinds, ratios
        Of the masks; at least two ratios.
    resamples : int
        Draws of the people, the same ones as of any other score on these faces.
    device : torch.device or str

    Returns
    -------
    dict
        ``hidden`` and ``hidden_draws``.

    Raises
    ------
    ValueError
        Fewer than two ratios.
    """
    shares = np.sort(np.asarray(ratios, float))
    if len(shares) < 2 or shares[0] == shares[-1]:
        raise ValueError(f"expected at least two different ratios, found {list(ratios)}; a curve needs them")

    def score(said: Predictions) -> Mapping[str, object]:
        return {"auc": _auc(said), "drawn": _drawn(said, resamples)}

    asked = {"patch": _patch(method, int(data.images.shape[-1])), "score": score, "device": device}
    curve = occlusion_curve({"": method}, data, kinds=kinds, ratios=shares.tolist(), **asked)
    lines = [own.sort_values("ratio") for _, own in curve.groupby("kind")]
    span = shares[-1] - shares[0]
    value = np.mean([np.trapezoid(own["auc"], own["ratio"]) for own in lines]) / span
    drawn = np.mean([np.trapezoid(np.stack(own["drawn"]), own["ratio"], axis=0) for own in lines], axis=0) / span
    return {"hidden": float(value), "hidden_draws": drawn.astype("float32").tolist()}


def fall(
    method: Method,
    *,
    people: int = 60,
    frames: int = FRAMES,
    res: int = 64,
    faces: Mapping[float, ImageSet] | None = None,
    resamples: int = 200,
    device: torch.device | str = "auto",
) -> dict[str, float | list[float]]:
    """Points of AUC lost from the rendered laboratory to the wild: the same people with the same movements.

    Every draw takes the same people from both, so what makes a person hard in both is not in the interval.

    Parameters
    ----------
    method : Method
    people, frames, res : int
        Test people, faces of each, and side of the pictures in px.
    faces : mapping, optional
        Faces at gap 0.0 and 1.0 instead.
    resamples : int
    device : torch.device or str

    Returns
    -------
    dict
        ``fall``, as :func:`~fau_utils.stress.domain.lab_to_wild` defines it, and ``fall_draws``.
    """
    if faces is None:
        sides = {"aus": tuple(method.aus), "res": res, "test_people": people, "test_frames": frames}
        faces = {gap: _told(Gap(gap, **sides).tested(), wild=gap > 0) for gap in (0.0, 1.0)}
    lab, wild = (predict(method, faces[gap], device=device) for gap in (0.0, 1.0))
    drawn = _drawn(lab, resamples) - _drawn(wild, resamples)
    return {"fall": _auc(lab) - _auc(wild), "fall_draws": drawn.astype("float32").tolist()}


def _told(data: ImageSet, *, wild: bool) -> ImageSet:
    return replace(data, domain=torch.full((len(data),), int(wild)))


def _auc(said: Predictions) -> float:
    return 100 * float(np.nanmean(metrics.auc_per_au(said.prob, said.label)))


def _drawn(said: Predictions, resamples: int) -> np.ndarray:
    """Mean AUC over AUs in each draw of the people, percent."""
    options = {"resamples": resamples, "seed": 0}
    return 100 * np.nanmean(
        metrics.resampled_scores(said.prob, said.label, said.subject, metrics.auc_per_au, **options), axis=1
    )


def _patch(method: Method, side: int) -> int:
    """Side of a hidden patch: an eighth of a small face, 16 px of a large one, as networks cut them."""
    usual = 16 if side >= 112 else 8
    return usual if side % usual == 0 else next(p for p in range(max(1, side // 8), 0, -1) if side % p == 0)
