"""Does freezing lower blocks of a pretrained transformer cost accuracy? It saves time, see ``speed/training.py``.

``python benchmarks/experiments/freezing.py`` pretrains a miniature MAE on rendered faces of other people for each seed,
fine-tunes it whole, with its lowest block and with two of its three blocks frozen (stem and positions with them), and
keeps the table ``freezing``. About twelve minutes on one thread.

Declared before the run: AUC on strangers falls by less than one point.
"""

import functools

from fau_utils.data import synth
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import MaePretraining, PretrainedVit
from fau_utils.results.conduct import Study
from fau_utils.results.study import scores
from fau_utils.training import budget_for, fit, predict

FROZEN = {"nothing": 0, "1 of 3 blocks": 1, "2 of 3 blocks": 2}
SEEDS = 3
PRETRAINING, FINE_TUNING = 40_000, 12_000  # views
WORLD = SynthFaces()


@functools.lru_cache(maxsize=1)
def _pretrained(seed: int, device: str) -> MaePretraining:
    faces = synth.load(WORLD, "unlabelled")
    method = MaePretraining(seed=seed)
    numbers = budget_for(method, "laptop").replace(views=PRETRAINING)
    return fit(method, faces, budget=numbers, seed=seed, device=device, progress=False).method


@functools.cache
def _split(name: str):
    return synth.load(WORLD, name)


def run(cell: dict, device: str) -> dict:
    train = _split("train")
    method = PretrainedVit(train.aus, init=_pretrained(cell["seed"], device), frozen=FROZEN[cell["arm"]])
    numbers = budget_for(method, "laptop").replace(views=FINE_TUNING)
    fitted = fit(method, train, budget=numbers, seed=cell["seed"], device=device, progress=False)
    said = predict(fitted.method, _split("test"), device=device)
    return {"views": FINE_TUNING, "seconds": fitted.seconds, **scores(said)}


STUDY = Study(
    "freezing",
    cells=[{"arm": arm, "seed": seed} for seed in range(SEEDS) for arm in FROZEN],
    run=run,
    code=["fau_utils.methods.mae", "fau_utils.methods.vit", "fau_utils.training.fit", "fau_utils.data.synth"],
)

if __name__ == "__main__":
    STUDY.main()
