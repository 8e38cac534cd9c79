"""A run on disk: a folder that exists completely or not at all."""

import datetime
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fau_utils import provenance
from fau_utils.methods.contract import Method
from fau_utils.training import Fitted, Predictions

SCHEMA = 1
"""Version of the layout of a run; a reader refuses what is newer than itself."""

RECORD, PREDICTIONS, METRICS, HISTORY, WEIGHTS, VALIDATION = (
    "run.json",
    "predictions.parquet",
    "metrics.parquet",
    "history.parquet",
    "model.safetensors",
    "validation.parquet",
)


class DamagedRun(ValueError):
    """A folder that should be a run and cannot be read as one."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    path : Path
        Its folder; the folder's name is the run's id.
    record : dict
        What ``run.json`` says: ``label, parameters, config_hash, seed, budget, views, seconds, peak_memory,
        device, code_hash, git_revision, versions, finished, schema``.
    """

    path: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Label and configuration hash: the same configuration has the same id."""
        return self.path.name

    @classmethod
    def write(
        cls,
        root: str | os.PathLike,
        *,
        label: str,
        parameters: Mapping[str, Any],
        predictions: Predictions,
        validation: Predictions | None = None,
        fitted: Fitted | None = None,
        code: Iterable[str | ModuleType | Path] = (),
        weights: bool = False,
    ) -> "Run":
        """Record a run under `root`, complete or not at all; a run with the same id is replaced.

        Parameters
        ----------
        root : path
            Folder of all runs; made when missing.
        label : str
            First part of the id; letters, digits, ``.``, ``_`` and ``-``.
        parameters : mapping
            All that decides the result: method, data, protocol, budget, seed. Dataclasses become dicts.
        predictions : Predictions
            On the test frames. Scores at threshold 0.5 are derived from them.
        validation : Predictions, optional
            On the validation frames, by the same weights, for thresholds that are tuned on them.
        fitted : Fitted, optional
            Gives seed, budget, history, seconds, memory and device.
        code : iterable of module, module name or Path
            What the numbers were made with, see :func:`fau_utils.provenance.code_hash`; by default the class of
            the fitted method and the training loop.
        weights : bool
            Keep the weights too, as safetensors.

        Raises
        ------
        ValueError
            A label that is no file name, or parameters that are no plain data.
        OSError
            When the folder cannot be written; nothing is left behind.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", label):
            raise ValueError(f"expected a label of letters, digits, '.', '_' and '-', found {label!r}")
        parameters = plain(parameters)
        config_hash = hashed(parameters)
        code = list(code) or (["fau_utils.training.fit", type(fitted.method).__module__] if fitted else [])
        record = {
            "schema": SCHEMA,
            "label": label,
            "parameters": parameters,
            "config_hash": config_hash,
            "seed": fitted.seed if fitted else parameters.get("seed"),
            "budget": plain(fitted.budget) if fitted else None,
            "views": fitted.views if fitted else None,
            "seconds": fitted.seconds if fitted else None,
            "peak_memory": fitted.peak_memory if fitted else provenance.peak_memory(),
            "device": provenance.device_name(fitted.device if fitted else "cpu"),
            "code_hash": _code_hash(code),
            "git_revision": provenance.git_revision(),
            "versions": provenance.versions(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        root = Path(root)
        root.mkdir(parents=True, exist_ok=True)
        final = root / f"{label}-{config_hash}"
        # hidden until it is whole: readers pass over names that begin with a dot
        partial = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=root))
        try:
            predictions.table().to_parquet(partial / PREDICTIONS, index=False)
            if validation is not None:
                validation.table().to_parquet(partial / VALIDATION, index=False)
            predictions.scores().to_parquet(partial / METRICS, index=False)
            history = fitted.history if fitted else pd.DataFrame({"step": pd.Series(dtype="int64")})
            history.to_parquet(partial / HISTORY, index=False)
            if weights and fitted:
                _save_weights(fitted.method, partial / WEIGHTS)
            (partial / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n")
            partial.chmod(0o755)
            _put_in_place(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls(final, record)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Run":
        """Open a run.

        Raises
        ------
        DamagedRun
            Names the folder and what is wrong with it.
        """
        path = Path(path)
        try:
            record = json.loads((path / RECORD).read_text())
        except FileNotFoundError:
            raise DamagedRun(f"{path}: expected a finished run, found no {RECORD}; run it again") from None
        except (OSError, ValueError) as error:
            raise DamagedRun(f"{path / RECORD}: cannot be read ({error}); delete the folder and run it again") from None
        if not isinstance(record, dict) or not {"schema", "label", "parameters", "config_hash"} <= set(record):
            raise DamagedRun(f"{path / RECORD}: is no record of a run; delete the folder and run it again")
        if record["schema"] > SCHEMA:
            raise DamagedRun(f"{path}: has layout {record['schema']}, this version reads up to {SCHEMA}; update it")
        for name in (PREDICTIONS, METRICS, HISTORY):
            try:
                pq.read_metadata(path / name)
            except (OSError, ValueError) as error:
                raise DamagedRun(f"{path / name}: {error}; delete the folder and run it again") from None
        return cls(path, record)

    def predictions(self) -> Predictions:
        """What was predicted, to be scored again under any threshold or protocol."""
        return Predictions.from_table(pd.read_parquet(self.path / PREDICTIONS))

    def validation(self) -> Predictions | None:
        """What was predicted of the validation people, or None when that was not kept."""
        path = self.path / VALIDATION
        return Predictions.from_table(pd.read_parquet(path)) if path.is_file() else None

    def metrics(self) -> pd.DataFrame:
        """Scores per AU, see :meth:`Predictions.scores`."""
        return pd.read_parquet(self.path / METRICS)

    def history(self) -> pd.DataFrame:
        """The loss while training, see :class:`Fitted`."""
        return pd.read_parquet(self.path / HISTORY)

    def load_weights(self, method: Method) -> Method:
        """Put the recorded weights into a method of the same configuration.

        Raises
        ------
        FileNotFoundError
            When the run was written without ``weights=True``.
        """
        from safetensors.torch import load_file

        if not (self.path / WEIGHTS).is_file():
            raise FileNotFoundError(f"{self.path}: has no weights; write it with weights=True")
        method.load_state_dict(load_file(self.path / WEIGHTS))
        return method


def plain(value: Any) -> Any:
    """Parameters as plain data that JSON can hold.

    Raises
    ------
    ValueError
        For anything that is not data; it is named.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"expected finite numbers among the parameters, found {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    raise ValueError(f"expected parameters that are plain data, found {value!r}; record its name or its numbers")


def hashed(parameters: Any) -> str:
    """Hash of plain parameters, 12 hexadecimal digits; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(plain(parameters), sort_keys=True).encode()).hexdigest()[:12]


def _code_hash(code: list) -> str | None:
    if not code:
        return None
    try:
        return provenance.code_hash(code)
    except ValueError:  # a method defined in a notebook: its text is in the executed notebook
        return None


def _save_weights(method: Method, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}, path)


def _put_in_place(partial: Path, final: Path) -> None:
    if final.exists():
        # a folder cannot replace another: between the two renames there is no run, never half of one
        old = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
        final.rename(old / "replaced")
        partial.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(final)
