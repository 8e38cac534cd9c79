import json

import pytest

from fau_utils.own.limits import NO_FACE, REASONS, Limits

GOOD = {"score": 0.99, "eyes": 40, "yaw": 3, "pitch": -4, "outside": 0.0, "distance": 1.0}


def test_a_face_within_the_limits_gives_no_reason():
    assert Limits(distance=2.0).reason(GOOD) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": 0.5}, "unsure"),
        ({"eyes": 5}, "small"),
        ({"yaw": -50}, "turned"),
        ({"pitch": 50}, "turned"),
        ({"outside": 0.5}, "cut off"),
        ({"distance": 3.0}, "unlike training"),
        ({"distance": 3.0, "score": 0.1}, "unsure"),
    ],
)
def test_each_limit_has_its_reason(change, reason):
    assert Limits(distance=2.0).reason(GOOD | change) == reason
    assert reason in REASONS


def test_what_is_not_known_holds_nothing_back():
    assert Limits(distance=2.0).reason(GOOD | dict.fromkeys(("yaw", "pitch", "distance"), float("nan"))) == ""


def test_limits_survive_json_which_has_no_infinity():
    limits = Limits(eyes=16.0)
    assert Limits.from_dict(json.loads(json.dumps(limits.as_dict(), allow_nan=False))) == limits


def test_every_reason_is_explained():
    assert NO_FACE in REASONS
    assert all(REASONS.values())
