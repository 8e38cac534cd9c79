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
#     part: In the world
#     minutes: 2
#     device: CPU
#     summary: From a picture or a video to a table of action units, with a reason wherever the model should be silent; and what a person's own neutral face is worth.
#     inputs: [book/reference_results/person_neutral.parquet]
# ---

# %% [markdown]
# # Your own faces
#
# A picture comes in, a table goes out. In between a face is found, cut exactly as the model's training faces were, and looked at; or it is
# not, and the table says why. `fau predict` does that for folders and for hours of video. This chapter does the same in small steps.
#
# ```{admonition} You will learn
# - what has to happen to a picture before an AU model may see it
# - when a model should not answer, and how it can know
# - how faces keep their numbers in a video
# - what a person's own neutral face is worth, and when subtracting it does harm
# - what belongs on the card of a model
# ```
#
# You need {doc}`04_baselines` and {doc}`90_ethics`. About two minutes on two cores.
#
# ```{admonition} For teaching only
# :class: danger
# The model on this page is trained **on rendered faces**. What it says of a photograph of you **means nothing**. It is here so that every step can
# be seen without anybody's picture. A model for recorded faces needs recorded, coded faces and their owners' licence: {doc}`02_datasets_and_protocols`.
# ```

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing
pictures: str = ""  # a folder of yours; empty takes rendered people
webcam: bool = False  # True looks through this computer's camera for five seconds and stores nothing
seed: int = 0  # decides the initial weights and the rendered people

# %% tags=["hide-input"]
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from myst_nb import glue
from PIL import Image

# %% tags=["hide-input"]
from fau_utils import plots
from fau_utils.data import crops, rendered
from fau_utils.metrics.contrast import evidence
from fau_utils.own import (
    add,
    cards,
    finders,
    geometry,
    layouts,
    neutral,
    rehearsal,
    table,
)
from fau_utils.own import model as models
from fau_utils.own.inputs import VIDEO_SUFFIXES
from fau_utils.own.limits import REASONS
from fau_utils.own.predict import Wanted, predict
from fau_utils.results import job, reference
from fau_utils.results.study import contrast

plots.use()

# %% [markdown]
# ## A model with a card
#
# `fau train` leaves a run behind; `fau models add` makes a model of it: the weights with their hash, the way faces were cut, and a card. We do both.

# %%
home = Path(tempfile.mkdtemp(prefix="own-"))
data = {"smoke": "synth:subjects=8,frames=10"}.get(budget, "synth")
views = {"smoke": ("views=640",)}.get(budget, ("views=8000",))
run = job.train(
    job.Job("cnn", data, home / "runs", budget=budget, seed=seed, settings=views)
)
folder = add.add(run, name="teaching", data=data, out=home / "models")
print(cards.render(folder))

# %% [markdown]
# The card says what the model was trained on and by whose leave, how well it does on strangers and for which of them, how much its features give
# away of who somebody is, and what it is not for. `fau models list`, `check` and `card` do the same for every model you keep; `check` compares
# each file with its hash, so that nobody's exchanged weights speak in a model's name.
#
# ## Somebody to look at
#
# Your own pictures are named by `pictures`, best in JupyterLab, which shows them to you alone. In a page made by `fau book --set pictures=FOLDER` every
# picture of this chapter is a placeholder: a book may be passed on, and those who are in your pictures have not agreed to that.
#
# Unless you named a folder, eighteen pictures are rendered and a short video of two people. A third of the pictures are plain; on the others a mask,
# a hand or sunglasses cover the face, the head is turned away or far off, or nobody is there.

# %%
size = {"smoke": 112}.get(budget, 224)
count, length = {"smoke": (9, 20)}.get(budget, (18, 100))
inputs = Path(pictures) if pictures else home / "rendered"
look = home / "look"
if not pictures:
    rehearsal.write(inputs, pictures=count, frames=length, seed=seed, res=size)
    rendered.mark(home)  # everything below it shows rendered people only

# %% [markdown]
# ## From a picture to a crop
#
# The detector is MTCNN {cite}`zhang2016joint`: three small networks, each asked only where the one before said yes. It gives a box and five points.
# From the points to the crop it is one similarity: turn, scale and shift, chosen so that the five points come as near as possible to where
# training had them,
#
# ```{math}
# :label: eq-own-crop
# \min_{a, b \in \mathbb{C}} \; \sum_{k=1}^{5} \lvert a\, p_k + b - q_k \rvert^2 \quad \text{by} \quad a = \frac{\sum_k \overline{(p_k - \bar p)}\,(q_k - \bar q)}{\sum_k \lvert p_k - \bar p \rvert^2} .
# ```
#
# and $b = \bar q - a\,\bar p$. Points of the plane are complex numbers here, so that a turn with a scale is one factor $a$. A model that was trained on such crops and is shown
# others is a different model: the crop belongs to its card.

# %%
find, _ = finders.finder()
face_picture = rehearsal.still("plain", 0, seed=seed, res=224)
(face,) = find(face_picture[None])[0]
matrix = geometry.matrix(face, crop="rendered", size=64)

p = face.five @ [1, 1j]  # the five points, in the picture
q = (face.five @ matrix[:, :2].T + matrix[:, 2]) @ [1, 1j]  # and in the crop
a = np.vdot(p - p.mean(), q - q.mean()) / np.vdot(p - p.mean(), p - p.mean())
assert np.isclose(a, matrix[0, 0] + 1j * matrix[1, 0])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-crop", "caption": "A rendered person as a camera sees them, with the detector's box and its five points, and the crop that the model sees."}, "image": {"alt": "Left: a synthetic face with a box around it and points on eyes, nose and mouth corners. Right: the same face cut out so that the eyes are level."}}
cut = crops.warp(face_picture, matrix, size=64, filter="bicubic")
fig, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
left.imshow(face_picture)
x, y, far, low = face.box
left.add_patch(plt.Rectangle((x, y), far - x, low - y, fill=False, ec=plots.PALETTE[1]))
left.plot(*face.five.T, "o", ms=4, color=plots.PALETTE[1])
right.imshow(cut)
for ax in (left, right):
    ax.axis("off")

# %% [markdown]
# ## One call for everything
#
# In a shell this is `fau predict INPUT... -o out.csv --model teaching --overlay look/`.

# %%
done = predict(
    Wanted((inputs,), home / "out.csv", folder, overlay=look, neutral="face")
)
rows = table.read(done.out)
glue("own-pictures", done.pictures, display=False)
glue("own-answered", done.answered, display=False)
glue("own-faces", done.faces, display=False)
brief = rows.iloc[:5, :20].copy()
brief["input"] = [Path(name).name for name in brief["input"]]
brief

# %% [markdown]
# The model answered for {glue:text}`own-answered` of {glue:text}`own-faces` faces in {glue:text}`own-pictures` pictures. The file begins with what a
# reader has to know: model, data, unit, threshold, detector, protocol. Each AU has a column with a **probability of presence**, which is no
# intensity, and one with the decision at the threshold that was chosen on the validation people.

# %%
for line in done.out.read_text().splitlines()[:9]:
    print(line[:150])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-sheet", "caption": "The contact sheet that `--overlay` writes. Blue: the AUs that were found. Orange: why the model is silent."}, "image": {"alt": "Small pictures of synthetic people with boxes around their faces and a label on each."}}
sheet = look / "sheet.jpg"
if sheet.is_file():
    display(Image.open(sheet))

# %% [markdown]
# ## When to be silent
#
# A network answers whatever it is shown. So every face is asked five questions first, and one after: is the detector sure, does the head look this way, are there
# enough pixels, is the face within the picture; and do the model's features lie where those of its training people lie? For the last one the features $z$ of
# 2,000 training faces are described by their mean $\mu$, their $K$ main directions $u_k$ with variances $\lambda_k$, and the mean square $\rho$ that is left,
#
# ```{math}
# :label: eq-own-distance
# d(z)^2 = \frac{1}{2K} \sum_{k=1}^{K} \frac{(u_k^\top (z - \mu))^2}{\lambda_k} + \frac{1}{2\rho} \, \bigl\lVert (I - U U^\top)(z - \mu) \bigr\rVert^2 ,
# ```
#
# and the limit is the distance within which 99 % of the *validation* people's faces lie. So one face in a hundred like those of training is refused, by
# construction. What covered faces do is no construction, and stands in the table.

# %%
is_film = rows["input"].str.lower().str.endswith(VIDEO_SUFFIXES)
stills = rows[~is_film]
kinds = [
    "yours" if pictures else name.rpartition("_")[2].removesuffix(".jpg")
    for name in stills["input"]
]
shown = pd.Series(kinds, stills.index, dtype=object, name="picture")
pd.crosstab(shown, stills["abstained"].fillna("answered"))

# %% [markdown]
# Do not trust it to notice every covered face: the detector was made to find people who wear such things, and features may hide what pixels show. A model that answers behind a mask answers from the brows, and from habit: {doc}`10_occlusion_mae` measures what is left to be known. Silence here is a
# guard against gross mistakes, no proof that an answer is right.

# %% tags=["hide-input"]
pd.Series(REASONS, name="means").to_frame().style

# %% [markdown]
# ## Who is who in a video
#
# In a video, faces keep their numbers: boxes of one frame and the next are paired so that they overlap most (the Hungarian method), each old box moved on
# by its last movement. Nobody is recognised. Who is gone for more than a second comes back as somebody new, and in a film with cuts one number may be two people.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-video", "caption": "Probability of one AU over time in the rendered video of two people. Gaps are frames without an answer; the person on the left leaves for a while and keeps the number. Of your own films the first faces are drawn."}, "image": {"alt": "Two lines over time, each interrupted where the model gave no answer."}}
films = rows[is_film]
times = films.groupby(["input", "frame"])["time"].first()  # also where nobody was seen
people = films[films["face"].notna()].groupby(["input", "face"])
fig, ax = plt.subplots(figsize=(7, 2.6))
for colour, ((film, number), one) in zip(plots.PALETTE, people, strict=False):
    prob = one.set_index("frame")["AU12"].reindex(times[film].index)
    name = f"{Path(film).stem}, face {int(number)}"
    ax.plot(times[film], prob, color=colour, label=name)
ax.set(xlabel="time (s)", ylabel="probability of AU 12", ylim=(0, 1))
if len(people):
    ax.legend(fontsize="small", ncols=3)

# %% [markdown]
# Memory does not grow with the length of a video, and a run that was killed goes on where it was.
#
# ## A person's own neutral face
#
# Low brows look like AU 4. Somebody who has them shows AU 4 in every frame, to a detector. With many frames of a person, those at rest are
# among them, and a low quantile of the logits is an estimate of what the detector says of this face at rest. `--neutral` subtracts it,
#
# ```{math}
# :label: eq-own-neutral
# \tilde p_{t} = \sigma\bigl(\operatorname{logit} p_{t} - Q_{0.25}(\operatorname{logit} p_{1 \ldots T}) + r\bigr),
# ```
#
# where $r$ is the mean of that quantile over the validation people, so that thresholds keep their meaning. A quantile is our reading of the median in
# {cite}`baltrusaitis2015cross`, which is wrong for movements that a person shows half of the time.

# %%
example = np.array([[0.9], [0.8], [0.7], [0.99]] * 10)
usual = np.array([-1.0])
rest = neutral.rest_of(example)
by_hand = 1 / (1 + np.exp(-(neutral.logit(example) - rest + usual)))
assert np.allclose(by_hand, neutral.subtract(example, rest, usual))
exact = np.quantile(neutral.logit(example), 0.25, axis=0, method="inverted_cdf")
assert np.allclose(
    rest, exact, atol=0.06
)  # from counts, so that an hour costs no memory

# %% [markdown]
# When does it help? The shift is the same for all frames of a person, so it cannot change which of *their* frames are ranked higher; it changes how people compare. If
# people differ in their faces, it removes an error. If they differ in their **habits**, it removes knowledge: somebody who nods their brows all day is brought
# down to everybody's rest. **Declared before the run** are five contrasts on rendered people who differ in habits not at all, as in real data, or extremely.

# %% tags=["hide-input"]
claims = {
    "equal habits, 60 frames: the estimate helps": ("quantile", 0.0, 60),
    "equal habits, 5 frames: the estimate helps": ("quantile", 0.0, 5),
    "habits as in real data, 60 frames: it helps": ("quantile", 1.2, 60),
    "extreme habits, 60 frames: it helps": ("quantile", 2.5, 60),
    "habits as in real data: knowing the rest helps": ("told", 1.2, 60),
}
try:
    made = reference.read("person_neutral")
except FileNotFoundError:
    made = None
    print("The study has not been run yet: benchmarks/experiments/person_neutral.py.")

# %% tags=["hide-input"]
if made is not None:
    tests = [
        contrast(
            made.table,
            words,
            ours={"arm": arm},
            theirs={"arm": "none"},
            score="auc",
            where={"skew": skew, "frames": frames},
        )
        for words, (arm, skew, frames) in claims.items()
    ]
    display(evidence(tests))
    print(made.origin)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-own-neutral", "caption": "AUC of the same answers, left alone or with a person's rest subtracted: known, estimated by a quantile or by the median. From left to right people differ more in their habits."}, "image": {"alt": "Three panels of lines over the number of frames of a person, one line for each way of estimating the rest."}}
fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True)
axes[0].set_ylabel("AUC (%)")
for ax, skew in zip(axes, (0.0, 1.2, 2.5), strict=True):
    ax.set(title=f"habits differ by {skew}", xlabel="frames of a person")
    if made is None:
        ax.text(0.5, 0.5, "not run yet", ha="center", transform=ax.transAxes)
        continue
    mean = made.table.groupby(["skew", "arm", "frames"])["auc"].mean()
    for k, arm in enumerate(("none", "told", "quantile", "median")):
        ax.plot(mean[skew, arm], "o-", ms=4, color=plots.PALETTE[k], label=arm)
    axes[0].legend(fontsize="small")

# %% [markdown]
# ## Tables for other programs
#
# `--layout pyfeat` and `--layout openface` write the columns that scripts for py-feat and for OpenFace read. What is not measured here is left out or empty:
# OpenFace's `AU12_r` is an intensity, and this model gives none.

# %%
loaded = models.load(folder)
answers = (
    rows[rows["abstained"].isna()].astype({"face": "Int64"}).fillna({"abstained": ""})
)
for name in ("pyfeat", "openface"):
    other = layouts.LAYOUTS[name](answers, aus=loaded.aus, threshold=loaded.threshold)
    known = other.dropna(axis=1, how="all")
    print(f"{name:9} {len(other.columns)} columns, {len(known.columns)} with values:")
    print("         ", *list(known)[:14], "...")

# %% [markdown]
# ## The camera of this computer
#
# Off by default. It looks for five seconds, keeps numbers and no picture, sends nothing, and what it says means nothing (see the red box). Ask everybody
# who is in front of it.

# %%
if webcam:
    from fau_utils.own import camera

    seen = camera.watch(loaded, find, seconds=5)
    display(seen.iloc[-5:])

# %% [markdown]
# ## What would count against this chapter
#
# - Pictures whose crop differs from training and that are answered all the same: then the limits are too wide. The table above is small; count on your own data.
# - An estimate of rest that lowers AUC at the habits of real data: then `--neutral` should not be used where people are compared. It stays right for
#   comparing the frames of *one* person with each other, which it cannot change.
# - Poses are right to about five degrees on rendered heads, from five points and a mean face. On recorded ones nobody has measured it here.
#
# ## Exercises
#
# ```{exercise} Find the bug: two faces far apart that are one
# :label: ex-own-overlap
# :minutes: 10
# A tracker, made up for this book, paired two people at opposite corners of the picture. Its overlap of boxes (left, top, right, bottom) is below. Mend it.
# ```


# %%
def overlap(one, other):
    """Intersection over union of two boxes, (4,) each; this one has the bug."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(high - low)
    area = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return common / (area - common)


def check_overlap(function):
    """True when boxes apart do not overlap, in whichever direction they lie."""
    box = np.array([0.0, 0.0, 10.0, 10.0])
    away = [box + shift for shift in ([20, 20, 20, 20], [20, 0, 20, 0], [-30] * 4)]
    half = function(box, box + np.array([5, 0, 5, 0]))
    return (
        function(box, box) == 1
        and half == 1 / 3
        and not any(function(box, b) for b in away)
    )


assert not check_overlap(overlap)

# %% [markdown]
# ```{solution-start} ex-own-overlap
# :class: dropdown
# ```
# Where boxes are apart in *both* directions, two negative lengths make a positive area. Lengths end at nought.


# %%
def overlap_mended(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(np.clip(high - low, 0, None))
    area = np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])
    return common / (area - common)


assert check_overlap(overlap_mended)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Which step?
# :label: ex-own-step
# :minutes: 10
# The detector takes 90 ms for a frame. A video has `hours` hours at `fps` frames per second, and you have `within` hours. Which is the smallest `--step` with which it
# is done in time? Write `step_needed(hours, fps, ms, within)`.
# ```


# %% tags=["hide-input"]
def check_step(function):
    """True when the frames that are looked at fit into the time, and one step less would not."""
    known = {
        (1, 25, 90, 1): 3,
        (1, 25, 90, 3): 1,
        (2, 30, 100, 1): 6,
        (1, 25, 40, 1): 1,
    }
    return all(function(*given) == step for given, step in known.items())


# %% [markdown]
# ```{solution-start} ex-own-step
# :class: dropdown
# ```
# Every step-th frame costs its milliseconds: the step is the ratio of work to time, rounded up, and at least one.


# %%
def step_needed(hours, fps, ms, within):
    work = hours * fps * ms  # times 3.6 seconds, as `within` is times 3600
    return max(1, -(-work // (1000 * within)))


assert check_step(step_needed)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## In short
#
# - A model is its weights, its crop, its threshold and its card. Change one and it is another model.
# - A table says where nothing is known. An empty cell with a reason is worth more than a number.
# - A person's own baseline helps where faces differ, and harms where habits do; within one person it changes no order.
#
# Further: {doc}`03_metrics_and_uncertainty` on thresholds, {doc}`52_stress_tests` on what changes in a picture do, {doc}`90_ethics` on what not to do with such a table.
