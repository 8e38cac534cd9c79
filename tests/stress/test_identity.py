import pytest
import torch

from fau_utils.methods import CnnDetector
from fau_utils.stress.identity import identity_leak


class Named(CnnDetector):
    """Its features are who it is, which only a test can know."""

    def embed(self, batch):
        return torch.nn.functional.one_hot(batch.subject, 6).float()


class Blind(CnnDetector):
    """Its features are the same for everybody."""

    def embed(self, batch):
        return torch.ones(len(batch), 6)


def test_features_that_are_the_person_leak_all_and_constant_ones_nothing(blobs):
    data = blobs(6, 12, size=16)
    data = type(data)(**{**vars(data), "clip": torch.arange(len(data))})
    table = identity_leak(
        {"named": Named(data.aus, size=16), "blind": Blind(data.aus, size=16)}, data, resamples=50, device="cpu"
    ).set_index("method")
    assert table.loc["named", "leak"] == 100
    assert table.loc["blind", "leak"] == pytest.approx(100 / 6)
    assert table.loc["named", "chance"] == pytest.approx(100 / 6)
    assert len(table.loc["named", "draws"]) == 50
    with pytest.raises(ValueError, match="at least one method"):
        identity_leak({}, data)
