"""How scores fall from the laboratory to the wild: the same people with the same movements, for every method."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch

from fau_utils import metrics
from fau_utils.data.domains import Gap
from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Method
from fau_utils.progress import progress
from fau_utils.training.evaluate import predict

GAPS: tuple[float, ...] = (0.0, 0.33, 0.67, 1.0)
"""Strengths of the gap at which methods are compared."""


def lab_to_wild(
    methods: Mapping[str, Method],
    *,
    gaps: Sequence[float] = GAPS,
    faces: Mapping[float, ImageSet] | None = None,
    res: int = 64,
    people: int = 60,
    frames: int = 20,
    resamples: int = 1000,
    device: torch.device | str = "auto",
) -> pd.DataFrame:
    """Scores of trained methods on test people as the domain gets wilder.

    At every strength there are the same people with the same movements; pose, light, clutter, blur, noise and glasses
    change (:class:`fau_utils.data.domains.Gap`). A method that treats target faces in another way is told that these
    are such, beyond strength 0.

    Parameters
    ----------
    methods : mapping of str to Method
        Of the same AUs in the same order.
    gaps : sequence of float
        In [0, 1]; the first is what the fall is counted from.
    faces : mapping, optional
        Test faces for each strength instead, real ones for instance.
    res, people, frames : int
        Side of the pictures in px, test people, and faces of each.
    resamples : int
        Of the intervals, over people.
    device : torch.device or str

    Returns
    -------
    DataFrame
        ``method, gap, auc, auc_low, auc_high, f1, fall`` (points of AUC less than at the first gap), in percent.

    Raises
    ------
    ValueError
        No methods or gaps, methods of different AUs, or a gap without faces.
    """
    if not methods or not len(gaps):
        raise ValueError("expected at least one method and one gap, found none")
    aus = {tuple(method.aus) for method in methods.values()}
    if len(aus) > 1:
        raise ValueError(f"expected methods of the same AUs in the same order, found {sorted(aus)}")
    if faces is not None and (missing := [gap for gap in gaps if gap not in faces]):
        raise ValueError(f"expected faces for each gap, found none for {missing}")
    rows = []
    for gap in progress(gaps, what="lab to wild", unit="gap"):
        if faces is None:
            shown = Gap(gap, aus=aus.copy().pop(), res=res, test_people=people, test_frames=frames).tested()
            shown = replace(shown, domain=torch.full((len(shown),), int(gap > 0)))
        else:
            shown = faces[gap]
        for name, method in methods.items():
            said = predict(method, shown, device=device)
            auc = said.interval(metrics.auc_per_au, resamples=resamples)
            f1 = metrics.mean_over_aus(metrics.f1_per_au(said.prob, said.label)).value
            scores = {"auc": auc.value, "auc_low": auc.low, "auc_high": auc.high, "f1": f1}
            rows.append({"method": name, "gap": float(gap), **{key: 100 * float(v) for key, v in scores.items()}})
    table = pd.DataFrame(rows)
    first = table[table["gap"] == float(gaps[0])].set_index("method")["auc"]
    return table.assign(fall=table["method"].map(first) - table["auc"])
