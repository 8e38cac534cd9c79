import dataclasses

import pytest
import torch

from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer


@pytest.fixture(scope="session")
def renderer():
    return FaceRenderer(res=64)


@pytest.fixture(scope="session")
def still():
    """Frames without any nuisance: frontal, open eyes, the same light, no noise."""

    def make(n, **changes):
        frames = sample_nuisance(torch.zeros(n, dtype=torch.long), level=0.0)
        return dataclasses.replace(frames, blink=torch.zeros(n), **changes)

    return make
