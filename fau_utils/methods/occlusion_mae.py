"""AUs of occluded faces from the latents of a masked autoencoder, without painting anything in.

Jiang, Wang, McKeown & Wang (2022), "Occlusion-Robust FAU Recognition by Mining Latent Space of Masked Autoencoders",
arXiv 2212.04029.
Claim: a pretrained MAE encoder that sees an occluded face already holds in its latents what its decoder would need to
paint the rest; they can be turned straight into AU features, taught by the nodes and the edges of an AU graph, and
do nearly as well as others on faces in full view.
From the paper (its abstract is all that we have seen): pretrained encoder, no decoder, distillation of nodes and of
edges, random patches and large blocks. Our reading: everything else: the teacher (ME-GraphAU on the clean image), where
nodes and edges are compared (after the graph layers) and how (squared distance of unit vectors), all weights, that
hidden patches are dropped, and the ratios in training.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses, share_of_all
from fau_utils.methods.graph_teacher import GraphDetector, Pool, load_teacher
from fau_utils.methods.occlude import Occlude, occluded, on_grid
from fau_utils.models.graph import AuGraph
from fau_utils.models.visible import GROUPS, encode_visible

Distil = Literal["nodes+edges", "nodes", "edges", "logits", "none"]
Distance = Literal["normalised", "mse"]
Present = Literal["drop", "paint"]


def node_distillation_loss(
    student: Tensor, teacher: Tensor, *, known: Tensor | None = None, distance: Distance = "normalised"
) -> Tensor:
    r"""How far the student's nodes are from the teacher's, which get no gradient.

    .. math:: L_{node} = \frac{1}{N} \sum_i \| \bar v_i^s - [\bar v_i^t]_{sg} \|_2^2, \quad \bar v = v / \|v\|_2

    which is :math:`2 - 2\cos`, what the cosine classifier reads.

    Parameters
    ----------
    student, teacher : Tensor, (B, N, C)
    known : Tensor, (B,) bool, optional
        Faces that take part.
    distance : {"normalised", "mse"}
        Of unit vectors as above, or the mean squared difference of the features as they are.

    Returns
    -------
    Tensor, ()
    """
    student, teacher = student.float(), teacher.detach().float()
    if distance == "normalised":
        element = 2 - 2 * F.cosine_similarity(student, teacher, dim=-1, eps=1e-6)  # (B, N)
    else:
        element = (student - teacher).square().mean(-1)
    each = element.mean(1)
    if known is None:
        return each.mean()
    return torch.where(known, each, 0).sum() / share_of_all(known.sum())


def edge_distillation_loss(
    student: Tensor, teacher: Tensor, *, known: Tensor | None = None, distance: Distance = "normalised"
) -> Tensor:
    r"""The same of the edges, (B, N * N, C).

    .. math:: L_{edge} = \frac{1}{N^2} \sum_{i,j} \| \bar e_{ij}^s - [\bar e_{ij}^t]_{sg} \|_2^2
    """
    return node_distillation_loss(student, teacher, known=known, distance=distance)


def logit_distillation_loss(student: Tensor, teacher: Tensor, *, known: Tensor | None = None) -> Tensor:
    """The control: cross-entropy with the teacher's probabilities, (B, N), as targets."""
    p = student.float().clamp(1e-6, 1 - 1e-6)
    each = F.binary_cross_entropy(p, teacher.detach().float().clamp(0, 1), reduction="none").mean(1)
    if known is None:
        return each.mean()
    return torch.where(known, each, 0).sum() / share_of_all(known.sum())


class OcclusionMae(GraphDetector):
    """Visible patches to latents to an AU graph, taught by a graph of the same face in full view.

    Parameters
    ----------
    aus, size, model, init, pool, width, edge_weight, encoder_rate, seed, **changes
        As :class:`GraphDetector`; `init` is the pretrained MAE. The stem of miniatures is ``patch`` unless `init` or
        `stem` say otherwise: it sees one patch at a time, so hidden ones disturb no other.
    teacher : GraphDetector, optional
        Trained on clean images, of the same AUs, width and head layout; it is frozen, and asked in evaluation mode.
        None trains one along with the student, on the same faces before they are occluded.
    teacher_run : path, optional
        Instead of `teacher`: the folder of a run of ``fau train graph-detector`` on the same fold.
    subjects : sequence of str
        The training people, to notice a teacher of another fold.
    occlusion : Occlude
        What is hidden in training. Its patch is taken from the encoder.
    distil : {"nodes+edges", "nodes", "edges", "logits", "none"}
    node, edge : float
        Weights of the distillation losses; `node` is that of ``logits``, too.
    distance : {"normalised", "mse"}
        See :func:`node_distillation_loss`.
    present : {"drop", "paint"}
        Encode visible patches only, which says where the occluder is; or all patches, the hidden ones painted.
    teacher_sees : {"clean", "occluded"}
        The second is a control: a teacher that knows no more than the student.
    groups : int
        See :func:`fau_utils.models.visible.encode_visible`.

    Raises
    ------
    ValueError
        A number or name out of range, or a teacher that does not fit.
    """

    budgets: ClassVar[dict[str, dict]] = GraphDetector.budgets

    def __init__(
        self,
        aus: Sequence[int],
        *,
        teacher: GraphDetector | None = None,
        teacher_run: str | os.PathLike | None = None,
        subjects: Sequence[str] = (),
        size: int = 64,
        model: str | None = None,
        init: str | Path | nn.Module | None = None,
        occlusion: Occlude | None = None,
        distil: Distil = "nodes+edges",
        node: float = 1.0,
        edge: float = 1.0,
        distance: Distance = "normalised",
        present: Present = "drop",
        teacher_sees: Literal["clean", "occluded"] = "clean",
        groups: int = GROUPS,
        pool: Pool | None = None,
        width: int | None = None,
        seed: int = 0,
        **changes: Any,
    ):
        if init is None and (model.startswith("mini") if model else size <= 128):
            changes = {"stem": "patch", **changes}
        super().__init__(aus, size=size, model=model, init=init, pool=pool, width=width, seed=seed, **changes)
        for name, value, known in (
            ("distil", distil, get_args(Distil)), ("distance", distance, get_args(Distance)),
            ("present", present, get_args(Present)), ("teacher_sees", teacher_sees, ("clean", "occluded")),
        ):  # fmt: skip
            if value not in known:
                raise ValueError(f"expected {name} of {', '.join(known)}, found {value!r}")
        if not (node >= 0 and edge >= 0):
            raise ValueError(f"expected weights node and edge >= 0, found {node} and {edge}")
        if teacher is not None and teacher_run is not None:
            raise ValueError("expected teacher or teacher_run, found both")
        self.distil, self.distance, self.present, self.teacher_sees = distil, distance, present, teacher_sees
        self.node = node if distil in ("nodes+edges", "nodes", "logits") else 0.0
        self.edge = edge if distil in ("nodes+edges", "edges") else 0.0
        self.occlusion, self.groups = occlusion or Occlude(patch=self.encoder.patch), groups
        if self.occlusion.patch != self.encoder.patch:
            raise ValueError(
                f"expected occlusion with patches of {self.encoder.patch} px, found {self.occlusion.patch}"
            )
        if teacher_run is not None:
            teacher = load_teacher(teacher_run, aus=aus, size=size, subjects=subjects)
        self.apprentice = teacher is None and (self.node or self.edge) > 0  # learns to teach on the way
        if self.apprentice:
            plain = {n: v for n, v in changes.items() if n != "stem"} if init is None else {}
            teacher = GraphDetector(aus, size=size, model=model, pool=self.pool, width=width, seed=seed, **plain)
        self.teacher = self._fitting(teacher) if self.node or self.edge else None
        self.train(self.training)

    def loss(self, batch: Batch) -> Losses:
        hidden = self._hidden(batch)
        student = self.graph(batch, hidden)
        parts = self.supervised(student, batch.au)
        if self.teacher is None:
            return Losses(sum(parts.values()), parts)
        told = batch if self.teacher_sees == "clean" else occluded(batch, hidden, fill=self.occlusion.fill)
        with torch.set_grad_enabled(self.apprentice and torch.is_grad_enabled()):
            teacher = self.teacher.graph(told)
        known = ~batch.au.isnan().all(1)
        if self.distil == "logits":
            parts["logits"] = self.node * logit_distillation_loss(student.probability, teacher.probability, known=known)
        elif self.node:
            node = node_distillation_loss(student.nodes, teacher.nodes, known=known, distance=self.distance)
            parts["nodes"] = self.node * node
        if self.edge:
            edge = edge_distillation_loss(student.edges, teacher.edges, known=known, distance=self.distance)
            parts["edges"] = self.edge * edge
        if self.apprentice:
            parts |= {f"teacher {name}": part for name, part in self.teacher.supervised(teacher, batch.au).items()}
        return Losses(sum(parts.values()), parts)

    def graph(self, batch: Batch, hidden: Tensor | None = None) -> AuGraph:
        """Nodes, edges and probabilities of faces of which `hidden`, (B, P) bool, or else ``batch.visible`` says what
        cannot be seen; without either, everything can be."""
        if hidden is None and batch.visible is not None:
            hidden = ~batch.visible
        if hidden is None:
            return super().graph(batch)
        hidden = on_grid(hidden, grid=self.encoder.grid)
        if self.present == "paint":
            return super().graph(occluded(batch, hidden, fill=self.occlusion.fill))
        return self._read(*self.latents(batch, hidden))

    def latents(self, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the encoder makes of the visible patches: tokens, which count, and their places."""
        return tuple(encode_visible(self.encoder, self.normalise(batch.image), hidden, groups=self.groups))

    def balance(self, positive_weight: Tensor) -> None:
        super().balance(positive_weight)
        if self.apprentice:
            self.teacher.balance(positive_weight)

    def prepare(self, images: Tensor) -> None:
        super().prepare(images)
        if self.apprentice:
            self.teacher.prepare(images)

    def train(self, mode: bool = True) -> "OcclusionMae":
        super().train(mode)
        if getattr(self, "teacher", None) is not None and not self.apprentice:
            self.teacher.eval()  # a frozen teacher keeps its running statistics
        return self

    def param_groups(self) -> list[dict]:
        groups = super().param_groups()
        if self.apprentice:
            groups += [{**group, "name": f"teacher, {group['name']}"} for group in self.teacher.param_groups()]
        return groups

    def _read(self, tokens: Tensor, valid: Tensor, keep: Tensor) -> AuGraph:
        return self.head(tokens, valid) if self.pool == "published" else self.head(tokens, valid, keep)

    def _hidden(self, batch: Batch) -> Tensor:
        drawn = self.occlusion.draw(len(batch), grid=self.encoder.grid)
        return (
            drawn
            if batch.visible is None
            else drawn.to(batch.visible.device) | on_grid(~batch.visible, grid=self.encoder.grid)
        )

    def _fitting(self, teacher: GraphDetector) -> GraphDetector:
        if tuple(teacher.aus) != tuple(self.aus):
            raise ValueError(f"expected a teacher of AUs {self.aus}, found one of {teacher.aus}")
        ours, theirs = (part.head.classify.own.shape for part in (self, teacher))
        if ours != theirs:
            raise ValueError(
                f"expected a teacher with nodes of width {ours[1]}, found {theirs[1]}; give both one width"
            )
        return teacher if self.apprentice else teacher.requires_grad_(False)
