"""Landmark files of BP4D, BP4D+ and DISFA.

Their form is known only in part; what is read here:

* BP4D and BP4D+: one ``.mat`` per sequence with a struct array ``fit``; ``fit(i).pred`` are 49 points in px (empty
  where the tracker lost the face), ``fit(i).frame`` counts from 1 where it is there.
* DISFA: one ``.mat`` per frame with one array of 66 points, whatever it is called.

Points are returned as stored. MATLAB counts pixels from 1; published code subtracts 1 (JAA-Net), and so should you.
"""

import os
from pathlib import Path

import numpy as np

from fau_utils.data.tree import DatasetError


def read_track(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of a BP4D or BP4D+ sequence.

    Returns
    -------
    frame : ndarray, (N,) int64
        Frame numbers from 1; the place in the array when the file does not say.
    points : ndarray, (N, 49, 2) float32
        px, x to the right and y down, as stored; ``nan`` where the face was lost.

    Raises
    ------
    DatasetError
        Not a MATLAB file, no ``fit``, or points of another number.
    """
    path = Path(path)
    content = _load(path)
    fit = content.get("fit")
    if fit is None or fit.dtype.names is None or "pred" not in fit.dtype.names:
        raise DatasetError(
            path,
            expected="a struct array 'fit' with the field 'pred'",
            found=", ".join(sorted(content)) or "nothing",
            hint="see whether this is a landmark file of BP4D",
        )
    fit = fit.reshape(-1)
    points = np.full((len(fit), 49, 2), np.nan, "float32")
    frame = np.arange(1, len(fit) + 1)
    for row, entry in enumerate(fit):
        if "frame" in fit.dtype.names and np.size(entry["frame"]) == 1:
            frame[row] = int(np.asarray(entry["frame"]).item())
        pred = np.asarray(entry["pred"], "float64")
        if pred.size == 0:
            continue
        if sorted(pred.shape) != [2, 49]:
            raise DatasetError(
                path, expected="49 points", found=f"an array {pred.shape} in fit({row + 1}).pred", hint="see the file"
            )
        points[row] = pred if pred.shape[1] == 2 else pred.T
    return frame.astype("int64"), points


def read_points(path: str | os.PathLike, *, count: int = 66) -> np.ndarray:
    """Landmarks of one DISFA frame, (count, 2) float32 px, as stored.

    Raises
    ------
    DatasetError
        Not a MATLAB file, or not exactly one array of so many points.
    """
    path = Path(path)
    content = _load(path)
    fitting = [value for value in content.values() if sorted(np.shape(value)) == sorted((2, count))]
    if len(fitting) != 1:
        shapes = {name: np.shape(value) for name, value in content.items()}
        raise DatasetError(path, expected=f"one array of {count} points", found=f"{shapes}", hint="see the file")
    points = np.asarray(fitting[0], "float32")
    return points if points.shape[1] == 2 else points.T


def _load(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except FileNotFoundError:
        raise DatasetError(
            path, expected="a landmark file", found="no file of this name", hint="see whether it was moved"
        ) from None
    except NotImplementedError:
        raise DatasetError(
            path,
            expected="a MATLAB file up to version 7",
            found="version 7.3 (HDF5)",
            hint="save it again in MATLAB or Octave with save -v7",
        ) from None
    except (MatReadError, ValueError, TypeError, OSError) as error:
        raise DatasetError(
            path, expected="a MATLAB file", found=f"{error}", hint="the file is damaged: extract the archive again"
        ) from error
    return {name: value for name, value in content.items() if not name.startswith("__")}
