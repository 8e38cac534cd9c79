"""The readers by name, for commands that are told a dataset's name."""

import importlib
import inspect
import os
from typing import Any

from fau_utils.data import unlabelled, voxceleb
from fau_utils.frames import Frames

LABELLED: tuple[str, ...] = ("bp4d", "bp4dplus", "disfa", "disfaplus", "gft", "emotionet", "affwild2")
UNLABELLED: tuple[str, ...] = ("folder", "voxceleb1", "voxceleb2")


def read(dataset: str, root: str | os.PathLike, /, **options: Any) -> Frames:
    """The frames of a dataset, also of one in which pictures or labels are missing.

    Parameters
    ----------
    dataset : str
        One of :data:`LABELLED` or :data:`UNLABELLED`; ``folder`` is any tree of images.
    root : path-like
    **options
        Of its reader, e.g. ``camera="right"`` for DISFA or ``dataset="celeba"`` for a folder.

    Raises
    ------
    ValueError
        No such dataset, or an option that its reader does not have.
    DatasetError
        From the reader.
    """
    if dataset in LABELLED:
        reader: Any = importlib.import_module(f"fau_utils.data.{dataset}").read
        options = {"allow_missing": True, **options}
    elif dataset == "folder":
        reader, options = unlabelled.Folder, {"dataset": "folder", **options}
    elif dataset in UNLABELLED:
        reader = {"voxceleb1": voxceleb.VoxCeleb1, "voxceleb2": voxceleb.VoxCeleb2}[dataset]
    else:
        raise ValueError(f"expected one of {', '.join((*LABELLED, *UNLABELLED))}, found {dataset!r}")
    known = [name for kind in _signatures(reader) for name in kind]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"the reader of {dataset} has no {unknown}; it has {sorted(set(known))}")
    found = reader(root, **options)
    return found if isinstance(found, Frames) else found.frames()


def _signatures(reader: Any) -> list[list[str]]:
    """Names of the options of a function, or of a class and those above it that it passes options on to."""
    owners = (
        [c for c in reader.__mro__ if "__init__" in vars(c) and c is not object]
        if inspect.isclass(reader)
        else [reader]
    )
    skipped = ("self", "root", "options")
    return [[name for name in inspect.signature(owner).parameters if name not in skipped] for owner in owners]
