"""The built pages in a real browser: nothing is fetched, mathematics and plots show, nothing sticks out on a phone."""

import shutil

import pytest

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on the path; on Debian: apt install chromium")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def visit(browser, built):
    """Opens a page: what it asked for outside itself, what it complained about, and the page."""
    contexts = []

    def go(name, *, viewport=WIDE, scheme="light"):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.complaints = [], []
        page.on("request", lambda r: page.asked.append(r.url) if r.url.split(":")[0] not in LOCAL else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        file, question, query = name.partition("?")
        page.goto((built / "build" / "html" / file).as_uri() + question + query)
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
