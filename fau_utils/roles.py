"""How a batch of two domains is laid out, so that every part of it that is cut off has the same shape.

Faces come in threes: one of the source, one of the target, one that guides. Any number of threes in a row is a batch
again, whether a micro-batch or the part of one process, and taking a role out is a stride: no GPU is asked how many
there are.
"""

from typing import Any, NamedTuple, TypeVar

ROLES: tuple[str, ...] = ("source", "target", "guide")
"""The source has AU labels and landmarks; the target neither; guides are faces of the target with landmarks alone."""

Rows = TypeVar("Rows", bound=Any)


class Roles(NamedTuple):
    """A batch, or anything else with rows, taken apart by role."""

    source: Any
    target: Any
    guide: Any


def taken_apart(rows: Rows) -> Roles:
    """Rows by role, each a view.

    Raises
    ------
    ValueError
        When they are no whole threes.
    """
    if len(rows) % len(ROLES):
        raise ValueError(
            f"expected faces in threes ({', '.join(ROLES)}), found {len(rows)}; take batch and micro sizes that are "
            "multiples of 3"
        )
    return Roles(*(rows[k :: len(ROLES)] for k in range(len(ROLES))))
