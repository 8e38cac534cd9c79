"""A small book project for tests: two chapters that need no torch, in a folder of their own."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: fau
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   fau:
#     part: {part}
#     summary: {summary}
#     minutes: 0.1
#     device: CPU
# ---

"""

FIRST = (
    HEADER.format(part="First steps", summary="One line that the home page shows.")
    + r"""# %% [markdown]
# # A tour of nothing
#
# What the paper claims in one sentence {cite:p}`he2022mae`.
#
# **You will learn** how a page is made. Before it, read nothing; after it, {doc}`02_sums`.

# %% tags=["parameters"]
seed: int = 0  # all randomness comes from it
budget: str = "laptop"  # smoke, laptop, gpu or paper
rate: float = 0.5  # share of the marked points

# %%
import matplotlib.pyplot as plt
import numpy as np
from fau_utils.aus import AUS
from myst_nb import glue

# %% [markdown]
# :::{admonition} What is real here
# :class: note
# Nothing. The points are random.
# :::
#
# The mean of $n$ numbers is
#
# $$
# \bar x = \frac{1}{n}\sum_{i=1}^n x_i
# $$ (eq-mean)
#
# and {eq}`eq-mean` is what {numref}`fig-points` draws.

# %% tags=["home-picture"] mystnb={"figure": {"caption": "Twenty points and their mean.", "name": "fig-points"}, "image": {"alt": "Scatter plot of twenty points around a horizontal line"}}
points = np.random.default_rng(seed).normal(size=20)
figure, ax = plt.subplots(figsize=(5, 2.6))
ax.plot(points, "o")
ax.axhline(points.mean())
ax.set_xlabel("point")
ax.set_ylabel("value (no unit)")
plt.show()

# %%
glue("mean_value", float(points.mean()), display=False)
glue("count_aus", len(AUS), display=False)

# %% [markdown]
# The mean is {glue:text}`mean_value:.3f` over the points, and {glue:text}`count_aus` action units have a name.

# %% tags=["hide-input"]
from IPython.display import HTML
import plotly.graph_objects as go

chart = go.Figure(go.Scatter(y=points.tolist(), name="points"), layout={"height": 260, "title": {"text": "The same, to touch"}})
HTML(f'<div aria-label="Points to touch">{chart.to_html(full_html=False, include_plotlyjs=False)}</div>')

# %%
import pandas as pd

pd.DataFrame({"mean": [points.mean()], "rate": [rate], "AUs": [len(AUS)]})

# %% [markdown]
# ```{exercise}
# :label: ex-mean
#
# Compute the mean by hand.
# ```
#
# ```{solution} ex-mean
# :class: dropdown
#
# Add them up and divide: `sum(points) / 20`.
# ```
#
# ## Recap
#
# One line.
"""  # noqa: E501  captions are one line of cell metadata
)

SECOND = (
    HEADER.format(part="More", summary="Sums, in one cell.")
    + """# %% [markdown]
# # Sums
#
# The figure is {numref}`fig-points` of {doc}`00_tour`.

# %% tags=["parameters"]
seed: int = 0  # all randomness comes from it
terms: int = 3  # how many, 1 to 100

# %%
import sys

print("words on the error stream", file=sys.stderr)
sum(range(terms))
"""
)


def make(folder: Path, **chapters: str) -> Path:
    """A project in `folder`; chapters are ``name="text of the .py"``, by default the two above."""
    (folder / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "book", folder / "book", ignore=shutil.ignore_patterns("__pycache__", "reference_results"))
    for name, text in (chapters or {"00_tour": FIRST, "02_sums": SECOND}).items():
        (folder / "notebooks" / f"{name.lstrip('_')}.py").write_text(text)
    return folder
