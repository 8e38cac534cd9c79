"""Images in the forms unlabelled faces are met in: folder tree, LMDB, WebDataset shards, VoxCeleb's folders."""

import io
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from fau_utils.data import video

Named = Iterable[tuple[str, bytes]]


def encode(image: np.ndarray, *, quality: int = 95) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a JPEG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def folder(out: str | os.PathLike, items: Named) -> None:
    """Files below a folder; names may have folders in them."""
    for name, data in items:
        path = Path(out) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def lmdb(out: str | os.PathLike, items: Named, *, map_size: int = 2**40) -> None:
    """FMAE's packing: key = relative path, value = bytes of the file, one transaction.

    `map_size` is an upper bound of the file; the disk is used as far as it is filled.
    """
    import lmdb as library

    Path(out).mkdir(parents=True, exist_ok=True)
    environment = library.open(str(out), map_size=map_size)
    try:
        with environment.begin(write=True) as transaction:
            for name, data in items:
                transaction.put(name.encode(), data)
    finally:
        environment.close()


def shards(out: str | os.PathLike, items: Named, *, per_shard: int = 100, stem: str = "faces") -> list[Path]:
    """WebDataset shards ``<stem>-000000.tar`` and on, each sample with a json member beside its image."""
    out, items = Path(out), list(items)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, start in enumerate(range(0, len(items), per_shard)):
        written.append(out / f"{stem}-{number:06d}.tar")
        with tarfile.open(written[-1], "w") as archive:
            for name, data in items[start : start + per_shard]:
                add(archive, name, data)
                add(archive, f"{name.rsplit('.', 1)[0]}.json", b"{}")
    return written


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """One plain file, with the same bytes on every day."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def voxceleb1(out: str | os.PathLike, faces: Mapping[str, Mapping[str, Mapping[int, np.ndarray]]]) -> None:
    """``unzippedFaces/<Name>/1.6/<youtube id>/<7 digits>.jpg`` and ``vox1_meta.csv``; name -> clip -> number -> face.

    A final dot of a name stays in the metadata and is lost in the folder, as in the release.
    """
    out = Path(out)
    rows = ["VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"]
    for person, (name, clips) in enumerate(faces.items()):
        rows.append(f"id{10001 + person}\t{name}\t{'mf'[person % 2]}\tUSA\t{'test' if person == 0 else 'dev'}")
        for clip, images in clips.items():
            items = ((f"{number:07d}.jpg", encode(image)) for number, image in images.items())
            folder(out / "unzippedFaces" / name.rstrip(".") / "1.6" / clip, items)
    (out / "vox1_meta.csv").write_text("\n".join(rows) + "\n")


def voxceleb2(
    out: str | os.PathLike, clips: Mapping[str, Iterable[np.ndarray]], *, fps: int = 25, part: str = "dev"
) -> None:
    """``<part>/mp4/id00012/<youtube id>/00001.mp4``; the keys are ``id00012/<youtube id>/00001``."""
    for name, images in clips.items():
        path = Path(out) / part / "mp4" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video.write(path, images, fps=fps, codec="mpeg4")
