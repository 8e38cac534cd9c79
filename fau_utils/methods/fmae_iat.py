"""Identity adversarial training of a masked-autoencoder face model (FMAE-IAT).

Ning, Salah & Onal Ertugrul (2024), "Representation Learning and Identity Adversarial Training for Facial Behavior
Understanding", arXiv 2407.11243, FG 2025; numbers of the recipes from github.com/forever208/FMAE-IAT.
Claim: AU sets have few people, so a network learns who shows which AU instead of the movement; a head that names the
person behind a layer that reverses its gradient takes that shortcut away, and F1 on people never seen rises.
From paper and code: the branch and its place on the pooled feature, one-vs-all cross-entropy, heads of one to three
layers, a constant lambda, all recipes. Our own: identities of the *training* people only, softmax and uniform
confusion in place of one-vs-all, a bias at the base rate, the ramp, the controls (permuted identities, dropped
tokens), and the miniatures for 64 px.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils.batch import Batch
from fau_utils.faces import rng
from fau_utils.methods.contract import Losses, masked_bce, share_of_all
from fau_utils.methods.fmae_recipes import RECIPES
from fau_utils.methods.recipes import Recipe
from fau_utils.methods.vit import PretrainedVit
from fau_utils.models.reversal import reverse_gradient
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import READ_PER_TOKEN

Identity = Literal["bce", "ce", "uniform"]

_PERMUTED = 0x50657265
"""Says what the random numbers are for."""


def one_vs_all_identity_loss(logits: Tensor, subject: Tensor, known: Tensor | None = None) -> Tensor:
    r"""The published loss: is it person s, yes or no, for every s; the mean over faces *and* people.

    .. math:: L_{ID} = \frac{1}{N S} \sum_n \sum_s \mathrm{BCE}(\sigma(z_{ns}), [s = y_n])

    The gradient of a logit is :math:`(\sigma - [s = y]) / N S`: S times smaller than that of the softmax loss, but with
    a part that is not about identity at all. While all sigmoids are 0.5, all logits are pulled down together.

    Parameters
    ----------
    logits : Tensor, (B, S)
    subject : Tensor, (B,) int64
        Outside 0 to S - 1 for strangers, who take no part.
    known : Tensor, (B,) bool, optional
        Faces that take part, of those who are no strangers.
    """
    known = _known(logits, subject, known)
    target = F.one_hot(torch.where(known, subject, 0), logits.shape[1])
    element = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none").mean(1)
    return torch.where(known, element, 0).sum() / share_of_all(known.sum())


def softmax_identity_loss(logits: Tensor, subject: Tensor, known: Tensor | None = None) -> Tensor:
    r"""One of S people: :math:`-\frac1N \sum_n \log \mathrm{softmax}(z_n)_{y_n}`; arguments as above."""
    known = _known(logits, subject, known)
    element = F.cross_entropy(logits.float(), torch.where(known, subject, 0), reduction="none")
    return torch.where(known, element, 0).sum() / share_of_all(known.sum())


def uniform_confusion_loss(logits: Tensor, subject: Tensor, known: Tensor | None = None) -> Tensor:
    r"""For the encoder, in place of a reversed gradient: :math:`-\frac{1}{NS}\sum_n\sum_s\log\mathrm{softmax}(z_n)_s`.

    At least log S, which it reaches when every person is equally likely. Arguments as above; of `subject` it only
    matters who is a stranger.
    """
    known = _known(logits, subject, known)
    element = -logits.float().log_softmax(-1).mean(1)
    return torch.where(known, element, 0).sum() / share_of_all(known.sum())


def _known(logits: Tensor, subject: Tensor, known: Tensor | None) -> Tensor:
    inside = (subject >= 0) & (subject < logits.shape[1])
    return inside if known is None else inside & known


class IdentityAdversary(nn.Sequential):
    """Names the person: a linear layer, or layers of half and a quarter of the width with GELU before it.

    Parameters
    ----------
    width : int
        Length D of a feature.
    people : int
        Number S of outputs.
    depth : {1, 2, 3}
        Layers; 1 is the published head, 2 and 3 those of its ablation.
    base_rate_bias : bool
        Begin with sigmoids of 1 / S instead of a half, so that the first thing to learn is not the common level.
    """

    def __init__(self, width: int, people: int, *, depth: int = 1, base_rate_bias: bool = False):
        if depth not in (1, 2, 3):
            raise ValueError(f"expected an identity head of 1, 2 or 3 layers, found {depth}")
        widths = [width // 2**k for k in range(depth)]
        hidden = [(nn.Linear(a, b), nn.GELU()) for a, b in itertools.pairwise(widths)]
        super().__init__(*(part for layer in hidden for part in layer), nn.Linear(widths[-1], people))
        if base_rate_bias:
            nn.init.constant_(self[-1].bias, -math.log(max(1, people - 1)))


class FmaeIat(PretrainedVit):
    """:class:`PretrainedVit` with an identity head behind a reversed gradient.

    The total loss is the AU loss plus the identity loss; lambda is only in the gradient that goes back into the
    encoder, ``-strength`` times that of the head. With ``strength`` 0 there is no head, and this is FMAE.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    subjects : sequence of str
        The training people. Anybody else takes no part in the identity loss, nor does a face without a coded AU.
    size, model, init, seed, **changes
        As :class:`PretrainedVit`.
    identity : {"bce", "ce", "uniform"}
        :func:`one_vs_all_identity_loss` as published, :func:`softmax_identity_loss`, or softmax for the head and
        :func:`uniform_confusion_loss` for the encoder.
    strength : float
        The lambda of the paper: 2 on BP4D, 1 on BP4D+, 0.5 on DISFA, all with ``bce``. The same number with ``ce``
        is about as many times stronger as there are people.
    depth : {1, 2, 3}
    base_rate_bias : bool
        As :class:`IdentityAdversary`.
    outputs : int, optional
        Of the identity head, by default one for each training person. The published code has one for each person of
        the dataset; those of the test people are never right, and make the mean smaller.
    ramp : int
        Views in which lambda rises from 0 along Ganin and Lempitsky's curve; 0 for a constant one, as published.
    reads : {"mean", "all"}
        The identity head reads a mean over positions, as published; or, in a miniature whose AU head reads each
        position with weights of its own, all that this head reads. In the published sizes both are the same.
    permuted : bool
        A control: each frame belongs to a person drawn by lot once and for all. What this arm does, a reversed
        gradient does without any identity.
    drop : float
        Largest share of the patches that is left out in training, in each batch another between 0 and this.
    augment : callable, optional
        Batch to batch, what is done to training faces before they are encoded.

    Raises
    ------
    ValueError
        A number out of its range, or fewer outputs than people.
    """

    budgets: ClassVar[dict[str, dict]] = PretrainedVit.budgets | {"paper": RECIPES["bp4d-iat"].budget(98_000)}
    recipes: ClassVar[dict[str, Recipe]] = RECIPES

    def __init__(
        self,
        aus: Sequence[int],
        *,
        subjects: Sequence[str],
        size: int = 64,
        model: str | None = None,
        init: str | Path | nn.Module | None = None,
        identity: Identity = "bce",
        strength: float = 1.0,
        depth: int = 1,
        base_rate_bias: bool = False,
        outputs: int | None = None,
        ramp: int = 0,
        reads: Literal["mean", "all"] = "mean",
        permuted: bool = False,
        drop: float = 0.0,
        augment: Callable[[Batch], Batch] | None = None,
        seed: int = 0,
        **changes: Any,
    ):
        super().__init__(aus, size=size, model=model, init=init, seed=seed, **changes)
        self.subjects = tuple(subjects)
        people = len(self.subjects) if outputs is None else outputs
        _check(identity=identity, strength=strength, ramp=ramp, reads=reads, drop=drop)
        if people < len(self.subjects):
            raise ValueError(f"expected an output for each of {len(self.subjects)} people, found {people}")
        self.identity, self.strength, self.reads, self.permuted = identity, float(strength), reads, permuted
        self.ramp, self.drop, self.augment, self.people, self._seed = ramp, drop, augment, people, seed
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        width = self.network.width
        if reads == "mean" and self.network.pool == "position":
            width = READ_PER_TOKEN
        self.adversary: IdentityAdversary | None = None
        if strength:
            with seeded(seed):  # after the encoder: with or without it, that begins the same
                self.adversary = IdentityAdversary(width, people, depth=depth, base_rate_bias=base_rate_bias)

    def loss(self, batch: Batch) -> Losses:
        feature = self._feature(batch)
        au = masked_bce(self.head(feature), batch.au, positive_weight=self.positive_weight)
        if self.adversary is None:
            return Losses(au, {"au": au})
        said, confused = self._adversary_of(feature)
        who, known = self._people_of(batch), ~batch.au.isnan().all(1)
        loss_of = one_vs_all_identity_loss if self.identity == "bce" else softmax_identity_loss
        parts = {"au": au, "identity": loss_of(said, who, known)}
        if confused is not None:
            parts["confusion"] = self._lambda() * uniform_confusion_loss(confused, who, known)
        self._count(batch)
        return Losses(sum(parts.values()), parts)

    def name_people(self, batch: Batch) -> Tensor:
        """What the identity head makes of each face, (B, S) logits: how well *this* head does says little of how
        much the features know, a fresh probe does."""
        if self.adversary is None:
            raise ValueError("with strength 0 there is no identity head; probe the features instead")
        return self.adversary(self.read(self.embed(batch)))

    def read(self, feature: Tensor) -> Tensor:
        """What the identity head reads of the AU head's features, (B, width).

        The published feature comes out of a norm. One of a miniature does not, and is normed here: otherwise the
        encoder wins by making all features larger.
        """
        if self.network.pool != "position":
            return feature
        if self.reads == "mean":
            feature = feature.unflatten(1, (-1, READ_PER_TOKEN)).mean(1)
        return F.layer_norm(feature, feature.shape[1:])

    def param_groups(self) -> list[dict]:
        groups = super().param_groups()
        if self.adversary is not None:  # as the AU head: the full rate, weights decay
            weights, free = ([p for p in self.adversary.parameters() if (p.ndim > 1) is w] for w in (True, False))
            groups.append({"params": weights, "name": "identity, decay"})
            groups.append({"params": free, "name": "identity, no decay", "weight_decay": 0.0})
        return groups

    def _feature(self, batch: Batch) -> Tensor:
        image = batch.image
        if self.augment is not None and self.training:
            image = self.augment(batch).image
        keep = kept(len(batch), self.network.patches, most=self.drop, device=image.device) if self._drops else None
        return self.network.features(self.normalise(image), keep)

    @property
    def _drops(self) -> bool:
        return self.training and self.drop > 0

    def _adversary_of(self, feature: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits that teach the head and, where no gradient is reversed, those that teach the encoder."""
        read = self.read(feature)
        if self.identity != "uniform":
            return self.adversary(reverse_gradient(read, self._lambda())), None
        fixed = {name: value.detach() for name, value in self.adversary.named_parameters()}
        return self.adversary(read.detach()), torch.func.functional_call(self.adversary, fixed, read)

    def _people_of(self, batch: Batch) -> Tensor:
        if not self.permuted:
            return batch.subject
        drawn = rng.mix(batch.subject, batch.clip, batch.frame, self._seed, _PERMUTED) % len(self.subjects)
        return torch.where(batch.subject < 0, -1, drawn)

    def _lambda(self) -> float | Tensor:
        if not self.ramp:
            return self.strength
        # 2 / (1 + exp(-10 p)) - 1, as models.reversal.ramp; a tensor, so that the host need not wait
        return self.strength * (5 * (self.seen / self.ramp).clamp(max=1)).tanh()

    @torch.no_grad()
    def _count(self, batch: Batch) -> None:
        if self.ramp and self.training:
            self.seen += len(batch) * _processes()


def kept(count: int, patches: int, *, most: float, device: torch.device | str) -> Tensor:
    """Patches to keep of each face, (count, K) int64: a share between 0 and `most` is left out, the same of all."""
    hidden = int(float(torch.rand(())) * most * patches)  # drawn on the CPU: nobody waits
    noise = torch.rand(count, patches, device=device)
    return noise.argsort(1)[:, : patches - hidden]


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _check(*, identity: str, strength: float, ramp: int, reads: str, drop: float) -> None:
    fits = {
        "identity": identity in ("bce", "ce", "uniform"),
        "strength": 0 <= strength < math.inf,
        "ramp": ramp >= 0,
        "reads": reads in ("mean", "all"),
        "drop": 0 <= drop < 1,
    }
    given = {"identity": identity, "strength": strength, "ramp": ramp, "reads": reads, "drop": drop}
    for name, fine in fits.items():
        if not fine:
            raise ValueError(f"{name} = {given[name]!r} is out of range; see FmaeIat")
