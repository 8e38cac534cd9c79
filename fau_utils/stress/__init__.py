"""What happens to a trained method when faces are not what it was trained on."""

from fau_utils.stress.occlusion import occlude, occlusion_curve
from fau_utils.stress.support import hidden_aus, support_in_patches

__all__ = ["hidden_aus", "occlude", "occlusion_curve", "support_in_patches"]
