"""Snakemake as the engine, for what a pool of processes cannot reach: SLURM, and whatever else it has an executor for.

It decides nothing here. What is to run is planned before, what is finished is what a cell's folder says, so each call
begins in an empty folder: no locks, marks or timestamps of Snakemake outlive it.

It is called, not imported, and may live in an environment of its own: it needs an older ``packaging`` than the one that
the rest of this project is pinned to.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fau_utils.bench import local, processes
from fau_utils.bench.plan import Task
from fau_utils.bench.store import Store

FOLDER = "snakemake"
"""In the store; holds the rules, the list of cells and the log of the last call."""

WANTED = "'snakemake>=9.27,<10' 'snakemake-executor-plugin-slurm>=1.4'"

RULES = """# Made by fau bench; the same cells with plain Snakemake: snakemake -d {folder} --executor slurm -j 50 -k
import json

with open("{cells}") as file:
    CELLS = json.load(file)

rule all:
    input: expand("done/{{cell}}", cell=sorted(CELLS))

rule cell:
    output: touch("done/{{cell}}")
    threads: lambda wildcards: CELLS[wildcards.cell]["threads"]
    params: folder=lambda wildcards: CELLS[wildcards.cell]["folder"]
    resources: {resources}
    shell: "{python} -m fau_utils.bench.cell --told {{params.folder:q}}"
"""


def write(tasks: Sequence[Task], folder: Path) -> Path:
    """Write the rules and the list of cells into an empty folder; returns the Snakefile."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = {task.cell.id: _needs(task) for task in tasks}
    names = sorted({name for needs in cells.values() for name in needs} - {"folder", "threads"})
    for needs in cells.values():  # a resource that one cell names, each must
        needs |= {name: needs.get(name, 0) for name in names}
    (folder / "cells.json").write_text(json.dumps(cells, indent=1), encoding="utf-8")
    resources = ", ".join(f'{name}=lambda wildcards: CELLS[wildcards.cell]["{name}"]' for name in names)
    text = RULES.format(folder=folder, cells=folder / "cells.json", python=sys.executable, resources=resources)
    text = text if names else text.replace("    resources: \n", "")
    (folder / "Snakefile").write_text(text, encoding="utf-8")
    return folder / "Snakefile"


def found() -> str | None:
    """Where Snakemake is: ``$FAU_SNAKEMAKE``, beside this Python, where ``make snakemake`` puts it, or on the path."""
    beside = [Path(sys.executable).with_name("snakemake"), Path(f"{sys.prefix}-snakemake", "bin", "snakemake")]
    there = next((str(path) for path in beside if path.is_file()), "snakemake")
    return shutil.which(os.environ.get("FAU_SNAKEMAKE") or there)


def line(folder: Path, executor: str, *, jobs: int, arguments: Sequence[str] = ()) -> list[str]:
    """The command. Jobs that were killed are begun again twice; failures are written down, and are none to it."""
    many = ["--cores", str(jobs)] if executor == "local" else ["--jobs", str(jobs)]
    more = [word for group in arguments for word in group.split()]
    return [
        found() or "snakemake", "--snakefile", str(folder / "Snakefile"), "--directory", str(folder),
        "--executor", executor, *many, "--keep-going", "--nolock", "--retries", "2", "--latency-wait", "60", *more,
    ]  # fmt: skip


def run(
    tasks: Sequence[Task],
    store: Store,
    executor: str,
    *,
    jobs: int,
    arguments: Sequence[str] = (),
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Run cells through Snakemake.

    Raises
    ------
    ValueError
        Snakemake is not installed, or it ended without having run the cells; with the last lines of its log.
    fau_utils.bench.local.Interrupted
    """
    if found() is None:
        raise ValueError(
            f"the executor {executor} needs Snakemake, and there is no command snakemake: `make snakemake` installs it "
            f"into an environment of its own; elsewhere install {WANTED} so, and name its snakemake in FAU_SNAKEMAKE"
        )
    folder = store.root / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    write(tasks, folder)
    with (folder / "log.txt").open("wb") as log, local.signals_interrupt():
        process = subprocess.Popen(
            line(folder, executor, jobs=jobs, arguments=arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=processes.dies_with_parent(signal.SIGTERM),  # it takes its jobs back
        )
        try:
            while process.poll() is None:
                tick()
                time.sleep(0.2)
        except BaseException:
            _cancel(process)
            raise
    if process.returncode and not (folder / "done").is_dir():
        said = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise ValueError(
            f"snakemake ended with {process.returncode}: {' / '.join(said[-4:])}; see {folder / 'log.txt'}"
        )


def _needs(task: Task) -> dict[str, Any]:
    limits, retries = task.cell.limits, task.cell.retries
    needs: dict[str, Any] = {"folder": str(task.place.folder), "threads": limits.cpus}
    if limits.memory_gb is not None:  # a little more than the cell allows itself: it then says what happened
        needs["mem_mb"] = round(1000 * limits.memory_gb + 500)
    if limits.minutes is not None:
        waits = sum(retries.wait * 4**n for n in range(retries.times)) / 60
        needs["runtime"] = round(limits.minutes * (retries.times + 1) + waits + 5)
    if limits.gpus:
        needs["gpu"] = limits.gpus
    return needs


def _cancel(process: subprocess.Popen, *, patience: float = 60.0) -> None:
    """Let Snakemake take its jobs back."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
