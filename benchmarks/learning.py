"""AUC on people never seen against views and seconds, for the small networks of the book.

``python benchmarks/learning.py`` trains every network from nothing to the end of its schedule at each budget, for each
seed, and keeps the table as the reference result ``learning_cpu`` that chapter 05 shows. A point is a run of its own:
half of a long run is no short run, because its learning rate has not fallen yet. Nothing is chosen by the test people;
every run that was made is in the table. Runs that are in the table already, made by the same code, are not made again.

About twenty minutes on two cores at the default sizes; ``--views 2000 --seeds 1`` takes one.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fau_utils import metrics, provenance
from fau_utils.data import synth
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import CnnDetector, VitDetector
from fau_utils.results import reference
from fau_utils.training import budget_for, fit, predict

NETWORKS = {
    "CNN": lambda aus, seed: CnnDetector(aus, seed=seed),
    "ViT": lambda aus, seed: VitDetector(aus, seed=seed),
}
CODE = ["fau_utils.methods.baselines", "fau_utils.training.fit", "fau_utils.data.synth"]


def run(name: str, *, views: int, seed: int, splits: dict, device: str) -> dict:
    """One row: a training run and its scores on known and unknown people, in percent."""
    method = NETWORKS[name](splits["train"].aus, seed)
    numbers = budget_for(method, "laptop").replace(views=views)
    fitted = fit(method, splits["train"], budget=numbers, seed=seed, device=device, progress=False)
    row = {"method": name, "seed": seed, "views": views, "seconds": fitted.seconds}
    for where, split in (("unseen", "test"), ("seen", "seen")):
        said = predict(fitted.method, splits[split], device=device)
        row[f"{where}_auc"] = 100 * float(np.nanmean(metrics.auc_per_au(said.prob, said.label)))
        row[f"{where}_f1"] = 100 * float(np.nanmean(metrics.f1_per_au(said.prob, said.label)))
    return row


def made(name: str, folder: Path) -> list[dict]:
    """Rows of an earlier call with the same code."""
    try:
        found = reference.read(name, folder=folder)
    except (FileNotFoundError, ValueError):
        return []
    return [] if found.stale else found.table.to_dict("records")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--views", type=int, nargs="+", default=[6_000, 12_000, 24_000, 48_000])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--name", default="learning_cpu")
    parser.add_argument("--out", type=Path, default=reference.FOLDER)
    options = parser.parse_args(arguments)

    world = SynthFaces(seed=0)  # 40 training people
    splits = {split: synth.load(world, split) for split in ("train", "test", "seen")}
    rows = made(options.name, options.out)
    done = {(row["method"], row["seed"], row["views"]) for row in rows}
    wanted = [(n, v, s) for s in range(options.seeds) for v in options.views for n in options.methods]
    begin = time.perf_counter()
    for count, (name, views, seed) in enumerate(wanted, start=1):
        if (name, seed, views) in done:
            continue
        row = run(name, views=views, seed=seed, splits=splits, device=options.device)
        rows.append(row)
        print(
            f"[{count}/{len(wanted)}, {time.perf_counter() - begin:.0f} s] {name}, {views:,} views, seed {seed}: "
            f"AUC {row['unseen_auc']:.1f} unseen, {row['seen_auc']:.1f} seen, {row['seconds']:.0f} s",
            flush=True,
        )
        reference.write(
            options.name,
            pd.DataFrame(rows).sort_values(["method", "views", "seed"]),
            command=" ".join(["python benchmarks/learning.py", *(sys.argv[1:] if arguments is None else arguments)]),
            code=CODE,
            device=provenance.device_name(options.device),
            extra={"world": world.hash(), "threads": torch.get_num_threads()},
            folder=options.out,
        )


if __name__ == "__main__":
    main()
