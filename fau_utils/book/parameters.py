"""Parameters of chapters: what ``papermill.inspect_notebook`` finds, and values checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fau_utils.book.chapters import Chapter, literal, nearest
from fau_utils.book.errors import UserError

BUDGETS = ("smoke", "laptop", "gpu", "paper")
_TYPES = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell."""

    name: str
    type: str
    default: Any
    help: str = ""

    def parse(self, text: str) -> Any:
        """The value that a person typed.

        Raises
        ------
        UserError
            When it is not of the parameter's type.
        """
        if self.type == "str":
            return text
        value = (
            {"true": True, "false": False}.get(text.lower(), literal(text)) if self.type == "bool" else literal(text)
        )
        wanted = _TYPES.get(self.type.split("[")[0])
        if wanted is None:
            return value
        if wanted is float and type(value) is int:
            value = float(value)
        if wanted in (list, tuple) and isinstance(value, list | tuple):
            value = wanted(value)
        if type(value) is not wanted:  # not isinstance: True is no number of epochs
            example = {"bool": "true or false"}.get(self.type, f"a value such as {self.default!r}")
            raise UserError(f"parameter {self.name}: expected {self.type}, found {text!r}; give {example}")
        return value


def declared(notebook_path: str) -> dict[str, Parameter]:
    """The parameters of a notebook file as papermill sees them."""
    import papermill

    found = papermill.inspect_notebook(notebook_path)
    parameters = {}
    for name, item in found.items():
        default = literal(item["default"])
        kind = item["inferred_type_name"]
        kind = type(default).__name__ if kind in (None, "None") else kind.strip()
        parameters[name] = Parameter(name, kind, default, item["help"])
    return parameters


def split(settings: Sequence[str]) -> dict[str, str]:
    """``name=value`` words as a dictionary.

    Raises
    ------
    UserError
        When a word has no ``=`` or a name comes twice.
    """
    values: dict[str, str] = {}
    for word in settings:
        name, equals, value = word.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UserError(f"--set {word}: expected name=value, such as --set seed=1")
        if name in values:
            raise UserError(f"--set {name} is given twice; give it once")
        values[name] = value.strip()
    return values


def assign(
    known: Mapping[str, Mapping[str, Parameter]], settings: Mapping[str, str], *, budget: str | None = None
) -> dict[str, dict[str, Any]]:
    """Values for each chapter: its defaults, the budget where it has one, and what was set.

    Parameters
    ----------
    known : mapping of chapter name to its parameters
    settings : mapping of parameter name to the text typed for it
        One that only some chapters have goes to those.
    budget : str, optional
        For every chapter with a parameter ``budget``.

    Raises
    ------
    UserError
        For a name that no chapter has, with the nearest one and the list, and for a value of the wrong type.
    """
    if budget is not None and budget not in BUDGETS:
        raise UserError(f"no budget {budget!r}{nearest(budget, BUDGETS)}; there are: {', '.join(BUDGETS)}")
    if budget is not None and "budget" in settings:
        raise UserError("--budget and --set budget=... are both given; give one")
    if settings.get("budget", BUDGETS[0]) not in BUDGETS:
        raise UserError(f"no budget {settings['budget']!r}; there are: {', '.join(BUDGETS)}")
    names = sorted({name for parameters in known.values() for name in parameters})
    for name in settings:
        if name not in names:
            where = "; ".join(f"{chapter} has {', '.join(p) or 'none'}" for chapter, p in known.items())
            raise UserError(f"no chapter has a parameter {name!r}{nearest(name, names)}; {where}")
    assigned = {}
    for chapter, parameters in known.items():
        values = {p.name: p.default for p in parameters.values()}
        if budget is not None and "budget" in parameters:
            values["budget"] = budget
        values |= {name: parameters[name].parse(text) for name, text in settings.items() if name in parameters}
        assigned[chapter] = values
    return assigned


def expected_names(chapter: Chapter, source: str) -> list[str]:
    """Names that a parameters cell assigns according to Python itself, in order.

    Raises
    ------
    UserError
        When the cell holds anything but assignments of literals to names.
    """
    import ast

    names = []
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name) or getattr(node, "value", None) is None:
            line = ast.unparse(node).splitlines()[0]
            raise UserError(
                f"{chapter.path.name}: the parameters cell holds {line!r}; only name: type = literal may be"
            )
        names.append(target.id)
    return names
