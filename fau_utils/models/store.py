"""Our own checkpoints: tensors in safetensors, all else in json, nothing that could be executed.

A folder holds ``model.json`` and the one weights file that it names by content. The json is replaced last and in
one step, so a reader finds the old pair or the new one, never a mixture.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fau_utils import __version__
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.vit import ViT

SCHEMA = 1
DESCRIPTION = "model.json"
KINDS: dict[str, Callable[..., nn.Module]] = {"ViT": ViT, "MaskedAutoencoder": MaskedAutoencoder.from_config}
"""How a saved model is built again from its ``config``, by the name of its class."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says what was expected, what was found, and what to do."""


def save(module: nn.Module, folder: str | Path, *, meta: Mapping[str, Any] | None = None) -> Path:
    """Write a model with all that is needed to build it again.

    Parameters
    ----------
    module : nn.Module
        With an attribute ``config`` (arguments that json can hold).
    folder : path
        Made where it is missing; a model in it is replaced.
    meta : mapping, optional
        What else to remember, for instance budget, seed and scores; must be json.

    Returns
    -------
    Path
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    data = safetensors.torch.save(state)
    digest = hashlib.sha256(data).hexdigest()
    weights = f"weights-{digest[:12]}.safetensors"
    description = {
        "schema": SCHEMA,
        "package": __version__,
        "kind": type(module).__name__,
        "config": module.config,
        "weights": weights,
        "sha256": digest,
        "meta": dict(meta or {}),
    }
    text = json.dumps(description, indent=1)  # before anything is written: meta may not be json
    _replace(folder / weights, data)
    _replace(folder / DESCRIPTION, text.encode())
    for old in folder.glob("weights-*.safetensors"):
        if old.name != weights:
            old.unlink()
    return folder


def load(folder: str | Path, *, kinds: Mapping[str, Callable[..., nn.Module]] = KINDS) -> nn.Module:
    """Build a saved model again, on the CPU, in evaluation mode.

    Parameters
    ----------
    folder : path
        As given to :func:`save`.
    kinds : mapping
        From the name of the saved class to what builds it from ``**config``.

    Raises
    ------
    CheckpointError
        When the folder holds no model, a damaged one, one of a newer schema, or one of another kind.
    """
    description, state = read(folder)
    if description["kind"] not in kinds:
        raise CheckpointError(
            f"{folder}: expected a model of kind {', '.join(kinds)}, found {description['kind']}; "
            "pass kinds={name: how to build it}"
        )
    module = kinds[description["kind"]](**description["config"])
    module.load_state_dict(state)
    return module.eval()


def read(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors of a saved model, checked against each other.

    Raises
    ------
    CheckpointError
        When something is missing, damaged or newer than this version.
    """
    folder = Path(folder)
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
        schema, weights, digest = (description[key] for key in ("schema", "weights", "sha256"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{folder}: expected a folder with {DESCRIPTION}, found none; was it saved?") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / DESCRIPTION}: expected the description of a model, found {error!r}; save the model again"
        ) from error
    if schema > SCHEMA:
        raise CheckpointError(
            f"{folder}: expected schema {SCHEMA} or older, found {schema} (written by version "
            f"{description.get('package')}); update this package"
        )
    path = folder / Path(weights).name  # a name, never a way out of the folder
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: expected the weights of {DESCRIPTION}, found no file; save again") from error
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise CheckpointError(
            f"{path}: expected content {digest[:12]}, found {found[:12]} in {len(data):,} bytes; the file is "
            "damaged, copy or save it again"
        )
    return description, safetensors.torch.load(data)


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a single safetensors file.

    Raises
    ------
    CheckpointError
        When it is damaged.
    """
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: expected a complete safetensors file, found {error}; copy it again") from error


def _replace(path: Path, data: bytes) -> None:
    """Write a file in one step: whoever opens it finds all of the old or all of the new."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
