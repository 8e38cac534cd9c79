"""Rendered faces as an image set: drawn once, kept as uint8 under a content hash, or drawn on the fly."""

import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fau_utils import aus
from fau_utils.batch import Batch
from fau_utils.data.cache import Damaged, Fields, FolderWriter, cache_root, read_arrays
from fau_utils.data.images import ImageSet
from fau_utils.faces.draw import Drawn, draw, draw_all, renderer_for
from fau_utils.faces.landmarks import INDEX_49
from fau_utils.faces.patches import patch_grid
from fau_utils.faces.plan import HIDING, Plan, plan, plan_clips
from fau_utils.faces.population import POOLS, SynthFaces, code_version
from fau_utils.faces.rng import mix, uniform
from fau_utils.frames import Frames
from fau_utils.progress import progress
from fau_utils.provenance import device_name, git_revision

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Truth:
    """What only rendered faces come with, row by row as the image set of the same configuration and split.

    Attributes
    ----------
    plan : Plan
        Who, when and what, with left and right intensities of all 16 AUs.
    landmarks : ndarray, (N, 68, 2) float32
        px, x right and y down.
    visible : ndarray, (N, 68) bool
    occluded : ndarray, (N, R, R) bool
        Pixels something covers.
    """

    plan: Plan
    landmarks: np.ndarray
    visible: np.ndarray
    occluded: np.ndarray


def load(
    config: SynthFaces,
    split: str = "train",
    *,
    cache_dir: str | os.PathLike | None = None,
    device: torch.device | str = "cpu",
    workers: int | None = None,
) -> ImageSet:
    """One split of the rendered dataset.

    The first call renders (with a progress bar) into ``<cache>/synth/<split>-<hash>``; later calls verify the
    checksums and map the file into memory. A damaged or truncated folder is reported by one warning and rendered
    again. When the cache folder cannot be written, the faces are kept in memory and a warning says so.

    Parameters
    ----------
    config : SynthFaces
    split : str
        ``train``, ``val``, ``test``, ``seen`` (new frames of the training people) or ``unlabelled``.
    cache_dir : path, optional
        By default the environment's ``FAU_CACHE``, else the user's cache folder.
    device : torch.device or str
        Where to render when nothing is cached; the result lives there, too (memory mapped on the CPU).
    workers : int, optional
        Rendering threads on a CPU; by default all cores.

    Returns
    -------
    ImageSet
        With intensities, 49 landmarks, `domain` (1 when `wild` > 0), and `visible` patches when the configuration
        hides something. The table has all 16 AUs as intensities, and the columns ``split`` and ``hidden_by``.

    Raises
    ------
    ValueError
        For an unknown split.
    OSError
        When the disk fills up while faces are written; nothing half-written stays.
    """
    rows = plan(config, split)
    arrays = _arrays(config, split, rows, cache_dir=cache_dir, device=device, workers=workers)
    data = _image_set(config, split, rows, arrays)
    return data if torch.device(device).type == "cpu" else data.to(device)


def load_truth(
    config: SynthFaces,
    split: str = "train",
    *,
    cache_dir: str | os.PathLike | None = None,
    device: torch.device | str = "cpu",
    workers: int | None = None,
) -> Truth:
    """The full ground truth of a split; renders when nothing is cached. Arguments as in :func:`load`."""
    rows = plan(config, split)
    arrays = _arrays(config, split, rows, cache_dir=cache_dir, device=device, workers=workers)
    size = config.res * config.res
    occluded = np.unpackbits(arrays["occluded"], axis=1, count=size).astype(bool)
    return Truth(
        plan=rows,
        landmarks=arrays["landmarks"],
        visible=arrays["visible"],
        occluded=occluded.reshape(-1, config.res, config.res),
    )


def stream(
    config: SynthFaces,
    split: str = "train",
    *,
    batch_size: int,
    views: int,
    device: torch.device | str = "cuda",
    seed: int = 0,
) -> Iterator[Batch]:
    """Faces drawn on the fly: the people of a split in frames nobody has seen, never the same twice.

    Meant for a GPU, where drawing a batch costs less than moving one.

    Parameters
    ----------
    config : SynthFaces
    split : str
        Whose people, and with which base rates.
    batch_size, views : int
        Faces per batch and in all; whole clips when the configuration has clips.
    device : torch.device or str
    seed : int
        Another seed, other frames.

    Yields
    ------
    Batch
        With intensity and 49 landmarks. `subject` counts as in the image set of the split.

    Raises
    ------
    ValueError
        When the sizes are not positive or cut through clips.
    """
    part, length = config.split(split), config.clip_length
    if batch_size < 1 or views < 1 or batch_size % length or views % length:
        raise ValueError(
            f"expected positive numbers of faces in whole clips of {length}, found batch_size={batch_size} and "
            f"views={views}"
        )
    renderer = renderer_for(config, device=device)
    columns = [aus.RENDERED.index(au) for au in config.aus]
    for start in range(0, views // length, batch_size // length):
        stop = min(start + batch_size // length, views // length)
        number = torch.arange(start, stop, device=device)
        key = mix(seed, _STREAM, number)
        person = (uniform(key, _STREAM, 1)[:, 0].double() * part.subjects).long()
        # clips of the cached split count from 0; these have the upper half of the numbers to themselves
        clip = (key & _LOW_BITS) | _HIGH_BIT
        rows = plan_clips(config, split, subject=POOLS[part.people] + person, clip=clip)
        yield _batch(config, rows, draw(config, rows, renderer=renderer), columns, number, person)


_STREAM = 9801
_LOW_BITS, _HIGH_BIT = (1 << 61) - 1, 1 << 62


def _batch(config: SynthFaces, rows: Plan, out: Drawn, columns: list[int], number: Tensor, person: Tensor) -> Batch:
    intensity = rows.intensity[:, columns]
    label = (intensity >= config.label_threshold).float()
    return Batch(
        image=out.images.float().mul_(1 / 255),
        au=torch.where(rows.coded[:, columns], label, torch.nan),
        subject=person.repeat_interleave(config.clip_length),
        clip=number.repeat_interleave(config.clip_length),
        frame=rows.frame,
        landmarks=out.landmarks[:, list(INDEX_49)],
        visible=~out.hidden if config.occlusion is not None else None,
        domain=torch.full_like(rows.frame, int(config.wild > 0)),
        intensity=intensity,
    )


def subject_name(config: SynthFaces, number: int) -> str:
    """Name of a person in tables, e.g. ``synth/S20003`` for the fourth of the test pool."""
    return f"{config.dataset}/S{number:05d}"


def table_of(config: SynthFaces, split: str, rows: Plan) -> Frames:
    """The table of some rows: one line per face, intensities of all 16 AUs, null where not coded."""
    people = {number: subject_name(config, number) for number in rows.subject.unique().tolist()}
    table = pd.DataFrame(
        {
            "dataset": config.dataset,
            "subject": [people[number] for number in rows.subject.tolist()],
            "clip": [f"{split}-{clip:05d}" for clip in rows.clip.tolist()],
            "frame": rows.frame.numpy(),
            "split": split,
            "hidden_by": [HIDING[kind] for kind in rows.hiding.tolist()],
        }
    )
    values = torch.where(rows.coded, rows.intensity, torch.nan).numpy()
    for column, au in zip(values.T, aus.RENDERED, strict=True):
        table[aus.column(au)] = pd.array(np.where(np.isnan(column), 0, column), dtype="Float32")
        table.loc[np.isnan(column), aus.column(au)] = pd.NA
    return Frames(table, scale="intensity")


def _image_set(config: SynthFaces, split: str, rows: Plan, arrays: Arrays) -> ImageSet:
    columns = [aus.RENDERED.index(au) for au in config.aus]
    return ImageSet.from_frames(
        arrays["images"],
        frames=table_of(config, split, rows),
        aus=config.aus,
        cut=config.label_threshold,
        intensity=rows.intensity[:, columns],
        landmarks=np.ascontiguousarray(arrays["landmarks"][:, list(INDEX_49)]),
        visible=None if config.occlusion is None else ~arrays["hidden"],
        domain=torch.full((len(rows),), int(config.wild > 0)),
    )


def cache_folder(config: SynthFaces, split: str, *, cache_dir: str | os.PathLike | None = None) -> Path:
    """Where a split is, or would be, cached."""
    return cache_root(cache_dir) / "synth" / f"{split}-{config.hash(split)}"


def _arrays(config, split, rows, *, cache_dir, device, workers) -> Arrays:
    folder = cache_folder(config, split, cache_dir=cache_dir)
    fields = _fields(config, len(rows))
    try:
        return read_arrays(folder, fields=fields)
    except FileNotFoundError:
        pass
    except Damaged as damage:
        log.warning("the face cache %s is damaged: %s; rendering it again", folder, damage)
    pieces = _pieces(config, split, rows, device=device, workers=workers)
    try:
        writer = FolderWriter(folder, fields=fields)
    except OSError as error:
        log.warning(
            "the face cache %s cannot be written (%s): the faces are kept in memory and rendered again next time; "
            "set FAU_CACHE to a folder that can be written",
            folder.parent,
            error.strerror or error,
        )
        kept = list(pieces)
        return {name: np.concatenate([piece[name] for piece in kept]) for name in fields}
    with writer:
        try:
            for piece in pieces:
                writer.append(piece)
            writer.commit(
                {
                    "config": asdict(config),
                    "split": split,
                    "faces": len(rows),
                    "code": code_version(),
                    "device": device_name(device),
                    "revision": git_revision(),
                }
            )
        except OSError as error:
            raise OSError(
                f"the face cache {folder.parent} could not be written ({error.strerror or error}); free about "
                f"{_megabytes(fields):.0f} MB there, or set FAU_CACHE to another folder"
            ) from error
    return read_arrays(folder, fields=fields)


def _pieces(config, split, rows, *, device, workers) -> Iterator[Arrays]:
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with progress(what=f"rendering {split}", total=len(rows), unit="face") as bar:
        for drawn in draw_all(config, rows, device=device, workers=workers):
            piece = {name: value.numpy() for name, value in vars(drawn).items()}
            piece["occluded"] = np.packbits(piece["occluded"].reshape(len(drawn.images), -1), axis=1)
            yield piece
            bar.update(len(drawn.images))


def _fields(config: SynthFaces, count: int) -> Fields:
    patches = 0 if config.occlusion is None else patch_grid(config.res, patch=config.occlusion.patch) ** 2
    return {
        "images": ((count, 3, config.res, config.res), "uint8"),
        "landmarks": ((count, 68, 2), "float32"),
        "visible": ((count, 68), "bool"),
        "occluded": ((count, -(-config.res * config.res // 8)), "uint8"),
        "hidden": ((count, patches), "bool"),
    }


def _megabytes(fields: Fields) -> float:
    return sum(np.prod(shape, dtype=float) * np.dtype(kind).itemsize for shape, kind in fields.values()) / 1e6
