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
#     summary: Every action unit of the book on one page; its muscle, its picture, who codes it, and what it is easily taken for.
# ---

# %% [markdown]
# # Index of action units
#
# One row for each action unit (AU) in this book's vocabulary. Names and muscles are those of the Facial Action Coding System
# {cite}`ekman2002facs`. Pictures are rendered; lists of datasets are those that this book's readers use.

# %% tags=["parameters"]
budget: str = "laptop"  # smoke measures look-alikes on fewer people
seed: int = 0  # another seed, other people

# %% tags=["hide-input"]
import base64
import io

import numpy as np
import torch
from IPython.display import HTML
from matplotlib import pyplot as plt
from myst_nb import glue
from PIL import Image

from fau_utils import plots
from fau_utils.aus import AUS, BP4D, DISFA, RENDERED, column
from fau_utils.data import affwild2, bp4d, bp4dplus, disfa, disfaplus, gft
from fau_utils.data.expected import EMOTIONET
from fau_utils.faces import FaceRenderer, sample_identity, sample_nuisance
from fau_utils.faces.rng import mix

plots.use()
people = {"smoke": 3}.get(budget, 24)

# %% tags=["hide-input"]
rest_and_units = torch.cat([torch.zeros(1, 16), 5 * torch.eye(16)])


def show(person, *, res):
    """A person at rest and with each AU at its maximum, (17, 3, res, res)."""
    who = mix(seed, 1, torch.full((17,), person))
    both_sides = rest_and_units[:, :, None].expand(-1, -1, 2).contiguous()
    still = sample_nuisance(torch.zeros_like(who), level=0.0)
    return FaceRenderer(res=res)(sample_identity(who), both_sides, still).image


portraits = dict(zip(("rest", *RENDERED), show(18, res=112), strict=True))


def inline(image):
    """A picture as text that stands in the page itself."""
    pixels = (255 * image.permute(1, 2, 0)).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


# %% [markdown]
# ## What looks like what
#
# Which AUs are mistaken for each other? On rendered faces this can be computed: $\Delta_k$ is the change of the picture when AU $k$ alone goes from rest to
# its maximum, over all pixels of one person. The cosine between $\Delta_j$ and $\Delta_k$, averaged over people, is 1 for two AUs that change the same pixels in the same
# way. It is a property of this renderer. Which pairs are hard for people who code is another question, with a column of its own in the index.

# %%
cosine = torch.zeros(16, 16)
for person in range(people):
    pictures = show(person, res=64)
    change = (pictures[1:] - pictures[:1]).flatten(1)  # (16, pixels)
    unit = change / change.norm(dim=1, keepdim=True)
    cosine += unit @ unit.T / people

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-look-alikes", "caption": "Cosine between the changes that two action units make to the picture, mean over people. Red pairs change the same pixels in the same direction, blue ones in opposite directions."}, "image": {"alt": "A symmetric matrix of sixteen action units. Most cells are near zero; some neighbours on the face, such as the two brow raisers or lip movements, stand out."}}
figure, ax = plt.subplots(figsize=(6.4, 5.4))
off = cosine.masked_fill(torch.eye(16, dtype=bool), torch.nan)
shown = ax.imshow(off, cmap="RdBu_r", vmin=-0.8, vmax=0.8)
names = [column(n) for n in RENDERED]
ax.set_xticks(range(16), names, rotation=90)
ax.set_yticks(range(16), names)
ax.grid(visible=False)
for j, k in np.argwhere(off.abs().nan_to_num().numpy() >= 0.3):
    ax.text(k, j, f"{off[j, k]:.1f}", ha="center", va="center", fontsize=6.5)
figure.colorbar(shown, label="cosine")
plt.show()

# %%
nearest = {}
for row, number in enumerate(RENDERED):
    order = off[row].nan_to_num(-1).argsort(descending=True)[:2].tolist()
    nearest[number] = [(RENDERED[k], float(off[row, k])) for k in order]
pair = max((value, n, other) for n, near in nearest.items() for other, value in near)
glue("closest_pair", f"AU {pair[1]} and AU {pair[2]}", display=False)
glue("closest_cosine", f"{pair[0]:.2f}", display=False)

# %% [markdown]
# The closest pair of {numref}`fig-look-alikes` is {glue:text}`closest_pair`, with a cosine of {glue:text}`closest_cosine`.
#
# ## The index
#
# *Coded by* means that the dataset has labels for the AU. **Bold** marks the sets that most papers score: 12 AUs on BP4D and BP4D+, 8 on DISFA.
# *Told apart with care* names pairs that share a place and a visible effect, so that a coder has to look twice; the FACS manual
# {cite}`ekman2002facs` says for each AU how it differs from its neighbours. How often coders confuse them is not known here: none of the sources of
# this book counts it. AU 20 is not moved by the renderer, so it has neither a picture nor a cosine.

# %% tags=["hide-input"]
lists = {
    "BP4D": bp4d.CODED,
    "BP4D+": bp4dplus.ORDER,
    "DISFA": disfa.AUS,
    "DISFA+": disfaplus.AUS,
    "EmotioNet": EMOTIONET.aus,
    "Aff-Wild2": affwild2.AUS,
    "GFT": gft.AUS,
}
scored = {"BP4D": BP4D, "BP4D+": BP4D, "DISFA": DISFA}


def coded_by(number):
    names = [name for name, listed in lists.items() if number in listed]
    bold = [f"<b>{n}</b>" if number in scored.get(n, ()) else n for n in names]
    return ", ".join(bold) or "none of these"


def look_alikes(number):
    near = [f"AU&nbsp;{n} ({c:.2f})" for n, c in nearest.get(number, []) if c >= 0.1]
    if number not in RENDERED:
        return "not rendered"
    return ", ".join(near) or "none"


# %% tags=["hide-input"]
close = {
    (6, 7): "both narrow the eye: cheek and outer ring, or lids alone",
    (9, 10): "both lift the upper lip: with the wrinkled nose, or without",
    (23, 24): "one muscle narrows the lips: tightened, or pressed together",
    (25, 26): "the lips part alone, or the jaw falls too",
}


def hard_for_people(number):
    pairs = [(sum(pair) - number, why) for pair, why in close.items() if number in pair]
    return "; ".join(f"AU&nbsp;{n}: {why}" for n, why in pairs) or "none named"


# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-au-index", "caption_before": true, "caption": "The index: each action unit with its picture at full strength, its muscles, the datasets that code it, the pairs to be told apart with care, and the two nearest in the picture with their cosine."}, "image": {"alt": "A table with a row for each action unit"}}
def picture(number):
    if number not in portraits:
        return "not rendered"
    alt = f"A synthetic face with {AUS[number].name.lower()} at its maximum"
    return (
        f'<img src="{inline(portraits[number])}" alt="{alt}" width="112" height="112">'
    )


head = ("at full strength", "AU", "muscles", "coded by", "told apart with care")
head += ("nearest in the picture",)
cells = "".join(f'<th scope="col">{name}</th>' for name in head)
lines = [
    f'<tr><td>{picture(n)}</td><th scope="row">{n}<br>{unit.name}</th>'
    f"<td>{'; '.join(unit.muscles)}</td><td>{coded_by(n)}</td>"
    f"<td>{hard_for_people(n)}</td><td>{look_alikes(n)}</td></tr>"
    for n, unit in AUS.items()
]
HTML(
    f'<table class="au-index"><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
)

# %% [markdown]
# AU 20 is in the vocabulary because DISFA codes it. Datasets code more units than these (BP4D also 11, 13, 16, 18, 19, 22, 27, 32, 38 and
# 39), too rarely for a detector to be trained or scored on them.
#
# ## Recap
#
# 1. An AU has a number, a name and a muscle; it is a movement and no feeling.
# 2. Which AUs can be scored depends on who coded them: {doc}`02_datasets_and_protocols`.
# 3. AUs that change the same pixels need more than pixels to be told apart: timing, the other AUs, a neutral face of the same person.
