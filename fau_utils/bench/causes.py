"""Why an attempt ended, and whether trying again is worth it."""

import re
import signal
from dataclasses import dataclass
from typing import Any

# What passes: a neighbour's memory on the device, a network folder, a device that fell over. Not a wrong value, which
# will be as wrong the next time.
_PASSING = (
    (r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED", "the device's memory was full"),
    (r"CUDA error|CUDA driver error|CUDNN_STATUS_|NCCL error|device-side.*unavailable|busy or unavailable",
     "the device failed"),
    (r"Connection(Reset|Refused|Aborted)?Error|ConnectionError|Temporary failure in name resolution|timed out",
     "a connection failed"),
    (r"Stale file handle|Input/output error|Transport endpoint|temporarily unavailable|Errno (5|11|103|107|116)\b",
     "the file system failed"),
    (r"DeadKernelError|[Kk]ernel died|Kernel didn't respond", "the kernel died"),
)  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """Why an attempt ended.

    Attributes
    ----------
    kind : str
        ``error``, ``died``, ``time`` or ``memory``.
    text : str
        One line.
    passing : bool
        Worth another attempt.
    """

    kind: str
    text: str
    passing: bool


def cause_of(code: int, failure: dict[str, Any] | None, *, limit: str | None = None) -> Cause:
    """The cause of an attempt's end.

    Parameters
    ----------
    code : int
        Exit status of the body; negative for the signal that ended it.
    failure : dict, optional
        ``error`` and ``traceback``, where the body left them.
    limit : str, optional
        The limit for which it was ended, in words that begin with ``time`` or ``memory``.
    """
    if limit is not None:
        return Cause(limit.split()[0], f"{limit}; raise the limit, or make the cell smaller", False)
    if failure is not None:
        text = " ".join(str(failure.get("error", "no message")).split())[:500]
        # only the message: a traceback may quote code that merely names such an error
        why = next((said for pattern, said in _PASSING if re.search(pattern, text)), None)
        return Cause("error", text if why is None else f"{text} ({why})", why is not None)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", perhaps because the machine's memory was full" if -code == signal.SIGKILL else ""
        return Cause("died", f"was ended by {name}{hint}", -code in (signal.SIGKILL, signal.SIGBUS, signal.SIGTERM))
    if code == 0:
        return Cause("error", "ended without a result.json", False)
    return Cause("error", f"ended with exit status {code}; see the log", False)
