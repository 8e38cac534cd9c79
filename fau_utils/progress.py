"""One progress bar for all long work.

Plain tqdm to the error stream: the notebook front ends of ``tqdm.auto`` leave half-drawn bars in executed pages.
"""

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T] | None = None, *, what: str, total: int | None = None, unit: str = "it", **options):
    """A bar with rate and time left over `items`, or to be moved by ``update`` when there are none.

    ``FAU_PROGRESS=0`` turns every bar off.
    """
    off = os.environ.get("FAU_PROGRESS", "1") == "0"
    return tqdm(
        items,
        desc=what,
        total=total,
        unit=unit,
        file=sys.stderr,
        disable=off,
        dynamic_ncols=True,
        mininterval=0.5,
        **options,
    )
