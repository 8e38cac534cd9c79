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
#     part: Reference
#     minutes: 1
#     device: CPU
#     summary: Every claim that a study of this book declared before its run, with its interval and its verdict, the failed ones beside the others.
#     inputs: [book/reference_results/*.parquet, benchmarks/experiments/*.py]
# ---

# %% [markdown]
# # Every claim and its verdict
#
# What has this book found? Each study declares in its script, before its first run, what is to be found; each chapter prints the verdicts on its own claims. Here they
# stand on one page, whether they came out or not. Nobody chose which to show: what is declared and has runs is in the table.
#
# All of them are about **rendered faces and small networks**. A claim of a paper that fails here has not failed on the paper's data, and one that holds here has not been
# shown there. What carries over is how it was asked.

# %% tags=["parameters"]
budget: str = "laptop"  # the same at every budget: nothing is trained
seed: int = 0  # nothing is drawn
least_seeds: int = 1  # claims with fewer seeds are counted as not run

# %% tags=["hide-input"]
import contextlib
import re
import runpy

import pandas as pd
from IPython.display import HTML
from matplotlib import pyplot as plt
from myst_nb import glue

from fau_utils import plots
from fau_utils.metrics.contrast import evidence
from fau_utils.plots.tables import sortable
from fau_utils.results import reference, study

plots.use()

# %% [markdown]
# ## Collecting them
#
# A script declares its claims as data, and a function of `fau_utils.results.study` computes the contrast from the table of runs: ours less theirs, paired by seed, with an interval over seeds and
# test people where each run kept its draws of people, over seeds alone where it did not. A table that is out of date, because code that makes it has changed, is left out here.

# %% tags=["hide-input"]
folder = reference.FOLDER.parents[1] / "benchmarks" / "experiments"


def script(name):
    """What a study's script declares; nothing without a checkout."""
    path = folder / f"{name}.py"
    return runpy.run_path(str(path)) if path.is_file() else {}


def runs(name):
    """The table of a study, the one of a GPU where it is there, or None."""
    for full in (f"{name}_gpu", name):
        with contextlib.suppress(FileNotFoundError):
            found = reference.read(full)
            if not found.stale:
                return found.table
    return None


# %% tags=["hide-input"]
found = {}  # study: its contrasts
clp, occlusion = script("clp"), script("occlusion_mae")
iat, apart = script("fmae_iat"), script("domain_separation")
if (table := runs("occlusion_mae")) is not None and occlusion:
    found["10 · occlusion"] = occlusion["verdicts"](table)
if apart:
    parts = ("main", "baselines", "readings", "gaps", "guides", "prior")
    names = {p: "domain_separation" + ("" if p == "main" else f"_{p}") for p in parts}
    tables = {p: t for p, n in names.items() if (t := runs(n)) is not None}
    every = [
        c
        for p, t in tables.items()
        if apart["CLAIMS"].get(p)
        for c in apart["verdicts"](p, t)
    ]
    found["20 · domain separation"] = every + apart["verdicts"](
        "pooled", apart["pooled"](tables)
    )
if (table := runs("clp")) is not None and clp:
    found["30 · CLP"] = clp["verdicts"](table)

# %% tags=["hide-input"]
if iat:
    names = {p: "fmae_iat" + ("" if p == "grid" else f"_{p}") for p in iat["RUNS"]}
    tables = {p: t for p, n in names.items() if (t := runs(n)) is not None}
    found["40 · FMAE-IAT"] = [
        c
        for p, t in tables.items()
        if iat["CLAIMS"].get(p)
        for c in iat["verdicts"](p, t)
    ]
for name, table_of in (
    ("52 · stress", "stress"),
    ("20 · every method", "domain_every"),
):
    declared = script(table_of).get("CLAIMS", ())
    if (table := runs(table_of)) is not None:
        found[name] = [study.contrast(table, **claim) for claim in declared]


# %% tags=["hide-input"]
def seeds(contrast):
    """How many seeds an interval is over; 0 where there are no runs."""
    said = re.search(r"(\d+) seed", contrast.over)
    return int(said[1]) if said and pd.notna(contrast.effect) else 0


rows = [
    {"study": name, **row, "seeds": seeds(c), "contrast": c}
    for name, contrasts in found.items()
    for c, row in zip(contrasts, evidence(contrasts).to_dict("records"), strict=True)
]
columns = ["study", "claim", "needed", "verdict", "seeds", "contrast"]
claims = pd.DataFrame(rows, columns=columns)
claims.loc[claims.seeds < least_seeds, "verdict"] = "not run"
order = ["supported", "cannot tell", "not supported", "not run"]
counts = pd.crosstab(claims.study, claims.verdict).reindex(columns=order, fill_value=0)
told = claims[claims.verdict != "not run"]
glue("claims-all", len(claims), display=False)
glue("claims-run", len(told), display=False)
glue("claims-lucky", f"{0.025 * len(told):.1f}", display=False)

# %% [markdown]
# Of {glue:text}`claims-all` declared claims {glue:text}`claims-run` have runs. *Supported* means that the whole 95 % interval is above what was needed, *not supported* that none of it is, *cannot tell* is the
# rest: it is not evidence of no effect. Were there no effects at all, one interval in forty would lie above zero by chance, which makes {glue:text}`claims-lucky` of these; they are not corrected for their number,
# so read one of them as a hint, and a pattern of several as more. An interval over one seed does not know how much another seed would have changed.
#
# ## At a glance
#
# How many claims of each study came out which way:

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-verdicts", "caption": "Declared claims of each study by their verdict."}, "image": {"alt": "A horizontal bar for each study, cut into supported, cannot tell, not supported and not run, with their numbers."}}
blue, orange = plots.PALETTE[:2]
tint = {"supported": blue, "cannot tell": "0.72", "not supported": orange}
tint["not run"] = "0.92"
fig, ax = plt.subplots(figsize=(6.4, 0.9 + 0.36 * len(counts)))
left = pd.Series(0, counts.index)
for verdict in order:
    bars = ax.barh(counts.index, counts[verdict], left=left, color=tint[verdict])
    labels = counts[verdict].astype(str).where(counts[verdict] > 0, "")
    ink = "1" if verdict == "supported" else "0"
    ax.bar_label(bars, labels, label_type="center", fontsize=9, color=ink)
    left += counts[verdict]
seen = [v for v in order if counts[v].any()]
keys = [plt.Rectangle((0, 0), 1, 1, color=tint[v]) for v in seen]
fig.legend(keys, seen, loc="outside upper center", ncols=4, frameon=False)
ax.set(xlabel="claims", ylim=(len(counts) - 0.5, -0.5))
ax.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# And every one of them:

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-claims", "caption": "Every declared claim with runs whose effect is in points: effect and 95 % interval, the part that was needed taken off, so that a claim is supported when its line lies right of zero. Blue is supported, grey cannot tell, orange not supported; the numbers are those of the table below."}, "image": {"alt": "A line with a dot for each claim, grouped by study, around a vertical line at zero."}}
points = told[[c.unit.endswith("points") for c in told.contrast]].iloc[::-1]
tint["cannot tell"] = "0.55"
fig, ax = plt.subplots(figsize=(6.4, 0.8 + 0.17 * len(points)))
for y, (number, row) in enumerate(points.iterrows()):
    c = row.contrast
    ax.plot(
        [c.low - c.least, c.high - c.least], [y, y], color=tint[row.verdict], lw=1.6
    )
    ax.plot(c.effect - c.least, y, "o", color=tint[row.verdict], ms=3.5)
    ax.text(
        1.01, y, number + 1, fontsize=7, va="center", transform=ax.get_yaxis_transform()
    )
first = points.reset_index().groupby("study", sort=False)["index"].size()
ends = first.cumsum()
ax.set_yticks(ends - first / 2 - 0.5, ends.index)
for end in ends[:-1]:
    ax.axhline(end - 0.5, color="0.85", lw=0.8)
ax.axvline(0, color="0.2", lw=0.8)
ax.set(xscale="symlog", ylim=(-1, len(points)), xlabel="points beyond what was needed")
ax.xaxis.set_major_formatter("{x:g}")
ax.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# ## All of them

# %% tags=["hide-input"]
numbers, shown = range(1, len(claims) + 1), "effect [95 % interval]"
effect = [f"{c.effect:+.1f} [{c.low:+.1f}, {c.high:+.1f}]" for c in claims.contrast]
effect = [one.replace(" [+nan, +nan]", ", no interval") for one in effect]
words = pd.DataFrame({"no.": numbers, "ch.": claims.study.str[:2].astype(int)})
words["claim"], words["verdict"], words[shown] = claims.claim, claims.verdict, effect
words["unit"] = [c.unit for c in claims.contrast]
words["needed"], words["seeds"] = claims.needed, claims.seeds
words.loc[claims.verdict == "not run", shown] = "–"
HTML(sortable(words, caption="Declared claims; type to show only some"))

# %% [markdown]
# ## Recap
#
# 1. A claim is declared before its run, and its verdict is computed: this page cannot leave out what failed.
# 2. *Cannot tell* is the most honest of the three, and the most frequent where effects are small and seeds few.
# 3. What was found about rendered faces is a reason to ask the same of real ones, with the same script: `--budget gpu`, and `fau bench run` on your data.
