"""The book is set by xelatex, and where that is missing the command says what to install."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from fau_utils import cli
from fau_utils.book import pdf

TABLE = (
    "<table><caption>AUs & more</caption><thead><tr><th>AU</th><th>F1 in %</th></tr></thead>"
    "<tbody><tr><td>AU_1</td><td>50.0</td></tr><tr><td colspan=2>both</td></tr></tbody></table>"
)


def test_without_xelatex_the_command_says_what_to_install(built, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert cli.main(["course", "pdf", str(tmp_path), "--root", str(built)]) == 2
    said = capsys.readouterr().err
    assert "xelatex" in said
    assert "apt install texlive-xetex" in said


def test_before_the_book_was_run_the_command_says_so(tmp_path, copy, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    shutil.rmtree(copy / "build" / "book")
    assert cli.main(["course", "pdf", str(tmp_path / "out"), "--root", str(copy)]) == 2
    assert "fau book" in capsys.readouterr().err


def test_a_table_keeps_its_cells_and_its_head():
    made = pdf.table(TABLE)
    assert r"AU & F1 in \% \\\hline" in made
    assert r"AU\_1 & 50.0 \\" in made
    assert r"\multicolumn{2}{l}{both}" in made
    assert r"AUs \& more" in made
    assert r"\begin{tabular}{ll}" in made


def test_a_table_with_long_cells_is_broken_into_lines():
    long = "<table><tr><td>" + "many words " * 15 + "</td><td>1.0</td></tr></table>"
    assert r"p{0.8" in pdf.table(long)


def test_a_long_table_goes_on_over_pages_and_repeats_its_head():
    page = pd.DataFrame({"claim": [f"claim {k}" for k in range(pdf.MANY)], "verdict": "cannot tell"}).to_html()
    page = page.replace("<thead>", "<caption>Claims; type to show only some</caption><thead>")
    made = pdf.table(page)
    assert made.count(r"\begin{longtable}") == 1
    head, _, body = made.partition(r"\endhead")
    assert "verdict" in head
    assert "verdict" not in body
    assert f"claim {pdf.MANY - 1}" in body
    assert "small Claims" in head
    assert "type to" not in made
    short = pdf.table(pd.DataFrame({"claim": range(pdf.MANY - 2)}).to_html())
    assert "longtable" not in short


@pytest.mark.parametrize("tag", ["hide-input", "hide-cell"])
def test_code_that_a_page_folds_away_is_not_printed_and_its_picture_is(tag):
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBO"}}
    cell = {"cell_type": "code", "source": "plot()", "metadata": {"tags": [tag]}, "outputs": [picture]}
    (made,) = pdf.printable(cell)
    assert "remove-input" in made["metadata"]["tags"]
    assert made["outputs"] == [picture]
    assert cell["metadata"]["tags"] == [tag], "the page's own notebook stays"
    (shown,) = pdf.printable(cell | {"metadata": {"tags": ["parameters"]}})
    assert "remove-input" not in shown["metadata"]["tags"]


def test_every_letter_of_a_cell_is_printable():
    assert pdf.escaped("a_b & 5 % {x} ~ ^ \\") == (
        r"a\_b \& 5 \% \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )


def test_a_picture_stays_and_what_moves_becomes_a_sentence():
    picture = {"cell_type": "code", "id": "a", "outputs": [{"data": {"text/html": "<b/>", "image/png": "x"}}]}
    moving = {"cell_type": "code", "id": "b", "outputs": [{"data": {"text/html": "<div>plot</div>"}}]}
    assert pdf.printable(picture) == [picture]
    kept, said = pdf.printable(moving)
    assert kept["outputs"] == []
    assert said["source"] == pdf.INTERACTIVE


@pytest.mark.skipif(shutil.which("xelatex") is None, reason=f"no xelatex; on Debian: apt install {pdf.PACKAGES}")
def test_the_small_book_becomes_a_pdf_with_its_chapters_numbers(built, tmp_path):
    assert cli.main(["course", "pdf", str(tmp_path), "--root", str(built)]) == 0
    made = tmp_path / pdf.NAME
    assert made.read_bytes().startswith(b"%PDF")
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext; on Debian: apt install poppler-utils")
    text = subprocess.run(["pdftotext", "-layout", made, "-"], capture_output=True, text=True, check=True).stdout
    assert "A tour of nothing" in text
    assert re.search(r"^\s*2\s+Sums", text, re.MULTILINE), "LaTeX would count 1"
    assert "An interactive figure stands here" in text
    assert "out of date" not in text
