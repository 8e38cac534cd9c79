"""One look for every figure: colour-blind-safe colours, readable sizes, white ground that survives dark mode."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import seaborn as sns

PALETTE: tuple[str, ...] = tuple(sns.color_palette("colorblind").as_hex())
"""Ten colours that stay apart for colour-blind readers; arms of an experiment take them in order."""

_SETTINGS = {
    "figure.figsize": (7.0, 3.6),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "grid.color": "0.9",
    "font.size": 10,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "image.interpolation": "nearest",
}


def use() -> None:
    """Set the book's look for the rest of the notebook."""
    mpl.rcParams.update(_SETTINGS)


@contextmanager
def look() -> Iterator[None]:
    """The book's look inside a ``with`` block only."""
    with mpl.rc_context(_SETTINGS):
        yield
