"""Encoding the visible patches of faces that show different numbers of them."""

import pytest
import torch

from fau_utils.methods.occlude import Occlude
from fau_utils.models.visible import encode_visible, visible_first, without
from fau_utils.models.vit import vit

ENCODERS = {
    "patch": lambda: vit("mini64", stem="patch"),
    "conv": lambda: vit("mini64", stem="conv"),
    "linear": lambda: vit("small", size=64, patch=8, dim=48, depth=2, heads=3),
}


@pytest.fixture(params=list(ENCODERS))
def encoder(request):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ENCODERS[request.param]().eval()


@pytest.fixture
def faces():
    return torch.randn(9, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hidden():
    mask = Occlude(high=1.0).masks(torch.arange(9), grid=8)
    mask[3], mask[4] = True, False  # one fully hidden, one in full view
    return mask


@torch.no_grad()
def test_any_number_of_groups_gives_the_same_latents(encoder, faces, hidden):
    first = encode_visible(encoder, faces, hidden, groups=1)
    for groups in (2, 4, 9, 50):
        other = encode_visible(encoder, faces, hidden, groups=groups)
        assert torch.equal(other.valid, first.valid)
        assert torch.equal(other.keep * other.valid, first.keep * first.valid)
        torch.testing.assert_close(other.tokens, first.tokens, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_face_in_a_mixed_batch_is_encoded_as_if_it_were_alone(encoder, faces, hidden):
    found = encode_visible(encoder, faces, hidden, groups=2)
    for row in (0, 4, 7):
        places = (~hidden[row]).nonzero()[:, 0]
        alone = encoder.tokens(faces[row : row + 1], places[None])[:, encoder.first :]
        assert torch.equal(found.keep[row][found.valid[row]], places)
        torch.testing.assert_close(found.tokens[row][found.valid[row]], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_pixels_of_hidden_patches_are_never_read(encoder, faces, hidden):
    encoder.train()  # not even by the statistics of a batch norm
    pixels = without(torch.ones(9, 1, 64, 64), hidden, patch=8) > 0
    other = torch.where(pixels, faces, torch.randn(9, 3, 64, 64) * 100)
    torch.testing.assert_close(
        encode_visible(encoder, other, hidden).tokens, encode_visible(encoder, faces, hidden).tokens, atol=0, rtol=0
    )


@torch.no_grad()
def test_a_fully_hidden_face_has_no_valid_token_and_nothing_is_nan(encoder, faces, hidden):
    found = encode_visible(encoder, faces, hidden)
    assert not found.valid[3].any()
    assert found.valid[4].all()
    assert found.tokens.isfinite().all()
    nothing = encode_visible(encoder, faces, torch.ones_like(hidden))
    assert nothing.tokens.shape[1] == 1
    assert nothing.tokens.isfinite().all()


def test_a_mask_of_another_grid_and_no_groups_are_refused(encoder, faces, hidden):
    with pytest.raises(ValueError, match="8 x 8 patches of 8 px, found 49"):
        encode_visible(encoder, faces, hidden[:, :49])
    with pytest.raises(ValueError, match="at least one group"):
        encode_visible(encoder, faces, hidden, groups=0)


def test_padding_repeats_a_visible_patch(hidden):
    keep, valid = visible_first(hidden[:3])
    for row in range(3):
        assert not hidden[row][keep[row]].any()
        assert valid[row].sum() == (~hidden[row]).sum()
