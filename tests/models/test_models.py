import pytest
import torch

from fau_utils.models import LandmarkNet, MeanFace, MiniViT, SmallCnn, normalise_landmarks, seeded

NETWORKS = {
    "cnn": (lambda: SmallCnn(5), (3, 64, 64)),
    "cnn at 112 px": (lambda: SmallCnn(5), (3, 112, 112)),
    "landmarks": (lambda: LandmarkNet(5), (49, 2)),
    "v96": (lambda: MiniViT(5, dim=96, depth=3), (3, 64, 64)),
    "v64 by patch": (lambda: MiniViT(5, stem="patch"), (3, 64, 64)),
    "v64 at 32 px": (lambda: MiniViT(5, size=32), (3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_come_from_the_features(name):
    build, shape = NETWORKS[name]
    with seeded(0):
        network, x = build().eval(), torch.rand(4, *shape)
        torch.nn.init.normal_(network.head.weight)  # some start at zero, where every input looks alike
    logits = network(x)
    assert logits.shape == (4, 5)
    torch.testing.assert_close(network.head(network.features(x)), logits)


@pytest.mark.parametrize(
    ("build", "millions"),
    [
        (lambda: SmallCnn(12), 0.88),
        (lambda: MiniViT(12), 0.17),
        (lambda: MiniViT(12, dim=96, depth=3), 0.43),
        (lambda: MiniViT(12, dim=96, depth=3, stem="patch"), 0.40),
    ],
)
def test_sizes_are_those_the_recipes_were_tried_with(build, millions):
    assert sum(p.numel() for p in build().parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


def test_pixel_networks_start_without_an_opinion():
    for network in (SmallCnn(3), MiniViT(3)):
        assert network(torch.rand(2, 3, 64, 64)).tolist() == [[0, 0, 0]] * 2


def test_landmarks_are_read_without_place_and_scale():
    points = torch.rand(3, 49, 2) * 64
    moved = 1.7 * points + torch.tensor([5.0, -9.0])
    torch.testing.assert_close(normalise_landmarks(moved), normalise_landmarks(points), atol=1e-4, rtol=1e-4)
    placed = normalise_landmarks(points)
    assert (placed[:, 19:25].mean(1) - placed[:, 25:31].mean(1)).norm(dim=-1).allclose(torch.ones(3))
    stretched = points * torch.tensor([1.0, 1.5])
    assert not normalise_landmarks(stretched).allclose(placed)


def test_eyes_of_the_network_are_eyes_of_the_renderer():
    from fau_utils.faces.landmarks import EYE, INDEX_49
    from fau_utils.models.mlp import LEFT_EYE, RIGHT_EYE

    assert INDEX_49[RIGHT_EYE] + INDEX_49[LEFT_EYE] == EYE


def test_mean_face_becomes_zero_and_other_sizes_are_refused():
    images = torch.rand(50, 3, 16, 16)
    mean = MeanFace(16)
    mean.fit(images)
    both = torch.cat([images, images.flip(-1)])
    torch.testing.assert_close(mean(both).mean(0), torch.zeros(3, 16, 16), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="build the method with their size"):
        mean.fit(torch.rand(2, 3, 8, 8))


def everything(count, network):
    return torch.arange(network.patches).expand(count, -1)


@pytest.mark.parametrize("stem", ["conv", "patch"])
def test_keeping_all_tokens_is_the_same_as_dropping_none(stem):
    with seeded(0):
        network, x = MiniViT(4, stem=stem).eval(), torch.rand(2, 3, 64, 64)
        torch.nn.init.normal_(network.head.weight)
    torch.testing.assert_close(network(x, everything(2, network)), network(x), atol=1e-4, rtol=1e-4)
    backwards = everything(2, network).flip(1)
    torch.testing.assert_close(network(x, backwards), network(x), atol=1e-4, rtol=1e-4)


def test_pixels_of_a_dropped_token_matter_to_the_patch_stem_in_no_way():
    keep = torch.arange(32, 64).expand(2, -1)  # the lower half
    with seeded(0):
        x = torch.rand(2, 3, 64, 64)
        other = x.clone()
        other[:, :, :32] = 0.3
        by_patch, by_convolution = MiniViT(4, stem="patch").eval(), MiniViT(4).eval()
        for network in (by_patch, by_convolution):
            torch.nn.init.normal_(network.head.weight)
    assert torch.equal(by_patch(x, keep), by_patch(other, keep))
    assert not torch.equal(by_convolution(x, keep), by_convolution(other, keep))
    assert by_patch.tokens(x, keep).shape == (2, 32, 64)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="divisible by 8 and a dim by 32, found 60 and 64"):
        MiniViT(4, size=60)


def test_seeded_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)
