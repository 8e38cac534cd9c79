import json
import re
from pathlib import Path

import nbformat
import pytest

from fau_utils import cli
from fau_utils.book import chapters, course, records

ROOT = Path(__file__).parents[2]


def _edition(tmp_path, edition):
    assert cli.main(["course", edition, str(tmp_path), "--root", str(ROOT), "--only", "03", "--only", "05"]) == 0
    return {path.stem: nbformat.read(path, as_version=4) for path in tmp_path.glob("*.ipynb")}


def _text(node):
    return "\n".join(cell.source for cell in node.cells)


def test_students_get_tasks_checks_and_stubs_and_no_answers(tmp_path, capsys):
    made = _edition(tmp_path, "student")
    assert set(made) == {"03_metrics_and_uncertainty", "05_engine"}
    text = _text(made["05_engine"])
    assert "### Exercise: The rate of a block" in text
    assert "def check_share(function):" in text
    assert "raise NotImplementedError('your turn')" in text
    assert "decay ** (blocks + 1 - layer)" not in text
    assert "as good as frozen" not in text, "the words of the solution tell the answer"
    assert "{solution" not in text
    assert "## Recap" in text
    assert "About 10 minutes" not in text
    assert "end of this chapter's page" in text, "where the answers of the quiz are"
    assert "6 exercises" in capsys.readouterr().out
    for node in made.values():
        nbformat.validate(node)


def test_instructors_get_solutions_under_a_heading_and_the_minutes_of_a_run(tmp_path, monkeypatch):
    class Known:
        cell_seconds = (1.0, 90.0, 2.0)

    def load(project, name):
        known = Known()
        known.text = chapters.read(ROOT / "notebooks" / f"{name}.py").hash
        return known

    monkeypatch.setattr(records, "load", load)
    made = _edition(tmp_path, "instructor")
    text = _text(made["05_engine"])
    assert "decay ** (blocks + 1 - layer)" in text
    assert "as good as frozen" in text
    assert text.count(course.SOLUTION) == 3
    assert "*About 10 minutes.* FMAE fine-tunes" in text
    assert "took 1.6 min" in text
    assert "number 2, 1.5 min" in text


def test_the_listing_names_every_notebook(tmp_path):
    made = _edition(tmp_path, "student")
    listing = (tmp_path / "README.md").read_text()
    assert all(f"{name}.ipynb" in listing for name in made)
    assert "| 3 | 35 |" in listing, "exercises of chapter 05 and minutes of work"


def test_an_unknown_edition_is_refused_with_those_there_are(tmp_path, capsys):
    assert cli.main(["course", "pupil", str(tmp_path), "--root", str(ROOT)]) == 2
    assert "student and instructor" in capsys.readouterr().err


@pytest.mark.parametrize("edition", course.EDITIONS)
def test_all_chapters_have_both_editions(tmp_path, edition):
    assert cli.main(["course", edition, str(tmp_path), "--root", str(ROOT)]) == 0
    assert len(list(tmp_path.glob("*.ipynb"))) == len(list((ROOT / "notebooks").glob("*.py")))
    for path in tmp_path.glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        words = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
        words = re.sub(r"`[^`\n{]*`", "", words)
        assert re.findall(r"\{[\w:]+\}`|^[`:]{3,}\{.*|^\([\w-]+\)=$", words, re.MULTILINE) == [], path.name
