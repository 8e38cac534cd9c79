"""Names a caller may mistype."""

import difflib
from collections.abc import Sequence


def nearest(name: str, valid: Sequence[str], *, what: str) -> str:
    """`name` if it is one of `valid`, else an error that lists them and names the most similar one.

    Raises
    ------
    ValueError
        ``unknown occluder kind 'sunglases'; did you mean 'sunglasses'? Valid: ...``.
    """
    if name in valid:
        return name
    close = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"unknown {what} {name!r}; {hint}valid: {', '.join(valid)}")
