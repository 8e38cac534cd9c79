"""Every method of the book under the same masks: those trained on whole faces as they are, and those trained for it.

``python benchmarks/experiments/occlusion_every.py`` makes the table ``occlusion_every``: one row for each method, kind
and ratio. All are shown the painted faces and told the mask; most do not ask. The people are those of
``occlusion_mae.py``; every method has the same number of views of the same labelled faces, in its own recipe.
Landmarks that a mask hides are put where they are on average, as nobody can see them. Both methods of two domains have
as many views in all, but of a third each: labelled faces, wild ones and wild ones with landmarks
(:class:`fau_utils.data.domains.Gap`). Test people are of the source, and are told to be.
"""

import functools
from dataclasses import replace

import torch

from fau_utils.data import synth
from fau_utils.data.clips import ClipSet
from fau_utils.data.domains import Gap, TwoDomains
from fau_utils.data.images import ImageSet
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import (
    Clp,
    DomainSeparation,
    FmaeIat,
    GraphDetector,
    LandmarkMlp,
    LandmarkTask,
    MaePretraining,
    OcclusionMae,
    PretrainedVit,
)
from fau_utils.methods.baselines import CnnDetector, VitDetector
from fau_utils.methods.clip_baselines import SupervisedClips
from fau_utils.methods.contract import Learner, Method
from fau_utils.methods.domain_losses import inverse_rates
from fau_utils.methods.occlude import Occlude
from fau_utils.methods.occlusion_arms import InpaintThenClassify, OcclusionAugmented
from fau_utils.results.conduct import Study
from fau_utils.results.study import scores
from fau_utils.stress import occlusion_curve
from fau_utils.training import budget_for, fit

VIEWS, PRETRAINING, SEEDS = 9_600, 19_200, 3
MODEL, GAP = "mini64", 0.67
OTHERS = SynthFaces(skew=0.0)  # who is tested
OCCLUSION = Occlude(high=0.6, clean=0.2)  # found on validation people: with ratios up to 0.9 nothing learns so soon
CODE = [
    "fau_utils.methods.occlusion_arms", "fau_utils.methods.fmae_iat", "fau_utils.methods.clip_baselines",
    "fau_utils.methods.domain_separation", "fau_utils.methods.domain_baselines", "fau_utils.stress.occlusion",
    "fau_utils.training.fit", "fau_utils.data.synth", "fau_utils.data.clips", "fau_utils.data.domains",
]  # fmt: skip


def world(seed: int) -> SynthFaces:
    """The training people of a seed and others without labels, as in ``occlusion_mae.py``."""
    return SynthFaces(
        seed=1000 + seed, skew=1.2, train=Split(20, 100, "train"), seen=Split(20, 40, "train", skew=0.0),
        unlabelled=Split(1500, 4, "unlabelled", labelled=False),
    )  # fmt: skip


def clips(seed: int) -> SynthFaces:
    """Others without labels in clips of seven frames, as in ``clp.py``."""
    one = {name: Split(1, 7, name) for name in ("train", "val", "test")}
    return SynthFaces(
        seed=3000 + seed, clip_length=7, fps=12.5, seen=Split(1, 7, "train"),
        unlabelled=Split(240, 28, "unlabelled", labelled=False), **one,
    )  # fmt: skip


@functools.lru_cache(maxsize=1)
def pretrained(seed: int, device: str, views: int = PRETRAINING) -> MaePretraining:
    method = MaePretraining(model=MODEL, stem="conv", normalise_target=False, seed=seed)
    return _fitted(method, synth.load(world(seed), "unlabelled"), seed, device, views=views)


def filmed(seed: int, device: str, views: int = PRETRAINING) -> Clp:
    """CLP before it sees a label."""
    faces = ClipSet(synth.load(clips(seed), "unlabelled"))
    return _fitted(Clp(seed=seed), faces, seed, device, views=views, batch_size=56, augment=False)


def _fitted(method: Learner, faces, seed: int, device: str, *, augment: bool = True, **numbers) -> Learner:
    numbers = budget_for(method, "laptop").replace(**numbers)
    return fit(method, faces, budget=numbers, seed=seed, device=device, augment=augment, progress=False).method


def two_domains(people: SynthFaces, seed: int) -> TwoDomains:
    """The labelled faces beside wild ones; those of a `Gap` get its own."""
    wild = Gap(GAP, aus=people.aus, seed=seed).wild
    faces = (synth.load(wild, split) for split in ("train", "unlabelled"))
    return TwoDomains.of(synth.load(people, "train"), next(faces), guides=next(faces))


def trained(arm: str, people: SynthFaces, seed: int, device: str, *, views: int, before: int) -> Method:
    """The method of an arm, taught by the training faces of some people."""
    if arm == "AU graph":
        return taught(people, seed, device, views)
    if arm.startswith("painted in"):
        return InpaintThenClassify(pretrained(seed, device, before), taught(people, seed, device, views))
    faces = synth.load(people, "train")
    numbers = {"views": views, "batch_size": 32, "lr": 2e-3}
    if arm in DOMAINS:
        weight = inverse_rates(torch.nanmean(faces.labels, 0).tolist()).tolist()
        later = {"align_after": views // 5} if arm == "domain separation" else {}
        method, faces = DOMAINS[arm](people.aus, weight=weight, seed=seed, **later), two_domains(people, seed)
        numbers["batch_size"] = 24
    elif arm == "CLP, fine-tuned":
        method = SupervisedClips(people.aus, init=filmed(seed, device, before), seed=seed)
        numbers |= {"batch_size": 64, "lr": 5e-4}  # as in clp.py
    elif arm in PLAIN:
        method = PLAIN[arm](people.aus, seed=seed)
    elif arm == "AU graph, occluded in training":
        method = OcclusionAugmented(GraphDetector(people.aus, model=MODEL, seed=seed), occlusion=OCCLUSION)
    elif arm == "CNN, occluded in training":
        method = OcclusionAugmented(CnnDetector(people.aus, seed=seed), occlusion=OCCLUSION)
    else:
        method = _begun(arm, people, faces, seed, device, views=views, before=before)
    return _fitted(method, faces, seed, device, **numbers)


@functools.lru_cache(maxsize=1)
def taught(people: SynthFaces, seed: int, device: str, views: int = VIEWS) -> Method:
    method = GraphDetector(people.aus, model=MODEL, seed=seed)
    return _fitted(method, synth.load(people, "train"), seed, device, views=views, batch_size=32, lr=2e-3)


def _begun(arm: str, people: SynthFaces, faces: ImageSet, seed: int, device: str, *, views: int, before: int) -> Method:
    """Arms that begin with a pretrained encoder."""
    common = {"init": pretrained(seed, device, before), "model": MODEL, "seed": seed}
    if arm == "FMAE":
        return PretrainedVit(people.aus, **common)
    if arm == "FMAE-IAT":
        return FmaeIat(people.aus, subjects=faces.subjects, **common)
    common |= {"occlusion": OCCLUSION, "encoder_rate": 1.0}
    if arm == "latents":
        return OcclusionMae(people.aus, distil="none", **common)
    return OcclusionMae(people.aus, teacher=taught(people, seed, device, views), **common)


PLAIN = {"CNN": CnnDetector, "small transformer": VitDetector, "landmarks": LandmarkMlp}
DOMAINS = {"domain separation": DomainSeparation, "landmark task": LandmarkTask}
ARMS = {
    "AU graph": False, "latents, nodes and edges": True, "AU graph, occluded in training": True, "latents": True,
    "painted in, then the AU graph": True, "CNN": False, "CNN, occluded in training": True, "FMAE": False,
    "FMAE-IAT": False, "small transformer": False, "landmarks": False, "CLP, fine-tuned": False,
    "landmark task": False, "domain separation": False,
}  # fmt: skip
"""And whether occlusion was a part of training, or, when painting in, something else deals with it."""


def run(cell: dict, device: str) -> list[dict]:
    """Rows of one method: one for each kind and ratio."""
    arm, seed = cell["arm"], cell["seed"]
    method = trained(arm, world(seed), seed, device, views=VIEWS, before=PRETRAINING)
    test = synth.load(OTHERS, "test")
    test = replace(test, domain=torch.zeros(len(test), dtype=torch.long))  # the source: only these two ask
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
