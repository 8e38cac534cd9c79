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
#     summary: Every method on the same faces, with intervals, corrected comparisons and what the design could have seen; a table to sort.
#     inputs: [book/reference_results/leaderboard.parquet, book/paper_results.csv, benchmarks/grids/*.yml]
# ---

# %% [markdown]
# # The leaderboard, and how not to read it
#
# A list of methods by a mean score invites two mistakes: to take the order for a fact, and to take the score for all that matters. This chapter trains nothing. It reads
# the runs that `fau bench run laptop` has kept, puts an interval on every number, corrects every comparison for the others, and says what such a benchmark could not have seen.
#
# ```{admonition} You will learn
# - what an interval over seeds *and* people is made of
# - why twenty-eight comparisons need a correction, and how Holm's works
# - what a critical-difference diagram ranks, and over which blocks it may
# - how small a difference three seeds and sixty people can find
# - which published numbers may stand beside ours
# ```
#
# You need {doc}`03_metrics_and_uncertainty` and {doc}`50_benchmark_run`. Under a minute.

# %% tags=["parameters"]
budget: str = "laptop"  # as in every chapter; here nothing is trained at any
seed: int = 0  # as in every chapter; here nothing is drawn
table: str = "leaderboard"  # reference results to read
data: str = "synth"  # whose faces, where the table has several
score: str = "f1_tuned"  # what methods are compared by: f1_tuned, f1 or auc

# %% tags=["hide-input"]
import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown
from matplotlib import pyplot as plt
from myst_nb import glue
from scipy import stats

from fau_utils import plots
from fau_utils.metrics import compare
from fau_utils.plots.ranking import critical_difference
from fau_utils.plots.tables import sortable
from fau_utils.results import leaderboard, published, reference
from fau_utils.results.beside import beside

plots.use()

# %% tags=["hide-input"]
kept = reference.read(table)
runs = kept.table
ours = runs[runs.data == data]
seeds, planned = ours.seed.nunique(), kept.record.get("planned", len(runs))
methods = list(dict.fromkeys(ours.method))
glue("lb-seeds", seeds, display=False)
glue("lb-methods", len(methods), display=False)
glue("lb-people", int(ours.people.max()), display=False)
glue("lb-pairs", len(methods) * (len(methods) - 1) // 2, display=False)
cpu = runs.cpu_seconds.sum() / 60
Markdown(
    f"{kept.origin} It has {seeds} seed{'s' if seeds > 1 else ''} and holds {len(runs)} of {planned} runs; their training took {cpu:.0f} minutes of one processor."
)

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# All faces of our runs are **synthetic**, and the grid is the one for **laptops**: methods that see pixels were shown 3,200 faces each, where their chapters show them ten times as many.
# They begin from scratch, without the pretraining or the teacher that makes some of them what they are. The table shows how a benchmark is read. Which method is best, it
# cannot say; `fau bench run gpu` is the grid that could.
# ```
#
# ## The table
#
# Scores have a 95 % interval in brackets, costs their standard deviation over seeds. *F1, tuned* uses a threshold per AU that was chosen on validation people; *identity read* is
# how often a linear probe recognises a person whom the method was not trained on. *Hidden* is the area under the curve of AUC over the share of hidden patches, up to three quarters,
# divided by the range; *fall* the points of AUC lost from a rendered laboratory to the rendered wild. Both are of the very weights of the row, on ten faces of each test person
# ({doc}`50_benchmark_run`). Minutes are of the processor while training, parameters those that were trained, images per second of one thread. Empty means: not measured.

# %% tags=["hide-input"]
board = leaderboard.board(ours).sort_values(score, ascending=False)
text, keys = leaderboard.shown(board.reset_index(drop=True))
caption = f"{len(board)} methods, seeds: {seeds}"
HTML(sortable(text, caption=caption, keys=keys))

# %% [markdown]
# Sort it by each column in turn: the order changes. F1 at 0.5 punishes methods whose probabilities are low, which a threshold repairs and more training does, too. AUC does
# not see thresholds at all. The base rate sees no face, and its F1 with tuned thresholds is what *always yes* gives: an F1 below it is no achievement. A method whose AUC is near 50 has
# not begun to learn after so few faces; its row says how slow it starts, and nothing of where it would arrive. Landmarks are exact here, as they never are on photographs.
#
# ## An interval of two parts
#
# Another seed would give another number, and so would other people. The two are crossed, since every seed is tested on the same people, so their variances add up:
#
# ```{math}
# :label: eq-lb-variance
# \widehat{\mathrm{var}}(\bar{x}) = \frac{s^2_\text{seeds}}{S} + s^2_\text{people},
# ```
#
# with $s^2_\text{seeds}$ the variance of the $S$ runs and $s^2_\text{people}$ that of the mean over seeds when people are drawn anew. Where there is one seed only, the first part is unknown, is left
# out, and the interval is too narrow by it. The half-width is a quantile of $t$ with Welch's and Satterthwaite's degrees of freedom. This is a *sum of variances*, the second of them from a bootstrap
# of people; it is not a hierarchical bootstrap, which would draw seeds, too. From $S$ seeds that one finds $(S - 1)/S$ of their variance, two thirds for three, and its interval would be too narrow.

# %%
one = ours[ours.method == "landmarks"].sort_values("seed")
values, draws = one[score].to_numpy(), np.stack(one[f"{score}_draws"])
over_seeds = values.var(ddof=1) / len(values) if len(values) > 1 else 0.0
over_people = draws.mean(0).var(ddof=1)
variance = over_seeds + over_people
# Satterthwaite: few seeds make a wide t, but only as far as the variance is theirs
freedom = (
    variance**2 / (over_seeds**2 / max(1, len(values) - 1)) if over_seeds else np.inf
)
half = stats.t.ppf(0.975, freedom) * variance**0.5

library = leaderboard.board(one).iloc[0]
assert np.isclose(library[f"{score}_high"] - library[score], half)
shares = {"seeds": over_seeds / variance, "people": over_people / variance}
pd.Series(shares, name="share of the variance, landmarks").to_frame().style.format(
    "{:.0%}"
)

# %% [markdown]
# ## Pairs, and the price of many
#
# Intervals of two methods may overlap although one is better on nearly everybody: what makes a person hard is hard for both. So methods are compared by their *difference*, seed by seed
# and on the same draws of people. {glue}`lb-methods` methods make {glue}`lb-pairs` pairs, and of twenty comparisons of equals one is "significant" at 5 %. Holm's correction
# {cite}`holm1979` multiplies the smallest $p$ by their number, the next by one less, and so on.

# %%
pairs = leaderboard.pairs(ours, score=score)
p = np.array([pair.difference.p for pair in pairs])
order = p.argsort()
stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
by_hand = np.empty_like(p)
by_hand[order] = stepped.clip(max=1)
assert np.allclose(by_hand, compare.holm(p))

glue("lb-before", int((p < 0.05).sum()), display=False)
glue("lb-after", int((by_hand < 0.05).sum()), display=False)

# %% tags=["hide-input"]
found = leaderboard.corrected(pairs, unit="points")
words = found[["pair", "points", "verdict", "low", "high", "p", "p, Holm"]].copy()
for name in ("points", "low", "high"):
    words[name] = found[name].map("{:+.1f}".format)
for name in ("p", "p, Holm"):
    words[name] = found[name].map(
        lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}"
    )
caption = f"All pairs by {leaderboard.SCORES[score]}; a difference in points with its 95 % interval, not corrected"
HTML(sortable(words, caption=caption, keys=found.drop(columns=["pair", "verdict"])))

# %% [markdown]
# {glue}`lb-before` of {glue}`lb-pairs` pairs have $p < 0.05$ by themselves, {glue}`lb-after` after the correction. *Cannot tell* is not *equal*: it is what this design says of differences that it is too
# small to see.
#
# ## Ranks
#
# A diagram of mean ranks {cite}`demsar2006` shows all pairs at once. Ranks are taken within blocks, and blocks must be independent of each other. AUs are not, seeds share their people; people are
# independent. So each test person ranks the methods, by F1 over all their faces and AUs at once, averaged over seeds. A bar joins methods whose mean ranks are less than a critical difference apart.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-lb-ranks", "caption": "Mean rank of each method over test people, by F1 with tuned thresholds; best on the left. Methods under one bar are not told apart at 5 % (Nemenyi)."}, "image": {"alt": "A horizontal axis of mean ranks with a labelled mark for each method, and thick bars that join methods whose ranks are close together."}}
ranks = leaderboard.ranked(ours)
figure, axes = plt.subplots(figsize=(8, 3.4))
critical_difference(axes, ranks)
plt.show()

# %% tags=["hide-input"]
glue("lb-blocks", ranks.blocks, display=False)
glue("lb-critical", f"{ranks.critical:.2f}", display=False)
joined = len(ranks.cliques)
glue("lb-cliques", joined, display=False)
Markdown(
    f"{ranks.blocks} people rank {len(ranks.names)} methods; the critical difference is {ranks.critical:.2f} ranks, and {joined} groups are not told apart within. "
    "The bars know nothing of how other seeds would have come out."
)

# %% [markdown]
# ## What this design could not see
#
# Before a benchmark is run one should know which difference it can find. From the variances of the pairs above, for designs with more seeds or more people: the smallest true difference
# that a test of *one* pair at 5 % finds four times in five. What is smaller than the number in your cell, you have not disproved.

# %% tags=["hide-input"]
if seeds > 1:
    design = leaderboard.power(ours, score=score)
    shown = design.style.format("{:.1f}").set_caption(
        "smallest difference found four times in five, points"
    )
else:
    shown = Markdown(
        "One seed says nothing of the variance between seeds; a second one is needed."
    )
shown

# %% [markdown]
# A published gain of half a point on one seed of a few dozen people is below every number in such a table ({doc}`03_metrics_and_uncertainty` has the numbers for BP4D).
#
# ## A score is not all
#
# Two things a leaderboard by F1 does not show, drawn from the same runs: how well features say who somebody is, and how far probabilities are from what happens.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-lb-identity", "caption": "AUC against what a linear probe reads of identity (left) and against calibration error (right), with 95 % intervals. A good method is high, and far to the left in both panels. The dotted line is chance."}, "image": {"alt": "Two panels of labelled points with error bars, AUC on the vertical axis; methods with similar AUC differ widely on the horizontal axis of identity and of calibration error."}}
figure, panels = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for axes, name in zip(panels, ("identity", "ece"), strict=True):
    for color, (_, row) in zip(plots.PALETTE, board.iterrows(), strict=False):
        bars = [
            [[row[s] - row[f"{s}_low"]], [row[f"{s}_high"] - row[s]]]
            for s in (name, "auc")
        ]
        axes.errorbar(
            row[name],
            row["auc"],
            xerr=bars[0],
            yerr=bars[1],
            fmt="o",
            color=color,
            label=row["method"],
        )
    axes.set_xlabel(f"{leaderboard.SCORES[name]}, %")
panels[0].axvline(ours.identity_chance.mean(), color="0.5", linestyle=":")
panels[0].set_ylabel("AUC, %")
panels[1].legend(bbox_to_anchor=(1, 1), loc="upper left")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What papers print
#
# The next table has the published means on BP4D in three folds, each from the authors of the method; DISFA and BP4D+ are folded below. Ours stand beside them only where the same
# variant of a method was tested on the same dataset, in the same folds, by the default protocol and at the budget `paper`. Where no licensed data was at hand, as when
# this table was made, the column is **empty**; numbers on rendered faces are no substitute. *Remark* says what can be seen from the numbers themselves.

# %% tags=["hide-input"]
names = {"FMAE-IAT (ViT-L)": ("fmae-iat", "identity"), "CLP": ("clp", "default")}
names |= dict.fromkeys(("FMAE (ViT-L)", "FMAE ViT-L"), ("fmae-iat", "without"))
tests = {"BP4D": ("3-fold", "bp4d", 3), "DISFA": ("3-fold", "disfa", 3)}
tests |= {"BP4D+": ("4-fold", "bp4dplus", 4)}
everything, printed = leaderboard.board(runs), {}
for name, (folds, place, count) in tests.items():
    rows = published.select(dataset=name, protocol=folds)
    printed[name] = beside(rows, everything, data=place, folds=count, names=names)


# %% tags=["hide-input"]
def own(table):
    return (table["read through"] == "") & ~table["second hand"]


def first_hand(name):
    """The authors' own numbers on a dataset, as a table to sort."""
    first = printed[name][own(printed[name])]
    first = first[["method", "venue", "published", "ours", "remark"]]
    said = f"{len(first)} published means of F1 on {name} ({tests[name][0]}), percent, as their authors print them"
    return sortable(first, caption=said, keys=first[["published"]])


def second_hand(name):
    """What others print of a method on a dataset, as a table to sort."""
    second = printed[name][~own(printed[name])].drop(columns=["ours", "inconsistent"])
    marks = {True: "quoted or run by others", False: ""}
    second["second hand"] = second["second hand"].map(marks)
    said = f"{len(second)} means on {name} from others' tables; cite the source, not this page"
    return sortable(second, caption=said, keys=second[["published"]])


HTML(first_hand("BP4D"))

# %% tags=["hide-input"]
folded = "<details><summary>{}, {}: {} means</summary>{}</details>"
HTML(
    "".join(
        folded.format(name, tests[name][0], own(printed[name]).sum(), first_hand(name))
        for name in ("DISFA", "BP4D+")
    )
)

# %% [markdown]
# Set apart is what we read *through* somebody else: tables of competitors, quotations, runs by users, notes. Nobody has checked what was changed on the way. SimCLR and MoCo were even run
# by the authors of AUNCE, who had another method to show; CLP's number, too, reaches us through that paper. A method has a row per source.

# %% tags=["hide-input"]
every = pd.concat(printed.values())
glue("lb-doubted", int(every["inconsistent"].sum()), display=False)
glue("lb-printed", len(every), display=False)
HTML(
    "".join(
        folded.format(name, tests[name][0], (~own(table)).sum(), second_hand(name))
        for name, table in printed.items()
    )
)

# %% [markdown]
# {glue}`lb-doubted` of all {glue}`lb-printed` means contradict another source, or are not the mean of the AUs that are printed beside them.
#
# ## The other look
#
# Methods that are trained in one domain and tested in another have other test faces, so they have a table of their own.

# %% tags=["hide-input"]
parts = [part for name, part in runs.groupby("data") if name != data]
if parts:
    text, keys = leaderboard.shown(leaderboard.board(pd.concat(parts)))
    said = HTML(
        sortable(
            text, caption="Trained in the laboratory, tested in the wild", keys=keys
        )
    )
else:
    said = Markdown("These cells of the grid have not been run yet.")
said

# %% [markdown]
# ## Your own
#
# `fau bench run laptop` runs what is missing, `fau bench export results/bench/laptop FOLDER` writes `summary.csv`, `summary.tex` for a paper and a page that sorts without a network. Add `--reference leaderboard`
# and this chapter reads it.
#
# ```{exercise} Find the bug: the correction that is too kind
# :label: ex-lb-holm
# :minutes: 15
# Somebody wrote Holm's correction from memory. It multiplies the right way, and yet a larger $p$ can come out with a *smaller* adjusted value. Repair it.
# ```


# %% tags=["hide-input"]
def check_holm(function):
    """True when adjusted values keep the order of the p-values and stay below 1."""
    cases = [[0.01, 0.04, 0.03, 0.005], [0.9, 0.8], [0.013, 0.012, 0.011]]
    return all(
        np.allclose(function(np.array(case)), compare.holm(case)) for case in cases
    )


def kind(p):
    adjusted = np.empty_like(p)
    for rank, place in enumerate(np.argsort(p)):
        adjusted[place] = min(1, p[place] * (len(p) - rank))
    return adjusted


assert not check_holm(kind)

# %% [markdown]
# ```{solution-start} ex-lb-holm
# :class: dropdown
# ```
# Once a hypothesis is kept, all with a larger $p$ are kept, too: no adjusted value may be below the one before.


# %%
def corrected(p):
    adjusted, least = np.empty_like(p), 0.0
    for rank, place in enumerate(np.argsort(p)):
        least = max(least, min(1, p[place] * (len(p) - rank)))
        adjusted[place] = least
    return adjusted


assert check_holm(corrected)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} More seeds or more people?
# :label: ex-lb-design
# :minutes: 10
# The variance between seeds of a difference is `a` for one seed, and drawing `n` people anew gives it a variance of `b`. Write `error(a, b, n, seeds, people)`, the standard error of another design. Which helps more where
# `b` is much larger than `a`?
# ```


# %% tags=["hide-input"]
def check_error(function):
    """True for the root of both variances, each divided by its number."""
    right = [
        np.isclose(function(4, 9, 60, 1, 60), 13**0.5),
        np.isclose(function(4, 9, 60, 4, 240), 3.25**0.5),
    ]
    return all(right)


# %% [markdown]
# ```{solution-start} ex-lb-design
# :class: dropdown
# ```
# More people: no number of seeds brings the error below the root of $b$.


# %%
def error(a, b, n, seeds, people):
    return (a / seeds + b * n / people) ** 0.5


assert check_error(error)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. A number without its interval has no place in a table, and an interval over seeds alone knows nothing of people.
# 2. Compare differences, correct for their number, and say *cannot tell*.
# 3. Which differences a design can see is known before it is run; published numbers stand beside ours for the same test only.
#
# **Further reading.** Ranks over many tests {cite}`demsar2006`; the correction {cite}`holm1979`.
