"""What decides a cell's result, so that a change of it, and of nothing else, runs the cell again."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fau_utils.bench.grid import Cell, Grid
from fau_utils.bench.store import ROOT, raw

Ingredients = dict[str, Any]
_CODE = (
    "fau_utils.data.by_name", "fau_utils.training.fold", "fau_utils.results.run", "fau_utils.stress.robustness",
)  # fmt: skip
_PACKAGES = ("torch", "torchvision", "timm", "lightning", "numpy", "scipy")


def ingredients(cell: Cell, grid: Grid, *, notebook: Path) -> Ingredients:
    """Everything that decides the result, each part under a name that a person knows.

    Parameters
    ----------
    notebook : Path
        The ``.ipynb`` that runs a cell; not read when the grid has a body of its own.

    Returns
    -------
    dict
        ``parameters``, ``code`` (file: hash), and unless the grid has its own body ``notebook``, ``data``,
        ``versions``, and ``init`` where a checkpoint is named.
    """
    if grid.body is not None:
        return {"parameters": cell.parameters, "code": {path.name: _digest(path) for path in _own(grid)}}
    made = {
        "parameters": cell.parameters,
        "notebook": _digest(notebook),
        "code": code_of(cell.method),
        "data": _data(cell.data, cell.method),
        "versions": _versions(),
    }
    init, faces = _init(cell), _told(cell.settings, "pretrain")
    if faces is not None:
        made["pretrain"] = _data(faces, cell.method, unlabelled=True)
    return made if init is None else {**made, "init": _digest(init)}


def sources(found: Ingredients, grid: Grid, *, notebook: Path) -> dict[str, str]:
    """Hashes of the very files, to be held against those that are there when a cell begins and when it ends."""
    if grid.body is not None:
        return {str(path): raw(path) for path in _own(grid)}
    named = {name: ROOT / name for name in found["code"]}
    return {name: raw(path) for name, path in {**named, str(notebook.relative_to(ROOT)): notebook}.items()}


def digest_of(found: Ingredients) -> str:
    """Hash of all ingredients, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def difference(before: Ingredients, now: Ingredients) -> str:
    """What changed, in words: ``fau_utils/methods/vit.py changed and 2 more``."""
    for name in sorted({*before, *now}, key=lambda name: (name != "parameters", name)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _entries(old, new, files=name == "code")
        return {"notebook": "the notebook changed", "data": "the data changed", "init": "the checkpoint changed"}.get(
            name, f"{name} {_short(old)} -> {_short(new)}"
        )
    return "nothing changed"


def check(cells: list[Cell]) -> None:
    """Look up every name of a grid before anything runs.

    Raises
    ------
    ValueError
        Names the method, setting, dataset or fold, and what there is.
    """
    from fau_utils.data import by_name
    from fau_utils.methods import METHODS, Method
    from fau_utils.methods.domain_networks import TwoDomainDetector
    from fau_utils.results import frozen
    from fau_utils.results.choices import choices
    from fau_utils.training import domain_fold

    for method, budget, variant, settings in {(c.method, c.budget, c.variant, c.settings) for c in cells}:
        if method not in METHODS:
            raise ValueError(f"methods: unknown method {method!r}; known are {', '.join(METHODS)}")
        faces = _told(settings, "pretrain")
        if not issubclass(METHODS[method], Method) and faces is None:
            raise ValueError(
                f"methods: {method} learns no AUs, so there is nothing to score; say in pretrain which faces it learns "
                "from before a linear probe reads them, or train it with `fau train` and give its checkpoint to a "
                "method as init"
            )
        try:
            if faces is not None:
                frozen.check(METHODS[method], faces)
            words = [word for word in settings if not word.startswith(("init=", "pretrain="))]
            choices(METHODS[method], words, of=method, data=faces or "", budget=budget)
        except ValueError as error:
            raise ValueError(f"methods: {method}, variant {variant}: {error}") from None
    for cell in cells:
        init = _init(cell)
        if init is not None and not init.exists():
            raise ValueError(f"methods: {cell.method}, variant {cell.variant}: init: no checkpoint at {init}")
    protocols: dict[tuple[str, str], Any] = {}
    asked = {(c.data, c.protocol, c.fold, issubclass(METHODS[c.method], TwoDomainDetector)) for c in cells}
    for data, protocol, fold, domains in sorted(asked, key=str):
        try:
            if by_name.is_synth(data):
                domain_fold.gap_of(data) if domains else by_name.synth_of(data)
                if fold is not None:
                    raise ValueError("synth has its own people for validation and test; leave folds out")
            elif domains:
                domain_fold.sides_of(data)
            elif not by_name.is_shards(data):
                if (data, protocol) not in protocols:
                    protocols[data, protocol] = by_name.prepared(data, protocol=protocol).protocol
                by_name.fold_of(protocols[data, protocol], fold)
        except ValueError as error:
            raise ValueError(f"data: {data}: {error}") from None


def _own(grid: Grid) -> list[Path]:
    return [Path(word) for word in grid.body or () if "/" in word and Path(word).is_file()]


def _init(cell: Cell) -> Path | None:
    found = _told(cell.settings, "init")
    return None if found is None else Path(found)


def _told(settings: tuple[str, ...], name: str) -> str | None:
    return next((word.partition("=")[2] for word in settings if word.startswith(f"{name}=")), None)


@cache
def code_of(method: str) -> dict[str, str]:
    """Hashes of the files that decide what a cell of this method measures."""
    from fau_utils import provenance
    from fau_utils.methods import METHODS, Method

    root = Path(provenance.__file__).parents[1]
    # neither job.py's imports, which are all methods, nor figures decide what a cell measures
    found = provenance.used_files([METHODS[method].__module__, *_CODE])
    names = ["job", "choices", "entrant", *([] if issubclass(METHODS[method], Method) else ["frozen"])]
    found += [root / "fau_utils" / "results" / f"{name}.py" for name in names]
    return {path.relative_to(root).as_posix(): provenance.code_hash([path])[:12] for path in found}


@cache
def _data(name: str, method: str, *, unlabelled: bool = False) -> str:
    from fau_utils.methods import METHODS
    from fau_utils.methods.domain_networks import TwoDomainDetector
    from fau_utils.results.content import content_of

    said = content_of(name, domains=issubclass(METHODS[method], TwoDomainDetector) and not unlabelled)
    return said["config"] if set(said) == {"config"} else digest_of(said)


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        found[name] = importlib.metadata.version(name)
    return found


def _digest(path: Path) -> str:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return hashlib.sha256("".join(f"{p.name}{_digest(p)}" for p in files).encode()).hexdigest()[:16]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _entries(old: Mapping, new: Mapping, *, files: bool) -> str:
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    first = changed[0]
    if files:
        word = "removed" if first not in new else "changed" if first in old else "added"
        said = f"{first} {word}"
    else:
        was, is_now = old.get(first), new.get(first)
        if isinstance(was, list) and isinstance(is_now, list):  # of settings, only those that differ
            was, is_now = [w for w in was if w not in is_now], [w for w in is_now if w not in was]
        said = f"{first} {_short(was)} -> {_short(is_now)}"
    return said + (f" and {len(changed) - 1} more" if len(changed) > 1 else "")


def _short(value: Any) -> str:
    text = (
        "(none)" if value in (None, [], "") else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."
