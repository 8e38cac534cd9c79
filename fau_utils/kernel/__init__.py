"""A fresh kernel of this very Python for one notebook, in a folder and an environment of its own.

The kernel notices pictures that were not rendered (:mod:`fau_utils.kernel.watch`); a notebook that has read one loses
its pictures before it is stored (:mod:`fau_utils.kernel.pixels`).
"""

import contextlib
import os
import signal
import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

_WATCH = Path(__file__).with_name("watch.py").read_text(encoding="utf-8")


class ThisPython(KernelSpecManager):
    """Kernel specs on a reader's machine may point to another installation; this one never does."""

    environment: dict[str, str]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"],
            display_name="Python 3 (ipykernel)",
            language="python",
            env=self.environment,
        )


def manager(work: Path, *, threads: int | None = None) -> AsyncKernelManager:
    """A manager for one kernel, not yet started.

    Parameters
    ----------
    work : Path
        Folder for what IPython writes; it begins with the watch.
    threads : int, optional
        Threads of numerical libraries, where several notebooks share the machine.
    """
    environment = {
        "FAU_PROGRESS": "0",  # bars have no place in a page
        # figures are outputs of cells; a caller without a screen may have set Agg, which shows none
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "IPYTHONDIR": str(work / "ipython"),  # a reader's start-up files do not belong in the book
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
    }
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    startup = work / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-watch.py").write_text(_WATCH, encoding="utf-8")
    specs = ThisPython()
    specs.environment = environment
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    kernel.connection_file = str(work / "kernel.json")
    return kernel


def kill(kernel: AsyncKernelManager) -> None:
    """End a kernel and what it started, now."""
    process = getattr(kernel.provisioner, "process", None)
    if process is None or process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # jupyter starts each kernel in a session of its own
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):
        process.wait(timeout=5)
