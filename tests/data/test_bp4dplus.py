"""BP4D+ has other columns, other people and other image numbers than BP4D; reading it like BP4D goes wrong."""

import logging
import shutil
import zipfile
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import aus
from fau_utils.data import bp4d, bp4dplus, folds, video
from fau_utils.data.layouts import bp4d as bp4d_layout
from fau_utils.data.layouts import bp4dplus as layout
from fau_utils.data.layouts import footage
from fau_utils.data.tree import DatasetError
from fau_utils.frames import Frames

TINY = {"film": footage.numbered, "res": 32, "frames": 12, "subjects": ("F001", "M058")}
FORMS = ("archives", "folders", "video")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    made = {}
    for form in FORMS:
        root = tmp_path_factory.mktemp(f"bp4dplus_{form}")
        made[form] = (root, layout.export(root, form=form, **TINY))
    return made


@pytest.fixture
def copy(trees, tmp_path):
    shutil.copytree(trees["archives"][0], tmp_path / "BP4D+")
    return tmp_path / "BP4D+"


def _occ(root, sequence="F001_T6"):
    return root / "AUCoding" / "AU_OCC" / f"{sequence}.csv"


def _edit(path, line, position, value):
    lines = path.read_text().splitlines()
    cells = lines[line - 1].split(",")
    cells[position] = value
    lines[line - 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")


def _shown(root, row):
    if pd.notna(row["path"]) and row["path"].endswith(".mp4"):
        return footage.number_in(video.read(root / row["path"], [row["index"]])[0])[0]
    if pd.notna(row["path"]):
        return footage.number_in(np.array(Image.open(root / row["path"])))[0]
    with zipfile.ZipFile(root / row["shard"]) as archive:
        return footage.number_in(np.array(Image.open(BytesIO(archive.read(row["key"])))))[0]


@pytest.mark.parametrize("form", FORMS)
def test_reader_finds_what_was_written(trees, form):
    root, truth = trees[form]
    frames = bp4dplus.read(root)
    pd.testing.assert_frame_equal(frames.table[list(truth.table.columns)], truth.table)
    assert frames.aus == aus.BP4D


@pytest.mark.parametrize("form", FORMS)
def test_every_label_has_its_own_picture(trees, form):
    root, _ = trees[form]
    table = bp4dplus.read(root).table
    for at in (0, 11, 12, 30, 47):
        assert _shown(root, table.iloc[at]) == table["frame"].iloc[at] - 1


def test_the_columns_of_bp4d_would_be_other_aus(trees):
    root, _ = trees["archives"]
    raw = pd.read_csv(_occ(root))
    naive = raw.iloc[:, list(aus.BP4D)]  # naive: column k is AU k, as in BP4D
    assert [int(name) for name in naive.columns] == [1, 2, 5, 7, 9, 12, 14, 16, 17, 19, 28, 29]
    assert [list(map(int, raw.columns)).index(n) for n in aus.BP4D] == [1, 2, 3, 5, 6, 8, 10, 12, 13, 15, 20, 21]
    table = bp4dplus.read(root).table.query("subject == 'bp4dplus/F001' and clip == 'T6'")
    read = table[aus.columns(aus.BP4D)].fillna(9).to_numpy()
    assert (read == raw[[str(n) for n in aus.BP4D]].to_numpy()).all()
    assert (read != naive.to_numpy()).any()


def test_the_last_column_is_au39_and_no_occlusion_flag(trees):
    root, _ = trees["archives"]
    raw = pd.read_csv(_occ(root))
    naive = raw.iloc[:, -1]  # naive: the flag of BP4D's last column
    assert raw.columns[-1] == "39"
    assert not set(naive) & {0, 1}
    frames = bp4dplus.read(root, aus=[39])
    assert frames.table["AU39"].isna().all()
    assert "occluded" not in frames.table


def test_another_order_of_columns_is_read_by_name_and_reported(copy, caplog):
    before = bp4dplus.read(copy).table
    raw = pd.read_csv(_occ(copy))
    raw[["0", *sorted(raw.columns[1:])]].to_csv(_occ(copy), index=False)
    with caplog.at_level(logging.WARNING):
        pd.testing.assert_frame_equal(bp4dplus.read(copy).table, before)
    assert "another order than documented" in caplog.text


def test_images_count_from_0_and_labels_from_1(trees):
    root, _ = trees["folders"]
    table = bp4dplus.read(root).table
    naive = [
        f"2D+3D/{s[9:]}/{t}/{n:04d}.jpg"
        for s, t, n in zip(table["subject"], table["clip"], table["frame"], strict=True)
    ]
    assert all((root / path).exists() for path in naive)  # nothing warns: every image is there, and is the next one
    shown = [footage.number_in(np.array(Image.open(root / path)))[0] + 1 for path in naive]
    assert (np.array(shown) == table["frame"] + 1).all()
    assert [int(path.split("/")[-1][:4]) for path in table["path"]] == (table["frame"] - 1).tolist()


def test_images_that_count_from_1_are_told_apart(tmp_path):
    truth = layout.export(tmp_path, form="folders", first_image=1, **TINY)
    pd.testing.assert_frame_equal(bp4dplus.read(tmp_path).table[list(truth.table.columns)], truth.table)
    off = bp4dplus.read(tmp_path, first_image=0, allow_missing=True).table
    assert (off["path"] != truth.table["path"]).any()


def test_people_share_their_codes_with_other_people(trees, tmp_path):
    bp4d_layout.export(tmp_path, **{**TINY, "subjects": ("F001",)}, tasks=1)
    one, two = bp4d.read(tmp_path, allow_missing=True), bp4dplus.read(trees["folders"][0])
    naive = {s.split("/")[1] for s in one.subjects} & {s.split("/")[1] for s in two.subjects}
    assert naive == {"F001"}  # naive: one class of an identity head for two people
    both = Frames.concat([one, two])
    assert both.subjects == ("bp4d/F001", "bp4dplus/F001", "bp4dplus/M058")
    folds.refuse_leak(train=one, test=two)


def test_tasks_that_nobody_coded_have_pictures_and_no_rows(trees):
    root, _ = trees["folders"]
    assert (root / "2D+3D/F001/T2").is_dir()
    assert set(bp4dplus.read(root).table["clip"]) == {"T1", "T6"}


def test_code_9_is_unknown(trees):
    root, _ = trees["archives"]
    raw = pd.read_csv(_occ(root, "M058_T1"))
    table = bp4dplus.read(root).table.query("subject == 'bp4dplus/M058' and clip == 'T1'")
    assert (raw["12"] == 9).sum() == 3
    naive = raw["12"].to_numpy().copy()
    naive[np.where(naive != 0) and np.where(naive != 1)] = 0  # as in rPPG-Toolbox: unknown becomes absent
    assert (naive[raw["12"] == 9] == 0).all()
    assert table["AU12"].isna().tolist() == (raw["12"] == 9).tolist()


def test_intensities_are_read(trees):
    root, _ = trees["archives"]
    frames = bp4dplus.read(root, scale="intensity")
    assert frames.aus == (6, 10, 12, 14, 17)
    assert frames.table["AU12"].max() >= 2
    assert len(frames) == 4 * 12


@pytest.mark.parametrize(
    ("line", "position", "value", "message"),
    [
        (4, 21, "2", r"F001_T6\.csv, line 4: expected 0 to 1, or 9 \(not coded\) for AU24, found 2"),
        (4, 0, "0", r"line 4: expected frame numbers from 1, found 0"),
        (4, 3, "?", r"line 4: expected a number, found '\?'"),
        (1, 3, "2", r"line 1: expected a header that names each AU once, found 2 in the columns 2 and 3"),
        (1, 3, "70", r"line 1: expected columns of the AUs .* found no column of \[4\]"),
    ],
)
def test_a_wrong_line_is_named(copy, line, position, value, message):
    _edit(_occ(copy), line, position, value)
    with pytest.raises(DatasetError, match=message) as raised:
        bp4dplus.read(copy)
    assert raised.value.file == _occ(copy)


def test_a_cut_archive_is_refused(copy):
    archive = copy / "2D+3D" / "M058.zip"
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"M058\.zip: expected a zip archive of images, found 2000 bytes"):
        bp4dplus.read(copy)


def test_a_missing_archive_is_named_or_its_labels_kept(copy):
    (copy / "2D+3D" / "M058.zip").unlink()
    with pytest.raises(DatasetError, match=r"M058_T1\.csv, line 2: expected a picture of frame .*there is nothing"):
        bp4dplus.read(copy)
    table = bp4dplus.read(copy, allow_missing=True).table
    assert table["key"].isna().sum() == 24
    assert table.loc[table["key"].isna(), "subject"].unique().tolist() == ["bp4dplus/M058"]


def test_coded_tasks_without_labels_are_named(copy):
    _occ(copy).unlink()
    with pytest.raises(DatasetError, match=r"F001_T6\.csv: expected labels of the sequence F001/T6"):
        bp4dplus.read(copy)


def test_an_empty_label_file_is_refused(copy):
    _occ(copy).write_text("")
    with pytest.raises(DatasetError, match="found an empty file"):
        bp4dplus.read(copy)


def test_names_in_archives_never_lead_out_of_them(copy):
    with zipfile.ZipFile(copy / "2D+3D" / "F001.zip", "a") as archive:
        archive.writestr("../../T1/../F001/T9/0001.jpg", b"")
    before = set(copy.parent.rglob("*"))
    bp4dplus.read(copy)
    assert set(copy.parent.rglob("*")) == before  # nothing is unpacked
