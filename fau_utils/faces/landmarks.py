"""The 68 points of iBUG 300-W, the 49 of them without the face outline, and their mirror images.

"Left" is the subject's left, which is the right side of the picture (x > 0) when the subject looks at the camera.
Reference: Sagonas et al. (2013), "300 Faces in-the-Wild Challenge", ICCV workshops.
"""

JAW: tuple[int, ...] = tuple(range(17))
"""From the subject's right ear (picture left) over the chin (8) to the left ear."""
BROW: tuple[int, ...] = tuple(range(17, 27))
NOSE: tuple[int, ...] = tuple(range(27, 36))
EYE: tuple[int, ...] = tuple(range(36, 48))
MOUTH: tuple[int, ...] = tuple(range(48, 68))

GROUPS: dict[str, tuple[int, ...]] = {"brow": BROW, "jaw": JAW, "nose": NOSE, "eye": EYE, "mouth": MOUTH}

INDEX_49: tuple[int, ...] = tuple(i for i in range(17, 68) if i not in (60, 64))
"""The 68 minus the 17 of the outline and the two inner mouth corners."""

# pairs (picture left, picture right); points not named lie on the midline
_PAIRS = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    (31, 35),
    (32, 34),
    (36, 45),
    (37, 44),
    (38, 43),
    (39, 42),
    (40, 47),
    (41, 46),
    (48, 54),
    (49, 53),
    (50, 52),
    (55, 59),
    (56, 58),
    (60, 64),
    (61, 63),
    (65, 67),
)


def _flip_68() -> tuple[int, ...]:
    order = list(range(68))
    for a, b in _PAIRS:
        order[a], order[b] = b, a
    return tuple(order)


FLIP_68: tuple[int, ...] = _flip_68()
"""``landmarks[..., FLIP_68, :]`` with x mirrored are the landmarks of the mirrored picture."""

FLIP_49: tuple[int, ...] = tuple(INDEX_49.index(FLIP_68[i]) for i in INDEX_49)
"""The same for the 49-point subset."""
