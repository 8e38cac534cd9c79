"""Every trap has the naive reading beside it, which gives another answer."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fau_utils.data import emotionet
from fau_utils.data.layouts import emotionet as layout
from fau_utils.data.layouts.drawing import plain
from fau_utils.data.tree import DatasetError

pytest.importorskip("openpyxl")

KEYS = ["subject", "frame"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("emotionet")
    return root, {part: layout.export(root, part=part, draw=plain) for part in ("manual", "lists")}


def a_list(root, lines, *, name="dataFile_0001.txt"):
    folder = root / layout.LISTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def a_line(name, changes=(), *, other="http://photos.example/1.jpg"):
    cells = ["999"] * 60
    for number, value in dict(changes).items():
        cells[number - 1] = str(value)
    return "\t".join([f"https://bucket.example/{name}", other, *cells])


def a_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"listed by name, not opened")
    return path


@pytest.mark.parametrize("part", ["manual", "lists"])
def test_what_was_written_is_read(tree, part):
    root, truth = tree
    read = emotionet.read(root, part=part, allow_missing=True)
    expected = truth[part].table.sort_values(KEYS, ignore_index=True)
    found = read.table.sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
    assert read.table["path"].isna().sum() == 2
    assert all((root / path).is_file() for path in read.table["path"].dropna())


def test_rendered_faces_can_be_written(tmp_path):
    from PIL import Image

    truth = layout.export(tmp_path, images=4, rotten=0)
    assert len(emotionet.read(tmp_path)) == 4
    picture = np.asarray(Image.open(tmp_path / truth.table["path"].iloc[0]))
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 10


def test_code_999_is_unknown_and_never_negative(tmp_path):
    a_picture(tmp_path / "N_0000000001_00003.jpg")
    path = a_list(tmp_path, [a_line("N_0000000001/N_0000000001_00003.jpg", {1: 1, 2: 0, 4: 999})])
    table = emotionet.read(tmp_path, part="lists", aus=[1, 2, 4]).table
    assert table[["AU1", "AU2"]].iloc[0].tolist() == [1, 0]
    assert pd.isna(table["AU4"].iloc[0])
    naive = int(int(path.read_text().split("\t")[2 + 3]) == 1)  # as FMAE's json is read: whatever is not 1 is negative
    assert naive == 0


def test_au_k_is_the_k_th_cell_behind_two_urls(tmp_path):
    a_picture(tmp_path / "a.jpg")
    path = a_list(tmp_path, [a_line("a.jpg", {12: 1, 13: 0, 14: 0})])
    table = emotionet.read(tmp_path, part="lists").table
    assert [c for c in table if c.startswith("AU")] == ["AU12", "AU13", "AU14"]
    assert table[["AU12", "AU13", "AU14"]].iloc[0].tolist() == [1, 0, 0]
    naive = pd.read_csv(path, sep="\t", header=None).iloc[0]
    assert naive[12] != 1  # AU k taken for column k


def test_a_quotation_mark_in_a_url_swallows_no_lines(tmp_path):
    names = [f"N_0000000001/N_0000000001_{i:05d}.jpg" for i in range(1, 7)]
    for name in names:
        a_picture(tmp_path / "images" / name)
    others = ["u", 'http://p.example/"1.jpg', "u", '"http://p.example/2.jpg', "u", 'x"']
    path = a_list(tmp_path, [a_line(n, {1: 1}, other=o) for n, o in zip(names, others, strict=True)])
    assert len(emotionet.read(tmp_path, part="lists")) == 6
    try:
        naive = len(pd.read_csv(path, sep="\t", header=None))
    except pd.errors.ParserError:
        naive = 0
    assert naive != 6


def test_headers_keep_their_quotes_and_any_order(tmp_path):
    a_picture(tmp_path / "optimization_set" / "N_0000000001" / "N_0000000001_00003.jpg")
    path = tmp_path / "emotionet_facs_24600.xlsx"
    url = "'http://images.example/optimization_set/N_0000000001/N_0000000001_00003.jpg'"
    pd.DataFrame([[0, url, 999, 1]], columns=["'AU 12'", "URL", "'AU 1'", "'AU 2'"]).to_excel(path, index=False)
    table = emotionet.read(tmp_path, aus=[1, 2, 12]).table
    assert table[["AU2", "AU12"]].iloc[0].tolist() == [1, 0]
    assert pd.isna(table["AU1"].iloc[0])
    raw = pd.read_excel(path)
    assert "AU 1" not in raw.columns  # the naive name
    assert raw.iloc[0, 2:].tolist() != [1, 0]  # the naive order: URL, AU 1, AU 2, AU 12


def test_a_csv_of_the_manual_set_is_the_same_table(tree, tmp_path):
    root, _ = tree
    (tmp_path / "optimization_set").symlink_to(root / "optimization_set")
    pd.read_excel(root / "emotionet_facs_24600.xlsx").to_csv(tmp_path / "emotionet_facs_24600.csv", index=False)
    table, same = emotionet.labels(tmp_path), emotionet.labels(root)
    columns = ["url", "line", *[c for c in same if c.startswith("AU")]]
    pd.testing.assert_frame_equal(table[columns], same[columns])


def test_an_empty_cell_is_unknown_too(tmp_path):
    a_picture(tmp_path / "b.jpg")
    pd.DataFrame({"URL": ["x/b.jpg"], "'AU 1'": [None], "'AU 2'": [1]}).to_excel(
        tmp_path / "emotionet_facs_24600.xlsx", index=False
    )
    table = emotionet.read(tmp_path, aus=[1, 2]).table
    assert pd.isna(table["AU1"].iloc[0])
    assert table["AU2"].iloc[0] == 1


def test_missing_images_stop_the_reading_unless_allowed(tree, caplog):
    root, truth = tree
    with pytest.raises(DatasetError, match=r"2 of 24 .*allow_missing=True") as error:
        emotionet.read(root)
    assert (error.value.file.name, error.value.line) == ("emotionet_facs_24600.xlsx", 2)
    with caplog.at_level(logging.WARNING):
        assert len(emotionet.read(root, allow_missing=True)) == len(truth["manual"]) == 24
    assert "2 of 24" in caplog.text


def test_images_that_are_gone_are_told_apart_by_their_urls(tmp_path):
    a_picture(tmp_path / "a.jpg")
    lines = [a_line("a.jpg", {1: 1}), a_line("x/b.jpg", {1: 1}), a_line("y/b.jpg", {1: 0}), a_line("x/b.jpg", {2: 0})]
    a_list(tmp_path, lines)
    table = emotionet.read(tmp_path, part="lists", aus=[1, 2], allow_missing=True).table
    assert table["path"].isna().tolist() == [False, True, True]
    assert table["AU1"].tolist() == [
        1,
        1,
        0,
    ]  # by their names alone, the two b.jpg would be one that contradicts itself
    assert table["AU2"].fillna(-1).tolist() == [-1, 0, -1]


def test_images_of_one_name_are_told_apart_by_their_folder(tmp_path, caplog):
    for folder in ("N_0000000001", "N_0000000002"):
        a_picture(tmp_path / "images" / folder / "face.jpg")
    a_list(tmp_path, [a_line("N_0000000002/face.jpg", {1: 1}), a_line("elsewhere/face.jpg", {1: 1})])
    with caplog.at_level(logging.WARNING):
        paths = emotionet.labels(tmp_path, part="lists")["path"]
    assert paths[0] == "images/N_0000000002/face.jpg"
    assert pd.isna(paths[1])
    assert "1 lines fit several files" in caplog.text


def test_an_image_listed_twice_counts_once_and_contradictions_are_unknown(tmp_path, caplog):
    a_picture(tmp_path / "a.jpg")
    a_list(tmp_path, [a_line("a.jpg", {1: 1, 2: 0, 4: 999}), a_line("a.jpg", {1: 0, 2: 0, 4: 1})])
    with caplog.at_level(logging.WARNING):
        table = emotionet.read(tmp_path, part="lists").table
    assert len(table) == 1
    assert pd.isna(table["AU1"].iloc[0])
    assert table[["AU2", "AU4"]].iloc[0].tolist() == [0, 1]
    assert "1 lines list an image a second time; 1 contradicting cells" in caplog.text


def test_every_image_is_a_person_because_nobody_is_named(tree):
    root, _ = tree
    frames = emotionet.read(root, allow_missing=True)
    assert len(frames.subjects) == len(frames)
    assert frames.table["clip"].str.fullmatch(r"N_\d{10}").all()


def test_list_files_are_read_by_number(tmp_path, caplog):
    for name, number in (("a", 2), ("b", 10), ("c", 1)):
        a_picture(tmp_path / f"{name}.jpg")
        a_list(tmp_path, [a_line(f"{name}.jpg", {1: 1})], name=f"dataFile_{number}.txt")
    with caplog.at_level(logging.WARNING):
        table = emotionet.labels(tmp_path, part="lists")
    assert [Path(name).name for name in table["list"]] == ["dataFile_1.txt", "dataFile_2.txt", "dataFile_10.txt"]
    assert "7 list files are missing" in caplog.text


def test_two_list_folders_are_not_mixed(tmp_path):
    a_list(tmp_path, [a_line("a.jpg", {1: 1})])
    (tmp_path / f"{layout.LISTS}_downloaded").mkdir()
    (tmp_path / f"{layout.LISTS}_downloaded" / "dataFile_0001.txt").write_text(a_line("a.jpg", {1: 0}))
    with pytest.raises(DatasetError, match="one folder of lists"):
        emotionet.labels(tmp_path, part="lists")


def test_a_short_line_is_named(tmp_path):
    cut = "\t".join(a_line("b.jpg").split("\t")[:40])
    path = a_list(tmp_path, [a_line("a.jpg"), cut])
    with pytest.raises(DatasetError, match=r"60 AU columns.*found 40") as error:
        emotionet.labels(tmp_path, part="lists")
    assert (error.value.file, error.value.line) == (path, 2)


def test_a_tab_at_the_end_is_not_a_column(tmp_path):
    a_list(tmp_path, [a_line("a.jpg", {60: 1}) + "\t\r"])
    assert emotionet.labels(tmp_path, part="lists")["AU60"].tolist() == [1]


@pytest.mark.parametrize("value", ["9", "2", "0.5", "x", "-1"])
def test_a_code_of_another_dataset_is_named(tmp_path, value):
    path = a_list(tmp_path, [a_line("a.jpg"), a_line("b.jpg"), a_line("c.jpg", {5: value})])
    with pytest.raises(DatasetError, match=r"0, 1 or 999.*AU5") as error:
        emotionet.labels(tmp_path, part="lists")
    assert (error.value.file, error.value.line) == (path, 3)


@pytest.mark.parametrize(
    ("header", "message"),
    [(["URL", "'AU 1'", "'AU 1'"], "each AU once"), (["picture", "'AU 1'", "'AU 2'"], "a column URL"),
     (["URL", "one", "two"], "columns such as 'AU 1'")],
)  # fmt: skip
def test_a_wrong_header_is_named(tmp_path, header, message):
    path = tmp_path / "emotionet_facs_24600.xlsx"
    pd.DataFrame([header, ["x/a.jpg", 0, 1]]).to_excel(path, index=False, header=False)
    with pytest.raises(DatasetError, match=message) as error:
        emotionet.labels(tmp_path)
    assert (error.value.file, error.value.line) == (path, 1)


def test_a_wrong_cell_of_the_table_is_named_by_its_row(tmp_path):
    pd.DataFrame({"URL": ["x/a.jpg", "x/b.jpg"], "'AU 1'": [0, 7]}).to_excel(
        tmp_path / "emotionet_facs_24600.xlsx", index=False
    )
    with pytest.raises(DatasetError, match="found 7 for AU1") as error:
        emotionet.labels(tmp_path)
    assert error.value.line == 3


def test_absent_tables_and_aus_say_what_to_do(tmp_path, tree):
    with pytest.raises(DatasetError, match=r"emotionet_facs_24600\.xlsx .*part='lists'"):
        emotionet.read(tmp_path)
    with pytest.raises(DatasetError, match=r"dataFile_0001\.txt .*part='manual'"):
        emotionet.read(tmp_path, part="lists")
    with pytest.raises(DatasetError, match="AU28"):
        emotionet.read(tree[0], aus=[1, 28])
    with pytest.raises(ValueError, match="'manual' or 'lists'"):
        emotionet.read(tmp_path, part="both")


def test_the_challenges_have_the_published_numbers_of_aus():
    assert {year: len(aus) for year, aus in emotionet.CHALLENGE.items()} == {2017: 11, 2018: 12, 2020: 23}
