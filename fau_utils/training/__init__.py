"""Training and prediction, the same for every method."""

from fau_utils.training.budget import Budget, budget_for
from fau_utils.training.evaluate import Predictions, predict
from fau_utils.training.fit import Fitted, fit

__all__ = ["Budget", "Fitted", "Predictions", "budget_for", "fit", "predict"]
