"""AUC on people never seen against views and seconds, for the small networks of the book.

``python benchmarks/experiments/learning.py`` trains every network from nothing to the end of its schedule at each
budget, for each seed, and keeps the table ``learning_cpu`` that chapter 05 shows. A point is a run of its own: half of
a long run is no short run, because its learning rate has not fallen yet. Nothing is chosen by the test people; every
run that was made is in the table. About half an hour on one thread.
"""

import functools

from fau_utils.data import synth
from fau_utils.faces.population import SynthFaces
from fau_utils.methods import CnnDetector, PretrainedVit, VitDetector
from fau_utils.results.conduct import Study
from fau_utils.results.study import scores
from fau_utils.training import budget_for, fit, predict

NETWORKS = {
    "CNN": CnnDetector,
    "ViT": VitDetector,
    "ViT, usual parts": functools.partial(PretrainedVit, model="mini96", stem="linear", pool="mean"),
}
VIEWS = (6_000, 12_000, 24_000)
SEEDS = 3
WORLD = SynthFaces()


@functools.cache
def _split(name: str):
    return synth.load(WORLD, name)


def run(cell: dict, device: str) -> dict:
    train = _split("train")
    method = NETWORKS[cell["arm"]](train.aus, seed=cell["seed"])
    numbers = budget_for(method, "laptop").replace(views=cell["views"])
    fitted = fit(method, train, budget=numbers, seed=cell["seed"], device=device, progress=False)
    row = {"seconds": fitted.seconds}
    for where, split in (("", "test"), ("seen_", "seen")):
        found = scores(predict(fitted.method, _split(split), device=device))
        row |= {f"{where}{name}": value for name, value in found.items() if not where or not name.endswith("draws")}
    return row


STUDY = Study(
    "learning_cpu",
    cells=[{"arm": arm, "views": views, "seed": seed} for seed in range(SEEDS) for views in VIEWS for arm in NETWORKS],
    run=run,
    code=["fau_utils.methods.baselines", "fau_utils.methods.vit", "fau_utils.training.fit", "fau_utils.data.synth"],
)

if __name__ == "__main__":
    STUDY.main()
