"""Each chapter becomes a deck that shows in a browser without a network, and nothing of it is cut off."""

import re
import shutil

import pytest

from fau_utils import cli
from fau_utils.book import slides
from fau_utils.book.quiz import Option, Question

QUIZ = """
- ask: What is $2^2$?
  options:
    - {text: Four, why: Two times two is four., right: true}
    - {text: Two, why: That is *half* of it.}
"""


@pytest.fixture(scope="module")
def decks(built, tmp_path_factory):
    out = tmp_path_factory.mktemp("slides")
    quizzes = built / "book" / "quizzes"
    kept = (quizzes / "00.yml").read_text()
    (quizzes / "00.yml").write_text(QUIZ)
    try:
        assert cli.main(["course", "slides", str(out), "--root", str(built)]) == 0
    finally:
        (quizzes / "00.yml").write_text(kept)
    return out


def _slides(decks, name="00_tour"):
    text = (decks / f"{name}.html").read_text()
    return re.findall(r"<section>.*?</section>", text, re.DOTALL)


def test_a_deck_has_title_recap_exercise_and_quiz_with_its_answer_behind_a_click(decks):
    made = _slides(decks)
    assert "<h1>A tour of nothing</h1>" in made[0]
    told = "\n".join(made)
    assert "Compute the mean by hand." in told
    assert "Add them up and divide" not in told, "a deck does not show solutions"
    (question,) = [one for one in made if "Check yourself" in one]
    assert r"\(2^2\)" in question
    assert '<p class="fragment answer">A. Two times two is four.</p>' in question


def test_no_slide_is_a_heading_alone(decks):
    for path in decks.glob("0*.html"):
        for made in _slides(decks, path.stem):
            assert re.sub(r"<h2>.*?</h2>|<aside.*?</aside>|\s|</?section>", "", made, flags=re.DOTALL), made


@pytest.mark.parametrize(("words", "count"), [("", 0), ("<p>It is so.</p>", 1)])
def test_a_section_begins_with_a_slide_if_it_says_something(words, count):
    from bs4 import BeautifulSoup

    page = BeautifulSoup(f"<section><h2>Looking</h2>{words}<script>1</script></section>", "html.parser")
    assert len(list(slides._of_section(page.section))) == count


@pytest.mark.parametrize(("height", "count"), [(300, 1), (400, 0)])
def test_a_picture_that_nobody_could_read_on_a_slide_is_left_to_the_page(tmp_path, height, count):
    from bs4 import BeautifulSoup
    from PIL import Image

    Image.new("RGB", (200, height)).save(tmp_path / "plot.png")
    figure = "<section><h2>Looking</h2><figure><img src='plot.png' alt='a plot'></figure></section>"
    page = BeautifulSoup(figure, "html.parser")
    slides._pictures(page, tmp_path / "page.html")
    assert len(list(slides._of_section(page.section))) == count


def test_the_listing_names_every_deck(decks):
    listing = (decks / "index.html").read_text()
    assert 'href="00_tour.html"' in listing
    assert 'href="02_sums.html"' in listing


def test_every_file_that_a_deck_names_is_beside_it(decks):
    for path in decks.glob("*.html"):
        for name in re.findall(r'(?:src|href)="([^"#?]+)"', path.read_text()):
            assert (path.parent / name).is_file(), f"{path.name}: {name}"


def test_without_a_page_the_command_says_what_to_do(tmp_path, capsys, copy):
    shutil.rmtree(copy / "build" / "html")
    assert cli.main(["course", "slides", str(tmp_path / "out"), "--root", str(copy)]) == 2
    assert "fau book" in capsys.readouterr().err


def test_answers_are_put_in_words_of_a_page():
    question = Question("Is `x < 1`?", (Option("No", "It is *not*.", True), Option("Yes", "It is.")))
    made = slides._question(question).html()
    assert "<code>x &lt; 1</code>" in made
    assert "A. It is <em>not</em>." in made


@pytest.mark.browser
def test_a_deck_shows_in_a_browser_and_no_request_leaves(decks):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path; on Debian: apt install chromium")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": slides.WIDTH, "height": slides.HEIGHT})
        asked, complaints = [], []
        page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        page.on("requestfailed", lambda r: complaints.append(r.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((decks / "00_tour.html").as_uri())
        page.wait_for_selector("mjx-container svg", state="attached", timeout=15_000)
        total = page.evaluate("Reveal.getTotalSlides()")
        assert total == len(_slides(decks))
        for place in range(total):
            page.evaluate(f"Reveal.slide({place})")
            page.wait_for_timeout(50)
            assert page.evaluate("Reveal.getCurrentSlide().scrollHeight") <= slides.HEIGHT + 1
            assert page.evaluate("Reveal.getCurrentSlide().scrollWidth") <= slides.WIDTH + 1
            assert page.evaluate("Reveal.getCurrentSlide().innerText.trim().length") > 0
        page.keyboard.press("Home")
        page.wait_for_timeout(100)
        assert page.evaluate("Reveal.getIndices().h") == 0
        page.keyboard.press("ArrowRight")
        assert page.evaluate("Reveal.getIndices().h") == 1
        browser.close()
    assert asked == []
    assert complaints == []
