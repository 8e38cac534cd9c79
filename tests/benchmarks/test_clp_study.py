"""The study of CLP: a probe that few labels teach, some of its action units never shown."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from fau_utils.probes import Features

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "experiments" / "clp.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("experiment_of_clp", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_an_au_that_the_few_labelled_frames_never_show_says_nothing_and_stops_nothing(script, blobs):
    parts = {}
    for number, name in enumerate(("train", "val", "test")):
        faces = blobs(10, 20, seed=number, first=10 * number)
        z = faces.labels.numpy() + np.random.default_rng(number).normal(0, 0.5, faces.labels.shape)
        parts[name] = Features(
            z=z.astype("float32"), subject=faces.frames.table["subject"].to_numpy(str), clip=np.arange(len(faces)),
            frame=np.arange(len(faces)), frames=faces.frames, aus=faces.aus, labels=faces.labels.numpy(),
        )  # fmt: skip
    x = script.standard(parts)
    shown = parts["train"].labels[:, 0] == 1
    few = np.flatnonzero(~shown)[:4]  # four frames, none of them with the first AU
    some = np.concatenate([few, np.flatnonzero(shown)[:4]])
    found, better = (script.au_scores(x, parts, rows=rows) for rows in (few, some))
    for name in ("auc", "f1"):
        assert math.isfinite(found[name])
        assert np.isfinite(found[f"{name}_draws"]).all()
    assert found["auc"] < better["auc"]


def test_every_share_of_labels_reaches_several_people(script):
    for size in script.SIZES.values():
        frames = 50  # of each of the 40 labelled people
        for share in size.shares:
            rows = np.arange(0, 40 * frames, round(1 / share))
            assert len(np.unique(rows // frames)) >= 20, share
