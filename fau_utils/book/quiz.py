"""Short quizzes: a file per chapter, ``book/quizzes/NN.yml``, shown at the end of its page and in the handouts.

Each option opens by itself (``<details>``) and says why it is right or wrong: a keyboard is enough, and no script runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fau_utils.book.chapters import Chapter
from fau_utils.book.errors import UserError
from fau_utils.book.project import Project

HEADING = "Check yourself"


@dataclass(frozen=True)
class Option:
    """An answer that may be chosen.

    Attributes
    ----------
    text, why : str
        The answer, and why it is right or wrong; Markdown.
    right : bool
    """

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """One question, Markdown, and its answers, of which one is right."""

    ask: str
    options: tuple[Option, ...]

    @property
    def answer(self) -> int:
        """Place of the right option."""
        return next(place for place, option in enumerate(self.options) if option.right)


def path_of(project: Project, chapter: Chapter) -> Path:
    """Where a chapter's quiz lies."""
    return project.book / "quizzes" / f"{chapter.number:02d}.yml"


def read(path: Path) -> list[Question]:
    """The questions of a file; none where there is no file.

    Raises
    ------
    UserError
        Not the form of a quiz, not exactly one right answer, or an answer without a reason.
    """
    if not path.is_file():
        return []
    try:
        questions = [
            Question(
                ask=entry["ask"].strip(),
                options=tuple(
                    Option(str(option["text"]).strip(), option["why"].strip(), option.get("right", False))
                    for option in entry["options"]
                ),
            )
            for entry in yaml.safe_load(path.read_text(encoding="utf-8"))
        ]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{path.name}: expected a list of questions with ask and options, each with text and why: {said}"
        ) from None
    for number, question in enumerate(questions, start=1):
        right = sum(option.right for option in question.options)
        if right != 1:
            raise UserError(f"{path.name}: question {number} has {right} right answers, expected 1")
        if len(question.options) < 2 or not question.ask or not all(o.text and o.why for o in question.options):
            raise UserError(f"{path.name}: question {number} needs two options or more, each with a reason")
    return questions


def page(questions: Sequence[Question]) -> str:
    """The end of a chapter's page, MyST Markdown."""
    blocks = [f"## {HEADING}", "Choose an answer; it opens and says why it is right or wrong."]
    for number, question in enumerate(questions, start=1):
        blocks.append(f"**{number}.** {question.ask}")
        for letter, option in zip("ABCDEF", question.options, strict=False):
            verdict = "**Right.**" if option.right else "**No.**"
            title = " ".join(option.text.split())
            blocks.append(f"::::{{dropdown}} {letter}. {title}\n:class-container: quiz\n\n{verdict} {option.why}\n::::")
    return "\n\n".join(blocks)


def handout(questions: Sequence[Question], *, answers: bool) -> str:
    """The questions as plain Markdown, with what is right and why, or where that stands."""
    blocks = [f"## {HEADING}"]
    if not answers:
        blocks.append("The answers, each with a reason, are at the end of this chapter's page in the book.")
    for number, question in enumerate(questions, start=1):
        lines = [f"**{number}.** {question.ask}", ""]
        for letter, option in zip("ABCDEF", question.options, strict=False):
            said = f" **{'Right' if option.right else 'No'}.** {option.why}" if answers else ""
            lines.append(f"- {letter}. {' '.join(option.text.split())}{said}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)
