"""What the words ``name=value`` of a job choose: a recipe or a budget, options of the method, of shards, of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from fau_utils.data import by_name
from fau_utils.data.options import options_of, parse
from fau_utils.methods import Learner
from fau_utils.methods.recipes import Recipe
from fau_utils.training import Budget, budget_for

Precision = Literal["32-true", "bf16-mixed", "measure"]
Log = Literal["tensorboard", "mlflow", "wandb", "none"]

HOW: Mapping[str, Any] = {"compile": bool, "precision": Precision, "log": Log}
"""Of the run: also options of ``fau train``, and here so that a grid reaches them."""

SHARDS = ("crop", "mirror", "buffer", "most_bad")
"""Of :class:`fau_utils.data.shards.Shards`."""

_GIVEN = ("aus", "subjects", "size", "seed", "init", "augment")
_BUDGET = {f.name: f.type for f in fields(Budget) if f.type in (int, float, str) and f.name != "name"}


@dataclass(frozen=True)
class Choices:
    """What was chosen.

    Attributes
    ----------
    budget : Budget
        Of a recipe, which counts in epochs, without its views until the number of faces is known.
    options, shards, how : dict
        For the constructor of the method, for that of shards, and of :data:`HOW`.
    recipe : Recipe, optional
    counted : bool
        Views were named, also beside a recipe.
    """

    budget: Budget
    options: dict[str, Any]
    shards: dict[str, Any]
    how: dict[str, Any]
    recipe: Recipe | None = None
    counted: bool = False


def choices(learner: type[Learner], settings: Sequence[str], *, of: str, data: str, budget: str) -> Choices:
    """Read the settings of a method called `of` that is shown `data`.

    Raises
    ------
    ValueError
        Names the setting, and what is expected.
    """
    recipes: dict[str, Recipe] = getattr(learner, "recipes", {})
    named = {"recipe": Literal[tuple(recipes)]} if recipes else {}
    own = {name: kind for name, kind in options_of(learner).items() if name not in _GIVEN}
    read = _of_shards() if by_name.is_shards(data) else {}
    found = parse(settings, {**named, **_BUDGET, **own, **read, **HOW}, of=f"{of} and its budget")
    recipe = recipes.get(found.pop("recipe", ""))
    numbers, shards, how = (_taken(found, names) for names in (_BUDGET, read, HOW))
    if recipe is None:
        made = budget_for(learner, budget, **numbers)
    else:
        made = Budget(**{"name": recipe.name, **recipe.budget(), **numbers})
        found = {**recipe.options, **found}
    return Choices(made, found, shards, how, recipe, "views" in numbers)


def _of_shards() -> dict[str, Any]:
    from fau_utils.data.shards import Shards

    return {name: kind for name, kind in options_of(Shards).items() if name in SHARDS}


def _taken(found: dict[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.pop(name) for name in list(found) if name in names}
