import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from squares import film, picture, save

from fau_utils.cli import main
from fau_utils.data import video
from fau_utils.own import layouts, overlay, predict, rehearsal, table
from fau_utils.own.predict import Wanted
from fau_utils.own.work import OtherWork, Work

PRESENT = "AU12_present"


def _looked(tmp_path, model, *inputs, **options):
    done = predict.predict(Wanted(tuple(inputs), tmp_path / "out.csv", model, **options))
    return done, table.read(done.out) if options.get("layout", "fau") == "fau" else done.out


def test_a_video_of_two_people_gives_a_row_for_each_face_of_each_frame(tmp_path, model, blobs):
    done, rows = _looked(tmp_path, model, film(tmp_path / "two.mp4", 30))
    assert done.pictures == 30
    assert len(rows) == 30 + 24  # the green one is away for six frames
    assert sorted(rows.groupby("face").size()) == [24, 30]
    assert rows["time"].max() == pytest.approx(29 / 25)
    assert rows.loc[rows["abstained"].isna(), "AU12"].between(0, 1).all()


def test_the_header_names_units_threshold_model_and_protocol(tmp_path, model, blobs):
    done, rows = _looked(tmp_path, model, save(tmp_path / "a.png", picture((40, 20))))
    header = "".join(line for line in done.out.read_text().splitlines(keepends=True) if line.startswith("#"))
    for word in (
        "model: small (cnn",
        "TEACHING ONLY",
        "unit: probability",
        "threshold: AU1 ",
        "column yaw: degrees",
        "column AUn: probability",
        "protocol: ours",
        "blobs",
    ):
        assert word in header
    said = json.loads(Path(f"{done.out}.json").read_text())
    assert {"AUn", "AUn_present", "abstained", *layouts.PLACE, *layouts.FACE} <= set(said["columns"])
    assert list(rows)[:4] == ["input", "frame", "time", "face"]


def test_a_path_with_the_sign_of_the_header_keeps_its_row(tmp_path, model, blobs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(Path("#1 session #2") / "a #3.png", picture((40, 20)))
    _, rows = _looked(tmp_path, model, path)
    assert rows["input"].tolist() == ["#1 session #2/a #3.png"]
    assert rows["AU12"].notna().all() or rows["abstained"].notna().all()
    assert len(rows.columns) > 30


def test_a_face_outside_the_limits_has_a_reason_and_no_probability(tmp_path, model, blobs, monkeypatch):
    limits = predict.models.Limits(eyes=1000.0)
    monkeypatch.setattr(predict.models.Model, "limits", property(lambda self: limits))
    done, rows = _looked(tmp_path, model, save(tmp_path / "a.png", picture((40, 20))))
    assert rows["abstained"].tolist() == ["small"]
    assert rows[["AU12", PRESENT]].isna().all(axis=None)
    assert done.abstained == {"small": 1}
    _, rows = _looked(tmp_path, model, tmp_path / "a.png", answer_all=True)
    assert rows["abstained"].tolist() == ["small"]
    assert rows["AU12"].notna().all()


def test_a_picture_without_a_face_is_a_row_that_says_so(tmp_path, model, blobs):
    done, rows = _looked(tmp_path, model, save(tmp_path / "a.png", picture()))
    assert rows["abstained"].tolist() == ["no face"]
    assert rows["face"].isna().all()
    assert (done.faces, done.answered) == (0, 0)


def test_damaged_files_are_listed_and_everything_else_is_done(tmp_path, model, blobs, capsys):
    folder = tmp_path / "in"
    save(folder / "a.png", picture((40, 20)))
    (folder / "b.jpg").write_bytes(b"not a picture")
    whole = film(folder / "c.avi", 30).read_bytes()
    (folder / "c.avi").write_bytes(whole[: len(whole) * 2 // 3])
    save(folder / "d.png", picture((40, 20)))
    code = main(["predict", str(folder), "-o", str(tmp_path / "out.csv"), "--model", str(model)])
    assert code == 4
    said = capsys.readouterr().out
    assert "2 files could not be read" in said
    assert "b.jpg: 13 bytes" in said
    rows = table.read(tmp_path / "out.csv")
    assert {Path(name).name for name in rows["input"]} == {"a.png", "c.avi", "d.png"}
    assert 5 < (rows["input"].str.endswith("c.avi") & (rows["face"] == 0)).sum() < 30
    unreadable = json.loads((tmp_path / "out.csv.json").read_text())["unreadable"]
    assert [Path(one["file"]).name for one in unreadable] == ["b.jpg", "c.avi"]


def test_parts_of_any_length_give_the_same_table(tmp_path, model, blobs):
    inputs = [save(tmp_path / "a.png", picture((40, 20))), film(tmp_path / "b.mp4", 23)]
    tables = []
    for part in (5, 100):
        done = predict.predict(Wanted(tuple(inputs), tmp_path / f"{part}.csv", model, part=part))
        tables.append(done.out.read_text())
    assert tables[0] == tables[1]


def test_a_run_that_was_killed_goes_on_and_gives_the_same_table(tmp_path, model, blobs, monkeypatch):
    path = film(tmp_path / "two.mp4", 30)
    wanted = Wanted((path, save(tmp_path / "a.png", picture((40, 20)))), tmp_path / "killed.csv", model, part=8)
    child = (
        "import os, signal, sys\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "import squares\n"
        "from fau_utils.own import finders, predict\n"
        "seen = []\n"
        "def find(images):\n"
        "    seen.extend(images)\n"
        "    if len(seen) > 20: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return squares.find(images)\n"
        "finders.finder = lambda name, device: (find, 'blobs')\n"
        "inputs, out, model = tuple(map(Path, sys.argv[5:])), Path(sys.argv[3]), Path(sys.argv[4])\n"
        "predict.predict(predict.Wanted(inputs, out, model, part=8))\n"
    )
    root, here = Path(predict.__file__).parents[2], Path(__file__).parent
    words = [root, here, wanted.out, model, *wanted.inputs]
    ended = subprocess.run([sys.executable, "-c", child, *map(str, words)], env={**os.environ, "FAU_PROGRESS": "0"})
    assert ended.returncode == -signal.SIGKILL
    assert not wanted.out.exists()
    kept = sorted(p.name for p in wanted.out.with_name(".killed.csv.work").glob("*.json"))
    assert kept == ["000000.json", "000001.json"]
    looked = []
    see = predict.Looker.see

    def watched(self, some, **options):
        looked.extend(frame for frame, _, _ in some)
        see(self, some, **options)

    monkeypatch.setattr(predict.Looker, "see", watched)
    resumed = predict.predict(wanted)
    assert looked[0] == 16  # nothing is looked at twice
    straight = predict.predict(Wanted(wanted.inputs, tmp_path / "straight.csv", model, part=8))
    assert resumed.out.read_text() == straight.out.read_text()
    assert not wanted.out.with_name(".killed.csv.work").exists()


def test_work_of_other_settings_is_not_gone_on_with(tmp_path):
    Work(tmp_path / "w", {"step": 1})
    with pytest.raises(OtherWork, match="--no-resume"):
        Work(tmp_path / "w", {"step": 2})
    assert len(Work(tmp_path / "w", {"step": 2}, resume=False)) == 0


def test_a_part_without_its_state_does_not_count(tmp_path):
    import pandas as pd

    work = Work(tmp_path / "w", {})
    work.add(pd.DataFrame({"a": [1]}), {"file": 1})
    pd.DataFrame({"a": [2]}).to_parquet(work._rows(1))
    assert len(Work(tmp_path / "w", {})) == 1
    assert work.state() == {"file": 1}


def test_a_long_film_takes_no_more_of_the_machine_than_a_short_one(tmp_path, model):
    """Resident memory, in which decoders and torch count as well, while frames are looked at."""
    child = (
        "import sys\n"
        "sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "import psutil, squares\n"
        "from fau_utils.own import finders, predict\n"
        "finders.finder = lambda name, device: (lambda images: [[]] * len(images), 'none')\n"
        "used, see = [], predict.Looker.see\n"
        "def watched(self, some, **options):\n"
        "    see(self, some, **options)\n"
        "    used.append(psutil.Process().memory_info().rss)\n"
        "predict.Looker.see = watched\n"
        "wanted = predict.Wanted((Path(sys.argv[3]),), Path(sys.argv[4]), sys.argv[5], part=64)\n"
        "predict.predict(wanted)\n"
        "print(len(used), used[len(used) // 10], max(used))\n"
    )
    path, still = tmp_path / "long.avi", picture((8, 20))
    video.write(path, (still for _ in range(4000)), codec="mpeg4")  # 221 MB of pixels
    root, here = Path(predict.__file__).parents[2], Path(__file__).parent
    words = map(str, (root, here, path, tmp_path / "out.csv", model))
    found = subprocess.run([sys.executable, "-c", child, *words], capture_output=True, text=True, check=True)
    looks, early, most = map(int, found.stdout.split())
    assert looks >= 4000 / 32
    assert most - early < 60e6


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, model, blobs):
    peaks = []
    for frames in (16, 64):
        path = film(tmp_path / f"{frames}.avi", frames)
        tracemalloc.start()
        predict.predict(Wanted((path,), tmp_path / f"{frames}.csv", model, part=8, neutral="face", answer_all=True))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 400_000  # a frame is 55 kB: eight of 48 more would be seen


def test_overlay_draws_every_frame_and_a_sheet(tmp_path, model, blobs):
    path = film(tmp_path / "two.mp4", 20)
    still = save(tmp_path / "a.png", picture((40, 20)))
    done, _ = _looked(tmp_path, model, path, still, overlay=tmp_path / "look", step=2)
    assert [p.name for p in done.overlays] == ["two_faces.mp4", "sheet.jpg"]
    drawn = video.read(done.overlays[0], range(10))
    assert drawn.shape[1:3] == (96, 192)
    blue = np.abs(drawn[5].astype(int) - overlay._ANSWER).sum(-1) < 60
    orange = np.abs(drawn[5].astype(int) - overlay._SILENCE).sum(-1) < 60
    assert (blue | orange).sum() > 50


def test_stills_without_room_on_the_sheet_are_counted(tmp_path, model, blobs, monkeypatch):
    monkeypatch.setattr(overlay, "MOST", 2)
    for k in range(5):
        save(tmp_path / "in" / f"{k}.png", picture((40, 20)))
    done, _ = _looked(tmp_path, model, tmp_path / "in", overlay=tmp_path / "look")
    assert "3 stills are not on the sheet, which has room for 2" in predict.render(done)


def test_frames_that_are_stepped_over_are_not_looked_at(tmp_path, model, blobs):
    done, rows = _looked(tmp_path, model, film(tmp_path / "two.mp4", 20), step=4)
    assert sorted(set(rows["frame"])) == [0, 4, 8, 12, 16]
    assert done.pictures == 5


def test_crops_need_no_detector(tmp_path, model, run):
    from fau_utils.data import by_name

    faces = by_name.synth_sides("synth:subjects=8,frames=8")["test"]
    for k in range(3):
        save(tmp_path / "crops" / f"{k}.png", np.asarray(faces.images[k]).transpose(1, 2, 0))
    _, rows = _looked(tmp_path, model, tmp_path / "crops", detector="cropped", answer_all=True)
    found = predict.models.load(model)
    prob, _ = found(np.asarray(faces.images[:3]).transpose(0, 2, 3, 1))
    assert np.allclose(rows["AU12"], prob[:, found.aus.index(12)], atol=1e-3)


def test_rendered_people_are_found_followed_and_refused_by_the_real_detector(tmp_path, model):
    folder = rehearsal.write(tmp_path / "in", pictures=9, frames=10, res=112)
    _, rows = _looked(tmp_path, model, folder)
    stills = rows[~rows["input"].str.endswith("mp4")].set_index("input")
    plain = stills[[name.endswith("plain.jpg") for name in stills.index]]
    assert plain["face"].notna().all()
    why = {Path(name).stem.split("_")[1]: word for name, word in stills["abstained"].items()}
    assert why["nobody"] == "no face"
    assert why["turned"] in ("turned", "unsure", "no face")
    assert why["small"] in ("small", "no face")
    film_rows = rows[rows["input"].str.endswith("mp4") & rows["face"].notna()]
    assert set(film_rows["face"]) == {0, 1}


def test_mistakes_on_the_command_line_are_one_line(tmp_path, model, capsys):
    words = ["-o", str(tmp_path / "o.csv"), "--model", str(model)]
    for extra, said in (
        (["missing.jpg"], "found nothing of this name"),
        ([str(tmp_path)], "found none below"),
        ([str(tmp_path), "--layout", "xyz"], "pyfeat, openface"),
        ([str(tmp_path), "--neutral", "x"], "face or folder"),
        ([str(tmp_path), "--cropped", "--detector", "a.onnx"], "give one of them"),
    ):
        assert main(["predict", *extra, *words]) == 2
        assert said in capsys.readouterr().err
    save(tmp_path / "a.png", picture((40, 20)))
    assert main(["predict", str(tmp_path), "-o", "o.csv", "--model", "nobody's"]) == 2
    assert "no model" in capsys.readouterr().err
