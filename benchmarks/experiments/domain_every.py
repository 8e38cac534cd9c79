"""Every method of the book from the laboratory to the wild: the same people and movements, in ever wilder pictures.

``python benchmarks/experiments/domain_every.py`` makes the table ``domain_every``: one row for each method, seed and
strength of the gap. All learn AUs from the same labelled faces of a laboratory, in the recipes of
``occlusion_every.py`` and with fewer views; landmarks, which take seconds, with four times as many. Both methods of two
domains also see wild faces at a gap of .67, some with landmarks, and have as many views in all, of which a third have
labels. Pretraining never sees the wild. Scores are those of :func:`fau_utils.stress.lab_to_wild`, with draws of the
people; landmarks are given, exact, in either domain.
"""

import functools
from dataclasses import replace

import numpy as np
import torch

from fau_utils.data.domains import Gap
from fau_utils.data.images import ImageSet
from fau_utils.methods.contract import Method
from fau_utils.results.conduct import Study
from fau_utils.results.study import scores
from fau_utils.stress.domain import GAPS
from fau_utils.training import predict

VIEWS, PRETRAINING, SEEDS, GAP = 6_400, 9_600, 3, 0.67
PEOPLE, FRAMES = 60, 20
CODE = [
    "fau_utils.methods.baselines", "fau_utils.methods.fmae_iat", "fau_utils.methods.occlusion_mae",
    "fau_utils.methods.clip_baselines", "fau_utils.methods.domain_separation", "fau_utils.methods.domain_baselines",
    "fau_utils.stress.domain", "fau_utils.training.fit", "fau_utils.data.synth", "fau_utils.data.clips",
    "fau_utils.data.domains",
]  # fmt: skip
ARMS = {
    "domain separation": "domain separation", "CNN": "CNN", "landmark task": "landmark task", "landmarks": "landmarks",
    "AU graph": "AU graph", "FMAE-IAT": "FMAE-IAT", "FMAE": "FMAE", "CLP, fine-tuned": "CLP, fine-tuned",
    "occlusion student": "latents, nodes and edges", "small transformer": "small transformer",
}  # fmt: skip
"""And what ``occlusion_every.py`` calls each."""

CLAIMS = tuple(
    {"claim": f"less is lost by {arm} than by CNN at g = {gap:g}", "score": "fall", "unit": "AUC points",
     "ours": {"arm": "CNN", "gap": gap}, "theirs": {"arm": arm, "gap": gap}}
    for arm in ("domain separation", "landmarks") for gap in (0.67, 1.0)
)  # fmt: skip
"""Declared before the first run. ``fall`` is the AUC at a gap of 0 less that at this one."""


@functools.cache
def shown(gap: float) -> ImageSet:
    """Test faces at a gap; the same people, told to be of the target beyond 0."""
    faces = Gap(gap, test_people=PEOPLE, test_frames=FRAMES).tested()
    return replace(faces, domain=torch.full((len(faces),), int(gap > 0)))


def fallen(method: Method, device: str) -> list[dict]:
    """Scores at each gap, as ``lab_to_wild`` has them, with draws of the people."""
    rows = [{"gap": gap, **scores(predict(method, shown(gap), device=device))} for gap in GAPS]
    first = rows[0]
    for row in rows:
        row["fall"] = first["auc"] - row["auc"]
        row["fall_draws"] = np.subtract(first["auc_draws"], row["auc_draws"]).tolist()
    return rows


def run(cell: dict, device: str) -> list[dict]:
    """Rows of one method: one for each gap."""
    from occlusion_every import trained  # beside this file

    arm, seed = cell["arm"], cell["seed"]
    views = 4 * VIEWS if arm == "landmarks" else VIEWS
    people = Gap(GAP, seed=seed).lab
    return fallen(trained(ARMS[arm], people, seed, device, views=views, before=PRETRAINING), device)


STUDY = Study(
    "domain_every",
    [{"arm": arm, "seed": seed} for seed in range(SEEDS) for arm in ARMS],
    run,
    CODE,
    command="python benchmarks/experiments/domain_every.py",
)

if __name__ == "__main__":
    torch.set_flush_denormal(True)
    STUDY.main()
