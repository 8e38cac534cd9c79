"""One entry of a comparison: trained, and measured in what an accuracy does not say."""

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from fau_utils import metrics
from fau_utils.data.images import ImageSet, batches
from fau_utils.methods import Learner, Method
from fau_utils.metrics.calibration import ece_per_au
from fau_utils.results import frozen
from fau_utils.results import job as jobs
from fau_utils.results.job import Job
from fau_utils.results.run import Run
from fau_utils.results.study import RESAMPLES, Row
from fau_utils.training import Predictions
from fau_utils.training.device import resolve
from fau_utils.training.fold import SealedFold


@dataclass(frozen=True)
class Entrant:
    """A finished run with its learner and the people it met.

    Attributes
    ----------
    run : Run
    learner : Learner
        With the weights of the run.
    fold : SealedFold
    cpu_seconds : float
        Of this process while it trained; a neighbour on the same computer adds nothing to it. Near 0 for a run that
        was finished before.
    """

    run: Run
    learner: Learner = field(repr=False)
    fold: SealedFold = field(repr=False)
    cpu_seconds: float

    @property
    def detector(self) -> Method:
        """Says AUs of any face: the learner itself, or a frozen one with the probe of its run, fitted once more."""
        return self.learner if isinstance(self.learner, Method) else frozen.Probed(self.learner, self.fold).eval()

    def tested(self) -> ImageSet:
        """The test faces, for what is measured on them when they are altered; nothing is chosen any more."""
        return self.fold.test.open(f"{self.run.id}, altered")


def enter(job: Job, *, pretrain: str = "") -> Entrant:
    """Do a job and open what it made.

    Parameters
    ----------
    job : Job
    pretrain : str
        Faces on which a learner that reads no labels is trained first; see :mod:`fau_utils.results.frozen`.

    Raises
    ------
    ValueError
        A wrong name.
    """
    begun = time.process_time()
    made = partial(frozen.train, faces=pretrain) if pretrain else _trained
    run = made(job, progress=False)
    spent = time.process_time() - begun
    fold = frozen.fold_of(job)
    learner = frozen.learnt(job, pretrain) if pretrain else run.load_weights(jobs.plan(job).build(fold.train))
    return Entrant(run, learner.eval(), fold, spent)


def _trained(job: Job, *, progress: bool) -> Run:
    return Run.read(jobs.train(job, progress=progress))


def costs(entrant: Entrant, *, batch_size: int = 64) -> Row:
    """``parameters`` that were trained, ``cpu_seconds`` of training, and ``images_per_second``.

    Images are counted while AUs are predicted (of a frozen learner, features made) of the validation people; on a CPU
    per second of processor time, which on a shared computer is less at the mercy of the others than the clock.
    """
    learner, data = entrant.learner, entrant.fold.val
    device = resolve("auto")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    people = getattr(learner, "subjects", None)
    shown = data if people is None else data.with_subjects(people)
    ask = learner.predict if isinstance(learner, Method) else learner.embed
    learner.to(device).eval()
    spent, faces = 0.0, 0
    with torch.inference_mode():
        for number, batch in enumerate(batches(shown, batch_size=batch_size, shuffle=False, device=device)):
            batch.au = torch.full_like(batch.au, torch.nan)
            begun = clock()
            ask(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first one warms up
                spent, faces = spent + clock() - begun, faces + len(batch)
    return {
        "parameters": sum(p.numel() for p in learner.parameters() if p.requires_grad),
        "cpu_seconds": entrant.cpu_seconds,
        "images_per_second": faces / spent if spent else float("nan"),
    }


def calibration(predictions: Predictions, *, resamples: int = RESAMPLES) -> Row:
    """Expected calibration error, mean over AUs in percent, with draws of the test people: ``ece, ece_draws``."""
    given = (predictions.prob, predictions.label)
    drawn = metrics.resampled_scores(*given, predictions.subject, ece_per_au, resamples=resamples, seed=0)
    return {
        "ece": 100 * metrics.mean_over_aus(ece_per_au(*given)).value,
        "ece_draws": (100 * np.nanmean(drawn, axis=1)).astype("float32").tolist(),
    }
