"""How fast is a training step? ``python benchmarks/speed/training.py``

MAE pretraining and ViT fine-tuning, the product's parts against the same networks in the style of the published code
(``reference_training.py``): same weights, same images, same batch, in one process, in short blocks one after the other
(reference, product, reference, product, ...), so that both see the same disturbances. Before anything is timed, the
losses of the first steps have to be equal. Both make their batches themselves, from the same uint8 images in memory.

With ``--device cuda`` the published sizes run at 224 px: the reference in float16 with a gradient scaler, the product
in bfloat16; with peak memory and the share of the measured rate of matrix products. There the reference gets its
batches ready made, as from loader processes that keep up.

``--levers`` adds variants of the product; those that train another network are not held to the reference's loss:

bf16           bfloat16 autocast on the CPU
compile        torch.compile of the loss
freeze         the lower half of the blocks is not trained (fine-tuning: a layer decay of .65 gives it 1e-3 of the rate)
small-decoder  a decoder of half the width and a quarter of the depth (pretraining)
float8         float8 linears, where torchao is installed
"""

import argparse
import copy
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import reference_training as published
import torch
from torch import Tensor, nn

from fau_utils import provenance
from fau_utils.batch import Batch
from fau_utils.data.augment import random_flip
from fau_utils.data.images import Memory, as_floats
from fau_utils.methods import Learner, MaePretraining, PretrainedVit
from fau_utils.models.flops import mae_work, vit_work
from fau_utils.models.vit import SIZES
from fau_utils.training import Budget
from fau_utils.training.around import flushed_denormals
from fau_utils.training.compiled import compiled
from fau_utils.training.heap import kept_heap
from fau_utils.training.launch import fabric_for
from fau_utils.training.memory import Gradients
from fau_utils.training.optimizer import set_rate, set_up
from fau_utils.training.readings import Readings

AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
LEVERS = ("bf16", "compile", "freeze", "small-decoder", "float8")
OTHER_NETWORK = {"freeze", "small-decoder"}
BUDGET = Budget("speed", views=1, lr=1e-4, betas=(0.9, 0.95), clip=0.0)
EQUAL_STEPS = 3


@dataclass(frozen=True)
class Case:
    """Something to be timed."""

    name: str
    task: str  # mae or vit
    model: str
    size: int
    batch: int
    changes: dict[str, Any] = field(default_factory=dict)

    def learner(self, lever: str | None = None) -> Learner:
        if self.task == "vit":
            depth = self.changes.get("depth", SIZES[self.model]["depth"])
            frozen = depth // 2 if lever == "freeze" else 0
            options = {"size": self.size, "model": self.model, "drop_path": 0.0, "frozen": frozen}
            return PretrainedVit(AUS, **options, **self.changes)
        small = {"decoder_dim": 256, "decoder_depth": 2, "decoder_heads": 8} if lever == "small-decoder" else {}
        return MaePretraining(size=self.size, model=self.model, **self.changes | small)


CASES = {
    "cpu": [
        Case("MAE mini96, 64 px", "mae", "mini96", 64, 64),
        Case("MAE mini96, linear stem, 64 px", "mae", "mini96", 64, 64, {"stem": "linear"}),
        Case("ViT mini96, 64 px", "vit", "mini96", 64, 32),
        Case("MAE ViT-S/16, 224 px", "mae", "small", 224, 8),
        Case("ViT-S/16, 224 px", "vit", "small", 224, 8),
    ],
    "cuda": [
        Case("MAE ViT-B/16, 224 px", "mae", "base", 224, 256),
        Case("MAE ViT-L/16, 224 px", "mae", "large", 224, 256),
        Case("ViT-B/16, 224 px", "vit", "base", 224, 64),
        Case("ViT-L/16, 224 px", "vit", "large", 224, 64),
    ],
}


@dataclass
class Images:
    """Random faces of no one: uint8 in memory, with labels."""

    pixels: Tensor  # (N, 3, S, S) uint8
    labels: Tensor  # (N, A)

    @classmethod
    def draw(cls, count: int, size: int) -> "Images":
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(count, 3, size // 8, size // 8, generator=generator)
        pixels = nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)
        return cls((pixels * 255).byte(), (torch.rand(count, len(AUS), generator=generator) < 0.3).float())


class Product:
    """The steps of ``fit``, by the parts that it is made of."""

    def __init__(self, learner: Learner, images: Images, *, batch: int, device: torch.device, lever: str | None = None):
        self.device, self.learner, self.memory = device, learner.train(), Memory()
        self.images, self.labels = images.pixels.to(device), images.labels.to(device)
        self.generator = torch.Generator(device).manual_seed(0)
        if lever == "float8":
            float8(learner)
        compiled(learner, wanted=lever == "compile").__enter__()
        low = device.type == "cuda" or lever == "bf16"
        self.fabric = fabric_for(device=device, precision="bf16-mixed" if low else "32-true")
        module, self.optimizer = set_up(learner, BUDGET, fabric=self.fabric)
        self.gradients = Gradients(self.fabric, module, micro=0, batch_size=batch)
        self.readings = Readings(every=1)

    def batch(self, indices: Tensor, *, flip: bool = True) -> Batch:
        indices = indices.to(self.device, non_blocking=True)
        pixels = as_floats(self.images.index_select(0, indices), memory=self.memory)
        nobody = torch.full_like(indices, -1)
        batch = Batch(image=pixels, au=self.labels.index_select(0, indices), subject=nobody, clip=nobody, frame=indices)
        return random_flip(batch, generator=self.generator) if flip else batch

    def step(self, batch: Batch) -> Tensor:
        losses = self.gradients.of(batch, step=0)
        set_rate(self.optimizer, BUDGET.lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.readings.add(losses)
        return losses.total

    def run(self, steps: list[Tensor]) -> None:
        for indices in steps:
            self.step(self.batch(indices))
        self.readings.read(self.readings.values(fabric=self.fabric))


class Published:
    """The reference with the weights of a learner."""

    def __init__(self, learner: Learner, images: Images, *, device: torch.device):
        self.device = device
        network = copy.deepcopy(learner.network).cpu()
        state = {name.removeprefix("encoder."): value for name, value in network.state_dict().items()}
        if isinstance(learner, MaePretraining):
            model: nn.Module = published.MaskedAutoencoder(network.config)
        else:
            model = published.Detector(network.config, len(AUS))
            state |= {f"head.{name}": value for name, value in learner.head.state_dict().items()}
        model.load_state_dict(state)
        model.to(device)
        twins = dict(model.named_parameters())
        mine = {id(p): name for name, p in learner.named_parameters()}
        groups = [
            group | {"params": [twins[_flat(mine[id(p)])] for p in group["params"]]} for group in learner.param_groups()
        ]
        mean = learner.normalise.mean.cpu()
        spread = learner.normalise.spread.cpu() if hasattr(learner.normalise, "spread") else 0.12
        self.loader = published.Loader(images.pixels.numpy(), images.labels, mean=mean, spread=spread)
        self.loop = published.Loop(model, groups, lr=BUDGET.lr, betas=BUDGET.betas, device=device)
        self.ready: list[tuple[Tensor, Tensor]] = []

    def run(self, steps: list[Tensor]) -> None:
        for number, indices in enumerate(steps):
            made = self.ready[number % len(self.ready)] if self.ready else self.loader.batch(indices.tolist())
            self.loop.step(*made)

    def make_ready(self, steps: list[Tensor]) -> None:
        """Batches as loader processes would have them waiting, in pinned memory."""
        self.ready = [tuple(part.pin_memory() for part in self.loader.batch(indices.tolist())) for indices in steps[:4]]


def _flat(name: str) -> str:
    return name.removeprefix("network.").removeprefix("encoder.")


def float8(learner: Learner) -> None:
    from torchao.float8 import convert_to_float8_training

    convert_to_float8_training(learner, module_filter_fn=lambda m, name: isinstance(m, nn.Linear) and "blocks" in name)


def check(case: Case, product: Product, reference: Published, steps: list[Tensor]) -> list[tuple[float, float]]:
    """Losses of the first steps of both, which have to be equal: same weights, same faces, same hidden patches."""
    found = []
    for number, indices in enumerate(steps[:EQUAL_STEPS]):
        torch.manual_seed(number)  # both draw their masks first
        ours = product.step(product.batch(indices, flip=False)).item()
        torch.manual_seed(number)
        theirs = reference.loop.step(*reference.loader.batch(indices.tolist(), flip=False))
        found.append((theirs, ours))
    within = 2e-2 if product.device.type == "cuda" else 1e-4
    for number, (theirs, ours) in enumerate(found):
        if abs(theirs - ours) > within * abs(theirs):
            sys.exit(f"{case.name}, step {number}: loss {theirs} of the reference, {ours} of the product: not the same")
    return found


def measure(case: Case, *, device: torch.device, levers: list[str], rounds: int, steps: int, batch: int | None) -> dict:
    """Seconds per step of each variant in each round."""
    size = batch or case.batch
    images = Images.draw(max(2 * size, 64), case.size)
    generator = torch.Generator().manual_seed(1)
    plan = [torch.randperm(len(images.pixels), generator=generator)[:size] for _ in range(max(steps, EQUAL_STEPS))]
    learner = case.learner()
    learner.prepare(as_floats(images.pixels))
    reference = Published(learner, images, device=device)
    variants: dict[str, Any] = {"reference": reference}
    for lever in [None, *levers]:
        own = learner
        if lever is not None:
            own = case.learner(lever)
            own.prepare(as_floats(images.pixels))
            if lever not in OTHER_NETWORK:
                own.load_state_dict(learner.state_dict())
        variants[lever or "product"] = Product(own, images, batch=size, device=device, lever=lever)
    losses = check(case, variants["product"], reference, plan)
    if device.type == "cuda":
        reference.make_ready(plan)
    readings: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": [], "peak": []} for name in variants}
    for number in range(-1, rounds):  # the first one warms up
        for name, variant in variants.items():
            wall, cpu, peak = timed(variant, plan[:steps], device=device)
            if number >= 0:
                for kind, value in zip(("wall", "cpu", "peak"), (wall, cpu, peak), strict=True):
                    readings[name][kind].append(value / steps if kind != "peak" else value)
    return {
        "case": case.name,
        "batch": size,
        "threads": torch.get_num_threads(),
        "losses": losses,
        "readings": readings,
    }


def timed(variant: Any, steps: list[Tensor], *, device: torch.device) -> tuple[float, float, float]:
    """Wall and CPU seconds of some steps after one that is not timed, and peak bytes on a GPU."""
    cuda = device.type == "cuda"
    with kept_heap(wanted=not cuda and isinstance(variant, Product)):  # as fit does
        variant.run(steps[:1])
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        wall, cpu = time.perf_counter(), time.process_time()
        variant.run(steps)
        if cuda:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, torch.cuda.max_memory_allocated() if cuda else 0.0


def flops(case: Case, *, batch: int, lever: str | None = None) -> float:
    """Operations of a training step in matrix products; not counted for stems of convolutions and frozen blocks."""
    config = case.learner(lever).network.config
    if config.get("encoder", config)["stem"] != "linear" or lever == "freeze":
        return float("nan")
    work = mae_work(config) if case.task == "mae" else vit_work(config, outputs=len(AUS))
    return batch * work.training


def matmul_rate(device: torch.device, *, seconds: float = 0.5) -> float:
    """Floating-point operations per second in large products: bfloat16 on CUDA, float32 elsewhere."""
    cuda = device.type == "cuda"
    n, kind = (8192, torch.bfloat16) if cuda else (1024, torch.float32)
    a = torch.randn(n, n, device=device, dtype=kind)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(4):
            a @ a
        if cuda:
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * n**3 / (time.perf_counter() - begin))
    return best


def rows(found: dict, case: Case, rate: float) -> list[dict]:
    """What the table shows of a case: a row per variant, ratios against the reference of the same round."""
    reference = found["readings"]["reference"]
    made = []
    for name, reading in found["readings"].items():
        work = flops(case, batch=found["batch"], lever=name)
        ratio = {kind: [r / p for r, p in zip(reference[kind], reading[kind], strict=True)] for kind in ("wall", "cpu")}
        step = median(reading["wall"])
        made.append(
            {
                "case": case.name,
                "threads": found["threads"],
                "batch": found["batch"],
                "variant": name,
                "images_per_second": found["batch"] / step,
                "ratio": median(ratio["wall"]),
                "ratio_low": min(ratio["wall"]),
                "ratio_high": max(ratio["wall"]),
                "cpu_ratio": median(ratio["cpu"]),
                "share_of_matmul": work / step / rate,
                "peak_mib": max(reading["peak"]) / 2**20,
            }
        )
    return made


def show(table: pd.DataFrame) -> str:
    """The table as text."""
    shown = pd.DataFrame(
        {
            "case": table["case"],
            "thr": table["threads"],
            "batch": table["batch"],
            "variant": table["variant"],
            "img/s": table["images_per_second"].map("{:.1f}".format),
            "ratio (min-max)": [
                f"{row.ratio:.2f} ({row.ratio_low:.2f}-{row.ratio_high:.2f})" for row in table.itertuples()
            ],
            "CPU": table["cpu_ratio"].map("{:.2f}".format),
            "matmul": table["share_of_matmul"].map(lambda v: "-" if np.isnan(v) else f"{v:.0%}"),
            "peak MiB": table["peak_mib"].map(lambda v: f"{v:.0f}" if v else "-"),
        }
    )
    return shown.to_string(index=False)


def profile(case: Case, *, device: torch.device, lever: str | None, steps: int = 5) -> str:
    """Where the time of the product's steps goes, by kind of operation."""
    images = Images.draw(max(2 * case.batch, 64), case.size)
    learner = case.learner(lever)
    learner.prepare(as_floats(images.pixels))
    variant = Product(learner, images, batch=case.batch, device=device, lever=lever)
    plan = [torch.randperm(len(images.pixels))[: case.batch] for _ in range(steps)]
    variant.run(plan)
    with torch.profiler.profile() as profiler:
        variant.run(plan)
    by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return profiler.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=60)


def levers_for(case: Case, asked: list[str], *, device: torch.device) -> list[str]:
    """Those of the levers that this case and this machine have."""
    fits = {
        "bf16": device.type == "cpu",
        "compile": True,
        "freeze": case.task == "vit",
        "small-decoder": case.task == "mae" and not case.model.startswith("mini"),
        "float8": device.type == "cuda" and _has_torchao(),
    }
    return [lever for lever in asked if fits[lever]]


def _has_torchao() -> bool:
    try:
        import torchao  # noqa: F401
    except ImportError:
        return False
    return True


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="CPU threads, one table each")
    parser.add_argument("--levers", nargs="*", choices=LEVERS, default=[])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="steps in a timed block (default: 16 for miniatures, 2, on CUDA 10)")
    parser.add_argument("--batch", type=int, help="another batch size for all cases")
    parser.add_argument("--profile", action="store_true", help="show where the product's time goes, and time nothing")
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write every reading to this file")
    parser.add_argument("--keep", metavar="NAME", help="also keep the table as a reference result of the book")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    cases = [case for case in CASES[device.type] if options.only.lower() in case.name.lower()]
    if not cases:
        sys.exit(f"no case has {options.only!r} in its name; there are {', '.join(c.name for c in CASES[device.type])}")
    with flushed_denormals():  # for both
        work(options, cases, device=device, arguments=arguments)


def work(options: argparse.Namespace, cases: list[Case], *, device: torch.device, arguments: list[str] | None) -> None:
    """Profile, or measure and show."""
    table, readings = [], []
    for threads in options.threads if device.type == "cpu" else [torch.get_num_threads()]:
        torch.set_num_threads(threads)
        rate = matmul_rate(device)
        for case in cases:
            levers = levers_for(case, options.levers, device=device)
            if options.profile:
                for lever in [None, *levers]:
                    print(f"{case.name}, {lever or 'product'}, {threads} threads")
                    print(profile(case, device=device, lever=lever))
                continue
            steps = options.steps or (10 if device.type == "cuda" else 16 if case.size == 64 else 2)
            found = measure(case, device=device, levers=levers, rounds=options.rounds, steps=steps, batch=options.batch)
            readings.append(found | {"matmul_flops": rate})
            table += rows(found, case, rate)
            print(show(pd.DataFrame(table[-len(found["readings"]) :])), flush=True)
    if options.profile:
        return
    kind = "bfloat16" if device.type == "cuda" else "float32"
    print(f"\n{show(pd.DataFrame(table))}\n\nmatrix product: {rate / 1e12:.2f} TFLOP/s in {kind}; {_machine(device)}")
    if options.json:
        about = {"git": provenance.git_revision(), "versions": provenance.versions(), "machine": _machine(device)}
        options.json.write_text(json.dumps({"readings": readings, "table": table, **about}, indent=1), encoding="utf-8")
    if options.keep:
        from fau_utils.results import reference

        reference.write(
            options.keep,
            pd.DataFrame(table),
            command=" ".join(
                ["python benchmarks/speed/training.py", *(sys.argv[1:] if arguments is None else arguments)]
            ),
            code=["fau_utils.models.vit", "fau_utils.models.mae", "fau_utils.methods.mae", "fau_utils.methods.vit"],
            device=provenance.device_name(options.device),
            extra={"matmul_flops": rate},
        )


def _machine(device: torch.device) -> str:
    load = os.getloadavg()[0]
    return f"{provenance.device_name(str(device))}, load {load:.2f} on {os.cpu_count()} CPUs, torch {torch.__version__}"


if __name__ == "__main__":
    main()
