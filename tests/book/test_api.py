"""Code words of chapters find what they name in the package."""

import importlib
import os

import pytest

from fau_utils.book import api

KNOWN = api.names()


def test_names_are_those_of_the_package():
    assert KNOWN["CnnDetector"] == "fau_utils.methods.baselines.CnnDetector"
    assert KNOWN["fau_utils.data.synth"] == "fau_utils.data.synth"
    assert not any("._" in name for name in KNOWN.values())
    module, _, attribute = KNOWN["f1_per_au"].rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("masked_bce", "fau_utils.methods.contract.masked_bce"),
        ("masked_bce()", "fau_utils.methods.contract.masked_bce"),
        ("contract.masked_bce", "fau_utils.methods.contract.masked_bce"),
        ("fau_utils.data.readers.read", "fau_utils.data.readers.read"),
        ("fau_utils/faces/muscles.py", None),
        ("other.masked_bce", None),
        ("read", None),
        ("seed = 0", None),
    ],
)
def test_a_code_word_is_what_it_names_or_nothing(words, name):
    assert api.target(words, KNOWN) == name


def test_bars_around_a_value_are_no_substitution():
    lines = ["the mean of |said - seen|, not ``|x|``", "| a line block"]
    api._without_bars(None, "", "", None, None, lines)
    assert lines == [r"the mean of \|said - seen\|, not ``|x|``", "| a line block"]


@pytest.mark.skipif("FAU_TEST_API" not in os.environ, reason="builds the reference of the code, which takes minutes")
def test_chapters_link_to_the_reference_of_the_code(copy, fau, monkeypatch):
    """As `make api` does. Not in CI: FAU_TEST_API=1 asks for it, where sphinx-autoapi is installed."""
    monkeypatch.setenv("FAU_API", "1")
    code, said = fau("book", copy, "--budget", "smoke")
    assert code == 0, said
    page = copy / "build" / "html" / "api" / "fau_utils" / "methods" / "baselines" / "index.html"
    assert 'id="fau_utils.methods.baselines.CnnDetector"' in page.read_text()
