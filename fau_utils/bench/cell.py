"""Runs one cell: alone in its folder, within its limits, again where that is worth it.

``python -m fau_utils.bench.cell FOLDER`` is what every engine starts, a pool of processes or a cluster. It reads
``spec.json`` and calls the body, ``spec["body"]`` with the attempt's work folder as last word. A body finds its
parameters in ``parameters.json`` there, leaves ``result.json`` when it is done, and ``failure.json`` with ``error`` and
``traceback`` when it knows why it is not; everything else it writes beside them is kept.

Whoever is killed, and when: a finished cell is one whose ``run.json`` was renamed into place. An attempt that was cut
off is taken over by the next one under a new name, after its processes are ended, so what still ran cannot write into
it; training goes on from its checkpoints.

Exit status: 0 finished, 1 failed, 2 no cell there, 143 stopped. With ``--told`` before the folder a failure is 0 too:
it is written down, and a cluster that starts jobs again shall do so only for those that were killed. ``--index FILE``
takes the folder from a list, by the number that Kubernetes gives each pod.
"""

import contextlib
import datetime
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from fau_utils.bench import gpus, processes
from fau_utils.bench.causes import Cause, cause_of
from fau_utils.bench.processes import Watched
from fau_utils.bench.store import HOST, ROOT, SCHEMA, Place, held, raw, read_json, remove, write_json

FINISHED, FAILED, WRONG, STOPPED = 0, 1, 2, 143


class Stopped(BaseException):
    """SIGTERM or SIGINT, since whoever started the cell wants it to end; or it is not wanted in this form."""


def run(place: Place) -> int:
    """Run a cell, or wait for the process that does already; the exit status."""
    spec = place.spec
    if spec is None:
        sys.stderr.write(f"{place.folder}: expected a spec.json, found none; plan it with `fau bench run`\n")
        return WRONG
    waited = False
    while True:
        with held(place.lock) as mine:
            if mine:
                state = place.state or {}
                if waited and state.get("state") == "failed" and state.get("digest") == spec["digest"]:
                    return FAILED  # the one we waited for has tried
                return _Cell(place, spec).go()
        waited = True
        _wait(place, spec["digest"])


def main(words: Sequence[str]) -> int:
    """The command."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    told, folder = "--told" in words or "--index" in words, Path(words[-1]).resolve()
    if "--index" in words:
        listed = json.loads(folder.read_text(encoding="utf-8"))
        folder = folder.parent / listed[int(os.environ["JOB_COMPLETION_INDEX"])]
    try:
        code = run(Place(folder))
    except Stopped:
        return STOPPED
    return FINISHED if told and code == FAILED else code


class _Cell:
    """A cell whose lock is held."""

    def __init__(self, place: Place, spec: dict[str, Any]):
        self.place, self.spec, self.digest = place, spec, spec["digest"]
        self.tries: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {}

    def go(self) -> int:
        if (record := self.place.finished(self.digest)) is not None:
            self._tidy(record)
            return FINISHED
        processes.end_orphans(self.place.folder)
        times, wait = self.spec["retries"]["times"], self.spec["retries"]["wait"]
        try:
            self._same_sources()
            for attempt in range(times + 1):
                work = self._work()
                try:
                    watched, cause = self._attempt(work, attempt)
                except Exception as error:  # noqa: BLE001  no device, no such body, no room on the disk
                    watched, cause = Watched(1, 0.0, 0), cause_of(1, {"error": f"{type(error).__name__}: {error}"})
                if cause is None:
                    self._same_sources()
                    self._publish(work, watched, attempt)
                    return FINISHED
                self.tries.append({"attempt": attempt + 1, "seconds": watched.seconds, "cause": cause.text})
                self._log(f"attempt {attempt + 1} ended: {cause.text}")
                if not cause.passing or attempt == times:
                    return self._give_up(work, cause)
                pause = wait * 4**attempt
                self._log(f"trying again in {pause:g} s")
                self._say("waiting", until=time.time() + pause, error=cause.text)
                time.sleep(pause)
        except Stopped as why:
            processes.end_orphans(self.place.folder)
            self._log(f"stopped {why}")
            self._say("stopped", error=str(why))
            raise
        raise AssertionError("a cell ends in the loop")

    def _same_sources(self) -> None:
        """Refuse to say of a result that it was made with code that was edited meanwhile."""
        changed = [name for name, digest in self.spec["sources"].items() if raw(ROOT / name) != digest]
        if changed:
            raise Stopped(f"{changed[0]} changed after it was planned")

    def _attempt(self, work: Path, attempt: int) -> tuple[Watched, Cause | None]:
        limits = self.spec["limits"]
        with contextlib.ExitStack() as stack:
            environment, descriptors = dict(os.environ), []
            environment[processes.MARK] = str(self.place.folder)
            environment.setdefault("OMP_NUM_THREADS", str(limits["cpus"]))
            self.about = {"attempt": attempt + 1, "started_at": time.time()}
            if not limits["gpus"]:
                environment["CUDA_VISIBLE_DEVICES"] = ""
            elif not gpus.assigned():
                self._say("waiting", error="for a GPU")
                name, descriptor = stack.enter_context(gpus.lease(gpus.pool()))
                environment["CUDA_VISIBLE_DEVICES"] = name
                descriptors.append(descriptor)
            self.about |= {"gpu": environment.get("CUDA_VISIBLE_DEVICES") or None, "started_at": time.time()}
            self._say("running")
            body = [word.replace("{python}", sys.executable) for word in self.spec["body"]]
            log = stack.enter_context(self.place.log.open("ab", buffering=0))
            log.write(f"--- {_now()} attempt {attempt + 1} on {HOST}\n".encode())
            process = subprocess.Popen(
                [*body, str(work)],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
                preexec_fn=processes.dies_with_parent(signal.SIGKILL),  # safe: this process has one thread
            )
            try:
                watched = processes.watch(
                    process,
                    seconds=None if limits["minutes"] is None else 60 * limits["minutes"],
                    memory=None if limits["memory_gb"] is None else 1e9 * limits["memory_gb"],
                    beat=lambda: self._say("running"),
                )
            except BaseException:
                processes.end(process)
                raise
        processes.end_orphans(self.place.folder)  # a kernel, or workers that load data
        if watched.code == 0 and watched.limit is None and read_json(work / "result.json") is not None:
            return watched, None
        return watched, cause_of(watched.code, read_json(work / "failure.json"), limit=watched.limit)

    def _work(self) -> Path:
        """A folder for this attempt; what an earlier one of the same cell left goes on in it."""
        place, new = self.place, self.place.folder / f"work-{secrets.token_hex(4)}"
        kept = place.record
        for old in place.works():
            if kept is not None and old.name == kept["folder"]:
                continue
            same = (read_json(old / "parameters.json") or {}).get("digest") == self.digest
            if same and not new.exists():
                old.rename(new)
            else:
                remove(old)
        new.mkdir(exist_ok=True)
        for name in ("result.json", "failure.json"):
            (new / name).unlink(missing_ok=True)
        parameters = {"digest": self.digest, "notebook": self.spec.get("notebook"), **self.spec["parameters"]}
        write_json(new / "parameters.json", parameters)
        return new

    def _publish(self, work: Path, watched: Watched, attempt: int) -> None:
        record = {
            "schema": SCHEMA,
            "cell": self.place.id,
            "folder": work.name,
            **{name: self.spec[name] for name in ("digest", "place", "parameters", "ingredients", "git_revision")},
            "result": read_json(work / "result.json"),
            "seconds": round(watched.seconds, 3),
            "peak_memory": watched.memory,
            "attempts": attempt + 1,
            "tries": self.tries,
            "gpu": self.about.get("gpu"),
            "host": HOST,
            "finished": _now(),
        }
        write_json(self.place.folder / "run.json", record)
        self._log(f"finished in {watched.seconds:.1f} s")
        self._tidy(record)

    def _tidy(self, record: dict[str, Any]) -> None:
        """Remove what is no longer needed; a kill in between leaves it to the next one."""
        self.place.clear_state()
        for old in self.place.works():
            if old.name != record["folder"]:
                remove(old)
        for part in (*self.place.folder.glob(".*.part"), *self.place.folder.glob(".gone-*")):
            remove(part) if part.is_dir() else part.unlink(missing_ok=True)
        remove(self.place.result_of(record) / "runs" / ".work")  # checkpoints of a finished training
        (self.place.folder / "failed.ipynb").unlink(missing_ok=True)

    def _give_up(self, work: Path, cause: Cause) -> int:
        failure = read_json(work / "failure.json") or {}
        notebook = work / "executed.ipynb"
        if notebook.is_file():
            notebook.replace(self.place.folder / "failed.ipynb")
        self._say(
            "failed", kind=cause.kind, error=cause.text, passing=cause.passing, tries=self.tries, failed_at=_now(),
            traceback=str(failure.get("traceback", ""))[-20_000:], cell=failure.get("cell"),
        )  # fmt: skip
        if not cause.passing:
            remove(work)  # the same again from its checkpoint would fail again
        return FAILED

    def _say(self, state: str, **more: Any) -> None:
        me = psutil.Process()
        said = {"state": state, "digest": self.digest, "pid": me.pid, "host": HOST, "started": me.create_time()}
        self.place.write_state(**said, beat=time.time(), **self.about, **more)

    def _log(self, words: str) -> None:
        with self.place.log.open("a", encoding="utf-8") as log:
            log.write(f"--- {_now()} {words}\n")


def _wait(place: Place, digest: str, *, every: float = 0.1, patience: float = 15.0) -> None:
    """Wait until nobody holds the cell; one that makes what is no longer wanted is ended."""
    begin = time.monotonic()
    while True:
        time.sleep(every)
        with held(place.lock) as free:
            if free:
                return
        state = place.state or {}
        outdated = state.get("digest") not in (None, digest)
        if outdated and state.get("host") == HOST and processes.alive(state["pid"], state["started"]):
            late = time.monotonic() - begin > patience
            with contextlib.suppress(ProcessLookupError):
                os.kill(state["pid"], signal.SIGKILL if late else signal.SIGTERM)


def _stop(*_: Any) -> None:
    raise Stopped


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
