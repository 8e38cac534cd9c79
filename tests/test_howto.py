"""The rehearsal of the how-to page is done as it stands there, with options added that only make it small."""

import re
import shlex
from pathlib import Path

import pytest

from fau_utils import cli

TEXT = (Path(__file__).parents[1] / "book" / "howto.md").read_text()
SMALLER = {
    "synth": "--res 64 --set frames=8 --set tasks=1",
    "prepare": "--size 64 --workers 1",
    "train": "--set views=32",
}


def blocks(section: str) -> list[list[list[str]]]:
    """The commands of each block of a section, in words."""
    body = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)[1]
    found = re.findall(r"^```sh\n(.*?)^```", body, re.DOTALL | re.MULTILINE)
    lines = [block.replace("\\\n", " ").splitlines() for block in found]
    return [[words for line in block if (words := shlex.split(line, comments=True))] for block in lines]


def smaller(words: list[str]) -> list[str]:
    """As typed in a shell, for few views of small faces; of an option that is given twice the last holds."""
    more = shlex.split(SMALLER.get(words[1], ""))
    known = [word.partition("=")[0] for word in more if "=" in word]
    kept = [w for k, w in enumerate(words) if not _replaced(words, k, known)]
    expanded = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in kept[1:]]
    return [word for some in expanded for word in some] + more


def _replaced(words: list[str], k: int, known: list[str]) -> bool:
    """Whether word `k` is a setting, or its --set, that is added anew."""
    setting = words[k + 1] if words[k] == "--set" else words[k]
    return any(setting.startswith(f"{name}=") for name in known)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAU_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("FAU_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_rehearsal_goes_from_a_tree_to_a_model_with_an_honest_card(folder, capsys):
    rehearsal = blocks("When your data arrives")[0]
    assert [words[1] for words in rehearsal] == [
        *("synth", "check", "prepare", "prepare", "train", "score", "models", "models", "forget", "cache")
    ]
    said = {}
    for words in rehearsal:
        assert words[0] == "fau"
        assert cli.main(smaller(words)) == 0, (words, capsys.readouterr().err)
        said[" ".join(words[1:3])] = capsys.readouterr().out
    assert "a rehearsal" in said["check bp4d"]
    card = " ".join(said["models card"].split())
    for words in (
        "TEACHING ONLY",
        "faces rendered",
        "licence rendered here",
        "protocol ours",
        "not measured: identity",
    ):
        assert words in card
    assert "Binghamton" not in card


def test_the_way_to_a_first_model_is_the_one_that_an_empty_list_of_models_tells(folder, capsys):
    assert cli.main(["models", "list"]) == 0
    told = capsys.readouterr().out
    (own,) = blocks("Your own pictures and films")
    train, add, predict = (" ".join(words) for words in own)
    assert train in told
    assert add in told
    assert predict.startswith("fau predict ")
    assert "means nothing" in told


def test_the_published_recipe_takes_the_fold_and_the_folders_of_the_rehearsal():
    rehearsal, recipe = blocks("When your data arrives")
    (words,), ours = recipe, next(words for words in rehearsal if words[1] == "train")
    for option in ("--data", "--fold", "--out"):
        assert words[words.index(option) + 1] == ours[ours.index(option) + 1]
