"""From a trained method to predictions, and from predictions to scores."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fau_utils import metrics
from fau_utils.aus import columns
from fau_utils.data.images import ImageSet, batches
from fau_utils.frames import KEY, Frames
from fau_utils.methods.contract import Method
from fau_utils.metrics.bootstrap import Metric
from fau_utils.training.device import resolve


@dataclass(frozen=True)
class Predictions:
    """What a method said about some faces. Scores are derived from this, so nothing has to be trained twice.

    Attributes
    ----------
    frames : Frames, N rows
        Which faces.
    aus : tuple of int
        AU number of each column.
    prob : ndarray, (N, A) float32
    label : ndarray, (N, A) float32 in {0, 1, nan}
    """

    frames: Frames
    aus: tuple[int, ...]
    prob: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.prob)

    @property
    def subject(self) -> np.ndarray:
        """Whose face each row is, (N,) str."""
        return self.frames.table["subject"].to_numpy(object)

    def scores(self, *, threshold: float | np.ndarray = 0.5) -> pd.DataFrame:
        """A row per AU: ``au, f1, auc, precision, recall, positives, negatives, unknown``.

        `threshold` is one for all AUs or one for each. Undefined scores are ``nan``.
        """
        counts = metrics.confusion(self.prob, self.label, threshold=threshold)
        return pd.DataFrame(
            {
                "au": self.aus,
                "f1": metrics.f1_per_au(self.prob, self.label, threshold=threshold),
                "auc": metrics.auc_per_au(self.prob, self.label),
                "precision": metrics.precision_per_au(self.prob, self.label, threshold=threshold),
                "recall": metrics.recall_per_au(self.prob, self.label, threshold=threshold),
                "positives": (counts.true_positive + counts.false_negative).astype(int),
                "negatives": (counts.false_positive + counts.true_negative).astype(int),
                "unknown": np.isnan(self.label).sum(0),
            }
        )

    def interval(self, metric: Metric, *, resamples: int = 1000, seed: int = 0) -> metrics.Interval:
        """Mean over AUs of a metric with its interval over people, see :func:`fau_utils.metrics.subject_bootstrap`."""
        return metrics.subject_bootstrap(self.prob, self.label, self.subject, metric, resamples=resamples, seed=seed)

    def table(self) -> pd.DataFrame:
        """Frame key, ``prob_AU1`` ... and ``label_AU1`` ..., a row per face."""
        keys = self.frames.table[list(KEY)]
        prob = pd.DataFrame(self.prob, columns=[f"prob_{name}" for name in columns(self.aus)])
        label = pd.DataFrame(self.label, columns=[f"label_{name}" for name in columns(self.aus)])
        return pd.concat([keys, prob, label], axis=1)

    @classmethod
    def from_table(cls, table: pd.DataFrame) -> "Predictions":
        """The inverse of :meth:`table`."""
        names = [name.removeprefix("prob_") for name in table if name.startswith("prob_")]
        return cls(
            frames=Frames(table[list(KEY)]),
            aus=tuple(int(name.removeprefix("AU")) for name in names),
            prob=table[[f"prob_{name}" for name in names]].to_numpy("float32"),
            label=table[[f"label_{name}" for name in names]].to_numpy("float32"),
        )


@torch.no_grad()
def predict(
    method: Method,
    data: ImageSet,
    *,
    batch_size: int = 512,
    device: torch.device | str = "auto",
) -> Predictions:
    """Probabilities for every face of a set, in the order of the set.

    Labels are hidden from the method. A method with ``subjects`` is given indices into that list, -1 for
    strangers. The method is left on `device` and in the mode it was in.

    Parameters
    ----------
    method : Method
    data : ImageSet
        With the method's AUs, in its order.
    batch_size : int
    device : torch.device or str
        ``auto`` is CUDA where there is any.

    Raises
    ------
    ValueError
        When set and method have other AUs.
    """
    data = matched(data, method)
    device = resolve(device)
    training = method.training
    method.to(device).eval()
    found = []
    try:
        for batch in batches(data, batch_size=batch_size, shuffle=False, device=device):
            batch.au = torch.full_like(batch.au, torch.nan)
            batch.intensity = None
            found.append(method.predict(batch).float())
    finally:
        method.train(training)
    prob = torch.cat(found).cpu().numpy()
    return Predictions(frames=data.frames, aus=data.aus, prob=prob, label=data.labels.cpu().numpy())


def matched(data: ImageSet, method: Method) -> ImageSet:
    """The set with subject indices that mean to the method what it expects, after checking the AUs.

    Raises
    ------
    ValueError
        When set and method have other AUs, or the same in another order.
    """
    if tuple(method.aus) != tuple(data.aus):
        raise ValueError(
            f"expected faces labelled with AUs {tuple(method.aus)}, found {tuple(data.aus)}; "
            "build the set with aus=method.aus"
        )
    subjects = getattr(method, "subjects", None)
    return data if subjects is None or data.subjects == tuple(subjects) else data.with_subjects(subjects)
