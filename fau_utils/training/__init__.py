"""Training and prediction, the same for every method."""

from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.evaluate import Predictions, predict
from fau_utils.training.fit import fit
from fau_utils.training.fitted import Fitted

__all__ = ["Budget", "Checkpoints", "Fitted", "Predictions", "budget_for", "fit", "predict"]
