"""How fast are faces loaded? ``python benchmarks/speed/loading.py``

The usual pipeline (Pillow, ``torchvision.transforms``, ``DataLoader`` with one process per core) against the
package's two loaders, on the same files, in one run on the same cores, in blocks one after the other (usual, JPEG,
array, usual, JPEG, array, ...), so that all see the same disturbances. All three deliver the same thing: shuffled
batches of float32 faces in [0, 1], a random part of each, half of them mirrored. The usual pipeline is timed without
the ``Normalize`` that is often at its end (the models here do that themselves), which errs against the product.

Two rates are read in each block: images per second of wall time, and per second of CPU time of the process and its
children. On a shared machine the second one says more.
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import psutil
import torch
from PIL import Image

from fau_utils import provenance
from fau_utils.data import decode, loaders
from fau_utils.data.prepare import prepare
from fau_utils.data.views import views
from fau_utils.frames import Frames

TARGETS = {"JPEG": 2.0, "array": 10.0}
"""Times the usual pipeline's images per second."""

Load = Callable[[int, int], Iterator[torch.Tensor]]
"""Batches of some epochs, from a seed."""


def pictures(folder: Path, *, count: int, size: int, quality: int) -> Frames:
    """JPEG files of rendered faces; a few dozen faces, each in many positions."""
    from fau_utils.faces.activity import base_rates, sample_intensity, two_sides
    from fau_utils.faces.identity import sample_identity
    from fau_utils.faces.nuisance import sample_nuisance
    from fau_utils.faces.render import FaceRenderer

    seed = torch.arange(24)
    au = two_sides(sample_intensity(seed, base_rates()), seed)
    out = FaceRenderer(res=224)(sample_identity(seed), au, sample_nuisance(seed), align=True)
    faces = (out.image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    generator = np.random.default_rng(0)
    rows = []
    for i in range(count):
        left, top = generator.uniform(0, 24, 2)
        face = Image.fromarray(faces[i % len(faces)]).resize((size, size), box=(left, top, left + 200, top + 200))
        grainy = np.asarray(face, "int16") + generator.normal(0, 4, (size, size, 3)).astype("int16")  # as cameras are
        written = io.BytesIO()
        Image.fromarray(grainy.clip(0, 255).astype("uint8")).save(written, "JPEG", quality=quality)
        (folder / f"{i:06d}.jpg").write_bytes(written.getvalue())
        rows.append((f"speed/S{i % 24:02d}", "C0", i, f"{i:06d}.jpg", i % 2))
    return Frames(pd.DataFrame(rows, columns=["subject", "clip", "frame", "path", "AU12"]).assign(dataset="speed"))


class Usual(torch.utils.data.Dataset):
    """One image per item: open, convert, transform."""

    def __init__(self, folder: Path, frames: Frames, view: int):
        from torchvision import transforms

        self.files = [str(folder / path) for path in frames.table["path"]]
        self.labels = frames.labels(frames.aus)
        self.transform = transforms.Compose(
            [transforms.RandomCrop(view), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int):
        with open(self.files[index], "rb") as file:
            image = Image.open(file).convert("RGB")
        return self.transform(image), self.labels[index]


def usual(folder: Path, frames: Frames, *, view: int, batch_size: int, workers: int) -> Load:
    loader = torch.utils.data.DataLoader(
        Usual(folder, frames, view), batch_size, shuffle=True, num_workers=workers, persistent_workers=True
    )

    def load(seed: int, epochs: int) -> Iterator[torch.Tensor]:
        for _ in range(epochs):
            for image, _ in loader:
                yield image

    return load


def product(data, *, view: int, batch_size: int, threads: int) -> Load:
    def load(seed: int, epochs: int) -> Iterator[torch.Tensor]:
        served = views(
            data, batch_size=batch_size, size=view, views=epochs * len(data), seed=seed, threads=threads
        )  # fmt: skip
        for batch in served:
            yield batch.image

    return load


def cpu_seconds() -> float:
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def rates(load: Load, seed: int, *, passes: int) -> tuple[float, float]:
    """Images per second of wall time and of CPU time."""
    cpu, wall, seen = cpu_seconds(), time.perf_counter(), 0
    for image in load(seed, passes):
        seen += len(image)
    return seen / (time.perf_counter() - wall), seen / (cpu_seconds() - cpu)


def spread(values: list[float], digits: int = 0) -> str:
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[tuple[float, float]]]:
    frames = pictures(folder, count=options.images, size=options.size, quality=options.quality)
    prepared = folder / "prepared"
    prepare(frames, folder, prepared, crop="none", size=options.size, workers=1)
    shared = {"view": options.view, "batch_size": options.batch_size}
    files = loaders.from_files(frames, folder, size=options.size, threads=options.cores)
    loads = {
        "usual": usual(folder, frames, workers=options.cores, **shared),
        "JPEG": product(files, threads=options.cores, **shared),
        "array": product(loaders.open_prepared(prepared), threads=options.cores, **shared),
    }
    passes = {"usual": 1, "JPEG": 2, "array": 8}  # blocks of similar length
    readings: dict[str, list[tuple[float, float]]] = {name: [] for name in loads}
    for load in loads.values():
        rates(load, 0, passes=1)  # starts processes and fills the page cache for all alike
    for k in range(options.rounds):
        for name, load in loads.items():
            readings[name].append(rates(load, 1 + k, passes=passes[name]))
    return readings


def report(options: argparse.Namespace, readings: dict[str, list[tuple[float, float]]]) -> dict:
    print(
        f"{options.images} JPEG files of {options.size} px, quality {options.quality}, parts of {options.view} px, "
        f"batches of {options.batch_size}, {options.cores} cores: median (min-max)\n"
    )
    rows = [("loader", "images/s", "ratio", "images per CPU-second", "ratio", "target")]
    out = {}
    for name, values in readings.items():
        wall, cpu = ([value[i] for value in values] for i in (0, 1))
        ratios = [[v[i] / u[i] for v, u in zip(values, readings["usual"], strict=True)] for i in (0, 1)]
        target = TARGETS.get(name)
        rows.append(
            (
                {"usual": "Pillow + torchvision + DataLoader", "JPEG": "JPEG, threads", "array": "array, mapped"}[name],
                spread(wall),
                spread(ratios[0], 1) if target else "",
                spread(cpu),
                spread(ratios[1], 1) if target else "",
                f">= {target:g}" if target else "",
            )
        )
        out[name] = {"per_second": wall, "per_cpu_second": cpu, "ratios": ratios[0], "ratios_cpu": ratios[1]}
    table(rows)
    print(
        f"\nload average {os.getloadavg()[0]:.2f} on {os.cpu_count()} CPUs, torch {torch.__version__}, "
        f"{decode.decoder()}"
    )
    return out


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024, help="files (default 1024)")
    parser.add_argument("--size", type=int, default=256, help="their side in px (default 256)")
    parser.add_argument("--view", type=int, default=224, help="side of the part that is loaded (default 224)")
    parser.add_argument("--quality", type=int, default=92, help="of the JPEG files (default 92)")
    parser.add_argument("--batch-size", type=int, default=32, help="faces in a batch (default 32)")
    parser.add_argument("--cores", type=int, default=2, help="cores, processes and threads of each (default 2)")
    parser.add_argument("--rounds", type=int, default=7, help="blocks of each loader (default 7)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every reading to this file")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: options.cores]))
    torch.set_num_threads(options.cores)
    with tempfile.TemporaryDirectory(prefix="fau-loading-") as folder:
        readings = measure(options, Path(folder))
    found = report(options, readings)
    if options.json:
        settings = {k: v for k, v in vars(options).items() if k != "json"}
        found = {"settings": settings, "loaders": found, "git": provenance.git_revision()}
        options.json.write_text(json.dumps(found | {"versions": provenance.versions()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
