"""Data that differ make other runs and other cells, whatever they are called."""

import io
import json
import shutil
import tarfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fau_utils.bench import fingerprint
from fau_utils.frames import Frames
from fau_utils.results import job
from fau_utils.results.content import content_of


@pytest.fixture
def lab(blobs, tmp_path):
    """A function that writes a prepared folder ``<where>/lab``; its name."""

    def write(where, *, size=32, shade=0, crop="fmae", faces=blobs(6, 4, size=32)):
        folder = tmp_path / where / "lab"
        folder.mkdir(parents=True)
        Frames(faces.frames.table.assign(row=range(len(faces)))).to_parquet(folder / "manifest.parquet")
        np.save(folder / "images.npy", faces.images.numpy()[:, :, :size, :size] + np.uint8(shade))
        (folder / "plan.json").write_text(json.dumps({"crop": crop, "size": size, "versions": {}}))
        return str(folder)

    return write


@pytest.fixture
def shards(tmp_path):
    """A function that writes a shard of four faces as ``<where>/faces.tar``; its name."""

    def write(where, *, shade=0):
        (tmp_path / where).mkdir()
        path = tmp_path / where / "faces.tar"
        with tarfile.open(path, "w") as archive:
            for number in range(4):
                file = io.BytesIO()
                Image.fromarray(np.full((32, 32, 3), 9 * number + shade, "uint8")).save(file, "bmp")
                member = tarfile.TarInfo(f"{number}.bmp")
                member.size = file.tell()
                archive.addfile(member, io.BytesIO(file.getvalue()))
        return str(path)

    return write


def _others(lab, shards):
    """Two names of other data, that are called alike where they have a name."""
    return {
        "pixels": lambda: (lab("one"), lab("two", shade=1)),
        "size": lambda: (lab("one"), lab("two", size=16)),
        "crop": lambda: (lab("one"), lab("two", crop="jaa")),
        "rendered": lambda: tuple(f"synth:subjects=2,frames=2,seed={seed}" for seed in (1, 2)),
        "shards": lambda: (shards("one"), shards("two", shade=1)),
    }


@pytest.mark.parametrize("what", ["pixels", "size", "crop", "rendered", "shards"])
@pytest.mark.parametrize("method", ["mae", "cnn"])
def test_other_data_under_the_same_name_are_another_run_and_another_cell(lab, shards, tmp_path, what, method):
    if (what, method) == ("shards", "cnn"):
        pytest.skip("shards have no labels")
    names = _others(lab, shards)[what]()
    fold = None if method == "mae" or what == "rendered" else "1"
    ids = [job.plan(job.Job(method, name, tmp_path, fold=fold, size=32)).id for name in names]
    assert ids[0] != ids[1]
    assert ids[0].rpartition("-")[0] == ids[1].rpartition("-")[0]
    made = [fingerprint._data(name, method) for name in names]
    assert made[0] != made[1]


def test_a_probe_of_other_faces_is_another_run(tmp_path, monkeypatch):
    from fau_utils.results import frozen

    monkeypatch.setattr(frozen.jobs, "train", lambda *_, **__: pytest.fail("is not finished"))
    found = []
    monkeypatch.setattr(frozen.Run, "read", lambda path: found.append(path.name))
    for res in (64, 112):
        wanted = job.Job("clp", f"synth:subjects=2,frames=2,res={res}", tmp_path, budget="smoke")
        frozen.train(wanted, faces="synth:subjects=2,frames=14,clip_length=7")
    assert len(set(found)) == 2


def test_a_copy_is_the_same_data(lab, shards, tmp_path):
    for name in (lab("one"), shards("two")):
        copy = shutil.copytree if name.endswith("lab") else shutil.copy
        target = tmp_path / "copies" / name.rpartition("/")[2]
        target.parent.mkdir(exist_ok=True)
        copy(name, target)
        assert content_of(str(target)) == content_of(name)


def test_two_prepared_domains_are_both_looked_at(lab):
    known = partial(content_of, domains=True)
    one, two, three = lab("one"), lab("two", shade=1), lab("three", shade=2)
    assert known(f"{one},{two}") != known(f"{one},{three}")
    assert known(f"{one},{two}") != known(f"{three},{two}")
    assert known("synth:gap=1") != known("synth:gap=0.5")
