"""Networks and layers."""

from fau_utils.models.cnn import SmallCnn
from fau_utils.models.graph import GraphHead
from fau_utils.models.groups import layer_decay_groups
from fau_utils.models.heads import AttentionHead, LinearHead
from fau_utils.models.landmark_heads import PointRegression, ResponseMaps
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.mlp import LandmarkNet, normalise_landmarks
from fau_utils.models.normalise import MeanFace
from fau_utils.models.pretrained import load_pretrained
from fau_utils.models.resnet import ResNet
from fau_utils.models.reversal import GradientReversal, reverse_gradient
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import ViT
from fau_utils.models.vit_mini import MiniViT

__all__ = [
    "AttentionHead",
    "GradientReversal",
    "GraphHead",
    "LandmarkNet",
    "LinearHead",
    "MaskedAutoencoder",
    "MeanFace",
    "MiniViT",
    "PointRegression",
    "ResNet",
    "ResponseMaps",
    "SmallCnn",
    "ViT",
    "layer_decay_groups",
    "load_pretrained",
    "normalise_landmarks",
    "reverse_gradient",
    "seeded",
]
