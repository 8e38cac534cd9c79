"""Probes: what frozen features still know, asked by a fresh learner on clips or people it has not seen."""

from fau_utils.probes.features import Features, embed, synth_truths
from fau_utils.probes.probe import Effort, probe, probe_all
from fau_utils.probes.result import ProbeResult, Score, difference
from fau_utils.probes.targets import Target, of_array

__all__ = [
    "Effort",
    "Features",
    "ProbeResult",
    "Score",
    "Target",
    "difference",
    "embed",
    "of_array",
    "probe",
    "probe_all",
    "synth_truths",
]
