"""The readers by name, for commands that are told a dataset's name.

One rule holds for all readers of labelled datasets, whatever is missing on the disk:

- ``allow_missing=False`` (their default): every row has a picture. A label without one is an error
  (:class:`~fau_utils.data.tree.MissingPicture`) that names its file and line. Aff-Wild2's lines for frames in which the
  release found no face are no labels of a picture, and are left out.
- ``allow_missing=True``: every label is a row, with the same key and the same AUs, whichever pictures are there. A row
  without a picture has a null ``path`` (and ``key``). Nothing is dropped here; :mod:`fau_utils.data.prepare` lists such
  rows in its quarantine.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any

from fau_utils.data import options as typed
from fau_utils.data import unlabelled, voxceleb
from fau_utils.data.tree import existing_root
from fau_utils.frames import Frames

LABELLED: tuple[str, ...] = ("bp4d", "bp4dplus", "disfa", "disfaplus", "gft", "emotionet", "affwild2")
UNLABELLED: tuple[str, ...] = ("folder", "lmdb", "tar", "voxceleb1", "voxceleb2")


class Packed(unlabelled.Lmdb):
    """An LMDB by its folder: the one with ``data.mdb`` in it."""

    def __init__(self, root: str | os.PathLike, *, dataset: str = "lmdb", **options: Any):
        # the file, so that the table names its place in the folder
        super().__init__(existing_root(root) / "data.mdb", dataset=dataset, **options)


class Tars(unlabelled.Shards):
    """WebDataset shards by their folder: every ``.tar`` in it, by name."""

    def __init__(self, root: str | os.PathLike, *, dataset: str = "tar", **options: Any):
        super().__init__(existing_root(root) / "*.tar", dataset=dataset, **options)


def read(dataset: str, root: str | os.PathLike, /, **options: Any) -> Frames:
    """The frames of a dataset, also of one in which pictures or labels are missing.

    Parameters
    ----------
    dataset : str
        One of :data:`LABELLED` or :data:`UNLABELLED`; ``folder`` is any tree of images, ``lmdb`` a folder with
        ``data.mdb`` in it (FMAE's packed form), ``tar`` a folder of WebDataset shards.
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
    reader = reader_of(dataset)
    if dataset in LABELLED:
        options = {"allow_missing": True, **options}
    elif dataset == "folder":
        options = {"dataset": "folder", **options}
    typed.refuse_unknown(list(options), _allowed(dataset, typed.keywords_of(reader)), of=f"the reader of {dataset}")
    found = reader(root, **options)
    return found if isinstance(found, Frames) else found.frames()


def reader_of(dataset: str) -> Callable[..., Any]:
    """The function or class that reads a dataset.

    Raises
    ------
    ValueError
        No such dataset; the message lists them.
    """
    if dataset in LABELLED:
        return importlib.import_module(f"fau_utils.data.{dataset}").read
    others = {
        "folder": unlabelled.Folder,
        "lmdb": Packed,
        "tar": Tars,
        "voxceleb1": voxceleb.VoxCeleb1,
        "voxceleb2": voxceleb.VoxCeleb2,
    }
    if dataset not in others:
        raise ValueError(f"expected one of {', '.join((*LABELLED, *UNLABELLED))}, found {dataset!r}")
    return others[dataset]


def options_of(dataset: str) -> dict[str, Any]:
    """Options of a dataset's reader that can be typed, each with its type."""
    return _allowed(dataset, typed.options_of(reader_of(dataset)))


def _allowed(dataset: str, known: dict[str, Any]) -> dict[str, Any]:
    fixed = ("dataset", "identity") if dataset.startswith("voxceleb") else ()  # known from the layout
    return {name: kind for name, kind in known.items() if name not in fixed}
