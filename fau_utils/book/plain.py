"""MyST Markdown of a chapter as plain Markdown, which every front end shows: for the handouts of a course."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_OPTION = re.compile(r"\A(?::(?P<name>[\w-]+):[ \t]*(?P<value>[^\n]*)\n)")
_ROLE = re.compile(r"\{(?P<name>[\w:]+)\}`(?P<text>[^`]+)`")
_TARGET = re.compile(r"^\([\w-]+\)=[ \t]*\n", re.MULTILINE)
_BIB = re.compile(r"^@\w+\{(?P<key>\w+),(?P<body>.*?)^\}", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Known:
    """What references in a chapter's text point to.

    Attributes
    ----------
    titles : mapping of chapter name to title
    sources : mapping of a key of the bibliography to author and year
    numbers : mapping of the label of a figure or equation to its number
    values : mapping of a glued name to what a run of the chapter gave; empty without a run
    """

    titles: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


def plain(text: str, known: Known) -> str:
    """One Markdown cell without MyST's directives and roles."""
    text = _FENCE.sub(lambda match: _directive(match, known), _TARGET.sub("", text))
    return _ROLE.sub(lambda match: _role(match["name"], match["text"], known), text)


def _directive(match: re.Match, known: Known) -> str:
    body, options = match["body"], {}
    while option := _OPTION.match(body):
        options[option["name"]] = option["value"].strip()
        body = body[option.end() :]
    name, title, body = match["name"], match["title"].strip(), body.strip()
    if name == "math":
        number = known.numbers.get(options.get("label", ""))
        tag = f"\n\\tag{{{number}}}" if number else ""
        return f"$$\n{title}{body}{tag}\n$$"
    quoted = [f"**{title}**", "", *body.splitlines()] if title else body.splitlines()
    return "\n".join(f"> {line}".rstrip() for line in quoted)


def _role(name: str, text: str, known: Known) -> str:
    said, _, target = text.partition("<")
    said, target = said.strip(), target.rstrip("> ") or text
    if name == "doc":
        return f"[{known.titles.get(target, target) if said == text else said}]({target}.ipynb)"
    if name in ("numref", "eq"):
        number = known.numbers.get(target)
        kind = "figure {}" if name == "numref" else "equation ({})"
        return kind.format(number) if number else f"`{target}`"
    if name.startswith("cite"):
        keys = [key.strip() for key in text.split(",")]
        return f"[{'; '.join(known.sources.get(key, key) for key in keys)}]"
    if name.startswith("glue"):
        return _value(text, known.values)
    return said


def _value(text: str, values: Mapping[str, str]) -> str:
    key, _, form = text.partition(":")
    if key not in values:
        return f"`{key}`"  # the chapter's code says glue("key", ...)
    value = values[key].strip("'\"")
    try:
        return format(float(value), form) if form else value
    except ValueError:
        return value


def sources(bibliography: Path) -> dict[str, str]:
    """Author and year of each entry of a BibTeX file."""
    found = {}
    for entry in _BIB.finditer(bibliography.read_text(encoding="utf-8") if bibliography.is_file() else ""):
        fields = dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*?)\},?\s*$", entry["body"], re.MULTILINE))
        authors = re.sub(r"[{}\\\"'^`~]", "", fields.get("author", entry["key"])).split(" and ")
        more = " et al." if len(authors) > 2 else "".join(f" and {a.split(',')[0].strip()}" for a in authors[1:])
        found[entry["key"]] = f"{authors[0].split(',')[0].strip()}{more}, {fields.get('year', 'undated')}"
    return found


def numbers(node, chapter: int) -> dict[str, str]:
    """Numbers of a notebook's figures and equations, as the book counts them."""
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in node.cells]
    text = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
    equations = [label for match in _FENCE.finditer(text) for label in _labels(match)]
    return {
        **{name: f"{chapter}.{place}" for place, name in enumerate(filter(None, figures), start=1)},
        **{name: f"{chapter}.{place}" for place, name in enumerate(equations, start=1)},
    }


def _labels(match: re.Match) -> Iterator[str]:
    if match["name"] == "math":
        yield from re.findall(r"^:label:[ \t]*(\S+)", match["body"], re.MULTILINE)


def values(executed: Path) -> dict[str, str]:
    """What an executed notebook glued, as text."""
    if not executed.is_file():
        return {}
    outputs = (o for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"] for o in cell.get("outputs", []))
    found = {}
    for output in outputs:
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        texts = [value for kind, value in output.get("data", {}).items() if kind.endswith("text/plain")]
        if name and texts:
            found[name] = "".join(texts[0])
    return found
