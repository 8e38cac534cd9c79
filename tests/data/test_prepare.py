"""Pictures are noise with a bright square where the eyes are; what matters is what becomes of the files."""

import errno
import fcntl
import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image
from scipy.io import savemat

from fau_utils.data import bp4d, crops, prepare_task, stored, video
from fau_utils.data import prepare as preparing
from fau_utils.data.decode import decode
from fau_utils.data.detector import Found, NoDetector
from fau_utils.data.layouts import bp4d as layout
from fau_utils.data.prepare import NotThisFolder, pieces, prepare
from fau_utils.data.tree import DatasetError
from fau_utils.frames import Frames

SIDE = 72
FRAMES = 20
CLIPS = (("F001", "T1"), ("F001", "T2"), ("M002", "T1"))


def points(frame):
    """49 landmarks, px from 0: a face that moves a little, and turns."""
    generator = np.random.default_rng(1)
    marks = generator.uniform(24, 48, (49, 2))
    marks[19:25], marks[25:31] = [26, 28], [46, 30]
    marks[13], marks[31], marks[37] = [37, 38], [30, 48], [43, 49]
    return marks + np.array([frame % 5, frame % 3])


def write_pictures(root):
    generator = np.random.default_rng(0)
    rows = []
    for subject, task in CLIPS:
        folder = root / subject / task
        folder.mkdir(parents=True)
        fit = np.empty((1, FRAMES), dtype=[("frame", object), ("pred", object)])
        for frame in range(1, FRAMES + 1):
            image = generator.integers(0, 120, (SIDE, SIDE + 8, 3)).astype("uint8")
            left, top = points(frame)[19].astype(int)
            image[top - 3 : top + 4, left - 3 : left + 4] = 255
            Image.fromarray(image).save(folder / f"{frame}.jpg", quality=90)
            fit[0, frame - 1] = (float(frame), points(frame) + 1)  # MATLAB counts from 1
            rows.append((f"bp4d/{subject}", task, frame, f"{subject}/{task}/{frame}.jpg", f"{subject}_{task}.mat"))
        savemat(root / f"{subject}_{task}.mat", {"fit": fit})
    table = pd.DataFrame(rows, columns=["subject", "clip", "frame", "path", "landmarks"])
    unknown = np.where(np.arange(len(table)) % 7 == 0, None, np.arange(len(table)) % 2)
    return Frames(table.assign(dataset="bp4d", AU1=np.arange(len(table)) % 2, AU12=unknown))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    return write_pictures(root), root


@pytest.fixture
def breakable(tmp_path):
    root = tmp_path / "source"
    root.mkdir()
    return write_pictures(root), root


def contents(folder):
    """Digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module", params=["array", "tar"])
def finished(request, source, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    result = prepare(*source, out, crop="jaa", size=64, form=request.param, workers=1, piece=7)
    assert result.kept == len(source[0])
    return request.param, out


def crops_of(out):
    manifest = Frames.read_parquet(out / "manifest.parquet").table
    if "shard" not in manifest:
        return manifest, np.load(out / "images.npy")[manifest["row"]].transpose(0, 2, 3, 1)
    images = []
    for shard, offset, length in manifest[["shard", "offset", "bytes"]].itertuples(index=False):
        images.append(decode((out / shard).read_bytes()[offset : offset + length]))
    return manifest, np.stack(images)


# --- what is written


def test_crops_are_those_of_the_recipe_and_landmarks_go_along(source, finished):
    _, root = source
    form, out = finished
    manifest, images = crops_of(out)
    marks = np.load(out / "landmarks.npy")
    tolerance = 0 if form == "array" else 40
    for i in (0, 19, 20, 59):
        row = manifest.iloc[i]
        own = points(row["frame"])[None]
        matrix = crops.from_points(crops.five_points(own), crop="jaa", size=64)
        assert np.allclose(row[[f"m{a}{b}" for a in range(2) for b in range(3)]].to_numpy(float), matrix.reshape(-1))
        assert np.allclose(marks[row["row"]], crops.transform(own, matrix)[0], atol=1e-3)
        expected = crops.warp(decode(root / row["source_path"]), matrix[0], size=64, fill=128)
        assert np.abs(images[i].astype(int) - expected).max() <= tolerance
        five = crops.five_points(marks[row["row"]][None])[0]
        assert five[0, 1] == pytest.approx(five[1, 1], abs=1e-3), "the eyes are level"
        x, y = five[0].round().astype(int)
        assert images[i, y, x].min() > 200, "the bright square is at the eye"


def test_the_manifest_keeps_labels_and_says_every_decision(source, finished):
    frames, _ = source
    _, out = finished
    read = Frames.read_parquet(out / "manifest.parquet")
    assert read.aus == frames.aus
    for number in frames.aus:
        pd.testing.assert_series_equal(read.table[f"AU{number}"], frames.table[f"AU{number}"], check_dtype=False)
    assert read.table["AU12"].isna().sum() == frames.table["AU12"].isna().sum() > 0
    assert (read.table["crop"] == "jaa").all()
    assert (read.table["size"] == 64).all()
    assert (read.table["points_from"] == "dataset").all()
    assert read.table["source_path"].tolist() == frames.table["path"].tolist()
    assert (read.table["width"] == SIDE + 8).all()
    assert read.table["outside"].between(0, 1).all()
    assert json.loads((out / "summary.json").read_text()) == {"kept": 60, "left_out": 0, "reasons": {}}
    assert len(Frames.read_parquet(out / "quarantine.parquet")) == 0


def test_nothing_else_is_left_in_the_folder(finished):
    form, out = finished
    images = {"images.npy"} if form == "array" else {f"shard-{n:06d}.tar" for n in range(9)}
    tables = {"manifest.parquet", "quarantine.parquet", "summary.json", "plan.json", "landmarks.npy"}
    assert {path.name for path in out.iterdir()} == tables | images


def test_shards_are_web_datasets_with_labels_and_no_trace_of_when_or_by_whom(source, tmp_path):
    prepare(*source, tmp_path / "out", crop="none", size=32, form="tar", workers=1, piece=100)
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as shard:
        members = shard.getmembers()
        assert [m.name for m in members[:4]] == ["000000000.jpg", "000000000.json", "000000001.jpg", "000000001.json"]
        assert {(m.mtime, m.uid, m.uname) for m in members} == {(0, 0, "")}
        values = json.loads(shard.extractfile(members[1]).read())
    assert values["subject"] == "bp4d/F001"
    assert values["AU1"] == 0
    assert values["AU12"] is None, "what is not coded stays unknown"


def test_a_second_run_changes_nothing(source, finished):
    form, out = finished
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    result = prepare(*source, out, crop="jaa", size=64, form=form, piece=7)
    assert result.done_before == len(source[0])
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_rows_in_any_order_and_any_number_of_workers_give_the_same_bytes(source, finished, tmp_path):
    frames, root = source
    form, out = finished
    other = frames.select([*range(20), *range(59, 39, -1), *range(20, 40)])
    again = frames.select(range(len(frames)))
    prepare(again, root, tmp_path / "two", crop="jaa", size=64, form=form, workers=2, piece=7)
    assert contents(tmp_path / "two") == contents(out)
    prepare(other, root, tmp_path / "shuffled", crop="jaa", size=64, form=form, workers=1, piece=7)
    manifest = Frames.read_parquet(tmp_path / "shuffled" / "manifest.parquet").table
    assert manifest["frame"].tolist() == [*range(1, 21)] * 3, "clips as they came, frames by number"
    assert manifest["subject"].iloc[20] == "bp4d/M002"


def test_pieces_are_whole_clips_unless_a_clip_of_images_is_too_long(source):
    frames, _ = source
    assert pieces(frames, limit=512) == [(0, 60)]
    assert pieces(frames, limit=40) == [(0, 40), (40, 60)]
    assert pieces(frames, limit=25) == [(0, 20), (20, 40), (40, 60)]
    assert pieces(frames, limit=15) == [(0, 15), (15, 20), (20, 35), (35, 40), (40, 55), (55, 60)]
    filmed = Frames(frames.table.assign(path=frames.table["clip"] + ".avi"))
    assert pieces(filmed, limit=15) == [(0, 20), (20, 40), (40, 60)]


# --- killed, resumed, full disks


CODE = """
import sys
from fau_utils.data.prepare import prepare
from fau_utils.frames import Frames
if __name__ == "__main__":
    table, root, out, form, workers = sys.argv[1:]
    prepare(Frames.read_parquet(table), root, out, crop="jaa", size=64, form=form, workers=int(workers), piece=1)
"""


def parts(out):
    return set((out / ".work" / "parts").glob("*.parquet"))


def killed_when(process, reached, *, later):
    """Kill a preparation outright, but not its workers, once it is far enough; False when it was faster."""
    while not reached():
        if process.poll() is not None:
            return False
        time.sleep(0.001)
    time.sleep(later)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "workers outlived the process that was killed"
    return True


@pytest.mark.parametrize(("form", "workers"), [("array", 1), ("tar", 2)])
def test_killed_five_times_it_ends_with_the_bytes_of_an_undisturbed_run(source, tmp_path, monkeypatch, form, workers):
    frames, root = source
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    prepare(frames, root, undisturbed, crop="jaa", size=64, form=form, workers=1, piece=1)
    frames.to_parquet(tmp_path / "frames.parquet")
    (tmp_path / "run.py").write_text(CODE)
    chance, kills = random.Random(7), 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, tmp_path / "run.py", tmp_path / "frames.parquet", root, out, form, str(workers)],
            env={**os.environ, "FAU_PROGRESS": "0"},
        )
        goal, later = len(parts(out)) + chance.randint(0, 3), chance.random() * 0.01
        done = killed_when(process, lambda goal=goal: (out / ".work").exists() and len(parts(out)) >= goal, later=later)
        kills += done
        assert not (out / "images.npy").exists(), "an unfinished array does not bear its name"
        assert not (out / "manifest.parquet").exists()
    assert kills == 5
    finished_before = {int(path.stem) for path in parts(out)}
    assert 0 < len(finished_before) < 60
    done_now = []
    original = preparing.run
    monkeypatch.setattr(
        preparing, "run", lambda job, number, *rest: done_now.append(number) or original(job, number, *rest)
    )
    prepare(frames, root, out, crop="jaa", size=64, form=form, workers=1, piece=1)
    assert set(done_now) == set(range(60)) - finished_before, "what was finished is not done again"
    assert contents(out) == contents(undisturbed)


@pytest.mark.parametrize("last", ["landmarks.npy", "images.npy", "quarantine.parquet", "summary.json"])
def test_killed_while_putting_things_in_place_it_ends_with_the_same_bytes(source, tmp_path, monkeypatch, last):
    """The steps at the end, each interrupted right after it."""
    frames, root = source
    prepare(frames, root, tmp_path / "undisturbed", crop="jaa", size=64, workers=1)

    class Killed(BaseException):
        pass

    def stop_after(function):
        def wrapped(*arguments, **options):
            result = function(*arguments, **options)
            if any(Path(a).name == last for a in arguments if isinstance(a, Path)):
                raise Killed
            return result

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(preparing, "_move", stop_after(preparing._move))
        patch.setattr(preparing, "write_text", stop_after(preparing.write_text))
        patch.setattr(Frames, "to_parquet", stop_after(Frames.to_parquet))
        with pytest.raises(Killed):
            prepare(frames, root, tmp_path / "out", crop="jaa", size=64, workers=1)
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    prepare(frames, root, tmp_path / "out", crop="jaa", size=64, workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_without_room_nothing_is_begun(source, tmp_path, monkeypatch):
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("room is promised by posix_fallocate")
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left") as error:
            prepare(*source, tmp_path / "out", crop="jaa", size=64, workers=1)
    assert "bytes" in str(error.value)
    assert error.value.filename is not None
    assert not list((tmp_path / "out").rglob("*.npy"))
    assert prepare(*source, tmp_path / "out", crop="jaa", size=64, workers=1).kept == 60


@pytest.mark.parametrize("form", ["array", "tar"])
def test_a_disk_that_fills_up_leaves_no_half_shard(source, tmp_path, monkeypatch, form):
    frames, root = source
    options = {"crop": "jaa", "size": 64, "form": form, "workers": 1, "piece": 10}
    prepare(frames, root, tmp_path / "undisturbed", **options)
    out, calls = tmp_path / "out", []
    name = "_add" if form == "tar" else "pwrite"
    owner = stored if form == "tar" else os
    original = getattr(owner, name)

    def filling(*arguments):
        calls.append(1)
        return original(*arguments) if len(calls) < 26 else full()

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, filling)
        if form == "array":
            monkeypatch.setattr(prepare_task, "_BLOCK", 1)
        with pytest.raises(OSError, match="No space left"):
            prepare(frames, root, out, **options)
    monkeypatch.undo()
    assert not (out / "manifest.parquet").exists()
    assert not (out / "images.npy").exists()
    assert list((out / ".work" / "scratch").iterdir()) == [], "nothing half-written lies about"
    shards = sorted(out.glob("*.tar"))
    assert len(shards) == (form == "tar")
    for shard in shards:
        with tarfile.open(shard) as archive:
            assert len(archive.getmembers()) == 20
    assert 0 < len(parts(out)) < 6
    prepare(frames, root, out, **options)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_two_processes_do_not_prepare_into_one_folder(source, tmp_path):
    out = tmp_path / "out"
    (out / ".work").mkdir(parents=True)
    with (out / ".work" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotThisFolder, match="another process"):
            prepare(*source, out, crop="jaa", size=64, workers=1)


def test_another_preparation_or_foreign_files_are_not_touched(source, finished, tmp_path):
    form, out = finished
    before = contents(out)
    with pytest.raises(NotThisFolder, match="size 64 there, 32 asked for"):
        prepare(*source, out, crop="jaa", size=32, form=form, piece=7)
    with pytest.raises(NotThisFolder, match="frames"):
        prepare(source[0].select(range(30)), source[1], out, crop="jaa", size=64, form=form, piece=7)
    assert contents(out) == before
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotThisFolder, match=r"found thesis\.tex; give another folder"):
        prepare(*source, tmp_path, crop="jaa", size=64)


# --- what is left out


def test_what_cannot_be_used_is_listed_with_its_reason_and_the_rest_goes_on(breakable, tmp_path):
    frames, root = breakable
    whole = (root / "F001/T1/3.jpg").read_bytes()
    (root / "F001/T1/3.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "F001/T1/4.jpg").unlink()
    bomb = bytearray(whole)
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = b"\xea\x60\xea\x60"
    (root / "F001/T1/5.jpg").write_bytes(bomb)
    track = np.empty((1, FRAMES - 1), dtype=[("frame", object), ("pred", object)])
    for i in range(FRAMES - 1):
        marks = points(i + 1) + 1
        track[0, i] = (float(i + 1), np.empty((0, 0)) if i == 1 else marks + 900 if i == 2 else marks)
    savemat(root / "F001_T2.mat", {"fit": track})
    (root / "M002_T1.mat").write_bytes(b"no matlab file")
    table = frames.table.copy()
    table.loc[5, "path"] = None
    result = prepare(Frames(table), root, tmp_path / "out", crop="jaa", size=64, workers=1)
    listed = Frames.read_parquet(tmp_path / "out" / "quarantine.parquet").table
    found = {(r.subject, r.clip, r.frame): (r.reason, r.detail) for r in listed.itertuples()}
    assert found["bp4d/F001", "T1", 3][0] == "unreadable"
    assert found["bp4d/F001", "T1", 4] == ("unreadable", "No such file or directory")
    assert "pixels" in found["bp4d/F001", "T1", 5][1], "an image bomb is refused"
    assert found["bp4d/F001", "T1", 6] == ("no_picture", "a label without a picture")
    assert found["bp4d/F001", "T2", 2] == ("no_landmarks", "F001_T2.mat has no points in frame 2: the face was lost")
    assert found["bp4d/F001", "T2", 3][0] == "bad_landmarks"
    assert "outside the picture" in found["bp4d/F001", "T2", 3][1]
    assert found["bp4d/F001", "T2", 20] == ("no_landmarks", "F001_T2.mat has no frame 20")
    assert "MATLAB" in found["bp4d/M002", "T1", 7][1]
    assert len(found) == 27
    assert (result.kept, result.left_out) == (33, 27)
    assert result.reasons == {"bad_landmarks": 1, "no_landmarks": 22, "no_picture": 1, "unreadable": 3}
    assert "27 left out" in result.describe()
    manifest, images = crops_of(tmp_path / "out")
    assert len(manifest) + len(listed) == len(frames), "every row is in one of the two"
    assert (images.reshape(33, -1).max(1) > 200).all(), "no kept row shows an empty crop"
    marks = np.load(tmp_path / "out" / "landmarks.npy")
    assert np.isfinite(marks[manifest["row"]]).all()
    assert np.isnan(marks[listed["row"]]).all()


def test_pictures_of_a_video_are_found_by_their_place_and_a_cut_video_loses_its_end_only(tmp_path):
    blocks = [
        np.kron(np.eye(4) * (40 + 10 * i), np.ones((16, 16)))[..., None].repeat(3, 2).astype("uint8") for i in range(20)
    ]
    video.write(tmp_path / "a.avi", blocks, codec="ffv1")
    video.write(tmp_path / "short.avi", blocks[:12], codec="ffv1")
    table = pd.DataFrame({"dataset": "disfa", "subject": "disfa/SN001", "clip": "video", "frame": range(3, 19)})
    table["index"], table["path"] = table["frame"] - 1, "a.avi"
    frames = Frames.concat([Frames(table), Frames(table.assign(subject="disfa/SN002", path="short.avi"))])
    result = prepare(frames, tmp_path, tmp_path / "out", crop="none", size=64, workers=1)
    assert result.reasons == {"video": 6}
    manifest, images = crops_of(tmp_path / "out")
    assert manifest["frame"].tolist() == [*range(3, 19), *range(3, 13)]
    assert images[:, 0, 0, 0].tolist() == [40 + 10 * (frame - 1) for frame in manifest["frame"]]
    detail = Frames.read_parquet(tmp_path / "out" / "quarantine.parquet").table["detail"]
    assert detail.str.contains("12 frames in the video").all()


def test_a_disk_that_goes_away_stops_the_run_instead_of_leaving_out_the_rest(breakable, tmp_path, monkeypatch):
    frames, root = breakable
    original = prepare_task._picture

    def unplug(job, row):
        if row["frame"] == 10 and root.exists():
            root.rename(tmp_path / "elsewhere")
        return original(job, row)

    monkeypatch.setattr(prepare_task, "_picture", unplug)
    with pytest.raises(DatasetError, match="mount the disk again"):
        prepare(frames, root, tmp_path / "out", crop="none", size=32, workers=1, piece=5)
    (tmp_path / "elsewhere").rename(root)
    monkeypatch.undo()
    assert prepare(frames, root, tmp_path / "out", crop="none", size=32, workers=1, piece=5).left_out == 0


# --- detectors


class Eyes:
    """Finds a face of fixed size wherever a picture is not dark."""

    def find(self, image):
        if image.max() < 200:
            return None
        return Found(np.array([20.0, 20, 52, 60]), crops.five_points(points(0)[None])[0], 0.9)

    digest = "eyes"


def with_detector(monkeypatch):
    monkeypatch.setattr(preparing, "FaceDetector", lambda model: Eyes())
    monkeypatch.setattr(prepare_task, "_detector", lambda model: Eyes())


def test_fmae_crops_the_detectors_box_and_lists_pictures_without_a_face(breakable, tmp_path, monkeypatch):
    frames, root = breakable
    Image.fromarray(np.zeros((SIDE, SIDE, 3), "uint8")).save(root / "F001/T1/2.jpg")
    with_detector(monkeypatch)
    result = prepare(frames, root, tmp_path / "out", crop="fmae", size=64, workers=1, face_model="yunet.onnx")
    assert result.reasons == {"no_face": 1}
    manifest, images = crops_of(tmp_path / "out")
    row = manifest.iloc[0]
    assert row["points_from"] == "detector"
    assert row["score"] == 0.9
    assert row[["box_left", "box_top", "box_right", "box_bottom"]].tolist() == [20, 20, 52, 60]
    published = Image.open(root / row["source_path"]).convert("RGB").crop((18, 18, 54, 62)).resize((64, 64))
    assert np.abs(images[0].astype(int) - np.asarray(published)).max() <= 2


def test_a_detector_stands_in_only_where_landmarks_are_missing(breakable, tmp_path, monkeypatch):
    frames, root = breakable
    (root / "M002_T1.mat").write_bytes(b"no matlab file")
    with_detector(monkeypatch)
    result = prepare(frames, root, tmp_path / "out", crop="jaa", size=64, workers=1, face_model="yunet.onnx")
    assert result.left_out == 0
    manifest = Frames.read_parquet(tmp_path / "out" / "manifest.parquet").table
    assert (manifest["points_from"] == ["dataset"] * 40 + ["detector"] * 20).all()


def test_what_is_missing_for_a_crop_is_said_before_anything_is_done(source, tmp_path, monkeypatch):
    frames, root = source
    with pytest.raises(NoDetector, match=r"pass face_model= .*YuNet"):
        prepare(frames, root, tmp_path / "out", crop="fmae")
    bare = Frames(frames.table.drop(columns="landmarks"))
    with pytest.raises(ValueError, match="placed by landmarks and this table has none"):
        prepare(bare, root, tmp_path / "out", crop="megraph")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NoDetector, match="pip install opencv-python-headless"):
        prepare(frames, root, tmp_path / "out", crop="fmae", face_model="yunet.onnx")
    with pytest.raises(ValueError, match="at least one frame"):
        prepare(frames.select([]), root, tmp_path / "out", crop="none")
    assert not (tmp_path / "out").exists()


# --- from end to end


def test_the_manifest_says_which_camera_and_which_numbers_pictures_have(tmp_path):
    """Image 7 of one code base is image 8 of another; without these columns nobody could tell later."""
    from fau_utils.data import disfa
    from fau_utils.data.layouts import disfa as disfa_layout
    from fau_utils.data.layouts import footage

    disfa_layout.export(
        tmp_path / "disfa", subjects=1, frames=8, res=32, extracted=("jaa",), landmarks=False, film=footage.numbered
    )
    filmed = disfa.read(tmp_path / "disfa", camera="both")
    prepare(filmed, tmp_path / "disfa", tmp_path / "filmed", crop="none", size=32, workers=1)
    table = Frames.read_parquet(tmp_path / "filmed" / "manifest.parquet").table
    assert table["camera"].tolist() == ["left"] * 8 + ["right"] * 8
    assert table["naming"].unique().tolist() == ["video"]
    assert (table["frame"] - table["index"] == 1).all()
    images = np.load(tmp_path / "filmed" / "images.npy").transpose(0, 2, 3, 1)
    shown = [footage.number_in(image) for image in images[table["row"]]]
    assert shown == [(index, camera) for index, camera in zip(table["index"], table["camera"], strict=True)]
    stills = disfa.read(tmp_path / "disfa", images="extracted/jaa", naming="jaa")
    prepare(stills, tmp_path / "disfa", tmp_path / "stills", crop="none", size=32, workers=1)
    table = Frames.read_parquet(tmp_path / "stills" / "manifest.parquet").table
    assert set(table["naming"]) == {"jaa"}
    assert table["source_path"].iloc[7] == "extracted/jaa/SN001/7.jpg"
    assert (table["frame"].iloc[7], table["camera"].iloc[7]) == (8, "left")


def test_a_rendered_bp4d_tree_is_read_prepared_and_complete(tmp_path):
    truth = layout.export(tmp_path / "bp4d", subjects=("F001",), tasks=("T1",), frames=8, res=64)
    frames = bp4d.read(tmp_path / "bp4d", allow_missing=True)
    result = prepare(frames, tmp_path / "bp4d", tmp_path / "out", crop="jaa", size=64, workers=1)
    assert result.kept + result.left_out == len(truth) == 8
    assert result.reasons == {"no_picture": 1}
    marks = np.load(tmp_path / "out" / "landmarks.npy")
    manifest, images = crops_of(tmp_path / "out")
    five = crops.five_points(marks[manifest["row"]])
    assert np.abs(five[:, 0, 1] - five[:, 1, 1]).max() < 1e-3
    assert (five > 8).all()
    assert (five < 56).all()
    assert images.std((1, 2, 3)).min() > 10
