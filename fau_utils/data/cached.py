"""Rendered sets that lie in the cache: which there are, how large, since when unused; and removing them.

A set is cached under a hash of its configuration and of the code that draws it, so that each change of either leaves
the old set behind. Nothing but this removes it.
"""

import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from fau_utils.data.cache import cache_root, orphans
from fau_utils.faces.population import SPLITS, code_version

_SET = re.compile(rf"({'|'.join(SPLITS)})-[0-9a-f]{{16}}")
_DAY = 86_400


@dataclass(frozen=True)
class CachedSet:
    """One folder of rendered faces.

    Attributes
    ----------
    folder : Path
    faces, res : int or None
        How many, and their side in px; None when the folder does not say.
    bytes : int
    unused : float
        Days since it was read or written.
    current : bool or None
        Whether the code of today would draw it; None when it does not say.
    """

    folder: Path
    faces: int | None
    res: int | None
    bytes: int
    unused: float
    current: bool | None


def listing(cache_dir: str | os.PathLike | None = None) -> list[CachedSet]:
    """The cached sets, the one that was used last first."""
    place = _place(cache_dir)
    if not place.is_dir():
        return []
    with os.scandir(place) as entries:
        folders = [Path(e.path) for e in entries if _SET.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    return sorted(map(_describe, folders), key=lambda found: (found.unused, found.folder.name))


def clear(cache_dir: str | os.PathLike | None = None, *, older_than: float = 0) -> list[CachedSet]:
    """Remove cached sets, and what killed writers left. Returns the sets that were removed.

    A set in use may be removed: who has mapped it into memory keeps it until it ends.

    Parameters
    ----------
    cache_dir : path-like, optional
        As of :func:`~fau_utils.data.cache.cache_root`.
    older_than : float
        Only sets that were not used for so many days.

    Raises
    ------
    ValueError
        `older_than` is negative.
    OSError
        The folder cannot be written.
    """
    if not older_than >= 0:
        raise ValueError(f"expected a number of days from 0, found {older_than}")
    place = _place(cache_dir)
    removed = [found for found in listing(cache_dir) if found.unused >= older_than]
    for found in removed:
        # renamed first: a reader sees a whole set or none, and a clearing that is killed leaves litter, not damage
        aside = place / f".{found.folder.name}.removed.{os.getpid()}"
        found.folder.rename(aside)
        shutil.rmtree(aside)
    if place.is_dir():
        for litter in (*place.glob(".*.removed.*"), *orphans(place)):
            shutil.rmtree(litter, ignore_errors=True)
    return removed


def render(sets: list[CachedSet], cache_dir: str | os.PathLike | None = None):
    """The list as a :mod:`rich` table, for a terminal."""
    from rich.table import Table

    total = sum(found.bytes for found in sets)
    table = Table("set", "faces", "px", "MB", "unused", "", title=f"{_place(cache_dir)}: {total / 1e6:,.0f} MB")
    for found in sets:
        words = {True: "", False: "drawn by other code", None: "does not say what drew it"}[found.current]
        counts = ("?" if number is None else f"{number:,}" for number in (found.faces, found.res))
        table.add_row(found.folder.name, *counts, f"{found.bytes / 1e6:,.1f}", f"{found.unused:.1f} days", words)
    return table


def _place(cache_dir: str | os.PathLike | None) -> Path:
    return cache_root(cache_dir) / "synth"


def _describe(folder: Path) -> CachedSet:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    meta = folder / "meta.json"
    used = (meta if meta.exists() else folder).stat().st_mtime
    try:
        said = json.loads(meta.read_text())
    except (OSError, ValueError):
        said = {}
    code = said.get("code")
    return CachedSet(
        folder=folder,
        faces=said.get("faces"),
        res=said.get("config", {}).get("res"),
        bytes=size,
        unused=max(0.0, (time.time() - used) / _DAY),
        current=None if code is None else code == code_version(),
    )
