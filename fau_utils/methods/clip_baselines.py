"""What CLP is compared with: the same encoder, clips, views and budget, another loss.

Chen et al. (2020), "A Simple Framework for Contrastive Learning of Visual Representations" (SimCLR), arXiv 2002.05709;
Chen et al. (2020), "Improved Baselines with Momentum Contrastive Learning" (MoCo v2), arXiv 2003.04297.

The two contrastive losses are written here rather than taken from the library *lightly* (1.6.0): its NT-Xent loss
picks by a boolean mask and its memory bank reads its place as an integer, so that a GPU waits in every step; the bank
is no part of a state dict and loses what does not fit at its end; and it brings hydra, omegaconf and antlr. Where
lightly is installed the tests hold the two against each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils.aus import known
from fau_utils.batch import Batch
from fau_utils.methods.clp import BUDGETS, Clp
from fau_utils.methods.contract import Learner, Losses, Method, masked_bce
from fau_utils.models import store
from fau_utils.models.clip_encoder import ClipEncoder, Follower, Memory
from fau_utils.models.clip_views import Views
from fau_utils.models.collapse import Watch, rank, spread
from fau_utils.models.seeded import seeded


def simclr_loss(first: Tensor, second: Tensor, *, temperature: float = 0.1) -> Tensor:
    r"""NT-Xent: of 2N views each finds its twin among all the others.

    Mean over views i with twin j of :math:`-\log \exp(z_i z_j / \tau) / \sum_{n \ne i} \exp(z_i z_n / \tau)`.

    Parameters
    ----------
    first, second : Tensor, (N, D)
        Two views of N frames, of length 1.
    temperature : float
    """
    z = torch.cat([first, second])
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(own, -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(first)))


def moco_loss(q: Tensor, k: Tensor, queue: Tensor, filled: Tensor, *, temperature: float = 0.1) -> Tensor:
    r"""InfoNCE: each query finds its key among the keys of earlier batches.

    Parameters
    ----------
    q, k : Tensor, (N, D)
        Of length 1; k without a gradient.
    queue : Tensor, (K, D)
    filled : Tensor, (K,) bool
        Rows of the queue that hold a key.
    temperature : float
    """
    positive = (q * k).sum(1, keepdim=True)
    negative = (q @ queue.T).masked_fill(~filled, -torch.inf)
    logits = torch.cat([positive, negative], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


class FrameLearner(Learner):
    """An encoder and its views; what is learnt is a subclass's affair. Batches may be frames or clips.

    Parameters
    ----------
    size, trunk, dim, head
        See :class:`fau_utils.models.clip_encoder.ClipEncoder`.
    watch : bool
        Stop when the embeddings collapse.
    seed : int
    """

    budgets: ClassVar[dict[str, dict]] = BUDGETS
    clips: ClassVar[bool] = True

    def __init__(
        self,
        *,
        size: int = 64,
        trunk: str | None = None,
        dim: int = 256,
        head: int = 128,
        watch: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        with seeded(seed):
            self.encoder = ClipEncoder(size=size, trunk=trunk, dim=dim, head=head)
        self.views = Views()
        self.watch = Watch() if watch else None

    def prepare(self, images: Tensor) -> None:
        self.encoder.normalise.fit(images)

    def embed(self, batch: Batch) -> Tensor:
        return self.encoder.features(batch.image).float()

    def project(self, batch: Batch) -> Tensor:
        """z, (B, D) of length 1."""
        return self.encoder(batch.image)

    def watched(self, z: Tensor, parts: dict[str, Tensor]) -> Losses:
        """The losses with the readings that tell a collapse."""
        seen = {"std": spread(z), "rank": rank(z)}
        if self.watch is not None and self.training and torch.is_grad_enabled():
            self.watch.see(**seen)
        return Losses(sum(parts.values()), {**parts, **seen})


class Untrained(FrameLearner):
    """The encoder as it begins. Training it is possible and changes nothing but the mean face."""

    def loss(self, batch: Batch) -> Losses:
        return Losses(self.encoder.features(batch.image).sum() * 0.0)


class SimClr(FrameLearner):
    """Two views of a frame are alike, and unlike all other frames of the batch.

    In batches of clips the other frames of a clip are among these. With several processes each contrasts its own part.
    """

    def __init__(self, *, temperature: float = 0.1, **options: Any):
        super().__init__(**options)
        self.temperature = temperature

    def loss(self, batch: Batch) -> Losses:
        z = self.encoder(torch.cat([self.views(batch.image), self.views(batch.image)]))
        with torch.autocast(z.device.type, enabled=False):
            return self.watched(z, {"contrast": simclr_loss(*z.chunk(2), temperature=self.temperature)})


class Moco(FrameLearner):
    """Two views of a frame are alike, and unlike frames of earlier batches, which are nearly all other people's.

    Parameters
    ----------
    temperature, momentum : float
    memory : int
        Keys K.
    """

    def __init__(self, *, temperature: float = 0.1, momentum: float = 0.99, memory: int = 1024, **options: Any):
        super().__init__(**options)
        self.temperature = temperature
        self.follower = Follower(self.encoder, momentum=momentum)
        self.memory = Memory(memory, self.encoder.width)

    def prepare(self, images: Tensor) -> None:
        super().prepare(images)
        self.follower.network.normalise.fit(images)

    def keys(self, batch: Batch) -> Tensor:
        """The momentum encoder's z, (B, D)."""
        return self.follower(batch.image)

    def loss(self, batch: Batch) -> Losses:
        learns = self.training and torch.is_grad_enabled()
        if learns:
            self.follower.follow(self.encoder)
        q, k = self.encoder(self.views(batch.image)), self.follower(self.views(batch.image))
        queue, person, _ = self.memory.contents()
        with torch.autocast(q.device.type, enabled=False):  # the first step has no negatives, and no gradient
            loss = moco_loss(q, k, queue, person >= 0, temperature=self.temperature)
        if learns:
            self.memory.enqueue(k, person=batch.subject, clip=batch.clip)
        return self.watched(q, {"contrast": loss})


class TemporalOnly(Clp):
    """L_T without a memory."""

    def __init__(self, **options: Any):
        super().__init__(weight=0.0, **options)


class CrossOnly(Clp):
    """L_CIR without contrast in time, at full weight."""

    temporal_weight: ClassVar[float] = 0.0

    def __init__(self, *, weight: float = 1.0, **options: Any):
        super().__init__(weight=weight, **options)


class OwnRows(Clp):
    """CLP whose memory may hold rows of the very person, even of the very clip: the negative control."""

    def __init__(self, **options: Any):
        super().__init__(mask="none", **options)


class ClipAutoencoder(FrameLearner):
    """Draws the frame again from h: mean squared error per pixel over the variance of an aligned face's pixels."""

    def __init__(self, **options: Any):
        super().__init__(**{"head": 0, **options})
        size, dim = self.encoder.config["size"], self.encoder.config["dim"]
        if size % 16:
            raise ValueError(f"expected a size divisible by 16, found {size}")
        self.side = size // 16
        with seeded(options.get("seed", 0) + 1):
            self.start = nn.Linear(dim, 64 * self.side**2)
            self.draw = nn.Sequential(*_up(64, 64), *_up(64, 48), *_up(48, 32), nn.Upsample(scale_factor=2), _last(32))

    def loss(self, batch: Batch) -> Losses:
        seen = self.views(batch.image)
        goal = self.encoder.normalise(seen)
        h = self.encoder.features(seen)
        drawn = self.draw(self.start(h).unflatten(1, (64, self.side, self.side)))
        return self.watched(F.normalize(h.float(), dim=1), {"pixels": (drawn.float() - goal.detach()).square().mean()})


class SupervisedClips(Method):
    """The ceiling, and what fine-tuning makes of the others: the same encoder and views, taught by AU labels.

    Parameters
    ----------
    aus : sequence of int
    size, trunk, dim
        Of the encoder.
    init : path or learner, optional
        A learner of this module, or the folder that ``fau train clp`` left; its features are begun from, its head is
        left behind.
    seed : int
    """

    budgets: ClassVar[dict[str, dict]] = BUDGETS

    def __init__(
        self,
        aus: Sequence[int],
        *,
        size: int = 64,
        trunk: str | None = None,
        dim: int = 256,
        init: str | Path | nn.Module | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.aus = known(aus)
        with seeded(seed):
            self.encoder = ClipEncoder(size=size, trunk=trunk, dim=dim, head=0)
            self.classify = nn.Linear(dim, len(self.aus))
        self.views = Views()
        if init is not None:
            learnt = init.encoder if isinstance(init, nn.Module) else store.load(init, kinds=_KINDS)
            weights = {name: value for name, value in learnt.state_dict().items() if not name.startswith("head.")}
            self.encoder.load_state_dict(weights)

    def prepare(self, images: Tensor) -> None:
        self.encoder.normalise.fit(images)

    def loss(self, batch: Batch) -> Losses:
        loss = masked_bce(self.classify(self.encoder.features(self.views(batch.image))), batch.au)
        return Losses(loss, {"au": loss})

    def predict(self, batch: Batch) -> Tensor:
        return self.classify(self.embed(batch)).sigmoid()

    def embed(self, batch: Batch) -> Tensor:
        return self.encoder.features(batch.image).float()


_KINDS = {"ClipEncoder": ClipEncoder}


def _up(before: int, after: int) -> tuple[nn.Module, ...]:
    return (nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())


def _last(width: int) -> nn.Module:
    return nn.Conv2d(width, 3, 3, padding=1)
