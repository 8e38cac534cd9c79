"""Preparing a dataset: every face cut out once, written once, and accounted for.

A prepared folder holds

========================  =============================================================================================
``manifest.parquet``      :class:`~fau_utils.frames.Frames` of the crops, with every decision (below); written last
``images.npy``            all crops, (N, 3, size, size) uint8; or ``shard-000000.tar`` and on (WebDataset)
``landmarks.npy``         49 points in px of the crop, (N, 49, 2) float32, ``nan`` where unknown; if any are known
``quarantine.parquet``    Frames of what was left out, with ``reason`` (a word) and ``detail`` (a sentence)
``summary.json``          how many there are of each
``plan.json``             what was asked for, and the versions it was made with
========================  =============================================================================================

Columns of the manifest beside those of the dataset: ``row`` (place in the arrays), ``key``, ``shard``, ``offset`` and
``bytes`` (place in the shards), ``crop``, ``size``, ``m00`` to ``m12`` (the map from the picture to the crop),
``box_*`` and ``score`` (the detector's), ``points_from`` (``dataset``, ``detector`` or empty), ``width`` and
``height`` of the picture in px, ``outside`` (share of the crop beyond the picture), ``source_path``,
``source_shard``, ``source_key`` and ``index`` (where the picture was).

Pieces of work are clips, or some hundred single images. A finished piece is never done again; a killed run goes on
with the others and ends with the same bytes as an undisturbed one.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fau_utils.data import crops, prepare_again, prepare_task
from fau_utils.data.decode import decoder
from fau_utils.data.detector import FaceDetector, NoDetector
from fau_utils.data.pool import run_all
from fau_utils.data.prepare_again import run
from fau_utils.data.prepare_task import VIDEOS, WORK, Decision, Form, Job
from fau_utils.data.rendered import is_rendered, mark
from fau_utils.data.safe import MAX_PIXELS
from fau_utils.data.stored import write_text
from fau_utils.data.tree import existing_root
from fau_utils.frames import Frames
from fau_utils.progress import progress

log = logging.getLogger(__name__)

PIECE = 512  # rows of single images in a piece; a video is one piece, because its frames are decoded in order
_FORMAT = 1
_RENAMED = {"path": "source_path", "shard": "source_shard", "key": "source_key"}
_WRITTEN = {*Decision(0).cells(), *_RENAMED.values(), "crop", "size"} - set(_RENAMED)


class NotThisFolder(ValueError):
    """The folder to write into holds something else, or somebody is writing into it."""


@dataclass(frozen=True)
class Prepared:
    """What a preparation came to.

    Attributes
    ----------
    folder : Path
    kept, left_out : int
        Rows.
    reasons : dict of str to int
        Rows left out for each reason; ``quarantine.parquet`` lists them.
    done_before : int
        Rows that earlier runs had finished.
    """

    folder: Path
    kept: int
    left_out: int
    reasons: dict[str, int]
    done_before: int = 0

    def describe(self) -> str:
        """One line for the user."""
        text = f"{self.folder}: {self.kept:,} faces"
        if self.left_out:
            listed = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
            text += f"; {self.left_out:,} left out ({listed}), listed in quarantine.parquet"
        return text


def prepare(
    frames: Frames,
    root: str | os.PathLike,
    out: str | os.PathLike,
    *,
    crop: str,
    size: int | None = 224,
    form: Form = "array",
    workers: int | None = None,
    face_model: str | os.PathLike | None = None,
    quality: int = 95,
    max_pixels: int = MAX_PIXELS,
    piece: int = PIECE,
    retry_quarantined: bool = False,
) -> Prepared:
    """Cut out the faces of a dataset and write them down.

    Parameters
    ----------
    frames : Frames
        As a reader gives them; labels without a picture are listed in the quarantine.
    root : path-like
        The folder that paths in `frames` are relative to.
    out : path-like
        Folder to write; new, or that of the same preparation, which goes on or is found complete.
    crop : str
        One of :data:`fau_utils.data.crops.RECIPES`.
    size : int, optional
        Side of the crops in px; None for the recipe's own.
    form : {"array", "tar"}
        One uint8 array to be memory mapped, or WebDataset shards of JPEG for sets that are too large for that.
    workers : int, optional
        Processes; by default one per CPU of this process. With 1 everything happens in this process.
    face_model : path-like, optional
        Model file of :class:`~fau_utils.data.detector.FaceDetector`; required by ``fmae``, and used by crops that
        need points for frames whose landmarks are missing.
    quality : int
        Of the JPEG files in shards.
    max_pixels : int
        Larger pictures are refused by their header.
    piece : int
        Images in a piece of work, and so in a shard.
    retry_quarantined : bool
        Try rows again that an earlier run into this folder left out; in `frames` these may have other pictures and
        landmarks now. Rows that are finished are not read again and keep their bytes, and the folder comes out as if
        the rows had been as they are now the first time.

    Returns
    -------
    Prepared

    Raises
    ------
    NotThisFolder
        `out` holds other files or another preparation, or another process is preparing into it.
    ValueError
        Unknown crop or form, no frames, or a crop that needs points when there are no landmarks and no detector.
    NoDetector
        The crop needs a detector and there is none.
    OSError
        The disk is full or cannot be written. What was finished stays; the same call goes on.
    """
    if not len(frames):
        raise ValueError("expected at least one frame, found none; check the selection")
    if form not in ("array", "tar"):
        raise ValueError(f"expected form 'array' or 'tar', found {form!r}")
    taken = sorted(_WRITTEN & set(frames.table))
    if taken:
        raise ValueError(f"the columns {taken} are written by prepare; is this table a manifest? Else rename them")
    frames = _in_order(frames)
    face_model = None if face_model is None else Path(face_model).resolve()
    detector = FaceDetector(face_model) if face_model is not None else None
    size = crops.chosen_size(crop, size)
    _refuse_unplaceable(frames, crop, detector)
    job = Job(
        root=existing_root(root).resolve(), out=Path(out).absolute(), crop=crop, size=size, form=form,
        rows=len(frames), quality=quality, face_model=face_model, max_pixels=max_pixels,
    )  # fmt: skip
    asked = {
        "format": _FORMAT, "piece": piece, "crop": crop, "size": size, "form": form,
        "quality": quality if form == "tar" else None, "max_pixels": max_pixels,
        "face_model": None if detector is None else detector.digest,
        "rows": len(frames), "frames": _fingerprint(frames),
    }  # fmt: skip
    cuts = pieces(frames, limit=piece)
    _open_folder(job.out, asked, frames, cuts, retry=retry_quarantined)
    if is_rendered(job.root):
        mark(job.out)
    prepare_task.forget()
    with _alone(job.out):
        before = len(frames)
        if retry_quarantined:
            prepare_again.take_up(job, cuts, asked)
        if not (job.out / "manifest.parquet").exists():
            before = _work(job, frames, cuts, workers)
            _finish(job, frames, cuts)
    shutil.rmtree(job.out / WORK, ignore_errors=True)
    return Prepared(job.out, **json.loads((job.out / "summary.json").read_text()), done_before=before)


# --- before


def _in_order(frames: Frames) -> Frames:
    """Clips in order of appearance, each one's frames by number, cameras apart."""
    table = frames.table
    clip = table.groupby(["dataset", "subject", "clip", "camera"], sort=False).ngroup().to_numpy()
    return frames.select(np.lexsort((table["frame"].to_numpy(), clip)))


def _refuse_unplaceable(frames: Frames, crop: str, detector: FaceDetector | None) -> None:
    needs = crops.recipe(crop).needs
    if detector is not None or needs == "nothing":
        return
    if needs == "box":
        raise NoDetector(
            f"the crop {crop} needs a detector's box and no model was given; pass face_model= (on the command line "
            "--face-model) with a YuNet file of the OpenCV model zoo, or take a crop by landmarks (jaa, fgnet, megraph)"
        )
    marks = frames.table.get("landmarks")
    if marks is None or marks.isna().all():
        raise ValueError(
            f"the crop {crop} is placed by landmarks and this table has none; put the dataset's landmark files in "
            "place and read it again, pass face_model= (--face-model) to find faces, or take the crop 'none'"
        )


def _fingerprint(frames: Frames) -> str:
    digest = hashlib.sha256(json.dumps([list(frames.table.columns), frames.scale]).encode())
    digest.update(pd.util.hash_pandas_object(frames.table, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _versions() -> dict[str, str]:
    import PIL

    found = {"jpeg": decoder(), "pillow": PIL.__version__, "numpy": np.__version__}
    try:
        import av
    except ImportError:
        return found
    return found | {"av": av.__version__}


def _open_folder(out: Path, asked: dict[str, Any], frames: Frames, cuts: list[tuple[int, int]], *, retry: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    plan, versions = out / "plan.json", _versions()
    if (out / "forget.json").exists():
        raise NotThisFolder(f"{out}: removing people from it was not finished; run the same fau forget again")
    try:
        known = json.loads(plan.read_text())
    except FileNotFoundError:
        # a plan's temporary name is all that a run killed this early leaves
        foreign = [p.name for p in out.iterdir() if p.name != WORK and not p.name.startswith(".plan.json.")]
        if foreign:
            raise NotThisFolder(
                f"{out}: expected an empty folder or a preparation, found {', '.join(sorted(foreign)[:5])}; "
                "give another folder"
            ) from None
        write_text(plan, json.dumps({**asked, "versions": versions}, indent=1))
        return
    except ValueError as error:
        raise NotThisFolder(f"{plan} is damaged ({error}); remove the folder and prepare it again") from None
    if known.get("forgotten") and (retry or not (out / "manifest.parquet").exists()):
        raise NotThisFolder(
            f"{out}: people were removed from it with fau forget; prepare what is left into another folder"
        )
    other = {name: (known.get(name), value) for name, value in asked.items() if known.get(name) != value}
    if retry and set(other) == {"frames"} and (out / "manifest.parquet").exists():
        why = prepare_again.differing(out, frames, renamed=_RENAMED, cuts=cuts)
        if why is not None:
            raise NotThisFolder(
                f"{out} is a preparation of another table ({why}); only rows that were left out may have changed"
            )
        other = {}
    if other:
        listed = "; ".join(f"{name} {was} there, {now} asked for" for name, (was, now) in other.items())
        raise NotThisFolder(f"{out} is another preparation ({listed}); give another folder, or remove this one")
    if known["versions"] != versions and not (out / "manifest.parquet").exists():
        log.warning("%s was begun with %s and goes on with %s", out, known["versions"], versions)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder against a second process; a killed one holds nothing."""
    import fcntl

    (out / WORK).mkdir(exist_ok=True)
    with (out / WORK / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotThisFolder(f"{out}: another process is preparing into this folder; wait for it") from None
        yield


# --- the work


def pieces(frames: Frames, *, limit: int = PIECE) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each piece: whole clips, together up to `limit` rows.

    A longer clip is a piece of its own when it is a video, and cut into several when it is single images.
    """
    table = frames.table
    clip = table.groupby(["dataset", "subject", "clip", "camera"], sort=False).ngroup().to_numpy()
    starts = np.flatnonzero(np.diff(clip, prepend=-1))
    filmed = np.zeros(len(table), bool)
    if "path" in table:
        filmed = table["path"].str.lower().str.endswith(VIDEOS).fillna(False).to_numpy(bool)
    made: list[tuple[int, int]] = []
    for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
        if made and stop - made[-1][0] <= limit:
            made[-1] = (made[-1][0], int(stop))
        elif stop - start <= limit or filmed[start]:
            made.append((int(start), int(stop)))
        else:
            made += [(int(a), int(min(a + limit, stop))) for a in range(start, stop, limit)]
    return made


def _work(job: Job, frames: Frames, cuts: list[tuple[int, int]], workers: int | None) -> int:
    shutil.rmtree(job.scratch, ignore_errors=True)  # what killed workers left
    job.scratch.mkdir()
    job.part(0).parent.mkdir(exist_ok=True)
    todo, before = [], 0
    for number, (start, stop) in enumerate(cuts):
        if job.part(number).exists():
            before += stop - start
        else:
            before += prepare_again.finished_rows(job, number)
            todo.append((number, start, stop))
    if todo:
        for array in (job.points, job.images) if job.form == "array" else (job.points,):
            done = job.out / array.path.name  # of a folder that was finished and is taken up again
            if done.exists():
                done.replace(array.path)
            array.create()
    arguments = ((job, number, start, frames.table.iloc[start:stop]) for number, start, stop in todo)
    with progress(what="preparing", total=len(frames), initial=before, unit="frame") as bar:
        lost = 0
        for count, left_out in run_all(run, arguments, workers=workers, count=len(todo)):
            lost += left_out
            bar.update(count)
            if lost:
                bar.set_postfix_str(f"{lost} left out")
    return before


# --- after


def _finish(job: Job, frames: Frames, cuts: list[tuple[int, int]]) -> None:
    """Put everything in its place; each step may be the last one before a kill, and is then done again."""
    parts = sorted(job.part(0).parent.glob("*.parquet"))
    decided = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    if decided["row"].tolist() != list(range(len(frames))):
        raise RuntimeError(f"{job.out / WORK} does not account for every row; remove the folder and prepare it again")
    kept = (decided["reason"] == "").to_numpy(bool)
    everything = frames.table.rename(columns=_RENAMED).join(decided)
    everything["crop"], everything["size"] = job.crop, job.size
    if job.form == "tar":
        names = prepare_again.shard_names(cuts, everything["row"])
        everything["shard"] = pd.Series(names, dtype="string").where(kept)
    else:
        everything = everything.drop(columns=["key", "offset", "bytes"])
    _move(job.points.path, job.out / "landmarks.npy", wanted=_any_marks(job))
    if job.form == "array":
        _move(job.images.path, job.out / "images.npy", wanted=True)
    counts = decided.loc[~kept, "reason"].value_counts().sort_index()
    left_out = everything[~kept]
    Frames(left_out, scale=frames.scale).to_parquet(job.out / "quarantine.parquet")
    summary = {
        "kept": int(kept.sum()),
        "left_out": int((~kept).sum()),
        "reasons": {k: int(n) for k, n in counts.items()},
    }
    write_text(job.out / "summary.json", json.dumps(summary, indent=1))
    for litter in job.out.glob(".*.parquet.*"):  # of a run that was killed while it wrote a table
        litter.unlink()
    Frames(everything[kept].drop(columns=["reason", "detail"]), scale=frames.scale).to_parquet(
        job.out / "manifest.parquet"
    )
    if not kept.all():
        first = left_out.iloc[0]
        log.warning(
            "%d of %d frames left out, the first is %s %s frame %d: %s",
            len(left_out), len(frames), first["subject"], first["clip"], first["frame"], first["detail"],
        )  # fmt: skip


def _any_marks(job: Job) -> bool:
    path = job.points.path if job.points.path.exists() else job.out / "landmarks.npy"
    return path.exists() and bool(np.isfinite(np.load(path, mmap_mode="r")).any())


def _move(source: Path, target: Path, *, wanted: bool) -> None:
    if not source.exists():
        return
    if wanted:
        source.replace(target)
    else:
        source.unlink()
