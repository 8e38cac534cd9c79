"""What a cell costs beyond its own work, and what a second worker gives; measured, not tested.

    python benchmarks/overhead.py [--repeats 3] [--notebook]

Cells sleep and compute equally, so that two workers on two free cores could halve the time. With ``--notebook`` also
papermill, a kernel and torch, for which a real cell pays. Run it on a quiet machine; the load is printed, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

BODY = """import json, sys, time, pathlib
work = pathlib.Path(sys.argv[1])
given = json.loads((work / "parameters.json").read_text())
told = dict(word.split("=") for word in given["settings"])
time.sleep(float(told["sleep"]))
end = time.process_time() + float(told["compute"])
while time.process_time() < end:
    pass
(work / "result.json").write_text("{}")
"""


def grid(folder: Path, name: str, *, cells: int, sleep: float, compute: float) -> Path:
    """A grid of equal cells."""
    (folder / "body.py").write_text(BODY)
    settings = {"default": {"sleep": sleep, "compute": compute}}
    made = {"methods": [{"method": "m", "variants": settings}], "data": "synth", "seeds": cells}
    made["body"] = ["{python}", str(folder / "body.py")]
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(made))
    return path


def seconds(path: Path, *, jobs: int) -> float:
    """Of the whole command, from nothing."""
    with tempfile.TemporaryDirectory() as out:
        line = [sys.executable, "-m", "fau_utils.cli", "bench", "run", str(path), "--jobs", str(jobs)]
        begin = time.perf_counter()
        subprocess.run([*line, "--out", f"{out}/store"], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin


def plain(folder: Path, *, cells: int, sleep: float, compute: float) -> float:
    """The same bodies one after the other, called by nobody but Python."""
    import json

    (folder / "parameters.json").write_text(json.dumps({"settings": [f"sleep={sleep}", f"compute={compute}"]}))
    begin = time.perf_counter()
    for _ in range(cells):
        subprocess.run([sys.executable, str(folder / "body.py"), str(folder)], check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--notebook", action="store_true", help="also one real cell at smoke budget; about a minute")
    options = parser.parse_args()
    work = {"sleep": 0.5, "compute": 0.5}
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = grid(folder, "equal", cells=options.cells, **work)
        times = {"plain": [], "one": [], "two": []}
        for _ in range(options.repeats):  # by turns, so that a slow minute slows all of them
            times["plain"].append(plain(folder, cells=options.cells, **work))
            times["one"].append(seconds(path, jobs=1))
            times["two"].append(seconds(path, jobs=2))
        middle = {name: median(values) for name, values in times.items()}
        start = median(seconds(grid(folder, "one", cells=1, sleep=0, compute=0), jobs=1) for _ in range(3))
    ratios = sorted(one / two for one, two in zip(times["one"], times["two"], strict=True))
    print(f"one empty cell with its driver: {start:.2f} s")
    print(f"overhead per cell over plain Python: {(middle['one'] - middle['plain']) / options.cells:.3f} s")
    print(f"two workers against one: {median(ratios):.2f} x (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
    if options.notebook:
        real = {"methods": ["base-rate"], "data": "synth", "seeds": 1, "budgets": "smoke"}
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "real.yml"
            path.write_text(yaml.safe_dump(real))
            print(f"a real cell that trains nothing: {seconds(path, jobs=1):.1f} s")


if __name__ == "__main__":
    main()
