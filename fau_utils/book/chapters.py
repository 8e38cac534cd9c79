"""The chapters of the book: what lies in ``notebooks/`` and what each says about itself."""

import ast
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fau_utils.book.errors import UserError
from fau_utils.book.project import Project, digest

_NAME = re.compile(r"(\d\d)_[a-z0-9_]+")
_KEYS = {"part", "minutes", "device", "inputs", "summary"}


@dataclass(frozen=True)
class Chapter:
    """One chapter as its source states it.

    Attributes
    ----------
    name : str
        File name without ending, ``04_baselines``.
    number : int
        The leading digits: number of the chapter and of its figures.
    title, summary, part : str
        First heading; one line for the home page; group in the table of contents.
    minutes : float or None
        Time to expect at laptop budget on two cores, as the author states it.
    device : str
        What it needs, in words.
    inputs : tuple of str
        Globs relative to the root: data files that the chapter reads besides the package.
    """

    name: str
    path: Path
    text: str
    title: str
    number: int
    part: str
    summary: str
    minutes: float | None
    device: str
    inputs: tuple[str, ...]

    @property
    def notebook(self) -> Path:
        return self.path.with_suffix(".ipynb")

    @property
    def hash(self) -> str:
        return digest(self.text.encode())


def discover(project: Project) -> list[Chapter]:
    """All chapters in reading order.

    Raises
    ------
    UserError
        When there is none, a name has no leading number, or a header has an unknown key.
    """
    paths = sorted(project.notebooks.glob("*.py"))
    if not paths:
        raise UserError(f"no chapters in {project.notebooks}; a chapter is a file such as 00_tour.py")
    return [read(path) for path in paths]


def read(path: Path) -> Chapter:
    """One chapter from its ``.py`` source, without running or importing anything."""
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UserError(f"{path.name}: a chapter's file is named NN_words.py, with two digits first")
    text = path.read_text(encoding="utf-8")
    header = _header(path, text)
    about = header.get("fau") or {}
    unknown = sorted(set(about) - _KEYS)
    if unknown:
        raise UserError(f"{path.name}: unknown key {unknown[0]!r} under fau: in the header; known: {sorted(_KEYS)}")
    title = re.search(r"^# # (.+)$", text, re.MULTILINE)
    if not title:
        raise UserError(f"{path.name}: no title; the first markdown cell starts with a line '# # Title'")
    minutes = about.get("minutes")
    return Chapter(
        name=path.stem,
        path=path,
        text=text,
        title=title.group(1).strip(),
        number=int(match.group(1)),
        part=str(about.get("part", "Chapters")),
        summary=str(about.get("summary", "")),
        minutes=None if minutes is None else float(minutes),
        device=str(about.get("device", "CPU")),
        inputs=tuple(about.get("inputs") or ()),
    )


def select(chapters: Sequence[Chapter], only: Sequence[str]) -> list[Chapter]:
    """The chapters named, in reading order; all when none is named.

    A name may be the whole one, its number (``04``), or end in ``.py`` or ``.ipynb``.

    Raises
    ------
    UserError
        With the list of chapters and the nearest name.
    """
    if not only:
        return list(chapters)
    chosen = set()
    for word in only:
        wanted = re.sub(r"\.(py|ipynb)$", "", Path(word).name)
        found = [c.name for c in chapters if c.name == wanted or c.name.split("_")[0] == wanted]
        if not found:
            names = [c.name for c in chapters]
            raise UserError(f"no chapter {word!r}{nearest(wanted, names)}; there are: {', '.join(names)}")
        chosen.update(found)
    return [c for c in chapters if c.name in chosen]


def nearest(word: str, names: Sequence[str]) -> str:
    """The words ``, did you mean X?`` or nothing."""
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def line_of(chapter: Chapter, source: str) -> int | None:
    """Line of the ``.py`` on which a cell starts, found by its text."""
    at = chapter.text.find(source.strip())
    return chapter.text[:at].count("\n") + 1 if source.strip() and at >= 0 else None


def first_line(source: str) -> str:
    """The first line of a cell that does something: comments and imports tell a reader little."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("#")]
    return (telling or lines or [""])[0]


def literal(text: str):
    """A parameter's default as a value; the text itself where it is not a literal."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _header(path: Path, text: str) -> dict:
    match = re.match(r"# ---\n(.*?)# ---\n", text, re.DOTALL)
    if not match:
        return {}
    lines = [line[2:] if line.startswith("# ") else line.lstrip("#") for line in match.group(1).splitlines()]
    try:
        return (yaml.safe_load("\n".join(lines)) or {}).get("jupyter") or {}
    except (yaml.YAMLError, AttributeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"{path.name}: the header between the '# ---' lines is not YAML: {first}") from None
