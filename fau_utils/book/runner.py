"""Runs chapters with papermill, in this process, each in a fresh kernel; keeps what finished, reports what failed."""

import datetime
import logging
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from fau_utils import kernel
from fau_utils.book import pairing, records, staleness
from fau_utils.book.chapters import first_line, line_of
from fau_utils.book.errors import Interrupted
from fau_utils.book.jobs import Job, Watcher
from fau_utils.book.project import Project, digest, write
from fau_utils.book.records import Failure, Record
from fau_utils.kernel import pixels

log = logging.getLogger(__name__)
logging.getLogger("traitlets").setLevel(logging.ERROR)  # jupyter_client warns of sockets that close with the process
_RECORD_MIME = "application/x-fau-record+json"
_RECORD_CELL = Path(__file__).with_name("kernel_record.py").read_text(encoding="utf-8") + "\n\nfau_publish()\n"


def run(
    project: Project, jobs: Sequence[Job], *, workers: int = 1, watcher: Watcher, threads: int | None = None
) -> dict[str, Record | Failure]:
    """Run chapters; a failed one does not stop the others.

    Parameters
    ----------
    workers : int
        Chapters at a time.
    threads : int, optional
        Numerical threads of each kernel.

    Returns
    -------
    dict of chapter name to Record or Failure

    Raises
    ------
    Interrupted
        After Ctrl-C or SIGTERM: kernels are ended, finished chapters are kept.
    OSError
        When results cannot be written; the same holds.
    """
    crew = _Crew(project, watcher, threads)
    results: dict[str, Record | Failure] = {}
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="chapter")
    pending: set[Future] = {pool.submit(crew.chapter, job) for job in jobs}
    try:
        while pending:
            done, pending = wait(pending, timeout=0.25, return_when=FIRST_COMPLETED)
            watcher.tick()
            for future in done:
                result = future.result()
                if result is not None:
                    results[result.chapter] = result
    except BaseException as error:
        crew.stop(pool, pending)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"{len(results)} of {len(jobs)} chapters finished and kept") from None
        raise
    finally:
        pool.shutdown(wait=True)
    return results


class _Crew:
    """What the threads of one run share."""

    def __init__(self, project: Project, watcher: Watcher, threads: int | None):
        self.project, self.watcher, self.threads = project, watcher, threads
        self.stopped = threading.Event()
        self.kernels: dict[str, Any] = {}
        self.revision = _revision(project.root)

    def stop(self, pool: ThreadPoolExecutor, pending: set[Future]) -> None:
        self.stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
        while any(not future.done() for future in pending):
            for running in list(self.kernels.values()):
                kernel.kill(running)
            wait(pending, timeout=0.2)

    def chapter(self, job: Job) -> Record | Failure | None:
        """Run one chapter and keep what came of it; None when stopped."""
        if self.stopped.is_set():
            return None
        self.watcher.started(job)
        result = _Run(self, job).go()
        if result is not None:
            self.watcher.finished(job, result)
        return result


class _Run:
    """One chapter in one kernel."""

    def __init__(self, crew: _Crew, job: Job):
        self.crew, self.job, self.project = crew, job, crew.project
        self.work = self.project.work / job.chapter.name
        self.at = 0  # index of the cell that runs

    def go(self) -> Record | Failure | None:
        chapter = self.job.chapter
        scratch = self.work / "folder"  # chapters rely on no folder; what they write by mistake vanishes with it
        scratch.mkdir(parents=True, exist_ok=True)
        self.files = staleness.snapshot()
        self.inputs = staleness.inputs(self.project, chapter)
        self.node = pairing.notebook(chapter)
        self.total = len(self.node.cells)
        node = nbformat.from_dict(self.node)
        node.cells = [*node.cells, nbformat.v4.new_code_cell(_RECORD_CELL)]
        node.nbformat, node.nbformat_minor = 4, 5
        source, target = self.work / "source.ipynb", self.work / "executed.ipynb"
        write(source, nbformat.writes(node))
        running = kernel.manager(self.work, threads=self.crew.threads)
        self.crew.kernels[chapter.name] = running
        begin = time.monotonic()
        defaults = {p.name: p.default for p in self.job.declared.values()}
        try:
            executed = papermill.execute_notebook(
                str(source),
                str(target),
                # a value that is the default needs no cell that says so
                parameters={n: v for n, v in self.job.values.items() if v != defaults.get(n)},
                progress_bar=False,
                request_save_on_cell_execute=False,
                start_timeout=120,
                iopub_timeout=120,  # a busy machine may be late with an output; the default gives it 4 s
                km=running,
                resources={"metadata": {"path": str(scratch)}},
                on_cell_start=self._cell,
            )
        except PapermillExecutionError as error:
            return self._failure(f"{error.ename}: {error.evalue}", error.cell_index, error.source, target)
        except DeadKernelError:
            if self.crew.stopped.is_set():
                return None
            said = "the kernel died; out of memory, or killed from outside"
            return self._failure(said, self.at, "", None)
        except OSError:
            raise
        except Exception as error:
            if self.crew.stopped.is_set():
                return None
            log.debug("chapter %s", chapter.name, exc_info=True)
            return self._failure(f"{type(error).__name__}: {error}", self.at, "", None)
        finally:
            kernel.kill(running)
            self.crew.kernels.pop(chapter.name, None)
        if self.crew.stopped.is_set():
            return None
        return self._keep(executed, time.monotonic() - begin)

    def _cell(self, cell=None, cell_index: int = 0, **_: Any) -> None:
        self.at = cell_index
        self.crew.watcher.cell(self.job, min(cell_index, self.total), self.total)

    def _keep(self, executed, seconds: float) -> Record | Failure:
        chapter = self.job.chapter
        last = executed.cells.pop()
        told = [o["data"][_RECORD_MIME] for o in last.outputs if _RECORD_MIME in o.get("data", {})]
        if not told:
            said = "the kernel did not say what it had imported; does a cell replace display or sys.modules?"
            return self._failure(said, self.total - 1, "", None)
        about = told[0]
        spent = [float(cell.metadata.get("papermill", {}).get("duration") or 0) for cell in executed.cells]
        self._tidy(executed)
        if about["foreign"]:
            left_out = pixels.without_pictures(executed)
            log.warning("%s was run on pictures that are not rendered: %d left out", chapter.name, left_out)
        text = (nbformat.writes(executed) + "\n").encode()
        record = Record(
            chapter=chapter.name,
            text=chapter.hash,
            notebook=digest(text),
            values={name: repr(value) for name, value in self.job.values.items()},
            declared=[[p.name, p.type, repr(p.default), p.help] for p in self.job.declared.values()],
            used=staleness.used_with_data(about["used"], self.files),
            inputs=self.inputs,
            versions=about["versions"],
            revision=self.crew.revision,
            device=about["device"],
            memory=about["memory"],
            device_memory=about["device_memory"],
            seconds=round(seconds, 2),
            cell_seconds=[round(value, 2) for value in spent],
            date=_now(),
        )
        records.keep(self.project, record, text)
        return record

    def _tidy(self, executed) -> None:
        """Say where the notebook came from without saying where on this machine."""
        name = self.job.chapter.name
        executed.metadata.papermill["input_path"] = f"notebooks/{name}.ipynb"
        executed.metadata.papermill["output_path"] = f"build/executed/{name}.ipynb"

    def _failure(self, error: str, at: int, source: str, target: Path | None) -> Failure:
        chapter = self.job.chapter
        cells = self.node.cells
        # papermill may have put one cell with the parameters in front
        index = next((i for i in (at, at - 1) if 0 <= i < len(cells) and cells[i].source == source), None)
        if index is None:
            index = min(at, len(cells) - 1)
            source = source or cells[index].source
        text = None
        if target is not None and target.is_file():
            executed = nbformat.read(target, as_version=4)
            self._tidy(executed)
            pixels.without_pictures(executed)  # its kernel can no longer be asked what it had read
            text = (nbformat.writes(executed) + "\n").encode()
        failure = Failure(
            chapter=chapter.name,
            text=chapter.hash,
            cell=index + 1,
            line=line_of(chapter, source),
            source=first_line(source),
            error=" ".join(error.split())[:500],
            date=_now(),
        )
        records.keep_failure(self.project, failure, text)
        return failure


def _revision(folder: Path) -> str | None:
    # provenance.git_revision says the same, but its module imports torch: 3 s and 0.3 GB for a word
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=30)
        state = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head.stdout.strip() + ("+changes" if state.stdout.strip() else "")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
