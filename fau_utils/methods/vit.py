"""A vision transformer, pretrained or not, fine-tuned to detect AUs: FMAE without its identity branch.

Ning, Salah & Onal Ertugrul (2024), arXiv 2407.11243, after He et al. (2022), "Masked Autoencoders Are Scalable Vision
Learners".
From the papers: mean-pooled patch tokens, a norm, one linear layer; layer decay, drop path and the numbers of the
``paper`` budget. Our own: the miniatures for 64 px, which read each position with its own weights because mean
pooling does not learn in minutes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fau_utils import aus as vocabulary
from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses, Method, masked_bce
from fau_utils.methods.mae import model_for, trunk_of
from fau_utils.models import store
from fau_utils.models.groups import layer_decay_groups
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.normalise import ImageNet, MeanFace
from fau_utils.models.pretrained import load_pretrained
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import ViT, vit

# FMAE on BP4D: 20 epochs of a fold's 98 thousand frames, 2 of them warm-up; lr = 2e-4 * 64 / 256; no clipping
_PAPER: dict[str, Any] = {
    "views": 1_960_000, "batch_size": 64, "lr": 5e-5, "min_lr": 1e-6, "betas": (0.9, 0.999), "warmup": 0.1, "clip": 0.0,
}  # fmt: skip
_STATISTICS_FROM = 256  # faces per batch


class PretrainedVit(Method):
    """Pooled features of a transformer, a linear layer, a sigmoid.

    Parameters
    ----------
    aus : sequence of int
        AU number of each output.
    size : int
        Side of the images in pixels.
    model : str, optional
        One of :data:`fau_utils.models.vit.SIZES`; by default that of `init` where it tells, else ``mini96`` up to
        128 px and ``base`` above.
    init : path or nn.Module, optional
        Pretrained weights: a file of MAE or FMAE, a folder of :meth:`MaePretraining.save_encoder`, or a pretraining
        in memory; see :func:`fau_utils.models.pretrained.load_pretrained`. None starts from random weights.
    layer_decay : float, optional
        By default as published, 0.65, for the published sizes; for miniatures 0.8 with `init` and 1 without, where
        it only hurts.
    drop_path : float, optional
        By default 0.1 as published, and 0 for miniatures.
    frozen : int
        Lower blocks that are left as they are, with all that lies below them; 0 trains everything. With the published
        layer decay the lower half of ViT-L has at most 0.006 of the learning rate, and a third of the work.
    seed : int
        Decides the initial weights.
    **changes
        Of the model, see :class:`fau_utils.models.vit.ViT`.

    Raises
    ------
    ValueError
        When there are fewer blocks than are to be frozen.

    Attributes
    ----------
    loaded : Loaded or None
        What came of `init`, entry by entry.
    """

    budgets: ClassVar[dict[str, dict]] = {
        "smoke": {"views": 6_400, "batch_size": 32, "lr": 2e-3},
        "laptop": {"views": 35_200, "batch_size": 32, "lr": 2e-3},
        "gpu": {"views": 400_000, "batch_size": 128, "lr": 2e-3},
        "paper": _PAPER,
    }

    def __init__(
        self,
        aus: Sequence[int],
        *,
        size: int = 64,
        model: str | None = None,
        init: str | Path | nn.Module | None = None,
        layer_decay: float | None = None,
        drop_path: float | None = None,
        frozen: int = 0,
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
        self.layer_decay = layer_decay or (1.0 if mini and init is None else 0.8 if mini else 0.65)
        known |= {
            "size": size,
            "position": "learned",
            "pool": "position" if mini else "mean",
            "drop_path": (0.0 if mini else 0.1) if drop_path is None else drop_path,
        }
        with seeded(seed):
            self.network = vit(model, **known | changes)
            self.head = nn.Linear(self.network.width, len(aus))
        # as good as silent: no AU is said before anything was learnt
        nn.init.trunc_normal_(self.head.weight, std=2e-5, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.head.bias)
        self.normalise = MeanFace(size) if mini else ImageNet()
        self.loaded = None if source is None else load_pretrained(self.network, source, fresh_norm=not mini)
        self.register_buffer("positive_weight", None, persistent=False)
        self._freeze(frozen)
        if not mini:
            # the numbers of the miniatures would wreck pretrained weights of these sizes
            self.budgets = {name: {**_PAPER, **numbers} for name, numbers in _SHORT.items()}

    def _freeze(self, count: int) -> None:
        trunk = self.network
        if not 0 <= count <= len(trunk.blocks):
            raise ValueError(f"expected 0 to {len(trunk.blocks)} frozen blocks, found {count}")
        if count:
            own = [p for name, p in trunk.named_parameters() if name in ("cls_token", "pos_embed")]
            parts = (trunk.patch_embed, *trunk.blocks[:count])
            for parameter in [*own, *(p for part in parts for p in part.parameters())]:
                parameter.requires_grad_(False)

    def prepare(self, images: Tensor) -> None:
        """Takes the mean face, and after masked pretraining the statistics that whole faces have in the stem."""
        self.normalise.fit(images)
        if self.loaded is not None and self.network.stem != "linear":
            self.network.reestimate_statistics(self.normalise(part) for part in images.split(_STATISTICS_FROM))

    def balance(self, positive_weight: Tensor) -> None:
        self.positive_weight = positive_weight

    def loss(self, batch: Batch) -> Losses:
        return Losses(masked_bce(self._logits(batch), batch.au, positive_weight=self.positive_weight))

    def predict(self, batch: Batch) -> Tensor:
        return self._logits(batch).float().sigmoid()

    def embed(self, batch: Batch) -> Tensor:
        return self.network.features(self.normalise(batch.image)).float()

    def param_groups(self) -> list[dict]:
        return layer_decay_groups(self.network, self.head, decay=self.layer_decay)

    def _logits(self, batch: Batch) -> Tensor:
        return self.head(self.network.features(self.normalise(batch.image)))


_SHORT: dict[str, dict] = {
    "smoke": {"views": 512, "batch_size": 16},
    "laptop": {"views": 2_048, "batch_size": 32},
    "gpu": {"views": 400_000},
    "paper": {},
}
"""For the published sizes, on top of the paper's numbers."""


def config_of(source: str | Path | nn.Module) -> dict[str, Any]:
    """Arguments of the ViT that some weights are of; empty for files that do not tell."""
    if isinstance(source, MaskedAutoencoder):
        return dict(source.encoder.config)
    if isinstance(source, ViT):
        return dict(source.config)
    if not isinstance(source, nn.Module) and Path(source).is_dir():
        found = store.read(source)[0]["config"]
        return dict(found.get("encoder", found))
    return {}
