"""The first use of a glossary term on a page links to its entry, and nothing else does."""

import re
from pathlib import Path

import pytest

from fau_utils.book import terms

GLOSSARY = (Path(__file__).parents[2] / "book" / "glossary.md").read_text()
ALL = terms.entries(GLOSSARY)


def _found(text):
    finder, owner = terms.pattern(ALL)
    return [terms.owner_of(match[0], owner) for match in finder.finditer(text)]


def test_the_glossary_is_read_and_each_rule_is_for_an_entry():
    assert {"action unit (AU)", "not coded", "F1", "verdict"} <= set(ALL)
    assert set(terms.WORDS) <= set(ALL)


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("Some action units move.", "action unit (AU)"),
        ("Action\nunits", "action unit (AU)"),
        ("the mean AUC of it", "AUC"),
        ("AUs", "action unit (AU)"),
        ("the identity gap is", "identity gap"),
        ("two masked autoencoders", "masked autoencoder (MAE)"),
        ("its intensities", "intensity"),
        ("a fresh linear probe finds", "probe"),
    ],
)
def test_a_term_is_found_in_its_forms(text, entry):
    assert _found(text) == [entry]


@pytest.mark.parametrize(
    "text",
    [
        "the caucus",
        "au 4",
        "faces in full view",
        "folds of the skin",
        "a frozen configuration",
        "MAE rewards it",
        "an offset",
        "fau-book/AUs",
        "threefold",
    ],
)
def test_ordinary_words_are_left_alone(text):
    assert _found(text) == []


def test_every_spelling_has_an_entry():
    _, owner = terms.pattern(ALL)
    for entry in ALL:
        for word in terms.spellings(entry):
            assert terms.owner_of(word, owner) == entry


def test_a_built_page_links_each_term_once_and_not_in_headings_code_or_boxes(built):
    page = (built / "build" / "html" / "chapters" / "00_tour.html").read_text()
    links = re.findall(r'<a class="reference internal" href="\.\./glossary\.html#(term-[^"]+)"', page)
    assert "term-action-unit-AU" in links
    assert len(set(links)) == len(links)
    for part in re.finditer(r"<(h\d|code|summary|figcaption|pre)\b.*?</\1>", page, re.DOTALL):
        assert "glossary.html#term" not in part[0]
    assert "#term-" not in (built / "build" / "html" / "bibliography.html").read_text()
