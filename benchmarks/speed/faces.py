"""How fast are the faces? ``python benchmarks/speed/faces.py``

On the CPU the product's renderer runs against a transcription of the feasibility study's (``reference_faces.py``) in
one process, on one thread, in pairs of short timed blocks one after the other (A-B-A-B), so that both see the same
disturbances. Time is the process's CPU time, never the wall clock. Identity, nuisance and landmarks are part of
every batch. The matrix-product rate beside the table tells how fast the machine was meanwhile.

With ``--device cuda`` the product's renderer alone runs at 64, 112 and 224 px, in faces per second of wall time.
"""

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import reference_faces as study
import reference_people as people
import torch

from fau_utils import provenance

STUDY = {(64, 64): "239-272", (64, 48): "256-301", (112, 64): "81-108"}
"""Faces per CPU-second the study read on its own machine, by (res, grid)."""

Draw = Callable[[int], object]
"""Draws one batch, fresh people and frames for every batch number."""


@dataclass(frozen=True)
class Pairing:
    """Readings of one reference and of the product taken pair by pair, in faces per CPU-second."""

    reference: str
    study_on_its_machine: str
    reference_readings: list[float]
    product_readings: list[float]

    @property
    def ratios(self) -> list[float]:
        return [p / r for r, p in zip(self.reference_readings, self.product_readings, strict=False)]


def seeds(batch: int, size: int, device: str = "cpu") -> torch.Tensor:
    return torch.arange(batch * size, (batch + 1) * size, device=device)


def intensities(size: int, device: str = "cpu") -> torch.Tensor:
    """About half of the AUs active, (B, 16, 2), the same for both renderers."""
    return (people.uniform(seeds(0, size), 99, 32).view(size, 16, 2) * 10 - 5).clamp_min(0).to(device)


def reference(res: int, grid: int, size: int) -> Draw:
    renderer, au = study.ReferenceRenderer(res=res, grid=grid), intensities(size)

    def draw(batch):
        seed = seeds(batch, size)
        return renderer(people.sample_identity(seed), au, people.sample_nuisance(seed + 7_000_000))

    return draw


def product(res: int, size: int, device: str = "cpu") -> Draw | None:
    """The package's renderer, or None while it has none."""
    render = importlib.import_module("fau_utils.faces.render")
    if not hasattr(render, "FaceRenderer"):
        return None
    from fau_utils.faces.identity import sample_identity
    from fau_utils.faces.nuisance import sample_nuisance

    renderer, au = render.FaceRenderer(res=res, device=device), intensities(size, device)

    def draw(batch):
        seed = seeds(batch, size, device)
        return renderer(sample_identity(seed), au, sample_nuisance(seed + 7_000_000))

    return draw


def per_cpu_second(draw: Draw, *, first: int, batches: int, size: int) -> float:
    start = time.process_time()
    for batch in range(first, first + batches):
        draw(batch)
    return batches * size / (time.process_time() - start)


def matmul_rate(n: int = 1024, times: int = 6) -> float:
    """float32 GFLOP/s of this process's CPU time in n x n matrix products."""
    a = torch.randn(n, n)
    a @ a
    start = time.process_time()
    for _ in range(times):
        a @ a
    return times * 2 * n**3 / (time.process_time() - start) / 1e9


def measure_cpu(
    *, res: int, grids: list[int], pairs: int, batches: int, size: int
) -> tuple[list[Pairing], list[float]]:
    ours = product(res, size)
    pairings = [Pairing(f"study, G={g}", STUDY.get((res, g), "-"), [], []) for g in grids]
    draws = [reference(res, g, size) for g in grids]
    rates = []
    for draw in [*draws, ours]:
        if draw is not None:
            draw(0)
    for k in range(pairs):
        rates.append(matmul_rate())
        block = {"first": 1 + k * batches, "batches": batches, "size": size}
        for pairing, draw in zip(pairings, draws, strict=True):
            pairing.reference_readings.append(per_cpu_second(draw, **block))
            if ours is not None:
                pairing.product_readings.append(per_cpu_second(ours, **block))
    return pairings, rates


def measure_device(device: str, *, res: int, blocks: int, batches: int, size: int) -> list[float]:
    """Faces per second of wall time, one reading per block."""
    draw = product(res, size, device)
    if draw is None:
        sys.exit("fau_utils.faces.render has no FaceRenderer yet: nothing to time on a device")
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)
    readings = []
    for batch in range(3):
        draw(batch)
    for k in range(blocks):
        synchronize()
        start = time.perf_counter()
        for batch in range(batches):
            draw(3 + k * batches + batch)
        synchronize()
        readings.append(batches * size / (time.perf_counter() - start))
    return readings


def spread(values: list[float], digits: int = 0) -> str:
    if not values:
        return "-"
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def cpu_report(options: argparse.Namespace) -> dict:
    pairings, rates = measure_cpu(
        res=options.res, grids=options.grid, pairs=options.pairs, batches=options.batches, size=options.size
    )
    print(f"{options.res} px, batches of {options.size}, one thread, faces per CPU-second: median (min-max)\n")
    head = ("reference", "its rate", "the study's own reading", "product beside it", "ratio")
    body = [
        (
            p.reference,
            spread(p.reference_readings),
            p.study_on_its_machine,
            spread(p.product_readings),
            spread(p.ratios, 2),
        )
        for p in pairings
    ]
    table([head, *body])
    print(f"\nfloat32 matrix product meanwhile: {spread(rates)} GFLOP/s per CPU-second")
    print(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs, torch {torch.__version__}")
    return {
        "res": options.res,
        "size": options.size,
        "matmul_gflops": rates,
        "pairings": [asdict(p) | {"ratios": p.ratios} for p in pairings],
    }


def device_report(options: argparse.Namespace) -> dict:
    out = {}
    rows = [("px", "faces/s: median (min-max)", "peak memory, MiB")]
    for res in (64, 112, 224):
        cuda = options.device.startswith("cuda")
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        readings = measure_device(
            options.device, res=res, blocks=options.pairs, batches=options.batches, size=options.size
        )
        memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
        rows.append((str(res), spread(readings), f"{memory:.0f}" if cuda else "-"))
        out[str(res)] = {"faces_per_second": readings, "peak_mib": memory}
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    print(f"product on {name}, batches of {options.size}, wall time\n")
    table(rows)
    return {"device": name, "size": options.size, "by_res": out}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="time the product on this device at 64, 112 and 224 px, e.g. cuda")
    parser.add_argument("--res", type=int, default=64, choices=(64, 112), help="image side on the CPU (default 64)")
    parser.add_argument("--grid", type=int, nargs="+", default=[64, 48], help="the reference's grids (default 64 48)")
    parser.add_argument("--pairs", type=int, default=7, help="timed pairs or blocks (default 7)")
    parser.add_argument("--batches", type=int, help="batches in a timed block (default 4, on a device 20)")
    parser.add_argument("--size", type=int, help="faces in a batch (default 32, on a device 256)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every reading to this file")
    options = parser.parse_args(arguments)
    options.batches = options.batches or (20 if options.device else 4)
    options.size = options.size or (256 if options.device else 32)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with torch.inference_mode():
        found = device_report(options) if options.device else cpu_report(options)
    if options.json:
        found |= {"git": provenance.git_revision(), "versions": provenance.versions()}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
