"""When does it help to subtract a person's own baseline? The study behind ``fau predict --neutral``.

``python benchmarks/experiments/person_neutral.py`` makes the table ``person_neutral`` in about five minutes on one CPU
thread. A CNN is trained on people with equal habits; its logits on new people are left alone (``none``), or have the
person's own rest taken off: estimated by the quantile that ``fau predict`` uses (``quantile``), by the median
(``median``), or known, as the mean logit of the person's frames without that AU (``told``, which looks at labels and
says what could be gained at most). Test people differ in habits by ``skew`` and are seen in few or many frames.
"""

from dataclasses import replace

import numpy as np

from fau_utils.data import synth
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import METHODS
from fau_utils.own import neutral
from fau_utils.results.conduct import Study
from fau_utils.results.study import scores
from fau_utils.training import Predictions, budget_for, fit, predict

VIEWS = 12_000
SKEWS = (0.0, 1.2, 2.5)
FRAMES = (5, 20, 60)
PEOPLE = 24

CLAIMS = (
    {"claim": "equal habits, many frames: the estimate helps", "ours": "quantile", "skew": 0.0, "frames": 60},
    {"claim": "equal habits, few frames: the estimate helps", "ours": "quantile", "skew": 0.0, "frames": 5},
    {"claim": "habits as in real data, many frames: the estimate helps", "ours": "quantile", "skew": 1.2, "frames": 60},
    {"claim": "extreme habits, many frames: the estimate helps", "ours": "quantile", "skew": 2.5, "frames": 60},
    {"claim": "habits as in real data: knowing the rest helps", "ours": "told", "skew": 1.2, "frames": 60},
)
"""Declared before the run: AUC of `ours` minus that of ``none``."""


def run(cell: dict, device: str) -> list[dict]:
    """Train once, then every arm on every group of test people."""
    base = SynthFaces()
    learner = METHODS["cnn"]
    train = synth.load(base, "train")
    method = learner(base.aus, size=base.res, seed=cell["seed"])
    budget = budget_for(learner, "laptop", views=VIEWS)
    fit(method, train, budget=budget, seed=cell["seed"], device=device, progress=False)
    rows = []
    for skew in SKEWS:
        config = replace(base, test=Split(PEOPLE, max(FRAMES), "test", skew=skew))
        found = predict(method, synth.load(config, "test"), device=device)
        usual = mean_rest(found)
        for frames in FRAMES:
            some = first(found, frames)
            for arm, rest in ARMS.items():
                rows.append({"arm": arm, "skew": skew, "frames": frames, **scores(shifted(some, rest, usual))})
    return rows


def first(found: Predictions, frames: int) -> Predictions:
    """Some frames of each person."""
    place = np.zeros(len(found), int)
    for who in np.unique(found.subject):
        rows = found.subject == who
        place[rows] = np.arange(rows.sum())
    keep = place < frames
    return Predictions(found.frames.select(keep), found.aus, found.prob[keep], found.label[keep])


def mean_rest(found: Predictions) -> np.ndarray:
    """One shift for all people; it changes no AUC, and little else."""
    return neutral.logit(found.prob).mean(0)


def _told(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    absent = np.where(label == 0, logits, np.nan)
    known = (label == 0).any(0)
    return np.where(known, np.nanmean(np.where(known, absent, 0), 0), logits.min(0))


ARMS = {
    "none": None,
    "quantile": lambda logits, label: np.quantile(logits, neutral.QUANTILE, axis=0),
    "median": lambda logits, label: np.median(logits, axis=0),
    "told": _told,
}


def shifted(found: Predictions, rest, usual: np.ndarray) -> Predictions:
    """Every person's logits minus their rest, plus what all share."""
    if rest is None:
        return found
    logits, made = neutral.logit(found.prob), found.prob.astype("float64")
    for who in np.unique(found.subject):
        rows = found.subject == who
        made[rows] = neutral.subtract(found.prob[rows], rest(logits[rows], found.label[rows]), usual)
    return Predictions(found.frames, found.aus, made, found.label)


STUDY = Study(
    "person_neutral",
    cells=[{"arm": "cnn", "seed": seed} for seed in range(3)],
    run=run,
    code=["fau_utils.training.fit", "fau_utils.methods.baselines", "fau_utils.own.neutral"],
)

if __name__ == "__main__":
    STUDY.main()
