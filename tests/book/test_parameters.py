import pytest
import tree

from fau_utils.book import chapters, pairing
from fau_utils.book.errors import UserError
from fau_utils.book.parameters import Parameter, assign, declared, split

KNOWN = {
    "00_tour": {
        "seed": Parameter("seed", "int", 0),
        "budget": Parameter("budget", "str", "laptop"),
        "rate": Parameter("rate", "float", 0.5),
    },
    "02_sums": {"seed": Parameter("seed", "int", 0), "terms": Parameter("terms", "int", 3)},
}


def test_papermill_sees_every_line_of_the_parameters_cell(tmp_path):
    root = tree.make(tmp_path / "p")
    chapter = chapters.read(root / "notebooks" / "00_tour.py")
    pairing.pair(chapter)
    found = declared(str(chapter.notebook))
    assert [(p.name, p.type, p.default) for p in found.values()] == [
        ("seed", "int", 0),
        ("budget", "str", "laptop"),
        ("rate", "float", 0.5),
    ]


def test_a_parameter_goes_to_the_chapters_that_have_it():
    values = assign(KNOWN, {"terms": "7", "seed": "2"}, budget="smoke")
    assert values == {
        "00_tour": {"seed": 2, "budget": "smoke", "rate": 0.5},
        "02_sums": {"seed": 2, "terms": 7},
    }


def test_a_misspelt_parameter_is_refused_with_the_nearest_and_the_list():
    with pytest.raises(UserError, match=r"'sed', did you mean 'seed'\?.*02_sums has seed, terms"):
        assign(KNOWN, {"sed": "1"})


@pytest.mark.parametrize("text", ["1.5", "one", "True", "'1'", "[1]"])
def test_a_value_of_another_type_is_refused(text):
    with pytest.raises(UserError, match=r"seed: expected int, found"):
        assign(KNOWN, {"seed": text})


def test_values_are_read_as_their_type():
    assert Parameter("x", "float", 0.1).parse("1") == 1.0
    assert Parameter("x", "str", "a").parse("12") == "12"
    assert Parameter("x", "bool", True).parse("false") is False
    assert Parameter("x", "list[int]", [1]).parse("[1, 2]") == [1, 2]
    assert Parameter("x", "tuple", (1,)).parse("[1, 2]") == (1, 2)
    with pytest.raises(UserError, match="true or false"):
        Parameter("x", "bool", True).parse("1")


def test_an_unknown_budget_is_refused_also_through_set():
    with pytest.raises(UserError, match=r"'laptp', did you mean 'laptop'"):
        assign(KNOWN, {}, budget="laptp")
    with pytest.raises(UserError, match="no budget 'huge'"):
        assign(KNOWN, {"budget": "huge"})
    with pytest.raises(UserError, match="give one"):
        assign(KNOWN, {"budget": "smoke"}, budget="smoke")


def test_settings_are_name_equals_value():
    assert split(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    for words in (["seed"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UserError, match="--set"):
            split(words)
