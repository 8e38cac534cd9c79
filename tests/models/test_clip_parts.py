"""The encoder of clips, its follower and memory, views, and the watch for collapse."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from fau_utils.models.clip_encoder import ClipEncoder, Follower, Memory
from fau_utils.models.clip_views import Views
from fau_utils.models.collapse import Collapsed, Watch, entropy, rank, spread


def watched(watch, readings):
    for reading in readings:
        watch.see(**reading)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("options", "width"), [({}, 128), ({"head": 0}, 256), ({"dim": 40, "head": 24}, 24),
                                                ({"trunk": "resnet18"}, 128)])  # fmt: skip
def test_embeddings_have_length_one_and_features_come_before_the_head(options, width):
    encoder = ClipEncoder(size=32, **options).eval()
    image = torch.rand(3, 3, 32, 32)
    assert encoder.features(image).shape == (3, options.get("dim", 256))
    assert encoder(image).shape == (3, width)
    assert encoder.width == width
    torch.testing.assert_close(encoder(image).norm(dim=1), torch.ones(3))
    again = ClipEncoder(**encoder.config).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(image), encoder(image))


def test_an_unknown_trunk_is_refused_and_large_faces_get_a_residual_network():
    with pytest.raises(ValueError, match="found 'resnet9'"):
        ClipEncoder(trunk="resnet9")
    assert ClipEncoder(size=160).config["trunk"] == "resnet18"


def test_a_follower_moves_by_one_minus_the_momentum_and_learns_nothing():
    encoder = torch.nn.Linear(3, 2)
    follower = Follower(encoder, momentum=0.75)
    before = follower.network.weight.clone()
    with torch.no_grad():
        encoder.weight.add_(1.0)
    follower.follow(encoder)
    torch.testing.assert_close(follower.network.weight, before + 0.25)
    assert not follower(torch.ones(1, 3)).requires_grad
    assert not any(p.requires_grad for p in follower.parameters())
    with pytest.raises(ValueError, match="momentum in"):
        Follower(encoder, momentum=1.5)


def test_memory_forgets_the_oldest_and_a_look_at_it_does_not_change_later():
    memory = Memory(5, 2)
    one = torch.ones(3, 2)
    memory.enqueue(one, person=torch.tensor([0, 1, 2]), clip=torch.tensor([5, 6, 7]))
    rows, person, _ = memory.contents()
    memory.enqueue(-one, person=torch.tensor([3, 4, 5]), clip=torch.tensor([8, 9, 10]))
    assert memory.person.tolist() == [5, 1, 2, 3, 4]
    assert memory.clip.tolist() == [10, 6, 7, 8, 9]
    assert person.tolist() == [0, 1, 2, -1, -1]
    torch.testing.assert_close(memory.rows.norm(dim=1), torch.ones(5))
    assert rows[:3].min() > 0
    memory.enqueue(noise(12, 2), person=torch.arange(12), clip=torch.arange(12))
    assert sorted(memory.person.tolist()) == [7, 8, 9, 10, 11]  # of more than fit, the last


def test_views_in_the_middle_of_every_range_change_nothing_but_the_side():
    image = torch.rand(2, 3, 16, 16)
    middle = torch.full((2, 8), 0.5)
    torch.testing.assert_close(Views().with_draws(image, middle), image, atol=1e-5, rtol=0)
    mirrored = middle.clone()
    mirrored[:, 0] = 0
    torch.testing.assert_close(Views().with_draws(image, mirrored), image.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(Views(flip=False).with_draws(image, mirrored), image, atol=1e-5, rtol=0)


def test_views_move_enlarge_and_colour_as_they_say():
    image = torch.zeros(1, 3, 20, 20)
    image[:, 0, 8:12, 8:12] = 1.0
    drawn = torch.full((1, 8), 0.5)
    drawn[:, 2] = 1.0
    moved = Views(shift=0.1).with_draws(image, drawn)
    torch.testing.assert_close(moved, image.roll(-2, -1), atol=1e-5, rtol=0)
    drawn = torch.full((1, 8), 0.5)
    drawn[:, 1] = 1.0
    assert Views(scale=0.5).with_draws(image, drawn)[0, 0].sum() > 1.8 * image[0, 0].sum()
    drawn[:, 1], drawn[:, 7] = 0.5, 0.0
    grey = Views(grey=1.0).with_draws(image, drawn)
    torch.testing.assert_close(grey[0, 0, 9, 9] - grey[0, 1, 9, 9], torch.tensor(0.4), atol=1e-5, rtol=0)


def test_spread_and_rank_tell_round_from_flat_and_from_nothing():
    round_ = F.normalize(noise(4000, 16), dim=1)
    assert spread(round_) == pytest.approx(1, abs=0.02)
    assert rank(round_) == pytest.approx(16, abs=0.5)
    flat = F.normalize(torch.cat([noise(4000, 2), torch.zeros(4000, 14)], 1), dim=1)
    assert rank(flat) == pytest.approx(2, abs=0.05)
    same = round_[:1].expand(50, 16)
    assert spread(same) < 1e-6
    assert rank(same).isfinite()


def test_entropy_is_the_share_of_equal_attention_over_the_allowed_rows():
    allowed = torch.tensor([[True] * 4 + [False] * 2])
    assert entropy(allowed / 4.0, allowed) == pytest.approx(1)
    one = torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    assert entropy(one, allowed) == 0
    half = torch.tensor([[0.5, 0.5, 0, 0, 0, 0]])
    assert entropy(half, allowed) == pytest.approx(0.5)
    assert entropy(one, torch.zeros_like(allowed)).isfinite()


@pytest.mark.parametrize(("bad", "word"), [({"std": 0.01}, "std"), ({"rank": 1.0}, "rank"),
                                           ({"entropy": 0.99999}, "entropy")])  # fmt: skip
def test_a_watch_stops_a_run_only_when_it_stays_bad(bad, word):
    good = {"std": torch.tensor(0.8), "rank": torch.tensor(9.0), "entropy": torch.tensor(0.6)}
    wrong = {**good, **{name: torch.tensor(value) for name, value in bad.items()}}
    watch = Watch(every=2, patience=3)
    for k in range(12):  # never three readings in a row
        watch.see(**(good if k % 4 == 0 else wrong))
    with pytest.raises(Collapsed, match=rf"collapsed \({word}\) in 3 readings.*{word} {bad[word]:.4f}"):
        watched(watch, [wrong] * 12)


def test_a_watch_reads_only_now_and_then():
    good, bad = {"std": torch.tensor(1.0)}, {"std": torch.tensor(0.0)}
    watched(Watch(every=10, patience=1), [good] + 9 * [bad] + [good] + 9 * [bad])
    watched(Watch(every=10, patience=1), 10 * [good] + [bad])  # read, but judged in the next step
    with pytest.raises(Collapsed):
        watched(Watch(every=10, patience=1), 10 * [good] + [bad, good])


def test_a_watch_can_be_copied_in_the_middle_of_a_run():
    watch = Watch(every=1)
    watch.see(std=torch.tensor(0.0))
    copy.deepcopy(watch).see(std=torch.tensor(1.0))
    pickle.loads(pickle.dumps(watch))
