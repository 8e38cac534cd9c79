"""Networks and layers."""

from fau_utils.models.cnn import SmallCnn
from fau_utils.models.groups import layer_decay_groups
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.mlp import LandmarkNet, normalise_landmarks
from fau_utils.models.normalise import MeanFace
from fau_utils.models.pretrained import load_pretrained
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import ViT
from fau_utils.models.vit_mini import MiniViT

__all__ = [
    "LandmarkNet",
    "MaskedAutoencoder",
    "MeanFace",
    "MiniViT",
    "SmallCnn",
    "ViT",
    "layer_decay_groups",
    "load_pretrained",
    "normalise_landmarks",
    "seeded",
]
