"""Checks of built pages: self-contained, links lead somewhere, no errors, pictures have words, no machine's paths."""

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser fetches by itself; a link that a reader may follow is none of these
_FETCHED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
_FETCHED_RELATIONS = {
    *("stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch", "manifest"),
    *("apple-touch-icon", "mask-icon", "shortcut"),
}
_CSS_URL = re.compile(r"""url\(\s*['"]?([^'")]+)['"]?\s*\)|@import\s+['"]([^'"]+)['"]""")
_SCRIPT_FETCH = re.compile(
    r"""(?:\bimport\s*\(?|\bfrom|\bfetch\s*\(|importScripts\s*\(|\.src\s*=)\s*['"`]((?:https?:)?//[^'"`]+)"""
)
_DRAWS = re.compile(r"<(script|img|svg|canvas|video)\b", re.IGNORECASE)  # what is more than words and tables
_SAYS = re.compile(r"aria-label(ledby)?=|<(fig)?caption\b", re.IGNORECASE)
_ERRORS = ("Traceback (most recent call last)", "PapermillExecutionError", "papermill-error-cell")


@dataclass(frozen=True)
class Problem:
    """Something wrong on one page."""

    page: str
    what: str

    def __str__(self) -> str:
        return f"{self.page}: {self.what}"


@dataclass
class _Seen(HTMLParser):
    """What one page fetches, links to and defines."""

    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    images: list[tuple[str, str | None]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    _inside: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("style", "script") else self._inside
        self.names.update(values[name] for name in ("id", "name") if values.get(name))
        for name in _FETCHED.get(tag, ()):
            if values.get(name):
                words = values[name].split(",") if name == "srcset" and "data:" not in values[name] else [values[name]]
                self.fetched += [word.split()[0] for word in words if word.split()]
        if tag == "link" and set(values.get("rel", "").lower().split()) & _FETCHED_RELATIONS:
            self.fetched.append(values.get("href", ""))
        if tag in ("a", "area") and values.get("href"):
            self.links.append(values["href"])
        if values.get("style"):
            self.styles.append(values["style"])
        if tag == "img" and values.get("aria-hidden") != "true" and values.get("role") != "presentation":
            self.images.append((values.get("src", ""), values.get("alt")))
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self.fetched += re.findall(r"url=(.+)", values.get("content", ""), re.IGNORECASE)
        if "traceback" in values.get("class", "").split():
            self.errors.append("an error output")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.styles.append(data)
        elif self._inside == "script":
            self.scripts.append(data)
        else:
            self.errors += [f"the text {word!r}" for word in _ERRORS if word in data]


def check(html: Path, *, private: Iterable[str | Path] = ()) -> list[Problem]:
    """Everything wrong with a built book.

    Parameters
    ----------
    html : Path
        Folder with ``index.html``.
    private : iterable of str or Path
        Folders whose names must not be on any page, besides those of this Python and this reader.

    Returns
    -------
    list of Problem
        Empty for a good book.
    """
    found = {path.relative_to(html).as_posix(): path for path in sorted(html.rglob("*.html"))}
    # the theme leaves templates of its own among its files
    pages = {name: _parse(path) for name, path in found.items() if not name.startswith("_static/")}
    if "index.html" not in pages:
        return [Problem("index.html", f"there is none; {html.name} is no built book")]
    machine = _machine(private)
    problems: list[Problem] = []
    for name, page in pages.items():
        found = [
            *_outside(page),
            *_broken(html, name, page, pages),
            *page.errors,
            *(f"image {source[:80]} has no alternative text" for source, alt in page.images if _silent(source, alt)),
        ]
        problems += [Problem(name, what) for what in dict.fromkeys(found)]
    for path in sorted(html.rglob("*.css")):
        name = path.relative_to(html).as_posix()
        problems += [Problem(name, what) for what in _css(path.read_text(encoding="utf-8", errors="replace"))]
    for path in sorted(html.rglob("*")):
        if path.suffix in {".html", ".ipynb", ".py", ".md", ".txt", ".json"} or path.name == "searchindex.js":
            found = machine.search(path.read_text(encoding="utf-8", errors="replace"))
            if found:
                name = path.relative_to(html).as_posix()
                problems.append(Problem(name, f"holds a path of this machine: {found.group(0)}..."))
    return problems


def check_figures(name: str, notebook: dict) -> list[Problem]:
    """What of an executed notebook's figures would not show as its author means.

    Parameters
    ----------
    name : str
        The chapter.
    notebook : dict
        As stored in the ``.ipynb``.
    """
    problems = []
    for number, cell in enumerate(notebook["cells"], start=1):
        outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
        figure = cell["metadata"].get("mystnb", {}).get("figure", {})
        named = figure.get("name")
        pictures = [data for data in outputs if any(kind.startswith("image/") for kind in data)]
        drawn = ["".join(data["text/html"]) for data in outputs if data not in pictures and "text/html" in data]
        shown = len(pictures) + len(drawn)
        if named and shown != 1:
            problems.append(Problem(name, f"cell {number}: figure {named} is {shown} pictures, expected 1"))
        if (pictures or named) and not (named and figure.get("caption")):
            problems.append(Problem(name, f"cell {number} shows a picture; give it a figure with a name and a caption"))
        if not named and any(_DRAWS.search(page) and not _SAYS.search(page) for page in drawn):
            said = f"cell {number} draws in HTML; give it a figure with a caption, or an aria-label"
            problems.append(Problem(name, said))
        for data in outputs:
            text = "".join(data.get("text/plain", ""))
            if set(data) == {"text/plain"} and re.search(r"<matplotlib\.|^Text\(|<Axes", text):
                problems.append(
                    Problem(name, f"cell {number} shows {text[:40]!r}; end it with plt.show() or a semicolon")
                )
    return problems


def _parse(path: Path) -> _Seen:
    page = _Seen()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


def _is_outside(address: str) -> bool:
    parts = urlsplit(address.strip())
    return parts.scheme not in ("", "data", "blob", "javascript") or bool(parts.netloc)


def _outside(page: _Seen) -> Iterator[str]:
    for address in page.fetched:
        if _is_outside(address):
            yield f"fetches {address}"
    for text in page.styles:
        yield from _css(text)
    for text in page.scripts:
        for address in _SCRIPT_FETCH.findall(text):
            yield f"a script fetches {address}"


def _css(text: str) -> Iterator[str]:
    for match in _CSS_URL.finditer(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)):
        address = match.group(1) or match.group(2)
        if _is_outside(address):
            yield f"a style fetches {address}"


def _broken(html: Path, name: str, page: _Seen, pages: dict[str, _Seen]) -> Iterator[str]:
    folder = (html / name).parent
    for address in [*page.links, *page.fetched]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (folder / unquote(parts.path)).resolve() if parts.path else (html / name).resolve()
        if target.is_dir():
            target = target / "index.html"
        if not target.is_file() or not target.is_relative_to(html.resolve()):
            yield f"link to {address} leads nowhere"
            continue
        inside = target.relative_to(html.resolve()).as_posix()
        anchor = unquote(parts.fragment)
        if anchor and anchor != "top" and inside in pages and anchor not in pages[inside].names:
            yield f"link to {address}: there is no such place on that page"


def _silent(source: str, alt: str | None) -> bool:
    # Sphinx writes the file name where an author wrote nothing
    return not (alt or "").strip() or Path(urlsplit(source).path).name == Path(alt).name


def _machine(private: Iterable[str | Path]) -> re.Pattern[str]:
    folders = {str(Path(folder)) for folder in (*private, Path.home(), sys.prefix, sys.base_prefix)}
    folders.add(tempfile.gettempdir())
    # "/" and "/usr" say nothing about a machine
    words = [re.escape(folder) for folder in folders if folder not in ("/", "/usr", "/usr/local", "/tmp")]
    words += [r"/home/\w+/", r"/Users/\w+/", r"/tmp/\w+/\w+", r"[A-Z]:\\Users\\"]
    return re.compile(rf"(?<![\w.:/~-])(?:{'|'.join(sorted(words, key=len, reverse=True))})(?=$|[/\\\s'\"<),:;]|\w|\.)")
