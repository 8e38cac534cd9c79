"""A grid: method x variant x dataset x protocol x fold x seed x budget, from a small YAML or Python file."""

import difflib
import hashlib
import json
import re
import runpy
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Scalar = bool | int | float | str
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Strict):
    """What a cell may use; more ends it.

    Attributes
    ----------
    minutes : float, optional
        Wall-clock time of one attempt.
    memory_gb : float, optional
        Of all processes of the cell together, 10⁹ bytes.
    cpus : int
        Threads of numerical libraries.
    gpus : int
        0 or 1; a cell trains on one device.
    """

    minutes: Annotated[float, Field(gt=0)] | None = None
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    cpus: Annotated[int, Field(ge=1)] = 1
    gpus: Annotated[int, Field(ge=0, le=1)] = 0


class Retries(_Strict):
    """How often a cell is tried again for causes that may pass.

    Attributes
    ----------
    times : int
    wait : float
        Seconds before the first retry; four times as long before each next one.
    """

    times: Annotated[int, Field(ge=0, le=20)] = 2
    wait: Annotated[float, Field(ge=0)] = 10.0


class MethodEntry(_Strict):
    """A method with its variants: name of the variant to its settings (numbers of the budget, options, ``init``,
    ``recipe``, ``compile``, ``precision``, ``log``; see :mod:`fau_utils.results.choices`).

    A learner that reads no labels has ``pretrain`` among them, the faces it learns from before it is probed. `data`
    takes the place of the grid's, for methods that need others.
    """

    method: str
    variants: dict[str, dict[str, Scalar]] = Field(default_factory=lambda: {"default": {}}, min_length=1)
    budgets: list[str] | None = None
    limits: Limits | None = None
    data: Annotated[list["DataEntry"], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        return (
            {**value, "data": _listed(value["data"], "data")} if isinstance(value, dict) and "data" in value else value
        )

    @field_validator("variants")
    @classmethod
    def _names(cls, value: dict) -> dict:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"a variant is named with letters, digits, '.', '_' and '-', found {name!r}")
        return value


class DataEntry(_Strict):
    """Data as ``fau train`` names it, the protocol that divides it, and the folds that are tested."""

    data: str
    protocol: str = "ours"
    folds: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


class Grid(_Strict):
    """A grid as its file says it.

    Attributes
    ----------
    name : str
    methods : list of MethodEntry
        A plain name is that method with its defaults.
    data : list of DataEntry
        A plain name is that dataset under the protocol ``ours``.
    seeds : list of int
        A number n stands for 0 ... n-1.
    budgets : list of str
    limits : Limits
    retries : Retries
    notebook : str
        Chapter that runs a cell.
    body : list of str, optional
        A command that is called with the cell's work folder instead of the notebook, see :mod:`fau_utils.bench.cell`.
    """

    name: str
    methods: Annotated[list[MethodEntry], Field(min_length=1)]
    data: Annotated[list[DataEntry], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = Field(default_factory=lambda: [0, 1, 2])
    budgets: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["laptop"])
    limits: Limits = Limits()
    retries: Retries = Retries()
    notebook: str = "50_benchmark_run"
    body: list[str] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = dict(value)
        for key, inner in (("methods", "method"), ("data", "data")):
            if key in value:
                value[key] = _listed(value[key], inner)
        if isinstance(value.get("budgets"), str):
            value["budgets"] = [value["budgets"]]
        if type(value.get("seeds")) is int and value["seeds"] > 0:
            value["seeds"] = list(range(value["seeds"]))
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, '.', '_' and '-' make a name")
        return value

    @field_validator("seeds", "budgets")
    @classmethod
    def _once(cls, value: list) -> list:
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is there twice")
        return value

    def cells(self) -> list["Cell"]:
        """All cells, seeds outermost: a grid that is cut has every method with as many seeds.

        Raises
        ------
        ValueError
            Two cells that are the same.
        """
        made = list(self._cells())
        seen: set[str] = set()
        for cell in made:
            if cell.id in seen:
                raise ValueError(f"grid {self.name}: the cell {cell.id} is there twice; name its variants differently")
            seen.add(cell.id)
        return made

    def _cells(self) -> Iterator["Cell"]:
        own = [data for entry in self.methods for data in entry.data or ()]
        places = [(data, fold) for data in dict.fromkeys([*self.data, *own]) for fold in data.folds or [None]]
        for seed, (data, fold), entry in product(self.seeds, places, self.methods):
            if data not in (entry.data or self.data):
                continue
            for (variant, settings), budget in product(entry.variants.items(), entry.budgets or self.budgets):
                yield Cell(
                    method=entry.method,
                    variant=variant,
                    data=data.data,
                    protocol=data.protocol,
                    fold=fold,
                    seed=seed,
                    budget=budget,
                    settings=tuple(f"{name}={_word(value)}" for name, value in settings.items()),
                    limits=entry.limits or self.limits,
                    retries=self.retries,
                )


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes
    ----------
    method, variant, data, protocol, budget : str
    fold : str, optional
    seed : int
    settings : tuple of str
        ``name=value``, as ``fau train --set`` takes them; ``init=PATH`` is the checkpoint to begin from.
    """

    method: str
    variant: str
    data: str
    protocol: str
    fold: str | None
    seed: int
    budget: str
    settings: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits, repr=False)
    retries: Retries = field(default_factory=Retries, repr=False)

    @property
    def place(self) -> dict[str, Any]:
        """Where in the grid the cell is."""
        names = ("method", "variant", "data", "protocol", "fold", "seed", "budget")
        return {name: getattr(self, name) for name in names}

    @property
    def id(self) -> str:
        """Name of its folder. Settings are not in it: a variant that is changed stays the same cell, out of date."""
        words = [self.method, "" if self.variant == "default" else self.variant, Path(self.data).name]
        words += ["" if self.protocol == "ours" else self.protocol, self.fold or "", self.budget, f"s{self.seed}"]
        name = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word).strip("_.") for word in words if word)[:90]
        return f"{name}-{hashlib.sha256(json.dumps(self.place).encode()).hexdigest()[:6]}".lower()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the notebook is given."""
        return {**self.place, "fold": self.fold or "", "settings": list(self.settings)}


def load(path: Path) -> Grid:
    """Read a grid; a Python file has it as ``grid``, a dict, a :class:`Grid` or a function that returns one.

    Raises
    ------
    ValueError
        Names the file, the key and what was expected.
    """
    if not path.is_file():
        known = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, known, n=1, cutoff=0.5)
        there = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}" if known else ""
        raise ValueError(f"expected a grid at {path}, found no such file{there}")
    if path.suffix == ".py":
        found = runpy.run_path(str(path)).get("grid")
        found = found() if callable(found) and not isinstance(found, Grid) else found
        if found is None:
            raise ValueError(f"{path.name}: expected a name `grid`, a dict or a function that returns one, found none")
    else:
        try:
            found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Once)
        except yaml.YAMLError as error:
            raise ValueError(f"{path.name}: is no YAML: {' '.join(str(error).split())}") from None
    if isinstance(found, Grid):
        return found
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: expected keys with values, found {type(found).__name__}")
    return checked({"name": path.stem, **found}, of=path.name)


def checked(found: dict[str, Any], *, of: str) -> Grid:
    """A grid from plain data; `of` is what messages call it.

    Raises
    ------
    ValueError
        Names every key that is wrong.
    """
    try:
        return Grid.model_validate(found)
    except ValidationError as error:
        raise ValueError(f"{of}: " + "; ".join(_said(item) for item in error.errors())) from None


class _Once(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error, not the last one's value."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=deep)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_PARTS = {"methods": MethodEntry, "data": DataEntry, "limits": Limits, "retries": Retries}


def _said(item: dict) -> str:
    *path, last = item["loc"] or ("the grid",)
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in (*path, last)).lstrip(".")
    if item["type"] == "extra_forbidden":
        known = list(next((_PARTS[p] for p in reversed(path) if p in _PARTS), Grid).model_fields)
        near = difflib.get_close_matches(str(last), known, n=1)
        return f"{where}: unknown key; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
    if item["type"] == "missing":
        return f"{where}: is missing"
    found = repr(item["input"])
    return f"{where}: {item['msg'].removeprefix('Value error, ')}, found {found[:60]}{'...' if len(found) > 60 else ''}"


def _listed(value: Any, inner: str) -> Any:
    """One name or several as a list of mappings; what is neither is left for the check to name."""
    value = [value] if isinstance(value, str) else value
    return [{inner: item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value


def _word(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
