"""One GPU for one cell at a time, among all benchmarks of this user on this computer."""

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

POOL = "FAU_BENCH_GPUS"
"""Environment variable with the ids to lease, ``0,1,3``; by default those of CUDA_VISIBLE_DEVICES, or all."""

_CLUSTER = ("SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST", "PBS_JOBID", "LSB_JOBID")


def pool() -> list[str]:
    """Ids that cells may lease."""
    for name in (POOL, "CUDA_VISIBLE_DEVICES"):
        if os.environ.get(name) is not None:
            return [word.strip() for word in os.environ[name].split(",") if word.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]


def assigned() -> bool:
    """Whether a cluster has chosen this job's devices."""
    return any(name in os.environ for name in _CLUSTER) and POOL not in os.environ


@contextlib.contextmanager
def lease(ids: Sequence[str], *, folder: Path | None = None, every: float = 0.5) -> Iterator[tuple[str, int]]:
    """Hold one of some devices until the block ends; waits while all are held.

    Yields
    ------
    tuple of str and int
        Id, and the descriptor of its lock, for a child that shall hold the device as long as it lives.

    Raises
    ------
    ValueError
        When there is no device.
    """
    if not ids:
        raise ValueError(f"the cell asks for a GPU and there is none here; set gpus: 0, or {POOL}=0,1")
    folder = Path(tempfile.gettempdir()) / f"fau-gpus-{os.getuid()}" if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for name in ids:
            file = (folder / f"{name.replace('/', '_')}.lock").open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            with file:
                yield name, file.fileno()
            return
        time.sleep(every)
