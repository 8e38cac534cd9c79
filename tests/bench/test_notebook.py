"""A cell as a notebook: parameters in, an executed copy and a result out, and failures with their cell."""

import json

import nbformat
import pytest

from fau_utils.bench import notebook
from fau_utils.bench.store import read_json, write_json
from fau_utils.kernel import pixels

PARAMETERS = 'method: str = "x"\ndata: str = "y"\nseed: int = 0\nbudget: str = "laptop"\nout: str = ""\n'


@pytest.fixture
def cell(tmp_path, monkeypatch):
    """Runs a notebook of these code cells, as the body of a cell; returns the exit status and the work folder."""
    monkeypatch.setattr(notebook, "ROOT", tmp_path)

    def run(*sources, parameters=PARAMETERS):
        book = nbformat.v4.new_notebook()
        book.cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
        book.cells[0].metadata["tags"] = ["parameters"]
        book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
        nbformat.write(book, tmp_path / "a.ipynb")
        work = tmp_path / "work"
        work.mkdir()
        given = {"digest": "d", "notebook": "a.ipynb", "method": "cnn", "variant": "v", "data": "synth", "seed": 7}
        write_json(work / "parameters.json", {**given, "budget": "smoke", "settings": []})
        return notebook.execute(work), work

    return run


def test_the_notebook_gets_the_cell_and_leaves_its_result_and_a_copy_to_read(cell):
    keep = "import json, pathlib\nkept = {'said': [method, data, seed, budget]}\n"
    keep += "(pathlib.Path(out) / 'result.json').write_text(json.dumps(kept))\n'an output'"
    code, work = cell(keep)
    assert code == 0
    assert read_json(work / "result.json") == {"said": ["cnn", "synth", 7, "smoke"]}
    executed = nbformat.read(work / "executed.ipynb", as_version=4)
    assert "an output" in json.dumps(executed)
    assert {path.name for path in work.iterdir()} == {"parameters.json", "result.json", "executed.ipynb"}


def test_a_failure_says_cell_error_and_traceback(cell):
    code, work = cell("fine = 1", "def inner():\n    return 1 / 0\ninner()")
    failure = read_json(work / "failure.json")
    assert code == 1
    assert failure["error"] == "ZeroDivisionError: division by zero"
    assert "inner()" in failure["traceback"]
    assert "\x1b" not in failure["traceback"]
    assert failure["cell"] == 3  # of the chapter, which begins with the parameters
    assert "1 / 0" in (work / "executed.ipynb").read_text()
    assert not (work / "result.json").exists()


def test_a_notebook_that_cannot_be_told_is_refused_before_it_runs(cell):
    code, work = cell("open('ran', 'w')", parameters='method: str = "x"\nbudget: str = "laptop"\n')
    assert code == 1
    assert read_json(work / "failure.json")["error"].endswith(
        "expected the parameters data, out, seed in its parameters cell"
    )


SHOW = """
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
plt.imshow(np.asarray(Image.open({path!r})))
plt.show()
"""
KEEP = "import pathlib\n_ = (pathlib.Path(out) / 'result.json').write_text('{}')"


@pytest.mark.parametrize("rendered", [False, True])
def test_a_cell_that_read_faces_of_people_keeps_no_picture_of_them(cell, tmp_path, rendered):
    from PIL import Image

    from fau_utils.data.rendered import mark

    (tmp_path / "faces").mkdir()
    Image.new("RGB", (9, 9), (250, 3, 77)).save(tmp_path / "faces" / "a.png")
    if rendered:
        mark(tmp_path / "faces")
    code, work = cell(SHOW.format(path=str(tmp_path / "faces" / "a.png")), KEEP)
    assert code == 0
    executed = (work / "executed.ipynb").read_text()
    assert (pixels.PLACEHOLDER in executed) != rendered
    assert "fau_watch" not in executed
    assert "image/png" in executed
    assert {path.name for path in work.iterdir()} == {"parameters.json", "result.json", "executed.ipynb"}
