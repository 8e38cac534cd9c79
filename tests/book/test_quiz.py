"""Every chapter has a quiz whose questions have one right answer each, and a reason for every answer."""

from pathlib import Path

import pytest

from fau_utils.book import chapters, quiz
from fau_utils.book.errors import UserError
from fau_utils.book.project import Project

PROJECT = Project(Path(__file__).parents[2])
CHAPTERS = chapters.discover(PROJECT)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_every_chapter_asks_three_or_four_questions_and_explains_every_answer(chapter):
    questions = quiz.read(quiz.path_of(PROJECT, chapter))
    assert 3 <= len(questions) <= 4, f"write book/quizzes/{chapter.number:02d}.yml"
    for question in questions:
        assert len({option.text for option in question.options}) == len(question.options)
        assert all(len(option.why.split()) >= 4 for option in question.options), question.ask


def test_every_quiz_has_its_chapter():
    written = {path.name for path in (PROJECT.book / "quizzes").glob("*")}
    assert written <= {quiz.path_of(PROJECT, chapter).name for chapter in CHAPTERS}


def test_the_right_answer_has_no_favourite_place_or_length():
    questions = [q for chapter in CHAPTERS for q in quiz.read(quiz.path_of(PROJECT, chapter))]
    if len(questions) < 20:
        pytest.skip("too few questions to tell")
    places = [question.answer for question in questions]
    assert max(places.count(place) for place in range(3)) < 0.5 * len(places)
    longest = [len(q.options[q.answer].text) >= max(len(o.text) for o in q.options) for q in questions]
    assert sum(longest) < 0.55 * len(longest), "who picks the longest answer passes"


GOOD = (
    "- ask: One?\n  options:\n    - {text: yes it is, why: it is so, right: true}\n    - {text: no, why: it is not}\n"
)


def test_a_page_has_an_answer_that_opens_for_each_option(tmp_path):
    (tmp_path / "q.yml").write_text(GOOD)
    text = quiz.page(quiz.read(tmp_path / "q.yml"))
    assert text.count("{dropdown}") == 2
    assert text.count("**Right.**") == 1
    assert text.index("yes it is") < text.index("**Right.** it is so")


def test_the_handout_of_students_does_not_tell(tmp_path):
    (tmp_path / "q.yml").write_text(GOOD)
    questions = quiz.read(tmp_path / "q.yml")
    assert "it is so" not in quiz.handout(questions, answers=False)
    assert "Right" not in quiz.handout(questions, answers=False)
    assert "**Right.** it is so" in quiz.handout(questions, answers=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("right: true", "right: false"), "0 right answers"),
        (("why: it is not", "why: it is not, right: true"), "2 right answers"),
        ((", why: it is not", ""), "expected a list of questions"),
        (("it is not", "''"), "each with a reason"),
        (("- ask", "ask"), "expected a list of questions"),
    ],
)
def test_what_is_no_quiz_is_refused(tmp_path, change, said):
    (tmp_path / "q.yml").write_text(GOOD.replace(*change))
    with pytest.raises(UserError, match=said):
        quiz.read(tmp_path / "q.yml")
