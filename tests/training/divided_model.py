"""Run by test_launch.py as a program of its own: trains a model whole, and divided among processes with fsdp."""

import json
import sys
from pathlib import Path

import torch
from timm.models.vision_transformer import Block
from torch import nn

from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.training import Budget, fit
from fau_utils.training.checkpoints import Checkpoints
from fau_utils.training.launch import is_first, launch
from fau_utils.training.state import local

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import make_blobs

BUDGET = Budget("tiny", views=3 * 40, batch_size=10, lr=5e-3, eval_every=40, ema=0.9, micro=3)


class Watched(Method):
    """Two blocks. Notes in the class, which copies share, how often it was asked and how much was in this process."""

    stop_at, steps, here = 0, 0, 0

    def __init__(self, aus):
        super().__init__()
        torch.manual_seed(0)
        self.aus = tuple(aus)
        self.patches = nn.Conv2d(3, 16, 4, 4).to(memory_format=torch.channels_last)
        self.blocks = nn.Sequential(Block(16, 2), Block(16, 2))
        self.head = nn.Linear(16, len(self.aus))

    def loss(self, batch):
        if torch.is_grad_enabled():
            Watched.steps += 1
            Watched.here = sum(local(value).numel() for value in self.blocks.parameters())
            if self.steps == self.stop_at:
                raise InterruptedError("stopped")
        main = masked_bce(self._logits(batch), batch.au)
        return Losses(main, {"au": main})

    def _logits(self, batch):
        return self.head(self.embed(batch))

    def predict(self, batch):
        return self._logits(batch).sigmoid()

    def embed(self, batch):
        return self.blocks(self.patches(batch.image).flatten(2).transpose(1, 2)).mean(1)


def train(fabric, out, name, *, choose=None, stop_at=0):
    faces, val = make_blobs(8, 5, size=8), make_blobs(3, 4, size=8, seed=1, first=50)
    method, folder = Watched(faces.aus), out / f"checkpoints-{name}-{fabric.world_size}"
    before = flat(method)
    Watched.steps, Watched.stop_at = 0, stop_at
    try:
        fitted = fit(
            method, faces, val=val, choose=choose, budget=BUDGET, seed=3, fabric=fabric, progress=False,
            checkpoints=Checkpoints(folder, every=30),
        )  # fmt: skip
    except InterruptedError:
        return
    told = {
        "history": fitted.history.drop(columns="seconds").to_dict("list"),
        "names": list(method.state_dict()),
        "kinds": sorted({type(value).__name__ for value in method.parameters()}),
        "weights": flat(method),
        "before": before,
        "steps": Watched.steps,
        "here": Watched.here,
    }
    (out / f"{name}-{fabric.world_size}-{fabric.global_rank}.json").write_text(json.dumps(told))


def flat(method):
    return torch.cat([value.float().flatten().cpu() for value in method.state_dict().values()]).tolist()


def both(fabric, out):
    train(fabric, out, "best", choose="val_loss")
    if fabric.world_size > 1:
        train(fabric, out, "last", stop_at=20)
    train(fabric, out, "last")


if __name__ == "__main__":
    folder, device = Path(sys.argv[1]), sys.argv[2]
    if is_first():
        launch(both, folder, device=device)
    several = {"devices": 2 if device == "cpu" else torch.cuda.device_count(), "strategy": "fsdp", "device": device}
    launch(both, folder, **several)
