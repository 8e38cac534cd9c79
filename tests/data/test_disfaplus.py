"""DISFA+ names its trials after AUs, and its people are DISFA's."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import aus
from fau_utils.data import disfa, disfaplus, folds, protocols
from fau_utils.data.conventions import ours
from fau_utils.data.layouts import disfa as disfa_layout
from fau_utils.data.layouts import disfaplus as layout
from fau_utils.data.layouts import footage
from fau_utils.data.tree import DatasetError, au_number

TINY = {"film": footage.numbered, "res": 32, "frames": 12}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("disfaplus")
    return root, layout.export(root, **TINY)


@pytest.fixture
def copy(tree, tmp_path):
    shutil.copytree(tree[0], tmp_path / "plus")
    return tmp_path / "plus"


def _labels(root, au=12):
    return root / "DISFAPlusDataset/Labels/SN001/A1_AU1_TrailNo_1" / f"AU{au}.txt"


def _replace(path, line, text):
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_reader_finds_what_was_written(tree):
    root, truth = tree
    frames = disfaplus.read(root)
    pd.testing.assert_frame_equal(frames.table[list(truth.table.columns)], truth.table)
    assert frames.scale == "intensity"
    inside = disfaplus.read(root / "DISFAPlusDataset").table
    assert ("DISFAPlusDataset/" + inside["path"]).tolist() == frames.table["path"].tolist()


def test_every_label_has_its_own_picture(tree):
    root, _ = tree
    for row in disfaplus.read(root).table.iloc[::5].itertuples():
        assert footage.number_in(np.array(Image.open(root / row.path)))[0] == row.frame


def test_the_au_of_a_trial_is_not_the_au_of_a_file(tree):
    root, _ = tree
    path = _labels(root)
    naive = int(str(path.relative_to(root)).split("AU")[1].split("_")[0])  # naive: the first AU in the path
    assert (naive, au_number(str(path))) == (1, 12)
    table = disfaplus.read(root).table.query("subject == 'disfaplus/SN001' and clip == 'A1_AU1_TrailNo_1'")
    raw = [int(line.split()[1]) for line in path.read_text().splitlines() if not line.startswith("#")]
    assert table["AU12"].tolist() == raw


def test_listed_files_are_not_sorted_aus(tree):
    root, _ = tree
    listed = [au_number(p.name) for p in sorted(_labels(root).parent.glob("*.txt"))]
    assert listed != sorted(listed)
    assert disfaplus.read(root).aus == tuple(sorted(listed)) == disfa.AUS


def test_positive_means_two_or_more_as_in_disfa(tree):
    frames = disfaplus.read(tree[0])
    raw = frames.intensity([12])
    assert (raw == 1).any()
    found = protocols.labels(frames, ours("disfaplus", aus=(12,)))
    assert (found == (raw >= 2)).all()
    assert (found != (raw > 0)).any()  # naive: any trace is a positive


def test_people_of_disfa_are_people_of_disfaplus(tree, tmp_path):
    disfa_layout.export(tmp_path, subjects=("SN001", "SN002"), landmarks=False, **TINY)
    train, test = disfa.read(tmp_path), disfaplus.read(tree[0])
    assert not set(train.subjects) & set(test.subjects)  # naive: other names, so other people
    with pytest.raises(folds.SubjectLeak, match="disfaplus/SN001"):
        folds.refuse_leak(train=train, test=test)
    assert set(disfaplus.SUBJECTS) <= set(disfa.SUBJECTS)


def test_the_aligned_folder_can_be_read_instead(copy):
    (copy / "DISFAPlusDataset/Images").rename(copy / "DISFAPlusDataset/Aligned")
    assert disfaplus.read(copy, images="Aligned").table["path"].iloc[0].startswith("DISFAPlusDataset/Aligned/SN001/")
    with pytest.raises(DatasetError, match="expected a folder Images of pictures, found Aligned, Labels"):
        disfaplus.read(copy)


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, "002.jpg 6", r"AU12\.txt, line 5: expected an intensity from 0 to 5 for AU12, found 6"),
        (5, "002.jpg -1", r"line 5: expected an intensity from 0 to 5 for AU12, found -1"),
        (5, "002.jpg", r"line 5: expected a line such as '000\.jpg 0'.*found '002\.jpg'"),
        (5, "002 0", r"line 5: expected a line such as"),
        (5, "002.jpg 1.5", r"line 5: expected a line such as"),
        (5, "0001.jpg 0", r"line 5: expected each frame once, found frame 1 again, first in line 4"),
        (5, "# 002.jpg 0", r"line 3: expected 12 lines, .*found 11 lines"),
    ],
)
def test_a_wrong_line_is_named(copy, line, text, message):
    _replace(_labels(copy), line, text)
    with pytest.raises(DatasetError, match=message) as raised:
        disfaplus.read(copy)
    assert raised.value.file == _labels(copy)


def test_missing_and_empty_files_are_named_or_null(copy):
    _labels(copy, 9).write_text("# AU9\n")
    with pytest.raises(DatasetError, match=r"AU9\.txt: expected labelled frames, found comments only"):
        disfaplus.read(copy)
    _labels(copy, 9).write_text("")
    with pytest.raises(DatasetError, match=r"AU9\.txt: .*an empty file"):
        disfaplus.read(copy)
    _labels(copy, 9).unlink()
    with pytest.raises(DatasetError, match="expected a file with labels of AU9"):
        disfaplus.read(copy)
    assert disfaplus.read(copy, allow_missing=True).table["AU9"].isna().sum() == 12
    assert disfaplus.read(copy, aus=aus.DISFA[:4]).aus == aus.DISFA[:4]


def test_a_missing_image_is_named_or_kept_as_a_label_without_picture(copy):
    (copy / "DISFAPlusDataset/Images/SN001/A1_AU1_TrailNo_1/007.jpg").unlink()
    with pytest.raises(DatasetError, match=r"AU1\.txt, line 10: expected a picture of frame 7 in Images/SN001/A1"):
        disfaplus.read(copy)
    table = disfaplus.read(copy, allow_missing=True).table
    assert table.loc[table["path"].isna(), "frame"].tolist() == [7]


def test_trials_without_pictures_and_a_tree_without_labels_are_refused(copy):
    shutil.rmtree(copy / "DISFAPlusDataset/Images/SN001/A1_AU1_TrailNo_1")
    with pytest.raises(DatasetError, match=r"line 3: expected a picture of frame 0 .*there is nothing"):
        disfaplus.read(copy)
    shutil.rmtree(copy / "DISFAPlusDataset/Labels")
    with pytest.raises(DatasetError, match="expected one folder called Labels"):
        disfaplus.read(copy, allow_missing=True)
