# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   fau:
#     part: Benchmark
#     minutes: 1
#     device: CPU
#     summary: One cell of the benchmark from training to the numbers that are kept, and how a grid of such cells survives kills.
#     inputs: [benchmarks/grids/*.yml]
# ---

# %% [markdown]
# # One run of the benchmark
#
# Every number of the benchmark is a run of this very notebook with other parameters. `fau bench` fills in the method, the data, the
# fold and the seed, executes it, and keeps the executed copy beside the numbers. Behind any entry of a table there is a page like this
# one that a person can open.
#
# ```{admonition} You will learn
# - what one cell of the benchmark does, from names to numbers
# - which intervals stand beside its scores, and what they do not cover
# - what decides whether a finished cell is run again
# - what is left of a grid whose processes are killed, and why nothing of it is wrong
# ```
#
# You need {doc}`03_metrics_and_uncertainty` and {doc}`05_engine`. About a minute on two cores.

# %% tags=["parameters"]
method: str = "landmarks"  # what fau train knows by this name
data: str = "synth"  # rendered faces, or a prepared dataset
protocol: str = "ours"  # whose folds, AUs and labels
fold: str = ""  # who is tested, for prepared datasets
budget: str = "laptop"  # smoke runs in seconds and shows nothing
seed: int = 0  # decides the initial weights and the order of faces
settings: list = []  # options, as fau train takes them with --set
out: str = ""  # folder to keep the run in; empty for one that is thrown away

# %% tags=["hide-input"]
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from IPython.display import Markdown
from matplotlib import pyplot as plt
from myst_nb import glue

# %% tags=["hide-input"]
from fau_utils import metrics, plots
from fau_utils.aus import column
from fau_utils.bench import fingerprint, grid, progress, store
from fau_utils.data import by_name
from fau_utils.metrics.thresholds import tuned
from fau_utils.probes import Effort
from fau_utils.results import entrant, job, study
from fau_utils.stress import robustness
from fau_utils.stress.identity import identity_leak

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# With the parameters above all faces are **synthetic**, and the method is the smallest that learns anything. The page shows how a cell is
# run and read; it compares nothing. Comparisons are the leaderboard's.
# ```
#
# ## From names to a run
#
# A cell is a handful of names. `job.train` looks all of them up before the first process starts, trains on the training people, chooses the
# weights by the validation people, and opens the test faces once. It is what `fau train` does. A method that learns without labels is frozen
# instead, and a linear probe reads the AUs from its features.

# %%
if budget == "smoke" and data == "synth":  # a few faces, to see that everything runs
    data = "synth:subjects=12,frames=24"
folder = Path(out or tempfile.mkdtemp())
words = dict(word.split("=", 1) for word in settings)
init, pretrain = words.pop("init", None), words.pop("pretrain", "")
wanted = job.Job(
    method=method,
    data=data,
    protocol=protocol,
    fold=fold or None,
    budget=budget,
    seed=seed,
    settings=tuple(f"{name}={value}" for name, value in words.items()),
    init=None if init is None else Path(init),
    out=folder / "runs",
)
entry = entrant.enter(wanted, pretrain=pretrain)
run = entry.run
said, validation = run.predictions(), run.validation()

# %% tags=["hide-input"]
people = len(set(said.subject))
glue("bench-faces", len(said), display=False)
glue("bench-people", people, display=False)
glue("bench-seconds", round(run.record["seconds"]), display=False)
kept = ("device", "git_revision", "config_hash", "code_hash", "seconds", "views")
origin = {name: run.record[name] for name in kept}
pd.Series({"method": method, "data": data, **origin}, name="run").to_frame()

# %% [markdown]
# Training took {glue}`bench-seconds` seconds; {glue}`bench-faces` faces of {glue}`bench-people` people were predicted. `config_hash` is over
# everything that decides the result: method, options, budget, seed, and who was trained on, chosen by and tested. `code_hash` is over the source
# that was used, comments and docstrings left out.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bench-history", "caption": "The loss while training, as the run recorded it."}, "image": {"alt": "A curve of the training loss over the number of views, which falls fast at first and then slowly."}}
history = run.history()
figure, axes = plt.subplots(figsize=(6, 2.6))
axes.plot(history["views"], history["loss"])
axes.set(xlabel="views of training faces", ylabel="loss", ylim=(0, None))
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Scores, each with an interval
#
# Two scores are kept at once: F1 with the threshold at 0.5, and F1 with a threshold per AU tuned on the *validation* people. AUC needs no threshold.
# Intervals come from drawing the test people anew, all frames of a person together, as {doc}`03_metrics_and_uncertainty` explains.

# %%
per_au = {
    name: metrics.subject_bootstrap_per_au(said.prob, said.label, said.subject, metric)
    for name, metric in {"AUC": metrics.auc_per_au, "F1": metrics.f1_per_au}.items()
}
thresholds = tuned(validation.prob, validation.label)
at_tuned = (said.prob >= thresholds).astype("float32")
means = {
    "AUC": said.interval(metrics.auc_per_au),
    "F1 at 0.5": said.interval(metrics.f1_per_au),
    "F1 tuned on validation": metrics.subject_bootstrap(
        at_tuned, said.label, said.subject, metrics.f1_per_au
    ),
}
rows = [(name, 100 * i.value, 100 * i.low, 100 * i.high) for name, i in means.items()]
summary = pd.DataFrame(rows, columns=["mean over AUs, %", "value", "low", "high"])
summary.style.format(precision=1).hide(axis="index")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bench-aus", "caption": "AUC and F1 at 0.5 of each AU, with 95 % intervals over test people. A grey line marks chance for AUC. An AU without a marker is one whose score is undefined on these faces."}, "image": {"alt": "Two panels of dots with horizontal bars, one row per action unit; bars are longest for the rarest units."}}
names = [column(n) for n in said.aus]
figure, panels = plt.subplots(1, 2, figsize=(8, 0.24 * len(names) + 1.2), sharey=True)
for axes, (name, intervals) in zip(panels, per_au.items(), strict=True):
    value, low, high = (
        100 * np.array([getattr(i, part) for i in intervals])
        for part in ("value", "low", "high")
    )
    axes.errorbar(value, names, xerr=(value - low, high - value), fmt="o", capsize=2)
    axes.set(xlabel=f"{name}, %", xlim=(0, 102))
panels[0].axvline(50, color="0.7", zorder=0)
panels[0].invert_yaxis()
figure.tight_layout()
plt.show()

# %% [markdown]
# These intervals say how much the scores depend on *who was tested*. They say nothing of the initial weights and the order of faces: for that the
# benchmark runs every cell with several seeds, and its tables have intervals over seeds and people together.
#
# ## What a score does not say
#
# How far its probabilities are from what happens; how well a fresh linear probe recognises the *validation* people, whom the method was not trained on, from
# its features; and what it costs. Seconds are of the processor, because the clock of a shared computer tells more about the neighbours.

# %%
calibration = entrant.calibration(said)
spent = entrant.costs(entry)
light = Effort(penalties=(1.0, 0.1, 0.01), iterations=200)
leak = identity_leak(
    {method: entry.learner}, entry.fold.val, effort=light, resamples=study.RESAMPLES
).iloc[0]
glue("bench-leak", f"{leak.leak:.0f}", display=False)
glue("bench-chance", f"{leak.chance:.1f}", display=False)
numbers = {
    "calibration error, %": calibration["ece"],
    "identity, %": leak.leak,
    **spent,
}
pd.Series(numbers, name=method).to_frame().style.format("{:,.1f}")

# %% [markdown]
# The probe names the right person in {glue}`bench-leak` % of new faces, where {glue}`bench-chance` % is chance.
#
# ## Under stress
#
# Two more numbers, on ten faces of each test person so that they cost seconds. *Hidden*: the area under the curve of AUC over the share of patches painted
# over, up to three quarters, patch by patch or as a block, divided by the range: a mean AUC. *Fall*: points of AUC lost from a rendered laboratory to the rendered wild, same people,
# same movements. Prepared datasets have no second look, and their column stays empty. {doc}`52_stress_tests` has the whole curves.

# %%
detector = (
    entry.detector
)  # of a frozen learner, with the probe that its run was read by
faces = robustness.few(entry.tested())
stressed = robustness.hidden(detector, faces, resamples=study.RESAMPLES)
if by_name.is_synth(data):
    stressed |= robustness.fall(
        detector,
        people=people,
        frames=min(robustness.FRAMES, len(faces) // people),
        res=faces.images.shape[-1],
        resamples=study.RESAMPLES,
    )
numbers = {
    name: value for name, value in stressed.items() if name in ("hidden", "fall")
}
pd.Series(numbers, name=method).to_frame().style.format("{:.1f}")

# %% [markdown]
# ## What is kept
#
# Predictions are in the run's folder, so any score can be computed again without training. Beside them goes a summary: means, and the
# scores of 200 draws of the test people. The draws are the same people in every run on the same data, so two methods can be
# compared draw by draw.

# %%
at_best = study.scores(replace(said, prob=at_tuned))
summary = {
    "run": run.path.relative_to(folder).as_posix(),
    **study.scores(said),
    "f1_tuned": at_best["f1"],
    "f1_tuned_draws": at_best["f1_draws"],
    **calibration,
    **spent,
    **stressed,
    "identity": leak.leak,
    "identity_draws": leak.draws,
    "identity_chance": leak.chance,
    "people": people,
    "faces": len(said),
    "train_seconds": run.record["seconds"],
    "device": run.record["device"],
}
(folder / "result.json").write_text(json.dumps(summary))
{name: value for name, value in summary.items() if not name.endswith("draws")}

# %% [markdown]
# `fau bench` waits for `result.json` and for the end of the notebook. One that fails has no result, whatever it printed.
#
# ## A grid of cells
#
# A grid is a small file: methods with variants, data with protocols and folds, seeds, budgets. Every combination is a cell. A key that is
# misspelt is named, before anything runs.

# %%
text = """
methods:
  - landmarks
  - method: cnn
    variants: {default: {}, slower: {lr: 0.0005}}
data: synth
seeds: 3
budgets: laptop
limits: {minutes: 20, memory_gb: 4}
"""
small = grid.checked({"name": "small", **yaml.safe_load(text)}, of="small")
assert len(small.cells()) == 3 * 3

try:
    grid.checked({"name": "small", "method": ["cnn"], "data": "synth"}, of="small")
except ValueError as error:
    print(error)

# %% [markdown]
# A cell that is finished is not run again until something that decides its result has changed: its parameters, this notebook, the source files that
# its method uses, the data, the versions of the packages, or the checkpoint it begins from. Each is recorded by a hash, and the first that differs is the
# reason that `fau bench run` prints.

# %%
before = {"parameters": {"method": "cnn", "settings": ["lr=0.001"]}, "data": "3f2a"}
after = {"parameters": {"method": "cnn", "settings": ["lr=0.0005"]}, "data": "3f2a"}
fingerprint.difference(before, after)

# %% [markdown]
# ## Killed, and begun again
#
# A night of runs ends early sooner or later. We begin a grid of twelve cells that only wait, kill its driver without warning after three cells, begin it
# again, and kill it after seven.

# %%
place = Path(tempfile.mkdtemp())
(place / "wait.py").write_text(
    "import json, pathlib, sys, time\n"
    "work = pathlib.Path(sys.argv[1])\n"
    "given = json.loads((work / 'parameters.json').read_text())\n"
    "time.sleep(0.4)\n"
    "(work / 'result.json').write_text(json.dumps({'score': given['seed'] ** 2}))\n"
)
waiting = {
    "methods": ["first", "second"],
    "data": "synth",
    "seeds": 6,
    "body": ["{python}", str(place / "wait.py")],
}
(place / "waiting.yml").write_text(yaml.safe_dump(waiting))
fau = [sys.executable, "-m", "fau_utils.cli"]
command = [*fau, "bench", "run", str(place / "waiting.yml"), "--jobs", "2"]
command += ["--out", str(place / "store")]


# %%
def begin(cells):
    """Run the grid; once so many cells are done, kill its driver as a power cut would."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while running.poll() is None:
        time.sleep(0.05)
        if (place / "store" / "plan.json").exists() and done() >= cells:
            os.kill(running.pid, signal.SIGKILL)
    return progress.read(store.Store(place / "store")).counts


def done():
    return progress.read(store.Store(place / "store")).counts["done"]


# %%
counts, finished = {}, {}
times = {"killed after 3": 3, "killed after 7": 7, "left alone": 99}
if out:  # cells of the benchmark do without
    times = {}
for moment, cells in times.items():
    counts[moment] = begin(cells)
    found = [p for p in store.Store(place / "store").places() if p.record]
    now = {p.id: p.record["finished"] for p in found}
    assert finished.items() <= now.items()  # what was done is not done again
    finished = now
    results = [p.record["result"]["score"] for p in found]

if not out:
    assert sorted(results) == sorted(2 * [seed**2 for seed in range(6)])
pd.DataFrame(counts).T

# %% [markdown]
# A finished cell is one whose record was *renamed* into its place, and a rename happens or does not. Cells that were running when the driver died may go
# on by themselves; the next driver waits for those that are still wanted. A cell that was cut off is taken over under a new name, so whatever
# still ran cannot write into it, and its training goes on from the last checkpoint, which by {doc}`05_engine` changes no bit of its result.
#
# ```{exercise} Worth another try?
# :label: ex-worth-a-retry
# :minutes: 10
# Three cells failed: one with `CUDA out of memory` on a GPU that somebody else uses too, one because its loss was not finite, one because a network folder
# was gone for a second. Write `again(error)`: whether to try once more.
# ```


# %% tags=["hide-input"]
def check_again(function):
    """True when what may pass is tried again, and what will be as wrong the next time is not."""
    passing = ["CUDA out of memory", "OSError: [Errno 116] Stale file handle"]
    lasting = ["FloatingPointError: the loss is not finite", "KeyError: 'AU99'"]
    return all(map(function, passing)) and not any(map(function, lasting))


# %% [markdown]
# ```{solution-start} ex-worth-a-retry
# :class: dropdown
# ```
# A cause outside of the cell may pass. A wrong value will not, and every retry of it keeps another cell waiting.


# %%
def again(error):
    outside = ("out of memory", "Stale file handle", "Connection", "timed out")
    return any(words in error for words in outside)


assert check_again(again)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: two cells, one folder
# :label: ex-grid-names
# :minutes: 10
# A small grid program, made up for this book, keeps each cell in a folder with the name below. It ran 24 cells, and 14 folders are there. Which cells wrote
# over each other? Write `name_of(method, fold, seed)` so that no two do, and every name can be a folder.
# ```


# %%
def folder_of(method, fold, seed):
    """Name of a cell's folder; this one has the bug."""
    return f"{method}{fold}{seed}"


def check_names(function):
    """True when each of 24 cells has a folder of its own."""
    cells = itertools.product(("vit", "vit1", "cnn"), ("1", "11"), (0, 1, 10, 110))
    names = [function(*cell) for cell in cells]
    plain = all(re.fullmatch(r"[\w.=+-]+", str(name)) for name in names)
    return plain and len(set(names)) == len(names)


assert not check_names(folder_of)  # red; turn it green

# %% [markdown]
# ```{solution-start} ex-grid-names
# :class: dropdown
# ```
# Fold 1 with seed 10 and fold 11 with seed 0 are both `110`: between parts that can end and begin alike there has to be a mark that neither holds.


# %%
def name_of(method, fold, seed):
    return f"{method}-{fold}-{seed}"


assert check_names(name_of)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. A cell is this notebook with other parameters; its executed copy is kept beside its numbers.
# 2. One run has an interval over people; only several runs have one over seeds.
# 3. Finished means renamed into place; all else can be killed, and goes on.

# %% tags=["hide-input"]
grids = sorted(
    p.stem for p in Path(grid.__file__).parents[2].glob("benchmarks/grids/*.yml")
)
Markdown(
    "To run all of it: " + ", ".join(f"`fau bench run {name}`" for name in grids) + "."
)
