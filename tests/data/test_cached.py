import os
import subprocess
import sys
import time

import pytest

from fau_utils import cli
from fau_utils.data import cached, synth
from fau_utils.data.cache import FolderWriter
from fau_utils.faces import population
from fau_utils.faces.population import Split, SynthFaces

CONFIG = SynthFaces(val=Split(2, 2, "val"), test=Split(1, 3, "test"))
DAY = 86_400


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Two sets, one of them unused for ten days, in a folder with somebody's own files."""
    monkeypatch.setenv("FAU_CACHE", str(tmp_path))
    monkeypatch.setenv("FAU_PROGRESS", "0")
    for split in ("val", "test"):
        synth.load(CONFIG, split)
    aged(synth.cache_folder(CONFIG, "val"), days=10)
    (tmp_path / "synth" / "my-own-faces").mkdir()
    (tmp_path / "synth" / "notes.txt").write_text("mine")
    return tmp_path / "synth"


def aged(folder, *, days):
    then = time.time() - days * DAY
    os.utime(folder / "meta.json", (then, then))


def names(folder):
    return sorted(path.name.split("-")[0] for path in folder.iterdir())


def test_sets_are_listed_with_size_and_age(cache):
    test, val = cached.listing()
    assert (test.faces, val.faces, val.res, val.current) == (3, 4, CONFIG.res, True)
    assert val.bytes == sum(path.stat().st_size for path in val.folder.iterdir()) > 4 * 3 * CONFIG.res**2
    assert test.unused < 0.1
    assert val.unused == pytest.approx(10, abs=0.1)


def test_reading_a_set_makes_it_young(cache):
    synth.load(CONFIG, "val")
    assert max(found.unused for found in cached.listing()) < 0.1


def test_only_sets_that_are_old_are_removed_and_nothing_else(cache):
    assert cached.clear(older_than=11) == []
    (removed,) = cached.clear(older_than=9)
    assert removed.folder == synth.cache_folder(CONFIG, "val")
    assert names(cache) == ["my", "notes.txt", "test"]
    assert len(cached.clear()) == 1
    assert names(cache) == ["my", "notes.txt"]
    assert len(synth.load(CONFIG, "val")) == 4


def test_who_reads_a_set_keeps_it(cache):
    data = synth.load(CONFIG, "test")
    before = data.images[:].sum()
    cached.clear()
    assert data.images[:].sum() == before


def test_a_link_is_not_followed(cache, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "meta.json").write_text("{}")
    (cache / "val-0123456789abcdef").symlink_to(precious)
    cached.clear()
    assert (precious / "meta.json").exists()


def test_what_killed_writers_left_goes_and_living_writers_stay(cache):
    pytest.importorskip("psutil")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    writer = FolderWriter(cache / "val-0123456789abcdef", fields={"a": ((1,), "uint8")})
    host = writer.temporary.name.split(".writing.")[1].split(".")[0]
    orphan = cache / f".test-0123456789abcdef.writing.{host}.{dead.pid}.0123abcd"
    orphan.mkdir()
    cached.clear(older_than=100)
    assert writer.temporary.exists()
    assert not orphan.exists()
    writer.discard()


def test_sets_of_other_code_and_damaged_ones_are_listed_as_such(cache, monkeypatch):
    (synth.cache_folder(CONFIG, "test") / "meta.json").write_text("half of i")
    monkeypatch.setattr(cached, "code_version", lambda: "another")
    listed = {found.folder.name.split("-")[0]: found for found in cached.listing()}
    assert (listed["test"].current, listed["test"].faces) == (None, None)
    assert listed["val"].current is False
    assert population.code_version() != "another"


def test_a_cache_that_is_not_there_is_empty(tmp_path):
    assert cached.listing(tmp_path / "nowhere") == []
    assert cached.clear(tmp_path / "nowhere") == []


def test_the_command_lists_and_clears(cache, capsys):
    assert cli.main(["cache"]) == 0
    said = capsys.readouterr().out
    assert synth.cache_folder(CONFIG, "val").name in said
    assert "10.0 days" in said
    assert cli.main(["cache", "--older-than", "5"]) == 2
    assert names(cache) == ["my", "notes.txt", "test", "val"]
    assert cli.main(["cache", "--clear", "--older-than", "5"]) == 0
    assert "1 sets removed, 0." in capsys.readouterr().out
    assert names(cache) == ["my", "notes.txt", "test"]
    assert cli.main(["cache", "--clear", "--older-than", "-1"]) == 2
