"""Memory that a training step on a CPU frees and the next one needs again."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_KEEP = 1 << 30
_USUAL = {_MMAP: 32 << 20, _TRIM: 64 << 20}
"""Where glibc's own adjustment ends in a process that handles large tensors."""


@contextmanager
def kept_heap(*, wanted: bool = True) -> Iterator[None]:
    """Inside, freed memory stays with the process instead of going back to the system after every step.

    A step frees its activations, and the next one asks for as much again: by default glibc returns what is larger than
    32 MB, and the system zeroes it page by page when it comes back, a hundred thousand pages in a step of ViT-S. Where
    there is no glibc nothing happens.
    """
    library = _glibc() if wanted else None
    if library is None or not (library.mallopt(_MMAP, _KEEP) and library.mallopt(_TRIM, _KEEP)):
        yield
        return
    try:
        yield
    finally:
        for what, value in _USUAL.items():
            library.mallopt(what, value)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  others have no malloc_trim, or another one
    except (OSError, AttributeError, TypeError):
        return None
    return library
