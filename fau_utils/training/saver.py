"""A run between its checkpoints: what makes it the same run, what is saved of it, and how it goes on."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning.fabric import Fabric
from torch import nn

from fau_utils.data.images import ImageSet
from fau_utils.data.source import Source, known_length
from fau_utils.frames import KEY
from fau_utils.methods.contract import Learner
from fau_utils.training import state
from fau_utils.training.budget import Budget
from fau_utils.training.checkpoints import Checkpoint, Checkpoints, Writer
from fau_utils.training.choice import Best
from fau_utils.training.divided import divides
from fau_utils.training.ema import Ema
from fau_utils.training.memory import Gradients
from fau_utils.training.prepared import crosses
from fau_utils.training.readings import Readings

PIXELS_FROM = 16
"""Images whose pixels tell one set from another with the same frames and labels."""


@dataclass
class Moving:
    """The parts of a run that change from step to step."""

    learner: Learner
    optimizer: torch.optim.Optimizer | None
    gradients: Gradients
    readings: Readings
    ema: Ema | None
    best: Best


class Saver:
    """Saves a run every so many views, and brings it back. Without checkpoints it does nothing.

    Parameters
    ----------
    checkpoints : Checkpoints, optional
    fabric : Fabric, optional
        When there are several processes.
    resume : bool
        Whether to go on from a checkpoint, or to remove those that are there.
    """

    def __init__(self, checkpoints: Checkpoints | None, *, fabric: Fabric | None = None, resume: bool = True):
        self._checkpoints, self._fabric, self._resume = checkpoints, fabric, resume
        self._configuration: dict[str, Any] = {}
        self._found: Checkpoint | None = None
        self._writer: Writer | None = None
        self._saved = -1

    def find(self, **decides: Any) -> None:
        """Look for a checkpoint of the run that :func:`configuration_of` describes.

        Raises
        ------
        OtherRun
            When there is one of another run.
        """
        if self._checkpoints is None:
            return
        self._configuration = configuration_of(**decides, world=self._fabric.world_size if self._fabric else 1)
        if self._resume:
            self._found = self._checkpoints.newest(self._configuration)
        elif self._first:
            self._checkpoints.clear()
        if self._fabric is not None:
            self._fabric.barrier()
            if self.step != self._fabric.broadcast(self.step):
                raise RuntimeError(
                    f"process {self._fabric.global_rank} found the checkpoint of step {self.step}, the first process "
                    f"another one; expected a folder that all processes see, found {self._checkpoints.path}"
                )

    @property
    def _first(self) -> bool:
        return self._fabric is None or self._fabric.is_global_zero

    @property
    def step(self) -> int:
        """Number of steps that the run has behind it."""
        return self._found.state["step"] if self._found else 0

    @property
    def precision(self) -> str | None:
        """Of the run that goes on; None when one begins."""
        return self._found.state["precision"] if self._found else None

    @property
    def folder(self) -> Path | None:
        """Where something can be left for inspection."""
        return self._checkpoints.path if self._checkpoints else None

    def __enter__(self) -> "Saver":
        if self._checkpoints is not None and self._first:
            self._writer = Writer(self._checkpoints)
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.wait()

    def due(self, before: int, shown: int) -> bool:
        """Whether a checkpoint is due after so many views."""
        return self._checkpoints is not None and crosses(before, shown, self._checkpoints.every)

    def resume(self, run: Moving, *, fabric: Fabric) -> tuple[int, float, list[dict]]:
        """Bring a run to where its checkpoint was; returns the next step, the seconds so far and the history."""
        self._fabric = fabric
        if self._found is None:
            return 0, 0.0, []
        tensors, said = self._found.tensors, self._found.state
        state.put_whole(run.learner, state.under("weights", tensors))
        if run.optimizer is not None:
            state.put_moments(run.learner, run.optimizer, state.under("moments", tensors))
        if run.ema is not None:
            run.ema.load(state.under("ema", tensors))
        run.best.value, run.best.step = said["best"]["value"], said["best"]["step"]
        run.best.weights = state.under("best", tensors)
        run.readings.names = said["readings"]
        run.readings.kept = list(tensors["readings"].to(fabric.device)) if "readings" in tensors else []
        run.gradients.micro = said["micro"]
        state.put_randomness(fabric, state.under("random", tensors))
        self._saved = said["step"]
        self._found = None  # frees its tensors
        return said["step"], said["seconds"], said["rows"]

    def save(self, run: Moving, *, step: int, seconds: float, rows: list[dict]) -> None:
        """Save a run after a number of steps. All processes come here; the first one writes."""
        if self._checkpoints is None or step == self._saved:
            return
        self._saved = step
        random = state.randomness(self._fabric)
        if self._writer is None and not divides(self._fabric):
            return
        kept = {"readings": torch.stack(run.readings.kept)} if run.readings.kept else {}
        tensors = state.on_cpu(
            {
                **state.prefixed("weights", state.whole(run.learner)),
                **state.prefixed("moments", state.moments(run.learner, run.optimizer) if run.optimizer else {}),
                **state.prefixed("ema", run.ema.state() if run.ema else {}),
                **state.prefixed("random", random),
                **kept,
            }
        )
        if self._writer is None:
            return
        said = {
            "configuration": self._configuration,
            "precision": str(self._fabric._precision.precision),
            "step": step,
            "seconds": seconds,
            "rows": list(rows),
            "micro": run.gradients.micro,
            "readings": run.readings.names,
            "best": {"value": run.best.value, "step": run.best.step},
        }
        self._writer.write(step, {**tensors, **state.prefixed("best", run.best.weights)}, said)


def configuration_of(
    learner: Learner, train: Source, val: ImageSet | None, *, budget: Budget, world: int, **others: Any
) -> dict[str, Any]:
    """What decides a run, as plain data with names for people. `learner` is as it was before training."""
    return {
        "method": f"{type(learner).__module__}.{type(learner).__qualname__}",
        "initial weights": _digest_of(learner),
        "training faces": describe(train),
        "validation faces": None if val is None else describe(val),
        **{f"budget.{name}": value for name, value in asdict(budget).items()},
        "processes": world,
        **others,
    }


def describe(source: Source) -> str:
    """A source in words, with a hash of which faces they are, their labels and a few of their pixels."""
    if not isinstance(source, ImageSet):
        said = repr(source)  # the default has an address, which is another one in every process
        return said if " at 0x" not in said else f"{type(source).__name__} of {known_length(source)} faces"
    digest = hashlib.sha256(repr(source.aus).encode())
    digest.update(
        pd.util.hash_pandas_object(source.frames.table[list(KEY)].astype(str), index=False).to_numpy().tobytes()
    )
    digest.update(source.labels.cpu().contiguous().numpy().tobytes())
    some = torch.from_numpy(np.linspace(0, len(source) - 1, PIXELS_FROM).astype("int64"))
    digest.update(source.raw(some.to(source.device), device="cpu").image.contiguous().numpy().tobytes())
    return f"{source!r}, hash {digest.hexdigest()[:12]}"


def _digest_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(state.whole(module).items()):
        value = value.detach().cpu().contiguous()
        digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
