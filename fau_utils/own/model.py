"""A trained detector in a folder of its own: weights, how to build it, where it was trained to work, and its card."""

import datetime
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.data.options import keywords_of
from fau_utils.methods import METHODS, Method
from fau_utils.own.limits import Limits
from fau_utils.training.device import resolve
from fau_utils.training.memory import is_out_of_memory

SCHEMA = 1
CARD, WEIGHTS, RANGE = "card.json", "model.safetensors", "range.safetensors"
FOLDER = "FAU_MODELS"
"""Environment variable with the folder of models; by default ``models`` in the user's data folder of ``fau``."""

AT_ONCE = {"cpu": 64, "cuda": 512}
"""Faces that go through the network together, at first: halved for as long as memory does not suffice."""


class BadModel(ValueError):
    """A folder that is no model or a damaged one; the message says what to do."""


@dataclass
class Model:
    """A detector that is ready to look at crops.

    Attributes
    ----------
    card : dict
        What ``card.json`` says.
    method : Method
        In evaluation mode.
    range : dict of Tensor, optional
        Of the training people's features, as :func:`spread` gives it.
    """

    card: dict[str, Any] = field(repr=False)
    method: Method = field(repr=False)
    range: Mapping[str, Tensor] | None = field(default=None, repr=False)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    at_once: int = 0

    def __post_init__(self) -> None:
        self.method.to(self.device).eval()
        self.range = {name: value.to(self.device) for name, value in (self.range or {}).items()}
        self.at_once = self.at_once or AT_ONCE.get(self.device.type, 64)

    @property
    def aus(self) -> tuple[int, ...]:
        return tuple(self.card["aus"])

    @property
    def size(self) -> int:
        """Side of the crops in px."""
        return self.card["input"]["size"]

    @property
    def limits(self) -> Limits:
        return Limits.from_dict(self.card["limits"])

    @property
    def threshold(self) -> np.ndarray:
        """Of each AU, (A,): the best F1 on the validation people, or 0.5."""
        return np.array(self.card["threshold"]["values"], "float64")

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N, A) and distance from the training people (N,), of crops (N, S, S, 3) uint8 RGB.

        The distance is that of :func:`apart`; ``nan`` when the model has no range.
        """
        prob, distance, start = [], [], 0
        while start < len(crops):
            piece = crops[start : start + self.at_once]
            try:
                p, d = self._some(piece)
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.at_once == 1:
                    raise
                self.at_once = max(1, self.at_once // 2)
                continue
            prob.append(p.cpu().numpy())
            distance.append(d.cpu().numpy())
            start += len(piece)
        if not prob:
            return np.zeros((0, len(self.aus)), "float32"), np.zeros(0, "float32")
        return np.concatenate(prob), np.concatenate(distance)

    def _some(self, crops: np.ndarray) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(np.ascontiguousarray(crops)).to(self.device).permute(0, 3, 1, 2).float() / 255
        batch = strangers(image, outputs=len(self.aus))
        prob = self.method.predict(batch).float()
        if not self.range:
            return prob, prob.new_full((len(prob),), torch.nan)
        return prob, apart(self.method.embed(batch).float(), self.range)


def strangers(image: Tensor, *, outputs: int) -> Batch:
    """Faces (B, 3, S, S) of people nobody knows, without labels."""
    count, device = len(image), image.device
    nobody = torch.full((count,), -1, dtype=torch.long, device=device)
    zero = torch.zeros(count, dtype=torch.long, device=device)
    return Batch(image, torch.full((count, outputs), torch.nan, device=device), nobody, zero, zero)


def spread(z: Tensor, *, directions: int = 64) -> dict[str, Tensor]:
    """Where features (N, D) lie: their mean, main directions, variance along each, and the mean square off all of them.

    That is the model of probabilistic principal components (Tipping & Bishop 1999), which needs few faces.
    """
    mean = z.mean(0)
    directions = min(directions, *z.shape)
    _, s, v = torch.linalg.svd(z - mean, full_matrices=False)
    v = v[:directions].T.contiguous()
    off = (z - mean) - (z - mean) @ v @ v.T
    variance = s[:directions].square() / len(z)
    least = variance.max() * 1e-6 + 1e-12
    return {"mean": mean, "main": v, "variance": variance.clamp(min=least), "off": off.square().sum(1).mean() + least}


def apart(z: Tensor, known: Mapping[str, Tensor]) -> Tensor:
    """Distance of features (B, D) from those of the training people, (B,); 1 is usual in training.

    Root of the mean of two: the mean square along the main directions in units of their variance, and the square off
    all of them in units of its mean.
    """
    from_mean = z - known["mean"]
    along = from_mean @ known["main"]  # (B, K)
    off = from_mean.square().sum(1) - along.square().sum(1)
    return ((along.square() / known["variance"]).mean(1) / 2 + off.clamp(min=0) / known["off"] / 2).sqrt()


def build(name: str, *, aus, size: int, options: Mapping[str, Any], people: int = 0) -> Method:
    """A method as it was before training. Its training people have no names here.

    Raises
    ------
    BadModel
        This version has no such method.
    """
    if name not in METHODS:
        raise BadModel(f"the model is of the method {name!r}, which this version does not have: {', '.join(METHODS)}")
    takes = set(keywords_of(METHODS[name]))
    given = {"size": size, "seed": 0, "subjects": [f"person {k}" for k in range(people)]}
    return METHODS[name](aus, **{**options, **{k: v for k, v in given.items() if k in takes}})


def folder() -> Path:
    """Where models are kept, see :data:`FOLDER`."""
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    from platformdirs import user_data_dir

    return Path(user_data_dir("fau", appauthor=False)) / "models"


def find(name: str | os.PathLike) -> Path:
    """The folder of a model: a path, or a name in :func:`folder`.

    Raises
    ------
    BadModel
        There is none; the models that are there are named.
    """
    for path in (Path(name), folder() / name):
        if (path / CARD).is_file():
            return path
    if (Path(name) / "run.json").is_file():
        raise BadModel(f"{name} is a run, not yet a model: fau models add {name}")
    there = [path.name for path in listing()]
    raise BadModel(
        f"no model {str(name)!r} here; " + (f"there are {', '.join(there)}" if there else "fau models add RUN")
    )


def listing() -> list[Path]:
    """Folders of the models that are kept."""
    return sorted(path.parent for path in folder().glob(f"*/{CARD}"))


def check(path: str | os.PathLike) -> dict[str, Any]:
    """The card of a model after holding every file against its hash.

    Raises
    ------
    BadModel
        Something is missing, changed, or newer than this version.
    """
    path = Path(path)
    try:
        card = json.loads((path / CARD).read_text())
        files, schema = card["files"], card["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path / CARD}: expected the card of a model, found {error!r}; add the run again") from None
    if schema > SCHEMA:
        raise BadModel(f"{path}: has schema {schema}, this version reads up to {SCHEMA}; update it")
    for name, digest in files.items():
        file = path / Path(name).name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
        if found != digest:
            state = "is missing" if found is None else f"has content {found[:12]}, the card says {digest[:12]}"
            raise BadModel(f"{file} {state}; do not use this model: add its run again, or get it from where it came")
    return card


def load(name: str | os.PathLike, *, device: torch.device | str = "auto") -> Model:
    """A model by name or folder, checked.

    Raises
    ------
    BadModel
        As :func:`find` and :func:`check`, or the weights do not fit the method of this version.
    """
    path = find(name)
    card = check(path)
    method = build(
        card["method"], aus=card["aus"], size=card["input"]["size"], options=card["options"], people=card["people"]
    )
    try:
        method.load_state_dict(safetensors.torch.load_file(path / WEIGHTS))
    except RuntimeError as error:
        raise BadModel(
            f"{path}: its weights do not fit {card['method']} of this version ({error}); train again"
        ) from None
    known = safetensors.torch.load_file(path / RANGE) if RANGE in card["files"] else None
    return Model(card, method, known, torch.device(resolve(device)))


def save(
    path: Path, *, state: Mapping[str, Tensor], card: Mapping[str, Any], known: Mapping[str, Tensor] | None
) -> Path:
    """Write a model; the card comes last, and with it the model is there."""
    path.mkdir(parents=True, exist_ok=True)
    (path / CARD).unlink(missing_ok=True)
    files = {}
    for name, tensors in ((WEIGHTS, state), (RANGE, known)):
        if tensors is None:
            continue
        data = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        (path / name).write_bytes(data)
        files[name] = hashlib.sha256(data).hexdigest()
    made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    whole = {"schema": SCHEMA, "name": path.name, "added": made, **card, "files": files}
    partial = path / f".{CARD}.part"
    partial.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n")
    partial.replace(path / CARD)
    return path
