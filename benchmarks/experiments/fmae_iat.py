"""Does an identity adversary help on people never seen, and does it remove identity? The study of FMAE-IAT.

``python benchmarks/experiments/fmae_iat.py`` makes the table ``fmae_iat``: lambda against the skew of base rates
between people, and at the usual skew the forms of loss and head, and the controls. ``--part dynamics`` (scores look by
look), ``people`` (5 to 500 of them), ``pretraining`` (none, or MAE on other people; from 1 label in 32 to all of them;
the paper's mean pooling), ``scale`` (views of pretraining, networks) and ``split`` (frames divided at random) make
``fmae_iat_<part>``; ``--part all`` makes them all. On a CPU the first nine cells of a seed take about six minutes on
one thread. ``--budget gpu`` is the full grid, to be run on a GPU; its tables have ``_gpu`` at the end of their names.
``--verdicts`` runs nothing and prints the claims.

Seeds are draws of the training people, of the initial weights and of the order of faces; the test people are always
the same 60 others, whose base rates are not skewed. Nothing is chosen by them. Lambda and everything else were declared
here before the first run, as were :data:`CLAIMS`.
"""

import argparse
import functools
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from fau_utils.data import synth
from fau_utils.data.holdout import holdout
from fau_utils.data.images import ImageSet
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import FmaeIat, MaePretraining
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.probes import Effort, embed, probe
from fau_utils.results import reference
from fau_utils.results.conduct import Study
from fau_utils.results.study import contrast, scores
from fau_utils.training import budget_for, fit, predict

CODE = [
    "fau_utils.methods.fmae_iat", "fau_utils.methods.mae", "fau_utils.training.fit", "fau_utils.data.synth",
    "fau_utils.probes.probe",
]  # fmt: skip
SKEW = 1.2  # what real sets look like
WEAK, STRONG = 0.5, 2.0
LABELS = {"few labels": 8, "all labels": 1, "fewest labels": 32, "half the labels": 2}
"""Of so many frames one has a label, all people's alike."""


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
    counts: tuple[int, ...]  # beside `people`, which are in the grid
    looks: int = 15
    long_runs: tuple[int, ...] = (10,)  # people in them
    networks: tuple[str, ...] = ()  # besides `model`


SIZES = {
    "cpu": Size(5, 20, 100, 10_240, 32, "mini64", 1500, 64_000, (5, 10, 80, 200, 500), looks=8,
                networks=("mini96",)),
    "gpu": Size(5, 40, 200, 200_000, 128, "mini192", 20_000, 4_000_000, (5, 10, 20, 100, 200, 500),
                networks=("mini96", "mini64"), long_runs=(10, 40)),
}  # fmt: skip

CLAIMS: dict[str, list[dict[str, Any]]] = {
    "grid": [
        {"claim": f"{arm} raises AUC on strangers at skew {skew:g}", "where": {"skew": skew},
         "ours": {"arm": arm}, "theirs": {"arm": "no adversary"}}
        for skew in (1.2, 2.5, 0.0) for arm in ("lambda 0.5", "lambda 2")
    ] + [
        {"claim": f"{arm} gains more AUC at skew {skew:g} than without skew", "where": {"arm": arm}, "score": "gain",
         "unit": "AUC points", "ours": {"skew": skew}, "theirs": {"skew": 0.0}}
        for skew in (1.2, 2.5) for arm in ("lambda 0.5", "lambda 2")
    ] + [
        {"claim": f"{arm} raises F1 on strangers", "where": {"skew": SKEW}, "score": "f1",
         "ours": {"arm": arm}, "theirs": {"arm": "no adversary"}}
        for arm in ("lambda 0.5", "lambda 2")
    ] + [
        {"claim": f"lambda 2 makes the pooled code say less of who it is ({kind} probe)", "least": 10.0,
         "where": {"skew": SKEW}, "score": f"hidden_{kind}", "ours": {"arm": "lambda 2"},
         "theirs": {"arm": "no adversary"}}
        for kind in ("linear", "mlp")
    ] + [
        {"claim": f"{arm} narrows the gap between known people and strangers", "where": {"skew": SKEW},
         "score": "no_gap", "ours": {"arm": arm}, "theirs": {"arm": "no adversary"}}
        for arm in ("lambda 2", "tokens dropped")
    ] + [
        {"claim": "true identities help more than permuted ones", "where": {"skew": SKEW},
         "ours": {"arm": "lambda 0.5"}, "theirs": {"arm": "lambda 0.5, permuted"}},
        {"claim": "a bias at the base rate saves one-vs-all at lambda 2", "where": {"skew": SKEW},
         "ours": {"arm": "lambda 2"}, "theirs": {"arm": "lambda 2, bias 0"}},
    ],
    "dynamics": [
        {"claim": "lambda 0.5 raises the last AUC of a long run", "where": {"people": 10, "when": "last"},
         "ours": {"strength": WEAK}, "theirs": {"strength": 0.0}},
        {"claim": "the look that is best on the test flatters by more than a point of F1", "least": 1.0,
         "where": {"people": 10, "strength": 0.0}, "score": "flattery", "ours": {"when": "test"},
         "theirs": {"when": "val"}},
    ],
    "people": [],
    "pretraining": [
        {"claim": f"MAE on other people raises AUC with {labels}",
         "where": {"labels": labels, "strength": 0.0, "pool": "position"},
         "ours": {"init": "mae"}, "theirs": {"init": "random"}}
        for labels in LABELS
    ] + [
        {"claim": "in the paper's geometry lambda 0.5 raises AUC on strangers",
         "where": {"labels": "all labels", "init": "mae", "pool": "mean"},
         "ours": {"strength": WEAK}, "theirs": {"strength": 0.0}},
    ],
    "scale": [
        {"claim": "ten times the views of pretraining raise AUC with few labels", "where": {"network": "default"},
         "ours": {"share": 1.0}, "theirs": {"share": 0.1}},
    ],
    "split": [
        {"claim": "frames divided at random look more than 5 points of AUC better than strangers", "least": 5.0,
         "where": {"strength": 0.0}, "ours": {"tested on": "the same people"}, "theirs": {"tested on": "strangers"}},
    ],
}  # fmt: skip
"""What is to be found, declared before any run: ours less theirs is more than ``least``. Only the four about gains with
and without skew came later, when three seeds on a CPU were known."""


def world(seed: int, *, skew: float, size: Size, people: int | None = None) -> SynthFaces:
    """Training people of a seed. Where there are more of them than usual, each shows fewer frames."""
    people = people or size.people
    frames = min(size.frames, max(10, size.people * size.frames // people))
    shown = Split(people, frames, "train")
    return SynthFaces(
        seed=1000 + seed, skew=skew, train=shown, seen=Split(min(people, size.people), 40, "train", skew=0.0),
        unlabelled=Split(size.pool, 4, "unlabelled", labelled=False),
    )  # fmt: skip


OTHERS = SynthFaces(skew=0.0)  # those who validate and those who are tested


@functools.lru_cache(maxsize=6)
def load(config: SynthFaces, split: str) -> ImageSet:
    return synth.load(config, split)


class Looks:
    """Scores on validation and test people on the way, for the figure of the learning dynamics."""

    def __init__(self, method: FmaeIat, test: ImageSet, *, device: str):
        self.method, self.test, self.device, self.rows = method, test, device, []

    def start(self, parameters: Mapping[str, Any]) -> None: ...
    def row(self, values: Mapping[str, float]) -> None:
        if "val_f1" not in values:
            return
        said = predict(self.method, self.test, device=self.device)
        found = said.scores()
        likely = np.where(said.label == 1, said.prob, 1 - said.prob).clip(1e-7)
        row = {"views": int(values["views"]), "test_loss": float(-np.log(likely).mean())}
        row |= {f"val_{name}": 100 * values[f"val_{name}"] for name in ("f1", "auc")}
        self.rows.append(row | {f"test_{name}": 100 * float(found[name].mean()) for name in ("f1", "auc")})

    def end(self) -> None: ...

    def columns(self) -> dict[str, Any]:
        return {f"look_{name}": [row[name] for row in self.rows] for name in self.rows[0]}


def train(faces: ImageSet, *, seed: int, size: Size, device: str, views: int | None = None, looks: bool = False,
          **options: Any) -> tuple[FmaeIat, dict[str, Any]]:  # fmt: skip
    """One run of the method, and what it says of its training."""
    method = FmaeIat(faces.aus, subjects=faces.frames.subjects, model=size.model, seed=seed, **options)
    numbers = budget_for(method, "laptop").replace(views=views or size.views, batch_size=size.batch)
    more: dict[str, Any] = {}
    if looks:
        seen = Looks(method, load(OTHERS, "test"), device=device)
        numbers = numbers.replace(eval_every=numbers.views // size.looks)
        more = {"val": load(OTHERS, "val"), "loggers": [seen]}
    fitted = fit(method, faces, budget=numbers, seed=seed, device=device, progress=False, **more)
    last = fitted.history.iloc[-1]
    row = {"people": len(method.subjects), "faces": len(faces), "views": numbers.views, "seconds": fitted.seconds,
           "train_au": float(last["au"]), "train_identity": float(last.get("identity", float("nan")))}  # fmt: skip
    return method, row | (seen.columns() if looks else {})


def on(method: FmaeIat, faces: ImageSet, prefix: str = "", *, device: str) -> dict[str, float]:
    found = scores(predict(method, faces, device=device), resamples=1)
    return {f"{prefix}{name}": found[name] for name in ("f1", "auc")}


def measured(method: FmaeIat, config: SynthFaces, *, device: str, probes: bool = True) -> dict[str, Any]:
    """Scores on strangers and on the training people, and what fresh probes read of them."""
    row = scores(predict(method, load(OTHERS, "test"), device=device))
    row |= on(method, load(OTHERS, "val"), "val_", device=device)
    row |= on(method, load(config, "seen"), "seen_", device=device)
    row |= on(method, load(config.with_split("seen", skew=config.skew), "seen"), "seen_skewed_", device=device)
    row["no_gap"] = row["auc"] - row["seen_auc"]
    return row | (asked(method, config, device=device) if probes else {})


def asked(method: FmaeIat, config: SynthFaces, *, device: str) -> dict[str, float]:
    """Balanced accuracy of fresh identity probes in percent, and R2 of AU intensity on strangers."""
    effort = Effort(penalties=(1e-3, 1e-1), iterations=200, epochs=150)
    known = embed(method, load(config, "seen"), device=device)
    pooled = replace(known, z=method.read(torch.from_numpy(known.z).to(device)).detach().cpu().numpy())
    row: dict[str, float] = {}
    for name, features, kind in (("linear", pooled, "linear"), ("mlp", pooled, "mlp"), ("all_linear", known, "linear")):
        found = probe(features, target="identity", kind=kind, effort=effort, resamples=1, device=device)
        row[f"identity_{name}"], row["identity_chance"] = 100 * found.value, 100 * found.chance
        row[f"hidden_{name}"] = 100 - 100 * found.value
    strangers = embed(method, load(OTHERS, "test"), device=device)
    row["intensity_r2"] = probe(strangers, target="intensity", effort=effort, resamples=1).value
    return row


FORMS: dict[str, dict[str, Any]] = {
    "lambda 0.5, permuted": {"strength": WEAK, "permuted": True},
    "lambda 2, bias 0": {"strength": STRONG, "base_rate_bias": False},
    "tokens dropped": {"strength": 0.0, "drop": 0.75},
    "softmax 0.05": {"strength": 0.05, "identity": "ce"},
    "lambda 2, 2 layers": {"strength": STRONG, "depth": 2},
    "lambda 2, 3 layers": {"strength": STRONG, "depth": 3},
    "confusion 0.1": {"strength": 0.1, "identity": "uniform"},
    "lambda 2, ramp": {"strength": STRONG, "ramp": -1},  # over the whole run
    "lambda 0.5 on all": {"strength": WEAK, "reads": "all"},
    "lambda 2, permuted": {"strength": STRONG, "permuted": True},
    "softmax 2": {"strength": 2.0, "identity": "ce"},
}
"""Losses, heads and controls by the name of their arm; unless it is said, as the arms of lambda."""


def run_grid(cell: dict, device: str, *, size: Size) -> dict:
    config = world(cell["seed"], skew=cell["skew"], size=size)
    options = {"base_rate_bias": True, "strength": cell["strength"], **FORMS.get(cell["arm"], {})}
    if options.get("ramp"):
        options["ramp"] = size.views
    method, row = train(load(config, "train"), seed=cell["seed"], size=size, device=device, **options)
    return row | measured(method, config, device=device)


def run_dynamics(cell: dict, device: str, *, size: Size) -> list[dict]:
    """Three rows: the last look, the one that validation likes best, and the one that the test likes best."""
    config = world(cell["seed"], skew=SKEW, size=size, people=cell["people"])
    method, row = train(load(config, "train"), seed=cell["seed"], size=size, device=device, looks=True,
                        views=2 * size.views, strength=cell["strength"], base_rate_bias=True)  # fmt: skip
    last = scores(predict(method, load(OTHERS, "test"), device=device))
    chosen = {"last": -1, "val": int(np.argmax(row["look_val_f1"])), "test": int(np.argmax(row["look_test_f1"]))}
    rows = [
        {**row, "when": when, "look": look % len(row["look_views"]), "flattery": row["look_test_f1"][look],
         "f1_of_look": row["look_test_f1"][look], "auc_of_look": row["look_test_auc"][look]}
        for when, look in chosen.items()
    ]  # fmt: skip
    rows[0] |= last
    return rows


def run_people(cell: dict, device: str, *, size: Size) -> dict:
    config = world(cell["seed"], skew=SKEW, size=size, people=cell["people"])
    method, row = train(load(config, "train"), seed=cell["seed"], size=size, device=device,
                        strength=cell["strength"], base_rate_bias=True)  # fmt: skip
    return row | measured(method, config, device=device, probes=False)


@functools.lru_cache(maxsize=2)
def pretrained(seed: int, size: Size, device: str, share: float = 1.0) -> MaePretraining:
    method = MaePretraining(model=size.model, seed=seed)
    numbers = budget_for(method, "laptop").replace(views=round(share * size.pretraining))
    faces = load(world(seed, skew=SKEW, size=size), "unlabelled")
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


def run_pretraining(cell: dict, device: str, *, size: Size) -> dict:
    config = world(cell["seed"], skew=SKEW, size=size)
    faces = load(config, "train")
    faces = faces.subset(np.arange(0, len(faces), LABELS[cell["labels"]]))
    init = None if cell["init"] == "random" else pretrained(cell["seed"], size, device)
    method, row = train(faces, seed=cell["seed"], size=size, device=device, strength=cell["strength"],
                        base_rate_bias=True, init=init, pool=cell["pool"])  # fmt: skip
    return row | measured(method, config, device=device, probes=cell["labels"] == "all labels")


def run_scale(cell: dict, device: str, *, size: Size) -> dict:
    if cell["network"] != "default":
        size = replace(size, model=cell["network"])
    config = world(cell["seed"], skew=SKEW, size=size)
    faces = load(config, "train")
    init = pretrained(cell["seed"], size, device, cell["share"]) if cell["share"] else None
    few = faces.subset(np.arange(0, len(faces), LABELS["few labels"]))
    method, row = train(few, seed=cell["seed"], size=size, device=device, strength=0.0, init=init)
    return row | measured(method, config, device=device, probes=False)


def run_split(cell: dict, device: str, *, size: Size) -> list[dict]:
    """Frames of the training people held out at random, and strangers with base rates as skewed."""
    config = world(cell["seed"], skew=SKEW, size=size)
    faces = load(config, "train")
    held = holdout(faces.subject.numpy(), share=0.2, by="random_frames", seed=cell["seed"])
    method, row = train(faces.subset(~held), seed=cell["seed"], size=size, device=device, strength=cell["strength"],
                        base_rate_bias=True)  # fmt: skip
    sides = {"the same people": faces.subset(held), "strangers": load(OTHERS.with_split("test", skew=SKEW), "test")}
    return [{**row, "tested on": name, **on(method, side, device=device)} for name, side in sides.items()]


def cells(part: str, size: Size) -> list[dict]:
    seeds = range(size.seeds)
    both = (0.0, WEAK)

    def named(strength: float) -> str:
        return f"lambda {strength:g}" if strength else "no adversary"

    if part == "grid":
        skews = (SKEW, 0.0, 2.5)
        order = [(named(s), s, k) for s in (0.0, WEAK, STRONG) for k in skews]
        order += [(arm, options["strength"], SKEW) for arm, options in FORMS.items()]
        order += [(named(s), s, k) for s in (0.1, 1.0, 5.0) for k in skews]
        return [{"arm": arm, "strength": s, "skew": k, "seed": seed} for seed in seeds for arm, s, k in order]
    if part == "pretraining":
        order = [("mae", "mean", "all labels", s) for s in both]
        order += [(init, "position", labels, 0.0) for labels in LABELS for init in ("mae", "random")]
        order += [("random", "mean", "all labels", 0.0), ("mae", "position", "all labels", WEAK)]
        order += [("mae", "mean", "all labels", STRONG)]
        return [
            {"arm": named(s), "init": init, "pool": pool, "labels": labels, "strength": s, "seed": seed}
            for seed in seeds for init, pool, labels, s in order
        ]  # fmt: skip
    if part == "scale":
        order = [("default", share) for share in (1.0, 0.1, 0.0, 0.3, 0.03)]
        order += [(network, share) for network in size.networks for share in (1.0, 0.0)]
        return [
            {"arm": "MAE" if share else "random", "network": network, "share": share, "seed": seed}
            for seed in seeds for network, share in order
        ]  # fmt: skip
    if part == "split":
        return [{"arm": named(s), "strength": s, "seed": seed} for seed in seeds for s in both]
    counts = {"dynamics": size.long_runs, "people": size.counts}[part]
    return [
        {"arm": named(s), "strength": s, "people": count, "seed": seed}
        for seed in seeds for count in counts for s in both
    ]  # fmt: skip


RUNS: dict[str, Callable[..., Any]] = {
    "grid": run_grid, "dynamics": run_dynamics, "people": run_people,
    "pretraining": run_pretraining, "scale": run_scale, "split": run_split,
}  # fmt: skip


def study(part: str, *, budget: str = "cpu") -> Study:
    """One table of the paper's study."""
    name = "_".join(["fmae_iat", *([] if part == "grid" else [part]), *([] if budget == "cpu" else [budget])])
    words = [*(["--part", part] if part != "grid" else []), *(["--budget", budget] if budget != "cpu" else [])]
    command = " ".join(["python benchmarks/experiments/fmae_iat.py", *words])
    size = SIZES[budget]
    return Study(name, cells(part, size), functools.partial(RUNS[part], size=size), CODE, command=command)


def with_gain(grid: pd.DataFrame) -> pd.DataFrame:
    """The grid with what each row gains in AUC on the row without adversary, same seed and skew, draw by draw."""
    grid = grid.assign(gain_draws=grid["auc_draws"].map(np.asarray)) if "auc_draws" in grid else grid
    plain = grid[grid["arm"] == "no adversary"].set_index(["seed", "skew"])
    plain = plain.reindex(pd.MultiIndex.from_frame(grid[["seed", "skew"]]))
    more = {"gain": grid["auc"] - plain["auc"].to_numpy()}
    if "gain_draws" in grid:
        more["gain_draws"] = grid["gain_draws"] - plain["gain_draws"].to_numpy()
    return grid.assign(**more)


def verdicts(part: str, table: pd.DataFrame) -> list[Contrast]:
    """The declared claims of a part, computed."""
    table = with_gain(table) if part == "grid" else table
    return [contrast(table, **claim) for claim in CLAIMS[part]]


STUDY = study("grid")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], add_help=False)
    parser.add_argument("--part", nargs="+", choices=[*RUNS, "all"], default=["grid"])
    parser.add_argument("--budget", choices=list(SIZES), default="cpu")
    parser.add_argument("--verdicts", action="store_true", help="run nothing, print the claims about what is kept")
    options, rest = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    logging.getLogger("fau_utils.data.holdout").setLevel(logging.ERROR)  # the leak is what is measured
    for part in RUNS if "all" in options.part else options.part:
        made = study(part, budget=options.budget)
        if options.verdicts:
            print(f"{made.name}\n{evidence(verdicts(part, reference.read(made.name).table)).to_string(index=False)}\n")
        else:
            made.main(rest)


if __name__ == "__main__":
    main()
