"""Are latents of a masked autoencoder, taught by a graph, the way to AUs of occluded faces? The study of 2212.04029.

``python benchmarks/experiments/occlusion_mae.py`` makes the table ``occlusion_mae``: arms x seeds, and for each the
scores under scattered patches and blocks of every ratio and under bands, with masks that all arms share. All networks
there are the same transformer with the same overlapping stem. ``--part patch`` makes ``occlusion_mae_patch``: students
and autoencoder have a stem that sees no neighbour, which learns more slowly; the teacher, *augmented* and *mask as
channel* have the overlapping one, so that these contrasts are between networks as well. ``--part cost`` makes
``occlusion_mae_cost``: milliseconds per face and operations, with and without the decoder, and what padding costs.
``--budget gpu`` is the full study at its full size, to be run on a GPU.

All arms that are trained see the same faces equally often, occluded by the same transform: half scattered patches, half
a block, at a ratio of each face's own, up to 0.6 and none for one face in five (``patch``: up to 0.75). Seeds are
draws of the training people, of weights, order and masks; the test people are always the same others. Pretraining sees
other people, and its views come on top: arms without it (*augmented*, *random encoder*) are not given more of their
own, which speaks for the method. Nothing was chosen by test people; all claims were declared here before the first run.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fau_utils.data import synth
from fau_utils.data.images import ImageSet
from fau_utils.faces.copula import INDEPENDENT
from fau_utils.faces.patches import BANDS, fixed_masks
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods.contract import Method
from fau_utils.methods.graph_teacher import GraphDetector
from fau_utils.methods.mae import MaePretraining
from fau_utils.methods.occlude import Occlude
from fau_utils.methods.occlusion_arms import TRAINED, InpaintThenClassify, build_arm
from fau_utils.metrics.contrast import Contrast
from fau_utils.results.conduct import Study
from fau_utils.results.study import contrast, scores
from fau_utils.stress import occlude, occlusion_curve, support_in_patches
from fau_utils.training import budget_for, fit

CODE = [
    "fau_utils.methods.occlusion_mae", "fau_utils.methods.occlusion_arms", "fau_utils.stress.occlusion",
    "fau_utils.training.fit", "fau_utils.data.synth",
]  # fmt: skip
REPEATS = 9  # of a reading of the time, the first two to warm up
RATIOS = (0.0, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Setup:
    """What the networks of a part have in common."""

    stem: str  # of the autoencoder and of all students; the teacher's and its augmented twin's is always ``conv``
    occlusion: Occlude
    encoder_rate: float | None  # of a pretrained encoder; None is fine-tuning's third


SETUPS = {
    "arms": Setup("conv", Occlude(high=0.6, clean=0.2), 1.0),
    "patch": Setup("patch", Occlude(high=0.75), None),
}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    seeds: int
    people: int
    frames: int
    views: int
    batch: int
    model: str
    pool: int  # other people without labels, four faces each
    pretraining: int  # views
    every: int  # of the test people's faces, one in so many is looked at
    draws: int  # of the masks


SIZES = {
    "cpu": Size(5, 20, 100, 12_800, 32, "mini64", 1500, 25_600, 2, 1),
    "gpu": Size(5, 80, 100, 200_000, 128, "mini192", 20_000, 4_000_000, 1, 3),
}

_AT = {"75 % scattered patches": {"kind": "random", "ratio": 0.75}, "a block of 50 %": {"kind": "block", "ratio": 0.5}}
CLAIMS: list[dict[str, Any]] = [
    {"claim": f"the method beats {theirs} in {score.upper()} under {place}", "score": score, "where": where,
     "ours": {"arm": "method"}, "theirs": {"arm": theirs}}
    for theirs in ("augmented", "AU loss only", "inpainted")
    for place, where in _AT.items() for score in ("f1", "auc")
] + [
    {"claim": f"control, should fail: distillation brings more than 2 points on hidden AU{INDEPENDENT}, which nobody "
     f"can know ({place})", "least": 2.0, "score": "hidden_independent_auc", "where": where,
     "ours": {"arm": "method"}, "theirs": {"arm": "AU loss only"}}
    for place, where in _AT.items()
]  # fmt: skip
"""Declared before any run: ours less theirs is more than ``least``. The last ones are controls: they should fail."""

OTHERS = SynthFaces(skew=0.0)  # who is tested


def world(seed: int, size: Size) -> SynthFaces:
    """Training people of a seed, and other people without labels."""
    return SynthFaces(
        seed=1000 + seed, skew=1.2, train=Split(size.people, size.frames, "train"),
        seen=Split(size.people, 40, "train", skew=0.0),
        unlabelled=Split(size.pool, 4, "unlabelled", labelled=False),
    )  # fmt: skip


@functools.lru_cache(maxsize=2)
def test(size: Size) -> tuple[ImageSet, torch.Tensor]:
    """Faces of the test people, and where each AU shows in them."""
    data = synth.load(OTHERS, "test")
    rows = np.arange(0, len(data), size.every)
    return data.subset(rows), support_in_patches(OTHERS, "test", rows)


@functools.lru_cache(maxsize=1)
def pretrained(seed: int, size: Size, stem: str, device: str) -> MaePretraining:
    method = MaePretraining(model=size.model, stem=stem, normalise_target=False, seed=seed)
    numbers = budget_for(method, "laptop").replace(views=size.pretraining)
    faces = synth.load(world(seed, size), "unlabelled")
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


@functools.lru_cache(maxsize=1)
def taught(seed: int, size: Size, device: str) -> GraphDetector:
    method = GraphDetector(OTHERS.aus, model=size.model, seed=seed)
    return _fit(method, seed, size, device)[0]


def _fit(method: Method, seed: int, size: Size, device: str) -> tuple[Any, dict[str, Any]]:
    numbers = budget_for(method, "laptop").replace(views=size.views, batch_size=size.batch, lr=2e-3)
    faces = synth.load(world(seed, size), "train")
    fitted = fit(method, faces, budget=numbers, seed=seed, device=device, progress=False)
    return fitted.method, {"seconds": fitted.seconds, "views": numbers.views}


def run(cell: dict, device: str, *, size: Size, setup: Setup) -> list[dict]:
    """Rows of one arm: one for each condition of the test."""
    seed, arm = cell["seed"], cell["arm"]
    teacher = taught(seed, size, device)
    said: dict[str, Any] = {}
    if arm == "teacher":
        method: Method = teacher
    elif arm == "inpainted":
        method = InpaintThenClassify(pretrained(seed, size, setup.stem, device), teacher)
    else:
        needs = not arm.startswith("augmented") and arm != "random encoder"
        mae = pretrained(seed, size, setup.stem, device) if needs else None
        options = {"teacher": teacher, "mae": mae, "occlusion": setup.occlusion, "model": size.model, "seed": seed}
        options |= {"stem": setup.stem, "encoder_rate": setup.encoder_rate}
        method, said = _fit(build_arm(arm, OTHERS.aus, **options), seed, size, device)
    data, support = test(size)
    table = occlusion_curve(
        {arm: method}, data, kinds=("random", "block", *BANDS), ratios=RATIOS, draws=size.draws, support=support,
        independent=INDEPENDENT, score=scores, device=device,
    )  # fmt: skip
    rows = table.drop(columns="method").to_dict("records")
    for row in rows:
        row |= said | {"cosine": _cosine(method, teacher, data, row, device)}
    return _mean_of_draws(rows)


@torch.no_grad()
def _cosine(method: Method, teacher: GraphDetector, data: ImageSet, row: dict, device: str) -> float:
    """Between nodes of occluded faces and the teacher's of clean ones."""
    graph = getattr(getattr(method, "method", method), "graph", None)
    if graph is None:
        return float("nan")
    rows = torch.arange(0, len(data), max(1, len(data) // 200))
    ratio = None if row["kind"] in BANDS else row["ratio"]
    hidden = fixed_masks(len(data), kind=row["kind"], grid=8, ratio=ratio, draw=row["draw"])[rows]
    method.eval()
    teacher.eval()
    clean = data.subset(rows)
    batch = occlude(clean, hidden).batch(torch.arange(len(rows)), device=device)
    nodes = graph(batch).nodes
    wanted = teacher.graph(clean.batch(torch.arange(len(rows)), device=device)).nodes
    return float(torch.nn.functional.cosine_similarity(nodes, wanted, dim=-1).mean())


def _mean_of_draws(rows: list[dict]) -> list[dict]:
    """One row for each condition: numbers and lists of numbers are averaged over the draws of the masks."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["ratio"]), []).append(row)
    merged = []
    for found in groups.values():
        row = dict(found[0])
        for name, value in row.items():
            if isinstance(value, (float, list)) and name != "ratio":
                row[name] = np.mean([np.asarray(other[name], float) for other in found], 0).tolist()
        merged.append(row | {"draws": len(found)})
    return merged


def run_cost(cell: dict, device: str, *, size: Size) -> list[dict]:
    """Milliseconds and operations for each face, with weights that nothing was taught."""
    seed = cell["seed"]
    teacher = GraphDetector(OTHERS.aus, model=size.model, seed=seed)
    setup = SETUPS["patch"]  # an overlapping stem looks at all pixels, the published one at the visible ones
    mae = MaePretraining(model=size.model, stem=setup.stem, normalise_target=False, seed=seed)
    if cell["arm"] == "inpainted":
        method: Method = InpaintThenClassify(mae, teacher)
    elif cell["arm"] == "teacher":
        method = teacher
    else:
        options = {"teacher": teacher, "mae": mae, "occlusion": setup.occlusion, "model": size.model}
        method = build_arm("AU loss only", OTHERS.aus, **options)
        method.groups = cell["groups"]
    data = test(size)[0]
    data = data.subset(np.arange(min(64, len(data))))
    rows = []
    for kind, ratio in (("random", 0.0), ("random", 0.5), ("random", 0.75), ("random", 0.9), ("mixed", None)):
        if kind == "mixed":  # each face another number, as in training
            hidden = setup.occlusion.masks(torch.arange(len(data)), grid=8)
        else:
            hidden = fixed_masks(len(data), kind=kind, grid=8, ratio=ratio)
        batch = occlude(data, hidden).batch(torch.arange(len(data)), device=device)
        rows.append({"kind": kind, "ratio": ratio, **_measured(method.to(device).eval(), batch, device)})
    return rows


@torch.no_grad()
def _measured(method: Method, batch: Any, device: str) -> dict[str, float]:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        method.predict(batch)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    with FlopCounterMode(display=False) as counter:
        method.predict(batch)
    # the shortest of several: whatever else the machine did can only have added
    return {"ms": 1e3 * min(times[2:]) / len(batch), "mflop": counter.get_total_flops() / len(batch) / 1e6}


_FIRST = ("teacher", "inpainted", "method", "AU loss only", "augmented")
"""The declared claims need no more."""


def cells(part: str, size: Size) -> list[dict]:
    if part == "cost":
        order = [("teacher", 0), ("inpainted", 0), ("method", 1), ("method", 4), ("method", 16), ("method", 64)]
        return [{"arm": arm, "groups": groups, "seed": seed} for seed in range(3) for arm, groups in order]
    order = [*_FIRST, *(arm for arm in TRAINED if arm not in _FIRST)]
    return [{"arm": arm, "seed": seed} for seed in range(size.seeds) for arm in order]


RUNS: dict[str, Callable[..., Any]] = {
    **{part: functools.partial(run, setup=setup) for part, setup in SETUPS.items()}, "cost": run_cost,
}  # fmt: skip


def study(part: str, *, budget: str = "cpu") -> Study:
    """One table of the paper's study."""
    name = "_".join(["occlusion_mae", *([] if part == "arms" else [part]), *([] if budget == "cpu" else [budget])])
    words = [*(["--part", part] if part != "arms" else []), *(["--budget", budget] if budget != "cpu" else [])]
    command = " ".join(["python benchmarks/experiments/occlusion_mae.py", *words])
    size = SIZES[budget]
    version = 2 if part == "arms" else 1  # the first version had the stem of ``patch``
    return Study(name, cells(part, size), functools.partial(RUNS[part], size=size), CODE, version, command)


def verdicts(table: Any) -> list[Contrast]:
    """The declared claims, computed."""
    return [contrast(table, **claim) for claim in CLAIMS]


STUDY = study("arms")


def main(arguments: list[str] | None = None) -> None:
    torch.set_flush_denormal(True)
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], add_help=False)
    parser.add_argument("--part", choices=list(RUNS), default="arms")
    parser.add_argument("--budget", choices=list(SIZES), default="cpu")
    options, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    study(options.part, budget=options.budget).main(rest)


if __name__ == "__main__":
    main()
