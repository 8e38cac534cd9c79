"""Every method of the book under the same stress: hidden, blurred, small, noisy, wild; and for whom it is worse.

``python benchmarks/experiments/stress.py`` makes the table ``stress``. A row is one method, seed and condition:

=========  =====================================================================================================
axis       rows
=========  =====================================================================================================
clean      test faces as they are; ``ece`` and ``aurc`` in addition
hidden     grey patches, blocks, sunglasses and masks (`stress.occlusion`)
damage     fewer pixels, blur, noise, JPEG (`stress.image_quality`)
domain     from the laboratory to the wild (`data.domains.Gap`)
group      240 people by rendered skin tone, age and glasses, each person counted once (`stress.subgroups`)
look       the same people drawn with another skin tone, age, glasses (`stress.attributes`)
identity   ``leak``: what a linear probe reads about who it is
=========  =====================================================================================================

Training people and recipes are those of ``occlusion_every.py``, with fewer views. All test people are strangers. Below
which sureness a method abstains is set on validation people, for four faces in five, and kept under every stress.
"""

import functools

import numpy as np
import torch

from fau_utils import metrics
from fau_utils.data import synth
from fau_utils.data.domains import Gap
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import (
    CnnDetector,
    FmaeIat,
    GraphDetector,
    LandmarkMlp,
    MaePretraining,
    OcclusionMae,
)
from fau_utils.methods.contract import Method
from fau_utils.methods.occlude import Occlude
from fau_utils.metrics.calibration import ece_per_au
from fau_utils.results.conduct import Study
from fau_utils.results.study import RESAMPLES, scores
from fau_utils.stress import occlusion_curve, wearing
from fau_utils.stress.abstention import abstaining, aurc_per_au, cutoffs
from fau_utils.stress.attributes import GROUPS, group_of, redrawn, rendered_people
from fau_utils.stress.identity import identity_leak
from fau_utils.stress.image_quality import quality_curve
from fau_utils.stress.subgroups import group_score
from fau_utils.training import Predictions, budget_for, fit, predict

VIEWS, PRETRAINING, SEEDS = 6_400, 9_600, 3
MODEL = "mini64"
TESTED = SynthFaces(skew=0.0, test=Split(60, 6, "test"))
CROWD = SynthFaces(skew=0.0, test=Split(240, 6, "test"))
MET_AGAIN = SynthFaces(skew=0.0, test=Split(60, 10, "test"))
"""For the identity probe, which needs more pictures of each person."""
GAPS = (0.67, 1.0)
RATIOS = (0.5, 0.75)
DAMAGE = {"resolution": (32, 16, 8), "blur": (0.5, 1, 2), "noise": (16, 32, 64), "jpeg": (25, 10, 5)}
WORN = ("sunglasses", "mask")
LOOKS = {"melanin": (0.1, 0.9), "age": (0.1, 0.9), "glasses": (0.5, 0.06)}
"""Values of each factor that are drawn, first the one that the other is compared with."""
COVERAGE = 0.8
CODE = [
    "fau_utils.methods.baselines", "fau_utils.methods.fmae_iat", "fau_utils.methods.occlusion_mae",
    "fau_utils.stress.occlusion", "fau_utils.stress.image_quality", "fau_utils.stress.subgroups",
    "fau_utils.stress.attributes", "fau_utils.stress.abstention", "fau_utils.stress.identity",
    "fau_utils.training.fit", "fau_utils.data.synth", "fau_utils.data.domains",
]  # fmt: skip
ARMS = ("CNN", "AU graph", "occlusion student", "FMAE-IAT", "landmarks")


def world(seed: int) -> SynthFaces:
    """The training people of a seed and others without labels, as in ``occlusion_every.py``."""
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


@functools.lru_cache(maxsize=1)
def graph(seed: int, device: str) -> Method:
    """An arm of its own, and the student's teacher."""
    return _trained(GraphDetector(TESTED.aus, model=MODEL, seed=seed), seed, device)


def trained(arm: str, seed: int, device: str) -> Method:
    """The method of an arm, trained on the people of a seed."""
    aus = TESTED.aus
    if arm == "AU graph":
        return graph(seed, device)
    if arm in ("CNN", "landmarks"):
        kind = {"CNN": CnnDetector, "landmarks": LandmarkMlp}[arm]
        return _trained(kind(aus, seed=seed), seed, device)
    common = {"init": pretrained(seed, device), "model": MODEL, "seed": seed}
    if arm == "FMAE-IAT":
        return _trained(FmaeIat(aus, subjects=synth.load(world(seed), "train").subjects, **common), seed, device)
    common |= {"occlusion": Occlude(high=0.6, clean=0.2), "encoder_rate": 1.0}
    return _trained(OcclusionMae(aus, teacher=graph(seed, device), **common), seed, device)


def _trained(method: Method, seed: int, device: str) -> Method:
    views = 4 * VIEWS if isinstance(method, LandmarkMlp) else VIEWS  # it sees 49 points, and is done in seconds
    numbers = budget_for(method, "laptop").replace(views=views, batch_size=32, lr=2e-3)
    faces = synth.load(world(seed), "train")
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


def run(cell: dict, device: str) -> list[dict]:
    """All rows of one method and seed."""
    method = trained(cell["arm"], cell["seed"], device)
    cutoff = cutoffs(predict(method, synth.load(TESTED, "val"), device=device).prob, coverage=COVERAGE)
    score = functools.partial(row_of, cutoff=cutoff)
    test, named = synth.load(TESTED, "test"), {cell["arm"]: method}
    clean = predict(method, test, device=device)
    rows = [{"axis": "clean", "kind": "clean", **score(clean), **calibration(clean)}]

    worn = wearing(TESTED, "test", WORN)
    hidden = occlusion_curve(
        named, test, kinds=("random", "block", *WORN), ratios=RATIOS, worn=worn, score=score, device=device
    )
    damage = quality_curve(named, test, kinds=DAMAGE, score=score, device=device)
    drop = ["method", "draw", "hidden", "au_auc", "au_f1"]
    hidden = hidden.rename(columns={"ratio": "level"}).drop(columns=drop)
    rows += [{"axis": "hidden", **row} for row in hidden.to_dict("records")]
    damage = damage[damage["kind"] != "clean"].drop(columns="method")
    rows += [{"axis": "damage", **row} for row in damage.to_dict("records")]
    for gap in GAPS:
        faces = Gap(gap, aus=TESTED.aus, test_frames=TESTED.test.frames).tested()
        rows.append({"axis": "domain", "kind": "wild", "level": gap, **score(predict(method, faces, device=device))})
    rows += groups(method, device) + looks(method, score, device)
    leak = identity_leak(named, synth.load(MET_AGAIN, "test"), resamples=RESAMPLES, device=device).iloc[0]
    about = {"leak": leak["leak"], "leak_draws": leak["draws"], "chance": leak["chance"], "width": int(leak["width"])}
    return [*rows, {"axis": "identity", "kind": "linear probe", **about}]


def row_of(found: Predictions, *, cutoff: np.ndarray) -> dict:
    """F1, AUC, calibration, and what a detector does that abstains below a fixed sureness; in percent."""
    kept = abstaining(found, cutoff=cutoff).drop(columns=["au", "known"]).mean()  # over AUs that have one
    ece = metrics.mean_over_aus(ece_per_au(found.prob, found.label)).value
    return {**scores(found), "ece": 100 * ece, **{name: 100 * float(value) for name, value in kept.items()}}


def calibration(found: Predictions) -> dict:
    """Areas under risk over coverage, and draws of it and of the calibration error; in percent."""
    given, row = (found.prob, found.label), {"aurc": 100 * float(np.nanmean(aurc_per_au(found.prob, found.label)))}
    for name, metric in (("ece", ece_per_au), ("aurc", aurc_per_au)):
        drawn = metrics.resampled_scores(*given, found.subject, metric, resamples=RESAMPLES, seed=0)
        row[f"{name}_draws"] = (100 * np.nanmean(drawn, axis=1)).astype("float32").tolist()
    return row


def groups(method: Method, device: str) -> list[dict]:
    """Each group of 240 people: counts, AUC with equal people, and its draws."""
    found = predict(method, synth.load(CROWD, "test"), device=device)
    people, rows = rendered_people(CROWD, "test"), []
    for factor in GROUPS:
        groups = group_of(found.subject, people, f"{factor}_group")
        for name in sorted(set(groups)):
            one = group_score(found, groups == name, resamples=RESAMPLES)
            drawn = np.nanmean(one.draws[0], axis=1).astype("float32").tolist()
            counts = {"people": one.people, "frames": one.frames, "positives": one.positives}
            value = float(np.nanmean(one.value))
            rows.append({"axis": "group", "kind": factor, "group": name, **counts, "auc": value, "auc_draws": drawn})
    return rows


@functools.cache
def drawn(factor: str, value: float):
    """The test faces with another look; the same for all cells of a process."""
    return redrawn(TESTED, "test", looks={factor: value})


def looks(method: Method, score, device: str) -> list[dict]:
    """The same people with one look, then with another."""
    rows = []
    for factor, values in LOOKS.items():
        for value in values:
            found = predict(method, drawn(factor, value), device=device)
            rows.append({"axis": "look", "kind": factor, "level": value, **score(found)})
    return rows


def _fall(words: str, arm: str = "CNN", *, least: float = 5.0, **where) -> dict:
    clean = {"arm": arm, "axis": "clean"}
    return {"claim": f"{arm}: {words}", "ours": clean, "theirs": {"arm": arm, **where}, "least": least}


def _less(words: str, **where) -> dict:
    ours, theirs = ({"arm": arm, **where} for arm in ("occlusion student", "CNN"))
    return {"claim": f"occlusion student beats CNN {words}", "ours": ours, "theirs": theirs}


_BLURRED = {"kind": "blur", "level": 2.0}
_PROBED = {"axis": "identity"}
CLAIMS = (
    _fall("more than 5 points are lost at 16 x 16 px", kind="resolution", level=16.0),
    _fall("more than 5 points are lost behind a blur of 2 px", **_BLURRED),
    _fall("more than 5 points are lost in noise of 32 grey levels", kind="noise", level=32.0),
    _fall("more than 5 points are lost at JPEG quality 10", kind="jpeg", level=10.0),
    _fall("more than 5 points are lost with three quarters of the patches hidden", kind="random", level=0.75),
    _fall("more than 5 points are lost in the wild", kind="wild", level=1.0),
    _less("with three quarters of the patches hidden", kind="random", level=0.75),
    _less("behind a blur of 2 px, which it was not trained for", **_BLURRED),
    {
        "claim": "identity is read less well from FMAE-IAT than from CNN", "score": "leak",
        "ours": {"arm": "CNN", **_PROBED}, "theirs": {"arm": "FMAE-IAT", **_PROBED}, "unit": "points",
    },
    {
        **_fall("behind a blur of 2 px it abstains more often, by over 5 points", **_BLURRED),
        "score": "coverage", "unit": "points of coverage",
    },
    {
        "claim": "CNN: what it then still answers is wrong more often than on clean faces", "score": "risk",
        "ours": {"arm": "CNN", **_BLURRED}, "theirs": {"arm": "CNN", "axis": "clean"}, "unit": "points of risk",
    },
)  # fmt: skip
"""Declared before the first run, for :func:`fau_utils.results.study.contrast`."""

MARGIN = 5.0
"""AUC points between groups, or between two looks of the same people, that would matter."""


STUDY = Study(
    "stress",
    [{"arm": arm, "seed": seed} for seed in range(SEEDS) for arm in ARMS],
    run,
    CODE,
    command="python benchmarks/experiments/stress.py",
)

if __name__ == "__main__":
    torch.set_flush_denormal(True)
    STUDY.main()
