"""Who somebody is: the factors of identity as a table, and their sampling from one seed per subject."""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from torch import Tensor

from fau_utils.aus import RENDERED
from fau_utils.faces import rng


@dataclass(frozen=True)
class Factor:
    """One factor of identity.

    Attributes
    ----------
    name : str
    group : {"shape", "layout", "look"}
        Where the number lives in `Identity`: 3-D shape, place and size of painted features, or colours and styles.
    draw : {"normal", "folded", "uniform"}
        Standard normal clamped to ±2.2, its absolute value, or uniform in [0, 1).
    meaning : str
        What one unit changes; for a uniform, what 0 and 1 are.
    """

    name: str
    group: Literal["shape", "layout", "look"]
    draw: Literal["normal", "folded", "uniform"]
    meaning: str


def _factors(group: str, draw: str, rows: str) -> tuple[Factor, ...]:
    pairs = (line.split(":", 1) for line in rows.strip().splitlines())
    return tuple(Factor(name.strip(), group, draw, meaning.strip()) for name, meaning in pairs)


SHAPE: tuple[Factor, ...] = (
    *_factors(
        "shape",
        "normal",
        """
        face_width: width of the whole head
        jaw_width: width below the cheekbones
        chin_length: chin longer
        forehead: forehead higher
        nose_projection: nose further out
        nose_width: wings wider
        nose_length: tip and base lower
        nose_bridge: bridge higher
        cheekbone: cheekbones further out
        eye_depth: eyes deeper
        brow_ridge: brow ridge further out
        chin_boss: chin further out
        mouth_protrusion: lips further out
        fullness: cheeks fuller
        temple: temples wider
        jaw_asymmetry: jaw to one side
        relief_1: a smooth random relief
        relief_2: another
        relief_3: another
        relief_4: another
        relief_5: another
        relief_6: another
        """,
    ),
    # deliberate confounds: folds of a resting face look like AU 10/12, 1/2, 4, 6 and 6/12
    *_factors(
        "shape",
        "folded",
        """
        nasolabial: resting nasolabial folds
        forehead_lines: resting forehead lines
        glabella_lines: resting lines between the brows
        eye_bags: bags under the eyes
        crows_feet: resting crow's feet
        """,
    ),
)

LAYOUT: tuple[Factor, ...] = _factors(
    "layout",
    "normal",
    """
    eye_spacing: eyes further apart
    eye_height: eyes higher
    eye_width: eyes wider
    eye_opening: eyes more open
    eye_tilt: outer corners higher
    crease: fold of the upper lid higher
    brow_height: brows higher (looks like AU 1 and 2)
    brow_thickness: brows thicker
    brow_arch: brows more arched
    brow_tilt: outer ends higher (inner ends lower looks like AU 4)
    brow_gap: brows further apart
    brow_length: brows longer
    mouth_height: mouth higher
    mouth_width: mouth wider
    upper_lip: upper lip thicker
    lower_lip: lower lip thicker
    mouth_curve: corners higher at rest (looks like AU 12; negative like AU 15)
    mouth_opening: lips a little apart at rest (looks like AU 25)
    brow_asymmetry: one brow higher
    mouth_asymmetry: mouth to one side
    """,
)

LOOK: tuple[Factor, ...] = _factors(
    "look",
    "uniform",
    """
    melanin: skin from light to dark
    undertone: skin from rosy to olive
    hair_colour: hair from black over brown, red and blond to grey
    hair_style: which row of hair.STYLES
    hairline: hairline from low to high
    recession: temples from full to receding
    part: parting from one side to the other
    volume: hair from flat to full
    curl: strands from straight to curly
    brow_density: brows from faint to dense
    lips: lips from skin-coloured to red
    iris: iris from brown over green to blue and grey
    beard: above .82 a beard, below .62 clean
    moustache: above .9 a moustache
    freckles: above .75 freckles
    oiliness: skin from matt to shiny
    blush: cheeks from pale to rosy
    age: depth of every fold made by a movement
    glasses: below .12 glasses
    eye_shadow: above .7 eye shadow
    lashes: lashes from thin to thick
    clothes: colour and cut of the clothes
    texture: coarseness of the skin
    """,
)

FACTORS: tuple[Factor, ...] = SHAPE + LAYOUT + LOOK

SHAPE_INDEX = {factor.name: i for i, factor in enumerate(SHAPE)}
LAYOUT_INDEX = {factor.name: i for i, factor in enumerate(LAYOUT)}
LOOK_INDEX = {factor.name: i for i, factor in enumerate(LOOK)}

_SHAPE, _LAYOUT, _LOOK, _GAIN, _HABIT = range(0x1D00, 0x1D05)  # tags of the random streams


@dataclass(frozen=True)
class Identity:
    """B subjects. Indexing with anything that indexes a tensor's first axis gives those subjects.

    Attributes
    ----------
    seed : Tensor
        (B,) int64, for textures that belong to the subject.
    shape : Tensor
        (B, len(SHAPE)) float32, in the order of `SHAPE`.
    layout : Tensor
        (B, len(LAYOUT)) float32.
    look : Tensor
        (B, len(LOOK)) float32 in [0, 1).
    expressivity : Tensor
        (B, 16) float32, factor on the contraction of each AU, log-normal about 1.
    asymmetry : Tensor
        (B, 16) float32, habitual asymmetry: the left contraction is multiplied by 1 + a, the right by 1 - a.
    """

    seed: Tensor
    shape: Tensor
    layout: Tensor
    look: Tensor
    expressivity: Tensor
    asymmetry: Tensor

    def __len__(self) -> int:
        return len(self.seed)

    def __getitem__(self, index) -> "Identity":
        return Identity(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> "Identity":
        """The same subjects on another device."""
        return Identity(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def factor(self, name: str) -> Tensor:
        """(B,) values of one factor of `FACTORS` by name."""
        for group, index in (("shape", SHAPE_INDEX), ("layout", LAYOUT_INDEX), ("look", LOOK_INDEX)):
            if name in index:
                return getattr(self, group)[:, index[name]]
        raise ValueError(f"unknown identity factor {name!r}; known are {[f.name for f in FACTORS]}")


def sample_identity(id_seed: Tensor, *, strength: float = 1.0) -> Identity:
    """Subjects from seeds.

    Parameters
    ----------
    id_seed : Tensor
        (B,) int64; the same seed is the same subject.
    strength : float
        How different people are, >= 0: scales every deviation from the mean face (shape, layout, expressivity,
        asymmetry) and pulls colours and styles towards the middle when below 1.

    Returns
    -------
    Identity
        On the device of the seeds.
    """
    if strength < 0:
        raise ValueError(f"expected an identity strength >= 0, found {strength}")
    n_normal = sum(f.draw == "normal" for f in SHAPE)
    shape = rng.normal(id_seed, _SHAPE, len(SHAPE)).clamp_(-2.2, 2.2)
    shape[:, n_normal:].abs_()
    layout = rng.normal(id_seed, _LAYOUT, len(LAYOUT)).clamp_(-2.2, 2.2)
    look = rng.uniform(id_seed, _LOOK, len(LOOK))
    if strength < 1:  # uniforms cannot leave [0, 1): above 1 they stay as drawn
        look = 0.5 + (look - 0.5) * strength
    units = len(RENDERED)
    return Identity(
        seed=id_seed,
        shape=shape * strength,
        layout=layout * strength,
        look=look,
        expressivity=torch.exp(0.22 * strength * rng.normal(id_seed, _GAIN, units).clamp_(-2.2, 2.2)),
        asymmetry=0.15 * strength * rng.normal(id_seed, _HABIT, units).clamp_(-2.2, 2.2),
    )


def mean_identity(n: int, *, device: torch.device | str = "cpu") -> Identity:
    """`n` copies of the mean face: every normal 0, folds absent, every uniform .5, symmetric."""
    seed = torch.zeros(n, dtype=torch.int64, device=device)
    return sample_identity(seed, strength=0.0)
