"""A detector whose AUs are the nodes of a graph, on clean images: the teacher of the occlusion-robust student.

Luo et al. (2022), "Learning Multi-dimensional Edge Feature-based AU Relation Graph for Facial Action Unit
Recognition", arXiv 2205.01782 (ME-GraphAU), for nodes, edges and both losses.
Our reading: that it is the teacher of Jiang et al. (2022), arXiv 2212.04029, whose method section we have not seen; an
encoder of patches in place of ResNet-50 or Swin; and the small head for 64 px (:mod:`fau_utils.models.graph_pooled`).
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fau_utils import aus as vocabulary
from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses, Method, share_of_all
from fau_utils.methods.mae import model_for, normaliser, trunk_of
from fau_utils.methods.vit import config_of
from fau_utils.models.graph import AuGraph, GraphHead, edge_classes
from fau_utils.models.graph_pooled import PooledGraphHead
from fau_utils.models.normalise import ImageNet
from fau_utils.models.pretrained import load_pretrained
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import vit

Pool = Literal["position", "attention", "mean", "published"]


def weighted_asymmetric_loss(probability: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    r"""The AU loss of ME-GraphAU: easy negatives count less, rare AUs more.

    .. math:: L_{WA} = -\frac{1}{N} \sum_i w_i [y_i \log p_i + (1 - y_i) \, [p_i]_{sg} \log(1 - p_i)]

    Parameters
    ----------
    probability : Tensor, (B, A) in [0, 1]
    target : Tensor, (B, A) in {0, 1, nan}
    weight : Tensor, (A,), optional
        See :func:`rarity`; 1 by default.

    Returns
    -------
    Tensor, ()
        Mean over coded labels.
    """
    coded = ~target.isnan()
    y = torch.where(coded, target, 0)
    p = probability.float().clamp(1e-8, 1 - 1e-6)
    element = -(y * p.log() + (1 - y) * p.detach() * (1 - p).log())
    element = element if weight is None else element * weight
    return (element * coded).sum() / share_of_all(coded.sum())


def rarity(rate: Tensor) -> Tensor:
    """Weights of the AUs, (A,): inversely as their rates among the training labels, (A,), with mean 1."""
    return (1 / rate) / (1 / rate).mean()


def edge_class_loss(edge_logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the four classes of :func:`~fau_utils.models.graph.edge_classes`, mean over the coded pairs."""
    kind = edge_classes(target)  # (B, A A)
    element = F.cross_entropy(edge_logits.float().flatten(0, 1), kind.flatten(), ignore_index=-100, reduction="sum")
    return element / share_of_all((kind >= 0).sum())


class GraphDetector(Method):
    """A patch encoder, AU nodes and edges, a cosine for each AU.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    size : int
        Side of the images in pixels, a multiple of the model's patch.
    model : str, optional
        One of :data:`fau_utils.models.vit.SIZES`; by default that of `init`, else ``mini96`` up to 128 px and ``base``
        above.
    init : path or nn.Module, optional
        Pretrained weights of the encoder, as for :class:`fau_utils.methods.PretrainedVit`.
    pool : {"position", "attention", "mean", "published"}, optional
        How nodes are read from tokens. ``published`` is ME-GraphAU's head, with its attention between the tokens of
        all pairs of AUs; the others are :class:`~fau_utils.models.graph_pooled.PooledGraphHead`. By default
        ``published`` for published sizes and ``position`` for miniatures.
    width : int, optional
        Of nodes and edges, C; by default 512 for the published head and 32 for the others.
    edge_weight : float
        Of the edge-class loss: 0.05 on BP4D and 0.01 on DISFA as published.
    encoder_rate : float, optional
        Learning rate of the encoder as a share of that of the head; 0 freezes it. By default 1 without `init`, else
        0.1 for published sizes and 0.3 for miniatures.
    seed : int
        Decides the initial weights.
    **changes
        Of the encoder, see :class:`fau_utils.models.vit.ViT`.

    Raises
    ------
    ValueError
        A size that the patch does not divide, or a number out of its range.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 6_400, "batch_size": 32, "lr": 2e-3},
        "laptop": {"views": 32_000, "batch_size": 32, "lr": 2e-3},
        "gpu": {"views": 200_000, "batch_size": 128, "lr": 2e-3},
        # ME-GraphAU: 20 epochs of 98 thousand frames, AdamW without warm-up
        "paper": {
            "views": 1_960_000, "batch_size": 64, "lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 5e-4,
            "warmup": 0.0, "clip": 0.0, "label_weights": "balanced",
        },
    }  # fmt: skip

    def __init__(
        self,
        aus: Sequence[int],
        *,
        size: int = 64,
        model: str | None = None,
        init: str | Path | nn.Module | None = None,
        pool: Pool | None = None,
        width: int | None = None,
        edge_weight: float = 0.01,
        encoder_rate: float | None = None,
        seed: int = 0,
        **changes: Any,
    ):
        super().__init__()
        self.aus = vocabulary.known(aus)
        source = None if init is None else trunk_of(init)
        known = {} if source is None else config_of(source)
        if model is not None:
            known = {name: known[name] for name in ("stem",) if name in known}
        model = model or model_for(size)
        mini = known.get("stem", "conv") != "linear" if known else model.startswith("mini")
        self.pool: Pool = pool or ("position" if mini else "published")
        width = width or (512 if self.pool == "published" else 32)
        if encoder_rate is None:
            encoder_rate = 1.0 if init is None else 0.3 if mini else 0.1
        if not 0 <= encoder_rate <= 1:
            raise ValueError(f"expected encoder_rate in [0, 1], found {encoder_rate}; 0 freezes the encoder")
        self.encoder_rate, self.edge_weight = encoder_rate, edge_weight
        known |= {"size": size, "pool": "mean"}
        with seeded(seed):
            self.encoder = vit(model, **known | changes)
            dim, places = self.encoder.dim, self.encoder.patches
            if self.pool == "published":
                self.head: nn.Module = GraphHead(dim, len(aus), width=width)
            else:
                self.head = PooledGraphHead(dim, len(aus), places=places, width=width, pool=self.pool)
        self.normalise = normaliser(model, size) if mini else ImageNet()
        self.loaded = None if source is None else load_pretrained(self.encoder, source)
        self.encoder.requires_grad_(encoder_rate > 0)
        self.register_buffer("weight", None, persistent=False)

    def prepare(self, images: Tensor) -> None:
        self.normalise.fit(images)
        if self.loaded is not None and self.encoder.stem != "linear":
            self.encoder.reestimate_statistics(self.normalise(part) for part in images.split(256))

    def balance(self, positive_weight: Tensor) -> None:
        self.weight = rarity(1 / (1 + positive_weight))

    def train(self, mode: bool = True) -> "GraphDetector":
        super().train(mode)
        if self.encoder_rate == 0:
            self.encoder.eval()  # frozen means its batch norms, too
        return self

    def graph(self, batch: Batch) -> AuGraph:
        """Nodes, edges and probabilities of whole faces."""
        tokens = self.encoder.tokens(self.normalise(batch.image))[:, self.encoder.first :]
        return self.head(tokens)

    def supervised(self, graph: AuGraph, target: Tensor) -> dict[str, Tensor]:
        """The losses that read labels."""
        return {
            "au": weighted_asymmetric_loss(graph.probability, target, weight=self.weight),
            "edge class": self.edge_weight * edge_class_loss(graph.edge_logits, target),
        }

    def loss(self, batch: Batch) -> Losses:
        parts = self.supervised(self.graph(batch), batch.au)
        return Losses(sum(parts.values()), parts)

    def predict(self, batch: Batch) -> Tensor:
        return self.graph(batch).probability

    def embed(self, batch: Batch) -> Tensor:
        return self.graph(batch).nodes.flatten(1).float()

    def param_groups(self) -> list[dict]:
        groups = []
        for name, part, scale in (("encoder", self.encoder, self.encoder_rate), ("head", self.head, 1.0)):
            for decays in (True, False):
                found = [p for n, p in part.named_parameters() if p.requires_grad and _decays(n, p) is decays]
                if found:
                    group = {"params": found, "name": f"{name}, {'' if decays else 'no '}decay", "lr_scale": scale}
                    groups.append(group if decays else {**group, "weight_decay": 0.0})
        return groups


def _decays(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and name not in ("cls_token", "pos_embed")


def load_teacher(
    run: str | os.PathLike, *, aus: Sequence[int], size: int, subjects: Sequence[str] = ()
) -> GraphDetector:
    """The teacher of a finished run of ``fau train graph-detector``.

    Parameters
    ----------
    run : path
        The folder that the command printed.
    aus, size
        As of the student: nodes and images must agree.
    subjects : sequence of str
        Training people of the student. Whoever of them the teacher was *tested* on shows that its fold was another
        one, and that it has then trained on the student's test people.

    Raises
    ------
    ValueError
        No such run, one of another method, of other AUs, of another size, or of another fold.
    """
    folder = Path(run)
    record, weights = folder / "run.json", folder / "model.safetensors"
    if not record.is_file() or not weights.is_file():
        raise ValueError(f"teacher {folder}: expected the folder of a run of graph-detector, with its weights")
    said = json.loads(record.read_text())["parameters"]
    if said["method"] != "graph-detector":
        raise ValueError(f"teacher {folder}: expected a run of graph-detector, found one of {said['method']}")
    shared = set(said["data"].get("test_people", ())) & set(subjects)
    if shared:
        raise ValueError(
            f"teacher {folder}: was tested on {len(shared)} of this fold's people, so it is of another fold and "
            "has seen this one's test people; train a teacher on the same fold"
        )
    from safetensors.torch import load_file

    teacher = GraphDetector(aus, size=size, **said["options"])
    try:
        teacher.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise ValueError(
            f"teacher {folder}: is of other AUs or another size ({str(error).splitlines()[-1].strip()})"
        ) from None
    return teacher
