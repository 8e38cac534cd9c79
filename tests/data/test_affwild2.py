"""Every trap has the naive reading beside it, which gives another answer."""

import numpy as np
import pandas as pd
import pytest

from fau_utils.data import affwild2
from fau_utils.data.layouts import affwild2 as layout
from fau_utils.data.layouts.drawing import plain
from fau_utils.data.tree import DatasetError

HEADER = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
KEYS = ["subject", "frame"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("affwild2")
    return root, layout.export(root, draw=plain)


def a_video(root, name, labels, *, images, header=HEADER, top="cropped_aligned", split="Train_Set"):
    """A label file with rows of 12 equal values, and empty image files: readers go by their names."""
    folder = root / top / name
    folder.mkdir(parents=True, exist_ok=True)
    for number in images:
        (folder / f"{number:05d}.jpg").touch()
    path = root / layout.EDITION / "AU_Detection_Challenge" / split / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [row if isinstance(row, str) else ",".join([str(row)] * 12) for row in labels]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def read(root, **options):
    return affwild2.read(root, split="train", **options)


@pytest.mark.parametrize("form", ["track", "mtl"])
def test_what_was_written_is_read(tree, form):
    root, truth = tree
    frames = affwild2.read(root, form=form)
    expected = truth.table.sort_values(KEYS, ignore_index=True)
    found = frames.table.sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)
    assert frames.aus == affwild2.AUS
    assert all((root / path).is_file() for path in frames.table["path"])


def test_rendered_faces_have_the_size_of_the_release(tmp_path):
    from PIL import Image

    truth = layout.export(tmp_path, frames=6)
    picture = np.asarray(Image.open(tmp_path / truth.table["path"].iloc[0]))
    assert picture.shape == (112, 112, 3)
    assert picture.std() > 10


def test_frame_i_is_line_i_plus_1_however_many_images_are_missing(tmp_path):
    path = a_video(tmp_path, "video1", [0, 0, 0, 1, 1, 1], images=[2, 3, 5, 6])
    table = read(tmp_path).table.set_index("frame")["AU12"]
    assert table.to_dict() == {2: 0, 3: 0, 5: 1, 6: 1}
    labels = pd.read_csv(path)["AU12"]
    images = sorted((tmp_path / "cropped_aligned" / "video1").glob("*.jpg"))
    naive = {int(p.stem): label for p, label in zip(images, labels, strict=False)}
    assert naive[5] == 0  # zipped: the third image gets the third line


def test_lines_and_images_are_intersected_not_counted(tmp_path):
    a_video(tmp_path, "more", [0, 1, 1, 1, 1], images=[1, 2])
    a_video(tmp_path, "fewer", [0, 1], images=[1, 2, 3, 4])
    table = read(tmp_path).table
    assert table.groupby("clip")["frame"].apply(list).to_dict() == {"more": [1, 2], "fewer": [1, 2]}


def test_code_minus_1_is_unknown_in_its_cell_only(tmp_path):
    path = a_video(tmp_path, "video1", ["-1,1,0,0,0,0,1,0,0,0,1,0", -1, 0], images=[1, 2, 3])
    frames = read(tmp_path)
    assert len(frames) == 3
    first = frames.table.iloc[0]
    assert pd.isna(first["AU1"])
    assert (first["AU2"], first["AU4"], first["AU12"]) == (1, 0, 1)
    assert frames.table.iloc[1][[f"AU{n}" for n in affwild2.AUS]].isna().all()
    naive = pd.read_csv(path)
    assert (naive["AU1"] == 1).mean() == 0.0  # as a label, -1 is one more kind of not present
    assert np.isnan(frames.labels([1])[0, 0])
    assert len(naive[(naive != -1).all(axis=1)]) == 1  # and the published way throws two of three frames away


def test_columns_are_found_by_the_header(tmp_path):
    shuffled = "AU26,AU25,AU24,AU23,AU15,AU12,AU10,AU7,AU6,AU4,AU2,AU1"
    path = a_video(tmp_path, "video1", ["1,0,0,0,0,0,0,0,0,0,0,0"], images=[1], header=shuffled)
    row = read(tmp_path).table.iloc[0]
    assert (row["AU26"], row["AU1"]) == (1, 0)
    assert path.read_text().splitlines()[1].split(",")[0] == "1"  # the first value, AU1 to who trusts the order


def test_a_missing_header_does_not_eat_the_first_frame(tmp_path):
    path = a_video(tmp_path, "video1", [0, 0], images=[1, 2, 3], header="1,1,1,1,1,1,1,1,1,1,1,1")
    with pytest.raises(DatasetError, match="header") as error:
        read(tmp_path)
    assert (error.value.file, error.value.line) == (path, 1)
    assert len(path.read_text().splitlines()[1:]) == 2  # the naive skip of a line: three frames were labelled


def test_an_empty_line_does_not_shift_the_frames_behind_it(tmp_path):
    path = a_video(tmp_path, "video1", [0, "", 0, 1], images=[1, 2, 3, 4])
    table = read(tmp_path).table.set_index("frame")["AU1"]
    assert table.to_dict() == {1: 0, 3: 0, 4: 1}
    assert pd.read_csv(path)["AU1"].tolist() == [0, 0, 1]  # naive: frame 3 is called present


def test_two_people_of_one_video_are_two_subjects_of_one_clip(tmp_path):
    a_video(tmp_path, "video5_left", [0], images=[1])
    a_video(tmp_path, "video5_right", [1], images=[1])
    a_video(tmp_path, "copyright", [1], images=[1])
    table = read(tmp_path).table.set_index("subject")
    assert table["clip"].to_dict() == {
        "affwild2/video5_left": "video5", "affwild2/video5_right": "video5", "affwild2/copyright": "copyright",
    }  # fmt: skip
    assert table.loc["affwild2/video5_left", "AU1"] == 0


def test_both_image_archives_are_one(tmp_path):
    a_video(tmp_path, "old", [0, 0], images=[1])
    a_video(tmp_path, "new", [0], images=[1], top="cropped_aligned_new_50_vids")
    (tmp_path / "cropped_aligned_new_50_vids" / "old").mkdir()
    for number in (1, 2):
        (tmp_path / "cropped_aligned_new_50_vids" / "old" / f"{number:05d}.jpg").touch()
    assert read(tmp_path).table["path"].tolist() == [
        "cropped_aligned_new_50_vids/new/00001.jpg",
        "cropped_aligned/old/00001.jpg",
        "cropped_aligned_new_50_vids/old/00002.jpg",
    ]


def test_an_archive_in_a_folder_of_its_own_name_is_found(tmp_path):
    a_video(tmp_path, "video1", [0], images=[1], top="images/cropped_aligned/cropped_aligned")
    assert read(tmp_path).table["path"].tolist() == ["images/cropped_aligned/cropped_aligned/video1/00001.jpg"]


def test_litter_in_image_folders_is_passed_over(tmp_path):
    a_video(tmp_path, "video1", [0, 1], images=[1, 2])
    for name in (".DS_Store", "._00001.jpg", "Thumbs.db"):
        (tmp_path / "cropped_aligned" / "video1" / name).write_bytes(b"x")
    (tmp_path / "cropped_aligned" / ".DS_Store").write_bytes(b"x")
    assert read(tmp_path).table["frame"].tolist() == [1, 2]


def test_videos_without_images_stop_the_reading_unless_allowed(tmp_path, caplog):
    a_video(tmp_path, "video1", [0], images=[1])
    path = a_video(tmp_path, "video2", [0], images=[])
    (tmp_path / "cropped_aligned" / "video2").rmdir()
    with pytest.raises(DatasetError, match=r"1 labelled videos without one: video2.*allow_missing=True") as error:
        read(tmp_path)
    assert error.value.file == path
    assert read(tmp_path, allow_missing=True).table["path"].isna().tolist() == [False, True]
    assert "video2" in caplog.text


def test_frames_without_a_face_are_left_out_or_have_no_path(tmp_path):
    a_video(tmp_path, "video1", [0, 1, 1], images=[1, 3])
    assert read(tmp_path).table["frame"].tolist() == [1, 3]
    every = read(tmp_path, allow_missing=True).table.set_index("frame")
    assert every["path"].isna().to_dict() == {1: False, 2: True, 3: False}
    assert every.loc[2, "AU12"] == 1


def test_labels_alone_are_read_when_allowed(tmp_path):
    a_video(tmp_path, "video1", [0, 1], images=[], top="elsewhere")
    with pytest.raises(DatasetError, match="cropped_aligned"):
        read(tmp_path)
    assert read(tmp_path, allow_missing=True).table["path"].isna().all()


def test_splits_are_told_apart(tree):
    root, truth = tree
    both = affwild2.read(root).table
    assert both["split"].value_counts().to_dict() == truth.table["split"].value_counts().to_dict()
    alone = affwild2.read(root, split="validation").table
    assert set(alone["split"]) == {"validation"}
    assert len(alone) == (both["split"] == "validation").sum()


def test_one_of_several_editions_has_to_be_named(tmp_path):
    a_video(tmp_path, "video1", [0], images=[1])
    (tmp_path / "2nd ABAW Annotations" / "AU_Detection_Challenge").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"found 2 .*annotations="):
        read(tmp_path)
    assert len(read(tmp_path, annotations=layout.EDITION)) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [("0,0,0,0,0,0,0,0,0,0,0", "12 numbers"), ("0,0,9,0,0,0,0,0,0,0,0,0", r"-1 \(not annotated\).*AU4, found 9"),
     ("-5,0,0,0,0,0,0,0,0,0,0,0", "AU1, found -5"), ("0,0,x,0,0,0,0,0,0,0,0,0", "a number")],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path, row, message):
    path = a_video(tmp_path, "video1", [0, 1, row, 0], images=[1, 2, 3, 4])
    with pytest.raises(DatasetError, match=message) as error:
        read(tmp_path)
    assert (error.value.file, error.value.line) == (path, 4)


def test_label_files_of_another_track_are_named(tmp_path):
    path = a_video(tmp_path, "video1", ["0.1,-0.2"], images=[1], header="valence,arousal")
    with pytest.raises(DatasetError, match="names AU") as error:
        read(tmp_path)
    assert (error.value.file, error.value.line) == (path, 1)


def multitask(root, rows, *, header=f"image,valence,arousal,expression,{HEADER}"):
    path = root / "MTL" / "training_set_annotations.txt"
    path.parent.mkdir()
    path.write_text("\n".join([header, *rows]) + "\n")
    for number in (1, 2, 3):
        (root / "cropped_aligned" / "video1").mkdir(parents=True, exist_ok=True)
        (root / "cropped_aligned" / "video1" / f"{number:05d}.jpg").touch()
    return path


def test_the_multitask_file_goes_by_image_names(tmp_path):
    rows = [f"video1/00003.jpg,-5,-5,-1,{','.join('1' * 12)}", f"video1/00001.jpg,0.1,0.2,3,0,{'-1,' * 10}1"]
    multitask(tmp_path, rows)
    table = read(tmp_path, form="mtl").table.set_index("frame")
    assert table.loc[3, "AU1"] == 1  # an unknown valence says nothing of the AUs
    assert table.loc[1, "AU1"] == 0
    assert pd.isna(table.loc[1, "AU12"])
    assert table.loc[1, "AU26"] == 1
    assert not {"valence", "expression"} & set(table)


def test_wrong_lines_of_the_multitask_file_are_named(tmp_path):
    zeros = ",".join("0" * 12)
    path = multitask(tmp_path, [f"video1/00001.jpg,0,0,0,{zeros}", f"video1/face.jpg,0,0,0,{zeros}"])
    with pytest.raises(DatasetError, match=r"<video>/<number>\.jpg") as error:
        read(tmp_path, form="mtl")
    assert (error.value.file, error.value.line) == (path, 3)
    path.write_text(f"image,valence,arousal,expression,{HEADER}\nvideo1/00009.jpg,0,0,0,{zeros}\n")
    with pytest.raises(DatasetError, match=r"every listed image.*00009") as error:
        read(tmp_path, form="mtl")
    assert error.value.line == 2
    path.write_text(f"image,valence,arousal,expression,{HEADER}\nvideo1/00001.jpg,0,0,0,0,1\n")
    with pytest.raises(DatasetError, match="16 values") as error:
        read(tmp_path, form="mtl")
    assert error.value.line == 2


def test_absent_folders_say_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match="AU_Detection_Challenge"):
        affwild2.read(tmp_path)
    a_video(tmp_path, "video1", [0], images=[1], top="faces")
    with pytest.raises(DatasetError, match="unpack cropped_aligned"):
        read(tmp_path)
    with pytest.raises(DatasetError, match="the folder of a dataset"):
        affwild2.read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="form 'track' or 'mtl'"):
        affwild2.read(tmp_path, form="both")


def test_image_folders_are_not_searched_for_labels(tree, monkeypatch):
    """Two and a half million files stay unlisted until their video is due."""
    import os

    listed = []
    scan = os.scandir
    monkeypatch.setattr(affwild2.os, "scandir", lambda path: listed.append(str(path)) or scan(path))
    affwild2.video_folders(tree[0])
    assert not any("video1" in path or "1280x720" in path for path in listed)
