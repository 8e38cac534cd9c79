"""Frozen features of a method, beside everything that a probe may ask them for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from fau_utils.data.images import ImageSet, batches
from fau_utils.faces.plan import nuisance_of, plan
from fau_utils.faces.population import SynthFaces
from fau_utils.frames import Frames
from fau_utils.methods.contract import Learner
from fau_utils.progress import progress


@dataclass(frozen=True)
class Features:
    """N faces as a method sees them, and what is known of them. Nothing here is standardised.

    Attributes
    ----------
    z : ndarray, (N, D) float32
    subject : ndarray, (N,) str
        Who it is, with the dataset in front.
    clip : ndarray, (N,) int64
        A clip is one person's; frames of one clip may be all but equal.
    frame : ndarray, (N,) int64
    frames : Frames, N rows, optional
    aus : tuple of int
        AU number of each column of `labels` and `intensity`.
    labels : ndarray, (N, A) float32 in {0, 1, nan}, optional
    intensity : ndarray, (N, A) float32 in [0, 5] or nan, optional
    landmarks : ndarray, (N, 49, 2) float32 in pixels, optional
    domain : ndarray, (N,) int64, optional
    truths : dict
        Further things to ask for by name, each an array of N rows: pose, light, camera, occluder, ...

    Raises
    ------
    ValueError
        When the features are not (N, D) or not finite, or something has another number of rows.
    """

    z: np.ndarray
    subject: np.ndarray
    clip: np.ndarray
    frame: np.ndarray
    frames: Frames | None = None
    aus: tuple[int, ...] = ()
    labels: np.ndarray | None = None
    intensity: np.ndarray | None = None
    landmarks: np.ndarray | None = None
    domain: np.ndarray | None = None
    truths: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.z.ndim != 2:
            raise ValueError(f"expected features of shape (N, D), found {self.z.shape}; pool tokens in embed()")
        broken = len(self.z) - int(np.isfinite(self.z).all(1).sum())
        if broken:
            raise ValueError(f"{broken} of {len(self.z)} faces have features that are not finite; nothing to probe")
        for name, value in (*self._rows(), *self.truths.items()):
            if len(value) != len(self.z):
                raise ValueError(f"expected {len(self.z)} rows of {name}, one per face, found {len(value)}")

    def __len__(self) -> int:
        return len(self.z)

    def __repr__(self) -> str:
        people, clips = len(np.unique(self.subject)), len(np.unique(self.clip))
        return f"Features({len(self)} faces of {people} people in {clips} clips, {self.z.shape[1]} numbers each)"

    def _rows(self) -> list[tuple[str, Any]]:
        named = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name not in ("aus", "truths")]
        return [(name, value) for name, value in named if value is not None]

    def select(self, rows: Sequence[int] | Sequence[bool] | np.ndarray) -> "Features":
        """Some of the faces, by a mask or by positions."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        picked = {name: v.select(rows) if isinstance(v, Frames) else v[rows] for name, v in self._rows()}
        return replace(self, **picked, truths={name: value[rows] for name, value in self.truths.items()})

    def with_truths(self, **truths: np.ndarray) -> "Features":
        """The same faces with more to ask for: ``features.with_truths(pose=degrees)``."""
        return replace(self, truths={**self.truths, **{name: np.asarray(value) for name, value in truths.items()}})

    def with_clips_cut(self, pieces: int, *, gap: int) -> "Features":
        """The same videos, each cut into pieces that count as clips, frames between two pieces left out.

        For datasets with one long video of each person (DISFA), where held-out clips do not exist. Pieces of one
        video share its light and clothes, so an identity probe reads these, too: say so beside its result.

        Parameters
        ----------
        pieces : int
            Clips to make of each video, of equal numbers of frames.
        gap : int
            How many frame numbers to leave out after the last frame of a piece.
        """
        if pieces < 2 or gap < 0:
            raise ValueError(f"expected at least two pieces and no negative gap, found {pieces} and {gap}")
        kept, piece = np.zeros(len(self), bool), np.zeros(len(self), np.int64)
        for clip in np.unique(self.clip):
            rows = np.flatnonzero(self.clip == clip)
            rows = rows[np.argsort(self.frame[rows], kind="stable")]
            clear_from = -np.inf
            for number, part in enumerate(np.array_split(rows, min(pieces, len(rows)))):
                clear = part[self.frame[part] > clear_from]
                kept[clear], piece[clear] = True, number
                clear_from = self.frame[part[-1]] + gap
        return replace(self, clip=self.clip * pieces + piece).select(kept)


@torch.no_grad()
def embed(
    learner: Learner,
    data: ImageSet,
    *,
    batch_size: int = 512,
    device: torch.device | str = "auto",
    truths: Mapping[str, np.ndarray] | None = None,
) -> Features:
    """What `learner.embed` gives for every face of a set, in the order of the set.

    AU labels and intensities are hidden from the learner. Features stay on the device until the last one is made,
    so no batch makes the host wait. The learner is left on `device` and in the mode it was in. Set and learner may
    have other AUs: features of one dataset can be asked for the movements of another.

    Parameters
    ----------
    learner : Learner
        A method, or anything that was pretrained.
    data : ImageSet
    batch_size : int
    device : torch.device or str
        ``auto`` is CUDA where there is any.
    truths : dict, optional
        Further arrays to ask for, row by row as `data`; for rendered faces see :func:`synth_truths`.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    people = getattr(learner, "subjects", None)
    shown = data if people is None else data.with_subjects(people)  # indices that mean to the learner what it expects
    training = learner.training
    learner.to(device).eval()
    found = []
    try:
        with progress(what="features", total=len(data), unit="face") as bar:
            for batch in batches(shown, batch_size=batch_size, shuffle=False, device=device):
                batch.au = torch.full_like(batch.au, torch.nan)
                batch.intensity = None
                found.append(learner.embed(batch).float())
                bar.update(len(batch))
    finally:
        learner.train(training)
    return Features(
        z=torch.cat(found).cpu().numpy(),
        subject=data.frames.table["subject"].to_numpy(str),
        clip=_array(data.clip),
        frame=_array(data.frame),
        frames=data.frames,
        aus=tuple(data.aus),
        labels=_array(data.labels),
        intensity=_array(data.intensity),
        landmarks=_array(data.landmarks),
        domain=_array(data.domain),
        truths={name: np.asarray(value) for name, value in (truths or {}).items()},
    )


def _array(value: torch.Tensor | None) -> np.ndarray | None:
    return None if value is None else value.cpu().numpy()


def synth_truths(config: SynthFaces, split: str = "train") -> dict[str, np.ndarray]:
    """What only rendered faces come with, row by row as the image set of the same configuration and split.

    Returns
    -------
    dict
        ``pose`` (N, 3) yaw, pitch and roll in degrees; ``gaze`` (N, 2) in degrees; ``light`` (N, 4) x, y and z of
        the direction of the key light and its strength; ``occluder`` (N,) number of what hides the face.
    """
    rows = plan(config, split)
    picture = nuisance_of(config, rows)
    return {
        "pose": torch.rad2deg(picture.pose).numpy(),
        "gaze": torch.rad2deg(picture.gaze).numpy(),
        "light": torch.cat([picture.light, picture.key[:, None]], 1).numpy(),
        "occluder": rows.hiding.numpy(),
    }
