"""What happens to a trained method when faces are not what it was trained on."""

from fau_utils.stress.occlusion import WORN, occlude, occlusion_curve, wearing
from fau_utils.stress.support import hidden_aus, support_in_patches

__all__ = ["WORN", "hidden_aus", "occlude", "occlusion_curve", "support_in_patches", "wearing"]
