"""A learner without labels in a comparison of detectors: pretrain it, freeze it, and let a linear probe read AUs.

The probe is a logistic regression per AU on standardised features of the training people; its penalty is chosen on the
validation people. It weighs both labels alike, so its logits are moved by the training people's log-odds: without this
every rare AU would be said to be there far too often. That is our choice; the papers train their probes by gradient
descent, without weights.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, logit
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.data import by_name
from fau_utils.methods import METHODS, Learner, Losses, Method
from fau_utils.models import store
from fau_utils.models.clip_encoder import ClipEncoder
from fau_utils.probes import Features, embed
from fau_utils.probes.linear import logistic
from fau_utils.results import job as jobs
from fau_utils.results.job import Job
from fau_utils.results.run import HISTORY, DamagedRun, Run, hashed
from fau_utils.training import Fitted, Predictions
from fau_utils.training.fold import SealedFold

PRETRAINED = "pretrained"
"""Folder beside the runs."""

_KINDS = {**store.KINDS, "ClipEncoder": ClipEncoder}
_PENALTIES = (10.0, 1.0, 0.1, 0.01)


def fold_of(job: Job) -> SealedFold:
    """Who is trained on, chosen by and tested in a job, whatever its method."""
    return _labelled(job).data


def _labelled(job: Job) -> jobs.Plan:
    if issubclass(METHODS[job.method], Method):
        return jobs.plan(job)
    return jobs.plan(replace(job, method="base-rate", settings=(), budget="laptop", init=None))


def train(job: Job, *, faces: str, progress: bool = True) -> Run:
    """Pretrain a learner on faces without labels, and probe it on a job's data. A finished run is left as it is.

    Parameters
    ----------
    job : Job
        Names the learner, its budget and the labelled data.
    faces : str
        What it is pretrained on, as ``fau train`` names it.
    progress : bool

    Returns
    -------
    Run
        Under ``job.out``; the pretrained network lies in :data:`PRETRAINED` beside it.

    Raises
    ------
    ValueError
        A method that detects AUs by itself, or a wrong name.
    """
    first = before(job, faces)
    made, read = jobs.plan(first), _labelled(job)
    fold = read.data
    parameters = {**made.parameters, "probe": list(_PENALTIES), "on": read.parameters["data"]}
    label = f"{made.label}-probe"
    done = Path(job.out) / f"{label}-{hashed(parameters)}"
    if job.resume:
        try:
            return Run.read(done)
        except DamagedRun:
            pass
    where = jobs.train(first, progress=progress)
    learner = learnt(job, faces)
    sides = {"train": fold.train, "val": fold.val, "test": fold.test.open(hashed(parameters))}
    seen = {name: embed(learner, side) for name, side in sides.items()}
    said = probed(seen)
    description, _ = store.read(where)
    meta = description["meta"]
    fitted = Fitted(
        method=learner,
        history=pd.read_parquet(where / HISTORY),
        budget=made.budget,
        seed=job.seed,
        views=meta["views"],
        seconds=meta["seconds"],
        peak_memory=0,
        device=meta["device"],
    )
    return Run.write(
        job.out,
        label=label,
        parameters=parameters,
        predictions=said["test"],
        validation=said["val"],
        fitted=fitted,
        code=["fau_utils.results.frozen", "fau_utils.training.fit", type(learner).__module__],
    )


def before(job: Job, faces: str) -> Job:
    """The pretraining of a job; raises as :func:`check`."""
    check(METHODS[job.method], faces)
    return replace(job, data=faces, fold=None, protocol="ours", out=Path(job.out) / PRETRAINED)


def learnt(job: Job, faces: str) -> Learner:
    """The learner with the weights of its finished pretraining."""
    made = jobs.plan(before(job, faces))
    network = store.load(made.path, kinds=_KINDS)
    learner = made.build(made.data)
    part = next(part for part in learner.modules() if type(part) is type(network))
    part.load_state_dict(network.state_dict())
    return learner.eval()


def probed(seen: dict[str, Features]) -> dict[str, Predictions]:
    """What a linear probe of the features of ``train``, chosen by ``val``, says of ``val`` and ``test``."""
    said = _probe(seen["train"], seen["val"])
    return {
        name: Predictions(seen[name].frames, seen[name].aus, said(seen[name].z), seen[name].labels)
        for name in ("val", "test")
    }


class Probed(Method):
    """A frozen learner with its linear probe, as an AU detector that can be shown any face.

    Parameters
    ----------
    learner : Learner
    fold : SealedFold
        Its training people fit the probe and its validation people choose the penalty, as for the run.
    """

    def __init__(self, learner: Learner, fold: SealedFold):
        super().__init__()
        self.learner, self.aus = learner, fold.train.aus
        self.probe = _probe(embed(learner, fold.train), embed(learner, fold.val))

    def loss(self, batch: Batch) -> Losses:
        raise TypeError("a frozen learner with a probe is not trained any more")

    def embed(self, batch: Batch) -> Tensor:
        return self.learner.embed(batch)

    def predict(self, batch: Batch) -> Tensor:
        z = self.embed(batch).float()
        return torch.from_numpy(self.probe(z.cpu().numpy())).to(z.device)


def _probe(train: Features, val: Features) -> Callable[[np.ndarray], np.ndarray]:
    """Features (N, D) to probabilities (N, A)."""
    mean, spread = train.z.mean(0), train.z.std(0) + 1e-6
    sides = [(((part.z - mean) / spread).astype(float), part.labels.astype(float)) for part in (train, val)]
    probe = logistic(*sides, penalties=_PENALTIES, iterations=200)
    odds = logit(np.clip(np.nanmean(sides[0][1], axis=0), 1e-3, 1 - 1e-3))

    def said(z: np.ndarray) -> np.ndarray:
        return expit(probe.predict(((z - mean) / spread).astype(float)) + odds).astype("float32")

    return said


def check(learner: type[Learner], faces: str) -> None:
    """Look up the names of a pretraining.

    Raises
    ------
    ValueError
        A method that detects AUs by itself, or faces that are not there.
    """
    if issubclass(learner, Method):
        raise ValueError(f"{learner.__name__} detects AUs by itself; leave pretrain out")
    if by_name.is_synth(faces):
        by_name.synth_of(faces)
    elif not by_name.is_shards(faces):
        by_name.folder_of(faces)
