import os
from collections.abc import Callable, Sequence
from typing import Literal

import pytest

from fau_utils import cli
from fau_utils.data import bp4dplus, readers
from fau_utils.data.layouts import bp4dplus as layout
from fau_utils.data.layouts import footage
from fau_utils.data.options import keywords_of, options_of, parse


class Above:
    def __init__(self, *, width: int = 1):
        self.width = width


class Below(Above):
    def __init__(self, root, *, name: str, **options):
        super().__init__(**options)


def takes(
    root: str,
    *,
    first: Literal[0, 1] | None = None,
    side: Literal["left", "right"] = "left",
    aus: Sequence[int] | None = None,
    people: int | Sequence[str] = 2,
    folder: str | os.PathLike | None = None,
    keep: bool = False,
    rate: float = 1.0,
    film: Callable[..., int] = len,
):
    pass


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("first=0", 0), ("first=none", None), ("side=right", "right"), ("aus=12", (12,)), ("aus=1, 2,4", (1, 2, 4)),
        ("people=3", 3), ("people=F001", ("F001",)), ("people=F001,M001", ("F001", "M001")), ("folder=a=b", "a=b"),
        ("keep=true", True), ("keep=No", False), ("rate=1", 1.0), ("rate=0.5", 0.5),
    ],
)  # fmt: skip
def test_a_value_has_the_type_of_its_option(word, value):
    found = parse([word], options_of(takes), of="it")[word.split("=")[0]]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("first=2", "--set first: expected 0 or 1 or none, found '2'"),
        ("side=Right", "--set side: expected left or right, found 'Right'"),
        ("aus=AU1", "--set aus: expected numbers such as 1,2,4 or none, found 'AU1'"),
        ("keep=1", "--set keep: expected true or false, found '1'"),
        ("rate=fast", "--set rate: expected a number, found 'fast'"),
        ("folder=", "--set folder: expected text or none, found ''"),
        ("foldr=x", "it has no option foldr; did you mean folder? it has first, side, aus, people, folder, keep, rate"),
        ("film=x", "it has no option film"),
        ("root=x", "it has no option root"),
        ("keep", "--set keep: expected name=value; it has first, side"),
    ],
)
def test_a_mistake_names_the_option_its_type_and_what_there_is(word, said):
    with pytest.raises(ValueError, match="^" + said.replace("?", r"\?")):
        parse([word], options_of(takes), of="it")


def test_an_option_given_twice_is_refused():
    with pytest.raises(ValueError, match="--set side is given twice"):
        parse(["side=left", "side=right"], options_of(takes), of="it")


def test_a_class_has_the_options_of_those_above_it():
    assert options_of(Below) == {"name": str, "width": int}


@pytest.mark.parametrize("dataset", [*readers.LABELLED, *readers.UNLABELLED])
def test_every_option_of_every_reader_can_be_typed(dataset):
    known = readers.options_of(dataset)
    fixed = {"dataset", "identity"} - set(known)  # VoxCeleb's layout says both
    assert set(keywords_of(readers.reader_of(dataset))) - fixed == set(known)


def test_numbers_reach_the_reader_as_numbers(tmp_path, capsys):
    layout.export(tmp_path, subjects=1, tasks=1, frames=8, res=32, first_image=1, film=footage.numbered)
    assert len(bp4dplus.read(tmp_path, first_image=1)) == 8
    assert cli.main(["check", "bp4dplus", str(tmp_path), "--set", "first_image=1"]) == 0
    capsys.readouterr()
    assert cli.main(["check", "bp4dplus", str(tmp_path), "--set", "first_image=one"]) == 2
    assert "--set first_image: expected 0 or 1 or none, found 'one'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "disfa", ".", "--set", "allow_missing=true"],
        ["prepare", "disfa", ".", "out", "--crop", "none", "--set", "kamera=left"],
        ["prepare", "voxceleb1", ".", "out", "--crop", "none", "--set", "dataset=x"],
        ["synth", "export", "out", "--layout", "disfa", "--set", "seed=3"],
        ["synth", "export", "out", "--layout", "disfa", "--set", "frames=many"],
    ],
)
def test_a_mistake_of_the_users_is_one_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "this is a bug" not in said[0]
    assert not (tmp_path / "out").exists()
