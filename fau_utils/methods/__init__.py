"""One file per paper, and the baselines."""

from fau_utils.methods.baselines import BASELINES, BaseRate, CnnDetector, LandmarkMlp, VitDetector
from fau_utils.methods.clip_baselines import (
    ClipAutoencoder,
    CrossOnly,
    Moco,
    OwnRows,
    SimClr,
    SupervisedClips,
    TemporalOnly,
)
from fau_utils.methods.clp import Clp
from fau_utils.methods.contract import Learner, Losses, Method, masked_bce
from fau_utils.methods.domain_baselines import Dann, DomainSeparationNetworks, LandmarkTask, SourceOnly
from fau_utils.methods.domain_separation import DomainSeparation
from fau_utils.methods.fmae_iat import FmaeIat
from fau_utils.methods.graph_teacher import GraphDetector
from fau_utils.methods.mae import MaePretraining
from fau_utils.methods.occlusion_mae import OcclusionMae
from fau_utils.methods.vit import PretrainedVit

METHODS: dict[str, type] = {
    **{name.replace(" ", "-"): method for name, method in BASELINES.items()},
    "mae": MaePretraining,
    "pretrained-vit": PretrainedVit,
    "fmae-iat": FmaeIat,
    "graph-detector": GraphDetector,
    "occlusion-mae": OcclusionMae,
    "domain-separation": DomainSeparation,
    "source-only": SourceOnly,
    "landmark-task": LandmarkTask,
    "dann": Dann,
    "domain-separation-networks": DomainSeparationNetworks,
    "clp": Clp,
    "clp-temporal": TemporalOnly,
    "clp-cross": CrossOnly,
    "clp-own-rows": OwnRows,
    "clip-moco": Moco,
    "clip-simclr": SimClr,
    "clip-autoencoder": ClipAutoencoder,
    "clip-detector": SupervisedClips,
}
"""Everything that ``fau train`` can train, by name. A constructor is given what it asks for by name, of ``aus``,
``subjects``, ``size``, ``seed``, ``init`` and, where there are two domains, ``weight``."""

__all__ = [
    "BASELINES",
    "METHODS",
    "BaseRate",
    "ClipAutoencoder",
    "Clp",
    "CnnDetector",
    "CrossOnly",
    "Dann",
    "DomainSeparation",
    "DomainSeparationNetworks",
    "FmaeIat",
    "GraphDetector",
    "LandmarkMlp",
    "LandmarkTask",
    "Learner",
    "Losses",
    "MaePretraining",
    "Method",
    "Moco",
    "OcclusionMae",
    "OwnRows",
    "PretrainedVit",
    "SimClr",
    "SourceOnly",
    "SupervisedClips",
    "TemporalOnly",
    "VitDetector",
    "masked_bce",
]
