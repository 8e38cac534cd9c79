import numpy as np
import pandas as pd
import pytest

from fau_utils.own import layouts

AUS, LEAST = (1, 4, 12, 24), np.array([0.5, 0.3, 0.5, 0.5])


@pytest.fixture
def rows():
    """A face with an answer, one that is turned away, and a frame without any."""
    nothing = dict.fromkeys(layouts.FACE, np.nan)
    face = {**nothing, "x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "score": 0.99, "yaw": 90.0, "pitch": 0.0}
    answer = {"abstained": "", "AU1": 0.9, "AU4": 0.4, "AU12": 0.1, "AU24": 0.6}
    place = {"input": "a.mp4", "frame": 0, "time": 0.0}
    table = pd.DataFrame(
        [
            {**place, "face": 0, **face, **answer},
            {**place, "face": 1, **face, "abstained": "turned"},
            {**place, "frame": 1, "time": 0.04, "face": None, **nothing, "abstained": "no face"},
        ]
    )
    return table.astype({"face": "Int64"})


def test_decisions_follow_each_aus_own_threshold_and_stay_empty_where_it_abstains(rows):
    made = layouts.ours(rows, aus=AUS, threshold=LEAST)
    assert made.loc[0, ["AU1_present", "AU4_present", "AU12_present", "AU24_present"]].tolist() == [1, 1, 0, 1]
    assert made.loc[1:, [f"AU{n}_present" for n in AUS]].isna().all(axis=None)


def test_pyfeat_finds_its_columns(rows):
    made = layouts.pyfeat(rows, aus=AUS, threshold=LEAST)
    wanted = [
        "FaceRectX",
        "FaceRectY",
        "FaceRectWidth",
        "FaceRectHeight",
        "FaceScore",
        "Pitch",
        "Roll",
        "Yaw",
        "input",
        "frame",
    ]
    assert set(wanted) <= set(made)
    aus = [name for name in made if name.startswith("AU")]
    assert len(aus) == 20
    assert (aus[0], aus[-1]) == ("AU01", "AU43")
    assert made.loc[0, ["AU01", "AU04", "AU24"]].tolist() == [0.9, 0.4, 0.6]
    assert made["AU43"].isna().all()
    assert made["Identity"].fillna("nobody").tolist() == ["Person_0", "Person_1", "nobody"]


def test_openface_finds_its_columns_and_no_intensity_is_made_up(rows):
    made = layouts.openface(rows, aus=AUS, threshold=LEAST)
    assert list(made)[:5] == ["frame", "face_id", "timestamp", "confidence", "success"]
    assert made["frame"].tolist() == [1, 1, 2]
    assert made["success"].tolist() == [1, 0, 0]
    assert made["confidence"].tolist() == [0.99, 0.99, 0.0]
    assert made["pose_Ry"][0] == pytest.approx(np.pi / 2)
    intensity, present = ([n for n in made if n.startswith("AU") and n.endswith(end)] for end in ("_r", "_c"))
    assert (len(intensity), len(present)) == (17, 18)
    assert made[intensity].isna().all(axis=None)
    assert made.loc[0, ["AU01_c", "AU04_c", "AU12_c"]].tolist() == [1, 1, 0]
    assert made.loc[1:, present].isna().all(axis=None)
    assert "AU24_c" not in made  # OpenFace has none


def test_a_persons_own_baseline_decides_where_it_was_asked_for(rows):
    own = rows.assign(**{f"AU{n}_own": rows[f"AU{n}"] - 0.45 for n in AUS})
    assert layouts.ours(own, aus=AUS, threshold=LEAST).loc[0, "AU1_present"] == 0
    assert layouts.pyfeat(own, aus=AUS, threshold=LEAST)["AU01"][0] == pytest.approx(0.45)
    assert layouts.openface(own, aus=AUS, threshold=LEAST)["AU01_c"][0] == 0


def test_every_column_of_ours_is_explained(rows):
    names = {name for name in layouts.ours(rows, aus=AUS, threshold=LEAST) if not name.startswith("AU")}
    assert names <= set(layouts.UNITS)
