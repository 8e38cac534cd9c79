"""A deck of slides for each chapter, from its built page: goals, figures, equations, claims, evidence, exercises, quiz.

The prose goes into the speaker's notes. A deck is one HTML file beside reveal.js, MathJax and the pictures; it asks
nothing of a network.
"""

import html
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fau_utils.book import quiz
from fau_utils.book.chapters import Chapter
from fau_utils.book.errors import UserError
from fau_utils.book.project import Project, write

if TYPE_CHECKING:
    from bs4 import Tag

REVEAL = Path(__file__).with_name("reveal")
WIDTH, HEIGHT = 1280, 720
LEAD = 330
"""Letters of a section's beginning that a slide shows; the notes have all."""

_TALL = "tall"
"""Of pictures that nobody could read on a slide."""
_RECAP = {"recap", "in short"}
_APART = {"exercises", quiz.HEADING.lower(), "further reading", *_RECAP}
_START = f"""
Reveal.initialize({{
  width: {WIDTH}, height: {HEIGHT}, margin: 0.02, center: false, hash: true, transition: "none",
  controls: true, progress: true, slideNumber: "c/t",
  showNotes: new URLSearchParams(location.search).has("notes"),
}});
// what is too tall or too wide for a slide becomes smaller: mathematics is set after the page has loaded
const fit = () => document.querySelectorAll(".slides section").forEach((slide) => {{
  const over = () => slide.scrollHeight > {HEIGHT} + 1 || slide.scrollWidth > {WIDTH} + 1;
  for (let size = 30; size > 9 && over(); size -= 1) slide.style.fontSize = size + "px";
}});
Reveal.on("ready", fit);
Reveal.on("slidechanged", fit);
window.MathJax?.startup?.promise?.then(fit);
"""


@dataclass
class Slide:
    """One slide: HTML of its body, and words for the speaker."""

    body: str
    notes: list[str] = field(default_factory=list)

    def html(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<section>\n{self.body}\n" + (f'<aside class="notes">{notes}</aside>\n' if notes else "") + "</section>"


@dataclass(frozen=True)
class Deck:
    """A deck that was written, with its number of slides."""

    path: Path
    slides: int


def make(project: Project, chapters: Sequence[Chapter], out: Path) -> list[Deck]:
    """Write a deck for each chapter, a page that lists them, and what they need to be shown.

    Raises
    ------
    UserError
        When a chapter has no built page.
    """
    decks = []
    for chapter in chapters:
        page = project.html / "chapters" / f"{chapter.name}.html"
        if not page.is_file():
            raise UserError(f"{chapter.name} has no page yet; fau book builds it, then slides can be made from it")
        made, pictures = _slides(project, chapter, page)
        for picture in pictures:
            _copy(picture, out / "pictures" / picture.name)
        path = out / f"{chapter.name}.html"
        write(path, _document(chapter.title, "\n".join(slide.html() for slide in made)))
        decks.append(Deck(path, len(made)))
    for source in (*REVEAL.iterdir(), project.book / "_static" / "tex-svg.js"):
        _copy(source, out / "reveal" / source.name)
    write(out / "index.html", _listing(chapters, decks))
    return decks


def _slides(project: Project, chapter: Chapter, page: Path) -> tuple[list[Slide], list[Path]]:
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article") or soup.body
    _clean(article)
    pictures = _pictures(article, page)
    made = [Slide(f"<h1>{html.escape(chapter.title)}</h1>\n<p>{html.escape(chapter.summary)}</p>")]
    goals = next((box for box in article.select(".admonition") if _words(box.p) == "You will learn"), None)
    if goals is not None:
        made.append(Slide(f"<h2>You will learn</h2>\n{''.join(map(str, goals.select(':scope > ul')))}"))
    for section in article.select("section:has(> h2)"):
        if _words(section.h2).lower() not in _APART:
            made += _of_section(section)
    made += _exercises(article)
    made += [_question(one) for one in quiz.read(quiz.path_of(project, chapter))]
    recap = next((s for s in article.select("section:has(> h2)") if _words(s.h2).lower() in _RECAP), None)
    if recap is not None and recap.select_one("ol, ul"):
        made.append(Slide(f"<h2>Recap</h2>\n{recap.select_one('ol, ul')}"))
    return made, pictures


def _of_section(section: "Tag") -> Iterator[Slide]:
    """What a section says first and its equation; then claims, pictures and evidence, a slide each."""
    title = _words(section.h2)
    head = f"<h2>{html.escape(title)}</h2>\n"
    paragraphs = [p for p in section.select(":scope > p, :scope > section > p") if _words(p)]
    declared = [p for p in paragraphs if _words(p).startswith("Declared before")]
    plain = [p for p in paragraphs if p not in declared]
    equation = section.select_one("div.math")
    if plain or equation:
        first = f"<p>{_lead(plain[0])}</p>{_list_after(plain[0])}" if plain else ""
        yield Slide(head + first + str(equation or ""), [_words(p) for p in plain])
    for paragraph in declared:
        yield Slide(f'{head}<div class="declared">{paragraph}{_list_after(paragraph)}</div>')
    for figure in section.select("figure:has(img):not(:has(table))"):
        if not figure.select_one(f"img.{_TALL}"):
            yield Slide(head + str(figure))
    chosen = "table" if title == "Evidence" else "table.table"  # elsewhere those of the text
    yield from (Slide(head + str(table)) for table in section.select(chosen))


def _list_after(paragraph: "Tag") -> str:
    """The list that a paragraph announces."""
    after = paragraph.find_next_sibling()
    return str(after) if _words(paragraph).endswith(":") and after is not None and after.name in ("ol", "ul") else ""


def _exercises(article: "Tag") -> Iterator[Slide]:
    for box in article.select("div.exercise.admonition"):
        title = box.select_one(".admonition-title")
        task = box.select_one("section, .exercise-content") or box
        words = re.sub(r"\s*\((.*)\)$", r": \1", _words(title))
        title.extract()
        yield Slide(f"<h2>{html.escape(words)}</h2>\n{task.decode_contents()}")


def _question(question: quiz.Question) -> Slide:
    options = "".join(f"<li>{_inline(option.text)}</li>" for option in question.options)
    right = question.options[question.answer]
    answer = f"{'ABCDEF'[question.answer]}. {_inline(right.why)}"
    return Slide(
        f"<h2>{quiz.HEADING}</h2>\n<p>{_inline(question.ask)}</p>\n"
        f'<ol type="A">{options}</ol>\n<p class="fragment answer">{answer}</p>',
        [f"{'ABCDEF'[place]}: {option.why}" for place, option in enumerate(question.options)],
    )


def _clean(article: "Tag") -> None:
    """Take out what belongs to a page and not to a slide; links become words."""
    for node in article.select(".headerlink, .eqno, script, .cell_input, details.hide, .provenance, .chapter-facts"):
        node.decompose()
    for link in article.select("a"):
        link.unwrap()
    for node in article.select("[id]"):
        del node["id"]


def _pictures(article: "Tag", page: Path) -> list[Path]:
    found = []
    for image in article.select("figure img"):
        source = image.get("src", "")
        if source.startswith("data:"):
            continue
        found.append((page.parent / source).resolve())
        tall = found[-1].suffix == ".png" and _proportion(found[-1]) > 1.6
        image.attrs = {"src": f"pictures/{found[-1].name}", "alt": image.get("alt", "")}
        if tall:
            image["class"] = _TALL
    return found


def _proportion(picture: Path) -> float:
    """Height over width."""
    with Image.open(picture) as image:
        return image.height / image.width


def _lead(paragraph: "Tag") -> str:
    """The first sentences of a paragraph, as many as fit; whole where it has mathematics."""
    if paragraph.select_one(".math"):
        return paragraph.decode_contents()
    kept = ""
    for sentence in re.split(r"(?<=[.?!])\s+", _words(paragraph)):
        if kept and len(kept) + len(sentence) > LEAD:
            break
        kept = f"{kept} {sentence}".strip()
    return html.escape(kept)


def _words(node: "Tag | None") -> str:
    return " ".join(node.get_text().split()) if node is not None else ""


def _inline(text: str) -> str:
    """Inline Markdown of a quiz: code, emphasis, and mathematics for MathJax."""
    text = html.escape(text, quote=False)
    text = re.sub(r"\$(.+?)\$", r"\\(\1\\)", text)
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", text)
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", text)


def _document(title: str, slides: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="stylesheet" href="reveal/reveal.css">\n<link rel="stylesheet" href="reveal/deck.css">\n</head>\n'
        f'<body>\n<div class="reveal"><div class="slides">\n{slides}\n</div></div>\n'
        '<script>window.MathJax = {options: {enableMenu: false}};</script>\n<script src="reveal/tex-svg.js"></script>\n'
        f'<script src="reveal/reveal.js"></script>\n<script>{_START}</script>\n</body>\n</html>\n'
    )


def _listing(chapters: Sequence[Chapter], decks: Sequence[Deck]) -> str:
    rows = "".join(
        f'<li><a href="{deck.path.name}">{chapter.number:02d} {html.escape(chapter.title)}</a>, '
        f"{deck.slides} slides</li>"
        for chapter, deck in zip(chapters, decks, strict=True)
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Slides</title></head>\n<body>\n'
        f"<main><h1>Slides</h1>\n<ul>{rows}</ul>\n<p>Arrows move, <kbd>o</kbd> shows all, <kbd>f</kbd> fills the "
        "screen. With <code>?notes</code> behind the address each slide has its notes beside it; with "
        "<code>?print-pdf</code> the browser prints a deck.</p></main>\n</body>\n</html>\n"
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
