"""Datasets' folder layouts filled with rendered faces, so that everything can be rehearsed before the data arrives.

Each module writes one layout with the irregularities of the real one, and returns what its reader has to find.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fau_utils.data import options as typed
from fau_utils.data.layouts import affwild2, bp4d, bp4dplus, disfa, disfaplus, emotionet
from fau_utils.data.rendered import mark
from fau_utils.frames import Frames

LAYOUTS: dict[str, Callable[..., Frames]] = {
    "bp4d": bp4d.export,
    "bp4d+": bp4dplus.export,
    "disfa": disfa.export,
    "disfa+": disfaplus.export,
    "emotionet": emotionet.export,
    "affwild2": affwild2.export,
}
"""Layout name to the function that writes it: ``LAYOUTS["bp4d"](out, frames=24)``."""


def export(layout: str, out: str | os.PathLike, **options: object) -> Frames:
    """Write a layout into a new folder, as ``fau synth export --layout bp4d OUT`` does.

    Parameters
    ----------
    layout : str
        One of :data:`LAYOUTS`.
    out : path-like
        A folder that does not exist or is empty: two trees in one folder would be no dataset.
    **options
        Of the layout's own function, such as ``frames=24`` or ``subjects=5``.

    Returns
    -------
    Frames
        What the dataset's reader has to find.

    Raises
    ------
    ValueError
        Unknown layout or option (the known ones are listed), or a folder with something in it.
    """
    known = typed.keywords_of(_writer(layout))
    typed.refuse_unknown(list(options), known, of=f"the layout {layout}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new or empty folder, found something in it; take another name or empty it")
    frames = LAYOUTS[layout](out, **options)
    mark(out)
    return frames


def options_of(layout: str) -> dict[str, Any]:
    """Options of a layout that can be typed, each with its type.

    Raises
    ------
    ValueError
        Unknown layout.
    """
    return typed.options_of(_writer(layout))


def _writer(layout: str) -> Callable[..., Frames]:
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; known are {', '.join(LAYOUTS)}")
    return LAYOUTS[layout]
