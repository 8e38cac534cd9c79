import pytest

from fau_utils.book.check import check, check_figures

GOOD = (
    '<html><head></head><body><h1 id="a">x</h1><a href="other.html#b">y</a><a href="https://a.org">z</a></body></html>'
)


@pytest.fixture
def book(tmp_path):
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "other.html").write_text('<p id="b">x <a href="index.html">h</a></p>')
    return tmp_path


def test_a_good_book_has_no_problems(book):
    assert check(book) == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "fetches https://cdn.example/x.js"),
        ('<script src="//cdn.example/x.js"></script>', "fetches //cdn"),
        ('<link rel="stylesheet" href="http://a.org/x.css">', "fetches http://a.org/x.css"),
        ('<link rel="preconnect" href="https://fonts.example">', "fetches https://fonts"),
        ('<img alt="a" src="https://a.org/x.png">', "fetches https://a.org/x.png"),
        ('<img alt="a" src="other.html" srcset="https://a.org/2.png 2x">', "fetches https://a.org/2.png"),
        ('<iframe src="https://a.org"></iframe>', "fetches https://a.org"),
        ("<style>@import 'https://a.org/x.css';</style>", "a style fetches"),
        ('<p style="background: url(https://a.org/x.png)">', "a style fetches"),
        ('<script type="module">import x from "https://a.org/x.js"</script>', "a script fetches"),
        ('<svg><image href="https://a.org/x.png"/></svg>', "fetches https://a.org"),
        ('<a href="nowhere.html">x</a>', "nowhere.html leads nowhere"),
        ('<a href="other.html#c">x</a>', "no such place"),
        ('<a href="#c">x</a>', "no such place"),
        ('<img alt="a" src="_images/gone.png">', "gone.png leads nowhere"),
        ('<img src="other.html">', "no alternative text"),
        ('<img src="other.html" alt="other.html">', "no alternative text"),
        ("<pre>Traceback (most recent call last):</pre>", "Traceback"),
        ('<div class="output traceback highlight">x</div>', "an error output"),
        ("<p>see /home/ann/work/x</p>", "path of this machine"),
        ("<p>see /srv/project/book/x</p>", "path of this machine"),
    ],
)
def test_what_is_planted_is_found(book, planted, said):
    (book / "index.html").write_text(GOOD.replace("</body>", planted + "</body>"))
    problems = [str(p) for p in check(book, private=["/srv/project"])]
    assert len(problems) == 1
    assert said in problems[0]


def test_style_sheets_and_notebooks_are_looked_into(book):
    (book / "x.css").write_text("/* url(https://fine.org) */ a { src: url('https://a.org/f.woff2') }")
    (book / "n.ipynb").write_text('{"path": "/srv/project/x"}')
    problems = {p.page: p.what for p in check(book, private=["/srv/project"])}
    assert set(problems) == {"x.css", "n.ipynb"}
    assert "f.woff2" in problems["x.css"]


def test_words_that_only_look_like_paths_are_fine(book):
    (book / "other.html").write_text(
        '<p id="b">https://a.org/srv/project/x and ../srv/project <a href="index.html">h</a></p>'
    )
    assert check(book, private=["/srv/project"]) == []


def test_an_empty_folder_is_no_book(tmp_path):
    assert len(check(tmp_path)) == 1


def _cell(*outputs, figure=None, caption="What is seen."):
    about = {"mystnb": {"figure": {"name": figure, "caption": caption}}} if figure else {}
    return {"cell_type": "code", "metadata": about, "outputs": [{"data": data} for data in outputs]}


PICTURE = {"image/png": "x", "text/plain": "<Figure size 640x480>"}


def test_a_figure_that_is_missing_or_doubled_is_told():
    cells = [
        _cell(PICTURE, figure="a"),
        _cell(figure="b"),
        _cell(PICTURE, PICTURE, figure="c"),
        _cell({"text/html": "<table></table>"}, figure="d"),
    ]
    problems = [problem.what for problem in check_figures("00_x", {"cells": cells})]
    assert problems == [
        "cell 2: figure b is 0 pictures, expected 1",
        "cell 3: figure c is 2 pictures, expected 1",
    ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (_cell(PICTURE), "shows a picture"),
        (_cell({"image/svg+xml": "<svg/>"}), "shows a picture"),
        (_cell(PICTURE, figure="a", caption=""), "shows a picture"),
        (_cell({"text/html": "<div id=x></div><script>Plotly.newPlot('x')</script>"}), "draws in HTML"),
        (_cell({"text/html": ["<img src='data:x'", " alt='a face'>"]}), "draws in HTML"),
        (_cell({"text/html": "<script>moves()</script>"}, figure="a"), None),
        (_cell({"text/html": "<div aria-label='Ages'><script>moves()</script></div>"}), None),
        (_cell({"text/html": "<table><caption>Ages</caption></table><script>sorts()</script>"}), None),
        (_cell({"text/html": "<table><tr><td>1</td></tr></table>"}), None),
    ],
)
def test_what_is_drawn_has_a_caption_or_a_name(cell, said):
    problems = [problem.what for problem in check_figures("00_x", {"cells": [cell]})]
    assert [said in problem for problem in problems] == ([True] if said else [])


def test_the_name_of_a_plot_object_on_a_page_is_told():
    cells = [_cell({"text/plain": "<matplotlib.legend.Legend at 0x7f>"}), _cell({"text/plain": ["Text(0.5, 1, 'x')"]})]
    assert len(check_figures("00_x", {"cells": cells})) == 2
    assert check_figures("00_x", {"cells": [_cell({"text/plain": "0.5"})]}) == []
