"""The syllabus names chapters that exist, and takes goals from the chapters themselves."""

import re
from pathlib import Path

import pytest

from fau_utils.book import chapters, syllabus
from fau_utils.book.project import Project

PROJECT = Project(Path(__file__).parents[2])
CHAPTERS = chapters.discover(PROJECT)
ENTRIES = [syllabus.entry(PROJECT, chapter) for chapter in CHAPTERS]
LOOKED_UP = {"95_au_index", "96_claims"}
"""Chapters without goals of their own."""


def test_every_chapter_that_is_named_exists_and_every_chapter_is_named():
    numbers = {f"{chapter.number:02d}" for chapter in CHAPTERS}
    text = (PROJECT.book / "syllabus.md").read_text()
    assert set(re.findall(r"\{chapter\}`(\d\d)`", text)) == numbers
    for page in PROJECT.book.glob("*.md"):
        assert set(re.findall(r"\{chapter\}`(\d\d)`", page.read_text())) <= numbers, page.name


@pytest.mark.parametrize("one", ENTRIES, ids=lambda one: one.chapter.name)
def test_every_chapter_states_goals_and_builds_on_chapters_that_exist(one):
    if one.chapter.name not in LOOKED_UP:
        assert len(one.goals) >= 2
    names = [chapter.name for chapter in CHAPTERS]
    assert set(one.needs) <= set(names) - {one.chapter.name}


def test_goals_and_work_are_those_of_the_chapter():
    one = next(one for one in ENTRIES if one.chapter.name == "04_baselines")
    assert one.needs == ("00_tour",)
    assert one.exercises == 2
    assert "what a split by frames instead of people adds to every score" in one.goals
    page = syllabus.goals_page(ENTRIES)
    assert "| {chapter}`04` | {chapter}`00` | 3 | 2 | 10 | 3 |" in page
    assert all(one.work >= 5 * one.exercises for one in ENTRIES), "an exercise without :minutes:"
    assert all(goal in page for one in ENTRIES for goal in one.goals)


def test_a_chapter_becomes_a_link_and_one_that_is_not_there_words():
    made = syllabus.with_links("{chapter}`04` and {chapter}`99`", CHAPTERS)
    assert made == "[04 Baselines, and one that sees no face](chapters/04_baselines.ipynb) and chapter 99"


def test_two_plans_and_a_rubric_are_there():
    text = (PROJECT.book / "syllabus.md").read_text()
    assert len(re.findall(r"^\| \d+ \|", text.split("## Twelve weeks")[0], re.MULTILINE)) == 5
    assert len(re.findall(r"^\| \d+ \|", text.split("## Twelve weeks")[1], re.MULTILINE)) == 12
    shares = [int(share) for share in re.findall(r"\| (\d+) % \|", text)]
    assert sum(shares) == 100


def test_the_built_page_has_the_goals_and_a_link(built):
    page = (built / "build" / "html" / "syllabus.html").read_text()
    assert 'href="chapters/00_tour.html"' in page
    assert "chapter 04" in page, "a project without that chapter says its number"
