import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.own.tracks import Tracker, overlap


def _box(x, y=50.0, side=40.0):
    return np.array([x, y, x + side, y + side])


def test_overlap_is_one_for_the_same_box_and_nought_for_boxes_apart():
    share = overlap(np.stack([_box(0), _box(20)]), np.stack([_box(0), _box(100)]))
    assert np.allclose(share, [[1, 0], [1 / 3, 0]])


def test_two_faces_that_pass_each_other_keep_their_numbers():
    tracker = Tracker()
    for t in range(40):
        numbers = tracker.number([_box(4 * t, y=50), _box(160 - 4 * t, y=74)], frame=t)
        assert numbers == [0, 1]


@given(st.permutations(range(4)))
def test_the_order_in_which_faces_are_found_does_not_matter(order):
    tracker = Tracker()
    boxes = [_box(100 * k) for k in range(4)]
    tracker.number(boxes, frame=0)
    assert tracker.number([boxes[k] for k in order], frame=1) == list(order)


def test_who_comes_back_soon_keeps_the_number_and_who_comes_late_gets_a_new_one():
    tracker = Tracker(patience=10)
    assert tracker.number([_box(0)], frame=0) == [0]
    assert tracker.number([_box(2)], frame=10) == [0]
    assert tracker.number([_box(2)], frame=21) == [1]


def test_numbers_are_never_given_twice():
    tracker = Tracker(patience=1)
    assert [tracker.number([_box(300 * (t % 2))], frame=5 * t)[0] for t in range(5)] == [0, 1, 2, 3, 4]


def test_a_face_that_moves_fast_is_followed_by_its_speed():
    tracker = Tracker()
    places = [0, 10, 24, 42, 64, 90, 120]
    assert {tracker.number([_box(x, side=30)], frame=t)[0] for t, x in enumerate(places)} == {0}


def test_a_tracker_goes_on_from_its_state():
    one, other = Tracker(), Tracker()
    one.number([_box(0), _box(100)], frame=0)
    other.state = json.loads(json.dumps(one.state))
    boxes = [_box(102), _box(1), _box(300)]
    assert one.number(boxes, frame=1) == other.number(boxes, frame=1) == [1, 0, 2]
