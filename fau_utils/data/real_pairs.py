"""Two prepared datasets as source and target, with the AUs that both have."""

import math
from collections.abc import Mapping

import torch

from fau_utils.data import by_name
from fau_utils.data.domains import TwoDomains
from fau_utils.data.images import ImageSet

REAL: dict[str, tuple[str, str]] = {"bp4d-emotionet": ("bp4d", "emotionet"), "bp4d-disfa": ("bp4d", "disfa")}
"""Pairs of prepared datasets, source and target."""


def real_pair(name: str, *, guides: int = 2_000, folders: Mapping[str, str] | None = None) -> TwoDomains:
    """Two prepared datasets as domains, with the AUs that both have.

    Parameters
    ----------
    name : str
        One of :data:`REAL`.
    guides : int
        About so many target faces with landmarks are set aside as guides, by person.
    folders : mapping, optional
        Where the prepared datasets lie; by default as :func:`fau_utils.data.by_name.folder_of` finds them.

    Raises
    ------
    ValueError
        An unknown pair, or what :meth:`TwoDomains.of` refuses.
    """
    if name not in REAL:
        raise ValueError(f"expected one of the pairs {', '.join(REAL)}, found {name!r}")
    source, target = (by_name.prepared((folders or {}).get(side, side)).data for side in REAL[name])
    if target.landmarks is None or not guides:
        return TwoDomains.of(source, target)
    rest, apart = set_aside(target, faces=guides)
    return TwoDomains.of(source, rest, guides=apart)


def set_aside(data: ImageSet, *, faces: int) -> tuple[ImageSet, ImageSet]:
    """A set in two, without a person in both: all but about `faces` of it, and those; at most half of the people."""
    people = torch.unique(data.subject)
    every = max(2, math.ceil(len(data) / max(1, faces)))
    chosen = torch.isin(data.subject, people[::every][: len(people) // 2])
    return data.subset(~chosen), data.subset(chosen)
