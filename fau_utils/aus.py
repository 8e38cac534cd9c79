"""The vocabulary: action unit numbers, names, muscles and regions, and each dataset's list.

Names and muscles follow the FACS manual (Ekman, Friesen & Hager, 2002). An action unit (AU) is a movement
of the face; nothing here says what a person feels.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Region = Literal["upper", "lower"]


@dataclass(frozen=True)
class ActionUnit:
    """One facial movement of FACS.

    Attributes
    ----------
    number : int
        FACS number.
    name : str
        FACS name.
    muscles : tuple of str
        The muscles that make the movement, in Latin.
    region : {"upper", "lower"}
        Half of the face where the movement is mainly seen.
    """

    number: int
    name: str
    muscles: tuple[str, ...]
    region: Region

    @property
    def column(self) -> str:
        """Column name in every table, e.g. ``AU12``."""
        return f"AU{self.number}"


_TABLE: tuple[ActionUnit, ...] = (
    ActionUnit(1, "Inner brow raiser", ("frontalis, pars medialis",), "upper"),
    ActionUnit(2, "Outer brow raiser", ("frontalis, pars lateralis",), "upper"),
    ActionUnit(4, "Brow lowerer", ("corrugator supercilii", "depressor supercilii", "procerus"), "upper"),
    ActionUnit(5, "Upper lid raiser", ("levator palpebrae superioris",), "upper"),
    ActionUnit(6, "Cheek raiser", ("orbicularis oculi, pars orbitalis",), "upper"),
    ActionUnit(7, "Lid tightener", ("orbicularis oculi, pars palpebralis",), "upper"),
    ActionUnit(9, "Nose wrinkler", ("levator labii superioris alaeque nasi",), "lower"),
    ActionUnit(10, "Upper lip raiser", ("levator labii superioris",), "lower"),
    ActionUnit(12, "Lip corner puller", ("zygomaticus major",), "lower"),
    ActionUnit(14, "Dimpler", ("buccinator",), "lower"),
    ActionUnit(15, "Lip corner depressor", ("depressor anguli oris",), "lower"),
    ActionUnit(17, "Chin raiser", ("mentalis",), "lower"),
    ActionUnit(20, "Lip stretcher", ("risorius", "platysma"), "lower"),
    ActionUnit(23, "Lip tightener", ("orbicularis oris",), "lower"),
    ActionUnit(24, "Lip pressor", ("orbicularis oris",), "lower"),
    ActionUnit(25, "Lips part", ("depressor labii inferioris", "mentalis or orbicularis oris, relaxed"), "lower"),
    ActionUnit(26, "Jaw drop", ("masseter, relaxed",), "lower"),
)

AUS: dict[int, ActionUnit] = {unit.number: unit for unit in _TABLE}

BP4D: tuple[int, ...] = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The 12 AUs evaluated on BP4D and BP4D+, in the order every published table uses."""

DISFA: tuple[int, ...] = (1, 2, 4, 6, 9, 12, 25, 26)
"""The 8 AUs evaluated on DISFA."""

RENDERED: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26)
"""The 16 AUs the synthetic face renderer can move: BP4D's, DISFA's and AU5."""

_COLUMN = re.compile(r"AU(\d+)")


def column(number: int) -> str:
    """Table column of an AU: ``column(12) == "AU12"``."""
    return f"AU{number}"


def number(name: str) -> int:
    """AU number of a table column: ``number("AU12") == 12``.

    Raises
    ------
    ValueError
        When the name is not ``AU`` followed by digits.
    """
    match = _COLUMN.fullmatch(name)
    if match is None:
        raise ValueError(f"expected a column name such as AU12, found {name!r}")
    return int(match[1])


def columns(numbers: Iterable[int]) -> list[str]:
    """Table columns of several AUs, in the order given."""
    return [column(n) for n in numbers]


def known(numbers: Sequence[int]) -> tuple[int, ...]:
    """The numbers as a tuple, after checking that each is in the vocabulary and none comes twice.

    Raises
    ------
    ValueError
        Names the unknown or repeated AU and lists the known ones.
    """
    unknown = [n for n in numbers if n not in AUS]
    if unknown:
        raise ValueError(f"unknown AU {unknown}; known are {sorted(AUS)}")
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"an AU comes twice in {list(numbers)}")
    return tuple(numbers)
