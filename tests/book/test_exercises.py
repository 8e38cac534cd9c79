"""Every solution passes its check and every stub fails it, for all exercises of the book."""

import ast
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import nbformat
import numpy as np
import pytest

from fau_utils.book import chapters, exercises, pairing
from fau_utils.book.errors import UserError

matplotlib.use("Agg")
SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))
NODES = {path.stem: pairing.notebook(chapters.read(path)) for path in SOURCES}
ALL = [(name, found) for name, node in NODES.items() for found in exercises.exercises(node)]
NO_EXERCISES = {"95_au_index", "96_claims"}
"""Chapters that are looked up, not studied."""


def _results(name):
    """Stand-ins for what exercises take from the run of their chapter."""
    rng = np.random.default_rng(0)
    if name == "00_tour":
        from fau_utils import metrics

        label = rng.integers(0, 2, (40, 3)).astype("float32")
        scored = [SimpleNamespace(prob=rng.uniform(size=(40, 3)), label=label) for _ in range(2)]
        means = {
            short: SimpleNamespace(value=np.nanmean(metric(scored[0].prob, label)))
            for short, metric in (("f1", metrics.f1_per_au), ("auc", metrics.auc_per_au))
        }
        return {"predictions": scored[0], "said": {"mask": scored[1]}, **means}
    if name == "01_faces_and_action_units":
        import torch

        support = torch.zeros(16, 224, 224, dtype=torch.bool)
        support[::2, 10] = True
        return {"support": support}
    if name == "02_datasets_and_protocols":
        label = rng.integers(0, 2, (40, 3)).astype("float64")
        label[:5, 0] = np.nan
        return {"label": label, "unknown": np.isnan(label), "prob": rng.uniform(size=(40, 3))}
    return {}


def _space(name, cells):
    node = NODES[name]
    imports = [
        ast.unparse(part)
        for cell in node.cells
        if cell.cell_type == "code"
        for part in ast.parse(cell.source).body
        if isinstance(part, (ast.Import, ast.ImportFrom))
    ]
    space = {}
    exec("\n".join(imports), space)
    space |= _results(name)
    _try(space, cells)
    return space


def _try(space, cells):
    for cell in cells:
        exec(cell, space)


LAZY = ("None", "0", "1", "True", "False", "''", "{}", "the first argument")
"""What somebody answers who has not thought."""


def lazily(source, answer):
    """A solution whose functions return `answer` whatever they are asked, and whose values are it."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args) if arg.arg != "self"]
            said = (names or ["None"])[0] if answer == LAZY[-1] else answer
            node.body = ast.parse(f"def f():\n    return {said}").body[0].body
    value = ast.parse("None" if answer == LAZY[-1] else answer, mode="eval").body
    for node in tree.body:
        if isinstance(node, ast.Assign):
            node.value = ast.Tuple([value] * len(node.targets[0].elts), ast.Load()) if _several(node) else value
    kept = (ast.FunctionDef, ast.ClassDef, ast.Assign, ast.Assert, ast.Import, ast.ImportFrom)
    tree.body = [node for node in tree.body if isinstance(node, kept)]
    return ast.unparse(ast.fix_missing_locations(tree))


def _several(node):
    return isinstance(node.targets[0], ast.Tuple)


@pytest.mark.parametrize(("name", "exercise"), ALL, ids=[f"{name}-{found.label}" for name, found in ALL])
def test_the_solution_passes_and_stubs_and_lazy_answers_fail(name, exercise):
    assert exercise.solution, "an exercise without a solution"
    assert any("assert check_" in cell for cell in exercise.solution), "nothing checks the answer"
    space = _space(name, exercise.given)
    _try(space, exercise.solution)
    assert exercise.minutes in (5, 10, 15, 20), "its box says no :minutes: of work"
    stubs = [exercises.stub(cell, exercise.bugs) for cell in exercise.solution]
    with pytest.raises((AssertionError, NotImplementedError, TypeError)):
        _try(dict(space), stubs)
    accepted = []
    for answer in LAZY:
        try:
            _try(dict(space), [lazily(cell, answer) for cell in exercise.solution])
        except Exception:  # noqa: BLE001  a check may fail in whichever way
            continue
        accepted.append(answer)
    assert accepted == [], "the check of this exercise accepts these as answers"


def test_a_lazy_answer_is_lazy_and_a_check_that_accepts_anything_is_caught():
    source = "import math\n\ndef area(r, *, k=2):\n    return math.pi * r**k\n\na, b = 1, 2\nassert check_area(area)"
    assert "return r" in lazily(source, LAZY[-1])
    assert "a, b = (0, 0)" in lazily(source, "0")
    _try({"check_area": lambda function: function(2) is not None}, [lazily(source, "0")])


@pytest.mark.parametrize("name", [name for name in NODES if name not in NO_EXERCISES])
def test_every_chapter_has_two_to_four_exercises_one_of_them_a_bug_to_find(name):
    titles = [found.title for found in exercises.exercises(NODES[name])]
    assert 2 <= len(titles) <= 4
    assert any("bug" in title.lower() for title in titles)


def test_labels_are_unique_in_the_book():
    labels = [found.label for _, found in ALL]
    assert len(set(labels)) == len(labels)


def test_a_stub_keeps_signature_docstring_and_check_and_nothing_that_tells_the_answer():
    source = (
        'import math\n\nhelper = 3 * 7\n\n\ndef area(r, *, k=2):\n    """Of a disc."""\n    return math.pi * r**k\n\n\n'
        "a, b = 1, 2\nprint(area(2))\nassert check_area(area)  # quiet when right\n"
    )
    made = exercises.stub(source)
    assert "3 * 7" not in made
    assert "math.pi" not in made
    assert "print" not in made
    assert "def area(r, *, k=2):" in made
    assert "Of a disc." in made
    assert "a = None" in made
    assert "b = None" in made
    assert made.endswith("assert check_area(area)  # quiet when right")
    compile(made, "stub", "exec")


def test_the_stub_of_a_bug_is_the_code_to_mend():
    bug = 'def area(r, *, k=2):\n    """Of a disc; this one has the bug."""\n    return 3 * r**k  # not quite\n'
    made = exercises.stub("def area_mended(r, *, k=2):\n    return math.pi * r**k\n", [bug])
    assert made == "def area_mended(r, *, k=2):\n    # your turn: mend it\n    return 3 * r**k  # not quite"
    titles = [found.title for _, found in ALL if found.bugs != []]
    assert titles
    assert all("bug" in title for title in titles)


def _notebook(*cells):
    return nbformat.v4.new_notebook(
        cells=[
            (nbformat.v4.new_markdown_cell if kind == "m" else nbformat.v4.new_code_cell)(text) for kind, text in cells
        ]
    )


BOX = "```{exercise} Title\n:label: ex-a\nDo it.\n```"
START, END = "```{solution-start} ex-a\n:class: dropdown\n```", "```{solution-end}\n```"


def test_words_code_and_solutions_are_told_apart():
    node = _notebook(
        ("m", f"## Exercises\n\n{BOX}"),
        ("c", "given = 1"),
        ("m", f"{START}\nBecause."),
        ("c", "answer = 2"),
        ("m", f"{END}\n\n## Recap"),
        ("c", "after = 3"),
    )
    (found,) = exercises.exercises(node)
    assert (found.label, found.title, found.task) == ("ex-a", "Title", "Do it.")
    assert (found.given, found.words, found.solution) == (["given = 1"], "Because.", ["answer = 2"])
    assert [piece.kind for piece in exercises.pieces(node)] == [
        "text",
        "exercise",
        "code",
        "words",
        "solution",
        "text",
        "code",
    ]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([("m", START)], "not the exercise"),
        ([("m", BOX), ("m", START.replace("ex-a", "ex-b"))], "ex-b"),
        ([("m", BOX), ("m", START)], "does not end"),
        ([("m", END)], "did not begin"),
        ([("m", "```{exercise} Title\nDo it.\n```")], "label"),
        ([("m", BOX), ("m", f"{START}\n{END}"), ("m", BOX)], "two exercises"),
    ],
)
def test_boxes_that_do_not_match_are_refused(cells, said):
    with pytest.raises(UserError, match=said):
        exercises.exercises(_notebook(*cells))
