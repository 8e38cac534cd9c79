"""What says that data are the same data: not their name, but what is in them.

A folder may be prepared anew under its old name, and shards of two folders may be called alike. What identifies a run,
or a cell of a benchmark, has this beside the name. Large files are not read whole: their length and evenly spread
pieces of them stand for their pixels, so a copy on another disk is the same data, and another crop is not.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fau_utils.data import by_name
from fau_utils.data.unlabelled import expand
from fau_utils.training import domain_fold

ARRAY, SHARD = (16, 1 << 16), (8, 1 << 10)
"""Pieces of a file that are read, and bytes of each: a row of channels shows a face; every byte of a JPEG depends on
all of it."""


def content_of(name: str, *, domains: bool = False) -> dict[str, Any]:
    """Plain data that differ where the data differ.

    Parameters
    ----------
    name : str
        As ``fau train`` takes it: rendered faces, a prepared folder, or shards.
    domains : bool
        It names two domains.

    Raises
    ------
    ValueError
        As :mod:`fau_utils.data.by_name`.
    """
    if by_name.is_synth(name):
        if domains:
            return {"config": hashlib.sha256(repr(domain_fold.gap_of(name)).encode()).hexdigest()[:16]}
        return {"config": by_name.synth_of(name).hash()}
    if domains:
        return dict(zip(("source", "target"), map(content_of, domain_fold.sides_of(name)), strict=True))
    if by_name.is_shards(name):
        found = expand(name)
        return {"shards": len(found), "files": _pieces(found, *SHARD)}
    return _prepared(by_name.folder_of(name))


def _prepared(folder: Path) -> dict[str, Any]:
    manifest, array, marks = (folder / name for name in ("manifest.parquet", "images.npy", "landmarks.npy"))
    said = {"manifest": _pieces([manifest], 1, manifest.stat().st_size)}
    try:
        asked = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        said |= {name: asked[name] for name in ("crop", "size")}
    except (OSError, ValueError, KeyError):  # it was not made by fau prepare
        if array.is_file():
            said["size"] = int(np.load(array, mmap_mode="r", allow_pickle=False).shape[-1])
    said["pixels"] = _pieces([array], *ARRAY) if array.is_file() else _pieces(sorted(folder.glob("*.tar")), *SHARD)
    return {**said, "landmarks": _pieces([marks], *ARRAY)} if marks.is_file() else said


def _pieces(files: Sequence[Path], number: int, length: int) -> str:
    """Hash of each file's name, length and pieces, evenly spread; 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}|{size}\n".encode())
        with path.open("rb", buffering=0) as file:
            for first in sorted({int(place) for place in np.linspace(0, max(0, size - length), number)}):
                file.seek(first)
                digest.update(file.read(length))
    return digest.hexdigest()[:16]
