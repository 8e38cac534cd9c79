"""Where a number comes from: code, packages, machine."""

import ast
import hashlib
import importlib.metadata
import io
import itertools
import platform
import subprocess
import sys
import tokenize
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import torch

PACKAGES: tuple[str, ...] = ("fau-utils", "torch", "torchvision", "timm", "lightning", "numpy", "scipy", "pandas")
"""Packages whose version can change a number."""

_ROOT = Path(__file__).resolve().parent


def git_revision(folder: Path | None = None) -> str | None:
    """The commit of a folder (by default this package's), with ``+changes`` when tracked files differ from it.

    None outside a repository or without git.
    """
    folder = _ROOT if folder is None else folder

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        if not git("ls-files", "."):
            return None  # installed inside somebody else's repository
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def used_files(modules: Iterable[str | ModuleType]) -> list[Path]:
    """Source files of some modules of this package and of all they import from it, however deep; sorted.

    Read from the source, so nothing is imported to find out. Of a package's ``__init__`` that merely hands names on,
    only the names that are asked for are followed: a new method is no change to the others.

    Raises
    ------
    ValueError
        When a module does not exist in this package.
    """
    waiting = [m.__name__ if isinstance(m, ModuleType) else m for m in modules]
    unknown = [name for name in waiting if _source(name) is None]
    if unknown:
        raise ValueError(f"expected modules of {_ROOT.name}, found {unknown}; spell them as in an import statement")
    seen: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in seen:
            continue
        seen[name] = path
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                waiting += [_home(node.module, alias.name) for alias in node.names]
    return sorted(seen.values())


def code_hash(code: Iterable[str | ModuleType | Path]) -> str:
    """Hash of source code: 16 hexadecimal digits. Comments, docstrings and empty lines do not count.

    Parameters
    ----------
    code : iterable of module, module name or Path
        Modules of this package count with all they import from it; paths count as they are.
    """
    code = list(code)
    files = {path for path in code if isinstance(path, Path)}
    files |= set(used_files(item for item in code if not isinstance(item, Path)))
    digest = hashlib.sha256()
    for path in sorted(files, key=_label):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        content = _bare(content.decode()).encode() if path.suffix == ".py" else content
        digest.update(f"{_label(path)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _home(module: str, name: str) -> str:
    """The module that ``from module import name`` takes the name from."""
    if _source(f"{module}.{name}") is not None:
        return f"{module}.{name}"
    path = _source(module)
    if path is not None and path.name == "__init__.py":
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return _home(node.module, alias.name)
    return module


def _bare(source: str) -> str:
    """Source text without what only people read, cut out by position: how a syntax tree prints differs by version."""
    lines = source.split("\n")  # as the parsers do; splitlines knows further ends
    starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
    spans = [
        (starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1])
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        for part in getattr(node, "body", None) if isinstance(getattr(node, "body", None), list) else ():
            if (
                isinstance(part, ast.Expr)
                and isinstance(part.value, ast.Constant)
                and isinstance(part.value.value, str)
            ):
                first, last = lines[part.lineno - 1].encode(), lines[part.end_lineno - 1].encode()
                spans.append(  # a syntax tree counts columns in bytes
                    (
                        starts[part.lineno - 1] + len(first[: part.col_offset].decode()),
                        starts[part.end_lineno - 1] + len(last[: part.end_col_offset].decode()),
                    )
                )
    for begin, end in sorted(spans, reverse=True):
        source = source[:begin] + source[end:]
    return "\n".join(line.rstrip() for line in source.split("\n") if line.strip())


def device_name(device: torch.device | str = "cpu") -> str:
    """The machine a run was made on, in words."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {torch.get_num_threads()} threads" if device.type == "cpu" else f"{device.type} on {name}"


def peak_memory(device: torch.device | str = "cpu") -> int:
    """Largest memory so far in bytes: of the process, or what torch allocated on a CUDA device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # the one counts bytes, the other kibibytes


def _source(name: str) -> Path | None:
    top, *rest = name.split(".")
    if top != _ROOT.name:
        return None
    path = _ROOT.joinpath(*rest)
    candidates = (path / "__init__.py", path.with_suffix(".py")) if rest else (path / "__init__.py",)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _label(path: Path) -> str:
    path = path.resolve()
    return path.relative_to(_ROOT).as_posix() if path.is_relative_to(_ROOT) else path.name
