"""The table's columns: ours, and those that readers of py-feat's and OpenFace's tables expect.

py-feat: the columns of ``Fex`` (py-feat.org, "Fex" in the API reference, and ``feat/utils/__init__.py`` of
cosanlab/py-feat). OpenFace: its wiki, "Output Format" (github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format).
Columns for things that are not measured here (landmarks, gaze, feelings) are left out; AUs that the model does not know
are there and empty. Both number AUs with two digits.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary

PLACE: tuple[str, ...] = ("input", "frame", "time", "face")
FACE: tuple[str, ...] = ("x", "y", "width", "height", "score", "eyes", "yaw", "pitch", "roll", "outside", "distance")
WHY = "abstained"

PYFEAT: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
OPENFACE_R: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
OPENFACE_C: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)

UNITS: dict[str, str] = {
    "input": "path as it was named",
    "frame": "from 0",
    "time": "seconds",
    "face": "number of the tracked face, empty when none was found; no identity",
    "x": "px, left edge of the box",
    "y": "px, upper edge of the box",
    "width": "px",
    "height": "px",
    "score": "the detector's, 0 to 1",
    "eyes": "px between the eyes",
    "yaw": "degrees",
    "pitch": "degrees",
    "roll": "degrees",
    "outside": "share of the crop outside the picture",
    "distance": "of the features from the training people's",
    WHY: "why there is no answer; empty when there is one",
    "AUn": "probability of presence, 0 to 1",
    "AUn_present": "1 at or above the threshold, else 0",
    "AUn_own": "AUn after the person's own baseline",
}


def ours(rows: pd.DataFrame, *, aus: Sequence[int], threshold: np.ndarray) -> pd.DataFrame:
    """Our layout: place, face, ``abstained``, a probability and a decision per AU."""
    names = vocabulary.columns(aus)
    own = [f"{name}_own" for name in names if f"{name}_own" in rows]
    return pd.concat([rows[[*PLACE, *FACE, WHY, *names, *own]], _decided(rows, aus, threshold, "{}_present")], axis=1)


def pyfeat(rows: pd.DataFrame, *, aus: Sequence[int], threshold: np.ndarray) -> pd.DataFrame:
    """py-feat's columns; AUs are probabilities, as those of its tree ensembles are."""
    names = {"x": "FaceRectX", "y": "FaceRectY", "width": "FaceRectWidth", "height": "FaceRectHeight"}
    names |= {"score": "FaceScore", "pitch": "Pitch", "roll": "Roll", "yaw": "Yaw"}
    made = rows[list(names)].rename(columns=names)
    values = {f"AU{n:02d}": _probability(rows, n, aus) for n in PYFEAT}
    identity = rows["face"].map(lambda k: None if pd.isna(k) else f"Person_{int(k)}")
    return made.assign(**values, input=rows["input"], frame=rows["frame"], approx_time=rows["time"], Identity=identity)


def openface(rows: pd.DataFrame, *, aus: Sequence[int], threshold: np.ndarray) -> pd.DataFrame:
    """OpenFace's columns: presence in ``AUnn_c``; ``AUnn_r`` is empty, for no intensity is measured.

    Frames count from 1. A last column ``input``, which OpenFace does not have, tells several files apart.
    """
    found = rows["face"].notna()
    made = pd.DataFrame(
        {
            "frame": rows["frame"] + 1,
            "face_id": rows["face"].fillna(0).astype(int),
            "timestamp": rows["time"],
            "confidence": rows["score"].where(found, 0.0),
            "success": (found & (rows[WHY] == "")).astype(int),
            **{
                f"pose_R{axis}": np.radians(rows[turn])
                for axis, turn in zip("xyz", ("pitch", "yaw", "roll"), strict=True)
            },
        }
    )
    present = _decided(rows, aus, threshold, "{}")
    decided = {n: present[vocabulary.column(n)] if n in aus else np.nan for n in OPENFACE_C}
    values = {f"AU{n:02d}_r": np.nan for n in OPENFACE_R} | {f"AU{n:02d}_c": decided[n] for n in OPENFACE_C}
    return made.assign(**values, input=rows["input"])


LAYOUTS: dict[str, Callable[..., pd.DataFrame]] = {"fau": ours, "pyfeat": pyfeat, "openface": openface}


def best(rows: pd.DataFrame, number: int) -> pd.Series:
    """An AU's probability: after the person's own baseline where that was asked for."""
    name = vocabulary.column(number)
    return rows[f"{name}_own"] if f"{name}_own" in rows else rows[name]


def _probability(rows: pd.DataFrame, number: int, aus: Sequence[int]):
    return best(rows, number) if number in aus else np.nan


def _decided(rows: pd.DataFrame, aus: Sequence[int], threshold: np.ndarray, name: str) -> pd.DataFrame:
    made = {}
    for number, least in zip(aus, threshold, strict=True):
        value = best(rows, number)
        made[name.format(vocabulary.column(number))] = (value >= least).astype("Int8").where(value.notna())
    return pd.DataFrame(made, index=rows.index)
