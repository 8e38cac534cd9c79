"""How a job is run, apart from what it trains: precision, and who looks on."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fau_utils.data.source import Source
from fau_utils.data.stored import write_text
from fau_utils.methods import Learner
from fau_utils.training import Budget
from fau_utils.training.device import resolve
from fau_utils.training.launch import started_outside
from fau_utils.training.loggers import Logger, LoggerMissing, MLflow, TensorBoard, WandB
from fau_utils.training.precision import precision_for

log = logging.getLogger(__name__)


def numerics(*, compile: bool, precision: str | None) -> dict[str, Any]:
    """What is asked of the arithmetic; nothing by default, so that a run's id and its opening stay what they were."""
    return {**({"compile": True} if compile else {}), **({} if precision is None else {"precision": precision})}


def precision(
    asked: str | None,
    build: Callable[[Source], Learner],
    train: Source,
    *,
    device: str,
    processes: int,
    budget: Budget,
    seed: int,
    kept: Path | None,
) -> str | None:
    """Fabric's name, None for the device's usual one.

    Parameters
    ----------
    kept : Path, optional
        A file with what a clock chose before, for a run that goes on.

    Raises
    ------
    ValueError
        Several processes on a CPU, each of which would go by a clock of its own.
    """
    if asked != "measure":
        return asked
    if (device := resolve(device)).type == "cuda":
        return None
    if processes > 1 or started_outside() is not None:
        raise ValueError("--precision measure is for one process; name 32-true or bf16-mixed for several")
    if kept is not None and kept.is_file():
        return kept.read_text(encoding="utf-8")
    chosen = precision_for("measure", build(train), train, device=device, budget=budget, seed=seed)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_text(kept, chosen)
    return chosen


def loggers(kind: str, *, folder: Path, name: str, resume: bool) -> list[Logger]:
    """Who is told each row of the history.

    Raises
    ------
    ValueError
        A library that is asked for and not installed; TensorBoard, which nobody asked for, is left out.
    """
    try:
        match kind:
            case "tensorboard":
                return [TensorBoard(folder)]
            case "mlflow":
                return [MLflow(name=name)]
            case "wandb":
                return [WandB(name=name, run=name if resume else None)]
    except LoggerMissing as error:
        if kind != "tensorboard":
            raise ValueError(f"--log {kind}: {error}") from None
        log.warning("no event files: %s", error)
    return []
