import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.metrics.events import event_f1_per_au, events


def column(text):
    """One AU's frames: '1' and '0' as they are, '?' not coded."""
    return np.array([[np.nan if c == "?" else float(c)] for c in text])


def counted(said, truth, *, overlap=0.5, clip=None, frame=None):
    count = len(truth)
    clip = np.zeros(count, int) if clip is None else np.array(clip)
    frame = np.arange(count) if frame is None else np.array(frame)
    result = events(np.nan_to_num(column(said)), column(truth), clip=clip, frame=frame, overlap=overlap)
    return tuple(int(value[0]) for value in result)


@pytest.mark.parametrize(
    ("said", "truth", "expected"),
    [
        ("0110000", "0110000", (1, 1, 1, 1)),
        ("0000110", "0110000", (1, 0, 1, 0)),
        ("0100000", "0110000", (1, 1, 1, 1)),  # half is enough
        ("0100000", "0111000", (1, 0, 1, 1)),  # a third is not, though what was said is right
        ("0111111", "0110000", (1, 1, 1, 0)),  # found, but mostly wrong
        ("1010101", "1111111", (1, 1, 4, 4)),  # fragments
        ("1111111", "1110111", (2, 2, 1, 1)),
        ("0000000", "0000000", (0, 0, 0, 0)),
    ],
)
def test_events_are_runs_and_count_when_half_of_them_agrees(said, truth, expected):
    assert counted(said, truth) == expected


def test_a_stricter_overlap_finds_less():
    assert counted("0111100", "0011110", overlap=0.75) == (1, 1, 1, 1)
    assert counted("0111100", "0011110", overlap=0.8) == (1, 0, 1, 0)


def test_the_end_of_a_clip_and_a_gap_in_the_frames_end_an_event():
    assert counted("1111", "1111") == (1, 1, 1, 1)
    assert counted("1111", "1111", clip=[0, 0, 1, 1], frame=[1, 2, 3, 4]) == (2, 2, 2, 2)
    assert counted("1111", "1111", frame=[1, 2, 9, 10]) == (2, 2, 2, 2)


def test_frames_that_are_not_coded_belong_to_no_event():
    assert counted("1111", "1??1") == (2, 2, 2, 2)
    assert counted("0110", "0??0") == (0, 0, 0, 0)


def test_rows_may_come_in_any_order():
    generator = np.random.default_rng(0)
    truth = (generator.random((60, 3)) < 0.4).astype(float)
    prob, clip, frame = generator.random((60, 3)), np.repeat([0, 1, 2], 20), np.tile(np.arange(20), 3)
    order = generator.permutation(60)
    expected = event_f1_per_au(prob, truth, clip=clip, frame=frame)
    np.testing.assert_array_equal(
        event_f1_per_au(prob[order], truth[order], clip=clip[order], frame=frame[order]), expected
    )


@given(st.text("01?", min_size=1, max_size=30), st.floats(0.1, 1))
def test_a_perfect_detector_finds_every_event(truth, overlap):
    label = column(truth)
    frame = np.arange(len(truth))
    f1 = event_f1_per_au(np.nan_to_num(label), label, clip=np.zeros(len(truth)), frame=frame, overlap=overlap)
    if "1" in truth:
        assert f1[0] == 1
    else:
        assert np.isnan(f1[0])


def test_missing_everything_is_zero_and_not_undefined():
    label = column("0110")
    assert event_f1_per_au(np.zeros((4, 1)), label, clip=np.zeros(4), frame=np.arange(4))[0] == 0


def test_two_people_who_share_a_clip_number_are_noticed():
    with pytest.raises(ValueError, match="comes twice"):
        events(np.ones((2, 1)), np.ones((2, 1)), clip=[0, 0], frame=[1, 1])
    with pytest.raises(ValueError, match="one clip and frame"):
        events(np.ones((2, 1)), np.ones((2, 1)), clip=[0], frame=[1, 1])
