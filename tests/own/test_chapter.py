"""Chapter 70 on folders that readers bring, with a model that is already there."""

from pathlib import Path

import jupytext
import matplotlib
import pytest
from matplotlib import pyplot as plt

from fau_utils.data import video
from fau_utils.own import add, rehearsal
from fau_utils.results import job

matplotlib.use("agg")


@pytest.fixture
def chapter():
    return jupytext.read(Path(__file__).parents[2] / "notebooks" / "70_your_own_faces.py")


def parameters(chapter) -> dict:
    (cell,) = (cell for cell in chapter.cells if "parameters" in cell.metadata.get("tags", ()))
    found: dict = {}
    exec(cell.source, found)
    return found


def test_the_camera_is_off_unless_somebody_turns_it_on(chapter):
    assert parameters(chapter)["webcam"] is False


def test_two_films_of_any_suffix_and_rate_are_two_films(chapter, tmp_path, model, run, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, seed, fps in (("one.mp4", 1, 25), ("two.MP4", 2, 10)):
        film = rehearsal.two_people(6, seed=seed, res=112)
        video.write(folder / "film.mp4", film, codec="mpeg4", fps=fps)
        (folder / "film.mp4").rename(folder / name)
    monkeypatch.setattr(job, "train", lambda wanted: run)
    monkeypatch.setattr(add, "add", lambda *args, **options: model)
    drawn: dict = {}
    for cell in chapter.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "70", "exec"), drawn)
            if "parameters" in cell.metadata.get("tags", ()):
                drawn |= {"budget": "smoke", "pictures": str(folder)}
        if "fig-own-video" in str(cell.metadata):
            lines = {line.get_label(): line.get_xdata().max() for line in drawn["ax"].lines}
    assert lines == {
        "one, face 0": pytest.approx(5 / 25),
        "one, face 1": pytest.approx(5 / 25),
        "two, face 0": pytest.approx(5 / 10),
        "two, face 1": pytest.approx(5 / 10),
    }
    assert drawn["stills"].empty
    plt.close("all")
