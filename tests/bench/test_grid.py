"""Grids: every combination is a cell, and a mistake is named by its key."""

from pathlib import Path

import pytest

from fau_utils.bench import command, fingerprint
from fau_utils.bench.grid import Cell, checked, load
from fau_utils.data import by_name, conventions

SMALL = {"name": "small", "methods": ["cnn"], "data": "synth"}


def test_every_combination_is_a_cell_and_seeds_are_outermost():
    grid = checked(
        {
            "name": "g",
            "methods": [
                "cnn",
                {"method": "vit", "variants": {"default": {}, "slow": {"lr": 0.001}}, "budgets": ["gpu"]},
            ],
            "data": ["synth", {"data": "bp4d", "folds": ["P1", "P2"]}],
            "seeds": 2,
            "budgets": ["smoke", "laptop"],
        },
        of="g",
    )
    cells = grid.cells()
    assert len(cells) == 2 * (1 + 2) * (2 + 2 * 1)
    assert [cell.seed for cell in cells] == [0] * 12 + [1] * 12
    assert {cell.budget for cell in cells if cell.method == "vit"} == {"gpu"}
    assert len({cell.id for cell in cells}) == len(cells)
    slow = next(cell for cell in cells if cell.variant == "slow" and cell.fold == "P2")
    assert slow.parameters["settings"] == ["lr=0.001"]


def test_a_changed_setting_is_the_same_cell_and_another_name_is_another():
    at = {
        "method": "cnn",
        "variant": "v",
        "data": "synth",
        "protocol": "ours",
        "fold": None,
        "seed": 0,
        "budget": "gpu",
    }
    assert Cell(**at, settings=("lr=1",)).id == Cell(**at, settings=("lr=2",)).id
    others = [
        {**at, name: other} for name, other in {"seed": 1, "variant": "w", "fold": "P1", "data": "a/synth"}.items()
    ]
    assert len({Cell(**other).id for other in [at, *others]}) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 3}, "seed: unknown key; did you mean seeds?"),
        ({"nonsense": 3}, "nonsense: unknown key; known are name, methods"),
        ({"methods": [{"method": "cnn", "variant": {}}]}, "methods[0].variant: unknown key; did you mean variants?"),
        ({"methods": [{"variants": {}}]}, "methods[0].method: is missing"),
        ({"methods": []}, "methods: List should have at least 1 item"),
        ({"seeds": [0, -1]}, "seeds[1]: Input should be greater than or equal to 0, found -1"),
        ({"seeds": [1, 1]}, "seeds: 1 is there twice"),
        ({"seeds": 0}, "seeds: Input should be a valid list, found 0"),
        ({"limits": {"minutes": -1}}, "limits.minutes: Input should be greater than 0, found -1"),
        ({"limits": {"gpus": 2}}, "limits.gpus: Input should be less than or equal to 1, found 2"),
        ({"methods": [{"method": "cnn", "variants": {"a b": {}}}]}, "methods[0].variants: a variant is named"),
        ({"name": "../evil"}, "name: letters, digits"),
    ],
)
def test_a_mistake_is_named_by_its_key(change, words):
    with pytest.raises(ValueError) as error:
        checked({**SMALL, **change}, of="small.yml").cells()
    assert str(error.value).startswith("small.yml: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods: [cnn]\nmethods: [vit]\ndata: synth\n", "key 'methods' is there twice"),
        ("methods: [cnn\n", "is no YAML"),
        ("- cnn\n", "expected keys with values, found list"),
        ("", "expected keys with values, found NoneType"),
    ],
)
def test_a_file_that_is_no_grid_is_named(tmp_path, text, words):
    (tmp_path / "mine.yml").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yml") as error:
        load(tmp_path / "mine.yml")
    assert words in str(error.value)


def test_a_missing_file_suggests_one_that_is_there():
    with pytest.raises(ValueError, match=r"did you mean laptop\.yml"):
        load(command.find("lap-top"))


def test_a_grid_may_be_a_python_file(tmp_path):
    (tmp_path / "mine.py").write_text("def grid():\n    return {'methods': 'cnn', 'data': 'synth', 'seeds': [7]}\n")
    grid = load(tmp_path / "mine.py")
    assert (grid.name, grid.cells()[0].seed) == ("mine", 7)
    (tmp_path / "none.py").write_text("gird = {}\n")
    with pytest.raises(ValueError, match="expected a name `grid`"):
        load(tmp_path / "none.py")


def test_the_grids_of_the_book_name_what_exists():
    names = sorted(path.stem for path in command.GRIDS.glob("*.yml"))
    assert {"gpu", "laptop", "paper-bp4d", "paper-disfa", "paper-bp4d-plus"} <= set(names)
    for name in names:
        cells = load(command.find(name)).cells()
        if name.startswith("paper"):  # the data are licensed, and not here: what is said of them is looked up below
            with pytest.raises(ValueError, match=r"data: (\w+): .*fau prepare \1 "):
                fingerprint.check(cells)
        else:
            fingerprint.check(cells)


@pytest.mark.parametrize("name", ["bp4d", "disfa", "bp4d-plus"])
def test_a_papers_grid_has_every_fold_and_a_recipe_of_its_dataset(name):
    cells = load(command.find(f"paper-{name}")).cells()
    (data,) = {cell.data for cell in cells}
    protocol = conventions.ours(data)
    tested = {by_name.fold_of(protocol, cell.fold).hash for cell in cells}
    assert tested == {fold.hash for fold in protocol.folds}
    recipes = {word for cell in cells for word in cell.settings if word.startswith("recipe=")}
    assert recipes == {f"recipe={data}-iat", f"recipe={data}-fmae"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": ["cmm"]}, "methods: unknown method 'cmm'; known are cnn"),
        ({"budgets": "lap"}, "methods: cnn, variant default: CnnDetector has no budget 'lap'"),
        ({"methods": [{"method": "cnn", "variants": {"x": {"lrr": 1}}}]}, "methods: cnn, variant x: "),
        ({"methods": [{"method": "cnn", "variants": {"x": {"lr": "fast"}}}]}, "--set lr: expected a number"),
        ({"methods": [{"method": "cnn", "variants": {"x": {"init": "nowhere"}}}]}, "init: no checkpoint at nowhere"),
        ({"methods": [{"method": "cnn", "variants": {"x": {"seed": 1}}}]}, "methods: cnn, variant x: "),
        ({"methods": ["mae"]}, "methods: mae learns no AUs"),
        ({"data": "synth:peopel=3"}, "data: synth:peopel=3: "),
        ({"data": [{"data": "synth", "folds": ["P1"]}]}, "leave folds out"),
    ],
)
def test_names_are_looked_up_before_anything_runs(change, words):
    with pytest.raises(ValueError) as error:
        fingerprint.check(checked({**SMALL, **change}, of="small").cells())
    assert words in str(error.value)


def test_ingredients_know_the_code_of_the_method_and_of_no_other():
    (cell,) = checked({**SMALL, "seeds": 1}, of="small").cells()
    grid = checked({**SMALL, "seeds": 1}, of="small")
    found = fingerprint.ingredients(cell, grid, notebook=Path(__file__))
    assert "fau_utils/methods/baselines.py" in found["code"]
    assert "fau_utils/training/fit.py" in found["code"]
    assert "fau_utils/faces/render.py" in found["code"]
    assert "fau_utils/methods/vit.py" not in found["code"]
    assert not [name for name in found["code"] if name.startswith(("fau_utils/plots", "fau_utils/bench"))]
    assert found["versions"]["torch"]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"notebook": "b"}, "the notebook changed"),
        ({"data": "b"}, "the data changed"),
        ({"init": "b"}, "the checkpoint changed"),
        ({"code": {"fit.py": "2", "new.py": "1"}}, "fit.py changed and 1 more"),
        ({"code": {}}, "fit.py removed"),
        ({"versions": {"torch": "3"}}, "torch 2 -> 3"),
        ({"parameters": {"seed": 0, "settings": ["lr=2", "x=1"]}}, "settings lr=1 -> lr=2"),
    ],
)
def test_a_difference_is_said_in_words(after, words):
    before = {"notebook": "a", "data": "a", "code": {"fit.py": "1"}, "versions": {"torch": "2"}}
    before["parameters"] = {"seed": 0, "settings": ["lr=1", "x=1"]}
    assert fingerprint.difference(before, {**before, **after}) == words
    assert fingerprint.digest_of(before) != fingerprint.digest_of({**before, **after})
