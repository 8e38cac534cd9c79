import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fau_utils import cli
from fau_utils.data import layouts, readers
from fau_utils.data.check import check
from fau_utils.data.layouts import footage, unlabelled
from fau_utils.data.layouts.drawing import plain
from fau_utils.data.loaders import open_prepared
from fau_utils.data.tree import MissingPicture
from fau_utils.data.video import write
from fau_utils.frames import Frames


@pytest.fixture
def folder(tmp_path):
    for person in ("n000002", "n000003"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((40, 40, 3), 60 * i, "uint8")).save(tmp_path / "faces" / person / f"{i}.png")
    (tmp_path / "faces" / "n000003" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much of an image")
    return tmp_path / "faces"


def test_any_folder_of_images_is_a_dataset(folder):
    frames = readers.read("folder", folder, identity="folder", dataset="vgg")
    assert frames.subjects == ("vgg/n000002", "vgg/n000003")
    assert len(frames) == 7


@pytest.mark.parametrize("kind", ["lmdb", "tar"])
def test_packed_faces_are_prepared_like_a_folder_of_them(tmp_path, capsys, kind):
    pytest.importorskip("lmdb")
    faces = [(f"n{i // 2}/{i}.jpg", unlabelled.encode(np.full((40, 40, 3), 50 * i, "uint8"))) for i in range(4)]
    unlabelled.folder(tmp_path / "folder", faces)
    unlabelled.lmdb(tmp_path / "lmdb", faces)
    unlabelled.shards(tmp_path / "tar", faces, per_shard=3)
    images = {}
    for form in ("folder", kind):
        words = ["prepare", form, str(tmp_path / form), str(tmp_path / f"out-{form}"), "--crop", "none", "--size", "32"]
        assert cli.main([*words, "--workers", "1", "--set", "identity=folder", "--set", "dataset=faces"]) == 0
        data = open_prepared(tmp_path / f"out-{form}")
        images[form] = np.asarray(data.images)
        assert data.frames.subjects == ("faces/n0", "faces/n1")
    assert np.array_equal(images[kind], images["folder"])
    assert cli.main(["prepare", kind, str(tmp_path / "folder"), str(tmp_path / "no"), "--crop", "none"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_dataset_or_option_is_refused_with_what_there_is(folder):
    with pytest.raises(ValueError, match=r"expected one of bp4d, .* folder"):
        readers.read("ck+", folder)
    with pytest.raises(ValueError, match="folder has no option camera; it has dataset, identity, max_pixels"):
        readers.read("folder", folder, camera="left")
    with pytest.raises(ValueError, match=r"disfa has no option kamera; did you mean camera\? it has camera, aus"):
        readers.read("disfa", folder, kamera="left")


def gft(root):
    header = "frame," + ",".join(f"AU{n}" for n in (1, 2, 4, 6, 10, 12, 14, 15, 23, 24))
    for seat in "AB":
        rows = "\n".join(f"{frame}{',1' * 10}" for frame in (1, 2))
        (root / f"001{seat}.csv").write_text(f"{header}\n{rows}\n")
        write(root / f"001{seat}.mp4", [np.zeros((16, 16, 3), "uint8")] * 2, codec="mpeg4")


FILMED = {"frames": 8, "res": 32, "film": footage.numbered}
TREES = {
    "bp4d": {**FILMED, "subjects": 1, "tasks": 1, "missing": 0},
    "bp4dplus": {**FILMED, "subjects": 1, "tasks": 1, "form": "folders"},
    "disfa": {**FILMED, "subjects": 2},
    "disfaplus": {**FILMED, "subjects": 1, "trials": 1},
    "gft": None,
    "emotionet": {"rotten": 0, "draw": plain},
    "affwild2": {"draw": plain},
}


@pytest.mark.parametrize("dataset", readers.LABELLED)
def test_allow_missing_keeps_every_label_whichever_pictures_are_there(tmp_path, dataset):
    """One rule for all readers: which rows there are does not depend on it, and their pictures are null."""
    options = TREES[dataset]
    name = {"bp4dplus": "bp4d+", "disfaplus": "disfa+"}.get(dataset, dataset)
    gft(tmp_path) if options is None else layouts.export(name, tmp_path, **options)
    strictly, whole = (readers.read(dataset, tmp_path, allow_missing=keep).table for keep in (False, True))
    assert strictly["path"].notna().all()
    lost = strictly["path"].iloc[-1]
    if dataset == "affwild2":  # a single image that is not there is a frame without a face
        lost = Path(lost).parent.as_posix()
        shutil.rmtree(tmp_path / lost)
    else:
        (tmp_path / lost).unlink()
    with pytest.raises(MissingPicture, match="allow_missing=True") as error:
        readers.read(dataset, tmp_path, allow_missing=False)
    assert error.value.file.is_file()
    assert error.value.line
    after = readers.read(dataset, tmp_path, allow_missing=True).table
    assert after.drop(columns="path").equals(whole.drop(columns="path"))
    gone = whole["path"].str.startswith(lost).fillna(False)
    assert gone.any()
    assert after["path"].isna().tolist() == (gone | whole["path"].isna()).tolist()
    report = check(dataset, tmp_path)
    assert len([trouble for trouble in report.missing if "picture" in trouble.expected]) == 1


def test_the_command_prepares_says_what_it_left_out_and_can_be_said_again(folder, tmp_path, capsys):
    words = [
        "prepare",
        "folder",
        str(folder),
        str(tmp_path / "out"),
        "--crop",
        "none",
        "--size",
        "32",
        "--workers",
        "1",
    ]
    for _ in range(2):
        assert cli.main(words) == 0
        assert "6 faces; 1 left out (1 unreadable), listed in quarantine.parquet" in capsys.readouterr().out
    assert len(open_prepared(tmp_path / "out")) == 6
    left_out = Frames.read_parquet(tmp_path / "out" / "quarantine.parquet").table
    assert left_out["source_path"].tolist() == ["n000003/broken.jpg"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["reasons"] == {"unreadable": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--crop", "jaa"], "placed by landmarks and this table has none"),
        (["--crop", "fmae"], "--face-model"),
        (["--crop", "square"], "known are jaa, megraph, fmae, fgnet, none"),
        (["--crop", "none", "--form", "zip"], "'array' or 'tar'"),
        (["--crop", "none", "--size", "4"], "16 to 1024"),
    ],
)
def test_a_mistake_of_the_users_is_one_line_and_exit_code_2(folder, tmp_path, capsys, words, said):
    assert cli.main(["prepare", "folder", str(folder), str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()
