"""What comes out of training."""

from dataclasses import dataclass

import pandas as pd

from fau_utils.methods.contract import Learner
from fau_utils.training.budget import Budget


@dataclass(frozen=True)
class Fitted:
    """A finished training run.

    Attributes
    ----------
    method : Learner
        The one given, trained, in evaluation mode, on the device it was trained on.
    history : DataFrame
        A row per reading of the loss: ``step, views, seconds, lr, loss``, one column per part of the loss, and
        ``val_f1, val_auc`` or ``val_loss`` where the validation set was looked at. Losses are means since the row
        before. ``ema`` is the decay of the moving average that was validated, where there is one; ``chosen`` marks the
        row whose weights were kept, when some were to be chosen.
    budget : Budget
    seed : int
    views : int
        Faces shown.
    seconds : float
        Wall-clock time, evaluations included; of a resumed run, up to its checkpoint and from there.
    peak_memory : int
        Bytes: of the process, or on the CUDA device.
    device, precision : str
    chosen_step : int
        The step, counted from 1, whose weights the method has.
    deterministic : bool
        False where the gradient of the first step, computed twice on a CUDA device, was not the same to the last bit:
        then the same seed need not give the same weights.
    """

    method: Learner
    history: pd.DataFrame
    budget: Budget
    seed: int
    views: int
    seconds: float
    peak_memory: int
    device: str
    precision: str = "32-true"
    chosen_step: int = 0
    deterministic: bool = True
