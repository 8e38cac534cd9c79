"""Puts the source of the HTML together in ``build/book``: what lies in ``book/``, the executed chapters, plotly."""

import base64
import importlib.util
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from fau_utils.book import launch, pages, quiz, records, syllabus
from fau_utils.book.pages import Page
from fau_utils.book.project import Project, write

PICTURE_TAG = "home-picture"
"""The first picture of a cell with this tag becomes the picture of the home page."""


def assemble(project: Project, book: Sequence[Page]) -> None:
    """Write everything that Sphinx reads, leaving alone what has not changed."""
    files: dict[str, bytes] = {
        path.relative_to(project.book).as_posix(): path.read_bytes()
        for path in sorted(project.book.rglob("*"))
        if path.is_file() and _source_of_the_book(path.relative_to(project.book))
    }
    picture: dict[str, bytes] = {}
    for page in book:
        name = page.chapter.name
        node = _page(project, page)
        files[f"chapters/{name}.ipynb"] = (json.dumps(node, indent=1, ensure_ascii=False) + "\n").encode()
        files[f"chapters/files/{name}.py"] = page.chapter.text.encode()
        files[f"chapters/files/{name}.ipynb"] = _source(page)
        picture = picture or _home_picture(node)
    files |= picture or {"_generated/picture.md": _fallback_picture(files)}
    # the reference of the code is asked for by `make api`; see book/conf.py
    code = pages.code_contents() if os.environ.get("FAU_API") else ""
    files["_generated/contents.md"] = (pages.contents(book) + code).encode()
    files["_generated/cards.md"] = pages.cards(book).encode()
    files["_generated/run.md"] = pages.run_table(book).encode()
    chapters = [page.chapter for page in book]
    files["_generated/goals.md"] = syllabus.goals_page([syllabus.entry(project, one) for one in chapters]).encode()
    for name in [name for name in files if name.endswith(".md")]:
        files[name] = syllabus.with_links(files[name].decode(), chapters).encode()
    files["_static/plotly.min.js"] = _plotly()
    _sync(project.pages, files)


def _source_of_the_book(path: Path) -> bool:
    """Whether a file below ``book/`` is one: no cache, no lock of a study that is running."""
    return not any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def _page(project: Project, page: Page) -> dict:
    """A chapter's notebook as a page; one cell that says so where there is nothing to show."""
    if page.failure is not None:
        return _notebook([_markdown("failed", pages.failed_text(page))])
    if page.record is None:
        return _notebook([_markdown("missing", pages.missing_text(page))])
    node = json.loads(records.executed_path(project, page.chapter.name).read_text(encoding="utf-8"))
    cells = node["cells"]
    for cell in cells:
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
        if "outputs" in cell:
            # warnings on the error stream name folders of this machine
            cell["outputs"] = [o for o in cell["outputs"] if o.get("name") != "stderr"]
    first = next(cell for cell in cells if cell["cell_type"] == "markdown")
    opened = launch.links(*launch.repository(project), page.chapter)
    banner = pages.stale_banner(page.stale) if page.stale else ""
    first["source"] = pages.with_front("".join(first["source"]), [pages.facts(page, opened), banner])
    questions = quiz.read(quiz.path_of(project, page.chapter))
    if questions:
        cells.append(_markdown("quiz", quiz.page(questions)))
    cells.append(_markdown("provenance", pages.provenance(page.record)))
    node["metadata"] = {
        key: node["metadata"][key] for key in ("kernelspec", "language_info") if key in node["metadata"]
    }
    return node


def _source(page: Page) -> bytes:
    """The notebook without outputs, as committed beside its source."""
    try:
        return page.chapter.notebook.read_bytes()
    except FileNotFoundError:
        from fau_utils.book.pairing import paired_text

        return paired_text(page.chapter).encode()


def _notebook(cells: list[dict]) -> dict:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _markdown(key: str, text: str) -> dict:
    return {"cell_type": "markdown", "id": key, "metadata": {}, "source": text}


def _home_picture(node: dict) -> dict[str, bytes]:
    for cell in node["cells"]:
        if PICTURE_TAG not in cell["metadata"].get("tags", []):
            continue
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "Rendered faces")
        for output in cell.get("outputs", []):
            for kind, suffix in (("image/png", "png"), ("image/jpeg", "jpg")):
                if kind in output.get("data", {}):
                    data = base64.b64decode("".join(output["data"][kind]))
                    text = _picture(f"_generated/home.{suffix}", alt)
                    return {f"_generated/home.{suffix}": data, "_generated/picture.md": text}
    return {}


def _fallback_picture(files: dict[str, bytes]) -> bytes:
    found = [name for name in files if re.fullmatch(r"_static/(home|readme_faces)\.(png|jpg|svg)", name)]
    return _picture(found[0], "Rendered faces showing action units") if found else b"\n"


def _picture(file: str, alt: str) -> bytes:
    return f"```{{image}} {file}\n:alt: {alt}\n:class: home-picture\n:align: center\n```\n".encode()


def _plotly() -> bytes:
    spec = importlib.util.find_spec("plotly")  # finds the folder without the cost of the import
    if spec is None or spec.origin is None:
        return b""
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def _sync(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name, data in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != data:
            write(path, data)
