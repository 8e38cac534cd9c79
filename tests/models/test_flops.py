import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fau_utils.models.flops import mae_work, vit_work
from fau_utils.models.mae import MaskedAutoencoder, mae
from fau_utils.models.vit import ViT, vit

TINY = {"size": 32, "patch": 8, "dim": 32, "depth": 2, "heads": 2}


def counted(step, *, train=False) -> int:
    # the plain backend: fused attention computes scores again in the backward pass, which is no work of the model
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss = step()
        if train:
            loss.backward()
    return counter.get_total_flops()


def test_by_hand():
    work = vit_work(TINY)  # 16 patches and a cls token
    assert work.embed == 2 * 16 * 192 * 32
    a_block = 17 * 32 * 96 + 2 * 17 * 17 * 32 + 17 * 32 * 32 + 2 * 17 * 32 * 128
    assert work.encoder == 2 * 2 * a_block
    assert work.training == 3 * 2 * 2 * a_block + 2 * work.embed


@pytest.mark.parametrize("changes", [{}, {"cls": False, "position": "learned", "mlp": 2.0}])
def test_a_transformer_does_what_is_counted(changes):
    model = ViT(**TINY, **changes)
    work = vit_work(model.config)
    images = torch.rand(3, 3, 32, 32)
    assert 3 * work.forward == counted(lambda: model.tokens(images))
    assert 3 * work.training == counted(lambda: model.features(images).sum(), train=True)
    assert work.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("ratio", [0.75, 0.5])
def test_a_masked_autoencoder_does_what_is_counted(ratio):
    model = MaskedAutoencoder(ViT(**TINY), decoder_dim=16, decoder_depth=3, decoder_heads=2)
    work = mae_work(model.config, ratio=ratio)
    images = torch.rand(2, 3, 32, 32)
    assert 2 * work.forward == counted(lambda: model(images, ratio=ratio).loss)
    assert 2 * work.training == counted(lambda: model(images, ratio=ratio).loss, train=True)
    assert work.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["small", "base", "large"])
def test_the_published_sizes_have_the_parameters_counted(name):
    with torch.device("meta"):
        encoder, whole = vit(name), mae(name)
    assert vit_work(name).parameters == sum(p.numel() for p in encoder.parameters())
    assert mae_work(name).parameters == sum(p.numel() for p in whole.parameters())


def test_the_numbers_that_are_known_for_the_published_sizes():
    assert vit_work("large").forward / 2e9 == pytest.approx(61.6, abs=0.1)  # ViT-L/16, 197 tokens
    assert vit_work("base").forward / 2e9 == pytest.approx(17.56, abs=0.01)
    # with a prediction for all patches, visible ones too, S, B and L are 20.0, 30.0 and 63.8 TFLOP for 512 faces
    every = {"small": 20.0, "base": 30.0, "large": 63.8}
    for name, expected in every.items():
        work = mae_work(name)
        visible = 2 * 49 * 512 * 768
        assert 3 * (work.forward + visible) * 512 / 1e12 == pytest.approx(expected, rel=0.01)
    assert mae_work("small").decoder / mae_work("small").forward == pytest.approx(0.82, abs=0.01)


def test_a_smaller_decoder_is_cheaper_by_its_share():
    whole, light = mae_work("small"), mae_work("small", decoder_dim=256, decoder_depth=4)
    assert light.encoder == whole.encoder
    assert light.decoder < whole.decoder / 5


def test_models_that_cannot_be_counted_are_refused():
    with pytest.raises(ValueError, match="FlopCounterMode"):
        vit_work("mini64")
    with pytest.raises(ValueError, match="expected one of small"):
        mae_work("huge")
