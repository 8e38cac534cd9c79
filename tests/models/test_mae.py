import pytest
import reference_mae as reference
import torch

from fau_utils.models.mae import DECODERS, MaskedAutoencoder, mae
from fau_utils.models.patches import patchify
from fau_utils.models.seeded import seeded
from fau_utils.models.vit import ViT, vit

ENCODER = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "heads": 3}
DECODER = {"decoder_dim": 16, "decoder_depth": 2, "decoder_heads": 4}
STATE = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "decoder_dim": 16, "decoder_depth": 2}


def images(count=3, size=32, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def noise(count=3, patches=16, seed=1):
    return torch.rand(count, patches, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pair():
    """A small masked autoencoder with the weights of a published file, and that file's state."""
    state = reference.state(**STATE)
    network = MaskedAutoencoder(ViT(**ENCODER), **DECODER)
    names = {key if key.startswith(("decoder", "mask")) else f"encoder.{key}": value for key, value in state.items()}
    network.load_state_dict(names)  # strict: no name or shape differs
    return network.eval(), state


@pytest.mark.parametrize("ratio", [0.75, 0.4])
@pytest.mark.parametrize("normalise", [True, False])
def test_loss_predictions_and_latents_equal_the_reference_written_out(pair, ratio, normalise):
    network, state = pair
    network.normalise_target = normalise
    made = network(images(), ratio=ratio, noise=noise())
    loss, predicted, mask, latent = reference.reconstruct(state, images(), 3, 4, noise(), ratio, normalise)
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(made.latent, latent, **close)
    torch.testing.assert_close(made.loss, loss, **close)
    assert torch.equal(made.hidden, mask)
    torch.testing.assert_close(made.pixels[mask], predicted[mask], **close)
    assert (made.pixels[~mask] == 0).all()
    # and of the visible patches, where someone asks
    everywhere = network.decode(made.latent, made.order)
    in_place = torch.empty_like(everywhere).scatter(1, made.order[..., None].expand_as(everywhere), everywhere)
    torch.testing.assert_close(in_place, predicted, **close)


def test_gradients_equal_those_of_the_reference(pair):
    network, state = pair
    network(images(), noise=noise()).loss.backward()
    leaves = {key: value.clone().requires_grad_() for key, value in state.items()}
    reference.reconstruct(leaves, images(), 3, 4, noise(), 0.75)[0].backward()
    for name, parameter in network.named_parameters():
        expected = leaves[name.removeprefix("encoder.")].grad
        torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-4, msg=name)


def test_only_visible_patches_are_encoded(pair):
    network, _ = pair
    lengths = []
    network.encoder.blocks[0].register_forward_pre_hook(lambda _, x: lengths.append(x[0].shape[1]))
    made = network(images(), noise=noise())
    assert lengths == [5]  # 4 of 16 patches and the cls token
    assert made.latent.shape == (3, 5, 24)
    assert made.hidden.sum(1).tolist() == [12] * 3


def test_the_loss_does_not_depend_on_how_visible_patches_would_be_predicted(pair):
    network, _ = pair
    made = network(images(), noise=noise())
    target = patchify(images(), 8)
    by_hand = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    error = (made.pixels - by_hand).square().mean(-1)
    torch.testing.assert_close(made.loss, error[made.hidden].mean())


def test_the_same_noise_hides_the_same_patches_and_other_noise_others(pair):
    network, _ = pair
    first, again = network(images(), noise=noise()), network(images(seed=5), noise=noise())
    assert torch.equal(first.hidden, again.hidden)
    assert not torch.equal(first.hidden, network(images(), noise=noise(seed=2)).hidden)
    smallest = noise()[0].argsort()[:4]
    assert set(smallest.tolist()) == set((~first.hidden[0]).nonzero().flatten().tolist())


def test_a_generator_decides_the_masks(pair):
    network, _ = pair
    made = [network(images(), generator=torch.Generator().manual_seed(seed)).hidden for seed in (3, 3, 4)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.97])
def test_hiding_nothing_or_everything_is_refused(pair, ratio):
    network, _ = pair
    with pytest.raises(ValueError, match=f"hides some of 16 patches, not all; found {ratio}"):
        network(images(), ratio=ratio)


def test_a_floor_makes_patches_of_one_colour_count_less():
    flat = 0.01 * images()
    plain, floored = (MaskedAutoencoder(ViT(**ENCODER), **DECODER, floor=f).target(flat) for f in (0.0, 0.1))
    assert plain.std() > 0.9
    assert floored.std() == pytest.approx(0.01 / 0.11, rel=0.1)


@pytest.mark.parametrize("normalise", [True, False])
def test_perfect_predictions_fill_in_the_true_image(normalise):
    network = MaskedAutoencoder(ViT(**ENCODER), **DECODER, normalise_target=normalise, floor=0.1)
    made = network(images(), noise=noise())
    seen = network.fill(images(), made)
    kept = patchify(seen, 8)[~made.hidden]
    assert torch.equal(kept, patchify(images(), 8)[~made.hidden])
    assert not torch.allclose(seen, images(), atol=0.1)
    made.predicted = network.target(images(), made.order[:, made.visible :])
    torch.testing.assert_close(network.fill(images(), made), images(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stem", ["linear", "conv", "patch"])
def test_hidden_pixels_never_reach_the_encoder(stem):
    with seeded(0):
        network = mae("mini64", stem=stem).eval()
    face, draw = images(size=64), noise(patches=64)
    made = network(face, noise=draw)
    painted = torch.where(made.hidden.view(-1, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3), 9.0, face)
    assert torch.equal(network(painted, noise=draw).predicted, made.predicted)


def test_a_miniature_learns_to_fill_in_smooth_pictures():
    with seeded(0):
        pictures = torch.nn.functional.interpolate(torch.randn(32, 3, 4, 4), (64, 64), mode="bilinear")
        network = mae("mini64")
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, betas=(0.9, 0.95))
        losses = []
        for _ in range(25):
            optimizer.zero_grad()
            loss = network(pictures).loss
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    # to say nothing costs the variance of the target, a little under 1
    assert sum(losses[-5:]) / 5 < 0.75 < 1.0 < losses[0]


def test_published_decoders_are_512_wide_8_deep_with_16_heads():
    with torch.device("meta"):
        network = mae("base")
    # all of facebookresearch's mae_vit_base_patch16 but its two tables of fixed positions
    assert sum(p.numel() for p in network.parameters()) == 85_647_360 + 26_008_320
    assert (len(network.decoder_blocks), network.decoder_blocks[0].attn.num_heads) == (8, 16)
    assert DECODERS["small"] == DECODERS["base"] == DECODERS["large"]


def test_arguments_reach_encoder_and_decoder():
    network = mae("mini96", decoder_dim=32, stem="conv", drop_path=0.1, normalise_target=False)
    assert (network.config["decoder_dim"], network.encoder.config["stem"]) == (32, "conv")
    assert not network.normalise_target
    again = MaskedAutoencoder.from_config(**network.config)
    assert again.config == network.config
    again.load_state_dict(network.state_dict())


def test_an_encoder_is_a_vit_like_any_other():
    network = mae("mini64")
    vit("mini64", stem="patch").load_state_dict(network.encoder.state_dict())


def test_golden_loss(pair):
    network, _ = pair
    assert network(images(), noise=noise()).loss.item() == pytest.approx(1.606384, rel=1e-4)


def test_compiles_as_one_graph_without_looking_at_values():
    network = mae("mini64")
    face, draw = images(size=64), noise(patches=64)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(face, noise=draw).loss, network(face, noise=draw).loss)
