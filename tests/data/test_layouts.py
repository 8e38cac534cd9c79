"""Layouts are written the same every time, into folders of their own."""

import hashlib

import numpy as np
import pytest
import torch

from fau_utils import cli
from fau_utils.data import bp4dplus, disfaplus, layouts
from fau_utils.data.layouts import drawing, footage

SEQUENCES = {
    "bp4d": {"subjects": 1, "tasks": 2},
    "bp4d+": {"subjects": 1, "tasks": 1},
    "disfa": {"subjects": 1},
    "disfa+": {"subjects": 1, "trials": 1},
}


def _bytes(root):
    files = sorted(
        path for path in root.rglob("*") if path.is_file() and path.suffix != ".mat"
    )  # savemat writes a date
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("layout", SEQUENCES)
def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path, layout):
    options = {"film": footage.numbered, "res": 32, "frames": 8, **SEQUENCES[layout]}
    truth = [
        layouts.export(layout, tmp_path / name, seed=seed, **options) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")
    assert truth[0].table.equals(truth[1].table)
    assert not truth[0].table.equals(truth[2].table)


def test_every_layout_of_the_command_is_there():
    assert list(layouts.LAYOUTS) == ["bp4d", "bp4d+", "disfa", "disfa+", "emotionet", "affwild2"]


def test_unknown_layouts_and_options_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"unknown layout 'bp5d'; known are bp4d, bp4d\+, disfa"):
        layouts.export("bp5d", tmp_path)
    with pytest.raises(ValueError, match="the layout disfa has no option tasks; it has subjects, frames"):
        layouts.export("disfa", tmp_path, tasks=2)


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        layouts.export("bp4d", tmp_path)


def test_one_name_is_not_taken_letter_by_letter(tmp_path):
    options = {"film": footage.numbered, "res": 32, "frames": 8, "subjects": "SN010"}
    assert layouts.export("disfa", tmp_path / "a", extracted="jaa", **options).subjects == ("disfa/SN010",)
    assert (tmp_path / "a/extracted/jaa/SN010/0.jpg").is_file()
    with pytest.raises(ValueError, match="expected 1 to 6 namings such as jaa and libreface, found"):
        layouts.export("disfa", tmp_path / "b", extracted="jaanet", **options)


def test_archives_of_an_earlier_call_do_not_grow(tmp_path):
    options = {"film": footage.numbered, "res": 32, "frames": 8, "subjects": 1, "tasks": 1}
    for _ in range(2):
        truth = layouts.LAYOUTS["bp4d+"](tmp_path, **options)
    assert bp4dplus.read(tmp_path).table["key"].tolist() == truth.table["key"].tolist()


def test_two_cameras_film_one_movement():
    shot = footage.shot(0, 0, start=0, length=4, seed=0, res=64)
    left, right = (footage.render(shot.from_the(side)) for side in ("left", "right"))
    assert left[0].shape == right[0].shape == (4, 64, 64, 3)
    assert (left[0] != right[0]).any()
    nose = [points[:, 30, 0] - points[:, [36, 45], 0].mean(1) for _, points in (left, right)]
    assert (np.sign(nose[0] - nose[1]) == 1).all()  # a head turned to the right of the picture, and to its left


def test_a_hand_hides_the_face_in_hidden_frames_only():
    shot = footage.shot(0, 0, start=0, length=4, seed=0, res=64)
    plain, _ = footage.render(shot)
    shot.hidden[2] = True
    hidden, _ = footage.render(shot)
    changed = (plain != hidden).any((1, 2, 3))
    assert changed.tolist() == [False, False, True, False]


def test_numbered_pictures_say_which_they_are():
    shot = footage.shot(3, 0, start=4000, length=5, seed=0, res=32)
    images, _ = footage.numbered(shot.from_the("right"))
    assert [footage.number_in(image) for image in images] == [(n, "right") for n in range(4000, 4005)]


def stills():
    return drawing.render([0, 1], [3, 4], drawing.intensities([3, 4], seed=0), seed=0, res=64)


def film():
    return footage.render(footage.shot(0, 0, start=0, length=2, seed=0, res=64))[0]


def counting():
    """How this thread counts: with how many of torch's threads, and whether 1e-40 is 0."""
    return torch.get_num_threads(), (torch.tensor([1e-40]) * 1).item() == 0


@pytest.mark.parametrize(("draw", "owner"), [(stills, drawing), (film, footage)])
def test_drawing_takes_one_thread_and_no_denormal_number_and_gives_both_back(monkeypatch, draw, owner):
    inside, sample = [], owner.sample_identity
    monkeypatch.setattr(owner, "sample_identity", lambda *given: inside.append(counting()) or sample(*given))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert draw().std() > 10
        assert inside == [(1, True)]
        assert counting() == (2, False)
    finally:
        torch.set_num_threads(threads)


def test_the_command_writes_a_layout_that_its_reader_reads(tmp_path, capsys):
    words = ["synth", "export", "--layout", "disfa+", str(tmp_path / "plus"), "--res", "64"]
    assert cli.main([*words, "--set", "frames=8", "--set", "subjects=SN001,SN003", "--set", "trials=1"]) == 0
    assert "16 labelled frames of 2 people" in capsys.readouterr().out
    assert disfaplus.read(tmp_path / "plus").subjects == ("disfaplus/SN001", "disfaplus/SN003")


@pytest.mark.parametrize("words", [["--layout", "bp5d"], ["--layout", "disfa", "--set", "size=3"], []])
def test_a_mistake_in_the_command_is_one_line(tmp_path, capsys, words):
    assert cli.main(["synth", "export", str(tmp_path / "new"), *words]) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "new").exists()
