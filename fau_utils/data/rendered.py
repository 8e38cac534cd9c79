"""The mark of folders whose faces were rendered here, so that they may be shown where licensed ones may not."""

import os
from pathlib import Path

MARK = ".rendered-by-fau"
_WORDS = "Every face below this folder was rendered; it shows nobody. Do not copy this file to other data.\n"


def mark(folder: str | os.PathLike) -> None:
    """Say of a folder that all its faces are rendered."""
    (Path(folder) / MARK).write_text(_WORDS)


def is_rendered(folder: str | os.PathLike) -> bool:
    """Whether a folder, or one above it, bears the mark."""
    folder = Path(folder).resolve()
    return any((above / MARK).is_file() for above in (folder, *folder.parents))
