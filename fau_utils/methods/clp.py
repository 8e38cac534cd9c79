"""Person-independent representations from unlabelled video (CLP).

Li & Shan (2023), "Contrastive Learning of Person-independent Representations for Facial Action Unit Detection", IEEE
TIP 32, 3212-3225; arXiv 2403.03400.
Claim: embeddings that order the frames of a clip in time, and that can be rebuilt from *other people's* embeddings,
tell action units and not people.
From the paper: encoder and momentum encoder, a margin-based contrast between the frames of a clip, a memory of other
people's frames, softmax attention to it, and reconstruction against the momentum embedding of the transformed frame.
The authors published neither code nor, in what was open to us, a single equation: **every formula and every constant
below is our reading**, and each is an option.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fau_utils.batch import Batch
from fau_utils.methods.contract import Learner, Losses
from fau_utils.models.clip_encoder import ClipEncoder, Follower, Memory, gathered
from fau_utils.models.clip_views import Views
from fau_utils.models.collapse import Watch, entropy, rank, spread
from fau_utils.models.seeded import seeded

BUDGETS: dict[str, dict] = {
    "smoke": {"views": 2_240, "batch_size": 56, "lr": 2e-3, "weight_decay": 1e-4},
    "laptop": {"views": 22_400, "batch_size": 56, "lr": 2e-3, "weight_decay": 1e-4},
    "gpu": {"views": 3_000_000, "batch_size": 448, "lr": 2e-3, "weight_decay": 1e-4, "warmup": 0.05},
    # batch of 64 clips x 7 frames, AdamW 3e-4, 5 % warm-up: our reading, see the specification of the chapter
    "paper": {"views": 30_000_000, "batch_size": 448, "lr": 3e-4, "weight_decay": 1e-4, "warmup": 0.05},
}


def temporal_margin_loss(
    q: Tensor, *, margin: float = 0.1, reading: Literal["A", "B", "C"] = "A", temperature: float = 0.1
) -> Tensor:
    r"""Contrast between the frames of a clip.

    With :math:`d(a, b) = \lVert a - b \rVert^2`:

    * A, ranking: mean of :math:`[d(q_i, q_j) - d(q_i, q_l) + m |l - j|]_+` over all i < j < l and i > j > l.
    * B, adjacent or not: mean of :math:`[d(q_i, q_j) - d(q_i, q_l) + m]_+` over :math:`|j - i| = 1 < |l - i|`.
    * C, InfoNCE with an additive margin: each pair of adjacent frames against the frames of the same clip that are
      not adjacent to the first.

    Parameters
    ----------
    q : Tensor, (B, T, D)
        Embeddings of length 1, frames in the order of time.
    margin : float
    reading : {"A", "B", "C"}
    temperature : float
        Of C.

    Raises
    ------
    ValueError
        Fewer than three frames: there is nothing to rank.
    """
    frames = q.shape[1]
    if frames < 3:
        raise ValueError(f"expected clips of at least 3 frames, found {frames}")
    cosine = q @ q.transpose(1, 2)  # (B, T, T)
    t = torch.arange(frames, device=q.device)
    gap = (t[:, None] - t).abs()
    if reading == "C":
        least = torch.finfo(q.dtype).min  # not infinity: of three frames the middle one has none that is far
        far = (cosine / temperature).masked_fill(gap <= 1, least).logsumexp(2, keepdim=True)  # (B, T, 1)
        near = (cosine - margin) / temperature
        return ((torch.logaddexp(near, far) - near) * (gap == 1)).sum() / (len(q) * (gap == 1).sum())
    d = 2 - 2 * cosine
    i, j, k = t[:, None, None], t[None, :, None], t[None, None]  # k is the paper's l
    if reading == "A":
        counts, least = ((i < j) & (j < k)) | ((i > j) & (j > k)), margin * (k - j).abs()
    elif reading == "B":
        counts, least = ((i - j).abs() == 1) & ((i - k).abs() > 1), margin
    else:
        raise ValueError(f"expected reading A, B or C, found {reading!r}")
    short = (d[:, :, :, None] - d[:, :, None, :] + least).clamp(min=0)  # (B, T, T, T)
    return (short * counts).sum() / (len(q) * counts.sum())


def cross_identity_reconstruction(
    q_r: Tensor, memory: Tensor, person: Tensor, owner: Tensor, *, temperature: float = 0.07
) -> tuple[Tensor, Tensor]:
    r"""Frames rebuilt from the memory rows of others: :math:`\hat q_r = \sum_j a_j M_j`, at length 1.

    The attention is :math:`a = \mathrm{softmax}(M q_r / \tau_a)` over rows whose owner is somebody, and somebody else.

    Parameters
    ----------
    q_r : Tensor, (B, D)
    memory : Tensor, (K, D)
    person : Tensor, (B,) int64
        Whose frame it is. Numbers of clips in both places leave out the own clip instead.
    owner : Tensor, (K,) int64
        Whose row it is; -1 for an empty one.
    temperature : float

    Returns
    -------
    q_hat : Tensor, (B, D)
        Zero for somebody who is alone in the memory.
    attention : Tensor, (B, K)
    """
    allowed = (owner >= 0) & (owner != person[:, None])  # (B, K)
    score = (q_r @ memory.T / temperature).masked_fill(~allowed, torch.finfo(q_r.dtype).min)
    attention = score.softmax(1) * allowed  # all of it is taken from who is alone
    return F.normalize(attention @ memory, dim=1), attention


def reconstruction_loss(q_hat: Tensor, k_r: Tensor) -> Tensor:
    r"""Reading A of L_CIR, for each frame: :math:`\lVert \hat q_r - k_r \rVert^2`, (B,)."""
    return (q_hat - k_r).square().sum(1)


def contrastive_reconstruction_loss(
    q_hat: Tensor, k_r: Tensor, others: Tensor, allowed: Tensor, *, temperature: float = 0.07
) -> Tensor:
    r"""Reading B, after "contrastive" in the title: :math:`k_r` against the keys of other clips, for each frame, (B,).

    Parameters
    ----------
    q_hat, k_r : Tensor, (B, D)
    others : Tensor, (N, D)
        Keys :math:`k_n`.
    allowed : Tensor, (B, N) bool
        Which of them are of another clip.
    temperature : float
    """
    positive = (q_hat * k_r).sum(1) / temperature
    negative = (q_hat @ others.T / temperature).masked_fill(~allowed, -torch.inf)
    return torch.cat([positive[:, None], negative], 1).logsumexp(1) - positive


class Clp(Learner):
    """Temporal contrast and cross-identity reconstruction on clips. Reads no label, but knows whose each clip is.

    Train it on a :class:`fau_utils.data.clips.ClipSet` with ``fit(..., augment=False)``: it draws its own views, one
    for each clip, and frames that were mirrored one by one would be ranked by that.

    Parameters
    ----------
    length : int
        Frames T of a clip; batches are whole clips, one after another.
    size, trunk, dim, head
        Of the encoder, see :class:`fau_utils.models.clip_encoder.ClipEncoder`. The figure draws no head.
    temporal : {"A", "B", "C"}
        Reading of L_T, see :func:`temporal_margin_loss`.
    margin : float
    cross : {"A", "B"}
        Reading of L_CIR: distance, or contrast with the keys of other clips.
    weight : float
        Lambda, of L_CIR; 0 leaves it out. At 1 the embeddings of the miniature fall to a handful of directions.
    temperature : float
        Of the attention and of reading B.
    memory : int
        Rows K.
    negatives : int
        Earlier keys that reading B contrasts with, beside those of the batch.
    momentum : float
        Of the momentum encoder; 0.999 where training is long.
    mask : {"person", "clip", "none"}
        Rows that a frame may not ask: its person's, its clip's only, or not even these (the negative control).
    enqueued : int
        Random frames of each clip that enter the memory in a step.
    reference : {"random", "middle"}
        Which frame of a clip is r.
    watch : bool
        Stop when the embeddings collapse.
    seed : int
        Decides the initial weights.
    """

    budgets: ClassVar[dict[str, dict]] = BUDGETS
    clips: ClassVar[bool] = True
    temporal_weight: ClassVar[float] = 1.0

    def __init__(
        self,
        *,
        length: int = 7,
        size: int = 64,
        trunk: str | None = None,
        dim: int = 256,
        head: int = 128,
        temporal: Literal["A", "B", "C"] = "A",
        margin: float = 0.1,
        cross: Literal["A", "B"] = "B",
        weight: float = 0.1,
        temperature: float = 0.07,
        memory: int = 1024,
        negatives: int = 512,
        momentum: float = 0.99,
        mask: Literal["person", "clip", "none"] = "person",
        enqueued: int = 2,
        reference: Literal["random", "middle"] = "random",
        watch: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        allowed = {
            "temporal": "ABC",
            "cross": "AB",
            "mask": ("person", "clip", "none"),
            "reference": ("random", "middle"),
        }
        for name, value in (("temporal", temporal), ("cross", cross), ("mask", mask), ("reference", reference)):
            if value not in allowed[name]:
                raise ValueError(f"expected {name} of {', '.join(allowed[name])}, found {value!r}")
        with seeded(seed):
            self.encoder = ClipEncoder(size=size, trunk=trunk, dim=dim, head=head)
        self.length, self.temporal, self.margin, self.cross = length, temporal, margin, cross
        self.weight, self.temperature, self.mask = weight, temperature, mask
        self.enqueued, self.reference, self.views = enqueued, reference, Views()
        self.follower = Follower(self.encoder, momentum=momentum)
        self.memory = Memory(memory, self.encoder.width)
        self.past = Memory(max(1, negatives), self.encoder.width)
        self.watch = Watch() if watch else None

    def prepare(self, images: Tensor) -> None:
        for network in (self.encoder, self.follower.network):
            network.normalise.fit(images)

    def loss(self, batch: Batch) -> Losses:
        image, person, clip = in_clips(batch, self.length)  # (B, T, 3, H, W), (B,), (B,)
        shown = self.views(batch.image, together=self.length)
        q = self.encoder(shown).unflatten(0, image.shape[:2])  # (B, T, D)
        parts: dict[str, Tensor] = {}
        with torch.autocast(image.device.type, enabled=False):  # distances need float32
            seen = {"std": spread(q.flatten(0, 1)), "rank": rank(q.flatten(0, 1))}
            if self.temporal_weight:
                parts["temporal"] = temporal_margin_loss(q, margin=self.margin, reading=self.temporal)
            if self.weight:
                r, k_r = self._reference(image, person, clip)
                q_r = q[torch.arange(len(q), device=q.device), r]
                rebuilt, seen["entropy"] = self._rebuilt(q_r, k_r, person, clip)
                parts["cross"] = self.weight * rebuilt
        if self.watch is not None and self.training and torch.is_grad_enabled():
            self.watch.see(**seen)
        return Losses(sum(parts.values()), {**parts, **seen})

    def _reference(self, image: Tensor, person: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Which frame of each clip is r, (B,), and k_r, (B, D); other frames enter the memory on the way."""
        if self.training and torch.is_grad_enabled():
            self.follower.follow(self.encoder)
        count, frames = image.shape[:2]
        picked = torch.rand(count, frames, device=image.device).argsort(1)  # (B, T): a random order of the frames
        r = picked[:, 0] if self.reference == "random" else torch.full_like(picked[:, 0], frames // 2)
        some = torch.cat([r[:, None], picked[:, -self.enqueued :]], 1)  # (B, 1 + E)
        chosen = image[torch.arange(count, device=image.device)[:, None], some].flatten(0, 1)
        k = self.follower(self.views(chosen)).unflatten(0, some.shape)  # each frame in a view of its own
        if torch.is_grad_enabled():
            rows = k[:, 1:].transpose(0, 1).flatten(0, 1)
            self.memory.enqueue(rows, person=person.repeat(self.enqueued), clip=clip.repeat(self.enqueued))
        return r, k[:, 0]

    def _rebuilt(self, q_r: Tensor, k_r: Tensor, person: Tensor, clip: Tensor) -> tuple[Tensor, Tensor]:
        """L_CIR and the entropy of its attention."""
        rows, people, clips = self.memory.contents()
        who, owner = {"person": (person, people), "clip": (clip, clips), "none": (clip.mul(0) - 2, clips)}[self.mask]
        q_hat, attention = cross_identity_reconstruction(q_r, rows, who, owner, temperature=self.temperature)
        allowed = (owner >= 0) & (owner != who[:, None])
        answered = allowed.any(1)
        if self.cross == "A":
            each = reconstruction_loss(q_hat, k_r)
        else:
            old, _, from_clip = self.past.contents()
            others, from_clip = torch.cat([gathered(k_r), old]), torch.cat([gathered(clip), from_clip])
            other = (from_clip >= 0) & (from_clip != clip[:, None])
            each = contrastive_reconstruction_loss(q_hat, k_r, others, other, temperature=self.temperature)
            if torch.is_grad_enabled():
                self.past.enqueue(k_r, person=person, clip=clip)
        mean = torch.where(answered, each, 0).sum() / answered.sum().clamp(min=1)
        return mean, entropy(attention, allowed)

    def embed(self, batch: Batch) -> Tensor:
        """h, (B, dim): the features before the head."""
        return self.encoder.features(batch.image).float()

    def project(self, batch: Batch) -> Tensor:
        """z, (B, D) of length 1: q, where the losses are."""
        return self.encoder(batch.image)

    def keys(self, batch: Batch) -> Tensor:
        """The momentum encoder's z, (B, D): k."""
        return self.follower(batch.image)


def in_clips(batch: Batch, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (B, T, 3, H, W) of a batch of whole clips, and person and number (B,) of each clip.

    Raises
    ------
    ValueError
        When the batch is no number of clips of that length.
    """
    if len(batch) % length:
        raise ValueError(
            f"expected whole clips of {length} frames, found a batch of {len(batch)}; train on a ClipSet of that "
            "length, and where the budget has micro let it be a multiple"
        )
    return batch.image.unflatten(0, (-1, length)), batch.subject[::length], batch.clip[::length]
