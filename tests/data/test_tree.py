"""Names decide, and every complaint names its file, its line and what to do."""

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.data.tree import (
    IMAGE_SUFFIXES,
    DatasetError,
    au_number,
    existing_root,
    files,
    frame_number,
    image_numbers,
    one_folder,
    read_numbers,
    refuse_outside,
    refuse_repeated,
    subfolders,
    whole,
)


def test_error_says_where_what_and_what_to_do():
    error = DatasetError("a/SN001_au1.txt", line=7, expected="a number", found="'x'", hint="extract again")
    assert str(error) == "a/SN001_au1.txt, line 7: expected a number, found 'x'; extract again"
    assert str(DatasetError("a", expected="b", found="c", hint="d")) == "a: expected b, found c; d"


def test_error_survives_the_way_back_from_a_worker_process():
    error = DatasetError("file.csv", line=3, expected="b", found="c", hint="d")
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error)
    assert (back.file, back.line, back.hint) == (error.file, 3, "d")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SN001_au12.txt", 12), ("SN001_au1.txt", 1), ("AU06", 6), ("F001_T1_AU06.csv", 6), ("'AU 43'", 43),
        ("AU4.txt", 4), ("A1_AU1_TrailNo_1/AU12.txt", 12),
    ],
)  # fmt: skip
def test_au_number_stands_in_the_name(name, number):
    assert au_number(name) == number


@pytest.mark.parametrize("name", ["SN001.txt", "plateau3.txt", "au.txt", "A1_AU1_AU12.txt"])
def test_names_without_one_au_number_are_refused(name):
    with pytest.raises(DatasetError, match="one AU number"):
        au_number(name)


def test_sorted_names_are_not_in_the_order_of_their_numbers():
    names = [f"SN001_au{n}.txt" for n in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)]
    assert [au_number(n) for n in sorted(names)] == [1, 12, 15, 17, 2, 20, 25, 26, 4, 5, 6, 9]


@pytest.mark.parametrize(
    ("name", "number"), [("1.jpg", 1), ("0001.jpg", 1), ("frame_12.png", 12), ("LeftVideoSN001_comp_00000007.jpg", 7)]
)
def test_frame_number_has_any_padding(name, number):
    assert frame_number(name) == number


def test_images_are_keyed_by_number_and_litter_is_passed_over():
    names = ["10.jpg", "0002.JPG", "._2.jpg", "Thumbs.db", "3.png"]
    assert image_numbers(names, folder="T1") == {10: "10.jpg", 2: "0002.JPG", 3: "3.png"}


def by_paths(names):
    """The same by ``pathlib``, as it reads best."""
    kept = [name for name in names if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES]
    return {frame_number(name): name for name in kept}


NAMES = st.from_regex(r"[.a_ -]{0,3}[0-9]{1,6}[a_]{0,2}\.(jpg|JPEG|png|bmp|txt|)", fullmatch=True)


@given(st.lists(NAMES, max_size=8, unique_by=frame_number))
def test_numbers_are_found_as_by_paths(names):
    assert image_numbers(names, folder="T1") == by_paths(names)


def test_millions_of_names_take_seconds():
    names = [f"{n:05d}.jpg" for n in range(20_000)]
    spent = {}
    for way in (by_paths, lambda names: image_numbers(names, folder="T1")) * 3:
        begin = time.perf_counter()
        way(names)
        spent.setdefault(way is by_paths, []).append(time.perf_counter() - begin)
    assert min(spent[True]) > 3 * min(spent[False])


def test_listing_a_folder_asks_the_disk_for_no_file_of_it(tmp_path, monkeypatch):
    for n in range(20):
        (tmp_path / f"{n}.jpg").touch()
        (tmp_path / f"SN{n:03d}").mkdir()
    asked = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *rest, **options: asked.append(path) or stat(path, *rest, **options))
    assert len(files(tmp_path, r".*\.jpg")) == len(subfolders(tmp_path, r"SN\d{3}")) == 20
    assert len(asked) <= 4


def test_two_images_of_one_frame_are_refused():
    with pytest.raises(DatasetError, match=r"0007\.jpg.*one image of frame 7, found another, 7\.jpg"):
        image_numbers(["7.jpg", "0007.jpg"], folder="T1")


def test_folders_are_found_by_pattern_whatever_their_case(tmp_path):
    for name in ("Videos_LeftCamera", "video_rightcamera", "SN001", "sn002"):
        (tmp_path / name).mkdir()
    assert one_folder(tmp_path, r"videos?_leftcamera", called="left").name == "Videos_LeftCamera"
    assert one_folder(tmp_path, r"videos?_rightcamera", called="right").name == "video_rightcamera"
    assert set(subfolders(tmp_path, r"SN\d{3}")) == {"SN001", "sn002"}
    assert one_folder(tmp_path, "none", called="none", required=False) is None
    with pytest.raises(DatasetError, match=r"expected one folder called Labels, found SN001, Videos_LeftCamera"):
        one_folder(tmp_path, "labels", called="Labels")
    with pytest.raises(DatasetError, match="keep one of them"):
        one_folder(tmp_path, r"videos?_.*", called="Videos")


def test_files_leave_out_folders_and_hidden_ones(tmp_path):
    (tmp_path / "AU1.txt").touch()
    (tmp_path / "._AU1.txt").touch()
    (tmp_path / "AU2.txt").mkdir()
    assert list(files(tmp_path, r".*AU\d+\.txt")) == ["AU1.txt"]
    assert files(tmp_path / "nowhere", ".*") == {}


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="found nothing of this name"):
        existing_root(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="found a file"):
        existing_root(tmp_path / "file")


def test_numbers_keep_their_lines_through_blank_lines_comments_and_line_ends(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf0,1\r\n5,0\r\n\r\n# note\r\n6, 1\r\n")
    table = read_numbers(path, header=True, comment="#")
    assert table.header == ("0", "1")
    assert table.values.tolist() == [[5, 0], [6, 1]]
    assert table.line.tolist() == [2, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected lines of text, found an empty file \(0 bytes\)"),
        (b"\n \n", r"found an empty file \(3 bytes\)"),
        (b"1,2\n3\n", r"line 2: expected 2 numbers, found 1"),
        (b"1,2\n3,x\n", r"line 2: expected a number, found 'x'"),
        (b"1,2\n3,nan\n", r"line 2: expected a number, found 'nan'"),
        (b"1,2\n3,\n", r"line 2: expected a number, found ''"),
        (b"1,2\n\xff\xfe,4\n", r"line 2: expected text, found the byte 0xff"),
    ],
)
def test_damaged_tables_are_named_by_line(tmp_path, content, message):
    path = tmp_path / "SN001_au1.txt"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as raised:
        read_numbers(path)
    assert raised.value.file == path


def test_a_header_alone_is_not_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0,1,2\n")
    with pytest.raises(DatasetError, match="expected rows of numbers, found none"):
        read_numbers(path, header=True)
    with pytest.raises(DatasetError, match="no file of this name"):
        read_numbers(tmp_path / "b.csv")


def test_codes_fractions_and_repeats_are_named_by_line(tmp_path):
    values, line = np.array([1.0, 7.0, 7.0, 2.5]), np.array([2, 3, 5, 6])
    with pytest.raises(DatasetError, match=r"line 3: expected 0 or 1 for AU12, found 7 \(and 2 lines more\)"):
        refuse_outside(values, (0, 1), path=tmp_path, line=line, what="AU12", meaning="0 or 1")
    with pytest.raises(DatasetError, match=r"line 6: expected a whole number as frame number, found 2\.5"):
        whole(values, path=tmp_path, line=line, what="frame number")
    with pytest.raises(DatasetError, match=r"line 5: expected each frame once, found frame 7 again, first in line 3"):
        refuse_repeated(values[:3].astype(int), path=tmp_path, line=line)
