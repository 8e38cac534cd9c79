"""One file per paper, and the baselines."""

from fau_utils.methods.baselines import BASELINES, BaseRate, CnnDetector, LandmarkMlp, VitDetector
from fau_utils.methods.contract import Losses, Method, masked_bce

__all__ = ["BASELINES", "BaseRate", "CnnDetector", "LandmarkMlp", "Losses", "Method", "VitDetector", "masked_bce"]
