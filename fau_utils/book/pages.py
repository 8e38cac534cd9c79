"""The pages around what a chapter produced: facts, banners, provenance, home page parts. All of it MyST Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fau_utils.book.chapters import Chapter, literal
from fau_utils.book.records import Failure, Record
from fau_utils.book.words import duration, machine, size


@dataclass(frozen=True)
class Page:
    """What the book knows about one chapter when it is built.

    Attributes
    ----------
    record, failure : Record or Failure, optional
        Its last run that finished, and its last run when that failed.
    stale : str or None
        Why what its last run made is out of date.
    """

    chapter: Chapter
    record: Record | None
    failure: Failure | None
    stale: str | None


def facts(page: Page, launch: Sequence[str] = ()) -> str:
    """The line under a chapter's title: time, device, downloads, and links that open it elsewhere."""
    name = page.chapter.name
    took = f"{duration(page.record.seconds)} in this run" if page.record else ""
    needs = page.chapter.device + (f", about {page.chapter.minutes:g} min" if page.chapter.minutes else "")
    words = " · ".join(
        part
        for part in (
            f"Needs: {needs}",
            took,
            f"{{download}}`Download this notebook <files/{name}.ipynb>`",
            f"{{download}}`source <files/{name}.py>`",
            *launch,
        )
        if part
    )
    return f":::{{div}} chapter-facts\n{words}\n:::"


def stale_banner(reason: str) -> str:
    """Said on a page made by an older run."""
    return f":::{{warning}}\nThis page is from an earlier run and out of date: {_escape(reason)}.\n:::"


def failed_text(page: Page) -> str:
    """The page of a chapter that failed."""
    failure = page.failure
    where = f"line {failure.line} of `notebooks/{failure.chapter}.py`" if failure.line else f"`{failure.chapter}`"
    return (
        f"# {page.chapter.title}\n\n:::{{error}}\n**This chapter failed** in cell {failure.cell} ({where}), "
        f"so there is nothing to show.\n\n```text\n{failure.source}\n{failure.error}\n```\n:::\n"
    )


def missing_text(page: Page) -> str:
    """The page of a chapter that was not run."""
    return (
        f"# {page.chapter.title}\n\n:::{{note}}\nThis chapter has not been run here. "
        f"`fau book --only {page.chapter.name}` runs it.\n:::\n"
    )


def with_front(text: str, inserted: Sequence[str]) -> str:
    """A first cell's text with blocks put under its title."""
    blocks = "\n\n".join(block for block in inserted if block)
    return re.sub(r"^(# .+)$", lambda m: f"{m.group(1)}\n\n{blocks}\n", text, count=1, flags=re.MULTILINE)


def provenance(record: Record) -> str:
    """The footer of a page."""
    values = {name: literal(text) for name, text in record.values.items()}
    memory = size(record.memory)
    if record.device_memory:
        memory += f", on the GPU {size(record.device_memory)}"
    rows = {
        "Code": _revision(record.revision),
        "Parameters": ", ".join(f"`{name} = {value!r}`" for name, value in values.items()) or "none",
        "Versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()),
        "Device": machine(record.device),
        "Time and memory": f"{duration(record.seconds)}, at most {memory}",
        "Run at": record.date.replace("T", " ").replace("+00:00", " UTC"),
    }
    body = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return f":::{{div}} provenance\n**Where this page comes from**\n\n| | |\n|---|---|\n{body}\n:::"


def contents(pages: Sequence[Page]) -> str:
    """Tables of contents, one per part, in the order of their first chapters."""
    blocks = []
    for number, (part, members) in enumerate(_parts(pages).items(), start=1):
        names = "\n".join(f"chapters/{page.chapter.name}" for page in members)
        caption = f"{_roman(number)} · {part}"
        blocks.append(f"```{{toctree}}\n:hidden:\n:numbered: 1\n:maxdepth: 2\n:caption: {caption}\n\n{names}\n```")
    return "\n\n".join(blocks) + "\n"


def code_contents() -> str:
    """The table of contents of the reference of the code."""
    return "\n```{toctree}\n:hidden:\n:caption: Code\n:maxdepth: 1\n\napi/fau_utils/index\n```\n"


def cards(pages: Sequence[Page]) -> str:
    """The chapters as cards, part by part."""
    blocks = []
    for number, (part, members) in enumerate(_parts(pages).items(), start=1):
        lines = [f"### {_roman(number)} · {part}", "", "::::{grid} 1 2 2 3", ":gutter: 3", ""]
        for page in members:
            chapter = page.chapter
            time = page.record.seconds if page.record else None
            time = f"{duration(time)} in this run" if time else "not run here"
            lines += [
                f":::{{grid-item-card}} {chapter.number} · {chapter.title}",
                f":link: chapters/{chapter.name}",
                ":link-type: doc",
                "",
                chapter.summary,
                "",
                "{.card-time}",
                time if not page.failure else "failed",
                ":::",
            ]
        blocks.append("\n".join([*lines, "::::"]))
    return "\n\n".join(blocks) + "\n"


def run_table(pages: Sequence[Page]) -> str:
    """Minutes and memory of each chapter, from the run."""
    lines = ["| chapter | budget | time | peak memory | state |", "|---|---|--:|--:|---|"]
    total = 0.0
    for page in pages:
        link = f"[{page.chapter.number} · {_cell(page.chapter.title)}](chapters/{page.chapter.name}.ipynb)"
        if page.failure or not page.record:
            lines.append(f"| {link} | | | | {'failed' if page.failure else 'not run here'} |")
            continue
        record = page.record
        total += record.seconds
        budget = literal(record.values.get("budget", "''")) or "–"
        state = f"out of date: {_cell(_escape(page.stale))}" if page.stale else "as run"
        lines.append(f"| {link} | {budget} | {duration(record.seconds)} | {size(record.memory)} | {state} |")
    lines.append(f"| **together** | | **{duration(total)}** | | |")
    runs = [page.record for page in pages if page.record and not page.failure]
    clock = _clock(runs)
    words = f"Some ran at the same time: {duration(clock)} on the clock. " if clock < 0.95 * total else ""
    devices = sorted({machine(record.device) for record in runs})
    return "\n".join(lines) + (f"\n\n{words}Run on: {'; '.join(devices)}.\n" if devices else "\n")


def _clock(runs: Sequence[Record]) -> float:
    """Seconds in which at least one of them ran."""
    ends = [datetime.fromisoformat(record.date).timestamp() for record in runs]
    spans = sorted((end - record.seconds, end) for end, record in zip(ends, runs, strict=True))
    total, reached = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def _parts(pages: Sequence[Page]) -> Mapping[str, list[Page]]:
    parts: dict[str, list[Page]] = {}
    for page in pages:
        parts.setdefault(page.chapter.part, []).append(page)
    return parts


def _revision(revision: str | None) -> str:
    if revision is None:
        return "not in a git repository"
    commit, plus, _ = revision.partition("+")
    return f"git `{commit[:10]}`" + (" with uncommitted changes" if plus else "")


def _roman(number: int) -> str:
    text = ""
    for value, letters in ((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):
        text += letters * (number // value)
        number %= value
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escape(text: str) -> str:
    # names of files and parameters are full of underscores and arrows
    return re.sub(r"([_*<>`])", r"\\\1", text)
