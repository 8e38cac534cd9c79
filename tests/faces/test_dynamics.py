"""Clips: movements rise, hold and fall; pose and light stay or drift; frames keep the base rates."""

import pytest
import torch

from fau_utils.aus import RENDERED
from fau_utils.faces import dynamics
from fau_utils.faces.activity import PRESENT, base_rates
from fau_utils.faces.copula import GROUPS
from fau_utils.faces.rng import mix

SEED = mix(9, torch.arange(1500))
FIELDS = ("pose", "light", "gaze", "exposure", "zoom")


@pytest.fixture(scope="module")
def intensity():
    events = dynamics.sample_events(SEED, base_rates(), length=40)
    return dynamics.intensity_over_time(events, length=40)


def test_one_event_rises_holds_and_falls():
    one = torch.ones(1, 1, 16)
    events = dynamics.Events(start=5 * one, onset=6 * one, apex=4 * one, offset=8 * one, peak=3 * one)
    shown = dynamics.intensity_over_time(events, length=30)[0, :, 0]
    assert (shown[:6] == 0).all()
    assert (shown[5:12].diff() > 0).all()
    assert (shown[11:16] == 3).all()
    assert (shown[15:24].diff() < 0).all()
    assert (shown[23:] == 0).all()
    assert shown[8] == pytest.approx(1.5)  # half way through the onset
    speed = shown.diff().abs()
    assert speed[5] < 0.6 * speed[7]  # it starts gently


def test_durations_follow_the_frame_rate():
    slow, fast = (dynamics.sample_events(SEED[:200], base_rates(), length=10, fps=fps) for fps in (15.0, 30.0))
    for name, (low, high) in (("onset", (4, 10)), ("apex", (0, 20)), ("offset", (6, 15))):
        values = getattr(fast, name)
        assert values.min() >= low
        assert values.max() <= high
        assert values.max() - values.min() > 0.6 * (high - low)
        assert getattr(slow, name).max() <= high / 2
    assert slow.onset.min() >= 2


def test_clips_keep_the_base_rates_of_frames(intensity):
    present = (intensity >= PRESENT).float()
    error = present.mean((0, 1)) - base_rates()
    standard_error = present.mean(1).std(0) / len(SEED) ** 0.5
    # five standard errors, and 1 % because events were calibrated as a whole
    assert (error.abs() < 5 * standard_error + 0.01).all()
    assert (present.mean((0, 2)) - present.mean()).abs().max() < 0.02  # no part of the clip is special


def test_high_and_low_rates_are_kept_too():
    for rate in (0.03, 0.8):
        events = dynamics.sample_events(SEED[:400], torch.full((16,), rate), length=40)
        found = (dynamics.intensity_over_time(events, length=40) >= PRESENT).float().mean()
        assert found == pytest.approx(rate, abs=0.015)


def test_movements_are_smooth_and_in_range(intensity):
    assert intensity.min() >= 0
    assert intensity.max() <= 5
    # 5 intensities in the shortest onset, at the steepest place of a smoothstep
    assert intensity.diff(dim=1).abs().max() <= 5 * 1.5 / (4 * 25 / 30) + 1e-3
    assert (intensity.diff(dim=1) != 0).float().mean() > 0.2


def test_aus_of_a_group_move_together_and_others_do_not(intensity):
    shown = (intensity >= PRESENT).float()[:, 20]
    table = torch.corrcoef(shown.T)
    at = [RENDERED.index(au) for au in GROUPS[0].aus]
    pairs = [table[i, j] for i in at for j in at if i < j]
    assert min(pairs) > 0.15
    alone = torch.cat([table[RENDERED.index(4), :2], table[RENDERED.index(4), 3:]])
    assert alone.abs().max() < 5 / len(SEED) ** 0.5


def test_aus_of_one_event_start_close_but_not_at_once():
    events = dynamics.sample_events(SEED[:200], base_rates(), length=40)
    spread = events.start.std(dim=2)
    assert 0.3 < spread.mean() < 3


@pytest.mark.parametrize("drift", [False, True])
def test_pose_and_light_stay_or_drift(drift):
    clip = dynamics.sample_clip(SEED[:6], base_rates(), length=30, drift=drift)
    assert clip.intensity.shape == (6, 30, 16)
    assert clip.au.shape == (6, 30, 16, 2)
    for name in FIELDS:
        values = getattr(clip.nuisance, name).view(6, 30, -1)
        moved = (values - values[:, :1]).abs().amax(1)
        assert bool((moved > 0).any()) == drift, name
        assert not torch.equal(values[0, 0], values[1, 0]), name
        if drift:  # gently: no frame jumps further than a fifth of the way
            assert values.diff(dim=1).abs().max() < 0.2 * (values.amax() - values.amin()) + 1e-6
    seeds = clip.nuisance.seed.view(6, 30)
    assert (seeds == seeds[:, :1]).all()  # one backdrop per clip
    assert torch.allclose(clip.nuisance.light.norm(dim=1), torch.tensor(1.0), atol=1e-5)


def test_the_stronger_side_shows_the_intensity():
    clip = dynamics.sample_clip(SEED[:50], base_rates(), length=10)
    assert torch.allclose(clip.au.amax(-1), clip.intensity, atol=1e-6)
    assert (clip.au[..., 0] > clip.au[..., 1]).any()
    assert (clip.au[..., 0] < clip.au[..., 1]).any()


def test_a_frame_does_not_depend_on_its_neighbours():
    whole = dynamics.sample_clip(SEED[:4], base_rates(), length=20, drift=True)
    part = dynamics.sample_clip(SEED[2:3], base_rates(), length=20, drift=True)
    assert torch.equal(part.intensity[0], whole.intensity[2])
    one = dynamics.nuisance_at(SEED[2:3], torch.tensor([13]), drift=True)
    assert torch.equal(one.pose[0], whole.nuisance.pose.view(4, 20, 3)[2, 13])


@pytest.mark.parametrize(("length", "fps"), [(0, 25.0), (5, 0.0), (5, float("nan"))])
def test_impossible_clips_are_refused(length, fps):
    with pytest.raises(ValueError, match="expected a"):
        dynamics.sample_clip(SEED[:2], base_rates(), length=length, fps=fps)


def test_a_clip_of_one_frame_is_a_frame():
    assert dynamics.sample_clip(SEED[:2], base_rates(), length=1).intensity.shape == (2, 1, 16)
