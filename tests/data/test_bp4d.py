"""BP4D is read by names and numbers; what the naive reading makes of the same tree is shown beside it."""

import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import aus
from fau_utils.data import bp4d, landmarks, video
from fau_utils.data.layouts import bp4d as layout
from fau_utils.data.layouts import footage
from fau_utils.data.tree import DatasetError
from fau_utils.metrics.f1 import f1_per_au

TINY = {"film": footage.numbered, "res": 32, "frames": 16}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("bp4d_images")
    truth = layout.export(root, subjects=("F001", "F003", "M018"), tasks=("T1", "T2"), missing=0, **TINY)
    return root, truth


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("bp4d_videos")
    truth = layout.export(root, subjects=("F001", "M018"), tasks=("T1", "T2", "T8"), form="video", **TINY)
    return root, truth


@pytest.fixture
def copy(images, tmp_path):
    shutil.copytree(images[0], tmp_path / "BP4D")
    return tmp_path / "BP4D"


def _occ(root, sequence="F001_T2"):
    return root / "AUCoding" / "AU_OCC" / f"{sequence}.csv"


def _raw(root, sequence="F001_T2"):
    return pd.read_csv(_occ(root, sequence))


def _edit(path, line, change):
    lines = path.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")


def _cell(position, value):
    def change(text):
        cells = text.split(",")
        cells[position] = value
        return ",".join(cells)

    return change


@pytest.mark.parametrize("form", ["images", "videos"])
def test_reader_finds_what_was_written(form, request):
    root, truth = request.getfixturevalue(form)
    frames = bp4d.read(root)
    pd.testing.assert_frame_equal(frames.table[list(truth.table.columns)], truth.table)
    assert frames.aus == aus.BP4D
    assert frames.subjects[0] == "bp4d/F001"


def test_every_label_has_its_own_picture(images):
    root, _ = images
    for row in bp4d.read(root).table.iloc[::7].itertuples():
        assert footage.number_in(np.array(Image.open(root / row.path)))[0] == row.index == row.frame - 1


def test_images_are_found_by_number_and_not_by_one_padding(images):
    root, _ = images
    frames = bp4d.read(root).table
    for pattern in ("{}", "{:02d}", "{:03d}", "{:04d}", "{:05d}"):  # naive: one padding for the whole set
        names = [
            f"BP4D-training/{s[5:]}/{t}/{pattern.format(n)}.jpg"
            for s, t, n in zip(frames["subject"], frames["clip"], frames["frame"], strict=True)
        ]
        assert sum((root / name).exists() for name in names) < len(frames)
    assert all((root / path).exists() for path in frames["path"])


def test_images_are_not_paired_by_position(images):
    root, _ = images
    folder = root / "BP4D-training" / "F001" / "T1"
    listed = sorted(path.name for path in folder.glob("*.jpg"))
    naive = dict(zip(_raw(root, "F001_T1")["0"], listed, strict=False))
    frames = bp4d.read(root).table.query("subject == 'bp4d/F001' and clip == 'T1'")
    read = {row.frame: row.path.split("/")[-1] for row in frames.itertuples()}
    assert [naive[f] for f in (1, 2, 3)] == ["1.jpg", "10.jpg", "11.jpg"]
    assert [read[f] for f in (1, 2, 3)] == ["1.jpg", "2.jpg", "3.jpg"]


def test_segments_start_anywhere_and_uncoded_pictures_have_no_row(images):
    root, _ = images
    starts = bp4d.read(root).table.groupby(["subject", "clip"])["frame"].min()
    assert starts.iloc[0] == 1
    assert (starts.iloc[1:] > 1).all()
    assert len(bp4d.read(root)) < len(list(root.rglob("*.jpg")))


def test_code_9_is_unknown_and_never_negative(images):
    root, _ = images
    raw, table = _raw(root), bp4d.read(root).table.query("subject == 'bp4d/F001' and clip == 'T2'")
    hidden = (raw["12"] == 9).to_numpy()
    assert hidden.sum() == 3
    negative = (raw["12"] == 1).astype(int)  # naive (FMAE-IAT): everything that is not 1 is a negative
    assert (negative[hidden] == 0).all()
    values = raw["12"].to_numpy().copy()
    values[np.where(values != 0) and np.where(values != 1)] = 0  # naive (rPPG-Toolbox): 'and' keeps the second only
    assert (values[hidden] == 0).all()
    assert table["AU12"].isna().to_numpy().tolist() == hidden.tolist()
    assert np.isnan(bp4d.read(root).labels([12])).sum() == table["AU12"].isna().sum() * 3  # every second sequence


def test_last_column_is_occlusion_and_no_au(images):
    root, _ = images
    raw = _raw(root)
    naive = {int(name): raw[name] for name in raw.columns[1:]}
    assert max(naive) == layout.LAST_AU + 1  # an "AU" that FACS does not have
    table = bp4d.read(root, aus=[1]).table.query("subject == 'bp4d/F001' and clip == 'T2'")
    assert table["occluded"].tolist() == naive[max(naive)].astype(bool).tolist()
    assert table["occluded"].sum() == 3


def test_a_file_that_ends_with_an_au_has_no_occlusion_flag(copy, caplog):
    path = _occ(copy)
    raw = pd.read_csv(path)
    raw[["0", *map(str, aus.BP4D)]].to_csv(path, index=False)
    with caplog.at_level(logging.WARNING):
        table = bp4d.read(copy).table.query("subject == 'bp4d/F001' and clip == 'T2'")
    assert table["occluded"].isna().all()
    assert table["AU24"].notna().any()
    assert "no occlusion flag" in caplog.text


def test_columns_are_read_by_header_when_their_order_changes(copy):
    path = _occ(copy)
    raw = pd.read_csv(path)
    order = ["0", *sorted(raw.columns[1:-1]), raw.columns[-1]]  # as strings: 1, 10, 11, ...
    raw[order].to_csv(path, index=False)
    query = "subject == 'bp4d/F001' and clip == 'T2'"
    naive = pd.read_csv(path).iloc[:, list(aus.BP4D)].to_numpy()  # naive: column k is AU k
    right = raw[[str(n) for n in aus.BP4D]].to_numpy()
    assert (naive != right).any()
    read = bp4d.read(copy).table.query(query)[aus.columns(aus.BP4D)].fillna(9).to_numpy()
    assert (read == right).all()


def test_all_negative_frames_are_kept_because_f1_without_them_is_inflated(images):
    frames = bp4d.read(images[0])
    labels = frames.labels(aus.BP4D)
    prob = np.ones_like(labels)
    some = (labels == 1).any(1)  # naive (old FMAE-IAT scripts): frames with at least one active AU
    assert 0 < some.sum() < len(frames)
    full = np.nanmean(f1_per_au(prob, labels))
    assert np.nanmean(f1_per_au(prob[some], labels[some])) > full
    assert len(frames) == 6 * TINY["frames"]


def test_video_numbers_are_not_task_numbers(videos):
    root, _ = videos
    assert sorted(p.name for p in root.rglob("*.avi")) == [
        "2F01_01.avi", "2F01_03.avi", "2F01_13.avi", "2M18_01.avi", "2M18_03.avi", "2M18_13.avi",
    ]  # fmt: skip
    assert f"T{int('2F01_03.avi'[5:7])}" == "T3"  # naive
    assert bp4d.video_sequence("2F01_03.avi") == ("F001", "T2")
    assert bp4d.video_sequence("2M18_13.avi") == ("M018", "T8")
    for subject in bp4d.SUBJECTS:
        for task in bp4d.TASKS:
            assert bp4d.video_sequence(bp4d.video_name(subject, task)) == (subject, task)


def test_frame_1_of_a_video_is_the_first_one(videos):
    root, _ = videos
    rows = bp4d.read(root).table.query("subject == 'bp4d/M018' and clip == 'T8'").iloc[[0, 5, 15]]
    path = root / rows["path"].iloc[0]
    shown = [footage.number_in(i)[0] for i in video.read(path, rows["index"].tolist())]
    naive = [footage.number_in(i)[0] for i in video.read(path, rows["frame"].tolist())]  # counted from 0
    assert [n + 1 for n in shown] == rows["frame"].tolist()
    assert [n + 1 for n in naive] != rows["frame"].tolist()


def test_a_video_with_another_name_is_refused(videos, tmp_path):
    shutil.copytree(videos[0], tmp_path / "BP4D")
    (tmp_path / "BP4D/BP4D-Spontaneous/2F01_13.avi").rename(tmp_path / "BP4D/BP4D-Spontaneous/2F01_02.avi")
    with pytest.raises(DatasetError, match=r"2F01_02\.avi: expected a name such as 2F01_01\.avi, ending in one of 01"):
        bp4d.read(tmp_path / "BP4D")


def test_labels_beyond_the_end_of_a_video_are_refused(videos, tmp_path):
    root = tmp_path / "BP4D"
    shutil.copytree(videos[0], root)
    path = _occ(root, "F001_T1")
    last = path.read_text().splitlines()[-1].split(",")
    with path.open("a") as file:
        file.writelines(",".join([str(int(last[0]) + n), *last[1:]]) + "\n" for n in (1, 2, 3))
    expected = (
        r"F001_T1\.csv, line 20: expected a picture of frame 19 .*F001/T1, found none for 1 of 19 labels.*18 frames"
    )
    with pytest.raises(DatasetError, match=expected):
        bp4d.read(root)
    table = bp4d.read(root, allow_missing=True).table
    assert table["path"].isna().sum() == 1
    assert len(table) == 6 * 16 + 3


def test_intensities_have_no_header_and_9_is_unknown(images):
    root, _ = images
    path = root / "AUCoding/AU_INT/AU12/F001_T2_AU12.csv"
    frames = bp4d.read(root, scale="intensity")
    table = frames.table.query("subject == 'bp4d/F001' and clip == 'T2'")
    lost = pd.read_csv(path)  # naive: the first frame becomes the header
    assert len(lost) == len(table) - 1
    raw = np.loadtxt(path, delimiter=",")
    assert table["frame"].tolist() == raw[:, 0].tolist()
    assert table["AU12"].isna().sum() == (raw[:, 1] == 9).sum() == 3
    assert frames.aus == (6, 10, 12, 14, 17)
    assert set(table["AU12"].dropna()) <= set(range(6))
    with pytest.raises(ValueError, match="cut=2"):
        frames.labels([12])


def test_fera_names_of_the_intensity_folder_are_known(copy):
    before = bp4d.read(copy, scale="intensity").table
    (copy / "AUCoding" / "AU_INT").rename(copy / "AU Intensity Codes3.0")
    pd.testing.assert_frame_equal(bp4d.read(copy, scale="intensity").table, before)


def test_release_folders_are_known(copy):
    before = bp4d.read(copy).table.drop(columns="path")
    (copy / "release").mkdir()
    (copy / "BP4D-training").rename(copy / "release" / "BP4D-training")
    moved = bp4d.read(copy).table
    pd.testing.assert_frame_equal(moved.drop(columns="path"), before)
    assert moved["path"].str.startswith("release/BP4D-training/F001/").iloc[0]


def test_landmarks_are_nan_where_the_tracker_lost_the_face(images):
    root, _ = images
    row = bp4d.read(root).table.query("subject == 'bp4d/F001' and clip == 'T2' and occluded").iloc[0]
    frame, points = landmarks.read_track(root / row["landmarks"])
    at = int(np.flatnonzero(frame == row["frame"])[0])
    assert points.shape[1:] == (49, 2)
    assert np.isnan(points[at]).all()
    assert np.isfinite(points[0]).all()
    np.testing.assert_array_equal(points[0], frame[0])  # numbered pictures: index, and MATLAB counts from 1
    assert list(frame).index(row["frame"]) != row["frame"] - 1  # naive: the track is no list from frame 1


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (5, _cell(12, "2"), r"F001_T2\.csv, line 5: expected 0 to 1, or 9 \(not coded\) for AU12, found 2"),
        (5, _cell(12, "-1"), r"line 5: .* for AU12, found -1"),
        (5, _cell(12, "0.5"), r"line 5: .* for AU12, found 0\.5"),
        (5, _cell(12, "x"), r"line 5: expected a number, found 'x'"),
        (5, _cell(12, ""), r"line 5: expected a number, found ''"),
        (5, _cell(-1, "3"), r"line 5: .* for the occlusion flag, found 3"),
        (5, _cell(0, "0"), r"line 5: expected frame numbers from 1, found 0"),
        (5, _cell(0, "7.5"), r"line 5: expected a whole number as frame number, found 7\.5"),
        (5, lambda text: text.rsplit(",", 3)[0], r"line 5: expected 66 numbers, found 63"),
        (1, lambda text: ",".join(["0"] * 66), r"line 1: expected a header that names each AU once"),
        (1, lambda text: text.replace(",24,", ",x,"), r"line 1: expected columns of the AUs .* no column of \[24\]"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(copy, line, change, message):
    _edit(_occ(copy), line, change)
    with pytest.raises(DatasetError, match=message) as raised:
        bp4d.read(copy)
    assert raised.value.file == _occ(copy)


def test_codes_outside_the_asked_columns_do_not_matter(copy):
    _edit(_occ(copy), 5, _cell(40, "7"))
    assert len(bp4d.read(copy)) == 6 * 16
    with pytest.raises(DatasetError, match="for AU40, found 7"):
        bp4d.read(copy, aus=[40])


def test_a_frame_twice_is_refused(copy):
    path = _occ(copy)
    path.write_text(path.read_text() + path.read_text().splitlines()[3] + "\n")
    with pytest.raises(
        DatasetError, match=r"line 18: expected each frame once, found frame \d+ again, first in line 4"
    ):
        bp4d.read(copy)


def test_an_empty_file_is_refused(copy):
    _occ(copy).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"F001_T2\.csv: expected lines of text, found an empty file"):
        bp4d.read(copy)


def test_an_intensity_outside_the_scale_is_refused(copy):
    path = copy / "AUCoding/AU_INT/AU14/F001_T2_AU14.csv"
    _edit(path, 3, _cell(1, "6"))
    with pytest.raises(DatasetError, match=r"F001_T2_AU14\.csv, line 3: expected 0 to 5, or 9 .* for AU14, found 6"):
        bp4d.read(copy, scale="intensity")


def test_a_shorter_intensity_file_is_refused_or_null(copy):
    path = copy / "AUCoding/AU_INT/AU14/F001_T2_AU14.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(DatasetError, match=r"F001_T2_AU14\.csv, line 15: expected 16 lines.*found 14 lines"):
        bp4d.read(copy, scale="intensity")
    table = bp4d.read(copy, scale="intensity", allow_missing=True).table
    assert (
        table["AU14"].isna().sum()
        == bp4d.read(copy, scale="intensity", aus=[6, 10, 12, 17]).table["AU12"].isna().sum() + 2
    )
    path.unlink()
    with pytest.raises(DatasetError, match="expected a file with labels of AU14"):
        bp4d.read(copy, scale="intensity")


def test_a_missing_image_is_named_or_kept_as_a_label_without_picture(copy, caplog):
    victim = sorted((copy / "BP4D-training/F003/T1").glob("*.jpg"))[6]
    frame = int(victim.stem)
    victim.unlink()
    with pytest.raises(
        DatasetError, match=rf"F003_T1\.csv, line \d+: expected a picture of frame {frame} in .*F003/T1"
    ):
        bp4d.read(copy)
    with caplog.at_level(logging.WARNING):
        table = bp4d.read(copy, allow_missing=True).table
    assert table.loc[table["path"].isna(), "frame"].tolist() == [frame]
    assert "1 of 96 labels have no picture" in caplog.text


def test_the_export_with_a_missing_image_reads_back(tmp_path):
    truth = layout.export(tmp_path, subjects=1, tasks=1, missing=2, **TINY)
    assert truth.table["path"].isna().sum() == 2
    pd.testing.assert_frame_equal(bp4d.read(tmp_path, allow_missing=True).table[list(truth.table.columns)], truth.table)


def test_missing_sequences_are_named(copy):
    shutil.rmtree(copy / "BP4D-training" / "F003" / "T2")
    with pytest.raises(DatasetError, match=r"F003_T2\.csv, line 2: expected a picture of frame \d+ .*there is nothing"):
        bp4d.read(copy)
    _occ(copy, "F001_T1").unlink()
    with pytest.raises(
        DatasetError, match=r"F001_T1\.csv: expected labels of the sequence F001/T1, which has pictures"
    ):
        bp4d.read(copy)
    assert len(bp4d.read(copy, allow_missing=True)) == 5 * 16


def test_labels_alone_are_read_when_allowed(copy):
    shutil.rmtree(copy / "BP4D-training")
    with pytest.raises(DatasetError, match="expected images in BP4D-training/F001/T1/ or videos"):
        bp4d.read(copy)
    assert bp4d.read(copy, allow_missing=True).table["path"].isna().all()
    shutil.rmtree(copy / "AUCoding")
    with pytest.raises(DatasetError, match="expected one folder called AUCoding/AU_OCC"):
        bp4d.read(copy, allow_missing=True)


def test_a_gap_in_a_coded_segment_is_reported(copy, caplog):
    lines = _occ(copy).read_text().splitlines()
    _occ(copy).write_text("\n".join(lines[:5] + lines[7:]) + "\n")
    with caplog.at_level(logging.WARNING):
        assert len(bp4d.read(copy)) == 6 * 16 - 2
    assert "coded segments are contiguous" in caplog.text


def test_two_extractions_in_one_folder_are_refused(copy):
    folder = copy / "BP4D-training/F003/T1"
    image = sorted(folder.glob("*.jpg"))[0]
    shutil.copy(image, folder / f"{int(image.stem):07d}.jpg")
    with pytest.raises(DatasetError, match="two extractions are mixed"):
        bp4d.read(copy)


def test_faces_are_rendered_for_the_user(tmp_path):
    truth = layout.export(tmp_path, subjects=1, tasks=1, frames=8, res=64, missing=0)
    picture = np.array(Image.open(tmp_path / truth.table["path"].iloc[4]))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 20
    assert len(bp4d.read(tmp_path)) == 8


@pytest.mark.parametrize("wrong", [{"subjects": ("F024",)}, {"tasks": 9}, {"subjects": 0}, {"frames": 4}])
def test_a_layout_that_cannot_be_is_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        layout.export(tmp_path, **wrong)
