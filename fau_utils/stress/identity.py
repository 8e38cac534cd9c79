"""Who is it? What a fresh probe reads about persons from the features of each method."""

from collections.abc import Mapping

import pandas as pd
import torch

from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Learner
from fau_utils.probes import Effort, embed, probe
from fau_utils.progress import progress


def identity_leak(
    methods: Mapping[str, Learner],
    data: ImageSet,
    *,
    kind: str = "linear",
    seed: int = 0,
    effort: Effort | None = None,
    resamples: int = 500,
    device: torch.device | str = "auto",
) -> pd.DataFrame:
    """How well a probe recognises people on clips it has not seen, from each method's frozen features.

    Parameters
    ----------
    methods : mapping of str to Learner
    data : ImageSet
        Of people the methods were not trained on, several clips of each; frames that stand alone are clips of one.
    kind, seed, effort, resamples
        As :func:`fau_utils.probes.probe`.
    device : torch.device or str

    Returns
    -------
    DataFrame
        ``method, width, leak, low, high, chance, control, converged, draws``; balanced accuracy in percent, with the
        interval over held-out clips.

    Raises
    ------
    ValueError
        No methods; or people or clips that are too few to hold some out.
    """
    if not methods:
        raise ValueError("expected at least one method, found none")
    rows = []
    for name, method in progress(methods.items(), what="identity", unit="method", total=len(methods)):
        features = embed(method, data, device=device)
        found = probe(features, target="identity", kind=kind, seed=seed, effort=effort, resamples=resamples)
        ends = {"leak": found.value, "low": found.main.value.low, "high": found.main.value.high}
        ends |= {"chance": found.chance, "control": found.control}
        row = {"method": name, "width": features.z.shape[1], **{key: 100 * value for key, value in ends.items()}}
        rows.append({**row, "converged": found.converged, "draws": (100 * found.main.draws).astype("float32").tolist()})
    return pd.DataFrame(rows)
