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
#     summary: A movement is not a feeling; what the law says; who is missing from the data, measured; and what this code does about it.
# ---

# %% [markdown]
# # Faces deserve care
#
# This chapter is about what should not be done with the others, and about what the code of this book does so that it is not done by accident.
#
# ```{admonition} You will learn
# - why an action unit is no feeling, and where the law draws the same line
# - what happens to people who are missing from the training data, measured on faces whose every trait is known
# - why a score for a group of five people is no score
# - how a person leaves a dataset, and what leaving cannot undo
# ```
#
# You need {doc}`03_metrics_and_uncertainty`. About two minutes on two cores. Nothing here is legal advice.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing
seed: int = 0  # decides the people, the initial weights and the order of faces

# %% tags=["hide-input"]
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib import pyplot as plt
from myst_nb import glue

# %% tags=["hide-input"]
from fau_utils import metrics, plots
from fau_utils.data import layouts, readers, synth
from fau_utils.data.forget import forget
from fau_utils.data.loaders import open_prepared
from fau_utils.data.prepare import prepare
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.plan import plan
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import CnnDetector
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.training import budget_for, fit, predict

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# Faces and people are **synthetic**; so are the groups below, which are traits of a renderer and not of any population. What
# they show is a mechanism. Laws are cited from their texts; what follows from them for a given product is for lawyers.
# ```
#
# ## A movement is not a feeling
#
# A detector of AU 12 says that the corners of a mouth are pulled. It does not say that somebody is glad. People smile when they are polite, in
# pain or embarrassed, and are glad without smiling; how a state of mind goes along with movements differs between people, situations and cultures.
# A review of more than a thousand studies concludes that such movements cannot be read as a fingerprint of an emotion
# {cite}`barrett2019emotional`. FACS was made to describe movements without that step.
#
# So this book has no emotion labels, no valence and no arousal, and tests keep the package and the code of all chapters so. Where a dataset's name
# speaks of emotion, only its AU labels are read.
#
# ## Where the law draws the line
#
# The European Union's Artificial Intelligence Act {cite}`euaiact2024` draws the line at the same place, between a movement and what is inferred from it.
#
# | Article | what it says, in short | what follows for AU work |
# |---|---|---|
# | 3(39), recital 18 | An *emotion recognition system* identifies or infers emotions or intentions from biometric data. Merely detecting readily apparent expressions, gestures or movements is none, *unless* they are used to infer emotions. | A list of AUs over time is a measurement. The step from it to *is bored* or *will leave* makes the system another one. |
# | 5(1)(f) | Inferring emotions in workplaces and schools is **prohibited**, except for medical or safety reasons. | No attention score for pupils, no mood of employees, with or without a human in the loop. |
# | 5(1)(e) | Building face recognition databases by untargeted scraping of the internet or of CCTV is **prohibited**. | Where a pretraining set comes from matters, and so does what its features can be used for. |
# | Annex III, 1(c) | Emotion recognition that is not prohibited is **high-risk**. | Risk management, data governance, documentation, oversight, accuracy: before use and not after. |
# | 50(3) | People who are exposed to emotion recognition must be **told**. | A sign on the door is no consent, but silence is a breach. |
#
# Pictures of faces are personal data. Under the General Data Protection Regulation {cite}`gdpr2016`, people may withdraw consent as easily as they gave it (Article 7(3)) and
# ask for erasure (Article 17). Features from which a person can be recognised are biometric data, and processing those to identify somebody needs one of a
# few exceptions (Articles 4(14) and 9). {doc}`40_fmae_iat` measures how much AU features know of who somebody is: nearly everything.
#
# ## Where the pictures come from
#
# Most AU labels are of people who sat in a laboratory and knew that they were filmed. The pictures that large networks are *pretrained* on are mostly not. What the four papers of this book say:
#
# | Paper | pictures besides the labelled ones | where these come from |
# |---|---|---|
# | {doc}`10_occlusion_mae` {cite}`jiang2022occlusion` | a "pretrained" masked autoencoder | its data are not named in what we could read |
# | {doc}`20_domain_separation` {cite}`shang2023boosting` | unlabelled faces from the wild | not named in what we could read; public code of the method it builds on takes EmotioNet {cite}`benitezquiroz2016emotionet`, a list of web addresses of other people's pictures |
# | {doc}`30_clp` {cite}`li2023contrastive` | "a large number of unlabelled facial videos" | not named in what we could read; earlier work with the same idea took VoxCeleb, public figures on YouTube {cite}`li2019tcae` |
# | {doc}`40_fmae_iat` {cite}`ning2025representation` | Face9M: "9 million facial images from multiple public sources" | no list was published that we know of; comments in its code name MS-Celeb-1M, MegaFace, CelebA and CASIA-WebFace, and frames of BP4D+ and DISFA |
#
# Three of these sets were collected from the web for face recognition: MS-Celeb-1M (about 10 million pictures), MegaFace (672,057 people) and CASIA-WebFace
# (10,575 people). The first was withdrawn by its publisher and the second is no longer handed out; copies and networks that learnt from them remain. We found no statement that
# the people shown had agreed. That a picture is public, or its photographer gave it a free licence, is no consent of the person in it.
#
# A licence binds who holds the pictures:
#
# | Data | terms, in short | who was asked |
# |---|---|---|
# | BP4D, BP4D+, DISFA, DISFA+, GFT | an agreement signed by the institution; research only, nothing handed on | those filmed, for research |
# | EmotioNet, Aff-Wild2 | research only; the pictures and videos belong to others | nobody we know of |
# | CelebA | research only, no copies | nobody we know of |
# | FFHQ | each picture under its photographer's licence; not for face recognition | photographers |
# | VoxCeleb | lists under CC BY 4.0; the videos belong to others | nobody we know of |
#
# Some agreements reach trained weights too: read yours before you publish a model ({doc}`02_datasets_and_protocols`). `fau models add` writes data and licence on the
# card of every model it keeps.
#
# ## Who is missing
#
# Detectors work less well for people who look unlike those they were trained on. On real data it is hard to say how much less, because groups differ in
# many things at once. Here we know every trait. We train on two halves of one population: once on the **lighter half** of its people, once on **as many people of
# all skins**, with the same number of frames; everything else is equal. Both are tested on strangers with darker skin.
#
# **Declared before the run:** *detectors trained on all skins have a higher AUC on darker strangers than those trained on lighter ones.*

# %%
frames, people = {"smoke": (10, 12)}.get(budget, (100, 60))
world = SynthFaces(seed=seed).with_split("seen", subjects=12)
world = world.with_split("train", subjects=people, frames=frames)
world = world.with_split("test", subjects=people)
train, test = (synth.load(world, split) for split in ("train", "test"))


def skin(split):
    """How dark each frame's person is, (N,), from 0 (light) to 1 (dark)."""
    return sample_identity(plan(world, split).person).factor("melanin").numpy()


dark = skin("train")
order = pd.Series(dark).groupby(train.subject.numpy()).first().sort_values().index
lighter = np.isin(train.subject.numpy(), order[: people // 2])
mixed = np.isin(train.subject.numpy(), order[::2])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-skins", "caption": "People of the test set from light to dark skin, each one neutral or nearly so. Skin is drawn independently of everything else."}, "image": {"alt": "A row of eight synthetic faces whose skin goes from light to dark."}}
tests = pd.DataFrame(
    {"row": range(len(test)), "who": test.subject.numpy(), "skin": skin("test")}
)
tests["moved"] = test.intensity.sum(1).numpy()
calmest = tests.sort_values("moved").groupby("who").first().sort_values("skin")
picked = calmest.row.to_numpy()[np.linspace(0, len(calmest) - 1, 8).round().astype(int)]
plots.sheet(np.stack([np.asarray(test.images[int(k)]) for k in picked]), columns=8)

# %%
said = {}
for name, rows in (("lighter half", lighter), ("all skins", mixed)):
    method = CnnDetector(world.aus, seed=seed)
    numbers = budget_for(method, budget)
    numbers = numbers.replace(views={"smoke": 640}.get(budget, 8_000))
    run = fit(method, train.subset(rows), budget=numbers, seed=seed)
    said[name] = predict(run.method, test)

# %%
third = pd.qcut(tests.groupby("who")["skin"].transform("first"), 3, labels=False)
groups = {
    "lighter third": third == 0,
    "middle third": third == 1,
    "darker third": third == 2,
}
rows = []
for group, members in groups.items():
    members = members.to_numpy()
    for name, p in said.items():
        parts = p.prob[members], p.label[members], p.subject[members]
        found = metrics.subject_bootstrap(*parts, metrics.auc_per_au, seed=seed)
        rows.append(
            (group, name, *(100 * v for v in (found.value, found.low, found.high)))
        )
scores = pd.DataFrame(rows, columns=["tested on", "trained on", "AUC", "low", "high"])

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-missing", "caption": "AUC on strangers by their skin, for two detectors that were trained on equally many people and frames. Bars are 95 % intervals over the strangers of the group."}, "image": {"alt": "Points with bars for three groups of test people and two training sets."}}
figure, ax = plt.subplots(figsize=(6.5, 3))
for shift, (colour, (name, part)) in enumerate(
    zip(plots.PALETTE, scores.groupby("trained on", sort=False), strict=False)
):
    place = np.arange(len(part)) + 0.16 * (2 * shift - 1)
    ends = np.stack([part.AUC - part.low, part.high - part.AUC])
    ax.errorbar(place, part.AUC, ends, fmt="o", color=colour, label=name)
ax.set_xticks(range(3), list(groups))
ax.set(ylabel="AUC on strangers, %")
ax.legend(title="trained on")
plt.show()

# %%
members = groups["darker third"].to_numpy()
ours, theirs = (said[name] for name in ("all skins", "lighter half"))
shared = ours.label[members], ours.subject[members]
gain = metrics.paired_difference(
    ours.prob[members], theirs.prob[members], *shared, metrics.auc_per_au, seed=seed
)
claim = "on darker strangers, training on all skins beats training on lighter ones"
count = len(np.unique(shared[1]))
contrast = Contrast(
    claim,
    *(100 * v for v in (gain.value, gain.low, gain.high)),
    over=f"{count} people, 1 seed",
    unit="AUC points",
)
glue("darker_gain", f"{contrast.effect:+.1f}", display=False)

# %% [markdown]
# The difference on darker strangers is {glue:text}`darker_gain` AUC points; the table under *Evidence* says whether that is more than chance. Real datasets lack whole groups: the 41 people
# of BP4D were 18 to 29 years old {cite}`zhang2014bp4d`. A paper that reports one number over all test people cannot tell what that costs.
#
# ## A score for five people is no score
#
# Reports *by group* are asked for, rightly. But groups are small, and a score of few people moves with who they are. The next figure takes strangers of the middle third, draws
# groups of various sizes from them at random, and scores each: the groups differ by chance alone.

# %%
middle = np.flatnonzero(groups["middle third"])
rng = np.random.default_rng(seed)
one = said["all skins"]
names = np.unique(one.subject[middle])
sizes, spread = [3, 5, 8, 12], {}
for size in (s for s in sizes if s <= len(names)):
    draws = []
    for _ in range(200):
        drawn = rng.choice(names, size, replace=False)
        member = np.isin(one.subject, drawn)
        draws.append(
            np.nanmean(metrics.auc_per_au(one.prob[member], one.label[member]))
        )
    spread[size] = 100 * np.array(draws)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-five", "caption": "AUC of random groups of equal people, by the size of the group: boxes hold half of the groups, whiskers 95 %. No trait distinguishes these groups."}, "image": {"alt": "Boxes that become narrower as groups become larger; for groups of three they span many points."}}
figure, ax = plt.subplots(figsize=(6, 2.8))
ax.boxplot(list(spread.values()), whis=(2.5, 97.5), showfliers=False)
ax.set_xticks(range(1, len(spread) + 1), [f"{size} people" for size in spread])
ax.set(ylabel="AUC, %")
plt.show()
small = min(spread)
width = np.subtract(*np.quantile(spread[small], [0.975, 0.025]))
glue("small", f"{small}", display=False)
glue("width", f"{width:.0f}", display=False)

# %% [markdown]
# Between groups of {glue:text}`small` who differ in nothing lie up to {glue:text}`width` points. So every group in this book comes with its number of people and an interval, and the
# verdict may be *cannot tell*. That is no excuse for leaving the question out: it says how many people must be asked.
#
# ## Leaving
#
# People may leave a study years after it was recorded. `fau forget` removes them from a prepared dataset: pixels and landmarks are overwritten on the disk, no table
# names them, and preparing again does not bring them back.

# %%
place = Path(tempfile.mkdtemp())
tree = place / "tree"  # rendered faces in the layout of BP4D
layouts.export("bp4d", tree, subjects=3, tasks=1, frames=12, res=64, seed=seed)
crops = place / "crops"
prepare(readers.read("bp4d", tree), tree, crops, crop="none", size=64, workers=1)
before = open_prepared(crops)
leaving = before.frames.subjects[0]
done = forget(crops, [leaving])
after = open_prepared(crops)
assert leaving not in after.frames.subjects
assert not any(leaving.encode() in file.read_bytes() for file in crops.glob("*"))
pd.DataFrame(
    {"people": [3, 2], "faces": [len(before), len(after)]}, index=["before", "after"]
)

# %% [markdown]
# What it cannot do: change the dataset as it was distributed, or models that have learnt from the person. `--runs` lists those, to be trained again or removed. Features keep who
# somebody is ({doc}`40_fmae_iat`), so a model is not anonymous because its pictures are gone.
#
# Two more habits are built in. Whoever runs a chapter of this book on licensed data finds **placeholders where pictures were**: an executed notebook that has read a picture which
# was not rendered keeps its numbers and charts and loses its faces before it is written down. And subjects' codes carry their dataset and nothing else: no name, no age.
#
# ## Uses that harm
#
# A decision is better made before the model works. Some questions that have stopped projects, in order:
#
# 1. **What is inferred?** If the answer is a state of mind, stop at the evidence: is there any that this movement, in these people, in this situation, tells it?
# 2. **Who is watched, and can they say no?** Employees, pupils, applicants and detainees cannot.
# 3. **What happens to whom the detector fails?** {numref}`fig-missing` looks at one trait; somebody must look at the others.
# 4. **Who has looked for the harm?** With whose data, which groups, how many people?
# 5. **What happens when somebody leaves?**
#
# Uses that pass them exist: measuring facial palsy over a therapy, animating a character, studying how people move together, counting blinks and yawns of a driver for safety.
#
# ## Evidence

# %%
evidence([contrast]).style.hide(axis="index")

# %% [markdown]
# One seed and one trait of a renderer. What would count against the mechanism: an interval around zero, which a network that ignores colour would give.
#
# ## Exercises
#
# ```{exercise} What does the Act say?
# :label: ex-act
# :minutes: 15
# For each use decide between `"prohibited"`, `"high-risk"`, `"told"` (allowed, but people must be told) and `"none"` (no emotion recognition at all). Where two
# apply, take the stricter. Put them into a dict `answer` with the keys of `uses`.
# ```

# %%
uses = {
    "a": "an app that lists action units of a video for animators",
    "b": "software that tells teachers which pupils are bored",
    "c": "a call centre that scores how friendly its agents feel",
    "d": "a clinic that measures facial palsy from landmark and AU symmetry",
    "e": "a shop that guesses from a camera whether customers are happy",
}
display(pd.Series(uses, name="use"))


# %% tags=["hide-input"]
def check_act(answer):
    """True when each use is where the Act puts it."""
    inferred = {"b", "c", "e"}  # a state of mind
    banned = {"b", "c"}  # at school and at work
    wanted = {
        k: "prohibited" if k in banned else "high-risk" if k in inferred else "none"
        for k in uses
    }
    return answer == wanted


# %% [markdown]
# ```{solution-start} ex-act
# :class: dropdown
# ```
# Movements alone (a, d) are no emotion recognition. The guess in the shop (e) is: Annex III makes it high-risk, and besides people must be told. School and work (b, c) are
# prohibited, whatever the accuracy.

# %%
answer = {
    "a": "none",
    "b": "prohibited",
    "c": "prohibited",
    "d": "none",
    "e": "high-risk",
}
assert check_act(answer)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: a report that is always calm
# :label: ex-calm
# :minutes: 10
# A report, made up for this book, compares two groups and warns when their scores differ by more than five points. It has passed many reviews. Feed it a group that nobody recorded: what does it say? Mend
# `warns`: it shall raise `ValueError` for a group with fewer than `least` people or without a score.
# ```


# %%
def warns(score, other, people, *, least=8):
    """Whether two groups differ by more than five points; this one has the bug."""
    return abs(score - other) > 5


def check_warns(function):
    """True when nobody is waved through: not an empty group, not a tiny one."""
    try:
        fine = function(80.0, 70.0, (20, 20)) and not function(80.0, 78.0, (20, 20))
    except ValueError:
        return False
    for case in (
        (np.nan, 80.0, (0, 20)),
        (80.0, 70.0, (20, 3)),
        (80.0, np.nan, (20, 20)),
    ):
        try:
            function(*case)
        except ValueError:
            continue
        return False
    return fine


assert not check_warns(warns)  # red; turn it green

# %% [markdown]
# ```{solution-start} ex-calm
# :class: dropdown
# ```
# The score of nobody is `nan`, and `abs(nan - x) > 5` is false: the report is calmest about those who are missing altogether.


# %%
def warns_or_refuses(score, other, people, *, least=8):
    if min(people) < least or np.isnan(score) or np.isnan(other):
        raise ValueError(
            f"expected at least {least} people in each group, found {people}"
        )
    return abs(score - other) > 5


assert check_warns(warns_or_refuses)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. An AU is a movement. What is made of it decides whether it is a measurement or a judgement, for science and for the law.
# 2. Who is missing from training pays for it in testing; and a group without an interval is not a finding.
# 3. People can leave the data. They cannot leave a model.
#
# **Further reading.** What faces do and do not tell {cite}`barrett2019emotional`; the Act {cite}`euaiact2024`, whose recitals 18 and 44 give the reasons; the regulation on personal data
# {cite}`gdpr2016`.
