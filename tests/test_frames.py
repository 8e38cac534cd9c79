import numpy as np
import pandas as pd
import pytest

from fau_utils.frames import Frames


def table(**changes):
    columns = {
        "dataset": ["bp4d"] * 4,
        "subject": ["bp4d/F001", "bp4d/F001", "bp4d/M002", "bp4d/M002"],
        "clip": ["T1", "T1", "T1", "T2"],
        "frame": [2, 10, 2, 2],
        "path": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "AU12": [1, 0, None, 1],
        "AU1": [0, None, 1, 1],
    }
    return pd.DataFrame({**columns, **changes})


def test_labels_follow_the_asked_order_whatever_the_order_of_columns():
    frames = Frames(table())
    assert frames.aus == (1, 12)
    np.testing.assert_array_equal(frames.labels((12, 1)), np.array([[1, 0], [0, np.nan], [np.nan, 1], [1, 1]]))
    np.testing.assert_array_equal(frames.labels((1,))[:, 0], [0, np.nan, 1, 1])


def test_unknown_is_neither_present_nor_absent():
    labels = Frames(table()).labels((12,))
    assert np.isnan(labels[2, 0])
    assert (labels == 0).sum() == 1


def test_au_that_is_not_coded_is_an_error_or_a_column_of_nan():
    with pytest.raises(ValueError, match=r"AU \[25\] is not in this table.*\[1, 12\]"):
        Frames(table()).labels((12, 25))
    labels = Frames(table()).labels((12, 25), absent="unknown")
    assert np.isnan(labels[:, 1]).all()
    assert not np.isnan(labels[:, 0]).all()


def test_intensity_needs_a_cut_and_occurrence_refuses_one():
    intensity = Frames(table(AU12=[0, 1, 2, None], AU1=[5, 4, 3, 2]), scale="intensity")
    np.testing.assert_array_equal(intensity.labels((12,), cut=2)[:, 0], [0, 0, 1, np.nan])
    np.testing.assert_array_equal(intensity.intensity((12,))[:, 0], [0, 1, 2, np.nan])
    with pytest.raises(ValueError, match="pass cut=2"):
        intensity.labels((12,))
    with pytest.raises(ValueError, match="has no meaning"):
        Frames(table()).labels((12,), cut=2)


def test_code_9_is_refused_rather_than_read_as_a_label():
    with pytest.raises(ValueError, match=r"found 9 in row 1 and 0 more.*null"):
        Frames(table(AU12=[0, 9, 1, 1]))


@pytest.mark.parametrize("name", ["au12", "AU_12", "AU012", "AU12_r"])
def test_misnamed_au_column_is_refused(name):
    with pytest.raises(ValueError, match="rename it"):
        Frames(table().rename(columns={"AU12": name}))


def test_subject_without_its_dataset_is_refused():
    with pytest.raises(ValueError, match="'bp4d/F001', found 'F001'"):
        Frames(table(subject=["F001", "F001", "bp4d/M002", "bp4d/M002"]))


def test_two_rows_with_one_key_are_refused():
    with pytest.raises(ValueError, match=r"2 rows share their key.*\[0, 1\]"):
        Frames(table(frame=[2, 2, 2, 2]))
    with pytest.raises(ValueError, match="share their key"):
        Frames(table()).select([0, 0])


def test_same_frame_from_two_cameras_is_two_frames():
    frames = Frames(table(frame=[2, 2, 2, 2], camera=["left", "right", "left", "left"]))
    assert len(frames) == 4


def test_frame_numbers_are_numbers_whatever_their_padding():
    frames = Frames(table(frame=["0002", "10", "2", "002"]))
    assert frames.table["frame"].tolist() == [2, 10, 2, 2]
    with pytest.raises(ValueError, match="whole frame numbers"):
        Frames(table(frame=["2", "x", "3", "4"]))


def test_missing_key_column_and_empty_key_are_named():
    with pytest.raises(ValueError, match=r"no \['clip'\]"):
        Frames(table().drop(columns="clip"))
    with pytest.raises(ValueError, match="'clip' is empty in row 2 and 0 more"):
        Frames(table(clip=["T1", "T1", None, "T2"]))


def test_same_clip_name_of_two_people_is_two_clips():
    assert Frames(table()).clip_index().tolist() == [0, 0, 1, 2]


def test_subject_index_follows_a_given_list_and_marks_strangers():
    frames = Frames(table())
    assert frames.subjects == ("bp4d/F001", "bp4d/M002")
    assert frames.subject_index().tolist() == [0, 0, 1, 1]
    assert frames.subject_index(["bp4d/M002"]).tolist() == [-1, -1, 0, 0]


def test_select_by_mask_and_by_position_agree():
    frames = Frames(table())
    mask = np.array([False, True, False, True])
    pd.testing.assert_frame_equal(frames.select(mask).table, frames.select([1, 3]).table)
    with pytest.raises(ValueError, match="mask of 4"):
        frames.select([True, False])


def test_concatenation_leaves_uncoded_aus_unknown():
    disfa = pd.DataFrame({"dataset": ["disfa"], "subject": ["disfa/SN001"], "clip": ["v"], "frame": [1], "AU25": [1]})
    both = Frames.concat([Frames(table()), Frames(disfa)])
    assert both.aus == (1, 12, 25)
    assert np.isnan(both.labels((1, 12))[4]).all()
    assert np.isnan(both.labels((25,))[:4]).all()
    with pytest.raises(ValueError, match="one scale"):
        Frames.concat([Frames(table()), Frames(disfa, scale="intensity")])


@pytest.mark.parametrize("scale", ["occurrence", "intensity"])
def test_parquet_round_trip_keeps_nulls_scale_and_other_columns(tmp_path, scale):
    frames = Frames(table(AU4=[None] * 4), scale=scale)
    frames.to_parquet(tmp_path / "frames.parquet")
    again = Frames.read_parquet(tmp_path / "frames.parquet")
    assert again.scale == scale
    pd.testing.assert_frame_equal(again.table, frames.table)
    assert again.table["AU12"].isna().tolist() == [False, False, True, False]
    assert [p.name for p in tmp_path.iterdir()] == ["frames.parquet"]


def test_foreign_parquet_is_refused_with_advice(tmp_path):
    table().to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(ValueError, match="scale="):
        Frames.read_parquet(tmp_path / "foreign.parquet")


def test_the_callers_table_is_left_alone():
    given = table()
    before = given.copy()
    Frames(given)
    pd.testing.assert_frame_equal(given, before)


def test_a_dataset_of_150_thousand_frames_is_checked_quickly():
    import time

    size = 150_000
    big = pd.DataFrame(
        {"dataset": "bp4d", "subject": [f"bp4d/F{i % 41:03d}" for i in range(size)], "clip": "T1", "frame": range(size)}
        | {f"AU{n}": np.zeros(size) for n in (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)}
    )
    begin = time.process_time()
    Frames(big)
    assert time.process_time() - begin < 5
