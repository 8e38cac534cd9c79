"""Looks at an installation as somebody would who has seen many of them fail, and says what to do."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

State = Literal["fine", "worth knowing", "broken"]

_SIGNS = {"fine": "✓", "worth knowing": "·", "broken": "✗"}
_ROOM = 2.0
"""GB that a book with its cache of rendered faces takes, and some air."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    state : {"fine", "worth knowing", "broken"}
    found : str
    remedy : str
        What to do; empty where nothing needs doing.
    """

    what: str
    state: State
    found: str
    remedy: str = ""


Check = tuple[str, Callable[[], Finding]]


def examine(
    *, folder: Path | None = None, also: Sequence[Check] = (), say: Callable[[str], None] = lambda what: None
) -> list[Finding]:
    """Everything, in an order in which one thing can explain the next; a check that breaks is a finding itself.

    Parameters
    ----------
    folder : Path, optional
        Where the book would be built; by default the working directory.
    also : sequence of (str, callable)
        What rooms beside the book's want looked at.
    say : callable
        Is told what is looked at next: some checks take seconds.
    """
    folder = Path.cwd() if folder is None else folder
    checks: Sequence[Check] = (
        ("Python", python),
        ("command", command),
        ("packages", packages),
        ("torch", torch_runs),
        ("GPU", gpu),
        ("processor", processor),
        ("memory", memory),
        ("disk", lambda: disk(folder)),
        ("cache", cache),
        ("notebooks", notebooks),
        *also,
        ("browser", browser),
        ("xelatex", xelatex),
    )
    found = []
    for name, check in checks:
        say(name)
        found.append(_safely(name, check))
    return found


def render(findings: Sequence[Finding]):
    """The findings as a table for a terminal."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for f in findings:
        table.add_row(_SIGNS[f.state], f.what, f.found + (f"\n→ {f.remedy}" if f.remedy else ""))
    return table


def as_dict(findings: Sequence[Finding]) -> dict:
    """The same as plain data."""
    return {"ready": not any(f.state == "broken" for f in findings), "findings": [asdict(f) for f in findings]}


def python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "broken", found, "make the environment with Python 3.11, 3.12 or 3.13")
    alone = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    where = "in an environment of its own" if alone else "the system's own"
    remedy = "" if alone else "`make install` makes .venv; packages of the system can break others that share them"
    return Finding("Python", "fine" if alone else "worth knowing", f"{found}, {where}", remedy)


def command() -> Finding:
    """Whether a shell finds ``fau``, and this one."""
    here, found = Path(sys.prefix) / "bin", shutil.which("fau")
    remedy = f"once in each shell: . {here / 'activate'}" if (here / "activate").is_file() else f"put {here} on PATH"
    if found is None:
        return Finding("command", "worth knowing", "a shell does not find fau", remedy)
    if Path(found).resolve().parent != here.resolve():
        return Finding("command", "worth knowing", f"a shell finds another fau, {found}", remedy)
    return Finding("command", "fine", f"fau is {found}")


def packages() -> Finding:
    """Whether all that the package and the book ask for is there, in versions that are new enough."""
    from packaging.requirements import Requirement

    lacking, count = [], 0
    for line in importlib.metadata.requires("fau-utils") or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": "book"}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            lacking.append(f"{requirement.name} {version} is not {requirement.specifier}")
    if lacking:
        remedy = 'pip install -c constraints.txt -e ".[book,dev]", or `make install`'
        return Finding("packages", "broken", "; ".join(lacking), remedy)
    return Finding("packages", "fine", f"all {count} that the package and the book need")


def torch_runs() -> Finding:
    """Whether torch, torchvision and timm are of one make: a mixture cannot import timm."""
    words = "import torch, torchvision, timm; torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5); print(1)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=300, check=False)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchvision", "timm"))
    if done.returncode == 0:
        return Finding("torch", "fine", versions)
    last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    remedy = "install both from one index: pip install --force-reinstall -c constraints.txt torch torchvision"
    return Finding("torch", "broken", f"{versions}: {last[:160]}", remedy)


def gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        parts = [
            f"{torch.cuda.get_device_name(k)} ({torch.cuda.get_device_properties(k).total_memory / 2**30:.0f} GiB)"
            for k in range(torch.cuda.device_count())
        ]
        return Finding("GPU", "fine", ", ".join(parts))
    if shutil.which("nvidia-smi"):
        remedy = "the driver may be older than torch's CUDA: compare `nvidia-smi` with torch.version.cuda"
        return Finding("GPU", "worth knowing", "there seems to be one, but torch cannot use it", remedy)
    return Finding("GPU", "fine", "none; the book does not need one")


def processor() -> Finding:
    import torch

    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    found = f"{count} cores, {threads} threads for torch"
    if threads > count:
        remedy = f"set OMP_NUM_THREADS={count}: threads that wait for each other make training many times slower"
        return Finding("processor", "worth knowing", found, remedy)
    return Finding("processor", "fine", found)


def memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < 3:
        remedy = "close other programs: chapters take up to 2 GiB each"
        return Finding("memory", "worth knowing", f"{free:.1f} GiB free", remedy)
    return Finding("memory", "fine", f"{free:.0f} GiB free")


def disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Finding("disk", "broken", "this folder cannot be written", "work in a copy that belongs to you")
    if free < _ROOM:
        return Finding("disk", "broken", f"{free:.1f} GB free here", f"make room: {_ROOM:.0f} GB are needed")
    return Finding("disk", "fine", f"{free:.0f} GB free here")


def cache() -> Finding:
    from fau_utils.data import cached

    listed = cached.listing()
    size = sum(found.bytes for found in listed) / 1e6
    remedy = "`fau cache --clear --older-than 30` removes what was not used for a month" if size > 5000 else ""
    return Finding(
        "cache", "worth knowing" if remedy else "fine", f"{len(listed)} rendered sets, {size:,.0f} MB", remedy
    )


def notebooks() -> Finding:
    """Whether a kernel of this Python starts and answers."""
    words = (
        "from jupyter_client.manager import start_new_kernel; "
        "m, c = start_new_kernel(startup_timeout=60); r = c.execute_interactive('1', timeout=60, silent=True); "
        "m.shutdown_kernel(now=True); raise SystemExit(r['content']['status'] != 'ok')"
    )
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=180, check=False)
    if done.returncode == 0:
        return Finding("notebooks", "fine", "a kernel starts and answers")
    last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    remedy = "pip install -c constraints.txt ipykernel jupyter-client; a firewall on localhost also stops kernels"
    return Finding("notebooks", "broken", last[:160], remedy)


def xelatex() -> Finding:
    if shutil.which("xelatex"):
        return Finding("xelatex", "fine", "is there, for `make pdf`")
    from fau_utils.book.pdf import PACKAGES

    remedy = f"only for the PDF; on Debian and Ubuntu, apt install {PACKAGES}"
    return Finding("xelatex", "worth knowing", "none: `make pdf` cannot run, all else can", remedy)


def browser() -> Finding:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
            version = re.search(r"\d+(\.\d+)+", said)
            return Finding("browser", "fine", f"{name} {version[0] if version else ''}".strip())
    found = "no Chromium: the tests that look at pages will skip, the book needs none"
    return Finding("browser", "worth knowing", found)


def _safely(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - the doctor must not fall ill with the patient
        remedy = "reinstall: make clean, remove .venv, make install"
        return Finding(name, "broken", f"{type(error).__name__}: {error}"[:200], remedy)
