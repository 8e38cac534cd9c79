"""Rows that were left out are tried again, and the folder is as if they had been good the first time."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fau_utils import cli
from fau_utils.data import prepare_task, video
from fau_utils.data.prepare import NotThisFolder, prepare
from fau_utils.frames import Frames

BROKEN = (1, 2, 9, 11, 15)
COUNT = 24


def write_pictures(root):
    generator = np.random.default_rng(0)
    rows = []
    for i in range(COUNT):
        Image.fromarray(generator.integers(0, 256, (40, 40, 3)).astype("uint8")).save(root / f"{i}.jpg")
        rows.append((f"wild/P{i // 8}", "C", i, f"{i}.jpg", i % 2, None if i % 5 == 0 else 1))
    table = pd.DataFrame(rows, columns=["subject", "clip", "frame", "path", "AU1", "AU12"])
    return Frames(table.assign(dataset="wild"))


def options(form):
    return {"crop": "none", "size": 32, "form": form, "workers": 1, "piece": 8}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module", params=["array", "tar"])
def begun(request, tmp_path_factory):
    """A finished folder without the broken pictures, which are whole by now, and one that had them from the first."""
    base = tmp_path_factory.mktemp(request.param)
    root = base / "pictures"
    root.mkdir()
    frames = write_pictures(root)
    prepare(frames, root, base / "undisturbed", **options(request.param))
    for i in BROKEN:
        (root / f"{i}.jpg").rename(root / f"{i}.away")
    assert prepare(frames, root, base / "out", **options(request.param)).reasons == {"unreadable": 5}
    for i in BROKEN:
        (root / f"{i}.away").rename(root / f"{i}.jpg")
    return request.param, frames, base


@pytest.fixture
def left(begun, tmp_path):
    form, frames, base = begun
    shutil.copytree(base / "out", tmp_path / "out")
    return form, frames, base / "pictures", tmp_path / "out", contents(base / "undisturbed")


def test_without_the_option_nothing_is_tried_again(left):
    form, frames, root, out, _ = left
    before = contents(out)
    assert prepare(frames, root, out, **options(form)).left_out == 5
    assert contents(out) == before


@pytest.mark.parametrize("still", [BROKEN, BROKEN[1:3], BROKEN[:1]])
def test_what_is_still_broken_is_left_out_again(left, tmp_path, still):
    form, frames, root, out, _ = left
    some = shutil.copytree(root, tmp_path / "pictures")
    for i in still:
        (some / f"{i}.jpg").unlink()
    result = prepare(frames, some, out, retry_quarantined=True, **options(form))
    assert (result.kept, result.reasons) == (COUNT - len(still), {"unreadable": len(still)})


def test_what_was_left_out_is_tried_and_what_is_finished_is_not_read(left, monkeypatch):
    form, frames, root, out, undisturbed = left
    read = []
    decode = prepare_task.decode
    monkeypatch.setattr(prepare_task, "decode", lambda path, **how: read.append(Path(path).stem) or decode(path, **how))
    result = prepare(frames, root, out, retry_quarantined=True, **options(form))
    assert read == [str(i) for i in BROKEN]
    assert (result.kept, result.left_out, result.done_before) == (24, 0, 19)
    assert contents(out) == undisturbed


def test_finished_rows_survive_the_loss_of_their_pictures(left, tmp_path):
    form, frames, root, out, undisturbed = left
    shutil.copytree(root, tmp_path / "pictures")
    for i in set(range(COUNT)) - set(BROKEN):
        (tmp_path / "pictures" / f"{i}.jpg").unlink()
    prepare(frames, tmp_path / "pictures", out, retry_quarantined=True, **options(form))
    assert contents(out) == undisturbed


def test_some_may_be_good_and_others_still_not(left, tmp_path):
    form, frames, root, out, undisturbed = left
    shutil.copytree(root, tmp_path / "pictures")
    for i in BROKEN[:3]:
        (tmp_path / "pictures" / f"{i}.jpg").write_bytes(b"none")
    half = prepare(frames, tmp_path / "pictures", out, retry_quarantined=True, **options(form))
    assert (half.kept, half.left_out) == (21, 3)
    prepare(frames, tmp_path / "pictures", tmp_path / "fresh", **options(form))
    assert contents(out) == contents(tmp_path / "fresh")
    prepare(frames, root, out, retry_quarantined=True, **options(form))
    assert contents(out) == undisturbed


def test_with_nothing_left_out_nothing_is_touched(begun, monkeypatch):
    form, frames, base = begun
    out = base / "undisturbed"
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert prepare(frames, base / "pictures", out, retry_quarantined=True, **options(form)).done_before == COUNT
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


class Killed(BaseException):
    pass


def kill_after(monkeypatch, step):
    """Be killed right after the nth change of a name on the disk; counts them when there are fewer."""
    count = [0]

    def counted(function):
        def wrapped(*arguments, **how):
            result = function(*arguments, **how)
            count[0] += 1
            if count[0] == step:
                raise Killed
            return result

        return wrapped

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    return count


def test_killed_after_any_step_it_ends_with_the_same_bytes(left, tmp_path, monkeypatch):
    form, frames, root, out, undisturbed = left
    step = 0 if form == "array" else 1  # every second one, for the sake of time; most steps are the same in both
    while True:
        step += 2
        tried = tmp_path / f"killed-{step}"
        shutil.copytree(out, tried)
        with monkeypatch.context() as patch:
            kill_after(patch, step)
            try:
                prepare(frames, root, tried, retry_quarantined=True, **options(form))
            except Killed:
                pass
            else:
                break
        if step % 4 < 2 or (tried / "manifest.parquet").exists():
            prepare(frames, root, tried, retry_quarantined=True, **options(form))
        else:
            prepare(frames, root, tried, **options(form))  # an unfinished folder is finished by any run
        assert contents(tried) == undisturbed, step
        shutil.rmtree(tried)
    assert step > 20


def test_rows_that_were_without_a_picture_may_have_one_now(left, tmp_path):
    form, frames, root, out, undisturbed = left
    shutil.rmtree(out)
    missing = frames.table.assign(path=frames.table["path"].where(~frames.table["frame"].isin(BROKEN)))
    assert prepare(Frames(missing), root, out, **options(form)).reasons == {"no_picture": 5}
    with pytest.raises(NotThisFolder, match="frames"):
        prepare(frames, root, out, **options(form))
    prepare(frames, root, out, retry_quarantined=True, **options(form))
    assert contents(out) == undisturbed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(AU1=1 - t["AU1"]), "AU1 of row 0 is 0 there, 1 asked for"),
        (lambda t: t.assign(path="0.jpg"), "source_path of row 3 is 3.jpg there, 0.jpg asked for"),
        (lambda t: t.iloc[:20], "rows 24 there, 20 asked for"),
        (lambda t: t.assign(note="new"), "no column note there"),
    ],
)
def test_another_table_is_refused_and_nothing_is_touched(left, change, said):
    form, frames, root, out, _ = left
    before = contents(out)
    with pytest.raises(NotThisFolder, match=said):
        prepare(Frames(change(frames.table)), root, out, retry_quarantined=True, **options(form))
    assert contents(out) == before


def test_landmarks_of_none_and_then_of_one(tmp_path):
    """A finished folder without landmarks has no file of them."""
    from scipy.io import savemat

    Image.fromarray(np.zeros((60, 60, 3), "uint8")).save(tmp_path / "0.png")
    marks = np.random.default_rng(0).uniform(20, 40, (49, 2))
    marks[19:25], marks[25:31], marks[13], marks[31], marks[37] = [22, 25], [38, 25], [30, 32], [24, 42], [36, 42]
    fit = np.empty((1, 1), dtype=[("frame", object), ("pred", object)])
    fit[0, 0] = (2.0, marks)
    table = pd.DataFrame({"dataset": "bp4d", "subject": "bp4d/F001", "clip": "T1", "frame": [1, 2]})
    table["path"], table["landmarks"] = ["0.png", "1.png"], [None, "F001_T1.mat"]
    chosen = {"crop": "none", "size": 32, "workers": 1}
    assert prepare(Frames(table), tmp_path, tmp_path / "out", **chosen).kept == 1
    assert not (tmp_path / "out" / "landmarks.npy").exists()
    shutil.copy(tmp_path / "0.png", tmp_path / "1.png")
    savemat(tmp_path / "F001_T1.mat", {"fit": fit})
    prepare(Frames(table), tmp_path, tmp_path / "out", retry_quarantined=True, **chosen)
    prepare(Frames(table), tmp_path, tmp_path / "undisturbed", **chosen)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    known = np.isfinite(np.load(tmp_path / "out" / "landmarks.npy")).all((1, 2))
    assert known.tolist() == [False, True]


@pytest.mark.parametrize("form", ["array", "tar"])
def test_a_video_that_was_cut_is_tried_from_where_it_ended(tmp_path, form):
    blocks = [np.full((48, 48, 3), 8 * i, "uint8") for i in range(20)]
    table = pd.DataFrame({"dataset": "disfa", "subject": "disfa/SN001", "clip": "video", "frame": range(1, 21)})
    table["index"], table["path"] = table["frame"] - 1, "a.avi"
    video.write(tmp_path / "a.avi", blocks[:12], codec="ffv1")
    assert prepare(Frames(table), tmp_path, tmp_path / "out", **options(form)).reasons == {"video": 8}
    video.write(tmp_path / "a.avi", blocks, codec="ffv1")
    prepare(Frames(table), tmp_path, tmp_path / "out", retry_quarantined=True, **options(form))
    prepare(Frames(table), tmp_path, tmp_path / "undisturbed", **options(form))
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_video_that_was_found_does_not_move_finished_images_to_other_shards(tmp_path):
    blocks = [np.full((48, 48, 3), 8 * i, "uint8") for i in range(20)]
    video.write(tmp_path / "a.avi", blocks, codec="ffv1")
    table = pd.DataFrame({"dataset": "disfa", "subject": "disfa/SN001", "clip": "video", "frame": range(1, 21)})
    table["index"], table["path"] = table["frame"] - 1, "a.avi"
    for i in range(3):
        Image.fromarray(blocks[i]).save(tmp_path / f"{i}.png")
    stills = table.iloc[:3].assign(subject="disfa/SN002", path=[f"{i}.png" for i in range(3)])
    found = Frames(pd.concat([table, stills]))
    lost = Frames(pd.concat([table.assign(path=None), stills]))
    prepare(lost, tmp_path, tmp_path / "out", **options("tar"))
    with pytest.raises(NotThisFolder, match="finished images would be in other shards"):
        prepare(found, tmp_path, tmp_path / "out", retry_quarantined=True, **options("tar"))
    prepare(lost, tmp_path, tmp_path / "array", **options("array"))
    prepare(found, tmp_path, tmp_path / "array", retry_quarantined=True, **options("array"))
    prepare(found, tmp_path, tmp_path / "undisturbed", **options("array"))
    assert contents(tmp_path / "array") == contents(tmp_path / "undisturbed")


def test_the_command_has_the_option(tmp_path, capsys):
    (tmp_path / "faces").mkdir()
    write_pictures(tmp_path / "faces")
    whole = (tmp_path / "faces" / "3.jpg").read_bytes()
    (tmp_path / "faces" / "3.jpg").write_bytes(whole[:100])
    words = ["prepare", "folder", str(tmp_path / "faces"), str(tmp_path / "out"), "--crop", "none", "--workers", "1"]
    assert cli.main(words) == 0
    assert "23 faces; 1 left out" in capsys.readouterr().out
    (tmp_path / "faces" / "3.jpg").write_bytes(whole)
    assert cli.main([*words, "--retry-quarantined"]) == 0
    said = capsys.readouterr().out
    assert "24 faces" in said
    assert "left out" not in said
