import pytest
import torch

from fau_utils.models.landmark_heads import ResponseMaps, attention
from fau_utils.models.separation import (
    SIZES,
    AuHead,
    DomainDiscriminator,
    FeatureEncoder,
    FeatureGenerator,
    LandmarkDiscriminator,
    Projector,
    TextureEncoder,
    frozen,
)


@pytest.mark.parametrize(("name", "pixels"), [("mini", 64), ("adld", 32)])
def test_shapes_of_both_sizes(name, pixels):
    size, side = SIZES[name], pixels // 4
    maps = FeatureEncoder(size)(torch.rand(2, 3, pixels, pixels))
    assert maps.shape == (2, size.channels, side, side)
    assert maps.abs().max() <= 1
    texture = TextureEncoder(size)(maps)
    assert texture.shape == maps.shape
    where = attention(ResponseMaps(size.channels)(maps))
    assert FeatureGenerator(size)(where, texture).shape == maps.shape
    assert AuHead(size, 5)(maps).shape == (2, 5)
    assert LandmarkDiscriminator(size)(texture).shape == (2, 49, side, side)
    assert DomainDiscriminator(size, side=side)(maps).shape == (2, 1, 1, 1)
    torch.testing.assert_close(Projector(size.channels)(maps).norm(dim=1), torch.ones(2))


def test_the_published_size_is_that_of_the_description():
    size = SIZES["adld"]
    with torch.device("meta"):
        maps = FeatureEncoder(size)(torch.empty(1, 3, 176, 176))
        assert maps.shape == (1, 64, 44, 44)
        assert DomainDiscriminator(size, side=44)(maps).shape == (1, 1, 1, 1)


def test_each_au_has_a_branch_of_its_own():
    head = AuHead(SIZES["adld"], 3)
    with torch.no_grad():
        head.linear.weight.normal_()
    head.eval()
    maps = torch.randn(2, 64, 8, 8)
    before = head(maps)
    with torch.no_grad():  # the second AU's group of the second convolution
        head.layers[3].weight[64:128].zero_()
    moved = (head(maps) - before).abs().amax(0)
    assert moved[1] > 0
    assert moved[0] == moved[2] == 0


def test_a_head_begins_with_no_opinion():
    assert AuHead(SIZES["mini"], 4)(torch.randn(2, 16, 16, 16)).abs().max() == 0


def test_what_is_frozen_passes_gradients_and_gets_none():
    branch = ResponseMaps(4, points=3, hidden=4)
    maps = torch.randn(2, 4, 8, 8, requires_grad=True)
    torch.testing.assert_close(frozen(branch, maps), branch(maps))
    torch.testing.assert_close(frozen(branch, maps, call="features"), branch.features(maps))
    (frozen(branch, maps).square().sum() + frozen(branch, maps, call="features").square().sum()).backward()
    assert maps.grad.any()
    assert all(parameter.grad is None for parameter in branch.parameters())


def test_a_discriminator_needs_four_cells():
    with pytest.raises(ValueError, match="at least 4 cells, found 2"):
        DomainDiscriminator(SIZES["mini"], side=2)
