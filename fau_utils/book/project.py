"""The folders of a book project, found from where the reader stands; writing that is complete or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fau_utils.book.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of ``fau_utils``; used code is named relative to its parent."""


@dataclass(frozen=True)
class Project:
    """Where sources lie and outputs go.

    Parameters
    ----------
    root : Path
        Folder with ``notebooks/`` (chapters) and ``book/`` (what the HTML needs); outputs go to ``build/`` in it.
    """

    root: Path

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def book(self) -> Path:
        return self.root / "book"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def executed(self) -> Path:
        """Finished notebooks with their outputs."""
        return self.build / "executed"

    @property
    def failed(self) -> Path:
        """Notebooks up to the cell that failed, for looking at."""
        return self.build / "failed"

    @property
    def records(self) -> Path:
        """What each finished chapter was made from."""
        return self.build / "records"

    @property
    def work(self) -> Path:
        """Half-done things; emptied at the start of each run."""
        return self.build / "work"

    @property
    def pages(self) -> Path:
        """Source of the HTML as given to Sphinx."""
        return self.build / "book"

    @property
    def html(self) -> Path:
        return self.build / "html"

    def name(self, path: Path) -> str:
        """A path as shown and stored: relative to the root, never absolute."""
        return path.relative_to(self.root).as_posix()


def find(root: Path | None = None) -> Project:
    """The project to work on: the given root, else the folder around the current one, else that of the package.

    Raises
    ------
    UserError
        When there is no such folder, or `root` is not one.
    """
    if root is not None:
        root = root.resolve()
        if not _is_project(root):
            raise UserError(f"{root} holds no notebooks/ and book/conf.py; give --root the folder that does")
        return Project(root)
    here = Path.cwd()
    for folder in (here, *here.parents, PACKAGE.parent):
        if _is_project(folder):
            return Project(folder)
    raise UserError("no folder with notebooks/ and book/conf.py here or above; go to the project or give --root")


def _is_project(folder: Path) -> bool:
    return (folder / "notebooks").is_dir() and (folder / "book" / "conf.py").is_file()


def digest(data: bytes) -> str:
    """Content hash: 16 hexadecimal digits; line endings do not count."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:16]


def write(path: Path, data: bytes | str) -> None:
    """Write a file so that it exists completely or not at all, also when killed or when the disk is full."""
    data = data.encode() if isinstance(data, str) else data
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files private; pages are to be served
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def locked(project: Project) -> Iterator[None]:
    """Hold the build folder: checks that it can be written, keeps other runs out, throws away what a kill left.

    Raises
    ------
    UserError
        When another run holds it.
    OSError
        When it cannot be written.
    """
    import fcntl

    project.build.mkdir(parents=True, exist_ok=True)
    with open(project.build / ".lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it even after SIGKILL
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise UserError(
                f"another fau book (process {owner}) is working in {project.build}; wait until it is done or stop it"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        shutil.rmtree(project.work, ignore_errors=True)
        for folder in (project.executed, project.records, project.failed, project.work):
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob(".*.part"):
                part.unlink(missing_ok=True)
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(65536))  # a full disk or a read-only folder shows now, not after an hour
                probe.flush()
        try:
            yield
        finally:
            shutil.rmtree(project.work, ignore_errors=True)
