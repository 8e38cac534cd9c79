"""Does separating domains help to detect AUs in one without AU labels? The study of landmarks with domain separation.

``python benchmarks/experiments/domain_separation.py`` makes the table ``domain_separation``: the main arms at a gap of
.67. ``--part baselines`` (landmarks on the source, two ways to hide the domain, true target landmarks, the ceiling),
``readings`` (pixels, other negatives and pairs, no adversaries), ``gaps`` (0 to 1), ``guides`` (how many faces with
landmarks) and ``prior`` (other base rates in the target) make ``domain_separation_<part>``; ``--part all`` makes them
one after another. On a CPU the main part takes about ten minutes of one thread for each seed. ``--budget gpu`` is the
full grid with ADLD's widths, to be run on a GPU; its tables have ``_gpu`` at the end of their names. Seeds are the
outer loop: whoever has less time stops earlier, and has a balanced table.

Seeds are draws of the training people of both domains, of the initial weights and of the order of faces; the test
people are always the same 60 others, in either domain. All arms have the same steps on the same faces. Nothing is
chosen: neither by test people nor among runs. Options, numbers and :data:`CLAIMS` were declared before the first run.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from fau_utils.data.domains import Gap, TwoDomains
from fau_utils.data.images import ImageSet
from fau_utils.faces.apart import apart
from fau_utils.faces.draw import draw, renderer_for
from fau_utils.faces.plan import plan
from fau_utils.methods.contract import Method
from fau_utils.methods.domain_baselines import Dann, DomainSeparationNetworks, LandmarkTask, SourceOnly
from fau_utils.methods.domain_losses import inverse_rates
from fau_utils.methods.domain_networks import WithLandmarks
from fau_utils.methods.domain_separation import DomainSeparation
from fau_utils.metrics.contrast import Contrast
from fau_utils.metrics.landmarks import nme
from fau_utils.probes import Effort, Features, probe
from fau_utils.results.conduct import Study
from fau_utils.results.study import contrast, scores
from fau_utils.training import Fitted, budget_for, fit, predict
from fau_utils.training.readings import NotFinite

CODE = ["fau_utils.methods.domain_separation", "fau_utils.methods.domain_baselines", "fau_utils.data.domains",
        "fau_utils.training.fit", "fau_utils.probes.probe"]  # fmt: skip
GAP = 0.67


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    seeds: int
    people: int
    frames: int
    guides: int
    views: int
    batch: int
    lr: float
    networks: str
    probed: int
    counts: tuple[int, ...]
    gaps: tuple[float, ...] = (0.0, 0.33, 0.67, 1.0)


SIZES = {
    "cpu": Size(5, 60, 40, 60, 7_200, 24, 2e-3, "mini", 400, (0, 60, 600)),
    "gpu": Size(5, 250, 40, 250, 600_000, 96, 1e-3, "adld", 2_000, (0, 200, 600, 2_000)),
}

ARMS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "S0": (SourceOnly, {}),
    "S1": (LandmarkTask, {"on": "source"}),
    "S2": (LandmarkTask, {"on": "both"}),
    "DANN": (Dann, {}),
    "DSN": (DomainSeparationNetworks, {}),
    "D0": (DomainSeparation, {"detector": "unshared", "alignment": "none"}),
    "D1": (DomainSeparation, {"alignment": "none"}),
    "D1-u": (DomainSeparation, {"detector": "unshared", "alignment": "none"}),
    "D2": (DomainSeparation, {}),
    "D2-p": (DomainSeparation, {"alignment": "pixels"}),
    "D2-i": (DomainSeparation, {"negatives": "plain"}),
    "D2-d": (DomainSeparation, {"negatives": "domains"}),
    "D2-f": (DomainSeparation, {"supervisors": "reconstructed"}),
    **{f"D2-{n}": (DomainSeparation, {"pairs": tuple(m for m in (1, 2, 3, 4) if m != n)}) for n in (1, 2, 3, 4)},
    "D2-a": (DomainSeparation, {"adversaries": False}),
    "ADLD*": (DomainSeparation, {"detector": "given", "alignment": "none"}),
    "U": (SourceOnly, {}),
}
"""Arms of the study. D0 is D1-u with a finder that was trained before and stands still; ADLD* is told the target's true
landmarks; U learns from the target's labels. D2-r is D2 with E(x) classified, from the same run."""

CLAIMS: dict[str, list[dict[str, Any]]] = {
    "main": [
        {"claim": "aligning the two rounds raises AUC on the target (D2 - D1)",
         "ours": {"arm": "D2"}, "theirs": {"arm": "D1"}},
        {"claim": "shared and trained landmark modules beat a frozen detector (D1 - D0)",
         "ours": {"arm": "D1"}, "theirs": {"arm": "D0"}},
        {"claim": "sharing itself raises AUC on the target (D1 - D1-u)",
         "ours": {"arm": "D1"}, "theirs": {"arm": "D1-u"}},
        {"claim": "separation beats learning landmarks on both domains (D2 - S2)",
         "ours": {"arm": "D2"}, "theirs": {"arm": "S2"}},
        {"claim": "the whole beats source-only training (D2 - S0)",
         "ours": {"arm": "D2"}, "theirs": {"arm": "S0"}},
        {"claim": "classifying the reconstructed feature beats the encoded one (D2 - D2-r)",
         "ours": {"arm": "D2"}, "theirs": {"arm": "D2-r"}},
    ],
    "baselines": [
        {"claim": "labels of the target beat separation told its landmarks (U - ADLD*)",
         "ours": {"arm": "U"}, "theirs": {"arm": "ADLD*"}},
    ],
    "readings": [
        {"claim": "contrast aligns better than pixels (D2 - D2-p)", "ours": {"arm": "D2"}, "theirs": {"arm": "D2-p"}},
        {"claim": "negatives that know labels help (D2 - D2-i)", "ours": {"arm": "D2"}, "theirs": {"arm": "D2-i"}},
        {"claim": "adversaries help (D2 - D2-a)", "ours": {"arm": "D2"}, "theirs": {"arm": "D2-a"}},
    ],
    "gaps": [
        {"claim": "something is gained even without a gap, so not by adaptation (D2 - S0 at 0)", "where": {"gap": 0.0},
         "ours": {"arm": "D2"}, "theirs": {"arm": "S0"}},
    ],
    "guides": [],
    "prior": [
        {"claim": "the gain outlives a shift of base rates (D2 - S2)", "where": {"prior": 0.5},
         "ours": {"arm": "D2"}, "theirs": {"arm": "S2"}},
        {"claim": "and so does that over source-only training (D2 - S0)", "where": {"prior": 0.5},
         "ours": {"arm": "D2"}, "theirs": {"arm": "S0"}},
    ],
    "pooled": [
        *({"claim": f"separation beats {words} (D2 - {arm})", "where": {"prior": 0.0},
           "ours": {"arm": "D2"}, "theirs": {"arm": arm}}
          for arm, words in {"DANN": "a reversed gradient", "DSN": "private and shared encoders",
                             "S1": "landmarks of the source alone"}.items()),
        {"claim": "other base rates in the target cost less than 2 points of the gain (D2 - S0 at .5 less at 0)",
         "ours": {"arm": "gain", "prior": 0.5}, "theirs": {"arm": "gain", "prior": 0.0}, "least": -2.0},
        {"claim": "more is gained on AUs that move landmarks than on those of texture (D2 - S0)",
         "ours": {"arm": "gain, moving"}, "theirs": {"arm": "gain, texture"}},
    ],
}  # fmt: skip
"""What is to be found: ours less theirs is more than ``least``. All are older than the runs that decide them, but for
the last one: its threshold came after three seeds of ``main``, from the renderer and not from scores."""

LEAST_SHIFT = 1.0
"""Px of 64 by which an AU at full intensity must move the ten landmarks that it moves most to be one that moves."""

MOVING, TEXTURE = (1, 2, 4, 9, 12), (6, 14, 25)
"""The AUs of a `Gap` on either side of that; a test asks the renderer."""


def gap_of(cell: dict, size: Size) -> Gap:
    return Gap(
        cell.get("gap", GAP), prior=cell.get("prior", 0.0), seed=cell["seed"], people=size.people, frames=size.frames,
        guides=size.guides,
    )  # fmt: skip


@functools.lru_cache(maxsize=3)
def _domains(gap: Gap, guides: int | None, told: bool, ceiling: bool) -> TwoDomains:
    return gap.ceiling() if ceiling else gap.domains(guides=guides, target_landmarks=told)


@functools.lru_cache(maxsize=4)
def _tested(gap: Gap, wild: bool) -> ImageSet:
    return gap.tested(wild=wild)


def shown_at_test(gap: Gap, *, wild: bool = True) -> ImageSet:
    return _tested(replace(gap, seed=0), wild)  # the same people for every seed


def trained(method: Method, faces: TwoDomains, *, seed: int, size: Size, device: str, share: float = 1.0) -> Fitted:
    faces = faces.to(device) if device != "cpu" else faces
    numbers = budget_for(method, "laptop").replace(views=int(size.views * share), batch_size=size.batch, lr=size.lr)
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False)


def run(cell: dict, device: str, *, size: Size) -> list[dict]:
    gap, arm, seed = gap_of(cell, size), cell["arm"], cell["seed"]
    faces = _domains(gap, cell.get("guides"), arm == "ADLD*", arm == "U")
    rates = [float(r) for r in torch.nanmean(faces.source.labels, 0)]
    common = {"networks": size.networks, "weight": inverse_rates(rates).tolist(), "seed": seed}
    build, options = ARMS[arm]
    if arm == "D0":  # a detector of its own, on the same faces with landmarks, before
        finder = LandmarkTask(faces.aus, labels=False, **common)
        options = options | {"finder": trained(finder, faces, seed=seed, size=size, device=device).method}
    if "align_after" not in options and options.get("alignment") != "none" and build is DomainSeparation:
        options = options | {"align_after": size.views // 5}
    if build in (Dann, DomainSeparationNetworks):
        options = options | {"ramp": size.views // 2}
    try:
        fitted = trained(build(faces.aus, **common, **options), faces, seed=seed, size=size, device=device)
    except NotFinite as error:  # a result, without a score
        return [{**cell, "adversary": "diverged", "said": str(error).partition(";")[0]}]
    row = {"views": fitted.views, "seconds": fitted.seconds, "adversary": adversary(fitted.history)}
    rows = [{**cell, **row, **measured(fitted.method, gap, size=size, device=device)}]
    if arm == "D2":
        fitted.method.reads = "encoded"
        rows.append({**cell, **row, "arm": "D2-r", **measured(fitted.method, gap, size=size, device=device, all=False)})
    return rows


def adversary(history: pd.DataFrame) -> str:
    """What became of the discriminators: ``none``, ``balanced``, ``won`` (they tell every fake) or ``lost``.

    Least squares of one half for real and fake costs 0.25, and that is all there is to be had against perfect fakes.
    One that diverges stops the run, see ``fit``; its row says ``diverged`` and has no scores.
    """
    if "tells domains" not in history:
        return "none"
    last = history["tells domains"].iloc[-max(1, len(history) // 5) :].mean()
    return "won" if last < 0.05 else "lost" if last > 0.24 else "balanced"


def measured(method: Method, gap: Gap, *, size: Size, device: str, all: bool = True) -> dict[str, Any]:
    """Scores on target and source, landmark error, and of separated features what is in them and whether swaps hold."""
    wild, lab = shown_at_test(gap), shown_at_test(gap, wild=False)
    said = predict(method, wild, device=device)
    row = scores(said)
    row["each_auc"] = (100 * said.scores()["auc"]).tolist()
    source = scores(predict(method, lab, device=device), resamples=1)
    row |= {"source_f1": source["f1"], "source_auc": source["auc"]}
    if not all:
        return row
    if isinstance(method, WithLandmarks):
        row["nme"] = 100 * nme(located(method, wild, device=device), wild.landmarks).value
    if isinstance(method, DomainSeparation):
        row |= probed(method, wild, lab, faces=size.probed, device=device)
        row |= swapped(method, replace(gap, seed=0), faces=256, device=device)
    return row


@torch.no_grad()
def located(method: WithLandmarks, data: ImageSet, *, device: str) -> torch.Tensor:
    return torch.cat([method.locate(b).cpu() for b in data.batches(batch_size=256, shuffle=False, device=device)])


@torch.no_grad()
def probed(method: DomainSeparation, *sides: ImageSet, faces: int, device: str) -> dict[str, float]:
    """Fresh linear probes of where the face moves (a), its texture (z) and the whole map (F), in percent."""
    chosen = [side.subset(torch.arange(len(side))[:: max(1, len(side) // faces)]) for side in sides]
    parts: dict[str, list] = {"a": [], "z": [], "F": []}
    for side in chosen:
        for batch in side.batches(batch_size=256, shuffle=False, device=device):
            for name, maps in method.separate(batch).items():
                flat = maps if maps.dim() == 2 else F.adaptive_avg_pool2d(maps, 4).flatten(1)
                parts[name].append(flat.float().cpu())
    known = {
        "subject": np.concatenate([side.frames.table["subject"].to_numpy(str) for side in chosen]),
        "clip": np.arange(sum(map(len, chosen))),
        "frame": np.concatenate([side.frame.numpy() for side in chosen]),
        "domain": np.repeat([1, 0], [len(side) for side in chosen]),
        "labels": np.concatenate([side.labels.numpy() for side in chosen]),
        "landmarks": np.concatenate([side.landmarks.numpy() for side in chosen]),
    }
    effort = Effort(penalties=(1e-1,), iterations=100)
    row = {}
    for name, found in parts.items():
        features = Features(torch.cat(found).numpy(), aus=method.aus, **known)
        for target in ("domain", "au", "landmarks"):
            value = probe(features, target=target, effort=effort, resamples=1).value
            row[f"probe_{target}_{name}"] = 100 * float(value)
    return row


@functools.lru_cache(maxsize=2)
def _truly_swapped(gap: Gap, faces: int) -> torch.Tensor:
    """Target people in their pictures with the movements of source faces, rendered, (N, 3, R, R) uint8."""
    rows, moving = (plan(replace(world, seed=0), "test")[:faces] for world in (gap.wild, gap.lab))
    shown = rows.showing(moving[torch.randperm(faces, generator=torch.Generator().manual_seed(0))])
    world = replace(gap.wild, seed=0)
    return apart(lambda: draw(world, shown, renderer=renderer_for(world)).images)


@torch.no_grad()
def swapped(method: DomainSeparation, gap: Gap, *, faces: int, device: str) -> dict[str, float]:
    """Cosine of G(a_s, z_t) with the map of the truly rendered face, less the mean face's, in percent.

    Beside it that of E(x_t), which nobody swapped, and that of the changes that the swap makes and should make.
    """
    order = torch.randperm(faces, generator=torch.Generator().manual_seed(0))
    wild = shown_at_test(gap).batch(torch.arange(faces), device=device)
    lab = shown_at_test(gap, wild=False).batch(order, device=device)
    true = method.encode(wild.with_image(_truly_swapped(gap, faces).to(device).float() / 255))
    rounds = method.rounds(lab, wild)
    centre = true.mean(0)
    found = {"swap": rounds.swapped_t, "unswapped": rounds.real_t, "again": rounds.again_t}
    cosines = {n: F.cosine_similarity((m - centre).flatten(1), (true - centre).flatten(1)) for n, m in found.items()}
    # most of a map is the person and the picture: what the swap should change, and what it does
    moves = (rounds.swapped_t - rounds.again_t).flatten(1), (true - rounds.real_t).flatten(1)
    cosines["change"] = F.cosine_similarity(*moves)
    return {f"cosine_{name}": 100 * float(value.mean()) for name, value in cosines.items()}


def cells(part: str, size: Size) -> list[dict]:
    arms = {
        "main": ("D2", "S2", "D1", "S0", "D1-u", "D0"),
        "baselines": ("U", "DANN", "S1", "ADLD*", "DSN"),
        "readings": ("D2", "D2-p", "D2-i", "D2-a", "D2-f", "D2-d", "D2-1", "D2-2", "D2-3", "D2-4"),
    }
    seeds = range(size.seeds)
    if part in arms:
        return [{"arm": arm, "gap": GAP, "seed": seed} for seed in seeds for arm in arms[part]]
    if part == "gaps":
        return [{"arm": a, "gap": g, "seed": s} for s in seeds for g in size.gaps for a in ("S0", "S2", "D2")]
    if part == "guides":
        return [
            {"arm": a, "gap": GAP, "guides": n, "seed": s} for s in seeds for n in size.counts for a in ("S2", "D2")
        ]
    return [{"arm": a, "gap": GAP, "prior": 0.5, "seed": s} for s in seeds for a in ("S0", "S2", "D2")]


PARTS = ("main", "baselines", "readings", "gaps", "guides", "prior")


def study(part: str = "main", *, budget: str = "cpu") -> Study:
    """One table of the study."""
    name = "_".join(["domain_separation", *([] if part == "main" else [part]), *([] if budget == "cpu" else [budget])])
    words = [*(["--part", part] if part != "main" else []), *(["--budget", budget] if budget != "cpu" else [])]
    command = " ".join(["python benchmarks/experiments/domain_separation.py", *words])
    size = SIZES[budget]
    runs: Callable[[dict, str], list[dict]] = functools.partial(run, size=size)
    return Study(name, cells(part, size), runs, CODE, command=command)


def verdicts(part: str, table: pd.DataFrame) -> list[Contrast]:
    """The declared claims of a part, computed; those of ``pooled`` on :func:`pooled`."""
    return [contrast(table, **claim) for claim in CLAIMS[part]]


def pooled(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Main, baselines and prior in one table: same seeds, people and size. Has D2 less S0 as well, as arms ``gain``."""
    found = [tables[part] for part in ("main", "baselines", "prior") if part in tables]
    if not found:
        return pd.DataFrame(columns=["arm", "seed", "prior", "auc", "auc_draws"])
    rows = pd.concat(found, ignore_index=True)
    rows["prior"] = (rows["prior"] if "prior" in rows else rows["auc"] * np.nan).fillna(0.0)
    rows = rows.drop_duplicates(["arm", "seed", "prior"])
    sides = [rows[rows["arm"] == arm].dropna(subset="auc").set_index(["prior", "seed"]) for arm in ("D2", "S0")]
    gains = []
    for prior, seed in sides[0].index.intersection(sides[1].index):
        whole, source = (side.loc[(prior, seed)] for side in sides)
        each = dict(zip(Gap(GAP).aus, np.subtract(whole["each_auc"], source["each_auc"]), strict=True))
        both = {"seed": seed, "prior": prior}
        draws = np.subtract(whole["auc_draws"], source["auc_draws"])
        gains.append({**both, "arm": "gain", "auc": whole["auc"] - source["auc"], "auc_draws": draws})
        if not prior:
            gains += [
                {**both, "arm": f"gain, {name}", "auc": float(np.mean([each[au] for au in aus]))}
                for name, aus in (("moving", MOVING), ("texture", TEXTURE))
            ]
    return pd.concat([rows, pd.DataFrame(gains)], ignore_index=True)


STUDY = study()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], add_help=False)
    parser.add_argument("--part", nargs="+", choices=[*PARTS, "all"], default=["main"])
    parser.add_argument("--budget", choices=list(SIZES), default="cpu")
    options, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    for part in PARTS if "all" in options.part else options.part:
        study(part, budget=options.budget).main(rest)


if __name__ == "__main__":
    main()
