"""Synthetic faces with everything known: who, which movements, how strongly, under what light, behind what."""

from fau_utils.faces.identity import Identity, mean_identity, sample_identity
from fau_utils.faces.nuisance import Nuisance, sample_nuisance
from fau_utils.faces.render import FaceRenderer, Rendered

__all__ = ["FaceRenderer", "Identity", "Nuisance", "Rendered", "mean_identity", "sample_identity", "sample_nuisance"]
