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
#     minutes: 3
#     device: CPU
#     summary: The training loop read line by line, killed and resumed, what each speed lever gives, and the arithmetic of nine million faces.
#     inputs: [book/reference_results/speed_cpu.parquet, book/reference_results/learning_cpu.parquet, book/reference_results/freezing.parquet]
# ---

# %% [markdown]
# # The engine
#
# Every number in this book comes out of one loop. This chapter reads it, breaks it, kills it and times it, so that later chapters can
# say `fit` and mean something definite.
#
# ```{admonition} You will learn
# - what happens between a batch of faces and the next weights, and that `fit` does nothing else
# - how a run that was killed goes on as if nothing had happened, to the last bit
# - what the loop does when the loss is not finite, or memory is short
# - which speed levers are worth pulling, measured, and on what they depend
# - how one run spreads over many GPUs, and what nine million faces cost
# ```
#
# You need {doc}`04_baselines`. About three minutes on two cores.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke runs in seconds and shows nothing
seed: int = 0  # decides the people, the initial weights and the order of faces
rounds: int = 7  # times that each lever is measured

# %% tags=["hide-input"]
import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib import pyplot as plt
from myst_nb import glue
from PIL import Image
from torch import nn

# %% tags=["hide-input"]
from fau_utils import metrics, plots
from fau_utils.data import synth
from fau_utils.data.decode import decode
from fau_utils.data.images import batches, positions
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import CnnDetector, LandmarkMlp, VitDetector
from fau_utils.metrics.contrast import Contrast, evidence
from fau_utils.models.vit import vit
from fau_utils.results import reference, study
from fau_utils.training import Budget, Checkpoints, budget_for, fit, predict
from fau_utils.training.scale import Machine, Pretraining, most_gpus, table

plots.use()

# %% [markdown]
# ```{admonition} What is real here and what is not
# :class: note
# Faces are **synthetic**; times are of the machine that made this page, or of the machine a table names. Nothing here was run on
# licensed data.
# ```
#
# ## One loop
#
# A step takes a batch, asks the method for its loss, and moves the weights against the gradient: AdamW
# {cite}`loshchilov2019adamw`, with the gradient's norm held below $c$ and the rate $\eta_t$ on a ramp and then on a cosine,
#
# ```{math}
# :label: eq-rate
# \eta_t = \eta \cdot \begin{cases} (t+1)/w & t < w \\ \tfrac12\left(1 + \cos \pi \frac{t-w}{T-w}\right) & \text{otherwise,}\end{cases}
# ```
#
# for $T$ steps of which $w$ are warm-up. $T$ follows from a number of **views**, faces shown with repeats counted, and never from
# seconds: the same budget is the same training on every machine.

# %%
world = SynthFaces(seed=seed)
if budget == "smoke":  # a few faces, to see that everything runs
    rounds = 1
    few = {"seen": (8, 10), "train": (8, 30), "val": (6, 10), "test": (10, 10)}
    for split, (people, frames) in few.items():
        world = world.with_split(split, subjects=people, frames=frames)
train, val, test = (synth.load(world, split) for split in ("train", "val", "test"))
short = Budget(name="short", views=3_200, batch_size=32, lr=2e-3)


# %%
def by_hand(method, data, numbers, *, seed):
    """The loop of this chapter, and nothing that is not needed for it."""
    steps = numbers.steps(numbers.views)
    optimizer = torch.optim.AdamW(
        method.param_groups(),
        betas=numbers.betas,
        weight_decay=numbers.weight_decay,
        fused=True,
    )
    method.train()
    for t, batch in enumerate(
        batches(data, batch_size=numbers.batch_size, views=numbers.views, seed=seed)
    ):
        for group in optimizer.param_groups:
            group["lr"] = numbers.rate(t, steps=steps)  # the equation above
        optimizer.zero_grad()
        method.loss(batch).total.backward()
        nn.utils.clip_grad_norm_(method.parameters(), numbers.clip)
        optimizer.step()
    return method.eval()


# %%
mine = by_hand(LandmarkMlp(world.aus, seed=seed), train, short, seed=seed)
library = fit(
    LandmarkMlp(world.aus, seed=seed), train, budget=short, seed=seed, augment=False
)

for a, b in zip(
    mine.state_dict().values(), library.method.state_dict().values(), strict=True
):
    assert torch.equal(a, b)

# %% [markdown]
# Every weight and every running mean is equal, bit for bit. What `fit` adds are things around these lines:
#
# | part of the loop | what `fit` adds | where |
# |---|---|---|
# | batches | pixels stay `uint8` until they are on the device; faces are mirrored there | `data/images.py`, `data/augment.py` |
# | loss | `bf16` on a GPU, `torch.compile` when asked, a batch is split when memory is short | `training/precision.py`, `training/memory.py` |
# | rate | a factor for each layer, no decay for biases and norms | `models/groups.py`, `training/optimizer.py` |
# | weights | their moving average, the best look at the validation people | `training/ema.py`, `training/fit.py` |
# | state | checkpoints, resume | `training/checkpoints.py` |
# | history | read from the device every fiftieth of the run, not at every step | `training/fit.py` |
#
# The last line matters on a GPU. `loss.item()` at every step, as most published loops do, makes the host wait for the device and the
# device then for the host. Losses stay where they are until a row of the history is due.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-rate", "caption": "Left: the learning rate over a run, equation {eq}`eq-rate`. Right: the share of it that each layer of a 24-block transformer gets under a layer decay of 0.65 and of 0.75; the lower half hardly moves."}, "image": {"alt": "Left, a curve rises in a straight line over a tenth of the run and falls along a cosine to zero. Right, two curves over the layers on a logarithmic axis, rising from one in a hundred thousand to one."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8))
steps = 1000
shown = Budget(name="shown", views=steps * 32, lr=2e-3)
left.plot([1e3 * shown.rate(t, steps=steps) for t in range(steps)])
left.set(xlabel="step", ylabel="learning rate, 10⁻³")
for decay in (0.65, 0.75):
    right.semilogy(decay ** np.arange(25, -1, -1), label=f"decay {decay}")
right.set(xlabel="layer (0 embeds patches, 25 is the head)", ylabel="share of the rate")
right.legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Killed, and resumed
#
# A long run dies sooner or later: a walltime limit, a full disk, a lid that is closed. With `checkpoints` the loop writes, every so many
# views, all that the next step depends on: weights, the optimiser's moments, the moving average, random numbers, position in the epoch. We
# stop a run in its middle, start the same line again, and compare with a run that nobody disturbed.


# %%
class Lights:
    """A logger that pulls the plug at some row of the history."""

    def __init__(self, out_after):
        self.left = out_after

    def start(self, parameters): ...

    def row(self, row):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def end(self): ...


# %%
folder = Path(tempfile.mkdtemp())
every = Checkpoints(folder, every=640)
same = {"budget": short, "seed": seed, "progress": False}
try:
    fit(
        LandmarkMlp(world.aus, seed=seed),
        train,
        **same,
        checkpoints=every,
        loggers=[Lights(25)],
    )
except KeyboardInterrupt:
    print("killed; on the disk:", sorted(p.name for p in folder.iterdir()))

resumed = fit(LandmarkMlp(world.aus, seed=seed), train, **same, checkpoints=every)
undisturbed = fit(LandmarkMlp(world.aus, seed=seed), train, **same)

pairs = zip(resumed.method.parameters(), undisturbed.method.parameters(), strict=True)
assert all(torch.equal(a, b) for a, b in pairs)
assert resumed.history["loss"].equals(undisturbed.history["loss"])

# %% [markdown]
# A checkpoint is `safetensors` and `json`. Neither can hold code, unlike the pickles that most published checkpoints are: those are read with
# `weights_only=True`, and one that carries anything else is refused.
#
# ## When it goes wrong
#
# Three things that end a night's run, and what the loop does about them.

# %% tags=["remove-stderr"]
hot = short.replace(lr=1e30, clip=0, warmup=0)
try:
    fit(LandmarkMlp(world.aus, seed=seed), train, budget=hot, seed=seed, progress=False)
except FloatingPointError as error:
    print(str(error).replace(tempfile.gettempdir(), "…"))


# %%
class Cramped(LandmarkMlp):
    """A method on a machine whose memory holds twelve faces."""

    def loss(self, batch):
        if len(batch) > 12:
            raise torch.OutOfMemoryError("out of memory")
        return super().loss(batch)


cramped = fit(Cramped(world.aus, seed=seed), train, **same)
roomy = fit(LandmarkMlp(world.aus, seed=seed), train, **same)
print(
    f"{cramped.views:,} views each; last losses {cramped.history.loss.iloc[-1]:.4f} and {roomy.history.loss.iloc[-1]:.4f}"
)

# %% [markdown]
# The batch of 32 became micro-batches whose gradients add up to one step, and the run went on; no face was left out. The losses are not quite the same, because
# this network has a batch norm, and its statistics are now of fewer faces. Without one they would be equal.
#
# ## A transformer that learns
#
# A vision transformer with its usual parts, a linear patch embedding and mean pooling, learns next to nothing from a few thousand faces at
# 64 px. Two changes are enough: three small convolutions with batch norm before the blocks, and a read-out with weights of its own for each
# position, which is fair because faces are aligned. It is not what the papers do with large pretrained models, and we shall come
# back to mean pooling there.
#
# **Declared before the run:** *the small transformer's AUC on strangers is not more than one point below the CNN's*, at the
# budgets below, chosen on other people in an earlier study so that both take about the same time.

# %%
views = {"smoke": (1_600, 1_600), "laptop": (12_000, 24_000)}.get(budget)
racers = {
    "CNN": CnnDetector(world.aus, seed=seed),
    "ViT": VitDetector(world.aus, seed=seed),
}
runs = {}
for k, (name, method) in enumerate(racers.items()):
    numbers = budget_for(method, budget)
    numbers = numbers.replace(views=views[k] if views else numbers.views)
    numbers = numbers.replace(eval_every=numbers.views // 8)
    runs[name] = fit(method, train, val=val, budget=numbers, seed=seed)
said = {name: predict(run.method, test) for name, run in runs.items()}

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-race", "caption": "AUC on validation people while the CNN and the small transformer train, over views and over seconds on this machine."}, "image": {"alt": "Two panels with a rising curve each for CNN and transformer; over seconds they lie close together."}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for colour, (name, run) in zip(plots.PALETTE, runs.items(), strict=False):
    looks = run.history.dropna(subset="val_auc")
    left.plot(looks.views / 1000, 100 * looks.val_auc, "o-", color=colour, label=name)
    right.plot(looks.seconds, 100 * looks.val_auc, "o-", color=colour, label=name)
left.set(xlabel="views, thousands", ylabel="AUC on validation people, %")
right.set(xlabel="seconds")
left.legend()
figure.tight_layout()
plt.show()

# %%
faces = (said["CNN"].label, said["CNN"].subject)
draws = {
    name: np.nanmean(
        metrics.resampled_scores(p.prob, *faces, metrics.auc_per_au, seed=seed), axis=1
    )
    for name, p in said.items()
}
value = {
    name: 100 * np.nanmean(metrics.auc_per_au(p.prob, p.label))
    for name, p in said.items()
}


# %%
low, high = np.quantile(100 * (draws["ViT"] - draws["CNN"]), [0.025, 0.975])
claim = "the small transformer is at most one AUC point below the CNN on strangers"
over = f"{world.test.subjects} people, 1 seed"
contrasts = [
    Contrast(
        claim,
        value["ViT"] - value["CNN"],
        low,
        high,
        over=over,
        least=-1,
        unit="AUC points",
    )
]
for name, auc in value.items():
    glue(f"auc_{name}", f"{auc:.1f}", display=False)

# %% [markdown]
# The CNN reaches {glue:text}`auc_CNN` % on strangers and the transformer {glue:text}`auc_ViT` %. One seed is one draw. The reference result below has
# three, every point a run of its own to the end of its schedule, on one thread. Its third arm is a transformer of the same size with the
# usual parts: patches cut by one linear layer, tokens averaged. In so few views it hardly begins to learn.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-learning", "caption": "Reference result: AUC on test people over the seconds of training, for runs of 6,000, 12,000 and 24,000 views and three seeds each. The machine was shared while they ran, so single times are too long."}, "image": {"alt": "Dots in three colours. Those of the CNN and of the small transformer rise from left to right, the transformer's mostly further left at the same height; those of the transformer with its usual parts stay far below."}}
learning = reference.read("learning_cpu")
figure, ax = plt.subplots(figsize=(6.5, 3))
for colour, (name, runs_of) in zip(
    plots.PALETTE, learning.table.groupby("arm"), strict=False
):
    ax.plot(runs_of.seconds, runs_of.auc, "o", color=colour, label=name)
ax.set(xlabel="seconds on one thread", ylabel="AUC on strangers, %")
ax.legend()
plt.show()

# %%
scores = ["seconds", "auc", "seen_auc"]
by_views = learning.table.groupby(["views", "arm"])[scores].mean().reset_index()
display(Markdown(learning.origin))
by_views.style.format(precision=1).hide(axis="index")

# %%
sides = {"ours": {"arm": "ViT"}, "theirs": {"arm": "CNN"}}
claim = "the same at 24,000 views each"
most = {"where": {"views": 24_000}, "people": world.test.subjects}
contrasts.append(study.contrast(learning.table, claim, **sides, **most, least=-1))

# %% [markdown]
# ## What each lever gives
#
# A speed is a ratio of two ways, measured by turns on one machine; seconds alone say more about the machine. Each way below computes the
# same numbers as the one it stands against.


# %%
def times_faster(plain, ours):
    """Median over rounds of time(plain) / time(ours), and the extremes; both once before, unmeasured."""
    ratios = []
    for measured in range(rounds + 1):
        seconds = []
        for way in (plain, ours):
            begin = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - begin)
        if measured:
            ratios.append(seconds[0] / seconds[1])
    return np.median(ratios), min(ratios), max(ratios)


# %%
q, k, v = torch.randn(3, 8, 6, 197, 64, requires_grad=True)  # 8 faces, 6 heads, ViT-S


def explicit():
    weights = (q @ k.transpose(-2, -1) / 64**0.5).softmax(-1)  # (8, 6, 197, 197)
    (weights @ v).sum().backward()


def fused():
    nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()


levers = {"fused attention": times_faster(explicit, fused)}

# %%
network = vit("small").eval()
image, some = torch.rand(4, 3, 224, 224), torch.rand(4, 196).argsort(1)[:, :49]
with torch.no_grad():
    levers["encode a quarter of the patches"] = times_faster(
        lambda: network.tokens(image), lambda: network.tokens(image, some)
    )
weights = [p.detach().clone().requires_grad_() for p in network.parameters()]
for p in weights:
    p.grad = torch.randn_like(p)
plain = torch.optim.AdamW(weights, foreach=False, fused=False)
together = torch.optim.AdamW(weights, fused=True)
levers["fused AdamW"] = times_faster(plain.step, together.step)

cnn = CnnDetector(world.aus).network
rows = torch.rand(32, 3, 64, 64)
beside = rows.contiguous(memory_format=torch.channels_last)
apart = CnnDetector(world.aus).network.to(memory_format=torch.contiguous_format)
levers["colours side by side (CNN)"] = times_faster(
    lambda: apart(rows).sum().backward(), lambda: cnn(beside).sum().backward()
)
levers["bf16 in place of float32 (CNN)"] = times_faster(
    lambda: cnn(beside), lambda: torch.autocast("cpu", torch.bfloat16)(cnn)(beside)
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-levers", "caption": "How many times faster each lever made its part on the machine of this page, with the extremes of seven rounds; left of 1 it is slower. Parts, not whole steps: what a part gains counts by its share of the step."}, "image": {"alt": "Horizontal bars of speed ratios for five levers on a logarithmic axis, with a line at one."}}
figure, ax = plt.subplots(figsize=(7, 2.6))
middle, least, most = np.array(list(levers.values())).T
place = np.arange(len(levers))[::-1]
ax.barh(place, middle - 1, left=1, color=plots.PALETTE[0])
ax.hlines(place, least, most, color="0.2")
ax.axvline(1, color="0.3", linewidth=1)
ax.set_xscale("log")
ticks = [0.25, 0.5, 1, 2, 4, 8]
ax.set_xticks(ticks, [f"{t:g}×" for t in ticks])
ax.minorticks_off()
ax.set_yticks(place, levers)
ax.set(xlabel="times faster")
ax.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# Whole training steps are what counts. The table is a reference result: our step against a plain loop in the manner of published code,
# which computes the same loss from the same weights.

# %%
speed = reference.read("speed_cpu")
columns = ["case", "threads", "batch", "variant", "images_per_second", "ratio"]
display(Markdown(speed.origin))
speed.table[columns].style.format(precision=2).hide(axis="index")

# %% [markdown]
# Some levers change the network. The layer decay of a pretrained transformer leaves its lower blocks almost where they were, {numref}`fig-rate`, so
# they can be frozen, and a third or more of the step with them. **Declared before the run:** *AUC on strangers falls by less than a point.* The reference
# result fine-tunes a miniature after masked pretraining on other people.

# %%
freezing = reference.read("freezing")
display(Markdown(freezing.origin))
by_frozen = study.curve(freezing.table, by="arm").rename(columns={"arm": "frozen"})
by_frozen.style.format(precision=1).hide(axis="index")

# %%
for arm in ("1 of 3 blocks", "2 of 3 blocks"):
    claim = f"freezing {arm} costs less than one AUC point"
    sides = {"ours": {"arm": arm}, "theirs": {"arm": "nothing"}}
    found = study.contrast(freezing.table, claim, **sides, least=-1, people=60)
    contrasts.append(found)

# %% [markdown]
# ## From one core to many GPUs
#
# With $n$ processes each step still takes one *global* batch: process $r$ takes its share of it, gradients are averaged, and all processes make
# the same step. So a budget means the same on one GPU and on eight. {numref}`fig-ranks` shows who gets which face.

# %%
twelve = train.subset(range(12))
order = []
for rank in (0, 1):
    parts = positions(twelve, batch_size=4, views=36, seed=seed, rank=rank, world=2)
    order.append(torch.stack(list(parts)))  # (9 steps, 2 faces)
order = torch.stack(order, 1)  # (9 steps, 2 ranks, 2 faces)
ranks = torch.arange(2)[None, :, None].expand_as(order)
places = zip(order.flatten().tolist(), ranks.flatten().tolist(), strict=True)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-ranks", "caption": "Twelve faces, batches of four, three epochs, two processes. Each row is an epoch, each column a place in its order, the number is the face, the colour the process that it goes to. The order is new in every epoch."}, "image": {"alt": "A grid of three rows and twelve numbered cells in two colours; pairs of one colour alternate, and the numbers are in another order in each row."}}
figure, ax = plt.subplots(figsize=(7, 2.2))
for place, (face, rank) in enumerate(places):
    row, column = divmod(place, 12)
    box = plt.Rectangle((column, -row), 0.92, 0.9, color=plots.PALETTE[rank])
    ax.add_patch(box)
    middle = (column + 0.46, 0.45 - row)
    ax.text(*middle, face, ha="center", va="center", color="white")
ax.set(xlim=(0, 12), ylim=(-2.1, 1), xticks=[], yticks=[0.45, -0.55, -1.55])
ax.set_yticklabels(["epoch 1", "epoch 2", "epoch 3"])
ax.grid(visible=False)
ax.spines[:].set_visible(False)
plt.show()

# %% [markdown]
# One line for each kind of machine; the method and its budget stay as they are.
#
# ```bash
# # here
# fau train vit --data synth --budget laptop --out runs
# # four GPUs of one machine, from a pretrained file
# fau train pretrained-vit --data prepared/bp4d --fold 1 --init mae.pth --devices 4 --out runs
# # two machines of eight: the same on each, with its own --node-rank, 0 or 1
# torchrun --nnodes 2 --node-rank 0 --nproc-per-node 8 --master-addr node0 --master-port 29500 \
#     -m fau_utils.cli train mae --data 'shards-{0000..0999}.tar' --budget paper --strategy ddp --out runs
# ```
#
# ## Nine million faces
#
# FMAE pretrains on 9 million faces {cite}`ning2025representation`. Whether a lab can repeat that is arithmetic, and it is worth doing before
# the cluster is asked.

# %%
face = np.asarray(train.images[0]).transpose(1, 2, 0)
face = np.kron(face, np.ones((4, 4, 1), "uint8"))  # 256 px, as faces are stored
file = io.BytesIO()
Image.fromarray(face).save(file, "JPEG", quality=90)
begin = time.perf_counter()
for _ in range(200):
    decode(file.getvalue())
decoded = 200 / (time.perf_counter() - begin)
glue("decoded", f"{decoded:,.0f}", display=False)

# %% [markdown]
# One core of this machine decodes {glue:text}`decoded` faces of 256 px per second. The other rates are **assumptions**, to be replaced by measured ones: a GPU
# that reaches 400 TFLOP/s inside the step, 16 cores, a disk of 1 GB/s, 3 units of money per GPU hour. The recipe is FMAE's, 50 epochs. Operations are
# counted from the model's configuration, and the count is tested against torch's own.

# %%
task = Pretraining()
machine = Machine(flops=400e12, decoded_per_core=decoded, cores=16, price=3.0)
of_each = ["model", "GFLOP per view", "EFLOP", "decoder (%)", "days", "cost"]
one_gpu = table(task, machine, gpus=(1,))[of_each]
one_gpu.style.format(precision=1).hide(axis="index")

# %%
of_large = ["GPUs", "faces/s", "limit", "days", "GPU hours", "cost"]
large = table(task, machine, models=["large"], gpus=(1, 4, 8, 32))[of_large]
large.style.format(precision=1).hide(axis="index")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-saturates", "caption": "Days of pretraining on nine million faces over the number of GPUs, with the cores and disk of one machine behind them. A curve turns flat where something other than the GPUs runs out."}, "image": {"alt": "Three lines on logarithmic axes for a small, a base and a large model; they fall with the first GPUs and are flat or rise again after a few."}}
figure, ax = plt.subplots(figsize=(6.5, 3.2))
counts = [1, 2, 4, 8, 16, 32, 64, 128]
for colour, model in zip(plots.PALETTE, ("small", "base", "large"), strict=False):
    days = table(task, machine, models=[model], gpus=counts)["days"]
    ax.loglog(counts, days, "o-", color=colour, label=f"ViT-{model[0].upper()}")
ax.set_xticks(counts, counts)
ax.set_yticks([0.1, 0.2, 0.5, 1, 2], [0.1, 0.2, 0.5, 1, 2])
ax.minorticks_off()
ax.set(xlabel="GPUs", ylabel="days")
ax.legend()
plt.show()

# %%
saturation = {
    model: most_gpus(replace(task, model=model), machine)
    for model in ("small", "base", "large")
}
pd.DataFrame(saturation, index=["GPUs that are enough", "more of them wait for"]).T

# %% [markdown]
# The small encoder spends most of its time in the decoder, which was sized for larger ones, and asks for the most faces per second: the last table says whether
# disk or decoding run out first. Faces decoded once into `uint8` arrays need no cores and ten times the disk. The large one waits for the network: a
# batch of 512 that is shared by many GPUs leaves each little to do before gradients are exchanged, and a larger batch is another recipe.

# %% [markdown]
# ## Evidence

# %%
evidence(contrasts).style.hide(axis="index")

# %% [markdown]
# The first interval is over people for one seed, all others over seeds and people. What would count against the chapter: weights that differ
# from the loop by hand, or after a kill; both are assertions, and the page would not exist. What it cannot show is speed on
# your machine: run `python benchmarks/speed/training.py`.
#
# ## Exercises
#
# ```{exercise} The rate of a block
# :label: ex-layer-decay
# :minutes: 10
# FMAE fine-tunes a ViT-L with a layer decay of 0.65. Write `share(layer, blocks, decay)`: the share of the learning rate of layer 0 (the
# patch embedding), layers 1 to `blocks`, and layer `blocks + 1` (the head). What share does the first block get?
# ```


# %% tags=["hide-input"]
def check_share(function):
    """True when the head moves at full rate and each layer below at `decay` times the one above it."""
    layers = [function(k, 12, 0.75) for k in range(14)]
    below = np.divide(layers[:-1], layers[1:])
    return layers[-1] == 1 and np.allclose(below, 0.75)


# %% [markdown]
# ```{solution-start} ex-layer-decay
# :class: dropdown
# ```
# The first of 24 blocks gets $0.65^{24}$, three parts in a hundred thousand: it is as good as frozen, and its backward pass could be saved.


# %%
def share(layer, blocks, decay):
    return decay ** (blocks + 1 - layer)


assert check_share(share)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: the same order for ever
# :label: ex-epoch-order
# :minutes: 10
# A published training script shuffles with a sampler that must be told the number of each epoch, and tells it only when there are several
# GPUs. On one GPU, every epoch has the same order, and nothing crashes. Mend `orders`.
# ```


# %%
def orders(count, epochs, seed):
    """One order per epoch, each a permutation of `count` faces; this one has the bug."""
    return [np.random.default_rng(seed).permutation(count) for _ in range(epochs)]


def check_orders(function):
    """True when every epoch shows every face, no two in the same order, and the seed decides all of them."""
    found, again = function(50, 4, 7), function(50, 4, 7)
    new = len({tuple(order) for order in found}) == 4
    whole = all(sorted(order) == list(range(50)) for order in found)
    return new and whole and np.array_equal(found, again)


assert not check_orders(orders)  # red; turn it green

# %% [markdown]
# ```{solution-start} ex-epoch-order
# :class: dropdown
# ```
# The epoch becomes a part of the seed. Drawing on from one generator also works, until a run is resumed in epoch 7 and starts again with the order of
# epoch 1.


# %%
def orders(count, epochs, seed):
    return [
        np.random.default_rng([seed, epoch]).permutation(count)
        for epoch in range(epochs)
    ]


assert check_orders(orders)

# %% [markdown]
# ```{solution-end}
# ```
#
# ```{exercise} Find the bug: the mean of means
# :label: ex-mean-of-means
# :minutes: 15
# A batch of five faces is split in two because memory is short. The labels of the second part are unknown for two of its faces. Which of the
# lines below gives the loss of the whole batch?
# ```

# %%
losses = np.array([0.2, 0.4, 0.9, np.nan, np.nan])  # nan is not coded
parts = losses[:2], losses[2:]


def mean_of_means(parts):
    return np.mean([np.nanmean(part) for part in parts])


def check_mean(function):
    """True when parts give what the whole gives."""
    return np.isclose(function(parts), np.nanmean(losses))


assert not check_mean(mean_of_means)

# %% [markdown]
# ```{solution-start} ex-mean-of-means
# :class: dropdown
# ```
# Sums and counts add up, means do not. The same happens between GPUs, where each averages over its own coded labels.


# %%
def mean_of_sums(parts):
    return sum(np.nansum(part) for part in parts) / sum(
        np.isfinite(part).sum() for part in parts
    )


assert check_mean(mean_of_sums)

# %% [markdown]
# ```{solution-end}
# ```
#
# ## Recap
#
# 1. The loop is eight lines; everything around them is there so that they can be trusted, resumed and spread out.
# 2. A budget counts views, so it means the same on a laptop and on eight GPUs.
# 3. A speed is a ratio measured by turns; a lever is worth the share of the step that it touches.
#
# **Further reading.** AdamW {cite}`loshchilov2019adamw`; the masked autoencoder {cite}`he2022mae`; convolutional stems {cite}`xiao2021early`.
