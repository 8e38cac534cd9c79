"""DISFA+: posed and spontaneous trials of nine of DISFA's people, with intensities of 12 AUs.

Mavadati, Sanger & Mahoor (2016), "Extended DISFA Dataset: Investigating Posed and Spontaneous Facial Expressions",
CVPR workshops. ``DISFAPlusDataset/Labels/SN001/<trial>/AU12.txt`` holds ``<frame>.jpg <intensity>`` and lines of
comment; pictures are in ``Images/SN001/<trial>/``. Trials have names such as ``A1_AU1_TrailNo_1``: an AU's number is
taken from the file's name, never from the folder's.

All nine people are in DISFA: a model trained on DISFA has seen them. ``fau_utils.data.folds`` refuses such splits.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.data import perau, pictures
from fau_utils.data.disfa import AUS, INTENSITIES
from fau_utils.data.tree import (
    DatasetError,
    MissingPicture,
    au_number,
    existing_root,
    files,
    frame_number,
    one_folder,
    refuse_outside,
    refuse_repeated,
    subfolders,
    text_lines,
)
from fau_utils.frames import Frames

DATASET = "disfaplus"
SUBJECTS: tuple[str, ...] = ("SN001", "SN003", "SN004", "SN007", "SN009", "SN010", "SN013", "SN025", "SN027")


def read(
    root: str | os.PathLike, *, aus: Sequence[int] | None = None, images: str = "Images", allow_missing: bool = False
) -> Frames:
    """The frames of DISFA+, with intensities.

    Parameters
    ----------
    root : path-like
        ``DISFAPlusDataset`` or the folder that holds it.
    aus : sequence of int, optional
        By default all 12.
    images : str
        Folder of the pictures: ``Images``, or ``Aligned`` where py-feat made one.
    allow_missing : bool
        Keep labels without a picture (null ``path``) and make absent labels null instead of raising.

    Returns
    -------
    Frames
        Of scale "intensity" (0 to 5). ``subject`` is ``disfaplus/SN001``, ``clip`` the trial, ``frame`` the number in
        the image's name, ``path`` the image.

    Raises
    ------
    DatasetError
        Names file, line, expectation and what to do.
    """
    root = existing_root(root)
    base = one_folder(root, r"disfa_?plus_?dataset", called="DISFAPlusDataset", required=False) or root
    labels = one_folder(base, "labels", called="Labels")
    shown = one_folder(base, images, called=images, required=False)
    if shown is None and not allow_missing:
        raise MissingPicture(
            base,
            expected=f"a folder {images} of pictures",
            found=", ".join(subfolders(base, ".*")),
            hint="extract the pictures there, or pass allow_missing=True for labels only",
        )
    wanted = AUS if aus is None else tuple(aus)
    parts = []
    for subject, person in subfolders(labels, r"SN\d{3}").items():
        for trial, folder in subfolders(person, r".*").items():
            by_au = {au_number(name): path for name, path in files(folder, r"AU_?\d+\.txt").items()}
            table, line, first = perau.join(
                by_au, lambda path, what: read_labels(path, what=what), aus=wanted, absent=folder,
                allow_missing=allow_missing,
            )  # fmt: skip
            place = None if shown is None else shown / subject / trial
            frames = table["frame"].to_numpy("int64")
            found = pictures.folder(place) if place is not None and place.is_dir() else None
            # numbers in labels are those of the images, whatever they start with
            where = pictures.locate(
                frames, found, root=root, labels=first, line=line, allow_missing=allow_missing,
                wanted=f"{images}/{subject}/{trial}",
            ).drop(columns="index")  # fmt: skip
            keys = {"dataset": DATASET, "subject": f"{DATASET}/{subject.upper()}", "clip": trial}
            parts.append(table.assign(**keys).join(where))
    if not parts:
        raise DatasetError(
            labels, expected="folders SN001/<trial>/ with AU1.txt ...", found="none", hint="extract the archive again"
        )
    return Frames(pictures.without_archives(pd.concat(parts, ignore_index=True)), scale="intensity")


def read_labels(path: str | os.PathLike, *, what: str) -> tuple[pd.Series, np.ndarray]:
    """One label file: intensities (Int8) by frame number, and the line of each.

    Raises
    ------
    DatasetError
        A line that is neither a comment nor ``<frame>.jpg <intensity>``, an intensity outside 0 to 5, a frame twice.
    """
    path = Path(path)
    frames, values, lines = [], [], []
    for number, text in enumerate(text_lines(path), start=1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        cells = text.split()
        if len(cells) != 2 or not Path(cells[0]).suffix or not cells[1].lstrip("-").isdecimal():
            raise DatasetError(
                path,
                line=number,
                expected="a line such as '000.jpg 0', or a comment with #",
                found=repr(text),
                hint="correct the line, or extract the archive again",
            )
        frames.append(frame_number(cells[0]))
        values.append(int(cells[1]))
        lines.append(number)
    if not frames:
        raise DatasetError(path, expected="labelled frames", found="comments only", hint="extract the archive again")
    frames, values, lines = (np.array(x, "int64") for x in (frames, values, lines))
    refuse_repeated(frames, path=path, line=lines)
    refuse_outside(values, INTENSITIES, path=path, line=lines, what=what, meaning="an intensity from 0 to 5")
    return pd.Series(pd.array(values, "Int8"), index=frames), lines
