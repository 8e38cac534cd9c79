"""All that waits for a GPU, best first: ``python benchmarks/gpu_session.py --minutes 9 --out OUT``

For whoever has a GPU for half an hour: tests that need one, training steps against the published style at published
sizes, rendering and clips, then the studies at their full size, as far as the minutes go. Each step is a process of its
own with an end; one that fails or takes too long leaves the others alone. The same command goes on with what is left:
``OUT/session.json`` says what is done, and tables of studies grow from call to call. What the steps say lies in
``OUT/NAME.log``, and every table that they made beside it. ``--rehearse`` starts each step on the CPU, at sizes where
it takes seconds and its numbers mean nothing: do that first, where time costs nothing.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "book" / "reference_results"


@dataclass(frozen=True)
class Step:
    """A command; where it says ``{left}`` it is told the minutes that it has."""

    name: str
    command: tuple[str, ...]
    rehearsal: tuple[str, ...]
    minutes: float
    goes_on: bool = False
    """Whether it can be called again to do more."""


def _python(script: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, f"benchmarks/{script}.py", *words)


def _study(name: str, *words: str) -> Step:
    script = f"experiments/{name}"
    command = _python(script, "--budget", "gpu", "--device", "cuda", "--minutes", "{left}", *words)
    rehearsal = _python(script, "--budget", "gpu", "--device", "cpu", "--minutes", "0", *words)
    label = "-".join([name, *(word for word in words if not word.startswith("--"))])
    return Step(label, command, rehearsal, minutes=60, goes_on=True)


TRAINING = ("--device", "cuda", "--levers", "compile", "freeze", "small-decoder", "float8", "--keep", "speed_gpu")
STEPS = (
    Step(
        "tests",
        (sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "tests"),
        (sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "tests/training"),
        minutes=4,
    ),
    Step(
        "training-steps",
        _python("speed/training", *TRAINING),
        _python("speed/training", "--only", "ViT mini96", "--threads", "1", "--rounds", "1", "--steps", "1"),
        minutes=8,
    ),
    Step(
        "profile",
        _python("speed/training", "--device", "cuda", "--only", "ViT-L/16, 224", "--profile"),
        _python("speed/training", "--only", "ViT mini96", "--threads", "1", "--profile"),
        minutes=2,
    ),
    Step(
        "faces",
        _python("speed/faces", "--device", "cuda"),
        _python("speed/faces", "--device", "cpu", "--pairs", "1", "--batches", "1", "--size", "2"),
        minutes=2,
    ),
    Step(
        "clips",
        _python("speed/clips", "--device", "cuda", "--keep", "speed_clips_gpu"),
        _python("speed/clips", "--rounds", "1", "--steps", "1", "--batch", "14", "--sizes", "64"),
        minutes=2,
    ),
    _study("fmae_iat"),
    _study("occlusion_mae"),
    _study("domain_separation"),
    _study("clp"),
)


def run(steps: Sequence[Step], out: Path, *, minutes: float, rehearse: bool = False) -> list[dict]:
    """Do the steps that are not done, in turn, and keep what happened after each of them.

    Returns
    -------
    list of dict
        ``name, code, seconds, last`` of each step that was ever begun; a code of None is one that ran out of time.
    """
    out.mkdir(parents=True, exist_ok=True)
    record = out / "session.json"
    before = json.loads(record.read_text()) if record.is_file() else []
    done = {entry["name"]: entry for entry in before}
    end = time.monotonic() + 60 * minutes
    for step in steps:
        if done.get(step.name, {}).get("code") == 0 and (rehearse or not step.goes_on):
            continue
        left = min(step.minutes, (end - time.monotonic()) / 60)
        if left < 0.1:
            print(f"{step.name}: no time left; the same command goes on", flush=True)
            break
        print(f"{step.name}: up to {left:.1f} minutes", flush=True)
        words = step.rehearsal if rehearse else step.command
        entry = begun(step.name, [w.replace("{left}", f"{0.6 * left:.2f}") for w in words], out, seconds=60 * left)
        done[step.name] = entry
        record.write_text(json.dumps(list(done.values()), indent=1))
        print(f"    code {entry['code']} after {entry['seconds']:.0f} s: {entry['last']}", flush=True)
        for table in TABLES.glob("*_gpu.parquet"):
            shutil.copy2(table, out)
    return list(done.values())


def begun(name: str, command: list[str], out: Path, *, seconds: float) -> dict:
    """A process with all its children, until it ends or its time is over."""
    begin = time.monotonic()
    log = out / f"{name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, env=_environment()
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return {"name": name, "code": code, "seconds": time.monotonic() - begin, "last": lines[-1][:200] if lines else ""}


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "FAU_PROGRESS": "0"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for logs and tables")
    parser.add_argument("--minutes", type=float, default=9.0, help="of all steps together (default 9)")
    parser.add_argument("--only", nargs="+", choices=[step.name for step in STEPS])
    parser.add_argument("--rehearse", action="store_true", help="start each step on the CPU, at sizes of seconds")
    options = parser.parse_args(arguments)
    steps = [step for step in STEPS if not options.only or step.name in options.only]
    ended = run(steps, options.out.resolve(), minutes=options.minutes, rehearse=options.rehearse)
    sys.exit(any(entry["code"] != 0 for entry in ended if entry["name"] in {step.name for step in steps}))


if __name__ == "__main__":
    main()
