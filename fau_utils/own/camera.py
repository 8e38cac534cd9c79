"""The camera of this computer: looked through while a cell runs, stored nowhere."""

import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from fau_utils.data.decoder import library
from fau_utils.own.finders import Finder
from fau_utils.own.model import Model
from fau_utils.own.predict import Looker
from fau_utils.own.tracks import Tracker

DEVICES = {"linux": ("v4l2", "/dev/video0"), "darwin": ("avfoundation", "0"), "win32": ("dshow", "video=0")}


def frames(seconds: float) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frame number, seconds since the beginning, and picture (H, W, 3) uint8 RGB, for so long.

    Raises
    ------
    OSError
        No camera, or it is in use.
    """
    kind, name = DEVICES[sys.platform]
    sys.audit("fau.pictures", name)  # a face that was not rendered: see fau_utils.kernel.watch
    begin = time.monotonic()
    with library().open(name, format=kind) as container:
        for number, frame in enumerate(container.decode(video=0)):
            passed = time.monotonic() - begin
            if passed > seconds:
                return
            yield number, passed, frame.to_ndarray(format="rgb24")


def watch(model: Model, find: Finder, *, seconds: float = 5.0) -> pd.DataFrame:
    """Rows as ``fau predict`` has them; the pictures are gone when it returns, and nothing was written."""
    looker, tracker = Looker(model, find), Tracker(patience=10)
    for picture in frames(seconds):
        looker.see([picture], name="camera", tracker=tracker)
    return looker.rows()
