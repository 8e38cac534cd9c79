"""DISFA's files sort in another order than their AUs, and code bases count its frames from 0 and from 1."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import aus
from fau_utils.data import disfa, landmarks, video
from fau_utils.data.layouts import disfa as layout
from fau_utils.data.layouts import footage
from fau_utils.data.tree import DatasetError

TINY = {"film": footage.numbered, "res": 32, "frames": 20}
EXTRACTED = ("jaa", "megraph", "aunet", "fmae", "libreface")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("disfa")
    return root, layout.export(root, extracted=EXTRACTED, **TINY)


@pytest.fixture
def copy(tree, tmp_path):
    shutil.copytree(tree[0], tmp_path / "DISFA")
    return tmp_path / "DISFA"


def _labels(root, au=12, subject="SN001"):
    return root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"


def _replace(path, line, text):
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


def _of(frames, subject="SN001"):
    return frames.table[frames.table["subject"] == f"disfa/{subject}"].reset_index(drop=True)


def test_reader_finds_what_was_written(tree):
    root, truth = tree
    frames = disfa.read(root, camera="both")
    pd.testing.assert_frame_equal(frames.table[list(truth.table.columns)], truth.table)
    assert frames.scale == "intensity"
    assert len(disfa.SUBJECTS) == 27


def test_sorted_files_are_not_sorted_aus(tree):
    root, _ = tree
    folder = root / "ActionUnit_Labels" / "SN001"
    listed = sorted(path for path in folder.glob("*.txt"))
    naive = pd.DataFrame(  # naive (LibreFace create_csv): listing order under fixed column names
        {f"AU{n}": np.loadtxt(path, delimiter=",")[:, 1] for n, path in zip(disfa.AUS, listed, strict=True)}
    )
    right = pd.DataFrame({f"AU{n}": np.loadtxt(_labels(root, n), delimiter=",")[:, 1] for n in disfa.AUS})
    read = _of(disfa.read(root))[list(right)].astype(float)
    pd.testing.assert_frame_equal(read, right)
    assert (naive["AU1"] == right["AU1"]).all()  # the first agrees, so a glance does not show it
    assert (naive["AU2"] == right["AU12"]).all()
    assert (naive != right).any().sum() >= 5


def test_positive_means_two_or_more(tree):
    frames = disfa.read(tree[0])
    raw = frames.intensity([12])
    assert ((raw == 1).any(), (raw >= 2).any()) == (True, True)
    assert (frames.labels([12], cut=2) == (raw >= 2)).all()
    assert (frames.labels([12], cut=2) != (raw > 0)).any()  # naive: any trace is a positive


def test_both_cameras_are_found_under_a_plural_and_a_singular_folder(tree):
    root, _ = tree
    assert sorted(p.name for p in root.iterdir() if p.name.startswith("Video")) == [
        "Video_RightCamera",
        "Videos_LeftCamera",
    ]
    naive = [root / f"Videos_{side}Camera" for side in ("Left", "Right")]
    assert [path.is_dir() for path in naive] == [True, False]
    for side in ("left", "right"):
        frames = disfa.read(root, camera=side)
        assert set(frames.table["camera"]) == {side}
        for at in (0, 7, len(frames) - 1):
            row = frames.table.iloc[at]
            image = video.read(root / row["path"], [row["index"]])[0]
            assert footage.number_in(image) == (row["frame"] - 1, side)
    assert len(disfa.read(root, camera="both")) == 2 * len(disfa.read(root))


def test_label_1_is_the_first_frame_of_the_video(tree):
    root, _ = tree
    row = _of(disfa.read(root)).iloc[4]
    naive = footage.number_in(video.read(root / row["path"], [row["frame"]])[0])[0]  # naive: the label's number
    assert naive == row["frame"]  # the picture after the labelled one
    assert row["index"] == row["frame"] - 1


def test_labels_are_keyed_by_their_printed_number(copy):
    for n in disfa.AUS:
        lines = _labels(copy, n).read_text().splitlines()
        _labels(copy, n).write_text("\n".join(lines[3:]) + "\n")
    table = _of(disfa.read(copy))
    naive = np.arange(len(table))  # naive (ME-GraphAU): the line's place
    assert table["index"].iloc[0] == 3
    assert (table["index"] != naive).all()


@pytest.mark.parametrize(
    ("naming", "first", "last", "camera"),
    [
        ("jaa", "SN001/0.jpg", "SN001/19.jpg", "left"),
        ("megraph", "SN001/0.png", "SN001/19.png", "left"),
        ("aunet", "LeftVideoSN001_comp_00000000.jpg", "LeftVideoSN001_comp_00000019.jpg", "left"),
        ("fmae", "RightVideoSN001/frame_1.jpg", "RightVideoSN001/frame_20.jpg", "right"),
        ("libreface", "SN001/0001.png", "SN001/0020.png", "right"),
    ],
)
def test_extracted_frames_are_matched_by_each_code_bases_numbers(tree, naming, first, last, camera):
    root, _ = tree
    frames = disfa.read(root, images=f"extracted/{naming}", naming=naming)
    table = _of(frames)
    assert table["path"].iloc[0] == f"extracted/{naming}/{first}"
    assert table["path"].iloc[-1] == f"extracted/{naming}/{last}"
    assert set(table["naming"]) == {naming}
    for row in table.iloc[::6].itertuples():
        shown = footage.number_in(np.array(Image.open(root / row.path).convert("RGB")))
        assert shown == (row.frame - 1, camera)
    assert disfa.NAMINGS[naming].name("SN001", 1) == first
    assert disfa.NAMINGS[naming].frame(disfa.NAMINGS[naming].first) == 1


def test_one_image_name_means_two_pictures(tree):
    root, _ = tree
    both = {
        name: _of(disfa.read(root, images=f"extracted/{name}", naming=name)).set_index("path")
        for name in ("jaa", "fmae")
    }
    jaa = both["jaa"].loc["extracted/jaa/SN001/7.jpg"]
    fmae = both["fmae"].loc["extracted/fmae/RightVideoSN001/frame_7.jpg"]
    assert (jaa["frame"], fmae["frame"]) == (8, 7)  # naive: "image 7 is label 7" is right for one of them
    assert (jaa["camera"], fmae["camera"]) == ("left", "right")


def test_the_wrong_index_base_is_noticed(tree):
    root, _ = tree
    with pytest.raises(DatasetError, match=r"line 20: expected a picture of frame 20 .*20 images, numbered 0 to 19"):
        disfa.read(root, images="extracted/megraph", naming="libreface")
    with pytest.raises(DatasetError, match=r"line 1: expected a picture of frame 1 .*20 images, numbered 1 to 20"):
        disfa.read(root, images="extracted/libreface", naming="jaa")


def test_images_and_naming_go_together(tree):
    with pytest.raises(ValueError, match="extracted images need naming"):
        disfa.read(tree[0], images="extracted/jaa")
    with pytest.raises(ValueError, match="pass images= too"):
        disfa.read(tree[0], naming="jaa")
    with pytest.raises(ValueError, match="expected camera"):
        disfa.read(tree[0], camera="middle")


def test_landmark_files_count_from_0_for_some_people(tree):
    root, _ = tree
    frames = disfa.read(root)
    for subject, first in (("SN001", 1), ("SN003", 0)):
        table = _of(frames, subject)
        numbers = [int(path.split("/")[-1][:5]) for path in table["landmarks"]]
        assert numbers[0] == first
        for row in table.iloc[[0, 9]].itertuples():
            points = landmarks.read_points(root / row.landmarks)
            assert points.shape == (66, 2)
            assert points[0, 0] == row.frame  # numbered pictures: index, and MATLAB counts from 1
    naive = root / "Landmark_Points/SN003" / f"{_of(frames, 'SN003')['frame'].iloc[0]:05d}_lm.mat"
    assert landmarks.read_points(naive)[0, 0] != 1  # naive: the file of the same number is the next frame's


def test_landmarks_of_the_left_camera_are_not_put_on_the_right_one(tree):
    frames = disfa.read(tree[0], camera="both").table
    assert frames.query("camera == 'left'")["landmarks"].notna().all()
    assert frames.query("camera == 'right'")["landmarks"].isna().all()


def test_one_person_has_a_frame_less(tree):
    frames = disfa.read(tree[0])
    assert (len(_of(frames, "SN001")), len(_of(frames, "SN010"))) == (20, 19)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, "5,6", r"SN001_au12\.txt, line 5: expected an intensity from 0 to 5 for AU12, found 6"),
        (5, "5,9", r"line 5: expected an intensity from 0 to 5 for AU12, found 9"),  # DISFA has no code for unknown
        (5, "5,1.5", r"line 5: .* found 1\.5"),
        (5, "5", r"line 5: expected 2 numbers, found 1"),
        (5, "5,a", r"line 5: expected a number, found 'a'"),
        (5, "4,0", r"line 5: expected each frame once, found frame 4 again, first in line 4"),
        (1, "0,0", r"line 1: expected frame numbers from 1, found 0"),
        (20, "21,0", r"line 20: expected 20 lines, .*\(frame 20 here\), found 20 lines \(frame 21 here\)"),
    ],
)
def test_a_wrong_line_is_named(copy, line, text, message):
    _replace(_labels(copy), line, text)
    with pytest.raises(DatasetError, match=message) as raised:
        disfa.read(copy)
    assert raised.value.file == _labels(copy)


def test_a_file_with_fewer_lines_than_the_others_is_named_or_null(copy):
    path = _labels(copy, 9)
    path.write_text("\n".join(path.read_text().splitlines()[:-3]) + "\n")
    with pytest.raises(DatasetError, match=r"SN001_au9\.txt, line 18: expected 20 lines.*found 17 lines"):
        disfa.read(copy)
    table = _of(disfa.read(copy, allow_missing=True))
    assert table["AU9"].isna().tolist() == [False] * 17 + [True] * 3
    assert table["AU12"].notna().all()


def test_a_missing_or_empty_file_is_named_or_null(copy):
    _labels(copy, 25).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"SN001_au25\.txt: .*empty file"):
        disfa.read(copy)
    _labels(copy, 25).unlink()
    with pytest.raises(DatasetError, match=r"SN001: expected a file with labels of AU25, found files of \[1, 2, 4"):
        disfa.read(copy)
    table = disfa.read(copy, allow_missing=True).table
    assert table["AU25"].isna().sum() == 20  # unknown for this person, known for the other
    assert disfa.read(copy, aus=aus.DISFA[:6]).aus == aus.DISFA[:6]


def test_a_file_in_another_persons_folder_is_refused(copy):
    shutil.move(_labels(copy, 1, "SN010"), _labels(copy, 1).parent)
    with pytest.raises(DatasetError, match=r"SN010_au1\.txt: expected labels of SN001"):
        disfa.read(copy)


def test_more_labels_than_frames_are_refused(copy):
    for n in disfa.AUS:
        with _labels(copy, n).open("a") as file:
            file.write("21,0\n")
    with pytest.raises(DatasetError, match=r"line 21: expected a picture of frame 21 .*a video of 20 frames"):
        disfa.read(copy)
    assert disfa.read(copy, allow_missing=True).table["path"].isna().sum() == 1


def test_more_frames_than_labels_are_reported(copy, caplog):
    for n in disfa.AUS:
        lines = _labels(copy, n).read_text().splitlines()
        _labels(copy, n).write_text("\n".join(lines[:-1]) + "\n")
    with caplog.at_level(logging.WARNING):
        disfa.read(copy)
    assert "labels end with frame 19" in caplog.text


def test_a_missing_or_damaged_video_is_named(copy):
    path = copy / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi"
    path.write_bytes(b"RIFF nothing")
    with pytest.raises(DatasetError, match=r"LeftVideoSN001_comp\.avi: expected a video"):
        disfa.read(copy)
    path.unlink()
    with pytest.raises(DatasetError, match=r"line 1: expected a picture of frame 1 in the left pictures of SN001"):
        disfa.read(copy)
    table = disfa.read(copy, allow_missing=True).table
    assert table["path"].isna().sum() == 20
    assert disfa.read(copy, camera="right").table["path"].notna().all()


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="expected one folder called ActionUnit_Labels, found an empty folder"):
        disfa.read(tmp_path)


def test_a_landmark_file_of_another_kind_is_refused(copy):
    path = copy / "Landmark_Points/SN001/00001_lm.mat"
    path.write_bytes(b"no matlab file")
    with pytest.raises(DatasetError, match=r"00001_lm\.mat: expected a MATLAB file"):
        landmarks.read_points(path)
    from scipy.io import savemat

    savemat(path, {"pts": np.zeros((49, 2))})
    with pytest.raises(DatasetError, match="expected one array of 66 points"):
        landmarks.read_points(path)
    with pytest.raises(DatasetError, match="expected a struct array 'fit'"):
        landmarks.read_track(path)
