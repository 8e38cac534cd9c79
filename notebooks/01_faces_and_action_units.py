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
#     minutes: 1
#     device: CPU
#     summary: What the 16 action units move, how strongly, together with what, and why identity gets in the way.
# ---

# %% [markdown]
# # Faces and action units
#
# The Facial Action Coding System, FACS {cite}`ekman2002facs`, describes what a face *does*: each action unit (AU) is a
# movement made by one muscle or a few. It does not say what a person feels, and neither does this book.
#
# ```{admonition} You will learn
# - what each of 16 action units moves, and how a movement can be computed from its muscle
# - what the intensities A to E are, and why a detector's label is a cut through them
# - which AUs come together, and how people differ in how often they show them
# - why the person is a much larger signal than the movement: the reason for half of this book
# ```
#
# Nothing is trained here; it takes about a minute on a laptop. No prerequisites beyond Python and a little PyTorch.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke measures on fewer people
seed: int = 0  # another seed, other people
show_person: int = 18  # who sits for the portraits, 0 or more

# %% tags=["hide-input"]
import pandas as pd
import torch
from IPython.display import HTML
from matplotlib import pyplot as plt
from myst_nb import glue

from fau_utils import plots
from fau_utils.aus import AUS, RENDERED, column
from fau_utils.faces import FaceRenderer, sample_identity, sample_nuisance
from fau_utils.faces.rng import mix

plots.use()
torch.set_flush_denormal(True)
people = {"smoke": 6}.get(budget, 40)  # for what is measured, not for what is shown

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# Every face in this chapter is **synthetic**: drawn by `fau_utils.faces` from a few hundred numbers that we know exactly.
# Names of AUs and muscles are FACS's; the shapes of the movements follow a muscle model from computer graphics, with
# strengths tuned by eye. Synthetic faces teach and test; they do not tell how well a detector works on real people.
# ```
#
# ## The movements
#
# The names and muscles of the 16 AUs that the renderer knows. Twelve of them are scored on BP4D and eight on DISFA, the two
# datasets most papers report.

# %%
from fau_utils.aus import BP4D, DISFA

table = pd.DataFrame(
    [(u.column, u.name, ", ".join(u.muscles), u.region) for u in map(AUS.get, RENDERED)]
)
table.columns = ["AU", "FACS name", "muscles", "half"]
table["BP4D"] = ["●" if n in BP4D else "" for n in RENDERED]
table["DISFA"] = ["●" if n in DISFA else "" for n in RENDERED]
table.style.hide(axis="index")

# %% [markdown]
# To see a movement alone, we take one person, hold the head still, and raise a single AU to its maximum. Intensities go into
# the renderer as a tensor `(B, 16, 2)`: AU by side of the face.

# %%
renderer = FaceRenderer(res=224)


def portrait(au_intensity, *, person=show_person, renderer=renderer, level=0.0):
    """One person, frontal, with each row of intensities (B, 16) on both sides."""
    who = mix(seed, 1, torch.full((len(au_intensity),), person))
    both_sides = au_intensity[:, :, None].expand(-1, -1, 2).contiguous()
    return renderer(
        sample_identity(who),
        both_sides,
        sample_nuisance(torch.zeros_like(who), level=level),
    )


one_by_one = torch.cat([torch.zeros(1, 16), 5 * torch.eye(16)])
faces = portrait(one_by_one)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-au-sheet", "caption": "One person at rest and with each action unit alone at intensity E (5 of 5), both sides."}, "image": {"alt": "Eighteen portraits of one synthetic face: at rest, then with each of sixteen action units at full strength."}}
titles = ["at rest"] + [f"{column(n)}\n{AUS[n].name.lower()}" for n in RENDERED]
plots.sheet(faces.image, columns=6, titles=titles, inches=1.4)
# %% [markdown]
# Look at {numref}`fig-au-sheet` in pairs. AU 1 lifts the inner brow and AU 2 the outer; AU 4 draws both down and together.
# AU 6 and AU 7 both narrow the eye, AU 6 with the cheek and the crow's feet, AU 7 with the lids alone. AU 14, AU 23 and
# AU 24 are small even at full strength; expect them to be hard to detect.
#
# Now move the face yourself.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-movable-face", "caption": "The same person, to be moved: choose an action unit and slide its intensity from 0 over A to E."}, "image": {"alt": "A face beside a menu of movements and a slider of intensity"}}
steps = torch.linspace(0, 5, 6)
grid = (steps[None, :, None] * torch.eye(16)[:, None]).reshape(-1, 16)
moving = portrait(grid).image.reshape(16, 6, 3, 224, 224)
names = [f"{column(n)} {AUS[n].name.lower()}" for n in RENDERED]
HTML(
    plots.movable_face(
        moving,
        names=names,
        levels=["0", "A", "B", "C", "D", "E"],
        describe="A face to move",
    )
)

# %% [markdown]
# ## A muscle as an equation
#
# Waters {cite}`waters1987muscle` modelled a facial muscle as a pull towards its fixed end. Skin at a point $p$, at distance
# $D$ from the attachment $a$ and at an angle $\mu$ from the muscle's axis, moves by
#
# ```{math}
# :label: eq-muscle
# \Delta p = -k\,\cos\!\Big(\tfrac{\pi}{2}\,\tfrac{\min(\mu,\Omega)}{\Omega}\Big)\,R(D)\,\frac{p-a}{D},\qquad
# R(D)=\begin{cases}\cos\big((1-\tfrac{D}{L})\tfrac{\pi}{2}\big) & D<L\\[2pt]
# \cos\big(\tfrac{D/L-1}{r-1}\,\tfrac{\pi}{2}\big) & L\le D\le rL\end{cases}
# ```
#
# with $L$ the muscle's length, $k$ its strength, $\Omega$ the opening of its fan and $rL$ where its effect ends. Ten lines
# are enough to write it down.

# %%
import numpy as np

from fau_utils.faces.fields import movement
from fau_utils.faces.muscles import MOVEMENTS, Pull

corner_puller = next(m for m in MOVEMENTS if m.au == 12)
zygomaticus = next(part for part in corner_puller.skin if isinstance(part, Pull))
x, y = np.meshgrid(np.linspace(0.02, 0.75, 23), np.linspace(-0.8, 0.15, 27))


# %%
def pull(x, y, muscle):
    """Equation eq-muscle: displacement (2, ...) in face units."""
    to_skin = np.stack([x, y]) - np.reshape(muscle.attachment, (2, 1, 1))
    axis = np.subtract(muscle.insertion, muscle.attachment)
    length, distance = np.hypot(*axis), np.hypot(*to_skin)
    angle = np.degrees(
        np.arccos(np.clip(np.tensordot(axis, to_skin, 1) / (length * distance), -1, 1))
    )
    fan = np.cos(np.pi / 2 * np.minimum(angle, muscle.angle) / muscle.angle)
    beyond = np.clip((distance / length - 1) / (muscle.reach - 1), 0, 1)
    fall = np.cos(
        np.where(distance < length, 1 - distance / length, beyond) * np.pi / 2
    )
    return -muscle.gain * fan * fall * to_skin / distance


by_hand = pull(x, y, zygomaticus)
assert np.allclose(by_hand, movement(x, y, zygomaticus)[:2], atol=1e-6)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-muscle", "caption": "The zygomaticus major of AU 12 pulls the lip corner towards the cheekbone: displacement field of the equation above, in face units (half the head is .78 wide)."}, "image": {"alt": "Arrows on a quarter face point from the lip corner up and outwards to the muscle's attachment; they are longest at the lip corner."}}
figure, ax = plt.subplots(figsize=(4.2, 4.4))
size = np.hypot(*by_hand)
arrows = ax.quiver(
    x,
    y,
    *np.where(size > 1e-4, by_hand, np.nan),
    size,
    cmap="viridis",
    angles="xy",
    width=0.006,
)
for name, place in {
    "attachment": zygomaticus.attachment,
    "insertion": zygomaticus.insertion,
}.items():
    ax.plot(*place, "o", color=plots.PALETTE[3], markersize=6)
    ax.annotate(name, place, textcoords="offset points", xytext=(8, 4))
ax.set(
    xlabel="x, face units (midline at 0)",
    ylabel="y, face units (mouth at -0.53)",
    aspect="equal",
)
figure.colorbar(arrows, label="displacement, face units")
plt.show()

# %% [markdown]
# Each AU of the renderer is such a pull or a few, a sphincter or a bulge, plus the folds that deepen and what happens to lids
# and lips. All of it is data, in `fau_utils/faces/muscles.py`.
#
# ## Intensity: A to E
#
# FACS scores a movement from A (a trace) to E (the maximum), written 1 to 5 in datasets. The steps are not equal: C and D
# span most of the range.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-intensity", "caption": "Three action units from rest to E."}, "image": {"alt": "Three rows of six portraits: brow lowering, lip corner pulling and jaw drop grow from left to right."}}
chosen = [4, 12, 26]
levels = torch.cat([steps[:, None] * torch.eye(16)[RENDERED.index(n)] for n in chosen])
rows = [f"AU{n}" for n in chosen]
plots.sheet(
    portrait(levels).image,
    columns=6,
    titles=["at rest", "A", "B", "C", "D", "E"],
    rows=rows,
    inches=1.4,
)
# %% [markdown]
# A detector needs *present* or *absent*. DISFA's papers call an intensity of 2 or more present; BP4D's coders decided on
# occurrence directly. The cut is a convention, and {doc}`04_baselines` uses 1.5 throughout.
#
# The two sides of a face need not agree: the renderer takes an intensity for each, and FACS scores the stronger.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-sides", "caption": "AU 12 and AU 2 on the subject's left side, on both, on the right side. The subject's left is the right of the picture."}, "image": {"alt": "Six portraits in two rows: a smile-shaped movement and a brow raise, each on one side, both sides and the other side."}}
sides = torch.zeros(6, 16, 2)
for row, n in enumerate([12, 2]):
    for place, (left, right) in enumerate([(4, 0), (4, 4), (0, 4)]):
        sides[3 * row + place, RENDERED.index(n)] = torch.tensor([left, right]).float()
who = mix(seed, 1, torch.full((6,), show_person))
uneven = renderer(
    sample_identity(who), sides, sample_nuisance(torch.zeros_like(who), level=0.0)
)
titles = ["subject's left", "both", "subject's right"]
plots.sheet(uneven.image, columns=3, titles=titles, rows=["AU12", "AU2"], inches=1.5)
# %% [markdown]
# ## Where an action unit shows
#
# Because we drew the face, we know which pixels a movement can change. That matters later: a mask in front of the mouth
# hides AU 25 altogether and AU 1 not at all, and we can say so for each AU and pixel.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-support", "caption": "Pixels that each action unit can change (coloured), over the resting face."}, "image": {"alt": "Sixteen copies of a face at rest, each tinted where one action unit can change it: brows, eyes, nose, mouth or jaw."}}
who = mix(seed, 1, torch.tensor([show_person]))
support = renderer.support(
    sample_identity(who), sample_nuisance(torch.zeros_like(who), level=0.0)
)[0]
tint = torch.tensor([0.0, 0.45, 0.70])[:, None, None]
grey = faces.image[0].mean(0, keepdim=True).expand(3, -1, -1)
shown = torch.stack(
    [torch.where(mask, 0.55 * grey + 0.45 * tint, grey) for mask in support]
)
plots.sheet(shown, columns=8, titles=[column(n) for n in RENDERED], inches=1.15)
# %% [markdown]
# ## Landmarks
#
# Datasets bring 49 or 66 landmarks and most detectors use them to align faces. The renderer gives the 68 points of the iBUG
# scheme with the truth about visibility, which no annotator can know.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-landmarks", "caption": "Landmarks while the head turns from -40 to 40 degrees; hollow points are hidden by the head itself."}, "image": {"alt": "Five portraits of one head turning from left to right with 68 points; points on the far side are hollow."}}
from dataclasses import replace

turn = torch.deg2rad(torch.linspace(-40, 40, 5))
who = mix(seed, 1, torch.full((5,), show_person))
still = sample_nuisance(torch.zeros_like(who), level=0.0)
turned = replace(still, pose=torch.stack([turn, torch.zeros(5), torch.zeros(5)], 1))
views = renderer(sample_identity(who), torch.zeros(5, 16, 2), turned)
figure, axes = plt.subplots(1, 5, figsize=(9, 2.1))
for ax, image, points, visible, angle in zip(
    axes, views.image, views.landmarks, views.visible, turn, strict=True
):
    plots.draw_landmarks(ax, image, points, visible)
    ax.set_title(f"{torch.rad2deg(angle).round().int().item()}°", fontsize=8)
plt.show()

# %% [markdown]
# ## Which movements come together
#
# In life, AUs are not independent: cheeks rise with lip corners, brows with the jaw. The dataset draws them from a Gaussian
# copula with named groups, and one AU belongs to no group on purpose. It is the *negative control* of the occlusion
# chapter: whoever claims to see it behind a mask is wrong.

# %%
from fau_utils.faces.plan import plan
from fau_utils.faces.population import SynthFaces

world = SynthFaces(seed=seed)
frames = plan(world, "train")
present = (frames.intensity >= world.label_threshold).float()
together = torch.corrcoef(present.T)
alone = [n for n in RENDERED if not any(n in group.aus for group in world.groups)]
pd.DataFrame(
    [(g.name, ", ".join(map(str, g.aus)), g.strength) for g in world.groups],
    columns=["group", "AUs", "strength"],
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-together", "caption": "Correlation between the labels of two action units over the training frames (left), and how often each is present (right)."}, "image": {"alt": "A matrix with blocks of correlated action units, and bars of base rates between two and five tenths."}}
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), width_ratios=[1.15, 1], layout="constrained"
)
shade = left.imshow(
    together.fill_diagonal_(torch.nan), cmap="RdBu_r", vmin=-0.6, vmax=0.6
)
left.set_xticks(range(16), RENDERED, fontsize=8)
left.set_yticks(range(16), RENDERED, fontsize=8)
left.set(xlabel="AU", ylabel="AU")
left.grid(False)
figure.colorbar(shade, ax=left, label="correlation of labels")
right.bar(range(16), present.mean(0), color=plots.PALETTE[0])
right.set_xticks(range(16), RENDERED, fontsize=8)
right.set(xlabel="AU", ylabel="share of frames")
glue("alone", ", ".join(map(str, alone)), display=False)
plt.show()

# %% [markdown]
# The blocks of {numref}`fig-together` are the groups of the table; outside them (AU {glue:text}`alone`) only chance is left.
#
# ## The person is the larger signal
#
# How much of the picture does each thing change? For each of some people we take the resting frontal face and change one
# factor at a time, at the 64 px that the detectors will see: another person, another pose, another light, or one AU at its
# maximum. The size of a change is the mean absolute difference over pixels.
#
# **Declared before the run:** *another person changes the picture more than twice as much as the strongest AU does.* The
# effect is the ratio of the two, its interval is over people (bootstrap).

# %%
small = FaceRenderer(res=64)
person = mix(seed, 2, torch.arange(people))
neighbour = person.roll(1)
base = sample_nuisance(torch.zeros_like(person), level=0.0)
varied = sample_nuisance(mix(seed, 3, torch.arange(people)), level=0.5)


def look(who, au=None, nuisance=base):
    au = torch.zeros(people, 16, 2) if au is None else au
    return small(sample_identity(who), au, nuisance, align=True).image


rest = look(person)

# %%
other_pose = replace(base, pose=varied.pose)
other_light = replace(base, light=varied.light, key=varied.key, ambient=varied.ambient)
changed = {
    "another person": look(neighbour),
    "pose": look(person, nuisance=other_pose),
    "light": look(person, nuisance=other_light),
}
for k, n in enumerate(RENDERED):
    one_au = 5 * torch.eye(16)[k][None, :, None].expand(people, 16, 2)
    changed[column(n)] = look(person, au=one_au)
sizes = {name: (image - rest).abs().mean((1, 2, 3)) for name, image in changed.items()}
size = pd.DataFrame({name: values.numpy() for name, values in sizes.items()})

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-change", "caption": "Mean absolute change of an aligned 64 px picture (range 0 to 1) when one thing changes; lines reach from the 10th to the 90th percentile of people."}, "image": {"alt": "Horizontal bars: another person changes the picture most, then pose and light; each action unit changes it far less."}}
order = size.mean().sort_values()
spread = size[order.index].quantile([0.1, 0.9])
colours = [
    plots.PALETTE[0] if name.startswith("AU") else plots.PALETTE[1]
    for name in order.index
]
figure, ax = plt.subplots(figsize=(7, 4.6))
ax.barh(order.index, order, color=colours)
ax.hlines(range(len(order)), spread.iloc[0], spread.iloc[1], color="0.25", linewidth=1)
ax.set_xlabel(
    "mean absolute pixel change at intensity E, or for another person, pose or light"
)
ax.grid(axis="y", visible=False)
plt.show()

# %%
from fau_utils.metrics.contrast import Contrast, evidence

strongest = size.filter(like="AU").mean().idxmax()
draws = np.random.default_rng(seed).integers(0, people, (2000, people))
pairs = size[["another person", strongest]].to_numpy()
ratio = pairs.mean(0)[0] / pairs.mean(0)[1]
resampled = pairs[draws].mean(1)
low, high = np.quantile(resampled[:, 0] / resampled[:, 1], [0.025, 0.975])
claim = f"another person changes the picture more than twice as much as {strongest} at its maximum"
contrast = Contrast(
    claim, ratio, low, high, over=f"{people} people, 1 seed", least=2.0, unit="times"
)
glue("ratio", f"{ratio:.1f}", display=False)
glue("strongest", strongest, display=False)
glue("verdict", contrast.verdict, display=False)
evidence([contrast]).style.hide(axis="index")

# %% [markdown]
# Another person changes {glue:text}`ratio` times as much as {glue:text}`strongest`, the largest movement of all (verdict:
# {glue:text}`verdict`). A network that is free to choose what to learn from will see the person first. Worse, a resting face can look
# like a movement: low brows like AU 4, raised corners like AU 12, folds like AU 6. {numref}`fig-resting` shows people who do
# nothing at all.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-resting", "caption": "Sixteen people at rest: no action unit is active in any of these pictures."}, "image": {"alt": "Sixteen different synthetic faces at rest, some with raised mouth corners, low brows or folds."}}
who = mix(seed, 4, torch.arange(16))
resting = FaceRenderer(res=112)(
    sample_identity(who),
    torch.zeros(16, 16, 2),
    sample_nuisance(who, level=0.3),
    align=True,
)
plots.sheet(resting.image, columns=8, inches=1.1)
# %% [markdown]
# ## People differ in how often they move
#
# One person smiles at everything, another frowns at screens. In data with few people, *who* then predicts *what* without
# looking at the face. We call the spread of the base rates between people *skew* and can set it.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skew", "caption": "Share of frames with AU 12 for each of the training people, at three settings of the base-rate skew (probit units)."}, "image": {"alt": "Three strips of points: with no skew all people show AU 12 equally often; with skew 2.5 some never and some always."}}
figure, ax = plt.subplots(figsize=(6.5, 2.4))
for place, skew in enumerate([0.0, 1.2, 2.5]):
    rows = plan(SynthFaces(seed=seed, skew=skew), "train")
    smiles = (rows.intensity[:, RENDERED.index(12)] >= 1.5).float()
    share = smiles.reshape(world.train.subjects, -1).mean(1)
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, len(share))
    ax.plot(
        share, place + jitter, "o", markersize=4, alpha=0.7, color=plots.PALETTE[place]
    )
ax.set_yticks(range(3), ["0 (none)", "1.2 (lifelike)", "2.5 (caricature)"])
ax.set(xlabel="share of a person's frames with AU12", ylabel="skew", xlim=(-0.02, 1.02))
plt.show()

# %% [markdown]
# ## Faces in time
#
# A movement has an onset, an apex and an offset. Clips are drawn with the same people and the same copula; the methods that
# learn from video use them.

# %%
from fau_utils.faces.activity import base_rates, subject_rates
from fau_utils.faces.dynamics import sample_clip

length = 48
clip_seed = mix(seed, 6, torch.tensor([1]))
rate = subject_rates(clip_seed, rates=base_rates())
clip = sample_clip(clip_seed, rate, length=length, level=0.3)
who = mix(seed, 1, torch.full((length,), show_person))
film = FaceRenderer(res=112)(
    sample_identity(who), clip.au[0], clip.nuisance, align=True
).image

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-clip", "caption": "A clip of two seconds: every sixth frame, and the intensity of the most active units over time."}, "image": {"alt": "Eight small portraits in time order above curves of intensity that rise, hold and fall."}}
figure = plt.figure(figsize=(9, 3.9))
strip = figure.add_axes([0.06, 0.66, 0.92, 0.3])
strip.imshow(plots.mosaic(film[::6], columns=8))
strip.axis("off")
ax = figure.add_axes([0.06, 0.12, 0.92, 0.5])
busy = clip.intensity[0].amax(0).topk(5).indices
for colour, k in zip(plots.PALETTE, busy.tolist(), strict=False):
    ax.plot(
        np.arange(length) / 25,
        clip.intensity[0, :, k],
        color=colour,
        label=column(RENDERED[k]),
    )
ax.set(xlabel="time, s", ylabel="intensity, 0 to 5", ylim=(0, 5.2))
ax.legend(ncols=5, loc="upper right")
plt.show()

# %% [markdown]
# ## From the laboratory into the wild, and behind things
#
# One number moves a picture from a laboratory to the wild: pose, light, backdrop, colour, blur. Five occluders hide parts of
# a face, and patch masks hide exact shares of any image.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-wild", "caption": "The same people with wildness 0, 0.5 and 1 (upper rows), and behind five kinds of occluders (lower row)."}, "image": {"alt": "Rows of synthetic faces from plain laboratory pictures to cluttered ones, and faces with sunglasses, mask, scarf, hand and objects."}}
from fau_utils.faces.occluders import KINDS

middle = FaceRenderer(res=112)
who = mix(seed, 4, torch.arange(10))
active = plan(SynthFaces(seed=seed), "test").au[:200:20]
scenes = [
    middle(sample_identity(who), active, sample_nuisance(who, wild=w), align=True).image
    for w in (0.0, 0.5, 1.0)
]
kinds = torch.arange(10) % (len(KINDS) - 1) + 1
scenes.append(
    middle(
        sample_identity(who),
        active,
        sample_nuisance(who),
        align=True,
        occluder=(kinds, who),
    ).image
)
plots.sheet(
    torch.cat(scenes), columns=10, rows=["lab", "0.5", "wild", "occluded"], inches=0.95
)

# %% [markdown]
# ## What would count against this chapter
#
# The ratio above is a fact about these rendered faces at 64 px. On real faces the person is a large signal, too, but nobody
# can hold everything else still, so we cannot give you the same number for BP4D. The muscle coordinates are tuned by eye; a
# FACS coder would find movements here that no face makes quite so.
#
# ## Exercises
#
# ```{exercise} Behind a mask
# :label: ex-mask
# :minutes: 5
# Which AUs does a mask over the lower half of the face hide completely, for the person above? Use `support`, a tensor
# `(16, 224, 224)`, and call the list of AU numbers `answer`.
# ```


# %% tags=["hide-input"]
def check_hidden(answer):
    """True for the AUs that can change no pixel of the upper half."""
    return sorted(answer) == [
        n for n, mask in zip(RENDERED, support, strict=True) if not mask[:112].any()
    ]


# %% [markdown]
# ```{solution-start} ex-mask
# :class: dropdown
# ```

# %%
answer = [n for n, mask in zip(RENDERED, support, strict=True) if mask[:112].sum() == 0]
assert check_hidden(answer)
answer

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug
# :label: ex-columns
# :minutes: 5
# A published tool builds DISFA's label table like this: it lists the folder with one file per AU, and names the columns
# AU1, AU2, AU4 … in the order of the paper. Everything runs. What is wrong, and which column holds AU 12? Call its name `answer`.
# ```

# %%
disfa_aus = [1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26]
files = sorted(f"SN001_au{n}.txt" for n in disfa_aus)
columns_as_published = dict(zip([column(n) for n in disfa_aus], files, strict=True))
columns_as_published


# %%
def check_column(name):
    """True when `name` is the column that holds the file of AU 12."""
    return columns_as_published.get(name) == "SN001_au12.txt"


# %% [markdown]
# ```{solution-start} ex-columns
# :class: dropdown
# ```
# Names sort as text: `au1, au12, au15, …`. The second column is called AU2 and holds AU 12. The cure is to read the number
# from each name and never from its place, as `fau_utils.aus.number` does.

# %%
answer = "AU2"
assert check_column(answer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. An AU is a movement of known muscles, with an intensity from A to E and a side.
# 2. AUs come in groups, and people differ in how they look at rest and in how often they move.
# 3. In the picture, the person is a far larger signal than any movement. The next chapters measure what that does to detectors.
#
# **Further reading.** The FACS manual {cite}`ekman2002facs`; Waters' muscle model {cite}`waters1987muscle`.
