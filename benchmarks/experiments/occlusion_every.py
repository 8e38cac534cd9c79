"""Every method of the book under the same masks: those trained on whole faces as they are, and those trained for it.

``python benchmarks/experiments/occlusion_every.py`` makes the table ``occlusion_every``: one row for each method, kind
and ratio. All are shown the painted faces and told the mask; most do not ask. The people are those of
``occlusion_mae.py``; every method has the same number of views of the same labelled faces, in its own recipe.
Landmarks that a mask hides are put where they are on average, as nobody can see them.
"""

import functools

import torch

from fau_utils.data import synth
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import FmaeIat, GraphDetector, LandmarkMlp, MaePretraining, OcclusionMae, PretrainedVit
from fau_utils.methods.baselines import CnnDetector, VitDetector
from fau_utils.methods.contract import Method
from fau_utils.methods.occlude import Occlude
from fau_utils.methods.occlusion_arms import InpaintThenClassify, OcclusionAugmented
from fau_utils.results.study import Study, scores
from fau_utils.stress import occlusion_curve
from fau_utils.training import budget_for, fit

VIEWS, PRETRAINING, SEEDS = 9_600, 19_200, 3
MODEL = "mini64"
OTHERS = SynthFaces(skew=0.0)  # who is tested
OCCLUSION = Occlude(high=0.6, clean=0.2)  # found on validation people: with ratios up to 0.9 nothing learns so soon
CODE = [
    "fau_utils.methods.occlusion_arms", "fau_utils.methods.fmae_iat", "fau_utils.stress.occlusion",
    "fau_utils.training.fit", "fau_utils.data.synth",
]  # fmt: skip


def world(seed: int) -> SynthFaces:
    """The training people of a seed and others without labels, as in ``occlusion_mae.py``."""
    return SynthFaces(
        seed=1000 + seed, skew=1.2, train=Split(20, 100, "train"), seen=Split(20, 40, "train", skew=0.0),
        unlabelled=Split(1500, 4, "unlabelled", labelled=False),
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def pretrained(seed: int, device: str) -> MaePretraining:
    method = MaePretraining(model=MODEL, stem="conv", normalise_target=False, seed=seed)
    numbers = budget_for(method, "laptop").replace(views=PRETRAINING)
    faces = synth.load(world(seed), "unlabelled")
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


def _trained(method: Method, seed: int, device: str) -> Method:
    numbers = budget_for(method, "laptop").replace(views=VIEWS, batch_size=32, lr=2e-3)
    faces = synth.load(world(seed), "train")
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


@functools.lru_cache(maxsize=1)
def taught(seed: int, device: str) -> Method:
    return _trained(GraphDetector(OTHERS.aus, model=MODEL, seed=seed), seed, device)


def _built(arm: str, seed: int, device: str) -> Method:
    aus, train = OTHERS.aus, synth.load(world(seed), "train")
    if arm == "landmarks":
        return LandmarkMlp(aus, seed=seed)
    if arm == "CNN":
        return CnnDetector(aus, seed=seed)
    if arm == "small transformer":
        return VitDetector(aus, seed=seed)
    if arm == "CNN, occluded in training":
        return OcclusionAugmented(CnnDetector(aus, seed=seed), occlusion=OCCLUSION)
    if arm == "AU graph, occluded in training":
        return OcclusionAugmented(GraphDetector(aus, model=MODEL, seed=seed), occlusion=OCCLUSION)
    mae = pretrained(seed, device)
    common = {"init": mae, "model": MODEL, "seed": seed}
    if arm == "FMAE":
        return PretrainedVit(aus, **common)
    if arm == "FMAE-IAT":
        return FmaeIat(aus, subjects=train.subjects, **common)
    common |= {"occlusion": OCCLUSION, "encoder_rate": 1.0}
    if arm == "latents":
        return OcclusionMae(aus, distil="none", **common)
    return OcclusionMae(aus, teacher=taught(seed, device), **common)


ARMS = {
    "AU graph": False, "latents, nodes and edges": True, "AU graph, occluded in training": True, "latents": True,
    "painted in, then the AU graph": True, "CNN": False, "CNN, occluded in training": True, "FMAE": False,
    "FMAE-IAT": False, "small transformer": False, "landmarks": False,
}  # fmt: skip
"""And whether occlusion was a part of training, or, when painting in, something else deals with it."""


def run(cell: dict, device: str) -> list[dict]:
    """Rows of one method: one for each kind and ratio."""
    arm, seed = cell["arm"], cell["seed"]
    if arm == "AU graph":
        method = taught(seed, device)
    elif arm.startswith("painted in"):
        method = InpaintThenClassify(pretrained(seed, device), taught(seed, device))
    else:
        method = _trained(_built(arm, seed, device), seed, device)
    test = synth.load(OTHERS, "test")
    table = occlusion_curve({arm: method}, test, score=scores, device=device)
    return table.drop(columns="method").assign(trained_for_it=ARMS[arm]).to_dict("records")


STUDY = Study(
    "occlusion_every",
    [{"arm": arm, "seed": seed} for seed in range(SEEDS) for arm in ARMS],
    run,
    CODE,
    command="python benchmarks/experiments/occlusion_every.py",
)

if __name__ == "__main__":
    torch.set_flush_denormal(True)
    STUDY.main()
