"""Masks on the patch grid: exact, repeatable, and painted on any image."""

import pytest
import torch

from fau_utils.faces import patches
from fau_utils.faces.rng import mix

SEEDS = mix(5, torch.arange(300))


@pytest.mark.parametrize("grid", [4, 8, 14])
@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.125, 0.25, 0.5, 0.75, 0.9, 1.0])
@pytest.mark.parametrize("kind", ["random", "block"])
def test_every_mask_hides_exactly_the_asked_number_of_patches(kind, ratio, grid):
    hidden = patches.hidden_patches(kind, SEEDS, grid=grid, ratio=ratio)
    assert hidden.shape == (300, grid * grid)
    assert (hidden.sum(1) == int(ratio * grid * grid + 0.5)).all()


def test_each_row_has_its_own_ratio():
    ratio = torch.linspace(0, 1, 300)
    expected = (ratio.double() * 64 + 0.5).floor().long()
    assert torch.equal(patches.random_patches(SEEDS, ratio=ratio, grid=8).sum(1), expected)
    assert torch.equal(patches.block(SEEDS, ratio=ratio, grid=8).sum(1), expected)


def test_blocks_are_compact_and_scattered_patches_are_not():
    def box_area(hidden):
        rows, columns = hidden.view(-1, 8, 8).any(2).sum(1), hidden.view(-1, 8, 8).any(1).sum(1)
        return rows * columns

    block = patches.block(SEEDS, ratio=0.25, grid=8)
    assert (box_area(block) - 16).max() < 6  # less than one row or column is missing from the rectangle
    assert box_area(patches.random_patches(SEEDS, ratio=0.25, grid=8)).float().mean() > 50


def test_blocks_and_patches_visit_every_place():
    for kind in ("random", "block"):
        often = patches.hidden_patches(kind, SEEDS, grid=8, ratio=0.25).float().mean(0)
        assert often.min() > 0.02
    often = patches.random_patches(SEEDS, ratio=0.25, grid=8).float().mean(0)
    assert (often - 0.25).abs().max() < 0.12  # five standard errors


def test_a_larger_ratio_hides_the_same_patches_and_more():
    small, large = (patches.random_patches(SEEDS, ratio=r, grid=8) for r in (0.25, 0.5))
    assert not (small & ~large).any()


def test_a_mask_depends_on_its_seed_alone():
    whole = patches.block(SEEDS, ratio=0.3, grid=8)
    assert torch.equal(patches.block(SEEDS[[7, 3]], ratio=0.3, grid=8), whole[[7, 3]])
    assert not torch.equal(whole[0], whole[1])


def test_fixed_masks_are_the_same_for_every_arm():
    first = patches.fixed_masks(20, kind="random", ratio=0.5, grid=8)
    assert torch.equal(first[:7], patches.fixed_masks(7, kind="random", ratio=0.5, grid=8))
    assert not torch.equal(first, patches.fixed_masks(20, kind="random", ratio=0.5, grid=8, draw=1))
    # written down: a change of the generator would silently change every published curve
    assert first[0].nonzero()[:6, 0].tolist() == FIRST_HIDDEN


FIRST_HIDDEN = [1, 9, 12, 13, 14, 15]


def test_halves_and_bands_cover_what_they_say():
    upper, lower = (patches.band(name, grid=8).view(8, 8) for name in ("upper", "lower"))
    assert upper[:4].all()
    assert not upper[4:].any()
    assert torch.equal(lower, ~upper)
    assert torch.equal(patches.band("left", grid=8).view(8, 8), upper.T)
    eyes, mouth = (patches.band(name, grid=8).view(8, 8) for name in ("eyes", "mouth"))
    assert eyes.any(1).nonzero()[:, 0].tolist() == [2, 3]
    assert mouth.any(1).nonzero()[:, 0].tolist() == [5, 6]
    odd = patches.band("upper", grid=7).view(7, 7)  # rounded outward
    assert odd.any(1).sum() == 4


def test_painting_changes_hidden_patches_and_nothing_else():
    image = torch.rand(300, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    hidden = patches.random_patches(SEEDS, ratio=0.5, grid=8)
    pixels = patches.patches_to_pixels(hidden, size=32)
    for fill in patches.FILLS:
        out = patches.apply_patches(image, hidden, fill=fill, seed=SEEDS)
        assert torch.equal((out != image).any(1), pixels)
        assert out.min() >= 0
        assert out.max() <= 1
    mean_face = image.mean(0)
    out = patches.apply_patches(image, hidden, fill=mean_face)
    assert torch.equal(out[0][:, pixels[0]], mean_face[:, pixels[0]])


def test_bytes_are_painted_as_bytes():
    image = torch.full((2, 3, 16, 16), 200, dtype=torch.uint8)
    hidden = torch.tensor([[True, False, False, False], [True, True, True, True]])
    grey = patches.apply_patches(image, hidden, fill="grey")
    assert grey.dtype == torch.uint8
    assert grey[0, 0, 0, 0] == 128
    assert grey[0, 0, 15, 15] == 200
    mean = patches.apply_patches(image, hidden, fill="mean")
    assert (mean[0] == 200).all()
    assert (mean[1] == 128).all()  # nothing is visible: grey is the defined answer


def test_everything_hidden_leaves_nothing_of_the_image():
    one, other = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    hidden = patches.random_patches(SEEDS[:3], ratio=1.0, grid=4)
    for fill in patches.FILLS:
        a, b = (patches.apply_patches(x, hidden, fill=fill, seed=SEEDS[:3]) for x in (one, other))
        assert torch.equal(a, b)


def test_pixels_and_patches_agree():
    hidden = patches.random_patches(SEEDS[:10], ratio=0.4, grid=8)
    assert torch.equal(patches.pixels_to_patches(patches.patches_to_pixels(hidden, size=32), grid=8), hidden)


def test_hidden_share_of_a_support():
    support = torch.zeros(1, 3, 4, 4, dtype=torch.bool)
    support[0, 0, :2] = True
    support[0, 1, 0, 0] = True
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :1] = True
    share = patches.hidden_share(support, mask)
    assert share[0, :2].tolist() == [0.5, 1.0]
    assert share[0, 2].isnan()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: patches.hidden_patches("rondom", SEEDS, grid=8, ratio=0.5), "did you mean 'random'.*block"),
        (lambda: patches.band("moth", grid=8), "did you mean 'mouth'"),
        (lambda: patches.random_patches(SEEDS, ratio=1.1, grid=8), r"ratio in \[0, 1\], found \[1.1"),
        (lambda: patches.block(SEEDS, ratio=-0.1, grid=8), r"ratio in \[0, 1\]"),
        (lambda: patches.block(SEEDS, ratio=float("nan"), grid=8), r"ratio in \[0, 1\]"),
        (lambda: patches.hidden_patches("upper", SEEDS, grid=8, ratio=0.5), "fixed area"),
        (lambda: patches.hidden_patches("block", SEEDS, grid=8), "needs a ratio"),
        (lambda: patches.patch_grid(64, patch=7), "64 px cannot be cut into patches of 7"),
        (lambda: patches.patches_to_pixels(torch.ones(1, 64, dtype=torch.bool), size=60), "60 px has no 8 x 8"),
        (lambda: patches.apply_patches(torch.rand(1, 3, 30, 30), torch.ones(1, 64, dtype=torch.bool)), "30 px has no"),
        (
            lambda: patches.apply_patches(torch.rand(1, 3, 8, 8), torch.ones(1, 4) > 0, fill="gray"),
            "did you mean 'grey'",
        ),
        (lambda: patches.apply_patches(torch.rand(1, 3, 8, 8), torch.ones(1, 4) > 0, fill="noise"), "needs a seed"),
    ],
)
def test_a_wrong_request_says_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()
