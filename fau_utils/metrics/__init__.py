"""Scores as pure functions: unknown labels take part in nothing, undefined stays undefined."""

from fau_utils.metrics.auc import auc_per_au
from fau_utils.metrics.bootstrap import (
    Interval,
    paired_difference,
    resampled_scores,
    subject_bootstrap,
    subject_bootstrap_per_au,
)
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.metrics.f1 import (
    Counts,
    Mean,
    confusion,
    f1_per_au,
    mean_over_aus,
    precision_per_au,
    recall_per_au,
)

__all__ = [
    "Contrast",
    "Counts",
    "Interval",
    "Mean",
    "auc_per_au",
    "confusion",
    "evidence",
    "f1_per_au",
    "mean_over_aus",
    "paired_difference",
    "precision_per_au",
    "recall_per_au",
    "resampled_scores",
    "subject_bootstrap",
    "subject_bootstrap_per_au",
]
