import pytest
import reference_mae as reference
import torch

from fau_utils.models.mae import mae
from fau_utils.models.patches import cut, patchify, shown, unpatchify
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import SIZES, ViT, sincos_position, vit

TINY = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "heads": 3}
STATE = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "decoder_dim": 16, "decoder_depth": 2}


def published(**changes):
    """A small ViT with the weights of a file, and that file's state."""
    state = reference.state(**STATE)
    network = ViT(**TINY | changes)
    with torch.no_grad():
        network.load_state_dict({key: value for key, value in state.items() if key in network.state_dict()})
    return network.eval(), state


def images(count=2, size=32, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def some(count=2, patches=16, visible=5, seed=1):
    return torch.rand(count, patches, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :visible]


@pytest.mark.parametrize(("keep"), [None, some()])
def test_tokens_equal_the_reference_written_out(keep):
    network, state = published()
    expected = reference.encode(state, images(), 3, keep)
    torch.testing.assert_close(network.encode(images(), keep), expected, atol=1e-5, rtol=1e-5)
    expected = reference.layer_norm(state, "norm", expected)
    torch.testing.assert_close(network.tokens(images(), keep), expected, atol=1e-5, rtol=1e-5)


def test_pooled_feature_equals_the_reference():
    network, state = published()
    expected = reference.pooled(state, images(), 3, norm="norm")
    torch.testing.assert_close(network.features(images()), expected, atol=1e-5, rtol=1e-5)
    first, _ = published(pool="cls")
    torch.testing.assert_close(first(images()), network.tokens(images())[:, 0])


@pytest.mark.parametrize(("dim", "grid"), [(24, 4), (384, 14)])
def test_fixed_positions_equal_the_published_ones(dim, grid):
    torch.testing.assert_close(sincos_position(dim, grid, cls=True), reference.table(dim, grid), atol=1e-6, rtol=0)
    assert torch.equal(sincos_position(dim, grid, cls=True)[:, 1:], sincos_position(dim, grid, cls=False))


# of the encoders with fixed positions, computed by hand from D, L and p = 16
@pytest.mark.parametrize(("name", "parameters"), [("small", 21_590_016), ("base", 85_647_360), ("large", 303_099_904)])
def test_published_sizes_have_the_published_number_of_parameters(name, parameters):
    with torch.device("meta"):
        network = vit(name)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert (network.patches, network.dim // SIZES[name]["heads"]) == (196, 64)


def test_published_sizes_have_the_names_and_shapes_of_the_published_files():
    state = reference.state(size=224, patch=16, dim=384, depth=2, decoder_dim=16, decoder_depth=0)
    expected = {key: value.shape for key, value in state.items() if not key.startswith(("decoder", "mask"))}
    assert {key: value.shape for key, value in vit("small", depth=2).state_dict().items()} == expected


@pytest.mark.parametrize("stem", ["linear", "conv", "patch"])
@pytest.mark.parametrize("pool", ["mean", "position"])
def test_hidden_pixels_change_nothing(stem, pool):
    with seeded(0):
        network = vit("mini64", stem=stem, pool=pool).eval()
    keep = some(patches=64, visible=20)
    face, painted = images(size=64), images(size=64, seed=9)
    seen = shown(torch.ones_like(face), keep, 8).bool()
    other = torch.where(seen, face, painted)
    assert torch.equal(network(face, keep), network(other, keep))
    assert not torch.equal(network(face, keep), network(torch.where(seen, painted, face), keep))


@pytest.mark.parametrize("stem", ["linear", "conv", "patch"])
@pytest.mark.parametrize("pool", ["mean", "position"])
def test_keeping_all_patches_in_any_order_is_the_same_as_none_given(stem, pool):
    with seeded(0):
        network = vit("mini64", stem=stem, pool=pool).eval()
    face, order = images(size=64), some(patches=64, visible=64)
    torch.testing.assert_close(network(face, order), network(face), atol=1e-5, rtol=1e-5)


def test_positional_read_out_leaves_gaps_at_zero_and_makes_up_for_them():
    network = vit("mini64", pool="position").eval()
    assert network.width == 64 * 16
    keep = some(patches=64, visible=16)
    read = network(images(size=64), keep).unflatten(1, (64, 16))
    gaps = torch.ones(2, 64, dtype=torch.bool).scatter(1, keep, False)
    assert (read[gaps] == 0).all()
    own = network.reduce(network.tokens(images(size=64), keep))
    torch.testing.assert_close(read.gather(1, keep[..., None].expand(-1, -1, 16)), 2 * own)


def test_paths_are_dropped_more_often_with_depth_and_only_in_training():
    network = ViT(**TINY, drop_path=0.2)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in network.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2])
    face = images(64)
    assert not torch.equal(network(face), network(face))
    assert torch.equal(network.eval()(face), network(face))


def test_fixed_positions_do_not_learn_and_learned_ones_do():
    assert "pos_embed" not in dict(ViT(**TINY).named_parameters())
    assert ViT(**TINY, position="learned").pos_embed.requires_grad


def test_a_vit_is_built_again_from_its_config():
    network = vit("mini96", stem="patch", drop_path=0.1)
    again = ViT(**network.config)
    assert again.config == network.config
    again.load_state_dict(network.state_dict())


def test_statistics_of_the_stem_are_those_of_the_images_given():
    network = vit("mini64", stem="patch")
    network.train()
    network(images(8, size=64), some(8, 64, 16))
    first = network.patch_embed.layers[1]
    network.reestimate_statistics([images(8, size=64, seed=3)])
    convolved = network.patch_embed.layers[0](cut(images(8, size=64, seed=3), 8).flatten(0, 1))
    torch.testing.assert_close(first.running_mean, convolved.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var, convolved.var((0, 2, 3)), atol=1e-5, rtol=1e-3)
    assert first.momentum == 0.1
    assert network.training
    vit("mini64", stem="linear").reestimate_statistics([images(2, size=64)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 30, "patch": 8}, "found size 30, patch 8"),
        ({"dim": 100, "heads": 7}, "dim 100 and 7 heads"),
        ({"stem": "conv"}, "expected patch 8 with the conv stem, found 16"),
        ({"pool": "cls", "cls": False}, "expected a cls token to pool"),
    ],
)
def test_numbers_that_make_no_vit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ViT(**{"dim": 24, "heads": 3, "depth": 1} | arguments)


def test_an_unknown_size_is_refused_by_name():
    with pytest.raises(ValueError, match="found 'huge'"):
        vit("huge")


def test_patches_are_the_squares_of_the_image_row_by_row():
    face = images(size=24)
    all_of_them = cut(face, 8)
    assert torch.equal(all_of_them[:, 5], face[:, :, 8:16, 16:24])
    keep = torch.tensor([[8, 0], [3, 5]])
    assert torch.equal(cut(face, 8, keep)[1, 0], face[1, :, 8:16, 0:8])
    assert torch.equal(cut(face, 8, keep)[0, 0], face[0, :, 16:24, 16:24])


def test_patches_go_back_to_where_they_were():
    wide = images(size=24)[:, :, :16]
    assert torch.equal(unpatchify(patchify(wide, 8), 8, shape=(16, 24)), wide)
    square = images(size=24)
    assert torch.equal(unpatchify(patchify(square, 8), 8), square)
    with pytest.raises(ValueError, match="expected 2 x 2 patches, found 6"):
        unpatchify(patchify(wide, 8), 8)


MINIATURES = {
    "conv": lambda: vit("mini64"),
    "patch, by position": lambda: vit("mini64", stem="patch", pool="position"),
    "linear, cls": lambda: vit("mini96", stem="linear", cls=True, pool="cls"),
    "fixed positions": lambda: vit("mini64", position="sincos", stem="linear", cls=True),
    "masked": lambda: mae("mini64"),
}


@pytest.mark.parametrize("name", MINIATURES)
def test_gradients_reach_every_parameter(name):
    with seeded(0):
        network = MINIATURES[name]()
        out = network(images(4, size=64))
    (out.loss if name == "masked" else out.square().mul(torch.arange(out.shape[1])).sum()).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", [name for name in MINIATURES if name != "masked"])
def test_bfloat16_gives_nearly_the_same_features(name):
    with seeded(0):
        network, face = MINIATURES[name]().eval(), images(2, size=64)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(face, some(patches=64, visible=30)).float()
    exact = network(face, some(patches=64, visible=30))
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()
    assert not torch.equal(rough, exact)


@pytest.mark.parametrize("name", MINIATURES)
def test_bfloat16_trains(name):
    with seeded(0), torch.autocast("cpu", torch.bfloat16):
        out = MINIATURES[name]()(images(4, size=64))
        loss = out.loss if name == "masked" else out.float().square().mean()
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float32


def test_golden_features():
    network, _ = published()
    golden = torch.tensor([-0.625413, 0.523761, -0.622135, 1.850465])
    torch.testing.assert_close(network(images(1))[0, :4], golden, atol=1e-4, rtol=1e-4)
