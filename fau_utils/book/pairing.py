"""The ``.ipynb`` of a chapter, made from its ``.py``: without outputs, byte for byte the same each time."""

from pathlib import Path

from fau_utils.book.chapters import Chapter
from fau_utils.book.errors import UserError
from fau_utils.book.project import write

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def notebook(chapter: Chapter):
    """The chapter as a notebook node, with numbered cell ids and without outputs.

    Raises
    ------
    UserError
        When the text is not a notebook in the percent format.
    """
    import jupytext
    import nbstripout

    try:
        node = jupytext.reads(chapter.text, fmt="py:percent")
    except Exception as error:  # noqa: BLE001  jupytext raises what its readers raise
        raise UserError(f"{chapter.path.name}: jupytext cannot read it: {error}") from None
    node.metadata["kernelspec"] = KERNEL
    node.metadata.get("jupytext", {}).pop("text_representation", None)  # holds jupytext's version: pairs would drift
    return nbstripout.strip_output(node, keep_output=False, keep_count=False, keep_id=False)


def paired_text(chapter: Chapter) -> str:
    """The text that the chapter's ``.ipynb`` must have."""
    import nbformat

    node = notebook(chapter)
    node.nbformat, node.nbformat_minor = 4, 5
    return nbformat.writes(node, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def in_step(chapter: Chapter) -> bool:
    """Whether the ``.ipynb`` beside the ``.py`` is what the ``.py`` makes."""
    try:
        return chapter.notebook.read_text(encoding="utf-8") == paired_text(chapter)
    except FileNotFoundError:
        return False


def pair(chapter: Chapter) -> Path | None:
    """Write the ``.ipynb`` where it differs; its path when it was written."""
    text = paired_text(chapter)
    if chapter.notebook.is_file() and chapter.notebook.read_text(encoding="utf-8") == text:
        return None
    write(chapter.notebook, text)
    return chapter.notebook
