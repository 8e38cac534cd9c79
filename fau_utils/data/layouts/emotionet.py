"""Rendered faces in EmotioNet's layout: the manual table, the lists, and images some of which have rotted away."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils import aus as vocabulary
from fau_utils.data import emotionet
from fau_utils.data.emotionet import CHALLENGE, LISTED_AUS, NOT_ANNOTATED
from fau_utils.data.layouts.drawing import Draw, column, intensities, render
from fau_utils.faces.activity import PRESENT
from fau_utils.frames import Frames

LISTED_FROM = 10_000  # the lists' images are others than the manual set's
LISTS = "emotioNet_challenge_files_server_challenge_1.2_aws"


def export(
    out: str | os.PathLike,
    *,
    part: emotionet.Part = "manual",
    images: int = 24,
    rotten: int = 2,
    seed: int = 0,
    res: int = 64,
    draw: Draw = render,
) -> Frames:
    """Write ``emotionet_facs_24600.xlsx`` with ``optimization_set/``, or two lists with their images.

    As in the release: headers in literal quotes, URLs that end in one, 999 for what nobody annotated, a URL with a
    lone quotation mark, lists without a header, an image that is listed twice.

    Parameters
    ----------
    out : path-like
    part : {"manual", "lists"}
        Both may be written into one folder.
    images : int
        Listed images.
    rotten : int
        How many of them are not on disk; the first ones.
    seed, res
        Of the faces.
    draw : callable
        As :func:`~fau_utils.data.layouts.drawing.render`.

    Returns
    -------
    Frames
        What :func:`fau_utils.data.emotionet.read` has to find, with ``allow_missing=True``.
    """
    if part not in ("manual", "lists"):
        raise ValueError(f"expected part 'manual' or 'lists', found {part!r}")
    out, manual = Path(out), part == "manual"
    numbers = np.arange(images) + (0 if manual else LISTED_FROM)
    intensity = intensities(numbers, seed=seed)
    names = [f"N_{1 + i // 10:010d}/N_{1 + i // 10:010d}_{1 + 2 * (i % 10):05d}.jpg" for i in numbers.tolist()]
    folder = "optimization_set" if manual else "images"
    pictures = draw(numbers[rotten:], numbers[rotten:], intensity[rotten:], seed=seed, res=res)
    for name, picture in zip(names[rotten:], pictures, strict=True):
        _save(picture, out / folder / name)
    if manual:
        labels = _labels(intensity, CHALLENGE[2018], every=5)  # AU 43 among them: no rendered face shows it
        _write_manual(out / "emotionet_facs_24600.xlsx", names, labels)
    else:
        labels = _labels(intensity, CHALLENGE[2017], every=4)
        _write_lists(out / LISTS, names, labels)
    return _truth(names, labels, [None if place < rotten else f"{folder}/{name}" for place, name in enumerate(names)])


def _labels(intensity: np.ndarray, numbers: tuple[int, ...], *, every: int) -> pd.DataFrame:
    table = pd.DataFrame({vocabulary.column(n): (column(intensity, n) >= PRESENT) for n in numbers}).astype("Int16")
    table[[vocabulary.column(n) for n in numbers if n not in vocabulary.RENDERED]] = pd.NA
    for place, name in enumerate(table):
        table.loc[table.index % every == place % every, name] = pd.NA
    return table


def _save(picture: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture)).save(path, quality=95)


def _write_manual(path: Path, names: list[str], labels: pd.DataFrame) -> None:
    table = labels.fillna(NOT_ANNOTATED).rename(columns=lambda c: f"'AU {vocabulary.number(c)}'")
    table.insert(0, "URL", [f"'http://images.example/optimization_set/{name}'" for name in names])
    table.to_excel(path, index=False, engine="openpyxl")


def _write_lists(folder: Path, names: list[str], labels: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cells = np.full((len(names), LISTED_AUS), NOT_ANNOTATED)
    for name in labels:
        cells[:, vocabulary.number(name) - 1] = labels[name].fillna(NOT_ANNOTATED)
    lines = []
    for place, (name, row) in enumerate(zip(names, cells, strict=True)):
        mark = '"' if place == 3 else ""
        urls = [f"https://bucket.example/{name}", f"http://photos.example/{mark}{place}.jpg"]
        lines.append("\t".join([*urls, *map(str, row)]))
    half = len(lines) // 2
    (folder / "dataFile_0001.txt").write_text("\n".join(lines[:half]) + "\n")
    (folder / "dataFile_0002.txt").write_text("\n".join([*lines[half:], lines[-1]]) + "\n")


def _truth(names: list[str], labels: pd.DataFrame, paths: list[str | None]) -> Frames:
    stems = pd.Series([Path(name).stem for name in names])
    table = pd.DataFrame(
        {
            "dataset": "emotionet",
            "subject": "emotionet/" + stems,
            "clip": stems.str.rsplit("_", n=1).str[0],
            "frame": stems.str.rsplit("_", n=1).str[1].astype("int64"),
            "path": pd.array(paths, "string"),
        }
    )
    return Frames(pd.concat([table, labels.dropna(axis=1, how="all").reset_index(drop=True)], axis=1))
