"""What is known of rendered people that could divide scores: skin tone, age, glasses; and the same faces with another.

Rendered *age* is how deep the folds are that a movement makes, and *skin tone* how much melanin; neither is a person's
age or origin. For recorded people such a table is made of what they said of themselves, with their consent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fau_utils.data import synth
from fau_utils.data.images import ImageSet
from fau_utils.faces.apart import apart
from fau_utils.faces.draw import CHUNK, CHUNK_GPU, renderer_for
from fau_utils.faces.identity import LOOK, LOOK_INDEX, Identity, sample_identity
from fau_utils.faces.landmarks import INDEX_49
from fau_utils.faces.names import nearest
from fau_utils.faces.plan import Plan, nuisance_of, person_seed, plan
from fau_utils.faces.population import SynthFaces
from fau_utils.progress import progress

GROUPS: Mapping[str, tuple[tuple[float, str], ...]] = {
    "melanin": ((1 / 3, "light"), (2 / 3, "medium"), (1.0, "dark")),
    "age": ((1 / 3, "smooth"), (2 / 3, "between"), (1.0, "lined")),
    "glasses": ((0.12, "glasses"), (1.0, "none")),
}
"""Of each factor of identity: up to which value a group goes, and its name."""


def rendered_people(config: SynthFaces, split: str) -> pd.DataFrame:
    """A row per person of a split.

    Returns
    -------
    DataFrame
        Index ``subject`` as in tables; the values ``melanin, age, glasses`` in [0, 1), and the groups ``melanin_group,
        age_group, glasses_group`` of :data:`GROUPS`.
    """
    number = plan(config, split).subject.unique()
    identity = sample_identity(person_seed(config, number), strength=config.identity_strength)
    names = [synth.subject_name(config, n) for n in number.tolist()]
    table = pd.DataFrame(
        {name: identity.factor(name).numpy() for name in GROUPS}, index=pd.Index(names, name="subject")
    )
    for name, parts in GROUPS.items():
        ends = np.float32([end for end, _ in parts])
        place = np.searchsorted(ends, table[name].to_numpy(), side="right").clip(max=len(parts) - 1)
        table[f"{name}_group"] = [parts[k][1] for k in place]
    return table


def group_of(subject: Sequence[str], people: pd.DataFrame, column: str) -> np.ndarray:
    """The group of each face's person, (N,) object; None for people whose group nobody knows.

    Raises
    ------
    ValueError
        No such column, a person with two rows, or nobody who is in the table.
    """
    nearest(column, tuple(map(str, people.columns)), what="attribute")
    if people.index.has_duplicates:
        raise ValueError(
            f"expected one row per person, found several for {people.index[people.index.duplicated()][0]!r}"
        )
    found = people[column].reindex(np.asarray(subject, object)).to_numpy(object)
    unknown = pd.isna(found)
    if unknown.all():
        raise ValueError(f"none of the people is in the table of attributes; it has {list(people.index[:2])} ...")
    return np.where(unknown, None, found)


def redrawn(
    config: SynthFaces,
    split: str,
    *,
    looks: Mapping[str, float],
    rows: Tensor | Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> ImageSet:
    """The same people with the same movements, pose and light, and another look: an experiment, not a survey.

    Parameters
    ----------
    config : SynthFaces
        Without occlusion.
    split : str
    looks : mapping of str to float
        Factors of :data:`fau_utils.faces.identity.LOOK` and their values in [0, 1): ``{"melanin": 0.9}``,
        ``{"glasses": 0.06}`` puts glasses on everybody, ``{"glasses": 0.5}`` takes them off.
    rows : (N,) int, optional
        Of the split; all by default.
    device : torch.device or str
        Where to draw. Nothing is kept on the disk.

    Raises
    ------
    ValueError
        An unknown factor, a value outside [0, 1), or a configuration with occlusion.
    """
    for name, value in looks.items():
        nearest(name, tuple(factor.name for factor in LOOK), what="look")
        if not 0 <= value < 1:
            raise ValueError(f"expected a value of {name} in [0, 1), found {value}")
    if config.occlusion is not None:
        raise ValueError("expected faces without occlusion; use occlusion=None")
    everything = plan(config, split)
    rows = torch.arange(len(everything)) if rows is None else torch.as_tensor(rows).long()
    chosen = everything[rows]
    on_cpu = torch.device(device).type == "cpu"
    images, landmarks = (
        apart(_drawn, config, chosen, looks, device) if on_cpu else _drawn(config, chosen, looks, device)
    )
    columns = [synth.aus.RENDERED.index(au) for au in config.aus]
    return ImageSet.from_frames(
        images,
        frames=synth.table_of(config, split, chosen),
        aus=config.aus,
        cut=config.label_threshold,
        intensity=chosen.intensity[:, columns],
        landmarks=landmarks,
        domain=torch.full((len(chosen),), int(config.wild > 0)),
    )


@torch.no_grad()
def _drawn(config: SynthFaces, rows: Plan, looks: Mapping[str, float], device: torch.device | str):
    renderer, images, landmarks = renderer_for(config, device=device), [], []
    size = CHUNK if torch.device(device).type == "cpu" else CHUNK_GPU
    for part in progress(torch.arange(len(rows)).split(size), what="faces with another look", unit="batch"):
        some = rows[part].to(device)
        identity = _looking(sample_identity(some.person, strength=config.identity_strength), looks)
        out = renderer(identity, some.au, nuisance_of(config, some), align=config.align)
        images.append((out.image * 255).round().clamp(0, 255).to(torch.uint8).cpu())
        landmarks.append(out.landmarks[:, list(INDEX_49)].cpu())
    return torch.cat(images), torch.cat(landmarks)


def _looking(identity: Identity, looks: Mapping[str, float]) -> Identity:
    look = identity.look.clone()
    for name, value in looks.items():
        look[:, LOOK_INDEX[name]] = value
    return replace(identity, look=look)
