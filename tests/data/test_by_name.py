import dataclasses

import numpy as np
import pandas as pd
import pytest

from fau_utils.data import by_name, conventions
from fau_utils.frames import Frames


def folder(path, table, *, scale="occurrence"):
    """A prepared folder of grey faces."""
    path.mkdir()
    table = table.assign(clip="C", row=range(len(table)), frame=range(len(table)))
    Frames(table, scale=scale).to_parquet(path / "manifest.parquet")
    np.save(path / "images.npy", np.zeros((len(table), 3, 8, 8), "uint8"))
    return path


@pytest.fixture
def lab(tmp_path):
    """Nine people of a dataset that nobody has published folds for."""
    people = [f"lab/P{i}" for i in range(9) for _ in range(2)]
    return folder(tmp_path / "lab", pd.DataFrame({"dataset": "lab", "subject": people, "AU1": 1, "AU12": 0}))


@pytest.mark.parametrize(
    ("name", "synth", "shards"),
    [("synth", True, False), ("synth:res=112", True, False), ("synthetic", False, False), ("faces/", False, False),
     ("s-{0000..0009}.tar", False, True), ("one.tar", False, True)],
)  # fmt: skip
def test_kinds_of_data_are_told_by_their_names(name, synth, shards):
    assert (by_name.is_synth(name), by_name.is_shards(name)) == (synth, shards)


def test_rendered_people_and_frames_are_counted_for_each_side():
    config = by_name.synth_of("synth:subjects=6,frames=10,res=112,unknown=0.2")
    sizes = {side: getattr(config, side) for side in ("train", "seen", "unlabelled", "val", "test")}
    assert {side: split.subjects for side, split in sizes.items()} == {
        "train": 6, "seen": 6, "unlabelled": 6, "val": 3, "test": 3,
    }  # fmt: skip
    assert {split.frames for split in sizes.values()} == {10}
    assert (config.res, config.unknown) == (112, 0.2)
    assert by_name.synth_of("synth") == type(config)()


def test_an_unknown_number_of_the_rendered_dataset_is_refused():
    with pytest.raises(ValueError, match="synth has no option subject; did you mean subjects"):
        by_name.synth_of("synth:subject=3")


def test_a_dataset_is_found_under_its_name_in_the_data_folder(lab, monkeypatch):
    with pytest.raises(ValueError, match="no data 'lab' here"):
        by_name.folder_of("lab")
    monkeypatch.setenv("FAU_DATA", str(lab.parent))
    assert by_name.folder_of("lab") == lab
    assert by_name.folder_of(str(lab)) == lab


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bp4d", r"prepare it with `fau prepare bp4d ROOT OUT"),
        ("synht", "did you mean synth?"),
        ("x", r"\.\.0009\}\.tar"),
    ],
)
def test_data_that_are_not_there_are_refused_with_what_to_do(name, words, monkeypatch):
    monkeypatch.delenv("FAU_DATA", raising=False)
    with pytest.raises(ValueError, match=words):
        by_name.folder_of(name)


def test_any_dataset_is_divided_into_three_folds_with_its_own_aus(lab):
    data, protocol = by_name.prepared(str(lab))
    assert data.aus == protocol.aus == (1, 12)
    assert [len(fold.test) for fold in protocol.folds] == [3, 3, 3]
    assert len(data) == 18


def test_a_published_dataset_has_its_published_folds_aus_and_cut(tmp_path):
    people = conventions.named("ours", dataset="disfa").folds[0].test[:3]
    table = pd.DataFrame(
        {"dataset": "disfa", "subject": people, **{f"AU{n}": [0, 1, 2] for n in conventions.EVALUATED["disfa"]}}
    )
    data, protocol = by_name.prepared(str(folder(tmp_path / "d", table, scale="intensity")))
    assert protocol.hash == conventions.named("ours", dataset="disfa").hash
    assert data.labels[:, 0].tolist() == [0, 0, 1]  # present from intensity 2
    assert by_name.prepared(str(tmp_path / "d"), protocol="jaa").protocol.name == "jaa"


def test_folders_that_cannot_be_trained_on_are_refused(tmp_path, lab):
    two = pd.DataFrame({"dataset": ["a", "b"], "subject": ["a/1", "b/1"], "AU1": 1})
    with pytest.raises(ValueError, match=r"faces of one dataset, found \['a', 'b'\]"):
        by_name.prepared(str(folder(tmp_path / "two", two)))
    with pytest.raises(ValueError, match="no AU labels; they are for pretraining"):
        by_name.prepared(str(folder(tmp_path / "none", two[["dataset", "subject"]].head(1))))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="run fau prepare first"):
        by_name.prepared(str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="protocol jaa is defined on"):
        by_name.prepared(str(lab), protocol="jaa")


def test_all_faces_of_a_folder_are_for_pretraining_whatever_their_labels(tmp_path, lab):
    assert len(by_name.unlabelled(str(lab))) == 18
    graded = pd.DataFrame({"dataset": "g", "subject": ["g/1", "g/2"], "AU1": [0, 5]})
    data = by_name.unlabelled(str(folder(tmp_path / "g", graded, scale="intensity")))
    assert (len(data), data.aus) == (2, ())
    nobody = pd.DataFrame({"dataset": "g", "subject": ["g/1", "g/2"]})
    assert len(by_name.unlabelled(str(folder(tmp_path / "n", nobody)))) == 2


def test_a_fold_is_named_by_its_hash_its_name_the_end_of_its_name_or_its_place():
    protocol = conventions.named("ours", dataset="bp4d")
    second = protocol.folds[1]
    assert {by_name.fold_of(protocol, name) for name in (second.hash, second.name, "P2", "2")} == {second}
    for name in (None, "P9", "4", "0"):
        with pytest.raises(ValueError, match=rf"expected --fold with one of the folds of ours on bp4d.*{second.hash}"):
            by_name.fold_of(protocol, name)
    unnamed = dataclasses.replace(protocol, folds=(dataclasses.replace(second, name=""),))
    assert by_name.fold_of(unnamed, second.hash) == second
