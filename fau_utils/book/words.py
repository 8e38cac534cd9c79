"""Times, sizes and failures as a reader sees them."""

from fau_utils.book.records import Failure


def failure_line(failure: Failure) -> str:
    """Chapter, cell, place in the source, first line and error, on one line."""
    where = f" (notebooks/{failure.chapter}.py, line {failure.line})" if failure.line else ""
    return f"    {failure.chapter} failed in cell {failure.cell}{where}: {failure.source} -> {failure.error}"


def duration(seconds: float | None) -> str:
    """Such as ``8 s`` or ``2.4 min``."""
    if seconds is None:
        return "?"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def size(number: int) -> str:
    """Such as ``0.4 GB``."""
    return f"{number / 1e9:.1f} GB"


def machine(device: str) -> str:
    """The words of :func:`fau_utils.provenance.device_name`, which is in the hash of every table, for a reader."""
    return device.replace(", 1 threads", ", 1 thread")
