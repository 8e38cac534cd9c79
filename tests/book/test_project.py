import os

import pytest
import tree

from fau_utils.book import project
from fau_utils.book.errors import UserError


def test_the_project_is_found_from_inside_it_and_from_the_package(tmp_path, monkeypatch):
    root = tree.make(tmp_path / "p")
    monkeypatch.chdir(root / "book" / "_static")
    assert project.find().root == root
    monkeypatch.chdir(tmp_path)
    assert project.find().root == tree.ROOT
    with pytest.raises(UserError, match="--root"):
        project.find(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a" / "record.json"
    project.write(path, "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        project.write(path, "new")
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]
    assert path.read_text() == "old"


def test_a_second_run_in_the_same_build_folder_is_refused(tmp_path, fau):
    root = tree.make(tmp_path / "p")
    with project.locked(project.find(root)):
        code, said = fau("book", root)
        assert code == 2
        assert f"process {os.getpid()}" in said
        assert len(said.splitlines()) == 1
    with project.locked(project.find(root)):
        pass


def test_what_a_killed_run_left_is_thrown_away(tmp_path):
    here = project.find(tree.make(tmp_path / "p"))
    (here.work / "00_tour").mkdir(parents=True)
    here.executed.mkdir()
    (here.executed / ".abc.part").write_text("half")
    with project.locked(here):
        assert list(here.work.iterdir()) == []
        assert list(here.executed.iterdir()) == []
