"""A Kubernetes Job for a grid: one pod per cell, results on a shared volume.

The form of the Job is tested here; it was never tried on a cluster.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fau_utils.bench import command, plan
from fau_utils.bench.grid import Limits, load
from fau_utils.bench.plan import LEFT, Task


@dataclass(frozen=True)
class Settings:
    """What a cluster needs to know.

    Attributes
    ----------
    image : str
        Container with this package and, where the grid needs them, datasets under ``$FAU_DATA``.
    claim : str
        PersistentVolumeClaim that all pods can write at once, on a file system with locks.
    mount : str
        Where the volume is seen by pods; the grid is planned into ``MOUNT/<grid>``, so this computer sees it there too.
    namespace : str
    parallelism : int
        Pods at a time.
    """

    image: str
    claim: str
    mount: str = "/bench"
    namespace: str = "default"
    parallelism: int = 8


def write(name: str, to: Path, settings: Settings) -> str:
    """Plan a grid onto the volume and write the Jobs that run what is left; returns what to do next.

    Raises
    ------
    ValueError
        A wrong grid, a mount that is not here, or nothing left to run.
    """
    grid = load(command.find(name))
    if not Path(settings.mount).is_dir():
        raise ValueError(f"--mount {settings.mount}: the volume of the results has to be mounted here, too")
    store = command.store_for(grid, Path(settings.mount) / grid.name)
    notebook = command.ROOT / "notebooks" / f"{grid.notebook}.ipynb"
    with store.driven():
        tasks = plan.plan(grid, store, notebook=notebook)
        plan.write(grid, store, tasks, notebook=notebook)
        left = [task for task in tasks if task.state == LEFT]
        if not left:
            raise ValueError(f"grid {grid.name}: nothing is left to run in {store.root}")
        made = []
        for number, (limits, group) in enumerate(_by_limits(left)):
            listed = store.root / f"kubernetes-{number}.json"
            listed.write_text(json.dumps([f"cells/{task.cell.id}" for task in group], indent=1), encoding="utf-8")
            made.append(job(f"fau-bench-{grid.name}-{number}", len(group), limits, settings, listed=listed))
    to.write_text(yaml.safe_dump_all(made, sort_keys=False), encoding="utf-8")
    return f"{len(left)} cells in {len(made)} jobs: kubectl apply -f {to}; then fau bench status {store.root}"


def job(name: str, cells: int, limits: Limits, settings: Settings, *, listed: Path) -> dict[str, Any]:
    """One Job with an index per cell of the list in `listed`."""
    most: dict[str, Any] = {"cpu": str(limits.cpus)}
    if limits.memory_gb is not None:  # a little more than the cell allows itself: it then says what happened
        most["memory"] = f"{round(1000 * limits.memory_gb + 500)}M"
    if limits.gpus:
        most["nvidia.com/gpu"] = str(limits.gpus)
    container = {
        "name": "cell",
        "image": settings.image,
        "command": ["python", "-m", "fau_utils.bench.cell", "--index", str(listed)],
        "resources": {"requests": most, "limits": most},
        "volumeMounts": [
            {"name": "results", "mountPath": settings.mount},
            {"name": "memory", "mountPath": "/dev/shm"},  # processes that load data share it
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": re.sub(r"[^a-z0-9-]+", "-", name.lower())[:63].strip("-"),
            "namespace": settings.namespace,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": cells,
            "parallelism": min(settings.parallelism, cells),
            "backoffLimitPerIndex": 2,  # for pods that are killed: a failure is written down, and ends with 0
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 30,
                    "containers": [container],
                    "volumes": [
                        {"name": "results", "persistentVolumeClaim": {"claimName": settings.claim}},
                        {"name": "memory", "emptyDir": {"medium": "Memory"}},
                    ],
                }
            },
        },
    }


def _by_limits(tasks: Sequence[Task]) -> list[tuple[Limits, list[Task]]]:
    groups: dict[Limits, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.cell.limits, []).append(task)
    return list(groups.items())
