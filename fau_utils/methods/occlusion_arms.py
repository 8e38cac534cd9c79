"""What the occlusion-robust student is compared with: one short method for each opponent, and all arms by name.

The claim of arXiv 2212.04029 needs opponents that could beat it: the same training faces painted over (augmentation),
a decoder that paints the hidden part in before a detector for clean faces looks (inpainting), the student without its
teacher, without pretraining, with a teacher that sees no more than it does, and networks that are told the mask as
well. All of it is our reading; the paper's own baselines are not known to us.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fau_utils.batch import Batch
from fau_utils.methods.baselines import CnnDetector
from fau_utils.methods.contract import Losses, Method
from fau_utils.methods.graph_teacher import GraphDetector
from fau_utils.methods.mae import MaePretraining
from fau_utils.methods.occlude import Occlude, on_grid
from fau_utils.methods.occlusion_mae import OcclusionMae
from fau_utils.models.graph import AuGraph
from fau_utils.models.normalise import SPREAD, MeanFace
from fau_utils.models.patches import unpatchify
from fau_utils.models.seeded import seeded
from fau_utils.models.visible import without


class OcclusionAugmented(Method):
    """Any method, trained on occluded faces; in use it is itself.

    Parameters
    ----------
    method : Method
    occlusion : Occlude
    """

    def __init__(self, method: Method, *, occlusion: Occlude | None = None):
        super().__init__()
        self.method, self.occlusion = method, occlusion or Occlude()
        self.aus, self.budgets = method.aus, getattr(method, "budgets", {})

    def prepare(self, images: Tensor) -> None:
        self.method.prepare(images)

    def balance(self, positive_weight: Tensor) -> None:
        self.method.balance(positive_weight)

    def loss(self, batch: Batch) -> Losses:
        return self.method.loss(self.occlusion(batch))

    def predict(self, batch: Batch) -> Tensor:
        return self.method.predict(batch)

    def embed(self, batch: Batch) -> Tensor:
        return self.method.embed(batch)

    def param_groups(self) -> list[dict]:
        return self.method.param_groups()


class MaskChannelDetector(GraphDetector):
    """A :class:`GraphDetector` with a fourth channel, 1 where a pixel is hidden: it knows the mask, as dropping does.

    Parameters
    ----------
    aus, size, model, seed
        As :class:`GraphDetector`; the stem is ``conv``.
    """

    def __init__(self, aus: Sequence[int], *, size: int = 64, model: str | None = None, seed: int = 0):
        super().__init__(aus, size=size, model=model, stem="conv", seed=seed)
        before = self.encoder.patch_embed.layers[0]
        with seeded(seed):
            conv = nn.Conv2d(4, before.out_channels, 3, stride=2, padding=1, bias=False)
        self.encoder.patch_embed.layers[0] = conv.to(memory_format=torch.channels_last)

    def graph(self, batch: Batch) -> AuGraph:
        image = self.normalise(batch.image)
        hidden = torch.zeros_like(image[:, :1])
        if batch.visible is not None:
            mask = on_grid(~batch.visible, grid=self.encoder.grid)
            hidden = 1 - without(torch.ones_like(hidden), mask, patch=self.encoder.patch)
        return self.head(self.encoder.tokens(torch.cat([image, hidden], 1)))


class InpaintThenClassify(Method):
    """A masked autoencoder paints what is hidden, then a detector for clean faces looks.

    Parameters
    ----------
    mae : MaePretraining
        Trained to predict pixels as they are (``normalise_target=False``): a patch of which nothing is seen has no
        mean and spread to be put back.
    detector : Method

    Raises
    ------
    ValueError
        When the autoencoder predicts normalised patches.
    """

    budgets: ClassVar[dict[str, dict]] = GraphDetector.budgets

    def __init__(self, mae: MaePretraining, detector: Method):
        super().__init__()
        if mae.network.normalise_target:
            raise ValueError("expected a MaePretraining(normalise_target=False), found one of normalised patches")
        self.mae, self.detector, self.aus = mae.requires_grad_(False), detector, detector.aus

    @torch.no_grad()
    def inpaint(self, batch: Batch) -> Batch:
        """Faces in which the hidden patches are predicted; the mean face where nothing is seen, or ``visible`` none."""
        if batch.visible is None:
            return batch
        network, training = self.mae.network.eval(), self.training
        visible = ~on_grid(~batch.visible, grid=network.encoder.grid)
        pixels = without(self.mae.normalise(batch.image), ~visible, patch=network.patch)
        count = visible.sum(1)
        for seen in count.unique().tolist():
            rows = (count == seen).nonzero()[:, 0]
            if 0 < seen < network.patches:
                pixels[rows] = self._painted(pixels[rows], visible[rows], seen)
        self.train(training)
        normalise = self.mae.normalise
        spread = SPREAD if isinstance(normalise, MeanFace) else normalise.spread
        image = pixels * spread + normalise.mean
        shown = without(torch.ones_like(image[:, :1]), ~visible, patch=network.patch) > 0
        made = batch.with_image(torch.where(shown, batch.image, image.clamp(0, 1)))
        made.visible = None
        return made

    def _painted(self, pixels: Tensor, visible: Tensor, seen: int) -> Tensor:
        network = self.mae.network
        order = (~visible).to(torch.uint8).argsort(dim=1, stable=True)  # (B, P), visible ones first
        latent = network.encoder.tokens(pixels, order[:, :seen])
        guess = network.decode(latent, order, start=seen).float()  # (B, P - K, p p 3)
        places = order[:, seen:, None].expand_as(guess)
        whole = guess.new_zeros(len(pixels), network.patches, guess.shape[-1]).scatter(1, places, guess)
        return pixels + unpatchify(whole, network.patch)  # hidden pixels are zero there, visible ones here

    def loss(self, batch: Batch) -> Losses:
        return self.detector.loss(self.inpaint(batch))

    def predict(self, batch: Batch) -> Tensor:
        return self.detector.predict(self.inpaint(batch))

    def embed(self, batch: Batch) -> Tensor:
        return self.detector.embed(self.inpaint(batch))

    def param_groups(self) -> list[dict]:
        return self.detector.param_groups()


Arm = Callable[..., Method]

_STUDENTS: dict[str, dict[str, Any]] = {
    "method": {},
    "AU loss only": {"distil": "none"},
    "nodes only": {"distil": "nodes"},
    "edges only": {"distil": "edges"},
    "logits": {"distil": "logits"},
    "random encoder": {"init": None},
    "teacher sees occluded": {"teacher_sees": "occluded"},
    "painted": {"present": "paint"},
    "frozen encoder": {"encoder_rate": 0.0},
    "plain MSE": {"distance": "mse"},
    "attention": {"pool": "attention"},
    "mean": {"pool": "mean"},
}

TRAINED: tuple[str, ...] = ("augmented", "augmented, mask as channel", "augmented CNN", *_STUDENTS)
"""Arms that are trained, besides ``teacher`` and ``inpainted``, which are the clean detector itself and behind the
autoencoder."""


def build_arm(
    name: str,
    aus: Sequence[int],
    *,
    teacher: GraphDetector,
    mae: MaePretraining | None,
    occlusion: Occlude,
    size: int = 64,
    model: str | None = None,
    stem: str = "patch",
    encoder_rate: float | None = None,
    seed: int = 0,
) -> Method:
    """An arm of the comparison, untrained.

    Parameters
    ----------
    name : str
        Of :data:`TRAINED`.
    aus, size, model, seed
        As :class:`GraphDetector`.
    teacher : GraphDetector
        Trained on clean faces.
    mae : MaePretraining, optional
        Pretrained; None where there is none yet.
    occlusion : Occlude
        The same for all.
    stem : str
        Of the student whose encoder is not pretrained; that of all others is the autoencoder's.
    encoder_rate : float, optional
        Of students with a pretrained encoder, as :class:`GraphDetector`.

    Raises
    ------
    ValueError
        An unknown name.
    """
    common = {"size": size, "seed": seed}
    if name == "augmented":
        return OcclusionAugmented(GraphDetector(aus, model=model, **common), occlusion=occlusion)
    if name == "augmented, mask as channel":
        return OcclusionAugmented(MaskChannelDetector(aus, model=model, **common), occlusion=occlusion)
    if name == "augmented CNN":
        return OcclusionAugmented(CnnDetector(aus, **common), occlusion=occlusion)
    if name not in _STUDENTS:
        raise ValueError(f"expected one of {', '.join(TRAINED)}, found {name!r}")
    options = {"init": mae, "model": model, "occlusion": occlusion, "teacher": teacher, **common}
    options |= {"encoder_rate": encoder_rate, **_STUDENTS[name]}
    if options["init"] is None:
        options |= {"stem": stem, "encoder_rate": None}
    return OcclusionMae(aus, **options)
