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
#     part: Foundations
#     minutes: 2
#     device: CPU
#     summary: What F1 hides, who may choose a threshold, intervals over people that cover what they promise, and the price of choosing on the test fold.
# ---

# %% [markdown]
# # Metrics and uncertainty
#
# A table says 64.2 and another says 65.1. Is the second method better? That depends on how often each AU occurs, on who chose the threshold and the
# epoch, and on how many *people* were tested. This chapter measures each of these, so that later chapters may print a number with a clear conscience.
#
# ```{admonition} You will learn
# - what F1 owes to prevalence, and why a mean over AUs is ruled by the rare ones
# - what a threshold is worth, and what it pretends to be worth when it is chosen on the test people
# - why intervals are drawn over people, and how wrong those over frames are
# - how much is gained, on paper, by choosing epoch and threshold on the test fold
# - what calibration, ICC and events see that F1 does not
# ```
#
# You need {doc}`02_datasets_and_protocols`. About two minutes on two cores.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing, gpu trains longer
seed: int = 0  # decides the people, the initial weights and the order of faces
seeds: int = 6  # training runs behind the price of choosing on the test fold
repeats: int = 400  # simulated studies behind the coverage of intervals

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from myst_nb import glue
from scipy import stats

from fau_utils import metrics, plots
from fau_utils.aus import columns
from fau_utils.data import synth
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import LandmarkMlp
from fau_utils.metrics import agreement, calibration, events, icc, thresholds
from fau_utils.metrics.bootstrap import subject_weights
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.training import budget_for, fit, predict

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# Faces are **synthetic**, and two sections simulate scores without any face, because only in a simulation is the true value known. No licensed
# data was used.
# ```
#
# ## A detector to measure
#
# A perceptron on landmarks serves, because it trains in seconds. Landmarks are in error by half a pixel, as a point detector's are.

# %%
world = SynthFaces(seed=seed)
if budget == "smoke":  # a few faces, to see that everything runs
    few = {"seen": (8, 10), "train": (8, 30), "val": (6, 10), "test": (12, 10)}
    for split, (people, frames) in few.items():
        world = world.with_split(split, subjects=people, frames=frames)
    seeds, repeats = 2, 40


def load(split):
    """A split with landmarks in error by 0.5 px."""
    faces = synth.load(world, split)
    generator = torch.Generator().manual_seed(len(faces))
    error = 0.5 * torch.randn(faces.landmarks.shape, generator=generator)
    return replace(faces, landmarks=faces.landmarks + error)


train, val, test, seen = (load(split) for split in ("train", "val", "test", "seen"))
numbers = budget_for(LandmarkMlp, budget)
if budget == "laptop":
    numbers = numbers.replace(views=20_000)
detector = fit(
    LandmarkMlp(world.aus, seed=seed), train, budget=numbers, seed=seed
).method
on_test, on_val, on_seen = (predict(detector, split) for split in (test, val, seen))
names = columns(world.aus)

# %% [markdown]
# ## F1, by hand
#
# With $\mathrm{TP}$, $\mathrm{FP}$ and $\mathrm{FN}$ counted over the frames whose label is known,
#
# ```{math}
# :label: eq-f1
# F_1 = \frac{2\,\mathrm{TP}}{2\,\mathrm{TP} + \mathrm{FP} + \mathrm{FN}} .
# ```
#
# True negatives do not occur in it: F1 looks at the frames where somebody, person or machine, said *yes*. A label that was not coded is `nan`, and takes
# part in nothing.

# %%
label = on_test.label.copy()
label[::7, 0] = np.nan  # some frames of the first AU were not coded
yes, known = on_test.prob >= 0.5, ~np.isnan(label)
tp = (yes & (label == 1)).sum(0)
fp = (yes & (label == 0)).sum(0)
fn = (~yes & (label == 1)).sum(0)
by_hand = 2 * tp / (2 * tp + fp + fn)

assert np.allclose(by_hand, metrics.f1_per_au(on_test.prob, label))
assert np.array_equal(
    known.sum(0), tp + fp + fn + (~yes & (label == 0)).sum(0)
)  # nothing unknown was counted

# %% [markdown]
# ## What F1 owes to prevalence
#
# Take one detector of fixed quality, two normal distributions of scores 1.5 standard deviations apart, and show it AUs that occur more or less
# often. Its AUC is a property of the detector. Its F1 is not.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-prevalence", "caption": "F1 over the prevalence of an AU, for a detector of fixed quality at its best threshold and at the threshold that is best for a prevalence of one half, for a predictor that always says yes, and for a fair coin. The AUC of the detector is the same everywhere."}, "image": {"alt": "Curves over prevalence from 1 to 90 percent: all F1 curves rise from near zero towards one, saying yes overtakes the fixed threshold at high prevalence, the AUC is a flat line."}}
share = np.linspace(0.01, 0.9, 90)[:, None]
cut = np.linspace(-3, 5, 801)[None]
hit, alarm = stats.norm.sf(cut - 1.5), stats.norm.sf(cut)
f1 = 2 * share * hit / (share * hit + (1 - share) * alarm + share)
middle = np.argmin(abs(cut[0] - 0.75))
figure, ax = plt.subplots(figsize=(6.5, 3.2))
lines = {
    "best threshold": f1.max(1),
    "threshold for 50 %": f1[:, middle],
    "always yes": 2 * share[:, 0] / (1 + share[:, 0]),
    "fair coin": 2 * share[:, 0] * 0.5 / (share[:, 0] + 0.5),
}
for colour, (name, line) in zip(plots.PALETTE, lines.items(), strict=False):
    ax.plot(100 * share[:, 0], 100 * line, color=colour, label=f"F1, {name}")
auc = stats.norm.cdf(1.5 / 2**0.5)
ax.axhline(100 * auc, color="0.4", linestyle="--", label="AUC")
ax.set(xlabel="prevalence of the AU, %", ylabel="F1 or AUC, %")
ax.legend(ncols=2, fontsize=8, loc="lower right")
plt.show()

# %%
low_f1, high_f1 = (100 * f1.max(1)[[4, 49]]).round()
glue("f1_rare", f"{low_f1:.0f}", display=False)
glue("f1_common", f"{high_f1:.0f}", display=False)
glue("auc_same", f"{100 * auc:.0f}", display=False)

# %% [markdown]
# The same detector, at its best threshold, scores {glue:text}`f1_rare` at a prevalence of 5 % and {glue:text}`f1_common` at 50 %, with an AUC of
# {glue:text}`auc_same` at both. So F1 of two AUs does not compare, nor of one AU on two datasets; and in a mean over AUs the rare ones
# lie low whatever the method does. On our detector:

# %%
prevalence = np.nanmean(on_test.label, axis=0)
table = pd.DataFrame(
    {
        "AU": names,
        "prevalence, %": 100 * prevalence,
        "always yes, F1": 200 * prevalence / (1 + prevalence),
        "F1": 100 * metrics.f1_per_au(on_test.prob, on_test.label),
        "AUC": 100 * metrics.auc_per_au(on_test.prob, on_test.label),
    }
).sort_values("prevalence, %")
table.style.format(precision=1).hide(axis="index")

# %% [markdown]
# ## Thresholds
#
# F1 needs a threshold. A probability of one half is the honest default; what is best for F1 is lower for rare AUs. One pass
# over the scores gives F1 at all of them.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-thresholds", "caption": "F1 over the threshold for each AU on the test people, with the best threshold of each marked. Rare AUs have theirs to the left."}, "image": {"alt": "Twelve hill-shaped curves of F1 over thresholds from zero to one with a dot on each summit; the summits scatter between 0.2 and 0.6."}}
curve = thresholds.sweep(on_test.prob, on_test.label)
order = np.argsort(prevalence)
figure, ax = plt.subplots(figsize=(6.5, 3.2))
shades = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(order)))
for shade, a in zip(shades, order, strict=True):
    ax.plot(curve.thresholds, 100 * curve.f1[a], color=shade, linewidth=1)
    top = np.nanargmax(curve.f1[a])
    ax.plot(curve.thresholds[top], 100 * curve.f1[a, top], "o", color=shade)
ax.axvline(0.5, color="0.4", linestyle="--", linewidth=1)
scale = plt.cm.ScalarMappable(plt.Normalize(0, len(order) - 1), "viridis")
bar = figure.colorbar(scale, ax=ax, ticks=[0, len(order) - 1])
bar.set_ticklabels(["rarest AU", "most common"])
ax.set(xlabel="threshold", ylabel="F1, %")
plt.show()

# %%
tuned = {
    "0.5": 0.5,
    "tuned on validation people": thresholds.tuned(on_val.prob, on_val.label),
    "tuned on the test people": thresholds.tuned(on_test.prob, on_test.label),
}
scores = {
    rule: 100 * np.nanmean(metrics.f1_per_au(on_test.prob, on_test.label, threshold=t))
    for rule, t in tuned.items()
}
pd.Series(scores, name="mean F1 on the test people, %").to_frame().style.format(
    precision=1
)

# %% [markdown]
# The last row is too good: each threshold was fitted to the very frames it is judged on. How much of it is pretence shows
# only on people that it has not seen, below.
#
# ## When F1 is undefined
#
# An AU that nobody shows and nobody is said to show has $F_1 = 0/0$. Public code answers 0, or 1, or adds a small number so that the question does not
# come up. In a fold of nine people that is no rare event. Here two of twelve AUs do not occur:

# %%
hidden = on_test.label.copy()
hidden[:, order[:2]] = 0
quiet = on_test.prob.copy()
quiet[:, order[:2]] *= 0.1  # and the detector says so, rightly
f1 = metrics.f1_per_au(quiet, hidden)
conventions = {
    "left out and counted (this book)": np.nanmean(f1),
    "counted as 0": np.nan_to_num(f1, nan=0.0).mean(),
    "counted as 1": np.nan_to_num(f1, nan=1.0).mean(),
}
print(np.isnan(f1).sum(), "of", len(f1), "AUs have no F1")
pd.Series(conventions, name="mean F1").to_frame().style.format(precision=3)

# %% [markdown]
# The detector made not a single mistake on those two AUs, and the convention moves its mean by more than most papers claim as progress. The same
# goes for the mean over *folds*: F1 of pooled frames and the mean of F1 over folds differ, because a ratio of means is no mean of ratios. Here the folds are large and alike, and the
# two hardly part; in a fold of nine people with a rare AU they do.

# %%
people = np.unique(on_test.subject, return_inverse=True)[1]
fold = people % 3
per_fold = [
    metrics.f1_per_au(on_test.prob[fold == k], on_test.label[fold == k])
    for k in range(3)
]
pooled = metrics.f1_per_au(on_test.prob, on_test.label)
pd.DataFrame(
    {
        "mean of 3 folds": 100 * np.nanmean(per_fold, axis=0),
        "pooled": 100 * pooled,
    },
    index=names,
).style.format(precision=1)

# %% [markdown]
# ## Intervals are over people
#
# Frames of one person are alike. A thousand of them are not a thousand opinions, and what a reader wants to know is how the method does on
# *other people*. So we draw people with replacement, as often as there are people, and score each draw {cite}`efron1993bootstrap`.

# %%
resamples = 200
weights = subject_weights(people.max() + 1, resamples=resamples, seed=seed).numpy()
yes, positive = on_test.prob >= 0.5, on_test.label == 1
cells = np.stack([yes & positive, yes & ~positive, ~yes & positive])  # (3, N, A)
belongs = np.arange(people.max() + 1)[:, None] == people  # (people, N)
each = belongs.astype(float) @ cells  # (3, people, A)
TP, FP, FN = np.einsum("rp,cpa->cra", weights, each)
by_hand = 2 * TP / (2 * TP + FP + FN)  # (resamples, A)

library = metrics.resampled_scores(
    on_test.prob, on_test.label, on_test.subject, metrics.f1_per_au,
    resamples=resamples, seed=seed,
)  # fmt: skip
assert np.allclose(by_hand, library, equal_nan=True)

# %% [markdown]
# Do such intervals keep their promise? We simulate studies of 27 people, as many as DISFA has, whose true F1 we know because we can also simulate
# fifty thousand people. People differ in how often they show the AU and in how well it can be seen on them.
#
# **Declared before the run:** *intervals over frames cover the truth at least 20 points less often than the 95 % they promise.*


# %%
def study(people, frames, generator):
    """Counts of (TP, FP, FN, TN) for each person at threshold one half, (people, 4)."""
    rate = 1 / (1 + np.exp(-generator.normal(-1.2, 0.8, people)))
    clear = generator.normal(1.8, 0.5, people)
    shown = generator.binomial(frames, rate)
    hits = generator.binomial(shown, stats.norm.sf(0.9 - clear))
    alarms = generator.binomial(frames - shown, stats.norm.sf(0.9))
    return np.stack([hits, alarms, shown - hits, frames - shown - alarms], axis=1)


def f1_of(counts):
    tp, fp, fn = counts[..., 0], counts[..., 1], counts[..., 2]
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


# %%
generator = np.random.default_rng(seed)
truth = f1_of(study(50_000, 200, generator).sum(0))
intervals = {"people": [], "frames": []}
for _ in range(repeats):
    counts = study(27, 200, generator)
    total = counts.sum(0)
    drawn = generator.multinomial(27, np.full(27, 1 / 27), size=500) @ counts
    intervals["people"].append(np.quantile(f1_of(drawn), [0.025, 0.975]))
    # drawing frames with replacement is drawing the four cells
    drawn = generator.multinomial(total.sum(), total / total.sum(), size=500)
    intervals["frames"].append(np.quantile(f1_of(drawn), [0.025, 0.975]))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-coverage", "caption": "Forty simulated studies of 27 people. Each line is a 95 % interval for F1; those that miss the truth, the vertical line, are drawn in the second colour."}, "image": {"alt": "Two panels of forty horizontal lines around a vertical line. Over people they are long and nearly all cross it; over frames they are short and most miss it."}}
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3.6), sharex=True, sharey=True)
covered = {}
for ax, (what, ends) in zip(axes, intervals.items(), strict=True):
    low, high = np.array(ends).T
    inside = (low <= truth) & (truth <= high)
    covered[what] = inside.mean()
    shown = slice(0, 40)
    colours = np.where(inside[shown], plots.PALETTE[0], plots.PALETTE[1])
    height = np.arange(len(low[shown]))
    ax.hlines(height, 100 * low[shown], 100 * high[shown], color=colours)
    ax.axvline(100 * truth, color="0.2", linewidth=1)
    ax.set(title=f"over {what}", xlabel="F1, %", yticks=[])
    ax.grid(visible=False)
figure.tight_layout()
plt.show()

# %%
missing = 100 * (0.95 - covered["frames"])
spread = 196 * np.sqrt(covered["frames"] * (1 - covered["frames"]) / repeats)
contrasts = [
    Contrast(
        "intervals over frames cover at least 20 points less than they promise",
        missing, missing - spread, missing + spread,
        over=f"{repeats} simulated studies", least=20, unit="points of coverage",
    )
]  # fmt: skip
glue("cover_people", f"{100 * covered['people']:.0f}", display=False)
glue("cover_frames", f"{100 * covered['frames']:.0f}", display=False)

# %% [markdown]
# Of intervals that promise 95 %, those over people cover {glue:text}`cover_people` % and those over frames {glue:text}`cover_frames` %.
# With 27 people even the honest kind falls a little short, because percentiles of few people are too narrow; with frames the promise is empty.
#
# ## Differences between methods are paired
#
# Two methods are tested on the same people, and whoever is hard for one is hard for the other. Drawing the *same* people for both takes that out.

# %%
brief = fit(
    LandmarkMlp(world.aus, seed=seed),
    train,
    budget=numbers.replace(views=numbers.views // 4),
    seed=seed,
).method
other = predict(brief, test)
alone = [p.interval(metrics.f1_per_au) for p in (on_test, other)]
together = metrics.paired_difference(
    on_test.prob, other.prob, on_test.label, on_test.subject, metrics.f1_per_au
)
rows = {
    "trained in full": alone[0],
    "trained for a quarter": alone[1],
    "difference, paired": together,
}
pd.DataFrame(
    [(k, 100 * i.value, 100 * i.low, 100 * i.high) for k, i in rows.items()],
    columns=["", "F1, %", "from", "to"],
).style.format(precision=1).hide(axis="index")

# %%
half_widths = [(i.high - i.low) / 2 for i in (*alone, together)]
unpaired = np.hypot(*half_widths[:2])
glue("pair_gain", f"{unpaired / half_widths[2]:.1f}", display=False)

# %% [markdown]
# Were the two scores from different people, the interval of their difference would be {glue:text}`pair_gain` times as wide. Two
# intervals that overlap do not say that two methods are alike; the interval of the difference says what there is to say.

# %% [markdown]
# ## The price of choosing on the test fold
#
# Most public code looks at the test fold after each epoch, tunes a threshold on it, and prints the best. Both choices fit noise, and what they gain is gone on
# the next person. We measure it: test people are split into two halves at random; epoch and thresholds are chosen on one half, and the other, which nobody
# touched, says what the choice is worth. Then the halves change places.
#
# **Declared before the run:** *epoch and thresholds chosen on test people score more than one F1 point higher there than on people not used for the
# choice*; and *chosen on validation people instead, new people get at most one point less*.


# %%
class Watch:
    """A logger that keeps what a method says of some faces at each look."""

    def __init__(self, method, faces):
        self.method, self.faces, self.kept = method, faces, []

    def start(self, parameters): ...

    def row(self, values):
        if "val_auc" in values:  # a look at the validation people, ten in a run
            self.kept.append([predict(self.method, f) for f in self.faces])

    def end(self): ...


def looks(run_seed):
    """Predictions on validation and test people at ten moments of a run."""
    method = LandmarkMlp(world.aus, seed=run_seed)
    watch = Watch(method, [val, test])
    plan = numbers.replace(eval_every=numbers.views // 10)
    fit(
        method,
        train,
        val=val,
        budget=plan,
        seed=run_seed,
        loggers=[watch],
        progress=False,
    )
    return watch.kept


# %%
def chosen(said, rows):
    """Epoch with the best mean F1 on some faces, thresholds tuned on them too."""
    best = (-1.0, None, None)
    for epoch, p in enumerate(said):
        cut = thresholds.tuned(p.prob[rows], p.label[rows])
        score = np.nanmean(
            metrics.f1_per_au(p.prob[rows], p.label[rows], threshold=cut)
        )
        best = max(best, (score, epoch, cut), key=lambda found: found[0])
    return best[1:]


def score(p, rows, cut):
    return 100 * np.nanmean(
        metrics.f1_per_au(p.prob[rows], p.label[rows], threshold=cut)
    )


# %%
rows = []
for run_seed in range(seed, seed + seeds):
    said_val, said_test = zip(*looks(run_seed), strict=True)
    first = (
        np.random.default_rng(run_seed).permutation(people.max() + 1)[people] % 2 == 0
    )
    everybody = np.ones(len(val), bool)
    for half, rest in ((first, ~first), (~first, first)):
        for where, said, use in (
            ("test", said_test, half),
            ("val", said_val, everybody),
        ):
            epoch, cut = chosen(said, use)
            here = score(said_test[epoch], half, cut)
            there = score(said_test[epoch], rest, cut)
            rows.append((run_seed, where, here, there))
choices = pd.DataFrame(rows, columns=["seed", "chosen on", "half used", "other half"])
choices = choices.groupby(["chosen on", "seed"]).mean()

# %% [markdown]
# A choice made on validation people treats both halves alike, so its difference between halves is zero once they have changed places; what it costs or
# saves shows in the score itself.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-optimism", "caption": "Mean F1 of each seed where epoch and thresholds were chosen on one half of the test people: as it would be printed, on the half used, and as it is, on the other half; beside it the same choices made on validation people. Lines join one seed."}, "image": {"alt": "Three columns of dots joined by lines: printed scores chosen on test people lie highest, the same choices on other people clearly lower, choices on validation people about there."}}
test_choice, val_choice = choices.loc["test"], choices.loc["val"]
columns_of = {
    "chosen on test people,\nas printed": test_choice["half used"],
    "chosen on test people,\non others": test_choice["other half"],
    "chosen on validation\npeople": val_choice.mean(axis=1),
}
figure, ax = plt.subplots(figsize=(6.5, 3.2))
values = np.array(list(columns_of.values()))  # (3, seeds)
ax.plot(range(3), values, color="0.7", linewidth=1)
for place, column_values in enumerate(values):
    ax.plot(
        [place] * len(column_values), column_values, "o", color=plots.PALETTE[place]
    )
ax.set_xticks(range(3), columns_of)
ax.set(ylabel="mean F1, %", xlim=(-0.4, 2.4))
ax.grid(axis="x", visible=False)
plt.show()


# %%
def over_seeds(values, claim, least):
    """Mean over seeds with Student's interval."""
    values = np.asarray(values)
    margin = (
        stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    )
    middle = values.mean()
    over = f"{len(values)} seeds, one set of test people"
    return Contrast(
        claim,
        middle,
        middle - margin,
        middle + margin,
        over=over,
        least=least,
        unit="F1 points",
    )


# %%
optimism = test_choice["half used"] - test_choice["other half"]
contrasts.append(
    over_seeds(
        optimism,
        "chosen on test people, the printed score is more than one point too high",
        1,
    )
)
honest = val_choice.mean(axis=1) - test_choice["other half"]
contrasts.append(
    over_seeds(
        honest,
        "chosen on validation people, the score on others is at most one point lower",
        -1,
    )
)
glue("optimism", f"{optimism.mean():.1f}", display=False)
glue("honest", f"{honest.mean():+.1f}", display=False)

# %% [markdown]
# Choosing on test people adds {glue:text}`optimism` points that nobody else will see. Choosing on validation people instead changes what a *new* person gets
# by {glue:text}`honest` points: what is lost is the better-looking number. Fewer test people, more epochs and more AUs to tune make the pretence larger.
#
# ## Calibration
#
# A probability of 0.8 should be right eight times in ten. The *expected calibration error* averages the gap over bins of equal width $B_b$,
#
# ```{math}
# :label: eq-ece
# \mathrm{ECE} = \sum_b \frac{|B_b|}{N} \left|\, \overline{p}_b - \overline{y}_b \,\right| .
# ```

# %%
a = int(order[-1])  # the most common AU
p, y = on_test.prob[:, a].astype("float64"), on_test.label[:, a]
bins = np.minimum((p * 15).astype(int), 14)
gaps = [
    (bins == b).mean() * abs(p[bins == b].mean() - y[bins == b].mean())
    for b in range(15)
    if (bins == b).any()
]
assert np.isclose(sum(gaps), calibration.ece_per_au(on_test.prob, on_test.label)[a])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-reliability", "caption": "How often an AU was there, over how sure the detector was, all AUs together, for people it was trained on and for strangers. On the diagonal it is as good as its word."}, "image": {"alt": "Two lines of ten points each, for known people and for strangers, beside a dashed diagonal."}}
figure, ax = plt.subplots(figsize=(4.4, 3.6))
for colour, (who, said) in zip(
    plots.PALETTE, {"known people": on_seen, "strangers": on_test}.items(), strict=False
):
    diagram = calibration.reliability(
        said.prob.reshape(-1, 1), said.label.reshape(-1, 1), bins=10
    )
    error = calibration.ece_per_au(said.prob.reshape(-1, 1), said.label.reshape(-1, 1))
    ax.plot(
        diagram.said[0], diagram.seen[0], "o-", color=colour,
        label=f"{who}, ECE {100 * error[0]:.1f} %",
    )  # fmt: skip
ax.plot([0, 1], [0, 1], "--", color="0.5", linewidth=1)
ax.set(xlabel="probability that was said", ylabel="share with the AU", aspect="equal")
ax.legend()
plt.show()

# %% [markdown]
# A small network that was trained for a short time is as good as its word, even with strangers. Large networks trained for long are known to be too
# sure {cite}`guo2017calibration`, so later chapters look again. A threshold of one half means what it says only where the line is on the diagonal.
#
# ## Intensity: four scores that disagree
#
# DISFA and BP4D code some AUs from 0 to 5. Four scores are in use. The intraclass correlation here is ICC(3,1), the *consistency* kind: with mean squares
# between faces $\mathrm{BMS}$ and of the residual $\mathrm{EMS}$, for two raters,
#
# ```{math}
# :label: eq-icc
# \mathrm{ICC}(3,1) = \frac{\mathrm{BMS} - \mathrm{EMS}}{\mathrm{BMS} + \mathrm{EMS}} .
# ```

# %%
generator = np.random.default_rng(seed)
levels = [0] * 20 + [1, 2, 3, 4, 5]  # four faces of five show nothing
actual = generator.choice(levels, size=(2000, 1)).astype(float)
noise = generator.normal(0, 0.7, actual.shape)
predictions = {
    "noisy": actual + noise,
    "half as strong": 0.5 * actual + 0.3 * noise,
    "one too high": actual + noise + 1,
    "always 0": np.zeros_like(actual),
}
x, y = predictions["half as strong"][:, 0], actual[:, 0]
pairs = np.stack([x, y], axis=1)
grand, faces_mean, raters_mean = pairs.mean(), pairs.mean(1), pairs.mean(0)
bms = 2 * ((faces_mean - grand) ** 2).sum() / (len(x) - 1)
residual = pairs - faces_mean[:, None] - raters_mean + grand
ems = (residual**2).sum() / (len(x) - 1)
by_hand = (bms - ems) / (bms + ems)

assert np.isclose(by_hand, icc.icc_per_au(x[:, None], y[:, None])[0])

# %%
scores = {
    "ICC(3,1)": icc.icc_per_au,
    "PCC": agreement.pcc_per_au,
    "CCC": agreement.ccc_per_au,
    "MAE": agreement.mae_per_au,
}
table = pd.DataFrame(
    {
        name: [f(p, actual)[0] for p in predictions.values()]
        for name, f in scores.items()
    },
    index=predictions,
)
assert table.MAE["always 0"] < table.MAE["one too high"]
table.style.format(precision=2, na_rep="undefined")

# %% [markdown]
# Correlation forgives a wrong scale and a wrong offset; ICC(3,1) forgives the offset; concordance (CCC) forgives neither. The mean absolute error prefers a detector
# that always says 0 to one that is a step too high, because most faces show nothing. Print at least one of the first three beside it.
#
# ## Events
#
# A clinician counts smiles, not frames. Event F1 asks about runs of frames: an event is found when half of it was said, and an event that was said is
# right when half of it is true. A detector that is a little late loses frames and no event; one that flashes now and then loses hardly a frame and most of its
# precision.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-events", "caption": "A movement in a clip of 200 frames, a detector that is late by four frames, and one that flashes where nothing is."}, "image": {"alt": "Three rows of coloured bars over frames: truth with four bars, a copy of them a little to the right, and the same bars with thin lines in the gaps between them."}}
frame = np.arange(200)
truth_clip = ((frame // 25) % 2 == 1).astype(float)[:, None]
late = np.concatenate([np.zeros((4, 1)), truth_clip[:-4]])
flashes = np.maximum(truth_clip, (frame % 12 == 5)[:, None])
rows = {"truth": truth_clip, "late": late, "flashes": flashes}
figure, ax = plt.subplots(figsize=(7, 1.8))
for height, clip in enumerate(reversed(rows.values())):
    ax.fill_between(
        frame,
        height,
        height + 0.7 * clip[:, 0],
        step="mid",
        color=plots.PALETTE[height],
    )
ax.set_yticks(np.arange(3) + 0.35, reversed(rows))
ax.set(xlabel="frame")
ax.grid(visible=False)
plt.show()

# %%
where = {"clip": np.zeros(200, int), "frame": frame}
pd.DataFrame(
    {
        "frame F1": [metrics.f1_per_au(p, truth_clip)[0] for p in (late, flashes)],
        "event F1": [
            events.event_f1_per_au(p, truth_clip, **where)[0] for p in (late, flashes)
        ],
    },
    index=["late", "flashes"],
).style.format(precision=2)

# %% [markdown]
# ## Evidence

# %%
evidence(contrasts).style.hide(axis="index")

# %% [markdown]
# ## What would count against it
#
# Were frames independent, intervals over frames would cover as well as those over people. Were the choice of epoch and threshold harmless, the two halves of the
# test people would score alike. Both could have come out so. What this chapter does not show is how large the numbers are on licensed recordings, where people
# differ more than here, and it uses one method of one kind.
#
# ## Exercises
#
# ```{exercise} Find the bug: a score for what nobody showed
# :label: ex-undefined
# Public code adds a tiny number to the denominator, so that F1 never divides by zero. An AU that does not occur in a fold, and that the method rightly
# never predicts, then pulls its mean down. Mend `mean_f1`.
# ```


# %%
def mean_f1(tp, fp, fn):
    """Mean F1 over AUs from their counts, (A,) each; this one has the bug."""
    return np.mean(2 * tp / (2 * tp + fp + fn + 1e-20))


def check_mean_f1(function):
    """True when undefined AUs are left out and wrong ones count."""
    quiet = function(np.array([8, 0]), np.array([2, 0]), np.array([2, 0]))
    wrong = function(np.array([8, 0]), np.array([2, 5]), np.array([2, 0]))
    none = function(np.array([0]), np.array([0]), np.array([0]))
    return np.isclose(quiet, 0.8) and np.isclose(wrong, 0.4) and np.isnan(none)


assert not check_mean_f1(mean_f1)  # red; turn it green

# %% [markdown]
# ```{solution-start} ex-undefined
# :class: dropdown
# ```
# Nothing over nothing is unknown, so it stays out of the mean, and the number of AUs left out is printed beside it.


# %%
def mean_f1(tp, fp, fn):
    below = 2 * tp + fp + fn
    defined = below > 0
    return np.mean(2 * tp[defined] / below[defined]) if defined.any() else np.nan


assert check_mean_f1(mean_f1)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: a fast sweep that is wrong at one threshold
# :label: ex-sweep
# Someone replaced 99 calls of an F1 function by one histogram. It is a hundred times as fast and differs where a score equals a
# threshold. The rule is *present when the score is at least the threshold*. Mend `positives`.
# ```


# %%
def positives(scores, cuts):
    """How many scores count as present at each cut; this one has the bug."""
    return len(scores) - np.searchsorted(np.sort(scores), cuts, side="right")


def check_positives(function):
    """True when it counts what comparing one by one counts, ties included."""
    scores, cuts = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.05, 0.5, 0.9, 0.95])
    return list(function(scores, cuts)) == [(scores >= cut).sum() for cut in cuts]


assert not check_positives(positives)

# %% [markdown]
# ```{solution-start} ex-sweep
# :class: dropdown
# ```
# `side="right"` counts scores *above* the cut. A network that saturates says 0.5 or 1.0 exactly more often than one thinks, and then F1 moves.


# %%
def positives(scores, cuts):
    return len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")


assert check_positives(positives)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} How many people?
# :label: ex-people
# An interval over 27 people is 6 points wide. About how many people make it 3 points wide? Write `people_needed(people, width, wanted)`.
# ```


# %% tags=["hide-input"]
def check_people(function):
    """True when the width falls with the root of the number of people."""
    return (
        function(27, 6, 3) == 108
        and function(41, 4, 4) == 41
        and function(10, 3, 2) == 23
    )


# %% [markdown]
# ```{solution-start} ex-people
# :class: dropdown
# ```
# The width falls with the square root: four times as many people for half the width. No number of frames does that.


# %%
def people_needed(people, width, wanted):
    return int(np.ceil(people * (width / wanted) ** 2))


assert check_people(people_needed)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. F1 is prevalence, threshold and skill in one number: say all three, and put AUC beside it.
# 2. Undefined is not zero, unknown is not negative, pooled is not the mean of folds.
# 3. Intervals are over people, differences are paired, and nothing is chosen on the people who are tested.
#
# **Further reading.** The bootstrap {cite}`efron1993bootstrap`; {doc}`02_datasets_and_protocols` for what conventions alone do to a score.
