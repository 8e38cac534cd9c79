"""Who, how often and what: rates, skew, co-occurrence, splits and the hash of a configuration."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from fau_utils.aus import DISFA, RENDERED
from fau_utils.faces import activity, copula, population
from fau_utils.faces.plan import HIDING, plan, plan_clips
from fau_utils.faces.population import Occlusion, Split, SynthFaces
from fau_utils.faces.rng import mix

SEEDS = mix(21, torch.arange(20_000))
SMALL = SynthFaces(
    train=Split(6, 10, "train"),
    val=Split(4, 5, "val"),
    test=Split(5, 5, "test"),
    seen=Split(6, 5, "train"),
    unlabelled=Split(7, 2, "unlabelled", labelled=False),
)
FIVE_SIGMA = 5 / len(SEEDS) ** 0.5


# the copula


def test_latents_are_standard_normal_whatever_the_groups():
    latent = copula.sample_latent(SEEDS)
    assert latent.mean(0).abs().max() < FIVE_SIGMA
    assert (latent.std(0) - 1).abs().max() < FIVE_SIGMA
    below = (latent[:, :, None] < torch.tensor([-1.0, 0.0, 1.0])).float().mean(0)
    assert (below - torch.special.ndtr(torch.tensor([-1.0, 0.0, 1.0]))).abs().max() < FIVE_SIGMA


def test_latents_correlate_as_the_groups_say():
    found = torch.corrcoef(copula.sample_latent(SEEDS).T)
    assert (found - copula.correlation(copula.GROUPS)).abs().max() < FIVE_SIGMA


def test_correlations_of_an_au_in_two_groups_add():
    groups = (copula.Group("a", (1, 2), 0.3), copula.Group("b", (1, 2, 4), 0.5))
    table = copula.correlation(groups)
    at = [RENDERED.index(au) for au in (1, 2, 4)]
    assert table[at[0], at[1]] == pytest.approx(0.8)
    assert table[at[0], at[2]] == pytest.approx(0.5)
    assert table.diag().allclose(torch.ones(16))


def test_default_groups_span_the_face_and_leave_one_au_alone():
    from fau_utils.aus import AUS

    spanning = [g for g in copula.GROUPS if len({AUS[au].region for au in g.aus}) == 2]
    assert len(spanning) >= 2
    table = copula.correlation(copula.GROUPS)
    alone = table[RENDERED.index(copula.INDEPENDENT)]
    assert alone.sum() == 1


def test_the_independent_au_is_independent_in_the_labels():
    shown = activity.sample_intensity(SEEDS, activity.base_rates()) >= activity.PRESENT
    table = torch.corrcoef(shown.float().T)
    alone = table[RENDERED.index(copula.INDEPENDENT)].clone()
    alone[RENDERED.index(copula.INDEPENDENT)] = 0
    assert alone.abs().max() < FIVE_SIGMA
    assert table[RENDERED.index(6), RENDERED.index(12)] > 0.3


def test_impossible_groups_are_refused():
    with pytest.raises(ValueError, match=r"AU1 is in groups \['a', 'b'\] whose strengths sum to 1.10"):
        SynthFaces(groups=(copula.Group("a", (1, 2), 0.6), copula.Group("b", (1, 4), 0.5)))
    with pytest.raises(ValueError, match="not rendered"):
        copula.Group("a", (1, 20), 0.5)
    with pytest.raises(ValueError, match="two different"):
        copula.Group("a", (1, 1), 0.5)
    with pytest.raises(ValueError, match="strength"):
        copula.Group("a", (1, 2), 1.5)


# base rates and their skew


def test_intensities_have_the_base_rates():
    found = (activity.sample_intensity(SEEDS, activity.base_rates()) >= activity.PRESENT).float().mean(0)
    assert (found - activity.base_rates()).abs().max() < FIVE_SIGMA / 2  # a rate's deviation is at most 1/2


def test_how_strong_a_present_au_is_does_not_depend_on_how_often_it_is():
    means = []
    for rate in (0.1, 0.5, 0.9):
        shown = activity.sample_intensity(SEEDS, torch.full((16,), rate))
        assert shown.min() >= 0
        assert shown.max() <= 5
        means.append(shown[shown >= activity.PRESENT].mean())
    assert max(means) - min(means) < 0.03
    assert 2.8 < means[0] < 3.3


@pytest.mark.parametrize(("skew", "low", "high"), [(0.0, 0.0, 1e-6), (1.2, 0.24, 0.34), (2.5, 0.35, 0.45)])
def test_skew_spreads_the_rates_of_people_and_keeps_their_mean(skew, low, high):
    rates = activity.subject_rates(SEEDS, skew=skew)
    assert low <= rates.std(0).mean() <= high
    assert (rates.mean(0) - activity.base_rates()).abs().max() < FIVE_SIGMA / 2 + 1e-6
    assert rates.min() > 0
    assert rates.max() < 1


def test_rates_can_be_changed_one_by_one():
    rates = activity.base_rates({12: 0.1})
    assert rates[RENDERED.index(12)] == pytest.approx(0.1)
    assert rates[RENDERED.index(6)] == pytest.approx(activity.BASE_RATES[6])
    for changes, message in (({20: 0.1}, "not rendered"), ({12: 0.0}, r"rate in \(0, 1\) for AU12")):
        with pytest.raises(ValueError, match=message):
            activity.base_rates(changes)


def test_the_weaker_side_is_weaker_and_the_label_is_the_stronger():
    intensity = activity.sample_intensity(SEEDS[:500], activity.base_rates())
    sides = activity.two_sides(intensity, SEEDS[:500])
    assert torch.equal(sides.amax(-1), intensity)
    assert (sides.amin(-1) <= intensity).all()
    left = (sides[..., 0] < sides[..., 1]).float().sum() / (sides[..., 0] != sides[..., 1]).float().sum()
    assert abs(left - 0.5) < 0.05
    assert torch.equal(activity.two_sides(intensity, SEEDS[:500], spread=0.0)[..., 0], intensity)


# splits


def test_no_person_is_in_two_splits():
    people = {name: set(plan(SMALL, name).subject.tolist()) for name in population.SPLITS}
    assert {name: len(who) for name, who in people.items()} == {
        "train": 6, "val": 4, "test": 5, "seen": 6, "unlabelled": 7,
    }  # fmt: skip
    assert people.pop("seen") == people["train"]
    everyone = set().union(*people.values())
    assert len(everyone) == sum(map(len, people.values()))
    seeds = torch.cat([plan(SMALL, name).person.unique() for name in people])
    assert len(seeds.unique()) == len(everyone)


def test_seen_frames_are_new_frames_of_the_same_people():
    train, seen = plan(SMALL, "train"), plan(SMALL, "seen")
    assert set(seen.person.tolist()) == set(train.person.tolist())
    assert not set(seen.seed.tolist()) & set(train.seed.tolist())


def test_no_two_frames_share_a_seed():
    default = SynthFaces()
    seeds = torch.cat([plan(default, name).seed for name in population.SPLITS])
    assert len(seeds.unique()) == len(seeds)
    steps = plan(default, "train").seed.diff()
    assert len(steps.unique()) == len(steps)  # hashed, not linear in the frame number


def test_more_people_or_frames_extend_a_split():
    more = SMALL.with_split("train", subjects=9)
    assert torch.equal(plan(more, "train").intensity[:60], plan(SMALL, "train").intensity)
    longer = SMALL.with_split("train", frames=20)
    assert torch.equal(plan(longer, "train").seed.view(6, 20)[:, :10], plan(SMALL, "train").seed.view(6, 10))


def test_another_seed_is_other_people():
    other = replace(SMALL, seed=1)
    assert not set(plan(other, "train").person.tolist()) & set(plan(SMALL, "train").person.tolist())
    assert other.dataset != SMALL.dataset


def test_skew_of_one_split_can_differ():
    config = replace(SMALL, skew=2.5).with_split("train", frames=300).with_split("seen", frames=300, skew=0.0)
    spread = {}
    for name in ("train", "seen"):
        present = plan(config, name).intensity.view(6, 300, 16) >= activity.PRESENT
        spread[name] = present.float().mean(1).std(0).mean()
    assert spread["train"] > 0.3
    assert spread["seen"] < 0.05


def test_clips_have_constant_people_and_whole_numbers_of_frames():
    config = replace(
        SMALL,
        clip_length=5,
        train=Split(3, 20, "train"),
        seen=Split(2, 5, "train"),
        unlabelled=Split(2, 5, "unlabelled"),
    )
    rows = plan(config, "train")
    assert len(rows) == 60
    for name in ("subject", "person", "clip", "seed"):
        values = getattr(rows, name).view(12, 5)
        assert (values == values[:, :1]).all(), name
    assert rows.frame.view(12, 5).tolist() == [[0, 1, 2, 3, 4]] * 12
    assert rows.intensity.view(12, 5, 16).diff(dim=1).abs().max() < 3
    part = plan_clips(config, "train", subject=rows.subject[15:16], clip=rows.clip[15:16])
    assert torch.equal(part.au, rows.au[15:20])


def test_amplitude_changes_what_is_drawn_and_not_the_labels():
    subtle = plan(replace(SMALL, amplitude=0.5), "train")
    assert torch.equal(subtle.intensity, plan(SMALL, "train").intensity)
    assert torch.allclose(subtle.au, plan(SMALL, "train").au * 0.5)
    assert plan(replace(SMALL, amplitude=1.5), "train").au.max() <= 5


def test_unknown_labels_have_their_share_and_unlabelled_people_have_none():
    config = replace(SMALL, unknown=0.3).with_split("train", frames=200)
    assert (~plan(config, "train").coded).float().mean() == pytest.approx(0.3, abs=0.02)
    assert not plan(config, "unlabelled").coded.any()
    assert plan(SMALL, "train").coded.all()


def test_occluders_come_in_their_shares():
    config = replace(SMALL, occlusion=Occlusion(("mask", "hand", "block"), share=0.6)).with_split("train", frames=500)
    hiding = plan(config, "train").hiding
    assert (hiding > 0).float().mean() == pytest.approx(0.6, abs=0.05)
    assert {HIDING[k] for k in hiding.unique().tolist()} == {"none", "mask", "hand", "block"}
    plain = plan(SMALL, "train")
    assert torch.equal(plan(replace(SMALL, occlusion=Occlusion()), "train").au, plain.au)  # the same faces below


# the configuration


def test_the_configuration_is_frozen_and_hashable():
    assert hash(SynthFaces()) == hash(SynthFaces())
    with pytest.raises(FrozenInstanceError):
        SynthFaces().res = 112


CHANGES = {
    "res": 112, "align": False, "seed": 3, "identity_strength": 0.7, "nuisance": 1.0, "wild": 0.5, "skew": 1.2,
    "rates": ((12, 0.2),), "groups": (), "amplitude": 0.8, "occlusion": Occlusion(), "clip_length": 5, "fps": 30.0,
    "drift": True, "train": Split(6, 20, "train"),
}  # fmt: skip
ONLY_KNOWN = {"aus": DISFA, "label_threshold": 2.0, "unknown": 0.1}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_that_changes_pictures_changes_both_hashes(name):
    base = replace(SMALL, seen=Split(6, 5, "train"), unlabelled=Split(7, 5, "unlabelled"))
    other = replace(base, **{name: CHANGES[name]})
    assert other.hash() != base.hash()
    assert other.hash("train") != base.hash("train")


@pytest.mark.parametrize("name", ONLY_KNOWN)
def test_what_is_known_of_the_pictures_does_not_change_their_hash(name):
    other = replace(SMALL, **{name: ONLY_KNOWN[name]})
    assert other.hash() != SMALL.hash()
    assert other.hash("train") == SMALL.hash("train")


def test_a_split_hash_ignores_the_other_splits_and_covers_every_field():
    assert SMALL.with_split("test", subjects=9).hash("train") == SMALL.hash("train")
    assert SMALL.with_split("train", skew=1.2).hash("train") == replace(SMALL, skew=1.2).hash("train")
    assert SMALL.hash("seen") != SMALL.hash("train")
    assert set(population.FIELDS) == {*CHANGES, *ONLY_KNOWN, "val", "test", "seen", "unlabelled"}


def test_a_change_of_the_code_changes_the_hash(monkeypatch):
    before = SMALL.hash("train")
    monkeypatch.setattr(population, "code_version", lambda: "another")
    assert SMALL.hash("train") != before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SynthFaces(res=100), r"picture size of \[64, 112, 224\] px, found 100"),
        (lambda: SynthFaces(aus=(1, 20)), r"AUs \[20\] are not rendered"),
        (lambda: SynthFaces(aus=()), "different AUs"),
        (lambda: SynthFaces(wild=1.5), r"wild in \[0, 1\], found 1.5"),
        (lambda: SynthFaces(skew=-1), "skew"),
        (lambda: SynthFaces(label_threshold=0), "label threshold"),
        (lambda: SynthFaces(clip_length=7), "train: 100 frames per person are no whole number of clips of 7; take 98"),
        (lambda: SynthFaces(test=Split(5, 5, "train")), "must be different people"),
        (lambda: SynthFaces(seen=Split(50, 5, "train")), "at most 40 subjects"),
        (lambda: SynthFaces(seen=Split(5, 5, "val")), "training people"),
        (lambda: Split(5, 5, "trian"), "did you mean 'train'"),
        (lambda: Split(0, 5, "train"), "at least 1 subject"),
        (lambda: Split(20_000, 1, "val"), "10,000 people"),
        (lambda: Split(5, 5, "train", skew=-1.0), "skew >= 0"),
        (lambda: Occlusion(("sunglases",)), "did you mean 'sunglasses'"),
        (lambda: Occlusion(()), "occlusion=None"),
        (lambda: Occlusion(("random",), ratio=1.2), r"ratio in \[0, 1\]"),
        (lambda: Occlusion(share=2.0), "share"),
        (lambda: Occlusion(fill="gray"), "did you mean 'grey'"),
        (lambda: SynthFaces(occlusion=Occlusion(patch=7)), "64 px cannot be cut into patches of 7"),
        (lambda: SynthFaces().split("trian"), "did you mean 'train'"),
        (lambda: SynthFaces().split("random_frames"), "holdout"),
    ],
)
def test_a_wrong_configuration_says_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
