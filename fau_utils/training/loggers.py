"""Where the numbers of a running training go besides its history: TensorBoard, MLflow, Weights & Biases.

The history of :class:`~fau_utils.training.fit.Fitted` is the record; a logger is for looking on. So one that fails
while training goes on is left out with a warning, and only the first of several processes writes.
"""

import importlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

log = logging.getLogger(__name__)

POSITION: tuple[str, ...] = ("step", "views", "seconds")
"""Columns of a row that say where it is."""


class LoggerMissing(ImportError):
    """A library that is not installed."""


@runtime_checkable
class Logger(Protocol):
    """Something that wants to see every row of the history."""

    def start(self, parameters: Mapping[str, Any]) -> None:
        """Before the first step: what decides the run, as plain data."""
        ...

    def row(self, values: Mapping[str, float]) -> None:
        """A row of the history: ``step``, ``views``, ``seconds``, ``lr``, ``loss`` and whatever else there is."""
        ...

    def end(self) -> None:
        """After the last step, or after the one that failed."""
        ...


class TensorBoard:
    """Event files for ``tensorboard --logdir FOLDER``.

    A run that is resumed in the same folder replaces the rows that come after the step it resumes from.

    Parameters
    ----------
    folder : path-like
        Made when missing.

    Raises
    ------
    LoggerMissing
        Without the package tensorboard.
    """

    def __init__(self, folder: str | os.PathLike):
        _needed("tensorboard", by="TensorBoard")
        self.folder = Path(folder)
        self._parameters: Mapping[str, Any] = {}
        self._writer: Any = None

    def start(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    def row(self, values: Mapping[str, float]) -> None:
        step = int(values["step"])
        if self._writer is None:
            self._open(first=step)
        for name, value in _measured(values).items():
            self._writer.add_scalar(_grouped(name), value, global_step=step)

    def end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _open(self, *, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        resumed = self.folder.is_dir() and any(self.folder.glob("events.*"))
        # readers drop what an earlier file says of this step and later ones
        self._writer = SummaryWriter(str(self.folder), purge_step=first if resumed else None)
        rows = "\n".join(f"| {name} | {value} |" for name, value in flat(self._parameters).items())
        self._writer.add_text("parameters", f"| name | value |\n| --- | --- |\n{rows}", global_step=first)


class MLflow:
    """Rows as metrics of an MLflow run.

    Parameters
    ----------
    experiment, name : str, optional
    uri : str, optional
        Of the tracking server or folder; by default as ``MLFLOW_TRACKING_URI`` says.
    run : str, optional
        Id of a run to go on with.

    Raises
    ------
    LoggerMissing
        Without the package mlflow.
    """

    def __init__(
        self, *, experiment: str = "fau", name: str | None = None, uri: str | None = None, run: str | None = None
    ):
        self._mlflow = _needed("mlflow", by="MLflow")
        self.experiment, self.name, self.uri, self.run = experiment, name, uri, run

    def start(self, parameters: Mapping[str, Any]) -> None:
        if self.uri is not None:
            self._mlflow.set_tracking_uri(self.uri)
        self._mlflow.set_experiment(self.experiment)
        self._mlflow.start_run(run_id=self.run, run_name=self.name)
        self._mlflow.log_params({name: str(value)[:500] for name, value in flat(parameters).items()})

    def row(self, values: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(_measured(values), step=int(values["step"]))

    def end(self) -> None:
        self._mlflow.end_run()


class WandB:
    """Rows as the history of a Weights & Biases run.

    Parameters
    ----------
    project : str
    name : str, optional
    mode : {"online", "offline", "disabled"}, optional
        By default as ``WANDB_MODE`` says.
    run : str, optional
        Id of a run to go on with.

    Raises
    ------
    LoggerMissing
        Without the package wandb.
    """

    def __init__(
        self, *, project: str = "fau", name: str | None = None, mode: str | None = None, run: str | None = None
    ):
        self._wandb = _needed("wandb", by="WandB")
        self.project, self.name, self.mode, self.run = project, name, mode, run
        self._open: Any = None

    def start(self, parameters: Mapping[str, Any]) -> None:
        self._open = self._wandb.init(
            project=self.project,
            name=self.name,
            mode=self.mode,
            id=self.run,
            resume="allow" if self.run else None,
            config=flat(parameters),
        )

    def row(self, values: Mapping[str, float]) -> None:
        self._open.log(_measured(values), step=int(values["step"]))

    def end(self) -> None:
        if self._open is not None:
            self._open.finish()
        self._open = None


class Loggers:
    """Several loggers as one, silent in all processes but the first.

    What one of them raises at the start is raised: it was asked for and cannot work. Later, it is warned of and the
    logger is left out: a server that is down is no reason to lose a day of training.

    Parameters
    ----------
    loggers : iterable of Logger
    rank : int
        Of this process; only 0 writes.
    """

    def __init__(self, loggers: Iterable[Logger] = (), *, rank: int = 0):
        self._loggers = list(loggers) if rank == 0 else []

    def __enter__(self) -> "Loggers":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self, parameters: Mapping[str, Any]) -> None:
        for logger in self._loggers:
            logger.start(parameters)

    def row(self, values: Mapping[str, float]) -> None:
        self._tell("row", values)

    def end(self) -> None:
        self._tell("end")

    def _tell(self, what: str, *values: Any) -> None:
        for logger in list(self._loggers):
            try:
                getattr(logger, what)(*values)
            except Exception as error:  # noqa: BLE001  whatever a server or a disk may raise
                self._loggers.remove(logger)
                name = type(logger).__name__
                log.warning(
                    "%s failed and is left out from here, training goes on: %s: %s", name, type(error).__name__, error
                )


def flat(parameters: Mapping[str, Any], *, under: str = "") -> dict[str, Any]:
    """Nested parameters as one level: ``{"budget": {"lr": 1}}`` becomes ``{"budget.lr": 1}``."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found |= flat(value, under=f"{under}{name}.")
        else:
            found[f"{under}{name}"] = (
                value if isinstance(value, (str, int, float, bool)) else json.dumps(value, default=str)
            )
    return found


def _measured(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if name != "step" and value is not None}


def _grouped(name: str) -> str:
    """Panels of their own for what is measured on other people and for where a row is."""
    if name.startswith("val_"):
        return f"validation/{name.removeprefix('val_')}"
    return f"run/{name}" if name in (*POSITION, "lr") else f"train/{name}"


def _needed(package: str, *, by: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise LoggerMissing(
            f"{by} needs the package {package}, which is not installed ({error}); pip install {package}, or leave "
            "this logger out"
        ) from None
