"""Somebody is taken out of a prepared folder: nothing of them is left, and nothing of the others is touched."""

import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from fau_utils import cli
from fau_utils.data import forget as forgetting
from fau_utils.data.forget import forget, runs_with
from fau_utils.data.loaders import open_prepared
from fau_utils.data.prepare import NotThisFolder, prepare
from fau_utils.frames import Frames

SIDE, FRAMES = 72, 6
PEOPLE = ("bp4d/F001", "bp4d/F002", "bp4d/M001")
GONE = "bp4d/F002"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A few pictures of three people; one picture of each cannot be read."""
    root = tmp_path_factory.mktemp("source")
    generator, rows = np.random.default_rng(0), []
    marks = generator.uniform(24, 48, (49, 2))
    marks[19:25], marks[25:31] = [26, 28], [46, 30]
    marks[13], marks[31], marks[37] = [37, 38], [30, 48], [43, 49]
    for person in PEOPLE:
        code = person.removeprefix("bp4d/")
        fit = np.empty((1, FRAMES), dtype=[("frame", object), ("pred", object)])
        for frame in range(1, FRAMES + 1):
            file = root / f"{code}_{frame}.jpg"
            Image.fromarray(generator.integers(0, 255, (SIDE, SIDE, 3)).astype("uint8")).save(file)
            if frame == 2:
                file.write_bytes(b"cut off")
            fit[0, frame - 1] = (float(frame), marks + 1)
            rows.append((person, "T1", frame, file.name, f"{code}.mat"))
        savemat(root / f"{code}.mat", {"fit": fit})
    table = pd.DataFrame(rows, columns=["subject", "clip", "frame", "path", "landmarks"])
    return Frames(table.assign(dataset="bp4d", AU1=np.arange(len(table)) % 2)), root


@pytest.fixture(params=["array", "tar"])
def prepared(request, source, tmp_path):
    out = tmp_path / "prepared"
    prepare(*source, out, crop="jaa", size=64, form=request.param, workers=1, piece=4)
    return out


def _faces(out):
    data = open_prepared(out)
    keys = data.frames.table[["subject", "frame"]].itertuples(index=False, name=None)
    return dict(zip(keys, np.asarray(data.images[np.arange(len(data))]), strict=True)), data


def test_nothing_of_the_person_is_left_and_all_of_the_others_is(prepared):
    before, data = _faces(prepared)
    marks = data.landmarks[[s != GONE for s in data.frames.table["subject"]]]
    said = forget(prepared, [GONE])
    after, data = _faces(prepared)
    assert (said.people, said.faces, said.listed, said.left) == (1, 5, 1, 10)
    assert set(data.frames.subjects) == set(PEOPLE) - {GONE}
    assert set(after) == {key for key in before if key[0] != GONE}
    assert all(np.array_equal(after[key], before[key]) for key in after)
    assert np.array_equal(data.landmarks, marks)
    for path in prepared.rglob("*"):
        if path.is_file():
            assert b"F002" not in path.read_bytes(), path.name
    assert not (prepared / ".work").exists()


def test_pixels_are_overwritten_and_not_only_forgotten_about(prepared):
    rows = Frames.read_parquet(prepared / "manifest.parquet").table.query("subject == @GONE")
    if "shard" in rows:
        names = set(rows["key"])
        forget(prepared, [GONE])
        left = set()
        for path in prepared.glob("*.tar"):
            with tarfile.open(path) as archive:
                left |= {name.partition(".")[0] for name in archive.getnames()}
        assert left
        assert not names & left
    else:
        forget(prepared, [GONE])
        assert not np.load(prepared / "images.npy")[rows["row"]].any()
        assert np.isnan(np.load(prepared / "landmarks.npy")[rows["row"]]).all()


def test_counts_follow_and_say_how_many_but_not_who(prepared):
    forget(prepared, [GONE])
    summary, plan = (json.loads((prepared / f"{name}.json").read_text()) for name in ("summary", "plan"))
    assert (summary["kept"], summary["left_out"]) == (10, 2)
    assert sum(summary["reasons"].values()) == 2
    assert plan["forgotten"] == 1
    forget(prepared, ["bp4d/F001"])
    assert json.loads((prepared / "plan.json").read_text())["forgotten"] == 2


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_anywhere_it_is_refused_until_the_same_call_ends_it(prepared, source, monkeypatch, at):
    """Each step that changes the disk is the last one in turn."""
    calls = []

    def until(do):
        def step(*args, **options):
            calls.append(do)
            if len(calls) == at:
                raise Killed
            return do(*args, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "write_text", until(forgetting.write_text))
        patch.setattr(forgetting, "_lay_aside", until(forgetting._lay_aside))
        patch.setattr(forgetting, "_overwrite", until(forgetting._overwrite))
        patch.setattr(forgetting, "write_shard", until(forgetting.write_shard))
        patch.setattr(forgetting.Frames, "to_parquet", until(forgetting.Frames.to_parquet))
        try:
            forget(prepared, [GONE])
        except Killed:
            ended = False
        else:
            ended = True  # there are fewer steps than that
    if not ended and at > 1:
        with pytest.raises(ValueError, match="fau forget again"):
            prepare(*source, prepared, crop="jaa", size=64, form="array", workers=1, piece=4)
        if not (prepared / "manifest.parquet").exists():
            with pytest.raises(ValueError, match="fau forget again"):
                open_prepared(prepared)
        with pytest.raises(ValueError, match="not finished"):
            forget(prepared, ["bp4d/F001"])
    if not ended:
        forget(prepared, [GONE])
    after, data = _faces(prepared)
    assert len(after) == 10
    assert GONE not in data.frames.subjects
    assert json.loads((prepared / "plan.json").read_text())["forgotten"] == 1


def test_what_was_forgotten_does_not_come_back(prepared, source):
    forget(prepared, [GONE])
    form = "tar" if list(prepared.glob("*.tar")) else "array"
    asked = {"crop": "jaa", "size": 64, "form": form, "workers": 1, "piece": 4}
    assert prepare(*source, prepared, **asked).kept == 10
    with pytest.raises(NotThisFolder, match="fau forget"):
        prepare(*source, prepared, **asked, retry_quarantined=True)


@pytest.mark.parametrize(
    ("people", "said"),
    [(["bp4d/F999"], "nobody called bp4d/F999"), (list(PEOPLE), "nobody would be left"), ([], "expected somebody")],
)
def test_wrong_people_are_refused_before_anything_is_touched(prepared, people, said):
    before = {path.name: path.read_bytes() for path in prepared.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=said):
        forget(prepared, people)
    assert {path.name: path.read_bytes() for path in prepared.iterdir() if path.is_file()} == before


def test_runs_that_knew_somebody_are_listed(tmp_path):
    for name, tested, trained in (("a", "bp4d/F002", []), ("b", "bp4d/M001", ["bp4d/F002"]), ("c", "bp4d/M001", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"parameters": {"data": {"train_people": trained}}}))
        pd.DataFrame({"subject": [tested]}).to_parquet(tmp_path / name / "predictions.parquet")
    assert runs_with(tmp_path, [GONE]) == ["a", "b"]


def test_the_command_says_what_it_did_and_what_it_cannot_do(prepared, tmp_path, capsys):
    assert cli.main(["forget", str(prepared), GONE, "--runs", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "1 people forgotten, 5 faces removed, 10 left" in out
    assert "as they were" in out
    assert "no run knew them" in out
    assert cli.main(["forget", str(prepared), "bp4d/F999"]) == 2
