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
#     part: Start here
#     minutes: 3
#     device: CPU
#     summary: Render faces, train a small detector, score it on people it has never seen, and break it with a mask.
# ---

# %% [markdown]
# # A tour in five minutes
#
# We draw faces whose every movement we know, train a detector of action units (AUs) on some people, score it on others, and
# then put a mask in front of them. Each step is a few lines, and each returns in a later chapter at full length.
#
# ```{admonition} You will learn
# - what AU data looks like: faces, people, and labels that are 1, 0 or *not coded*
# - how to train a detector and score it on people it has never seen, with an interval
# - how to ask a question in a way that can be answered with *no*
# ```
#
# It takes about three minutes on two cores of a laptop and needs nothing you do not have after the installation.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing, gpu trains longer
seed: int = 0  # decides the people, the initial weights and the order of faces

# %% tags=["hide-input"]
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from myst_nb import glue

from fau_utils import metrics, plots
from fau_utils.aus import AUS, column
from fau_utils.data import synth
from fau_utils.faces.population import Occlusion, SynthFaces
from fau_utils.methods.baselines import CnnDetector
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.training import fit, predict

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# All faces are **synthetic**, and so are the numbers: they say how methods compare on faces we can control, and nothing about
# how well anything works on real people. The same functions take BP4D, DISFA and others when you have a licence.
# ```
#
# ## Faces
#
# A dataset is one frozen configuration. The default imitates a laboratory recording: 40 people to train on, 30 others to make
# choices with, and 60 more that are looked at once, at the end. The first call draws the faces; later ones read them from a cache.

# %%
world = SynthFaces(seed=seed)
if budget == "smoke":  # a few faces, to see that everything runs
    for split, people, frames in [
        ("seen", 10, 10),
        ("train", 10, 30),
        ("val", 6, 10),
        ("test", 10, 10),
    ]:
        world = world.with_split(split, subjects=people, frames=frames)
train, val, test = (synth.load(world, split) for split in ("train", "val", "test"))
train

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tour-faces", "caption": "Training faces of 64 px: each row is one person in eight frames."}, "image": {"alt": "Four rows of eight small synthetic faces; within a row the person is the same and the movements differ."}}
per_person = world.train.frames
rows = [
    person * per_person + k * (per_person // 8) for person in range(4) for k in range(8)
]
plots.sheet(torch.as_tensor(np.asarray(train.images[rows])), columns=8, inches=1.05)
# %% [markdown]
# The labels are a table with one row per face and one column per AU. They come from intensities between 0 and 5; 1.5 and
# above counts as present.

# %%
labels = pd.DataFrame(
    train.labels[rows[:8]].int().numpy(), columns=[column(n) for n in train.aus]
)
labels.insert(0, "person", [train.subjects[s] for s in train.subject[rows[:8]]])
labels.style.hide(axis="index")

# %% [markdown]
# ## A detector
#
# A small convolutional network, trained with binary cross-entropy for {glue:text}`tour_views` views of faces. It sees the training people only; the
# validation people tell us how it is doing on the way.

# %%
detector = CnnDetector(world.aus, seed=seed)
fitted = fit(detector, train, val=val, budget=budget, seed=seed)
glue("tour_views", f"{fitted.views:,}", display=False)
glue("tour_seconds", f"{fitted.seconds:.0f}", display=False)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tour-loss", "caption": "Training loss over views of faces; the last evaluation on the validation people is written in."}, "image": {"alt": "A loss curve that falls steeply at first and then slowly."}}
history = fitted.history
figure, ax = plt.subplots(figsize=(6, 2.6))
ax.plot(history["views"], history["loss"])
ax.set(xlabel="views of faces", ylabel="cross-entropy", xlim=(0, None))
last = history["val_auc"].dropna().iloc[-1]
ax.set_title(f"AUC on validation people after training: {100 * last:.1f}")
plt.show()

# %% [markdown]
# ## People it has never seen
#
# Now the test people, once. F1 is the field's usual score: the harmonic mean of precision and recall at a threshold of 0.5. AUC asks
# only whether faces with the AU are ranked above faces without. The intervals come from drawing *people* with
# replacement, because frames of one person are not independent witnesses.

# %%
predictions = predict(detector, test)
f1 = predictions.interval(metrics.f1_per_au)
auc = predictions.interval(metrics.auc_per_au)
scores = predictions.scores()
for name, score in {"f1": f1, "auc": auc}.items():
    points = (100 * score.value, 100 * score.low, 100 * score.high)
    glue(f"tour_{name}", "{:.1f} [{:.1f}, {:.1f}]".format(*points), display=False)
yes = np.ones_like(predictions.prob)  # says yes to everything
always = metrics.f1_per_au(yes, predictions.label)
glue("tour_always", f"{100 * always.mean():.1f}", display=False)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tour-f1", "caption": "F1 of each action unit on people never seen, with 95 % intervals over people; ticks mark what saying yes to every face would score."}, "image": {"alt": "Bars of F1 for twelve action units with intervals; brow raisers and lip corner pullers score best, lip tighteners worst."}}
each = metrics.subject_bootstrap_per_au(
    predictions.prob, predictions.label, predictions.subject, metrics.f1_per_au
)
value, low, high = (
    np.array([getattr(i, part) for i in each]) * 100
    for part in ("value", "low", "high")
)
figure, ax = plt.subplots(figsize=(7.5, 3))
place = np.arange(len(each))
ax.bar(place, value, color=plots.PALETTE[0])
ax.errorbar(place, value, [value - low, high - value], fmt="none", ecolor="0.3")
tick = {"marker": "_", "s": 250, "linewidths": 2, "color": plots.PALETTE[3]}
ax.scatter(place, 100 * always, label="always yes", zorder=3, **tick)
ax.set_xticks(place, [f"AU{n}" for n in predictions.aus])
ax.set(ylabel="F1 on test people, %", ylim=(0, 100))
ax.grid(axis="x", visible=False)
ax.legend()
plt.show()

# %% [markdown]
# Mean F1 is {glue:text}`tour_f1`, mean AUC {glue:text}`tour_auc`, after {glue:text}`tour_seconds` seconds of training. Answering *yes* to every face would
# have given an F1 of {glue:text}`tour_always`: always ask what a predictor that sees nothing would score.
#
# ## Break it
#
# What does the detector do when it cannot see? We draw *the same* test faces again, with sunglasses, a mask or a hand in front
# of them. Nothing else changes, so every difference is the occluder's.
#
# **Declared before the run:** *a mask costs AUs of the lower face more AUC than AUs of the upper face.* The effect is the difference of the two
# losses in AUC points; its interval is over people. It is supported only if the whole interval lies above 0.

# %%
kinds = ["sunglasses", "mask", "hand"]
behind = {
    kind: synth.load(replace(world, occlusion=Occlusion(kinds=(kind,))), "test")
    for kind in kinds
}
said = {kind: predict(detector, faces) for kind, faces in behind.items()}
assert all(
    (hidden.labels == test.labels).all() for hidden in behind.values()
)  # same faces, same labels

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tour-occluded", "caption": "The same eight test faces in full view and behind three occluders."}, "image": {"alt": "Four rows of the same eight faces: uncovered, with sunglasses, with a mask, behind a hand."}}
shown = [k * (len(test) // 8) for k in range(8)]
stacked = [
    torch.as_tensor(np.asarray(faces.images[shown]))
    for faces in (test, *behind.values())
]
plots.sheet(torch.cat(stacked), columns=8, rows=["in view", *kinds], inches=1.05)
# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tour-drop", "caption": "AUC points lost behind each occluder, for each action unit; upper-face units on the left."}, "image": {"alt": "A heat map of losses: sunglasses cost the units around the eyes, masks those around the mouth."}}
order = sorted(
    range(len(world.aus)),
    key=lambda k: (AUS[world.aus[k]].region != "upper", world.aus[k]),
)
clear = metrics.auc_per_au(predictions.prob, predictions.label)
loss = np.stack(
    [100 * (clear - metrics.auc_per_au(p.prob, p.label))[order] for p in said.values()]
)
figure, ax = plt.subplots(figsize=(8, 2.2))
shade = ax.imshow(loss, cmap="magma_r", vmin=0, aspect="auto")
for (row, col), points in np.ndenumerate(loss):
    ax.text(
        col,
        row,
        f"{points:.0f}",
        ha="center",
        va="center",
        color="white" if points > loss.max() / 2 else "black",
    )
ax.set_xticks(range(len(order)), [f"AU{world.aus[k]}" for k in order])
ax.set_yticks(range(len(kinds)), kinds)
ax.grid(False)
figure.colorbar(shade, label="AUC points lost")
plt.show()

# %% [markdown]
# ## Evidence
#
# The interval of the declared effect: in each of 1,000 draws of people, the loss behind the mask is averaged over the lower-face AUs and over the
# upper-face AUs, and the two are subtracted.

# %%
draws = [
    metrics.resampled_scores(p.prob, p.label, p.subject, metrics.auc_per_au, seed=seed)
    for p in (predictions, said["mask"])
]
lost = 100 * (draws[0] - draws[1])  # (1000, A), the same people drawn for both
is_lower = np.array([AUS[n].region == "lower" for n in world.aus])
gap = np.nanmean(lost[:, is_lower], axis=1) - np.nanmean(lost[:, ~is_lower], axis=1)
whole = 100 * (clear - metrics.auc_per_au(said["mask"].prob, said["mask"].label))
effect = np.nanmean(whole[is_lower]) - np.nanmean(whole[~is_lower])
claim = "a mask costs lower-face AUs more AUC than upper-face AUs"
over = f"{world.test.subjects} people, 1 seed"
contrast = Contrast(
    claim, effect, *np.nanquantile(gap, [0.025, 0.975]), over=over, unit="AUC points"
)
glue("tour_verdict", contrast.verdict, display=False)
evidence([contrast]).style.hide(axis="index")

# %% [markdown]
# The verdict, *{glue:text}`tour_verdict`*, is computed from the interval; nobody typed it. One training seed is little: whole chapters of this
# book exist to ask such questions with several, and to find out what makes a detector robust.
#
# ## What would count against it
#
# A detector that reads the lower face from the upper one (cheeks rise with lip corners) would lose less. And a mask that is drawn at the wrong
# place would cost upper-face AUs too: look at {numref}`fig-tour-occluded`.
#
# ## Exercises
#
# ```{exercise} Which score hides the damage?
# :label: ex-score
# :minutes: 5
# Compute the mean F1 behind the mask at threshold 0.5, and compare how much F1 and AUC fall. Put the two losses in points into
# `answer = (f1_points, auc_points)`.
# ```


# %% tags=["hide-input"]
def check_losses(answer):
    """True when both losses are right to a tenth of a point."""
    true = [
        np.nanmean(metric(predictions.prob, predictions.label))
        - np.nanmean(metric(said["mask"].prob, said["mask"].label))
        for metric in (metrics.f1_per_au, metrics.auc_per_au)
    ]
    return np.allclose(answer, 100 * np.array(true), atol=0.1)


# %% [markdown]
# ```{solution-start} ex-score
# :class: dropdown
# ```

# %%
masked = said["mask"]
f1_points = 100 * (f1.value - np.nanmean(metrics.f1_per_au(masked.prob, masked.label)))
auc_points = 100 * (
    auc.value - np.nanmean(metrics.auc_per_au(masked.prob, masked.label))
)
assert check_losses((f1_points, auc_points))
round(f1_points, 1), round(auc_points, 1)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug
# :label: ex-unknown
# :minutes: 10
# Some labels are *not coded* (`nan`). A public code base writes `label = (label == 1)` before it computes F1. What happens to an
# AU that was never coded for half of the faces? Fix `buggy_f1` so that it agrees with the library.
# ```


# %%
def buggy_f1(prob, label):
    label = label == 1  # here
    hit = ((prob >= 0.5) & label).sum(0)
    return 2 * hit / np.maximum((prob >= 0.5).sum(0) + label.sum(0), 1)


half_coded = predictions.label.copy()
half_coded[::2, 0] = np.nan


def check_f1(function):
    """True when the function agrees with the library on half-coded labels."""
    return np.allclose(
        function(predictions.prob, half_coded),
        metrics.f1_per_au(predictions.prob, half_coded),
    )


assert not check_f1(buggy_f1)


# %% [markdown]
# ```{solution-start} ex-unknown
# :class: dropdown
# ```
# Unknown became negative: every positive prediction on an uncoded face counts as a false alarm, and F1 falls for no reason.


# %%
def masked_f1(prob, label):
    coded = ~np.isnan(label)
    positive, said_yes = (label == 1) & coded, (prob >= 0.5) & coded
    return (
        2
        * (positive & said_yes).sum(0)
        / np.maximum(said_yes.sum(0) + positive.sum(0), 1)
    )


assert check_f1(masked_f1)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. Split by people, choose on validation people, look at test people once, and put an interval over people on the score.
# 2. Ask what a predictor that sees nothing would get.
# 3. Declare the question before the run, and let the interval answer.
#
# **Where next.** {doc}`01_faces_and_action_units` explains what an AU is; {doc}`04_baselines` asks what the detector has really
# learned.
