"""Does video without labels teach movements and not people? The study of CLP and its rivals.

``python benchmarks/experiments/clp.py`` makes the table ``clp``: every arm has the same encoder, clips, views, batch
and optimiser; what is measured are frozen features of people nobody trained on. ``--part ablations`` makes
``clp_ablations`` (lambda, margin, temperature, memory, readings). On a CPU the four main arms in setting S1 take about
three minutes of one thread for each seed. ``--budget gpu`` is the full grid at its full size, to be run on a
GPU; its tables have ``_gpu`` at the end of their names.

Seeds are draws of the pretraining people, of the initial weights and of the order of clips. Probes are trained on 40
labelled people, choose their penalty on 30 others and are tested on 60 others, always the same. Nothing is chosen by
the test people. Constants are those of a feasibility study on other people, declared here before the first run, as
were :data:`CLAIMS`.
"""

import argparse
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch.nn import functional as F

from fau_utils.data import synth
from fau_utils.data.clips import ClipSet
from fau_utils.data.images import ImageSet
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods.clip_baselines import (
    ClipAutoencoder,
    CrossOnly,
    Moco,
    OwnRows,
    SimClr,
    SupervisedClips,
    TemporalOnly,
    Untrained,
)
from fau_utils.methods.clp import Clp
from fau_utils.methods.contract import Learner
from fau_utils.metrics.contrast import Contrast
from fau_utils.models import collapse
from fau_utils.probes import Features, embed, synth_truths
from fau_utils.probes.linear import logistic, ridge
from fau_utils.results.conduct import Study
from fau_utils.results.study import RESAMPLES, contrast, estimate, scores, select
from fau_utils.training import budget_for, fit, predict
from fau_utils.training.evaluate import Predictions

CODE = ["fau_utils.methods.clip_baselines", "fau_utils.data.clips", "fau_utils.training.fit", "fau_utils.data.synth",
        "fau_utils.probes.linear"]  # fmt: skip
LENGTH, FPS = 7, 12.5
CHANCE = {"retrieval": "retrieval_gain", "attention": "attention_gain"}


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    seeds: int
    people: int
    clips: int  # of each, of seven frames
    views: int
    batch: int  # frames: a multiple of seven
    memory: int
    trunk: str | None = None
    tuning: int = 0  # views of fine-tuning on the labelled people
    shares: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the labelled frames


SIZES = {
    "cpu": Size(5, 240, 4, 11_200, 56, 1024, tuning=4_800),
    "gpu": Size(5, 2000, 8, 2_000_000, 448, 4096, "resnet18", tuning=60_000),
}

CLAIMS: list[dict[str, Any]] = [
    {"claim": "CLP's features tell movements better than those of temporal contrast alone (F1)", "score": "f1",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "temporal"}},
    {"claim": "CLP's features tell movements better than those of temporal contrast alone (AUC)", "score": "auc",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "temporal"}},
    {"claim": "the same with drifting pose and light (AUC)", "score": "auc",
     "where": {"setting": "S2"}, "ours": {"arm": "clp"}, "theirs": {"arm": "temporal"}},
    {"claim": "CLP says less of who it is than MoCo, three faces shown", "score": "hidden_three", "least": 10.0,
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "moco"}},
    {"claim": "CLP says less of who it is than MoCo, linear probe", "score": "hidden_linear",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "moco"}},
    {"claim": "CLP's features tell movements better than MoCo's", "score": "auc",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "moco"}},
    {"claim": "masking own rows finds other people more by movement than not masking", "score": "retrieval_gain",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "own rows"}},
    {"claim": "masking own rows attends to other people more by movement than not masking", "score": "attention_gain",
     "where": {"setting": "S1"}, "ours": {"arm": "clp"}, "theirs": {"arm": "own rows"}},
]  # fmt: skip
"""What is to be found, declared before any run: ours less theirs is more than ``least``, in points."""

AGAINST_CHANCE = [
    {"claim": f"{arm}: {what} is better than chance", "arm": arm, "score": score}
    for what, score in CHANCE.items() for arm in ("clp", "own rows", "untrained")
]  # fmt: skip

ARMS: dict[str, Callable[..., Learner]] = {
    "untrained": Untrained, "moco": Moco, "temporal": TemporalOnly, "clp": Clp, "own rows": OwnRows,
    "simclr": SimClr, "cross": CrossOnly, "autoencoder": ClipAutoencoder, "moco, other clips": Moco,
    "supervised": SupervisedClips,
}  # fmt: skip
MAIN = ("moco", "temporal", "clp", "own rows", "untrained")

ABLATIONS: dict[str, dict[str, Any]] = {
    "lambda 0.03": {"weight": 0.03}, "lambda 0.3": {"weight": 0.3}, "lambda 1": {"weight": 1.0},
    "margin 0.03": {"margin": 0.03}, "margin 0.3": {"margin": 0.3},
    "temperature 0.03": {"temperature": 0.03}, "temperature 0.2": {"temperature": 0.2},
    "memory 256": {"memory": 256}, "memory 4096": {"memory": 4096},
    "plain distance": {"cross": "A"}, "triplets (B)": {"temporal": "B", "margin": 0.2},
    "InfoNCE (C)": {"temporal": "C", "margin": 0.2}, "own clip masked only": {"mask": "clip"}, "no head": {"head": 0},
}  # fmt: skip
"""Options of CLP by the name of their arm; everything else as in the arm ``clp`` of the table ``clp``."""

LABELLED = SynthFaces()  # those who teach the probes, choose and are tested; other people than all who are trained on


def world(seed: int, *, setting: str, size: Size) -> SynthFaces:
    """Pretraining people of a seed in clips; pose and light constant in a clip (S1) or drifting (S2)."""
    one = {name: Split(1, LENGTH, name) for name in ("train", "val", "test")}
    return SynthFaces(
        seed=3000 + seed, clip_length=LENGTH, fps=FPS, drift=setting == "S2", seen=Split(1, LENGTH, "train"),
        unlabelled=Split(size.people, size.clips * LENGTH, "unlabelled", labelled=False), **one,
    )  # fmt: skip


@functools.lru_cache(maxsize=4)
def load(config: SynthFaces, split: str) -> ImageSet:
    return synth.load(config, split)


@functools.lru_cache(maxsize=1)
def labelled() -> dict[str, ImageSet]:
    """Who teaches the probes (every second frame), who chooses, who is tested."""
    sets = {split: load(LABELLED, split) for split in ("train", "val", "test")}
    return {**sets, "train": sets["train"].subset(np.arange(0, len(sets["train"]), 2))}


def train(arm: str, cell: dict, *, size: Size, device: str, **options: Any) -> tuple[Learner, dict[str, Any]]:
    """One run of an arm, and what it says of its training."""
    seed, make = cell["seed"], ARMS.get(arm, Clp)
    if make is SupervisedClips:
        source: Any = labelled()["train"]
        learner = make(source.aus, trunk=size.trunk, seed=seed)
    else:
        faces = load(world(seed, setting=cell["setting"], size=size), "unlabelled")
        source = ClipSet(faces, length=1 if arm.endswith("other clips") else LENGTH)
        source = source.to(device) if device != "cpu" else source
        own = {"memory": size.memory} if make in (Clp, OwnRows, CrossOnly, Moco) else {}
        learner = make(seed=seed, trunk=size.trunk, **{**own, **options})
    views = size.batch if make is Untrained else size.views
    numbers = budget_for(learner, "laptop").replace(views=views, batch_size=size.batch)
    fitted = fit(learner, source, budget=numbers, seed=seed, device=device, augment=False, progress=False)
    last = fitted.history.iloc[-1].drop(["step", "views", "seconds", "lr"])
    return learner, {
        "views": views, "faces": len(source), "seconds": fitted.seconds, "milliseconds": 1e3 * fitted.seconds / views,
        **{f"last_{name}": float(value) for name, value in last.items()},
    }  # fmt: skip


def by_person(values: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Mean over the frames of each test person."""
    return np.array([values[subject == one].mean() for one in np.unique(subject)])


def with_draws(name: str, per_person: np.ndarray) -> dict[str, Any]:
    """A mean over test people with its draws; the same people in every run."""
    picks = np.random.default_rng(0).integers(0, len(per_person), (RESAMPLES, len(per_person)))
    return {name: float(per_person.mean()), f"{name}_draws": per_person[picks].mean(1).astype("float32").tolist()}


def standard(parts: dict[str, Features]) -> dict[str, np.ndarray]:
    """Features of train, val and test in units of the training people's spread."""
    mean, std = parts["train"].z.mean(0), parts["train"].z.std(0) + 1e-6
    return {name: ((part.z - mean) / std).astype(float) for name, part in parts.items()}


def measured(learner: Learner, *, device: str, size: Size) -> dict[str, Any]:
    """All that is asked of the frozen features of people never seen."""
    parts = {name: embed(learner, data, device=device) for name, data in labelled().items()}
    x, test = standard(parts), parts["test"]
    row = au_scores(x, parts, rows=np.arange(len(x["train"])))
    few = np.isin(parts["train"].subject, np.unique(parts["train"].subject)[:5])
    row |= {f"few_{k}": v for k, v in au_scores(x, parts, rows=np.flatnonzero(few)).items() if "draws" not in k}
    for share in size.shares:
        rows = np.arange(0, len(x["train"]), round(1 / share))
        found = au_scores(x, parts, rows=rows)
        row |= {f"auc_at_{share:g}": found["auc"], f"f1_at_{share:g}": found["f1"]}
    row |= regressions(x, parts)
    row |= identity(x, parts)
    z, k = embeddings(learner, labelled()["test"], device=device)
    row |= resemblance(x["test"], z, k, test)
    for name, value in (("h", torch.from_numpy(x["test"]).float()), ("z", z)):
        row |= {f"rank_{name}": float(collapse.rank(value))}
    return row | {"std_z": float(collapse.spread(z))}


def au_scores(x: dict[str, np.ndarray], parts: dict[str, Features], *, rows: np.ndarray) -> dict[str, Any]:
    """F1 and AUC of a linear probe taught by some rows of the training people."""
    taught = (x["train"][rows], parts["train"].labels[rows].astype(float))
    probe = logistic(
        taught, (x["val"], parts["val"].labels.astype(float)), penalties=(10, 1, 0.1, 0.01), iterations=200
    )
    test = parts["test"]
    return scores(Predictions(test.frames, test.aus, expit(probe.predict(x["test"])).astype("float32"), test.labels))


def regressions(x: dict[str, np.ndarray], parts: dict[str, Features]) -> dict[str, float]:
    """R2 in percent of AU intensity, pose and light, by ridge regression."""
    truths = {name: synth_truths(LABELLED, name) for name in ("train", "val", "test")}
    truths["train"] = {name: value[::2] for name, value in truths["train"].items()}
    row = {}
    for name in ("intensity", "pose", "light"):
        y = {part: (parts[part].intensity if name == "intensity" else truths[part][name]).astype(float) for part in x}
        found = ridge((x["train"], y["train"]), (x["val"], y["val"]))
        rest = ((found.predict(x["test"]) - y["test"]) ** 2).sum(0)
        all_of_it = ((y["test"] - y["test"].mean(0)) ** 2).sum(0)
        row[f"{name}_r2"] = float(100 * (1 - rest / all_of_it).mean())
    return row


def identity(x: dict[str, np.ndarray], parts: dict[str, Features], *, draws: int = 5) -> dict[str, Any]:
    """Who it is: nearest mean of three faces of each test person; and a linear probe on 40 others, disjoint clips."""
    test = parts["test"]
    people, who = np.unique(test.subject, return_inverse=True)
    right = np.zeros((draws, len(people)))
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(who))
        first = np.array([order[who[order] == p][:3] for p in range(len(people))])  # (P, 3)
        means = x["test"][first].mean(1)
        rest = np.setdiff1d(np.arange(len(who)), first)
        away = (x["test"][rest] ** 2).sum(1)[:, None] - 2 * x["test"][rest] @ means.T + (means**2).sum(1)
        right[draw] = [(away[who[rest] == p].argmin(1) == p).mean() for p in range(len(people))]
    three = right.mean(0)
    row = with_draws("identity_three", 100 * three) | with_draws("hidden_three", 100 - 100 * three)
    train = parts["train"]
    people, who = np.unique(train.subject, return_inverse=True)
    turn = np.arange(len(who)) % 5  # single frames: each is a clip of its own
    chosen = [(x["train"][part], who[part]) for part in (turn < 3, turn == 3)]
    probe = logistic(*chosen, classes=len(people), penalties=(1, 0.1, 0.01), iterations=200)
    linear = 100 * float((probe.predict(x["train"][turn == 4]).argmax(1) == who[turn == 4]).mean())
    return row | {"identity_linear": linear, "hidden_linear": 100 - linear}


@torch.no_grad()
def embeddings(learner: Learner, data: ImageSet, *, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys of length 1 of a set; of a learner without a momentum encoder both are the same."""
    learner.to(device).eval()
    project = getattr(learner, "project", None) or (lambda batch: F.normalize(learner.embed(batch), dim=1))
    keys = getattr(learner, "keys", None) or project
    batches = [data.batch(torch.arange(a, min(a + 256, len(data))), device=device) for a in range(0, len(data), 256)]
    return torch.cat([project(b) for b in batches]).cpu(), torch.cat([keys(b) for b in batches]).cpu()


def resemblance(h: np.ndarray, z: torch.Tensor, k: torch.Tensor, test: Features) -> dict[str, Any]:
    """How near in movement the faces of *other* people are that are nearest in h or z, or attended; 0 is chance."""
    moved = torch.cdist(*[torch.from_numpy(test.intensity)] * 2, p=1)
    other = torch.from_numpy(test.subject[:, None] != test.subject)
    usual = (moved * other).sum(1) / other.sum(1)
    row: dict[str, Any] = {}
    for name, x in (("retrieval_gain", torch.from_numpy(h).float()), ("retrieval_z_gain", z)):
        nearest = torch.cdist(x, x).masked_fill(~other, torch.inf).argmin(1)
        gain = 100 * (1 - moved.gather(1, nearest[:, None])[:, 0] / usual)
        row |= with_draws(name, by_person(gain.numpy(), test.subject))
    attention = (z @ k.T / 0.07).masked_fill(~other, -torch.inf).softmax(1)
    gain = 100 * (1 - (attention * moved).sum(1) / usual)
    row |= with_draws("attention_gain", by_person(gain.numpy(), test.subject))
    row["attention_entropy"] = float(collapse.entropy(attention, other))
    everyone = (z @ k.T / 0.07).fill_diagonal_(-torch.inf).softmax(1)
    row["attention_own"] = float(100 * (everyone * ~other).sum(1).mean())
    return row


def tuned(learner: Learner, *, seed: int, device: str, size: Size) -> dict[str, Any]:
    """Scores after all weights were fine-tuned on the labelled people."""
    faces = labelled()["train"]
    method = SupervisedClips(faces.aus, trunk=size.trunk, init=learner, seed=seed)
    numbers = budget_for(method, "laptop").replace(views=size.tuning, batch_size=64, lr=5e-4)
    fit(method, faces, budget=numbers, seed=seed, device=device, progress=False)
    found = scores(predict(method, labelled()["test"], device=device))
    return {f"tuned_{name}": value for name, value in found.items()}


def run(cell: dict, device: str, *, size: Size) -> dict[str, Any]:
    learner, row = train(cell["arm"], cell, size=size, device=device, **ABLATIONS.get(cell["arm"], {}))
    row |= measured(learner, device=device, size=size)
    return row | (tuned(learner, seed=cell["seed"], device=device, size=size) if size.tuning else {})


def cells(part: str, size: Size, settings: tuple[str, ...] = ("S1", "S2")) -> list[dict]:
    seeds = range(size.seeds)
    if part == "ablations":
        return [{"arm": arm, "setting": "S1", "seed": seed} for seed in seeds for arm in ABLATIONS]
    order = [(arm, "S1") for arm in MAIN] + [(arm, "S2") for arm in ("clp", "temporal", "moco")]
    order += [(arm, "S1") for arm in ARMS if arm not in MAIN] + [("own rows", "S2")]
    return [
        {"arm": arm, "setting": setting, "seed": seed}
        for seed in seeds
        for arm, setting in order
        if setting in settings
    ]


def study(part: str = "arms", *, budget: str = "cpu", settings: tuple[str, ...] = ("S1", "S2")) -> Study:
    """One table of the study, or its cells of one setting."""
    name = "_".join(["clp", *([part] if part != "arms" else []), *([budget] if budget != "cpu" else [])])
    words = [*(["--part", part] if part != "arms" else []), *(["--budget", budget] if budget != "cpu" else [])]
    command = " ".join(["python benchmarks/experiments/clp.py", *words])
    size = SIZES[budget]
    return Study(name, cells(part, size, settings), functools.partial(run, size=size), CODE, 2, command)


def verdicts(table: Any) -> list[Contrast]:
    """The declared claims, computed; those against chance come last."""
    found = [contrast(table, **claim, **({} if claim["score"] in ("f1", "auc") else {"unit": "points"}))
             for claim in CLAIMS]  # fmt: skip
    for claim in AGAINST_CHANCE:
        rows = select(table, arm=claim["arm"], setting="S1")
        if len(rows):
            mean, low, high = estimate(rows[claim["score"]], list(rows[f"{claim['score']}_draws"]))
            over = f"{len(rows)} seed{'s' if len(rows) > 1 else ''} and the people"
            found.append(Contrast(claim["claim"], mean, low, high, over=over, unit="% of chance"))
    return found


STUDY = study()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], add_help=False)
    parser.add_argument("--part", nargs="+", choices=["arms", "ablations", "all"], default=["arms"])
    parser.add_argument("--budget", choices=list(SIZES), default="cpu")
    parser.add_argument("--setting", nargs="+", choices=["S1", "S2"], default=["S1", "S2"])
    options, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    for part in ("arms", "ablations") if "all" in options.part else options.part:
        study(part, budget=options.budget, settings=tuple(options.setting)).main(rest)


if __name__ == "__main__":
    main()
