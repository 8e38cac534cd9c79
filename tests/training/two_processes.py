"""Run by test_launch.py as a program of its own: trains alone and in two processes, and writes down what it saw."""

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.training import Budget, fit
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.launch import launch
from fau_utils.training.loggers import TensorBoard

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import make_blobs

os.environ["FAU_PROGRESS"] = "1"  # the bar is looked at here; conftest turns all others off

BUDGET = Budget("tiny", views=7 * 42, batch_size=14, lr=5e-3, eval_every=100)


class Small(Method):
    """Two layers without batch norm; notes which faces this process was shown."""

    noisy = 0.0

    def __init__(self, aus, *, idle=False, stop_at=0):
        super().__init__()
        self.stop_at = stop_at
        torch.manual_seed(0)
        self.aus, self.shown = tuple(aus), []
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3))
        self.idle = nn.Linear(1, 1) if idle else None

    def loss(self, batch):
        if torch.is_grad_enabled():
            self.shown += [(c, f) for c, f in zip(batch.clip.tolist(), batch.frame.tolist(), strict=True)]
        if self.stop_at and len(self.shown) > 7 * self.stop_at:
            raise InterruptedError("stopped")
        noise = torch.rand_like(batch.image) * self.noisy  # so that random numbers have to be restored as well
        main = masked_bce(self.network(batch.image + noise), batch.au)
        return Losses(main, {"au": main})

    def predict(self, batch):
        return self.network(batch.image).sigmoid()

    def embed(self, batch):
        return batch.image.flatten(1)


def train(fabric, out, unknown, idle):
    faces = make_blobs(7, 6, size=8, unknown=unknown)
    val = make_blobs(3, 6, size=8, seed=1, first=50)
    method = Small(faces.aus, idle=idle)
    name = f"{fabric.world_size}-{fabric.global_rank}-{unknown}"
    fitted = fit(
        method, faces, budget=BUDGET, val=val, choose="val_loss", seed=3, fabric=fabric, progress=True,
        loggers=[TensorBoard(out / f"events-{name}")],
    )  # fmt: skip
    told = {
        "history": fitted.history.drop(columns="seconds").to_dict("list"),
        "weights": torch.cat([value.flatten() for value in method.state_dict().values()]).tolist(),
        "shown": method.shown,
        "views": fitted.views,
    }
    (out / f"{name}.json").write_text(json.dumps(told))


def interrupted(fabric, out, name, stop_at):
    """Weights and history of a noisy training, which may be stopped at a step."""
    faces = make_blobs(7, 6, size=8)
    method = Small(faces.aus, stop_at=stop_at)
    method.noisy = 0.5
    try:
        fitted = fit(
            method, faces, budget=BUDGET, seed=3, fabric=fabric, progress=False,
            checkpoints=Checkpoints(out / f"checkpoints-{name}", every=28),
        )  # fmt: skip
    except InterruptedError:
        return
    told = {
        "weights": torch.cat([value.flatten() for value in method.state_dict().values()]).tolist(),
        "loss": fitted.history["loss"].tolist(),
        "shown": len(method.shown),
    }
    (out / f"{name}-{fabric.global_rank}.json").write_text(json.dumps(told))


def refuse(fabric):
    if fabric.global_rank == 1:
        raise ValueError("this is wrong,\nand this is how to put it right")


def said_by(function, *arguments, **options):
    try:
        return launch(function, *arguments, **options)
    except ValueError as error:
        return str(error)


def main(out):
    # forks first: a process that has trained cannot always be copied
    several = {"devices": 2, "device": "cpu", "strategy": "ddp_notebook"}
    for unknown in (0.0, 0.4):
        launch(train, out, unknown, False, **several)
    launch(interrupted, out, "whole", 0, **several)
    for stop_at in (5, 12, 0):
        launch(interrupted, out, "resumed", stop_at, **several)
    said = {
        "unused": said_by(train, out / "unused", 0.0, True, **several),
        "looked for": said_by(train, out / "unused", 0.0, True, **several, unused=True),
        "refused": said_by(refuse, **several),
    }
    (out / "said.json").write_text(json.dumps(said))
    for unknown in (0.0, 0.4):
        launch(train, out, unknown, False, device="cpu")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "unused").mkdir()
    main(folder)
