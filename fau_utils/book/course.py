"""Editions of the chapters for a course: ``student`` without answers, ``instructor`` with answers and minutes."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fau_utils.book import exercises, pairing, plain, quiz, records
from fau_utils.book.chapters import Chapter, discover
from fau_utils.book.errors import UserError
from fau_utils.book.exercises import Piece
from fau_utils.book.project import Project, write
from fau_utils.book.words import duration

Edition = Literal["student", "instructor"]
EDITIONS: tuple[Edition, ...] = ("student", "instructor")
SOLUTION = "**Solution**"


@dataclass(frozen=True)
class Made:
    """One notebook of an edition.

    Attributes
    ----------
    path : Path
    exercises : int
    work : int
        Minutes of work on them.
    """

    path: Path
    exercises: int
    work: int


def make(project: Project, chapters: Sequence[Chapter], edition: Edition, out: Path) -> list[Made]:
    """Write the notebooks of an edition, and a page that lists them.

    Raises
    ------
    UserError
        An unknown edition, or exercises of a chapter that do not match their solutions.
    """
    if edition not in EDITIONS:
        raise UserError(f"no edition {edition!r}; there are {' and '.join(EDITIONS)}, slides and pdf")
    made = []
    titles = {one.name: f"{one.number:02d} {one.title}" for one in discover(project)}
    sources = plain.sources(project.book / "references.bib")
    for chapter in chapters:
        node = pairing.notebook(chapter)
        tasks = exercises.exercises(node)
        record = records.load(project, chapter.name)
        seconds = record.cell_seconds if record is not None and record.text == chapter.hash else []
        values = plain.values(records.executed_path(project, chapter.name)) if seconds else {}
        known = plain.Known(titles, sources, plain.numbers(node, chapter.number), values)
        node = without_answers(node, known) if edition == "student" else with_minutes(node, seconds, known)
        questions = quiz.read(quiz.path_of(project, chapter))
        if questions:
            text = quiz.handout(questions, answers=edition == "instructor")
            node["cells"].append(_cell("markdown", text) | {"id": "quiz"})
        path = out / f"{chapter.name}.ipynb"
        write(path, json.dumps(node, indent=1, ensure_ascii=False) + "\n")
        made.append(Made(path, len(tasks), sum(task.minutes for task in tasks)))
    write(out / "README.md", _listing(chapters, made, edition))
    return made


def without_answers(node, known: plain.Known | None = None):
    """The student's notebook: what explains a solution is gone, its functions raise and its values are None."""
    return _rebuilt(node, lambda piece: _stub(piece) if piece.kind == "solution" else None, known or plain.Known())


def _stub(piece: Piece) -> dict:
    return _cell("code", exercises.stub(piece.text, piece.exercise.bugs))


def with_minutes(node, seconds: Sequence[float] = (), known: plain.Known | None = None):
    """The instructor's notebook: solutions under headings, minutes of work, and what a run of the chapter took."""
    known = known or plain.Known()

    def answer(piece: Piece) -> dict:
        if piece.kind == "solution":
            return _cell("code", piece.text)
        return _cell("markdown", plain.plain(piece.text, known))

    node = _rebuilt(node, answer, known, head=SOLUTION)
    if seconds:
        slow = max(range(len(seconds)), key=seconds.__getitem__)
        told = f"A run of this chapter took {duration(sum(seconds))} on the machine of these notes"
        text = f"> {told}; the slowest cell, number {slow + 1}, {duration(seconds[slow])}."
        node["cells"].insert(1, _cell("markdown", text) | {"id": "minutes"})
    return node


def _rebuilt(node, answer: Callable[[Piece], dict | None], known: plain.Known, *, head: str = "") -> dict:
    """The notebook in plain Markdown, boxes as headings, captions below, and answers as `answer` makes them."""
    cells, answered = [], None
    for piece in exercises.pieces(node):
        if piece.kind == "exercise":
            told = f"*About {piece.exercise.minutes} minutes.* " if head and piece.exercise.minutes else ""
            task = plain.plain(piece.text, known)
            cells.append(_cell("markdown", f"### Exercise: {piece.exercise.title}\n\n{told}{task}"))
        elif piece.kind in ("words", "solution"):
            if head and answered is not piece.exercise:
                cells.append(_cell("markdown", head))
            answered = piece.exercise
            made = answer(piece)
            cells += [] if made is None else [made]
        elif piece.kind == "code":
            about = dict(node.cells[piece.cell].metadata)
            figure = about.pop("mystnb", {}).get("figure", {})
            cells.append(_cell("code", piece.text, metadata=about))
            if figure:
                caption = plain.plain(str(figure.get("caption", "")), known)
                cells.append(_cell("markdown", f"**Figure {known.numbers.get(figure.get('name'), '')}.** {caption}"))
        else:
            cells.append(_cell("markdown", plain.plain(piece.text, known)))
    for number, cell in enumerate(cells):
        cell["id"] = str(number)
    kept = {key: copy.deepcopy(value) for key, value in node.metadata.items() if key in ("kernelspec", "language_info")}
    return {"cells": cells, "metadata": kept, "nbformat": 4, "nbformat_minor": 5}


def _cell(kind: str, text: str, *, metadata: dict | None = None) -> dict:
    cell = {"cell_type": kind, "metadata": metadata or {}, "source": text}
    return cell | {"outputs": [], "execution_count": None} if kind == "code" else cell


def _listing(chapters: Sequence[Chapter], made: Sequence[Made], edition: Edition) -> str:
    rows = [
        f"| [{chapter.number} {chapter.title}]({one.path.name}) | {one.exercises} | {one.work} | {chapter.minutes:g} |"
        for chapter, one in zip(chapters, made, strict=True)
    ]
    about = {
        "student": "Exercises are stubs: run a chapter up to its exercises, then write your answer where it says\n"
        "*your turn*. The `assert` below it is quiet when the answer is right.",
        "instructor": "Exercises with solutions and estimated minutes of work. Please do not pass on to students.",
    }[edition]
    head = f"# {edition.capitalize()} edition\n\n{about}\n\n"
    head += "| chapter | exercises | minutes of work | minutes to run |\n|---|--:|--:|--:|\n"
    return head + "\n".join(rows) + "\n"
