"""Data as it is named on a command line: rendered faces, or a prepared folder with its protocol."""

import difflib
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

from fau_utils.data import conventions, synth
from fau_utils.data.folds import Fold
from fau_utils.data.images import ImageSet
from fau_utils.data.loaders import open_prepared
from fau_utils.data.options import parse
from fau_utils.data.protocols import Protocol
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.frames import Frames

FOLDER = "FAU_DATA"
"""Environment variable with the folder in which prepared datasets lie under their names."""


class Prepared(NamedTuple):
    """A prepared dataset and how it is divided."""

    data: ImageSet
    protocol: Protocol


def is_synth(name: str) -> bool:
    """Whether rendered faces are meant: ``synth`` or ``synth:subjects=20,res=112``."""
    return name.partition(":")[0] == "synth"


def is_shards(name: str) -> bool:
    """Whether WebDataset shards are meant: ``faces-{0000..0999}.tar``."""
    return name.endswith((".tar", ".tar.gz", ".tgz")) or "{" in name


def synth_of(name: str) -> SynthFaces:
    """The rendered dataset of a name such as ``synth:subjects=20,frames=50,res=112``.

    Numbers of :class:`SynthFaces` by their names; ``subjects`` and ``frames`` are those of the training people (and of
    the unlabelled ones); half as many others are for validation and as many for the test. With ``clip_length`` frames
    come in clips of so many.

    Raises
    ------
    ValueError
        An unknown option, or a value out of its range.
    """
    simple = {field.name: field.type for field in fields(SynthFaces) if field.type in (int, float, bool)}
    words = [word for word in name.partition(":")[2].split(",") if word]
    chosen = parse(words, {"subjects": int, "frames": int, **simple}, of="synth")
    people, frames = chosen.pop("subjects", None), chosen.pop("frames", None)
    length = chosen.get("clip_length", 1)
    if people is None and frames is None and length == 1:
        return SynthFaces(**chosen)
    config, sizes = SynthFaces(), {}
    for side, part in (("train", 1), ("seen", 1), ("unlabelled", 1), ("val", 2), ("test", 2)):
        usual: Split = getattr(config, side)
        count = usual.subjects if people is None else max(1, people // part)
        shown = max(1, round(usual.frames / length)) * length if frames is None else frames
        sizes[side] = replace(usual, subjects=count, frames=shown)
    return replace(config, **chosen, **sizes)


def synth_sides(name: str) -> dict[str, ImageSet]:
    """Training, validation and test faces of rendered people: ``train``, ``val`` and ``test``."""
    config = synth_of(name)
    return {side: synth.load(config, side) for side in ("train", "val", "test")}


def unlabelled(name: str) -> ImageSet:
    """All faces of a name, for pretraining: a prepared folder, or the unlabelled rendered people.

    Raises
    ------
    ValueError
        As :func:`synth_of` and :func:`folder_of`.
    """
    if is_synth(name):
        return synth.load(synth_of(name), "unlabelled")
    folder = folder_of(name)
    if not (folder / "manifest.parquet").is_file():
        return open_prepared(folder)  # says what is wrong with it
    graded = Frames.read_parquet(folder / "manifest.parquet").scale == "intensity"
    return open_prepared(folder, aus=(), cut=1.0 if graded else None)


def folder_of(name: str) -> Path:
    """The prepared folder that is meant: a path, or a dataset's name in the folder :data:`FOLDER`.

    Raises
    ------
    ValueError
        When there is none; says how to make one.
    """
    path = Path(name)
    root = os.environ.get(FOLDER)
    if not path.exists() and root and (Path(root) / name).is_dir():
        return Path(root) / name
    if path.is_dir():
        return path
    known = ["synth", *conventions.EVALUATED]
    near = difflib.get_close_matches(name, known, n=1)
    if name in conventions.EVALUATED:
        hint = f"prepare it with `fau prepare {name} ROOT OUT --crop ...` and name OUT here, or put OUT under ${FOLDER}"
    else:
        guess = f"did you mean {near[0]}? " if near else ""
        hint = f"{guess}Expected synth, a prepared folder, or shards such as 'faces-{{0000..0009}}.tar'"
    raise ValueError(f"no data {name!r} here; {hint}")


def prepared(name: str, *, protocol: str = "ours") -> Prepared:
    """A prepared dataset with the AUs, the cut and the people of a protocol.

    Parameters
    ----------
    name : str
        See :func:`folder_of`.
    protocol : str
        One of :data:`fau_utils.data.conventions.NAMES`. ``ours`` divides any dataset, without published folds into
        three.

    Raises
    ------
    ValueError
        No such folder, faces of several datasets, or a protocol that is not for this one.
    """
    folder = folder_of(name)
    if not (folder / "manifest.parquet").is_file():
        open_prepared(folder)  # says what is wrong with it
    frames = Frames.read_parquet(folder / "manifest.parquet")
    datasets = sorted(frames.table["dataset"].unique())
    if len(datasets) != 1:
        raise ValueError(f"{folder}: expected faces of one dataset, found {datasets}; prepare them one by one")
    if not frames.aus:
        raise ValueError(f"{folder}: its faces have no AU labels; they are for pretraining")
    if protocol == "ours":
        aus = None if datasets[0] in conventions.EVALUATED else frames.aus
        chosen = conventions.ours(datasets[0], aus=aus)
        if not chosen.folds:
            chosen = conventions.ours(datasets[0], aus=aus, subjects=frames.subjects)
    else:
        chosen = conventions.named(protocol, dataset=datasets[0])
    return Prepared(open_prepared(folder, aus=chosen.aus, cut=chosen.cut), chosen)


def fold_of(protocol: Protocol, name: str | None) -> Fold:
    """A fold by the hash of its test people, its name, the last word of its name (``P3``), or its place from ``1``.

    Raises
    ------
    ValueError
        When it is no fold of the protocol, or none is named; the folds are listed.
    """
    names = {fold.hash: fold.name or fold.hash for fold in protocol.folds}
    for fold in protocol.folds:
        if name is not None and name in (fold.hash, fold.name, fold.name.removeprefix(f"{protocol.dataset} ")):
            return fold
    if name is not None and name.isdigit() and 1 <= int(name) <= len(protocol.folds):
        return protocol.folds[int(name) - 1]
    listed = ", ".join(f"{digest} ({label})" for digest, label in names.items())
    found = "found none" if name is None else f"found {name!r}"
    raise ValueError(
        f"expected --fold with one of the folds of {protocol.name} on {protocol.dataset}, {listed}; {found}"
    )
