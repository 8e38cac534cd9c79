"""The built pages in a real browser: nothing is fetched, mathematics and plots show, nothing sticks out on a phone,
and nobody is kept out."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from fau_utils import cli

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
WANTED = "FAU_TEST_BROWSER" in os.environ
"""A browser was installed for these tests, so nothing of them may be skipped."""
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def _lacking(what):
    (pytest.fail if WANTED else pytest.skip)(what)


@pytest.fixture(scope="module")
def browser():
    if importlib.util.find_spec("playwright") is None:
        _lacking("playwright is not installed")
    if CHROMIUM is None:
        _lacking("no chromium on the path; on Debian: apt install chromium")
    from playwright import sync_api as playwright

    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def visit(browser, built):
    """Opens a page: what it asked for outside itself, what it complained about, and the page."""
    contexts = []

    def go(name, *, viewport=WIDE, scheme="light", html=None):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda r: page.asked.append(r.url) if r.url.split(":")[0] not in LOCAL else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        file, question, query = name.partition("?")
        page.goto(((html or built / "build" / "html") / file).as_uri() + question + query)
        page.wait_for_load_state("networkidle")
        return page

    yield go
    for context in contexts:
        context.close()


LOCAL = {"file", "data", "blob", "about"}
PAGES = ("index.html", "chapters/00_tour.html", "bibliography.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fetches_nothing_and_complains_about_nothing(visit, name):
    page = visit(name)
    page.mouse.wheel(0, 5000)
    page.wait_for_timeout(300)
    assert page.asked == []
    assert page.complaints == []


def test_mathematics_and_plots_are_drawn(visit):
    page = visit("chapters/00_tour.html")
    page.wait_for_selector("mjx-container svg", timeout=15_000)
    page.wait_for_selector(".plotly-graph-div .main-svg", timeout=15_000)
    assert page.locator("mjx-container svg").count() >= 2


@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out_on_a_phone(visit, name):
    page = visit(name, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_dark_page_is_dark_and_its_figures_stay_on_white(visit):
    page = visit("chapters/00_tour.html", scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    ground = page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor")
    assert sum(int(v) for v in ground[4:-1].split(",")) < 150
    image = "figure img"
    assert page.eval_on_selector(image, "e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    assert page.eval_on_selector(image, "e => getComputedStyle(e).filter") == "none"
    caption = page.eval_on_selector("figcaption .caption-text", "e => getComputedStyle(e).color")
    assert min(int(v) for v in caption[4:-1].split(",")[:3]) > 170


def test_the_search_finds_a_word(visit):
    page = visit("search.html?q=mean")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    assert "tour" in page.locator("#search-results").inner_text()
    assert page.asked == []
    assert page.complaints == []


def test_a_solution_opens_and_the_notebook_is_there(visit, built):
    page = visit("chapters/00_tour.html")
    hidden = page.get_by_text("Add them up and divide")
    assert not hidden.is_visible()
    page.locator(".solution button.toggle-button").first.click()
    hidden.wait_for(state="visible", timeout=5_000)
    # a browser asked to download from disk may open the file instead: follow the link by hand
    address = page.locator("a.download").first.get_attribute("href")
    notebook = built / "build" / "html" / "chapters" / address
    assert notebook.read_bytes() == (built / "notebooks" / "00_tour.ipynb").read_bytes()


BOOK = Path(__file__).parents[2] / "build" / "html"
"""The real book, which CI builds before the tests."""


@pytest.fixture(scope="module")
def axe():
    """The accessibility rules of axe-core, as a script."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        _lacking("axe-playwright-python is not installed")
    return (Path(found.origin).parent / "axe.min.js").read_text()


SEEN = ["color-contrast", "link-in-text-block", "scrollable-region-focusable"]
"""Rules that depend on how a page looks; all others depend on what is in it."""


ONE_OF_EACH_COLOUR = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll('.highlight pre span')) {
    const ground = word.closest('.admonition, details, .cell_output')?.className ?? '';
    const kind = `${word.className} on ${ground}`;
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    else seen.add(kind);
  }
}"""
"""Leaves one word of code of each colour on each ground: a page has thousands, and asking for each takes long."""


def _barriers(page, axe, *, rules=None):
    page.wait_for_timeout(500)  # mathematics is set after the page has loaded
    page.evaluate(ONE_OF_EACH_COLOUR)
    page.evaluate(axe)
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = page.evaluate("given => axe.run(document, given)", {"resultTypes": ["violations"], **only})["violations"]
    return [
        f"{v['impact']}: {v['help']}: {v['nodes'][0]['html'][:120]}: {v['nodes'][0]['failureSummary'][:200]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("name", [*PAGES, "search.html"])
@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", PHONE)], ids=["wide", "phone"])
def test_a_page_keeps_nobody_out(visit, axe, name, scheme, viewport):
    assert _barriers(visit(name, viewport=viewport, scheme=scheme), axe) == []


def test_the_rules_find_a_picture_without_words(visit, axe):
    page = visit("index.html")
    page.evaluate("document.querySelector('article').insertAdjacentHTML('beforeend', '<img src=x.png>')")
    assert any("alternative text" in barrier for barrier in _barriers(page, axe))


@pytest.mark.skipif("FAU_TEST_BOOK" not in os.environ, reason="looks at build/html when FAU_TEST_BOOK is set, as in CI")
def test_no_page_of_the_real_book_keeps_anybody_out_or_sticks_out(visit, axe):
    pages = sorted(p.relative_to(BOOK).as_posix() for p in [*BOOK.glob("*.html"), *BOOK.glob("chapters/*.html")])
    found = {}
    for name in pages:
        page = visit(name, viewport=PHONE, scheme="dark", html=BOOK)
        found[name] = _barriers(page, axe)
        for viewport in (PHONE, WIDE):
            page.set_viewport_size(viewport)
            if page.evaluate("document.documentElement.scrollWidth") > viewport["width"]:
                found[name].append(f"sticks out at {viewport['width']} px")
        page.emulate_media(color_scheme="light")  # the same page, now wide and light
        page.evaluate("document.documentElement.dataset.theme = 'light'")  # at once, not when the theme has heard of it
        found[name] += [f"wide, light: {barrier}" for barrier in _barriers(page, axe, rules=SEEN)]
        page.close()
    assert {name: barriers for name, barriers in found.items() if barriers} == {}


def test_a_reader_without_a_mouse_reaches_the_text_and_a_wide_equation(visit):
    page = visit("chapters/00_tour.html", viewport=PHONE)
    page.keyboard.press("Tab")
    assert "main content" in page.evaluate("document.activeElement.textContent").lower()
    page.evaluate(
        "document.querySelector('article').insertAdjacentHTML('beforeend', "
        "`<div class='highlight'><pre style='overflow-x:auto'>${'wide '.repeat(200)}</pre></div>`);"
        "window.dispatchEvent(new Event('resize'))"
    )
    last = page.locator("article div.highlight pre").last
    assert last.get_attribute("tabindex") == "0"


REACHED = {
    "search": ".search-button__button",
    "theme": ".theme-switch-button",
    "solution": ".solution button.toggle-button",
    "quiz": "details.quiz > summary",
}


def test_all_that_can_be_clicked_is_reached_and_used_by_keyboard(visit):
    page = visit("chapters/00_tour.html")
    state = {
        "theme": "document.querySelector('.theme-switch-button').getAttribute('aria-expanded')",
        "solution": "document.querySelector('.solution button.toggle-button').className",
        "quiz": "document.querySelector('details.quiz').open",
    }
    before = {name: page.evaluate(what) for name, what in state.items()}
    left = dict(REACHED)
    for _ in range(120):
        page.keyboard.press("Tab")
        here = next(
            (k for k, where in left.items() if page.evaluate(f"document.activeElement.matches('{where}')")), None
        )
        if here is None:
            continue
        del left[here]
        page.keyboard.press("Enter")
        page.wait_for_timeout(200)
        if here == "search":
            assert page.evaluate("document.activeElement.type") == "search"
            page.keyboard.press("Escape")
            page.wait_for_timeout(200)
            assert not page.locator("#pst-search-dialog").is_visible()
        else:
            assert page.evaluate(state[here]) != before[here], here
    assert left == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_prints_dark_on_white_whatever_the_screen_shows(visit, axe, scheme):
    page = visit("chapters/00_tour.html", scheme=scheme)
    page.emulate_media(media="print")
    ground = page.eval_on_selector("body", "e => getComputedStyle(e).backgroundColor")
    assert ground in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
    for part in ("article section > p", "article h1", "figcaption .caption-text"):
        colour = page.eval_on_selector(part, "e => getComputedStyle(e).color")
        assert max(int(v) for v in colour[4:-1].split(",")[:3]) < 100, part
    assert not page.locator(".bd-sidebar-primary").first.is_visible()
    assert _barriers(page, axe, rules=["color-contrast"]) == []


def test_a_deck_of_slides_keeps_nobody_out(visit, axe, built, tmp_path):
    assert cli.main(["course", "slides", str(tmp_path), "--root", str(built), "--only", "00"]) == 0
    page = visit("00_tour.html", html=tmp_path)
    assert _barriers(page, axe) == []
    page.keyboard.press("ArrowRight")
    assert _barriers(page, axe) == []
