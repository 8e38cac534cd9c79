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
            assert page.evaluate("Reveal.getCurrentSlide().innerText.trim().length") > 0
        page.keyboard.press("Home")
        page.wait_for_timeout(100)
        assert page.evaluate("Reveal.getIndices().h") == 0
        page.keyboard.press("ArrowRight")
        assert page.evaluate("Reveal.getIndices().h") == 1
        browser.close()
    assert asked == []
    assert complaints == []
