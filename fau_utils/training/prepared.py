"""Data and learner before the first step."""

import torch
from lightning.fabric import Fabric
from torch import Tensor

from fau_utils.data.images import ImageSet
from fau_utils.data.source import Source, known_length
from fau_utils.data.weights import negatives_per_positive, positive_rates
from fau_utils.methods.contract import Learner, Method
from fau_utils.training.budget import Budget
from fau_utils.training.divided import divides
from fau_utils.training.evaluate import matched

PREPARE_WITH = 2048
"""Largest number of training images that a learner's ``prepare`` sees."""

RESIDENT = 0.25
"""Largest share of a GPU's free memory that training images may take; larger sets stay where they are."""


def placed(train: Source, learner: Learner, *, device: torch.device) -> Source:
    """The training faces as the learner wants them, on a GPU where they take little of its memory.

    Raises
    ------
    ValueError
        When the AUs differ, or there is no face.
    """
    if known_length(train) == 0:
        raise ValueError("expected at least one face to train on, found none; check the selection that made this set")
    if not isinstance(train, ImageSet):
        return train
    train = matched(train, learner) if isinstance(learner, Method) else train
    if device.type != "cuda":
        return train
    size = len(train) * train.images[0].nbytes
    return train.to(device) if size < RESIDENT * torch.cuda.mem_get_info(device)[0] else train


def views_of(train: Source, budget: Budget) -> int:
    """Faces to show in all.

    Raises
    ------
    ValueError
        When neither the budget nor the source says how many.
    """
    views = budget.views or known_length(train)
    if views is None:
        raise ValueError(f"expected a budget with views: {type(train).__name__} does not know how many faces it has")
    return views


def refuse_short(train: Source, shown: int, *, views: int, steps: int) -> None:
    """Check that a source served all it was asked for.

    Raises
    ------
    ValueError
        When it did not: the schedule of the rate was made for all.
    """
    if shown < views:
        raise ValueError(f"expected {views} faces in {steps} steps, {type(train).__name__} served {shown} and ended")


def prepare(learner: Learner, train: Source, *, budget: Budget, seed: int, device: torch.device) -> None:
    """Move a learner to its device and tell it what it asks of the training faces.

    Raises
    ------
    ValueError
        When labels are to be weighed and there are none.
    """
    learner.to(device)
    if type(learner).prepare is not Learner.prepare:  # reading faces for nobody costs seconds
        learner.prepare(_sample(train, seed=seed, device=device))
    if budget.label_weights == "balanced":
        learner.balance(positive_weights(train).to(device))


def positive_weights(train: Source) -> Tensor:
    """Negatives per positive among the coded labels of each AU, (A,) float32.

    Raises
    ------
    ValueError
        For a source without labels, or an AU without positives.
    """
    if not isinstance(train, ImageSet):
        raise ValueError(f"expected faces with labels to weigh, found {type(train).__name__}; use label_weights='none'")
    rates = positive_rates(train.labels)
    for au, rate in zip(train.aus, rates, strict=True):
        if not rate > 0:
            raise ValueError(
                f"expected a positive label of AU{au} among the training faces, found none; leave that AU out, or use "
                "label_weights='none'"
            )
    return torch.from_numpy(negatives_per_positive(rates)).float()


def refuse_divided(fabric: Fabric, **wanted: object) -> None:
    """Check that nothing is asked for that ``fsdp``, which divides the model, cannot do.

    Raises
    ------
    ValueError
        Names what was asked for.
    """
    asked = [name for name, value in wanted.items() if value]
    if asked and divides(fabric):
        raise ValueError(f"{', '.join(asked)}: not with fsdp, which divides the model; use ddp")


def crosses(before: int, after: int, every: int) -> bool:
    """Whether a count has passed a multiple of `every`; never when that is 0."""
    return every > 0 and before // every != after // every


def _sample(train: Source, *, seed: int, device: torch.device) -> Tensor:
    """Some training images, each at most once, (N, 3, H, W) float32 in [0, 1]; the same ones in all processes."""
    count = min(PREPARE_WITH, known_length(train) or PREPARE_WITH)
    return torch.cat([batch.image for batch in train.batches(batch_size=256, views=count, seed=seed, device=device)])
