"""What happens to a trained method when faces are not what it was trained on."""

from fau_utils.stress.domain import GAPS, lab_to_wild
from fau_utils.stress.occlusion import WORN, occlude, occlusion_curve, wearing
from fau_utils.stress.support import hidden_aus, support_in_patches

__all__ = ["GAPS", "WORN", "hidden_aus", "lab_to_wild", "occlude", "occlusion_curve", "support_in_patches", "wearing"]
