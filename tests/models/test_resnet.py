import pytest
import torch

from fau_utils.models.resnet import ResNet


@pytest.mark.parametrize(("stem", "size", "cells"), [("published", 64, 2), ("small", 64, 8)])
def test_a_resnet_gives_maps_tokens_and_features_of_the_same_cells(stem, size, cells):
    network = ResNet(18, stem=stem).eval()
    image = torch.rand(2, 3, size, size)
    maps = network.maps(image)
    assert maps.shape == (2, network.dim, cells, cells)
    assert size // network.stride == cells
    torch.testing.assert_close(network.tokens(image)[:, cells], maps[:, :, 1, 0])
    torch.testing.assert_close(network(image), maps.mean((2, 3)))


def test_a_resnet_of_another_depth_is_refused():
    with pytest.raises(ValueError, match="found 20"):
        ResNet(20)


@pytest.mark.parametrize(("depth", "millions"), [(18, 11.18), (34, 21.28), (50, 23.51)])
def test_sizes_are_the_published_ones_without_the_classifier(depth, millions):
    with torch.device("meta"):
        network = ResNet(depth)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
