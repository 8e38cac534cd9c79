"""The body of a cell: a chapter run by papermill with the cell as its parameters.

``python -m fau_utils.bench.notebook WORK``. The notebook is given the cell's place in the grid, its settings, and
``out``, the work folder; its last cell writes ``result.json`` there. ``executed.ipynb`` is kept, so that every number
has a notebook that a person can open, without its pictures where faces were read that may be licensed.
"""

import json
import logging
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from fau_utils.bench.store import ROOT, read_json, write_json

_ASK = "import sys\nsys.modules['fau_watch'].foreign"  # a cell of ours behind the last one


def execute(work: Path) -> int:
    """Run the notebook; the exit status. What went wrong is written to ``failure.json``."""
    given = read_json(work / "parameters.json") or {}
    source = ROOT / str(given.get("notebook"))
    try:
        _papermill(source, work, given)
    except Exception as error:  # noqa: BLE001  whatever it is, it is written down
        write_json(work / "failure.json", _failure(error))
        sys.stderr.write(traceback.format_exc())
        return 1
    return 0


def _papermill(source: Path, work: Path, given: dict[str, Any]) -> None:
    import nbformat
    import papermill

    from fau_utils import kernel

    logging.getLogger("traitlets").setLevel(logging.ERROR)
    known = papermill.inspect_notebook(str(source))
    place = {name: value for name, value in given.items() if name not in ("digest", "notebook")}
    parameters = {name: value for name, value in {**place, "out": str(work)}.items() if name in known}
    if missing := {"method", "data", "seed", "budget", "out"} - set(parameters):
        raise ValueError(f"{source.name}: expected the parameters {', '.join(sorted(missing))} in its parameters cell")
    folder, inner = work / "folder", work / "kernel"  # notebooks rely on no folder
    folder.mkdir(exist_ok=True)
    running = kernel.manager(inner)
    asked, raw = inner / "asked.ipynb", inner / "raw.ipynb"
    book = nbformat.read(source, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(_ASK, metadata={"tags": ["fau-ask"]}))
    nbformat.write(book, asked)
    try:
        papermill.execute_notebook(
            str(asked),
            str(raw),
            parameters=parameters,
            progress_bar=False,
            log_output=True,
            start_timeout=120,
            iopub_timeout=120,
            km=running,
            resources={"metadata": {"path": str(folder)}},
        )
    finally:
        kernel.kill(running)
        if raw.is_file():
            _keep(raw, work / "executed.ipynb", name=source.name)
        for made in (folder, inner):
            shutil.rmtree(made, ignore_errors=True)


def _keep(raw: Path, target: Path, *, name: str) -> None:
    """Store the executed notebook, without its pictures unless the kernel says that all it read was rendered."""
    import nbformat

    from fau_utils.kernel import pixels

    book = nbformat.read(raw, as_version=4)
    asked = [cell for cell in book.cells if "fau-ask" in cell.metadata.get("tags", ())]
    book.cells = [cell for cell in book.cells if cell not in asked]
    told = [output.get("data", {}).get("text/plain") for cell in asked for output in cell.outputs]
    if told != ["False"]:
        left_out = pixels.without_pictures(book)
        logging.getLogger(__name__).warning("%s read pictures that are not rendered: %d left out", name, left_out)
    book.metadata.papermill |= {"input_path": f"notebooks/{name}", "output_path": target.name}
    nbformat.write(book, target)


def _failure(error: Exception) -> dict[str, Any]:
    lines = list(getattr(error, "traceback", None) or traceback.format_exception(error))
    name, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    # counted from 1 in the chapter; papermill counts from 0, and has put a cell with the parameters in front of it
    cell = getattr(error, "cell_index", None)
    return {"error": f"{name}: {text}", "traceback": _plain("\n".join(lines)), "cell": cell}


def _plain(text: str) -> str:
    """Without a terminal's colours."""
    from nbconvert.filters import strip_ansi

    return strip_ansi(json.loads(json.dumps(text)))


if __name__ == "__main__":
    sys.exit(execute(Path(sys.argv[1])))
