"""The exercises of a chapter: written once, with solutions, in its source; every edition is made from there.

An exercise is a ``{exercise}`` box with a label, code that is given (a check among it), and between
``{solution-start}`` and ``{solution-end}`` the solution with an ``assert`` that it passes its check. It uses what the
chapter imports and little else of it, so that it can be tried by itself.
"""

import ast
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fau_utils.book.errors import UserError

_MARK = re.compile(
    r"```\{(?P<kind>exercise|solution-start|solution-end)\}(?P<title>[^\n]*)\n(?P<body>.*?)^```[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_OPTION = re.compile(r"^:(\w+):\s*(\S.*)$\n?", re.MULTILINE)
YOUR_TURN = "your turn"


@dataclass
class Exercise:
    """One exercise.

    Attributes
    ----------
    label, title, task : str
        Of its box, the task as Markdown.
    minutes : int
        Of work, as its box says; 0 where it does not.
    given : list of str
        Code cells before the solution: data, a function with a bug, the check.
    words : str
        The solution's explanation, Markdown.
    solution : list of str
        Code cells of the solution.
    """

    label: str
    title: str
    task: str
    minutes: int = 0
    given: list[str] = field(default_factory=list)
    words: str = ""
    solution: list[str] = field(default_factory=list)

    @property
    def bugs(self) -> list[str]:
        """Code that a *find the bug* exercise gives."""
        return self.given if "bug" in self.title.lower() else []


@dataclass(frozen=True)
class Piece:
    """A stretch of a notebook: a cell, or part of a Markdown cell that a mark divides.

    Attributes
    ----------
    kind : {"text", "exercise", "words", "code", "solution"}
    text : str
    exercise : Exercise or None
        That it belongs to.
    cell : int
        Position of the cell.
    """

    kind: str
    text: str
    exercise: Exercise | None
    cell: int


def pieces(node) -> Iterator[Piece]:
    """A notebook in reading order, exercises told apart from the rest.

    Raises
    ------
    UserError
        When boxes do not match: a solution of nothing, one that does not end, an exercise without a label.
    """
    current: Exercise | None = None
    solving = False
    for number, cell in enumerate(node.cells):
        if cell.cell_type == "code":
            if current is not None:
                (current.solution if solving else current.given).append(cell.source)
            yield Piece("solution" if solving else "code", cell.source, current, number)
            continue
        at = 0
        for mark in [*_MARK.finditer(cell.source), None]:
            between = cell.source[at : mark.start() if mark else None].strip()
            if between:
                if solving:
                    current.words = f"{current.words}\n\n{between}".strip()
                elif current is not None and between.startswith("#"):
                    current = None  # a new section: what follows is no part of the exercise
                yield Piece("words" if solving else "text", between, current, number)
            if mark is None:
                break
            at = mark.end()
            kind, body = mark["kind"], mark["body"]
            if kind == "exercise":
                options = dict(_OPTION.findall(body))
                if solving or "label" not in options:
                    raise UserError(
                        f"cell {number + 1}: an exercise needs a :label:, and the solution before it an end"
                    )
                minutes = int(options.get("minutes", 0))
                current = Exercise(options["label"], mark["title"].strip(), _OPTION.sub("", body).strip(), minutes)
                yield Piece("exercise", current.task, current, number)
            elif kind == "solution-start":
                if current is None or solving or mark["title"].strip() != current.label:
                    of = mark["title"].strip()
                    raise UserError(f"cell {number + 1}: a solution of {of!r}, which is not the exercise before it")
                solving = True
            else:
                if not solving:
                    raise UserError(f"cell {number + 1}: a solution ends that did not begin")
                solving, current = False, None
    if solving:
        raise UserError(f"the solution of {current.label} does not end")


def exercises(node) -> list[Exercise]:
    """All exercises of a notebook, complete."""
    found: dict[str, Exercise] = {}
    for piece in pieces(node):
        if piece.kind == "exercise":
            if piece.exercise.label in found:
                raise UserError(f"two exercises are called {piece.exercise.label}")
            found[piece.exercise.label] = piece.exercise
    return list(found.values())


def stub(source: str, bugs: Sequence[str] = ()) -> str:
    """A solution with its answers taken out: functions raise, values are None, checks stay.

    Classes keep their methods' names; statements that only lead to an answer are left out. A function that has the
    arguments of one in `bugs` keeps the body of that one: it is there to be mended.
    """
    tree = ast.parse(source)
    broken = _functions(bugs)
    lines = source.splitlines()
    kept = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.dump(node.args) in broken:
            head = ast.unparse(_emptied(copy.deepcopy(node))).split("\n")[0]
            kept.append(f"\n\n{head}\n    # {YOUR_TURN}: mend it\n{broken[ast.dump(node.args)]}\n\n")
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            kept.append("\n\n" + ast.unparse(_emptied(copy.deepcopy(node))) + "\n\n")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            kept += [f"{name} = None  # {YOUR_TURN}" for name in names]
        elif isinstance(node, (ast.Assert, ast.Import, ast.ImportFrom)):
            kept.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip()


def _functions(cells: Sequence[str]) -> dict[str, str]:
    """Bodies of functions that are no checks, without docstrings, by their arguments."""
    found = {}
    for cell in cells:
        for node in ast.parse(cell).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("check_"):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = cell.splitlines()[body[0].lineno - 1 : node.end_lineno]
                found.setdefault(ast.dump(node.args), "\n".join(lines))
    return found


def _emptied(node):
    if isinstance(node, ast.ClassDef):
        node.body = [_emptied(part) if isinstance(part, ast.FunctionDef) else part for part in node.body]
        return node
    said = [node.body[0]] if ast.get_docstring(node) is not None else []
    node.body = [*said, ast.parse(f"raise NotImplementedError({YOUR_TURN!r})").body[0]]
    return node
