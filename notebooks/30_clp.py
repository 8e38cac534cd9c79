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
#     part: Papers
#     minutes: 1
#     device: CPU
#     summary: What unlabelled video teaches about movements, what a memory of other people adds, and how wonderful a loss looks that cheats.
#     inputs: [book/paper_results.csv]
# ---

# %% [markdown]
# # CLP: what video knows without labels
#
# A video of one face is an experiment that nobody had to set up. Person, camera and room stay as they are; what changes from frame to frame is the
# movement. CLP {cite}`li2023contrastive` learns from such clips without a single label, and then asks the faces of *other people* to explain each frame.
#
# **The claim, in a sentence:** features that order the frames of a clip in time, and that can be rebuilt from other people's features, tell action units
# apart and not people, so that few labels suffice afterwards.
#
# ```{admonition} You will learn
# - how a margin on distances inside a clip turns time into a teacher, and for how long time tells the truth
# - how a frame is rebuilt from a memory of other people's faces, and what one forgotten mask does to that
# - why contrast between *instances* (SimCLR, MoCo) rewards knowing who somebody is
# - how a self-supervised run collapses while its loss looks fine, and which number shows it
# ```
#
# You need {doc}`03_metrics_and_uncertainty` and {doc}`05_engine`. Less than a minute on two cores.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing
seed: int = 0  # decides the people, the initial weights and the order of clips
clip_length: int = 7  # frames T of a training clip, as many as the paper draws

# %% tags=["hide-input"]
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from myst_nb import glue
from torch.nn import functional as F

from fau_utils import plots
from fau_utils.aus import RENDERED, column
from fau_utils.faces.draw import draw, renderer_for
from fau_utils.faces.plan import plan_clips
from fau_utils.faces.population import SPLITS, SynthFaces
from fau_utils.plots.faces import to_pixels
from fau_utils.results import published

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# Faces and clips are **synthetic**; no video of a person was used, and nothing below stands on the same data as a published number.
#
# **What is the paper's, and what is ours.** The authors published no code. We worked from the abstract and the framework figure: the *structure* below is
# theirs. Every formula, constant and schedule is **our reading**, each an option with a name:
# ```
#
# | part | in the paper | our reading |
# |---|---|---|
# | encoder $f_q$, momentum encoder $f_k$ | drawn | a small network at 64 px, ResNet-18 at 224 px; 256 numbers of length 1; momentum 0.99 |
# | contrast in time $\mathcal{L}_T$ | "margin-based", adjacent frames closer than distant ones | ranking of all triples on one side of a frame, {eq}`eq-clp-temporal` |
# | frame $f_r$ | one at random, its colours changed, slightly enlarged | the same, one draw of the transformation per frame |
# | memory $M$ | random frames of other people, several of each | first in, first out; remembers whose each row is |
# | reconstruction $\hat q_r$ | softmax attention, a linear combination | temperature; rows of the same person masked, {eq}`eq-clp-attention` |
# | loss of it $\mathcal{L}_{CIR}$ | a double arrow between $\hat q_r$ and $k_r$ | squared distance, or contrast against other clips' $k$, {eq}`eq-clp-cir` |
# | sum | $\mathcal{L}_T$ and $\mathcal{L}_{CIR}$ | weight $\lambda$ on the second |
#
# ## The whole of it in one picture


# %% tags=["hide-cell"]
def in_clips(config, length):
    """The configuration with every split in clips of `length` frames, one clip per person."""
    splits = {name: replace(config.split(name), frames=length) for name in SPLITS}
    return replace(config, clip_length=length, **splits)


length, fps = 49, 25
film = in_clips(SynthFaces(seed=seed, nuisance=0.3, fps=fps), length)
in_print = replace(film, res=112)


def frames_of(subject, clip, pick, *, config=in_print):
    """Frames of clips of test people, (N, 3, H, W) uint8: person, number of the clip, frame."""
    rows = plan_clips(
        config, "test", subject=20_000 + torch.tensor(subject), clip=torch.tensor(clip)
    )
    return draw(config, rows[torch.tensor(pick)], renderer=renderer_for(config)).images


# %% tags=["hide-cell"]
sixths = list(range(0, length, 8))
hero = 31  # a test person whose first clip moves a lot
film_strip = frames_of([hero], [0], sixths)
middles = [k * length + 24 for k in range(6)]
of_others = frames_of([3, 3, 4, 4, 5, 5], [0, 1] * 3, middles)
warm = torch.tensor([1.15, 0.98, 0.75])[:, None, None]
transformed = (film_strip[3] / 255 * warm).clamp(0, 1)[..., 8:-8, 8:-8]

# %% tags=["hide-cell"]
BLUE, ORANGE, GREEN, _, PINK, BROWN = plots.PALETTE[:6]
PEOPLE = [BROWN, BROWN, PINK, PINK, "0.45", "0.45"]


def face(ax, picture, x, y, edge):
    ax.imshow(to_pixels(picture), extent=(x, x + 0.95, y, y + 0.95), zorder=2)
    frame = plt.Rectangle(
        (x, y), 0.95, 0.95, fill=False, edgecolor=edge, linewidth=2, zorder=3
    )
    ax.add_patch(frame)


def box(ax, text, y, colour):
    style = {"boxstyle": "round,pad=0.1", "edgecolor": colour}
    ax.add_patch(FancyBboxPatch((8, y - 0.5), 1.7, 1, facecolor=colour + "30", **style))
    ax.text(8.85, y, text, ha="center", va="center", fontsize=8)
    arrow(ax, (7.15, y), (7.85, y))


def arrow(ax, start, end, style="-|>", colour="0.35", **more):
    shape = {"arrowstyle": style, "mutation_scale": 10, "shrinkA": 1, "shrinkB": 1}
    ax.add_patch(FancyArrowPatch(start, end, color=colour, **shape, **more))


# %% tags=["hide-cell"]
def say(ax, x, y, text, **more):
    ax.text(x, y, text, **{"fontsize": 8.5, "ha": "center", "va": "center", **more})


def in_time(ax):
    """Upper row: a clip, its embeddings, the contrast between near and far."""
    for t in range(7):
        face(ax, film_strip[t], 1.02 * t, 7.2, ORANGE if t == 3 else "0.6")
        ax.plot(10.8 + 0.8 * t, 7.7, "o", color=ORANGE if t == 3 else BLUE, ms=11)
    say(ax, 3.5, 8.5, "clip of $T$ frames, one person")
    box(ax, "encoder $f_q$", 7.7, BLUE)
    arrow(ax, (9.85, 7.7), (10.4, 7.7))
    say(ax, 13.2, 8.5, "$q_1 \\dots q_T$")
    arrow(ax, (13.3, 7.2), (13.9, 7.2), "|-|", GREEN)
    say(ax, 14.25, 7.2, "near", color=GREEN, ha="left")
    arrow(ax, (13.2, 6.6), (15.7, 6.6), "|-|", PINK)
    say(ax, 15.9, 6.6, "far", color=PINK, ha="left")
    say(ax, 16.9, 7.2, r"$\mathcal{L}_T$", fontsize=11)


# %% tags=["hide-cell"]
def across_people(ax):
    """Lower row: other people's frames, the memory, and attention over it."""
    for n, edge in enumerate(PEOPLE):
        face(ax, of_others[n], 1.02 * n + 0.5, 1.2, edge)
        where, share = (10.4, 2.7 - 0.48 * n), [0.05, 0.5, 0.08, 0.2, 0.02, 0.15][n]
        ax.add_patch(plt.Rectangle(where, 1.5, 0.4, color=edge, alpha=0.75))
        bar = plt.Rectangle((12.2, where[1]), 3 * share, 0.4, color=ORANGE)
        ax.add_patch(bar)
    say(ax, 3.6, 2.6, "random frames of other people")
    box(ax, "momentum\nencoder $f_k$", 1.7, GREEN)
    arrow(ax, (9.85, 1.7), (10.3, 1.7))
    say(ax, 11.15, -0.15, "memory $M$")
    say(ax, 12.95, -0.15, "attention $a$")


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-clp-structure", "caption": "CLP, drawn after the paper's framework figure. Above: the encoder embeds the frames of a clip; of two frames on the same side of a frame, the nearer one in time shall be the nearer one in the embedding. Middle: one frame, with other colours and a little enlarged, goes through the momentum encoder. Below: its embedding $q_r$ asks a memory of other people which of their faces resemble it, and their mixture has to come close to $k_r$."}, "image": {"alt": "Flow chart with real thumbnails. Seven frames of a face pass an encoder and become seven dots with a near and a far distance marked. One frame, colour changed, passes a momentum encoder to a dot k r. Six faces of three other people pass the momentum encoder into a memory of coloured rows with attention bars, which give a dot that is compared with k r."}}
figure, ax = plt.subplots(figsize=(9, 4.7))
ax.set(xlim=(-0.1, 18), ylim=(-0.5, 9), aspect="equal")
ax.axis("off")
in_time(ax)
across_people(ax)
arrow(ax, (3.5, 7.15), (3.5, 5.5), linestyle="--")
face(ax, transformed, 3.05, 4.45, ORANGE)
say(ax, 1.4, 4.95, "frame $f_r$,\ntransformed")
arrow(ax, (4.1, 4.95), (7.85, 4.95))
box(ax, "momentum\nencoder $f_k$", 4.95, GREEN)
arrow(ax, (9.85, 4.95), (15.4, 4.95))
ax.plot(15.8, 4.95, "o", color=GREEN, ms=11)
say(ax, 15.8, 5.5, "$k_r$")
arrow(ax, (13.2, 7.4), (12.75, 3.3), colour=ORANGE, connectionstyle="arc3,rad=0.1")
say(ax, 12.5, 4.2, "$q_r$", color=ORANGE)
arrow(ax, (14.1, 1.7), (15.4, 1.7))
ax.plot(15.8, 1.7, "o", color=ORANGE, ms=11)
say(ax, 15.9, 1.0, "$\\hat q_r = \\sum_j a_j M_j$")
arrow(ax, (15.8, 2.05), (15.8, 4.6), "<|-|>", ORANGE)
say(ax, 16.7, 3.3, r"$\mathcal{L}_{CIR}$", fontsize=11)
plt.show()

# %% [markdown]
# The two halves ask for different things. The upper one compares a person with himself or herself: who it is cancels out, so identity is neither needed nor
# forbidden. Only the lower one says that faces of different people with the same movements belong together.
#
# ## A clip, and what was true in it
#
# Because our faces are drawn, we know every movement in every frame.

# %%
rows = plan_clips(
    film, "test", subject=torch.tensor([20_000 + hero]), clip=torch.zeros(1).long()
)
truth = rows.intensity  # (49, 16) in FACS intensity, 0 to 5
pixels = draw(film, rows, renderer=renderer_for(film)).images  # (49, 3, 64, 64)
seconds = np.arange(length) / fps


def distances(x):
    """Squared distances between all frames, (T, D) to (T, T)."""
    return torch.cdist(x[None].float(), x[None].float())[0] ** 2


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-clp-clip", "caption": "Two seconds of a test person: every eighth frame, and below the true intensity of the action units that move most. Pose, light and camera stay."}, "image": {"alt": "Seven portraits of one face in time order above smooth curves of action unit intensity that rise, hold and fall at different moments."}}
moving = (truth.amax(0) - truth.amin(0)).topk(6).indices.tolist()
figure = plt.figure(figsize=(8.5, 4.2))
for place, t in enumerate(sixths):
    at = figure.add_axes([0.075 + (0.9 - 0.125) * t / (length - 1), 0.68, 0.125, 0.3])
    at.imshow(to_pixels(film_strip[place]))
    at.axis("off")
ax = figure.add_axes([0.1375, 0.12, 0.775, 0.54])
for colour, k in zip(plots.PALETTE, moving, strict=False):
    ax.plot(seconds, truth[:, k], color=colour, label=column(RENDERED[k]))
ax.set(xlabel="time, s", ylabel="intensity, 0 to 5", ylim=(0, 5.2))
ax.set_xlim(0, seconds[-1])
ax.set_xticks(seconds[sixths])
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
plt.show()

# %% [markdown]
# ## Contrast in time
#
# All embeddings have length 1, and $d(a, b) = \lVert a - b\rVert^2$. Of three frames $i, j, l$ in this order in time, forwards or backwards, $j$ is nearer to $i$
# than $l$ is. The loss says that this shall hold in the embedding too, by a margin that grows with the time between $j$ and $l$:
#
# ```{math}
# :label: eq-clp-temporal
# \mathcal{L}_T = \frac{1}{|\mathcal{R}|} \sum_{(i,j,l) \in \mathcal{R}} \big[\, d(q_i, q_j) - d(q_i, q_l) + m\,|l-j| \,\big]_+ ,
# ```
#
# with $\mathcal{R}$ all triples $i < j < l$ or $i > j > l$.


# %%
def in_order(frames):
    """All (i, j, l) of the equation: j and l on one side of i, j nearer."""
    t = range(frames)
    return [(i, j, k) for i in t for j in t for k in t if i < j < k or i > j > k]


def temporal_by_hand(q, *, margin):
    """L_T for one clip, q (T, D) of length 1."""
    terms = []
    for i, j, k in in_order(len(q)):
        near, far = ((q[i] - q[j]) ** 2).sum(), ((q[i] - q[k]) ** 2).sum()
        terms.append((near - far + margin * abs(k - j)).clamp(min=0))
    return torch.stack(terms).mean()


# %% [markdown]
# ### For how long does time tell the truth?
#
# The loss believes that a face further away in time is a face further away in movement. While a movement rises, that is so. Once it has fallen again, the last
# frame looks like the first. We ask the true movements how many triples are ranked wrongly, and how much moves in a clip at all.

# %%
crowd = plan_clips(
    film, "train", subject=torch.arange(400), clip=torch.zeros(400).long()
)
crowd = crowd.intensity.view(400, length, -1)  # 400 clips of other people


def told_wrongly(au):
    """Share of triples whose nearer frame in time is the farther one in movement."""
    d = (au[:, :, None] - au[:, None]).abs().sum(-1)  # (clips, T, T)
    i, j, k = torch.tensor(in_order(au.shape[1])).T
    return float((d[:, i, j] > d[:, i, k]).float().mean())


spans = pd.DataFrame(
    {
        "seconds": (clip_length - 1) * stride / fps,
        "told wrongly, %": 100 * told_wrongly(au),
        "movement": float((au[:, 0] - au[:, -1]).abs().sum(-1).mean()),
    }
    for stride in range(1, (length - 1) // (clip_length - 1) + 1)
    for au in [crowd[:, : (clip_length - 1) * stride + 1 : stride]]
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-clp-time", "caption": "Clips of seven frames that span more or less time. Left: share of the triples of the loss that the true movements contradict. Right: how far the last frame is from the first, summed over sixteen action units. Short clips teach the truth, but little of it."}, "image": {"alt": "Two rising curves over the span of a clip from a quarter of a second to two seconds: the share of wrong triples climbs from under one percent to about a third, the movement climbs and flattens."}}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for ax, name, colour in zip(
    axes, ["told wrongly, %", "movement"], plots.PALETTE, strict=False
):
    ax.plot(spans["seconds"], spans[name], "o-", color=colour)
    ax.set(xlabel="span of the clip, s", ylim=(0, None))
axes[0].set(ylabel="triples told wrongly, %")
axes[1].set(ylabel="movement, FACS points in all")
figure.tight_layout()
wrong = spans["told wrongly, %"]
glue("wrong_short", f"{wrong.iloc[0]:.1f}", display=False)
glue("wrong_long", f"{wrong.iloc[-1]:.0f}", display=False)
glue("span_short", f"{spans['seconds'].iloc[0]:.2f}", display=False)
glue("span_long", f"{spans['seconds'].iloc[-1]:.1f}", display=False)
plt.show()

# %% [markdown]
# Over {glue:text}`span_short` s the ranking errs in {glue:text}`wrong_short` % of the triples, over {glue:text}`span_long` s in {glue:text}`wrong_long` %. The paper's T is
# *consecutive frames*; how many, and at what rate, we do not know.
#
# ## Across people
#
# The query $q_r$ asks a memory $M$ of $K$ embeddings, made by the momentum encoder. Row $j$ is of person $s_j$, the query of person $s$, and rows of $s$ are left out:
#
# ```{math}
# :label: eq-clp-attention
# a = \operatorname{softmax}_{\,j\,:\,s_j \ne s}\!\left( \frac{M_j \cdot q_r}{\tau_a} \right), \qquad
# \hat q_r = \frac{\sum_j a_j M_j}{\lVert \sum_j a_j M_j \rVert} .
# ```
#
# Then the mixture has to be the momentum embedding $k_r$ of the same frame. Reading A is the plain distance; reading B, after the word *contrastive* in the title, wants it nearer
# to $k_r$ than to the $k$ of other clips:
#
# ```{math}
# :label: eq-clp-cir
# \begin{aligned}
# \mathcal{L}_{CIR}^{A} &= \lVert \hat q_r - \operatorname{sg}[k_r] \rVert^2, \\
# \mathcal{L}_{CIR}^{B} &= -\log \frac{\exp(\hat q_r \cdot k_r / \tau)}{\exp(\hat q_r \cdot k_r / \tau) + \sum_{n} \exp(\hat q_r \cdot k_n / \tau)} .
# \end{aligned}
# ```
#
# No gradient flows into $M$ or $k$. What the encoder can learn from this half is only *whom to ask*.


# %%
def reconstruct_by_hand(q_r, memory, person, owner, *, temperature):
    """Attention over other people's rows, (K,), and what they make of q_r, (D,)."""
    score = memory @ q_r / temperature
    score[owner == person] = -torch.inf
    attention = score.softmax(0)
    return attention, F.normalize(attention @ memory, dim=0)


# %% [markdown]
# ## The paper's numbers, second hand
#
# No table of the paper was open to us. The per-AU scores below were copied from the README of *another* group's method {cite}`shang2024aunce`, where CLP is a row of a comparison.
# Whether CLP's row is a frozen encoder with a linear head or a fine-tuned network is not said; the protocols of SimCLR and MoCo are presumed; an earlier version of the
# same file had another row for CLP, whose mean was not the mean of its own entries. Quote them with this paragraph or not at all.

# %%
quoted = published.read()
quoted = quoted[quoted["source"].str.contains("AUNCE README") & (quoted["au"] == "Avg")]
quoted = quoted[~quoted["method"].str.contains("earlier")]
sheet = quoted.pivot_table(index="method", columns="dataset", values="value")
sheet = sheet.loc[sheet["BP4D"].sort_values().index, ["BP4D", "DISFA"]]

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-clp-published", "caption": "Second-hand: mean F1 of published methods on BP4D and DISFA as one README lists them, the contrastive ones in colour. All but its own method were copied from elsewhere by its authors, and copied by us from there. Nothing in this chapter was run on either dataset."}, "image": {"alt": "Two panels of horizontal bars in order of F1 on BP4D. SimCLR and MoCo are lowest near 50 percent on BP4D and 47 on DISFA, CLP stands at 62.4 and 57.4, most supervised methods above it."}}
figure, axes = plt.subplots(1, 2, figsize=(8, 4.6), sharey=True)
own = {"SimCLR": plots.PALETTE[1], "MoCo": plots.PALETTE[1], "CLP": plots.PALETTE[0]}
place = np.arange(len(sheet))
for ax, dataset in zip(axes, sheet, strict=True):
    colours = [own.get(method, "0.8") for method in sheet.index]
    ax.barh(place, sheet[dataset], color=colours)
    for y, value in zip(place, sheet[dataset], strict=True):
        if np.isfinite(value):
            ax.text(value - 0.7, y, f"{value:.1f}", ha="right", va="center", fontsize=7)
    ax.set(xlabel="mean F1, %", title=f"{dataset}, second-hand", xlim=(0, 72))
    ax.grid(axis="y", visible=False)
axes[0].set_yticks(place, sheet.index, fontsize=8)
figure.tight_layout()
plt.show()

# %% [markdown]
# If the rows are comparable, CLP gains more than ten points over MoCo on both sets. Whether it is there on rendered faces has to be
# measured. These experiments are still to come; what would count against the claim is said before.

# %% [markdown]
# ## What would count against it
#
# - Features in which **temporal contrast alone** does as well: then the memory adds nothing, and the paper's second half is not needed here.
# - A **memory with the person's own rows** that does as well: then whatever the reconstruction helps with, it is not person-independence.
# - Attention that is **no nearer in movement than chance**: then other people's faces are chosen by something else.
#
# What we could not settle: every formula and constant is ours, so a verdict against us is a verdict on *our reading*. Clips here are drawn, and no
# frame is badly cropped or missing, as in real video.
#
# ## Exercises
#
# ```{exercise} Find the bug: wonderful reconstructions
# :label: ex-clp-own-rows
# A colleague is delighted: the reconstruction loss fell at once, and to almost nothing. The memory holds a few frames of each video of the batch, the query's own among them, and
# the line that should take them out is there. Why does it do nothing? Mend `mixtures`.
# ```


# %%
def mixtures(q, memory, person, owner, *, temperature=0.07):
    """What other people's rows make of each query, (B, D); this one has the bug."""
    own = owner[None] == person[:, None]  # (B, K)
    attention = (q @ memory.T / temperature).softmax(1)
    attention.masked_fill(own, 0)
    return F.normalize(attention @ memory, dim=1)


def check_mixtures(function):
    """True when the rows of the person who asks might as well not be there."""
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(40, 16, generator=generator), dim=1)
    owner, person = torch.arange(40) // 4, torch.arange(5)
    q = rows[:20:4]  # each query is itself in the memory
    made = function(q, rows, person, owner)
    print(f"reconstruction loss {(made - q).square().sum(1).mean():.3f}")
    for k in range(5):
        others = owner != k
        alone = function(q[k][None], rows[others], person[k][None], owner[others])
        if not torch.allclose(made[k], alone[0], atol=1e-5):
            return False
    return True


assert not check_mixtures(mixtures)  # red; turn it green

# %% [markdown]
# ```{solution-start} ex-clp-own-rows
# :class: dropdown
# ```
# Without an underscore `masked_fill` returns a new tensor, and nobody keeps it. With one, autograd refuses, and rightly: the mask belongs in front of the softmax, where the query's own
# face has not yet taken all there is to give. The honest loss is worse, as it should be.


# %%
def mixtures(q, memory, person, owner, *, temperature=0.07):
    own = owner[None] == person[:, None]  # (B, K)
    score = (q @ memory.T / temperature).masked_fill(own, -torch.inf)
    return F.normalize(score.softmax(1) @ memory, dim=1)


assert check_mixtures(mixtures)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} What a dead network scores
# :label: ex-clp-collapse
# An encoder that maps every face to the same point has $\mathcal{L}_{CIR}^A = 0$, the best there is. What is its $\mathcal{L}_T$, for clips of $T$ frames and margin $m$? Write `dead(frames, margin)`
# without a network and without a loop. A run whose $\mathcal{L}_T$ stays there has learnt nothing.
# ```


# %% tags=["hide-input"]
def check_dead(function):
    """True when it is what the loss gives for embeddings that are all the same."""
    return all(
        np.isclose(
            function(t, 0.1),
            0.1 * np.mean([k - j for i, j, k in combinations(range(t), 3)]),
        )
        for t in (3, 5, 7, 9)
    )


# %% [markdown]
# ```{solution-start} ex-clp-collapse
# :class: dropdown
# ```
# Only the margins are left, so it is $m$ times the mean of $|l-j|$. Three frames drawn from $T$ cut the clip into four gaps, equal on average, the two at the
# ends one short: $|l-j|$ is $(T+1)/4$ on average.


# %%
def dead(frames, margin):
    return margin * (frames + 1) / 4


assert check_dead(dead)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: a rank that never falls
# :label: ex-clp-rank
# The effective rank is $\exp(-\sum_i p_i \log p_i)$, with $p_i$ the share of variance along principal axis $i$: 16 for a round cloud in 16 dimensions, 1 for a line. This function
# reports a healthy number for a line. Mend `rank_of`.
# ```


# %%
def rank_of(z):
    """Effective rank of embeddings (N, D); this one has the bug."""
    spread = torch.linalg.svdvals((z - z.mean(0)) / z.std(0)) ** 2
    share = spread / spread.sum()
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


def check_rank(function):
    """True for a round cloud, and for a line that rounding errors surround."""
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(4000, 16, generator=generator)
    line = torch.zeros(4000, 16)
    line[:, 0] = cloud[:, 0]
    line[:, 1:] = 1e-6 * cloud[:, 1:]
    return (
        15 < function(cloud) < 16.1
        and function(line) < 1.1
        and function(line + 5) < 1.1
    )


assert not check_rank(rank_of)

# %% [markdown]
# ```{solution-start} ex-clp-rank
# :class: dropdown
# ```
# Dividing each dimension by its deviation blows rounding errors up to full size, and a dead dimension looks alive. Centre, and leave the scale alone.


# %%
def rank_of(z):
    spread = torch.linalg.svdvals(z - z.mean(0)) ** 2
    share = spread / spread.sum()
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


assert check_rank(rank_of)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. Inside a clip only the movement changes, so ordering its frames is a lesson in movement, for as long as the clip is short.
# 2. Instance contrast is paid for telling people apart. Whether a memory of other people undoes that has to be *measured*, with fresh probes on people never seen.
# 3. Watch whose rows get the attention, the spread and the rank. The loss of a run that cheats, and of one that is dead, looks better than an honest one.
#
# **Further reading.** The paper {cite}`li2023contrastive`; instance contrast {cite}`chen2020simclr,he2020moco`; ranking the frames of a clip without labels
# {cite}`lu2020temporal`; movement by taking a face apart {cite}`li2019tcae`.
