"""A model from a run of seconds, and a finder that takes no time."""

from pathlib import Path

import pytest
import squares

from fau_utils.own import add, finders
from fau_utils.results import job

DATA = "synth:subjects=8,frames=8"


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """What ``fau train`` leaves behind, after so few views that it knows nothing."""
    out = tmp_path_factory.mktemp("runs")
    return job.train(job.Job(method="cnn", data=DATA, out=out, budget="smoke", settings=("views=64",)), progress=False)


@pytest.fixture(scope="session")
def model(run, tmp_path_factory) -> Path:
    """The folder of a model of that run."""
    return add.add(run, data=DATA, name="small", out=tmp_path_factory.mktemp("models"))


@pytest.fixture
def blobs(monkeypatch):
    """Red and green squares are faces."""
    monkeypatch.setattr(finders, "finder", lambda name="mtcnn", *, device="cpu": (squares.find, "blobs"))
