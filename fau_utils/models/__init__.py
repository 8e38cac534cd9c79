"""Networks and layers."""

from fau_utils.models.cnn import SmallCnn
from fau_utils.models.mlp import LandmarkNet, normalise_landmarks
from fau_utils.models.normalise import MeanFace
from fau_utils.models.seeded import seeded
from fau_utils.models.vit_mini import MiniViT

__all__ = ["LandmarkNet", "MeanFace", "MiniViT", "SmallCnn", "normalise_landmarks", "seeded"]
