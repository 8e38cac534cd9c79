"""VoxCeleb 1 and 2: people talking, without AU labels.

VoxCeleb1 is met as faces at one frame per second, ``unzippedFaces/<Name>/1.6/<youtube id>/<frame>.jpg``, with people
named; ``vox1_meta.csv`` gives their ids (it is separated by tabs in spite of its name). VoxCeleb2 is met as clips,
``dev/mp4/id00012/<youtube id>/00001.mp4``. Frames of clips are sampled as in FMAE: every ``int(fps)``-th.
Nothing is downloaded.
"""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from fau_utils.data import video
from fau_utils.data.tree import DatasetError, existing_root, files, image_numbers, subfolders, text_lines
from fau_utils.data.unlabelled import Skipped, Source
from fau_utils.frames import Frames

log = logging.getLogger(__name__)


def read_meta(path: str | os.PathLike) -> pd.DataFrame:
    """People of ``vox1_meta.csv`` or ``vox2_meta.csv``.

    Returns
    -------
    DataFrame
        Rows by id (``id10001``): ``name`` (as in folder names, without a final dot, which file systems drop) and the
        file's other columns in lower case (``gender``, ``nationality``, ``set``).

    Raises
    ------
    DatasetError
        A header without ids, a line of another length, or an id that comes twice.
    """
    path = Path(path)
    lines = text_lines(path)
    separator = "\t" if "\t" in lines[0] else ","  # by what is there: the suffix says csv either way
    header = [cell.strip() for cell in lines[0].split(separator)]
    own = [re.fullmatch(r"VoxCeleb\d ID", cell) is not None for cell in header]
    named = [re.fullmatch(r"VGGFace\d ID", cell) is not None for cell in header]
    if sum(own) != 1 or sum(named) != 1:
        raise DatasetError(
            path, line=1, expected="columns 'VoxCeleb1 ID' and 'VGGFace1 ID'", found=repr(lines[0][:80]),
            hint="give the metadata file as it was distributed",
        )  # fmt: skip
    columns = ["id" if i else "name" if n else cell.lower() for cell, i, n in zip(header, own, named, strict=True)]
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(separator)]
        row = dict(zip(columns, cells, strict=False))
        if len(cells) != len(columns) or row["id"] in rows:
            raise DatasetError(
                path, line=number, expected=f"{len(columns)} columns and a new id", found=repr(line[:60]),
                hint="copy the metadata file again",
            )  # fmt: skip
        person = row.pop("id")
        rows[person] = row | {"name": row["name"].rstrip(".")}
    return pd.DataFrame.from_dict(rows, orient="index")


class VoxCeleb1(Source):
    """Faces of VoxCeleb1, one per second.

    Parameters
    ----------
    root : path-like
        Folder with ``unzippedFaces`` (or that folder itself), and ``vox1_meta.csv`` in it or beside it. Without the
        metadata people are called by their folder.
    max_pixels : int
    """

    def __init__(self, root: str | os.PathLike, **options):
        super().__init__(dataset="voxceleb1", identity="folder", **options)
        self.root = existing_root(root)
        faces = self.root / "unzippedFaces"
        self.faces = faces if faces.is_dir() else self.root
        meta = [p for p in (self.root / "vox1_meta.csv", self.faces.parent / "vox1_meta.csv") if p.is_file()]
        self.meta_file = meta[0] if meta else None
        if self.meta_file is None:
            log.warning("%s: no vox1_meta.csv, people are called by their folder", self.root)

    @property
    def place(self) -> Path:
        return self.faces

    def frames(self) -> Frames:
        """The faces as a table.

        Returns
        -------
        Frames
            ``subject`` is ``voxceleb1/id10001``, ``clip`` the youtube id, ``frame`` the number in the file name,
            ``camera`` the scale folder (``1.6``); also ``path`` relative to the root, and the metadata's columns.

        Raises
        ------
        DatasetError
            A person whom the metadata does not name, or no faces.
        """
        meta = read_meta(self.meta_file) if self.meta_file else pd.DataFrame({"name": []})
        ids = {name: number for number, name in meta["name"].items()}
        rows = list(self._rows())
        if not rows:
            raise DatasetError(
                self.faces, expected="<Name>/1.6/<youtube id>/<frame>.jpg", found="no such images",
                hint="give the folder that holds unzippedFaces",
            )  # fmt: skip
        unknown = sorted({row[0] for row in rows if row[0].rstrip(".") not in ids}) if ids else []
        if unknown:
            raise DatasetError(
                self.meta_file, expected="everybody who has a folder", found=f"nothing of {', '.join(unknown[:3])}",
                hint="take the metadata of VoxCeleb1, or move it away to call people by their folder",
            )  # fmt: skip
        table = pd.DataFrame(rows, columns=["name", "camera", "clip", "frame", "path"])
        people = table.pop("name").str.rstrip(".")
        known = people.map(ids) if ids else people
        table = table.assign(dataset="voxceleb1", subject="voxceleb1/" + known)
        for column in [c for c in meta.columns if c != "name"]:
            table[column] = known.map(meta[column])
        return Frames(table)

    def entries(self) -> Iterator[tuple[str, None, str]]:
        for *_, path in self._rows():
            yield path, None, path

    def raw(self) -> Iterator[tuple[str, Path]]:
        for *_, path in self._rows():
            yield path, self.root / path

    def _rows(self) -> Iterator[tuple[str, str, str, int, str]]:
        for name, person in subfolders(self.faces, r"[^.].*").items():
            for scale, folder in subfolders(person, r"\d+(\.\d+)?").items():
                for clip, images in subfolders(folder, r"[^.].*").items():
                    numbers = image_numbers(sorted(os.listdir(images)), folder=images)
                    for number, file in sorted(numbers.items()):
                        yield name, scale, clip, number, (images / file).relative_to(self.root).as_posix()


class VoxCeleb2:
    """Clips of VoxCeleb2, sampled.

    Parameters
    ----------
    root : path-like
        Folder with ``dev/mp4`` or ``test/mp4`` or both, or with the folders ``id00012`` and on.
    per_second : float
        Frames per second to take; every ``int(fps / per_second)``-th frame from the first on.

    Attributes
    ----------
    skipped : list of Skipped
        Clips that did not open, or were damaged.
    """

    def __init__(self, root: str | os.PathLike, *, per_second: float = 1.0):
        if per_second <= 0:
            raise ValueError(f"expected more than 0 frames per second, found {per_second}")
        self.root, self.per_second = existing_root(root), per_second
        self.skipped: list[Skipped] = []

    def clips(self) -> Iterator[tuple[str, str, Path]]:
        """Every clip: person, ``<youtube id>/<number>``, file."""
        for top in (*(self.root / part / "mp4" for part in ("dev", "test")), self.root / "mp4", self.root):
            for person, folder in subfolders(top, r"id\d+").items():
                for link, clips in subfolders(folder, r"[^.].*").items():
                    for name, file in files(clips, r".+\.(mp4|avi|mkv|webm)").items():
                        yield person, f"{link}/{Path(name).stem}", file

    def frames(self) -> Frames:
        """The sampled frames as a table; a clip that does not open is skipped and listed.

        Returns
        -------
        Frames
            ``subject`` is ``voxceleb2/id00012``, ``clip`` is ``<youtube id>/<number>``, ``frame`` and ``index`` are
            the place in the clip from 0, ``path`` is the clip's, relative to the root.
        """
        rows = [
            (f"voxceleb2/{person}", clip, index, index, file.relative_to(self.root).as_posix())
            for person, clip, file in self.clips()
            for index in self._indices(file)
        ]
        if not rows:
            raise DatasetError(
                self.root, expected="dev/mp4/id00012/<youtube id>/00001.mp4", found="no clip that opens",
                hint="join and unzip the parts first, then give the folder that holds dev",
            )  # fmt: skip
        table = pd.DataFrame(rows, columns=["subject", "clip", "frame", "index", "path"])
        return Frames(table.assign(dataset="voxceleb2"))

    def images(self) -> Iterator[tuple[str, np.ndarray]]:
        """Every sampled frame: ``<person>/<clip>/<index>`` and (H, W, 3) uint8 RGB.

        Of a damaged clip the frames before the damage are served, then it is skipped and listed.
        """
        for person, clip, file in self.clips():
            indices = self._indices(file)
            try:
                for index, image in video.pick(file, indices):
                    yield f"{person}/{clip}/{index}", image
            except DatasetError as error:
                self._note(file, error)

    def _indices(self, file: Path) -> range:
        try:
            header = video.info(file)
            number = header.stated or video.count(file, partial=True)
        except DatasetError as error:
            self._note(file, error)
            return range(0)
        step = int(float(header.fps or 25) / self.per_second)
        return range(0, number, max(1, step))

    def _note(self, file: Path, error: DatasetError) -> None:
        name = file.relative_to(self.root).as_posix()
        if name not in {skipped.name for skipped in self.skipped}:
            self.skipped.append(Skipped(name, str(error)))
            log.warning("skipped: %s", error)
