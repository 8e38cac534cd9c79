"""The book as one PDF, from the pages of the last run: Sphinx writes LaTeX and xelatex sets it."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fau_utils.book.errors import UserError
from fau_utils.book.project import PACKAGE, Project, write

NAME = "fau-book.pdf"
INTERACTIVE = "*An interactive figure stands here in the HTML edition.*"
PACKAGES = "texlive-xetex texlive-latex-extra texlive-fonts-recommended texlive-plain-generic fonts-dejavu-core"
"""What Debian and Ubuntu call what is needed."""

FITS, LONG = 90, 24
"""Letters of a line in a table, and of a column that may be broken."""

MANY = 36
"""Rows of a table that go on one page; a longer one goes on over pages."""

_PASSES = 3  # contents, references, and page numbers of the contents


def make(project: Project, out: Path, *, say: Callable[[str], None] = lambda words: None) -> Path:
    """Set the book and put it into a folder; returns the file.

    Raises
    ------
    UserError
        Without xelatex, before the book was run, or with the first complaint of Sphinx or xelatex.
    """
    engine = shutil.which("xelatex")
    if engine is None:
        raise UserError(f"xelatex is not installed: on Debian and Ubuntu, apt install {PACKAGES}")
    if not (project.pages / "conf.py").is_file():
        raise UserError("there are no pages yet; fau book makes them, then they can be printed")
    work = project.build / "pdf"
    shutil.rmtree(work, ignore_errors=True)
    say("writing LaTeX")
    _source(project.pages, work / "source")
    _front(work / "source")
    _latex(work)
    for number in range(_PASSES):
        say(f"xelatex, pass {number + 1} of {_PASSES}")
        _xelatex(engine, work / "latex")
    write(out / NAME, (work / "latex" / "book.pdf").read_bytes())
    return out / NAME


def _source(pages: Path, target: Path) -> None:
    """The pages with outputs that paper can show."""
    shutil.copytree(pages, target, ignore=shutil.ignore_patterns("plotly.min.js", "tex-svg.js"))
    for path in target.glob("chapters/*.ipynb"):
        node = json.loads(path.read_text(encoding="utf-8"))
        node["cells"] = [made for cell in node["cells"] for made in printable(cell)]
        write(path, json.dumps(node))


def _front(source: Path) -> None:
    """A first page without the cards of the home page, and chapters that keep their numbers."""
    index = source / "index.md"
    text = re.sub(
        r"^## .*?(?=^```\{include\} _generated/contents)", "", index.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    chapters = sorted(source.glob("chapters/*.ipynb"))
    numbers = [int(path.name[:2]) for path in chapters]
    write(
        index,
        text.replace(
            "```{include} _generated/contents", f"{_count_from(numbers[0])}\n\n```{{include}} _generated/contents"
        ),
    )
    for path, following in zip(chapters, numbers[1:], strict=False):
        node = json.loads(path.read_text(encoding="utf-8"))
        last = {"cell_type": "markdown", "id": "following", "metadata": {}, "source": _count_from(following)}
        write(path, json.dumps(node | {"cells": [*node["cells"], last]}))


def _count_from(number: int) -> str:
    return f"```{{raw}} latex\n\\setcounter{{chapter}}{{{number - 1}}}\n```"


def printable(cell: dict) -> list[dict]:
    """A cell, and behind it what stands for its HTML: tables as LaTeX, a sentence for what moves.

    Code that the page folds away is left to the notebook: paper cannot fold.
    """
    tags = cell.get("metadata", {}).get("tags", [])
    if {"hide-input", "hide-cell"} & set(tags):
        cell = cell | {"metadata": cell["metadata"] | {"tags": [*tags, "remove-input"]}}
    kept, texts = [], []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        page = "".join(data.get("text/html", ""))
        if not page or any(kind.startswith("image/") for kind in data):
            kept.append(output)
        else:
            texts.append(f"```{{raw}} latex\n{table(page)}```" if "<table" in page else INTERACTIVE)
    if not texts:
        return [cell]
    caption = cell.get("metadata", {}).get("mystnb", {}).get("figure", {}).get("caption", "")
    texts += [caption] if caption else []  # no figure that LaTeX could number
    behind = {"cell_type": "markdown", "id": f"{cell.get('id', '')}-printed", "metadata": {}}
    return [cell | {"outputs": kept}, behind | {"source": "\n\n".join(texts)}]


def table(page: str) -> str:
    """The first HTML table as LaTeX: made smaller where it is wider than a page, cut into pages where it is long."""
    from bs4 import BeautifulSoup

    found = BeautifulSoup(page, "html.parser").find("table")
    rows = [
        [(" ".join(cell.get_text().split()), int(cell.get("colspan", 1))) for cell in row.find_all(["td", "th"])]
        for row in found.find_all("tr")
    ]
    rows = [row for row in rows if row]
    width = max(sum(span for _, span in row) for row in rows)
    heads = len(found.thead.find_all("tr")) if found.thead else 0
    lines = []
    for place, row in enumerate(rows):
        cells = [
            escaped(text) if span == 1 else rf"\multicolumn{{{span}}}{{l}}{{{escaped(text)}}}" for text, span in row
        ]
        lines.append(" & ".join(cells) + r" \\" + (r"\hline" if place == heads - 1 else ""))
    alone = [[text for text, span in row if span == 1] for row in rows]
    said = " ".join(found.caption.get_text().split()).partition("; type to")[0] if found.caption else ""
    if len(rows) > MANY:
        return _over_pages(lines, heads, _shares(alone, width), caption=said)
    columns = _columns(alone, width)
    caption = f"{escaped(said)}\\\\[2pt]\n" if said else ""
    body = "\n".join(lines)
    return (
        "\\begin{center}\\small\n"
        f"{caption}\\begin{{adjustbox}}{{max width=\\linewidth, max totalheight=0.9\\textheight}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n\\end{{adjustbox}}\n\\end{{center}}\n"
    )


def _over_pages(lines: list[str], heads: int, columns: str, *, caption: str) -> str:
    title = f"\\begin{{center}}\\small {escaped(caption)}\\end{{center}}\n" if caption else ""
    head, body = "\n".join(lines[:heads]), "\n".join(lines[heads:])
    return (
        f"{title}\\begingroup\\scriptsize\\setlength{{\\tabcolsep}}{{3pt}}\n"
        f"\\begin{{longtable}}{{{columns}}}\n{head}\n\\endhead\n{body}\n\\end{{longtable}}\n\\endgroup\n"
    )


def _shares(rows: list[list[str]], width: int) -> str:
    """Columns that share a line by their longest words and texts, all of them broken into lines."""
    whole = [row for row in rows if len(row) == width]
    letters = [min(45, max([3, *(len(row[place]) for row in whole)])) for place in range(width)]
    room = 1 - 0.016 * width
    return "".join(
        f">{{\\raggedright\\arraybackslash}}p{{{room * count / sum(letters):.3f}\\linewidth}}" for count in letters
    )


def _columns(rows: list[list[str]], width: int) -> str:
    """Columns as wide as their words; where they would not fit, the long ones are broken into lines."""
    whole = [row for row in rows if len(row) == width]
    letters = [max((len(row[place]) for row in whole), default=0) for place in range(width)]
    if sum(letters) <= FITS:
        return "l" * width
    wide = [count for count in letters if count > LONG]
    room = max(0.3, 0.92 - sum(count for count in letters if count <= LONG) / FITS)
    return "".join(
        f">{{\\raggedright\\arraybackslash}}p{{{room * count / sum(wide):.2f}\\linewidth}}" if count > LONG else "l"
        for count in letters
    )


def escaped(text: str) -> str:
    """Text as LaTeX writes it."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {letter: f"\\{letter}" for letter in "&%$#_{}"}
    return "".join(special.get(letter, letter) for letter in html.unescape(text))


def _latex(work: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-b", "latex", "-q", "-d", str(work / "doctrees")]
    done = subprocess.run(
        [*command, str(work / "source"), str(work / "latex")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(PACKAGE.parent)},
    )
    if done.returncode != 0 or not (work / "latex" / "book.tex").is_file():
        raise UserError(f"Sphinx wrote no LaTeX: {' '.join(done.stderr.split())[-600:]}")


def _xelatex(engine: str, folder: Path) -> None:
    done = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "book.tex"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")
        first = re.search(r"^! .*(?:\n.*){0,3}", said, re.MULTILINE)
        raise UserError(f"xelatex stopped: {' '.join((first[0] if first else said[-300:]).split())}")
