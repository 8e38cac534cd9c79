from dataclasses import replace

import numpy as np
import pytest
import torch

from fau_utils.data import real_pairs
from fau_utils.data.domains import Gap, TwoDomains, shared_aus, shifted_rates, with_aus
from fau_utils.data.real_pairs import real_pair, set_aside
from fau_utils.faces.activity import BASE_RATES
from fau_utils.roles import taken_apart


@pytest.fixture
def pair(blobs):
    return TwoDomains.of(blobs(4, 5, size=16), blobs(3, 5, size=16, first=9), guides=blobs(2, 4, size=16, first=20))


def test_threes_of_source_target_and_guide_whatever_part_is_cut_off(pair):
    batch = next(pair.batches(batch_size=12))
    assert batch.domain.tolist() == [0, 1, 1] * 4
    source, target, guide = taken_apart(batch[3:9])
    assert len(source) == len(target) == len(guide) == 2
    assert not source.au.isnan().any()
    assert not source.landmarks.isnan().any()
    assert target.au.isnan().all()
    assert guide.au.isnan().all()
    assert target.landmarks.isnan().all()
    assert not guide.landmarks.isnan().any()
    with pytest.raises(ValueError, match="in threes"):
        taken_apart(batch[:4])


def test_no_batch_shows_a_target_label(pair):
    for batch in pair.batches(batch_size=9, views=90):
        assert batch.au[batch.domain == 1].isnan().all()
        assert batch.intensity is None


def test_every_face_of_each_role_is_served_before_one_comes_again(pair):
    served = [taken_apart(batch) for batch in pair.batches(batch_size=6, views=60)]
    frames = [(int(f.subject[k]), int(f.frame[k])) for f in (r.source for r in served) for k in range(len(f))]
    assert len(set(frames)) == len(frames) == 20


def test_batches_are_the_same_again_and_a_resumed_run_goes_on_in_the_middle(pair):
    whole = [b.image for b in pair.batches(batch_size=6, views=48, seed=3)]
    again = [b.image for b in pair.batches(batch_size=6, views=48, seed=3, skip=5)]
    assert len(whole) == 8
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], again, strict=True))
    other = next(iter(pair.batches(batch_size=6, views=48, seed=4))).image
    assert not torch.equal(whole[0], other)


def test_processes_share_a_step_without_a_face_twice(pair):
    alone = next(pair.batches(batch_size=12, seed=1))
    parts = [next(pair.batches(batch_size=12, seed=1, rank=rank, world=2)) for rank in (0, 1)]
    assert torch.equal(torch.cat([p.image for p in parts]), alone.image)
    assert [p.domain.tolist() for p in parts] == [[0, 1, 1] * 2] * 2


def test_a_batch_is_as_large_as_whole_threes_allow(pair):
    assert {len(b) for b in pair.batches(batch_size=8, views=40)} == {6}
    assert len(list(pair.batches(batch_size=8, views=40))) == 5
    with pytest.raises(ValueError, match="at least a source, a target, a guide"):
        next(pair.batches(batch_size=2))


def test_only_shared_aus_are_left_in_the_order_of_the_source(blobs):
    left, right = blobs(2, 4, aus=(12, 1, 4), size=16), blobs(2, 4, aus=(1, 6, 12), size=16, first=5)
    pair = TwoDomains.of(left, right, guides=right)
    assert pair.aus == shared_aus(left, right) == (12, 1)
    assert torch.equal(pair.source.labels[:, 1], left.labels[:, left.aus.index(1)])
    assert torch.equal(with_aus(left, (1,)).labels[:, 0], left.labels[:, left.aus.index(1)])
    with pytest.raises(ValueError, match=r"AUs \[9\]"):
        with_aus(left, (9,))


def test_domains_without_an_au_in_common_are_refused(blobs):
    with pytest.raises(ValueError, match=r"AUs in common, found \(1, 4\) and \(6, 12\)"):
        TwoDomains.of(blobs(2, 4, aus=(1, 4), size=16), blobs(2, 4, aus=(6, 12), size=16))


def test_an_empty_target_is_refused(blobs):
    data = blobs(2, 4, size=16)
    with pytest.raises(ValueError, match="faces of the target domain, found none"):
        TwoDomains.of(data, data.subset([]))


def test_a_target_without_landmarks_is_told_of_and_teaches_none(blobs, caplog):
    source, target = blobs(2, 4, size=16), blobs(2, 4, size=16, first=5, with_landmarks=False)
    for guides in (None, target):
        caplog.clear()
        pair = TwoDomains.of(source, target, guides=guides)
        assert "no target face with landmarks" in caplog.text
        assert not pair.guided
        assert taken_apart(next(pair.batches(batch_size=6))).guide.landmarks.isnan().all()


def test_a_source_without_landmarks_or_labels_is_refused(blobs):
    target = blobs(2, 4, size=16, first=5)
    with pytest.raises(ValueError, match="source faces with landmarks, found none"):
        TwoDomains.of(blobs(2, 4, size=16, with_landmarks=False), target)
    source = blobs(2, 4, size=16)
    blind = replace(source, labels=torch.full_like(source.labels, torch.nan))
    with pytest.raises(ValueError, match="coded labels of AUs"):
        TwoDomains.of(blind, target)
    with pytest.raises(ValueError, match="pictures of one size"):
        TwoDomains.of(source, blobs(2, 4, size=32))


def test_landmarks_of_the_target_are_a_privilege_to_be_asked_for(blobs):
    source, target = blobs(2, 4, size=16), blobs(2, 4, size=16, first=5)
    assert not TwoDomains.of(source, target, guides=target, target_landmarks=True).target.landmarks.isnan().any()


def test_people_set_aside_are_not_in_the_rest(blobs):
    rest, apart = set_aside(blobs(9, 4, size=16), faces=9)
    assert len(rest) + len(apart) == 36
    assert not set(rest.frames.subjects) & set(apart.frames.subjects)
    assert 8 <= len(apart) <= 18


def test_real_pairs_share_their_aus_and_set_guides_aside_by_person(blobs, monkeypatch):
    sets = {"bp4d": blobs(3, 4, aus=(1, 2, 4, 12), size=16), "disfa": blobs(6, 4, aus=(1, 4, 25), size=16, first=9)}
    monkeypatch.setattr(real_pairs.by_name, "prepared", lambda name: real_pairs.by_name.Prepared(sets[name], None))
    pair = real_pair("bp4d-disfa", guides=8)
    assert pair.aus == (1, 4)
    assert pair.guided
    assert not set(pair.target.frames.subjects) & set(pair.guide.frames.subjects)
    with pytest.raises(ValueError, match="bp4d-emotionet, bp4d-disfa, found 'bp4d-gft'"):
        real_pair("bp4d-gft")


def test_a_gap_changes_pictures_and_neither_movements_nor_their_rates():
    near, far = Gap(0.0, seed=2), Gap(0.67, seed=2)
    assert near.lab == far.lab
    assert far.lab.wild == 0
    assert far.lab.seed != far.wild.seed
    assert (near.wild.wild, far.wild.wild) == (0.0, 0.67)
    assert far.wild.rates == far.lab.rates
    assert far.wild.nuisance > far.lab.nuisance
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        Gap(1.5)


def test_a_shift_of_base_rates_is_a_shift_in_probits_up_and_down():
    moved = shifted_rates(0.5)
    up = np.array([moved[au] > rate for au, rate in BASE_RATES.items()])
    assert up.sum() == len(up) / 2
    np.testing.assert_allclose(list(shifted_rates(0.0).values()), list(BASE_RATES.values()), atol=1e-3)
    assert dict(Gap(0.5, prior=0.5).wild.rates) == moved
    assert Gap(0.5, prior=0.5).lab.rates == ()


def test_rendered_domains_have_other_people_and_tested_ones_are_the_same_in_both(tmp_path, monkeypatch):
    monkeypatch.setenv("FAU_CACHE", str(tmp_path))
    gap = Gap(0.67, people=2, frames=3, guides=2, guide_frames=2, test_people=2, test_frames=3)
    pair = gap.domains(guides=3)
    assert (len(pair.source), len(pair.target), len(pair.guide)) == (6, 6, 3)
    assert not set(pair.source.frames.subjects) & set(pair.target.frames.subjects)
    wild, lab = gap.tested(), gap.tested(wild=False)
    assert torch.equal(wild.labels, lab.labels)
    assert wild.frames.subjects == lab.frames.subjects
    assert wild.domain.tolist() == [1] * 6
    assert lab.domain.tolist() == [0] * 6
    assert gap.ceiling().source.labels.isfinite().all()
