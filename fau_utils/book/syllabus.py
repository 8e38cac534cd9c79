"""What a lecturer needs of each chapter, as it says itself: goals, what it builds on, exercises, minutes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fau_utils.book import quiz
from fau_utils.book.chapters import Chapter
from fau_utils.book.project import Project

_GOALS = re.compile(r"```\{admonition\} You will learn\n(.*?)```", re.DOTALL)
_NEEDS = re.compile(r"You need (.+?)\.(?:\s|$)", re.DOTALL)
_EXERCISE = re.compile(r"^(?:`{3,}|:{3,})\{exercise(?:-start)?\}", re.MULTILINE)
_MINUTES = re.compile(r"^:minutes:\s*(\d+)\s*$", re.MULTILINE)
_LINK = re.compile(r"\{chapter\}`(\d\d)`")


@dataclass(frozen=True)
class Entry:
    """One chapter as a syllabus shows it.

    Attributes
    ----------
    goals : tuple of str
        What a reader will learn, Markdown.
    needs : tuple of str
        Names of chapters to read before.
    exercises, work, questions : int
        Number of exercises, minutes of work on them as their boxes say, questions of the quiz.
    """

    chapter: Chapter
    goals: tuple[str, ...]
    needs: tuple[str, ...]
    exercises: int
    work: int
    questions: int


def entry(project: Project, chapter: Chapter) -> Entry:
    """What a chapter says about itself in its first cells."""
    text = _words(chapter.path.read_text(encoding="utf-8"))
    box = _GOALS.search(text)
    goals = [" ".join(goal.split()) for goal in re.split(r"^- ", box[1], flags=re.MULTILINE)[1:]] if box else []
    needs = _NEEDS.search(text)
    return Entry(
        chapter,
        tuple(goals),
        tuple(re.findall(r"\{doc\}`(\w+)`", needs[1])) if needs else (),
        len(_EXERCISE.findall(text)),
        sum(map(int, _MINUTES.findall(text))),
        len(quiz.read(quiz.path_of(project, chapter))),
    )


def _words(source: str) -> str:
    """Markdown cells of a source in the percent format. Without jupytext: a build that has nothing to do is quick."""
    cells = re.split(r"^# %%", source, flags=re.MULTILINE)
    lines = [line for cell in cells if cell.startswith(" [markdown]") for line in cell.splitlines()[1:]]
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)


def goals_page(entries: Sequence[Entry]) -> str:
    """Goals chapter by chapter, and a table of the work in each; MyST Markdown."""
    names = {one.chapter.name for one in entries}
    head = "| chapter | builds on | minutes to run | exercises | minutes of work | questions |"
    lines = [head, "|---|---|--:|--:|--:|--:|"]
    for one in entries:
        needs = ", ".join(f"{{chapter}}`{name[:2]}`" for name in one.needs if name in names) or "–"
        minutes = f"{one.chapter.minutes:g}" if one.chapter.minutes else ""
        number = f"{one.chapter.number:02d}"
        work = f"{one.exercises} | {one.work} | {one.questions}"
        lines.append(f"| {{chapter}}`{number}` | {needs} | {minutes} | {work} |")
    blocks = ["\n".join(lines)]
    for one in entries:
        if one.goals:
            goals = "\n".join(f"- {goal}" for goal in one.goals)
            blocks.append(f"**{{chapter}}`{one.chapter.number:02d}`**\n\n{goals}")
    return "\n\n".join(blocks) + "\n"


def with_links(text: str, chapters: Sequence[Chapter], *, folder: str = "chapters") -> str:
    r"""Markdown with each ``{chapter}`04``` as a link to that chapter, or as words where there is none."""
    known = {f"{chapter.number:02d}": chapter for chapter in chapters}

    def link(match: re.Match) -> str:
        chapter = known.get(match[1])
        if chapter is None:
            return f"chapter {match[1]}"
        title = chapter.title.split(":")[0].replace("|", "\\|")
        return f"[{match[1]} {title}]({folder}/{chapter.name}.ipynb)"

    return _LINK.sub(link, text)
