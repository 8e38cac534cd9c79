"""Every chapter's notebook is what its source makes, and can be run as it is."""

from pathlib import Path

import nbformat
import pytest

from fau_utils.book import chapters, pairing, parameters

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
LONGEST = 25

pytestmark = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)


def _node(path):
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def test_the_notebook_is_what_the_source_makes(path):
    chapter = chapters.read(path)
    assert chapter.notebook.is_file(), "run fau pair"
    assert chapter.notebook.read_text() == pairing.paired_text(chapter), "run fau pair"


def test_papermill_sees_every_parameter(path):
    chapter = chapters.read(path)
    cells = [c for c in _node(path).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1
    found = parameters.declared(str(chapter.notebook))
    assert list(found) == parameters.expected_names(chapter, cells[0].source)
    assert [name for name, p in found.items() if p.type not in {"int", "float", "str", "bool", "list", "tuple"}] == []
    assert [name for name, p in found.items() if not p.help] == []
    assert found["budget"].default == "laptop"
    assert found["seed"].type == "int"


def test_cells_are_short_and_without_outputs(path):
    for number, cell in enumerate(_node(path).cells, start=1):
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert len(cell.source.splitlines()) <= LONGEST, f"cell {number}"


def test_figures_have_a_caption_and_words(path):
    for number, cell in enumerate(_node(path).cells, start=1):
        about = cell.metadata.get("mystnb", {})
        if "figure" in about:
            assert about["figure"].get("caption"), f"cell {number}"
            assert about["figure"].get("name"), f"cell {number}"
            assert about.get("image", {}).get("alt"), f"cell {number}"


def test_the_header_says_part_summary_minutes_and_device(path):
    chapter = chapters.read(path)
    assert chapter.part != "Chapters"
    assert chapter.summary
    assert chapter.minutes
    assert chapter.device


def test_no_chapter_names_a_folder_of_a_machine(path):
    text = path.read_text()
    assert [word for word in ("/home/", "/Users/", "/tmp/", "../", "chdir") if word in text] == []
