"""The format is our reading of what is public: these tests hold the reader to its own docstring, not to the data."""

import logging

import numpy as np
import pandas as pd
import pytest

from fau_utils.data import gft
from fau_utils.data.tree import DatasetError, MissingPicture
from fau_utils.data.video import write

HEADER = "Frame,AU01,AU02,AU4,AU6,AU10,AU12,AU14,AU15,AU23,AU24"


def a_person(root, name, rows, *, header=HEADER, video=8):
    path = root / "AU_Occurrence" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    if video:
        (root / "Videos").mkdir(exist_ok=True)
        grey = np.full((16, 16, 3), 120, "uint8")
        write(root / "Videos" / f"{name}.mp4", [grey] * video, codec="mpeg4")
    return path


def test_a_table_is_three_people_of_three_faces(tmp_path):
    for seat in "ABC":
        a_person(tmp_path, f"001{seat}", [f"1,{'0,' * 9}1"])
    frames = gft.read(tmp_path)
    assert frames.subjects == ("gft/001A", "gft/001B", "gft/001C")
    assert set(frames.table["group"]) == {"001"}
    assert frames.table["path"].tolist() == [f"Videos/001{seat}.mp4" for seat in "ABC"]
    assert frames.aus == gft.AUS


@pytest.mark.parametrize("code", [-1, 9, 999])
def test_every_code_for_not_coded_is_unknown(tmp_path, code):
    a_person(tmp_path, "001A", [f"1,{code},{'0,' * 8}1"])
    row = gft.read(tmp_path).table.iloc[0]
    assert pd.isna(row["AU1"])
    assert (row["AU2"], row["AU24"]) == (0, 1)


def test_columns_and_frames_go_by_name_and_number(tmp_path):
    header = ",".join(reversed(HEADER.split(",")))
    a_person(tmp_path, "001A", [f"1,{'0,' * 9}5", f"0,{'0,' * 9}3"], header=header)
    table = gft.read(tmp_path).table.set_index("frame")
    assert table["AU24"].to_dict() == {5: 1, 3: 0}
    assert table["index"].to_dict() == {5: 4, 3: 2}
    assert table["AU1"].tolist() == [0, 0]
    assert gft.read(tmp_path, first=0).table["index"].tolist() == [5, 3]


def test_it_says_that_the_format_is_not_certain(tmp_path, caplog):
    a_person(tmp_path, "001A", [f"1,{'0,' * 9}1"])
    with caplog.at_level(logging.WARNING):
        gft.read(tmp_path)
    assert "our reading" in caplog.text
    assert "not checked against the data" in gft.__doc__


def test_labels_alone_are_allowed_when_asked_for(tmp_path):
    path = a_person(tmp_path, "001A", [f"1,{'0,' * 9}1"], video=0)
    with pytest.raises(DatasetError, match="allow_missing=True") as error:
        gft.read(tmp_path)
    assert error.value.file == path
    assert gft.read(tmp_path, allow_missing=True).table["path"].isna().all()


def test_labels_behind_the_end_of_a_video_are_named(tmp_path):
    path = a_person(
        tmp_path, "001A", [f"1,{'0,' * 9}{n}" for n in (2, 3, 4)], header=",".join(reversed(HEADER.split(","))), video=2
    )
    with pytest.raises(MissingPicture, match=r"a shorter one: 2 of 3 labels") as error:
        gft.read(tmp_path)
    assert (error.value.file, error.value.line) == (path, 3)
    assert gft.read(tmp_path, allow_missing=True).table["path"].isna().tolist() == [False, True, True]


def test_a_video_that_is_none_is_named(tmp_path):
    a_person(tmp_path, "001A", [f"1,{'0,' * 9}1"])
    (tmp_path / "Videos" / "001A.mp4").write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"001A\.mp4: expected a video"):
        gft.read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "header", "line", "message"),
    [
        (["1,0,0,0,0,0,0,0,0,0,1", "2,0,0,0,0,0,0,0,0,0,7"], HEADER, 3, "AU24, found 7"),
        (["1,0,0,0,0,0,0,0,0,0,1", "1,0,0,0,0,0,0,0,0,0,1"], HEADER, 3, "each frame once"),
        (["0,0,0,0,0,0,0,0,0,0,1"], HEADER, 2, "first=0"),
        (["1,0,0"], HEADER, 2, "11 numbers"),
        (["1,0,0"], "Frame,AU1,AU2", 1, r"AU \[4, 6"),
        (["1,0,0,0,0,0,0,0,0,0,1"], HEADER.replace("Frame", "time"), 1, "'frame' in its name"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, rows, header, line, message):
    path = a_person(tmp_path, "001A", rows, header=header)
    with pytest.raises(DatasetError, match=message) as error:
        gft.read(tmp_path)
    assert (error.value.file, error.value.line) == (path, line)


def test_intensity_files_of_the_same_name_are_not_mixed_in(tmp_path):
    a_person(tmp_path, "001A", [f"1,{'0,' * 9}1"])
    other = tmp_path / "AU_Intensity" / "001A.csv"
    other.parent.mkdir()
    other.write_text(HEADER + "\n")
    with pytest.raises(DatasetError, match="occurrence and intensity"):
        gft.read(tmp_path)


def test_a_folder_without_labels_says_where_they_are(tmp_path):
    with pytest.raises(DatasetError, match="OSF"):
        gft.read(tmp_path)
