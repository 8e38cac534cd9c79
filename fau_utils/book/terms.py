"""Links the first use of each glossary term on a chapter's page to its entry, when the book is built.

Authors write plain words. Headings, code, mathematics, captions, links and whatever opens by a click stay as they are.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform

_BLOCK = re.compile(r"^```\{glossary\}\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CLOSED = (
    *(nodes.title, nodes.rubric, nodes.caption, nodes.legend, nodes.literal, nodes.literal_block, nodes.math),
    *(nodes.math_block, nodes.reference, nodes.raw, nodes.comment, nodes.citation, nodes.footnote, nodes.term),
    *(nodes.substitution_definition, addnodes.pending_xref, addnodes.download_reference, addnodes.toctree),
)
_CLOSED_BOXES = {"dropdown", "card", "grid-item"}
_CLOSED_CLASSES = {"provenance", "chapter-facts", "cell", "cell_output"}

WORDS: Mapping[str, tuple[str, ...]] = {
    # ordinary words: linked only where they are meant as the entry means them
    "onset, apex, offset": ("onset",),
    "view": ("views of faces", "counts views"),
    "fold": ("test fold", "each fold", "a fold", "per fold", "fold 1"),
    "embedding, feature": ("embeddings", "features"),
    "frozen": ("frozen features", "frozen encoder"),
    "probe": ("fresh linear probe", "fresh probe", "linear probe", "probes"),
    "contrast": ("declared contrast", "predeclared contrast", "contrasts"),
    # MAE is also the mean absolute error
    "masked autoencoder (MAE)": ("masked autoencoder",),
    "gradient reversal layer (GRL)": ("gradient reversal layer", "gradient reversal", "GRL", "reversed gradient"),
    "bootstrap over people": ("bootstrap over people", "bootstrap"),
}
"""Spellings of entries for which those of :func:`spellings` would mislead."""


def entries(text: str) -> list[str]:
    """The terms of a glossary's source."""
    lines = [line for block in _BLOCK.findall(text) for line in block.splitlines()]
    return [line.strip() for line in lines if line and not line.startswith((" ", ":"))]


def spellings(entry: str) -> tuple[str, ...]:
    """How an entry may be written: ``action unit (AU)`` also as ``AU``, ``embedding, feature`` as either."""
    if entry in WORDS:
        return WORDS[entry]
    inside = re.fullmatch(r"(.+?) \((\w+)\)", entry)
    return inside.groups() if inside else tuple(entry.split(", "))


def pattern(entry_terms: Iterable[str]) -> tuple[re.Pattern[str], dict[str, str]]:
    """What finds any spelling, singular or plural, and the entry of each spelling in small letters.

    Abbreviations are found in capitals only; of two that fit, the longer.
    """
    owner = {word.lower(): entry for entry in entry_terms for word in spellings(entry)}
    written = [word for entry in owner.values() for word in spellings(entry)]
    words = sorted(dict.fromkeys(written), key=lambda word: (-len(word), word))
    choices = [
        rf"{re.escape(word)}s?" if word.isupper() or any(c.isdigit() for c in word) else _loose(word) for word in words
    ]
    return re.compile(rf"(?<![\w$/.-])(?:{'|'.join(choices)})(?![\w/-])"), owner


def _loose(word: str) -> str:
    first = f"[{word[0].lower()}{word[0].upper()}]"
    rest = rf"(?:{re.escape(word[1:-1])}(?:y|ies))" if word.endswith("y") else rf"{re.escape(word[1:])}(?:e?s)?"
    return first + rest.replace(r"\ ", r"\s+")


def owner_of(found: str, owner: Mapping[str, str]) -> str:
    """The entry of a spelling as it was found."""
    plain = " ".join(found.lower().split())
    for cut, end in (("", ""), ("s", ""), ("es", ""), ("ies", "y")):
        if plain.endswith(cut) and plain.removesuffix(cut) + end in owner:
            return owner[plain.removesuffix(cut) + end]
    raise KeyError(found)


class LinkTerms(SphinxTransform):
    """Puts a reference around the first use of each term."""

    default_priority = 880  # behind the quotation marks

    def apply(self, **_: object) -> None:
        terms = self.config.fau_terms
        if not terms or not self.env.docname.startswith("chapters/"):
            return
        finder, owner = pattern(terms)
        done = {node["reftarget"] for node in self.document.findall(addnodes.pending_xref) if node["reftype"] == "term"}
        for text in list(self.document.findall(nodes.Text)):
            if not _is_closed(text):
                _link(text, finder, owner, done)


def _is_closed(text: nodes.Text) -> bool:
    node = text.parent
    while node is not None:
        if isinstance(node, _CLOSED) or node.get("design_component") in _CLOSED_BOXES:
            return True
        if isinstance(node, nodes.container) and _CLOSED_CLASSES & set(node.get("classes", ())):
            return True
        node = node.parent
    return False


def _link(text: nodes.Text, finder: re.Pattern[str], owner: Mapping[str, str], done: set[str]) -> None:
    made: list[nodes.Node] = []
    words, at = text.astext(), 0
    for match in finder.finditer(words):
        entry = owner_of(match[0], owner)
        if entry in done:
            continue
        done.add(entry)
        link = addnodes.pending_xref(
            "", refdomain="std", reftype="term", reftarget=entry, refexplicit=True, refwarn=True
        )
        link += nodes.inline("", match[0], classes=["xref", "std", "std-term"])
        made += [nodes.Text(words[at : match.start()]), link]
        at = match.end()
    if made:
        text.parent.replace(text, [*made, nodes.Text(words[at:])])


def _read(app: Sphinx, config: Config) -> None:
    path = Path(app.srcdir) / "glossary.md"
    config.fau_terms = entries(path.read_text(encoding="utf-8")) if path.is_file() else []


def setup(app: Sphinx) -> dict[str, object]:
    app.add_config_value("fau_terms", [], "env")
    app.connect("config-inited", _read)
    app.add_transform(LinkTerms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
