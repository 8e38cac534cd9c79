"""One file per paper, and the baselines."""

from fau_utils.methods.baselines import BASELINES, BaseRate, CnnDetector, LandmarkMlp, VitDetector
from fau_utils.methods.contract import Learner, Losses, Method, masked_bce
from fau_utils.methods.fmae_iat import FmaeIat
from fau_utils.methods.mae import MaePretraining
from fau_utils.methods.vit import PretrainedVit

METHODS: dict[str, type] = {
    **{name.replace(" ", "-"): method for name, method in BASELINES.items()},
    "mae": MaePretraining,
    "pretrained-vit": PretrainedVit,
    "fmae-iat": FmaeIat,
}
"""Everything that ``fau train`` can train, by name. A constructor is given what it asks for by name, of ``aus``,
``subjects``, ``size``, ``seed`` and ``init``."""

__all__ = [
    "BASELINES",
    "METHODS",
    "BaseRate",
    "CnnDetector",
    "FmaeIat",
    "LandmarkMlp",
    "Learner",
    "Losses",
    "MaePretraining",
    "Method",
    "PretrainedVit",
    "VitDetector",
    "masked_bce",
]
