"""Run by test_resume.py as a program of its own: trains undisturbed, and killed again and again.

Each training is a fork of this process, which has imported everything and started no thread.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.training import Budget, Checkpoints, fit

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import make_blobs

BUDGET = Budget(
    "tiny", views=40 * 12, batch_size=12, lr=5e-3, eval_every=90, ema=0.9, label_weights="balanced", micro=7
)
EVERY = 30


class Noisy(Method):
    """Has a batch norm and draws random numbers; its process is killed in the middle of a step."""

    def __init__(self, aus, *, kill_at):
        super().__init__()
        torch.manual_seed(0)
        self.aus, self.steps, self.kill_at = tuple(aus), 0, kill_at
        self.network = nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, len(aus))
        ).to(memory_format=torch.channels_last)
        self.register_buffer("positive_weight", None, persistent=False)

    def balance(self, positive_weight):
        self.positive_weight = positive_weight

    def loss(self, batch):
        if self.steps == 2 * self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1  # two micro-batches for each step
        time.sleep(0.002)  # else a run is over before it can be killed
        logits = self.network(batch.image + 0.05 * torch.randn_like(batch.image))
        return Losses(masked_bce(logits, batch.au, positive_weight=self.positive_weight))

    def predict(self, batch):
        return self.network(batch.image).sigmoid()

    def embed(self, batch):
        return batch.image.flatten(1)


def train(out, name, kill_at):
    faces, val = make_blobs(6, 10, size=16, unknown=0.2), make_blobs(3, 10, size=16, seed=1, first=50)
    method = Noisy(faces.aus, kill_at=kill_at)
    fitted = fit(
        method, faces, val=val, budget=BUDGET, seed=3, device="cpu", choose="val_auc", progress=False,
        checkpoints=Checkpoints(out / name, every=EVERY, keep=2),
    )  # fmt: skip
    digest = hashlib.sha256()
    for key, value in method.state_dict().items():
        digest.update(f"{key}{value.flatten().tolist()}".encode())
    told = {
        "weights": digest.hexdigest(),
        "history": fitted.history.drop(columns="seconds").to_json(double_precision=15, orient="records"),
        "chosen": fitted.chosen_step,
        "steps": method.steps / 2,
    }
    (out / f"{name}.json").write_text(json.dumps(told))


def started(out, name, kill_at=-1):
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(out, name, kill_at)
        code = 0
    finally:
        os._exit(code)


def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def status(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(out, seed):
    draw = random.Random(seed)
    codes = {"whole": [status(started(out, "whole"))]}
    # in the middle of the k-th step after each start
    codes["steps"] = [status(started(out, "steps", draw.randrange(6, 14))) for _ in range(3)]
    codes["steps"].append(status(started(out, "steps")))
    # at any moment, also while a checkpoint is written
    codes["moments"] = []
    for _ in range(3):
        known = set((out / "moments").glob("step-*"))
        child = started(out, "moments")
        while set((out / "moments").glob("step-*")) <= known and not ended(child):
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        codes["moments"].append(status(child))
    codes["moments"].append(status(started(out, "moments")))
    # finished: nothing is left to do
    codes["again"] = [status(started(out, "whole"))] if (out / "whole.json").rename(out / "first.json") else []
    (out / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
