"""Links code words of the chapters, such as ``fit``, to the reference of the code, when that is built."""

import ast
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from fau_utils.book.project import PACKAGE

_NAME = re.compile(r"[A-Za-z_][\w.]*")


def names(package: Path = PACKAGE) -> dict[str, str]:
    """Public functions and classes by their full name, and by their short one where no other has it."""
    full: list[tuple[str, str]] = []
    modules: list[str] = []
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package.parent).with_suffix("").parts)
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        modules.append(module)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                full.append((node.name, f"{module}.{node.name}"))
    count = Counter(short for short, _ in full)
    found = {name: name for _, name in full} | {module: module for module in modules}
    return found | {short: name for short, name in full if count[short] == 1 and len(short) > 2}


def target(words: str, known: Mapping[str, str]) -> str | None:
    """What a code word names: ``fit``, ``metrics.f1_per_au``, ``fau_utils.data.synth`` or ``fit()``."""
    words = words.removesuffix("()")
    if not _NAME.fullmatch(words):
        return None
    if words in known:
        return known[words]
    ending = words.split(".")
    if len(ending) == 1:
        return None
    short = known.get(ending[-1])
    return short if short and ending[-2] in short.split(".") else None


class LinkCode(SphinxTransform):
    """Puts a reference around each code word of a chapter that names something in the package, once a page."""

    default_priority = 881

    def apply(self, **_: object) -> None:
        if not self.env.docname.startswith("chapters/"):
            return
        known, done = self.config.fau_names, set()
        for literal in list(self.document.findall(nodes.literal)):
            name = target(literal.astext(), known)
            inside = (nodes.reference, nodes.title, nodes.rubric, nodes.caption, addnodes.pending_xref)
            if name is None or name in done or _within(literal, inside):
                continue
            done.add(name)
            link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=name, refexplicit=True)
            literal.replace_self(link)
            link += literal


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node is not None:
        if isinstance(node, kinds) or getattr(node, "get", {}.get)("design_component") == "dropdown":
            return True
        node = node.parent
    return False


def _without_bars(_app: Sphinx, _what: str, _name: str, _of: object, _options: object, lines: list[str]) -> None:
    """Bars around a value are no substitution."""
    lines[:] = [
        "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in re.split(r"(``?[^`]*``?)", line))
        if "|" in line and not re.match(r"\s*\|", line)
        else line
        for line in lines
    ]


def setup(app: Sphinx) -> dict[str, object]:
    app.add_config_value("fau_names", names(), "env")
    app.add_transform(LinkCode)
    app.connect("autodoc-process-docstring", _without_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
