"""Pictures of people who never agreed to it do not reach the book: some are planted, and none may come out."""

import base64
import io
import json
import re
from importlib.util import find_spec

import nbformat
import numpy as np
import pytest
import tree
from PIL import Image

from fau_utils import cli
from fau_utils.data.rendered import MARK, is_rendered, mark
from fau_utils.kernel import pixels

HEAD = (
    tree.HEADER.format(part="First steps", summary="Pictures.")
    + "# %% [markdown]\n# # {title}\n\n"
    + (
        '# %% tags=["parameters"]\nseed: int = 0  # all randomness comes from it\n'
        'budget: str = "laptop"  # smoke or laptop\n\n'
    )
)
SHOW = """\
# %%
import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, display
from PIL import Image

# %%
path = Path({path!r})
image = {read}
plt.imshow(image)
plt.show()

# %%
plt.imshow(image.mean(2), cmap="gray")
plt.show()

# %%
Image.fromarray(image)

# %%
file = io.BytesIO()
Image.fromarray(image).save(file, "PNG")
text = base64.b64encode(file.getvalue()).decode()
HTML(f'<p>Look: <img src="data:image/png;base64,{{text}}" alt=""></p>')

# %%
plt.plot([1, 3, 2])
plt.show()

# %%
plt.imshow(np.eye(12))
plt.show()

# %%
HTML("<table><tr><td>a number</td></tr></table>")
"""
PICTURES, CHARTS = 4, 2


def _planted(seed=0):
    """Noise in large squares: it survives compression and looks like nothing else."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype("uint8")
    return np.kron(small, np.ones((12, 12, 1), "uint8"))


def _images(text):
    """Every picture in a notebook or page, as arrays."""
    found = [base64.b64decode(m.replace("\\n", "")) for m in re.findall(r"iVBORw0KGgo[A-Za-z0-9+/=\\n]+", text)]
    return [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in found]


def _holds(image, planted):
    """Whether a picture shows the planted one, in colour or in grey, at any size: nearly all its colours as areas."""
    colours, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    areas = colours[counts >= 40].astype(int)
    for version in (planted, np.repeat(planted.mean(2, keepdims=True), 3, 2)):
        wanted = np.unique(version.reshape(-1, 3).round().astype(int), axis=0)
        apart = np.abs(wanted[:, None] - areas[None]).max(2) if len(areas) else np.full((len(wanted), 1), 255)
        if (apart.min(1) <= 3).mean() > 0.8:
            return True
    return False


@pytest.fixture
def project(tmp_path):
    root = tree.make(tmp_path / "project")
    for path in (root / "notebooks").glob("*"):
        path.unlink()
    return root


def _run(project, folder, *, read="np.asarray(Image.open(path))", name="planted.png", fails=False):
    folder.mkdir(exist_ok=True)
    planted = _planted()
    path = folder / name
    np.save(path, planted) if path.suffix == ".npy" else Image.fromarray(planted).save(path)
    text = HEAD.replace("{title}", "Pictures") + SHOW.format(path=str(path), read=read)
    text += "\n# %%\n1 / 0\n" if fails else ""
    (project / "notebooks" / "07_pictures.py").write_text(text)
    assert cli.main(["pair", "--root", str(project)]) == 0
    code = cli.main(["book", "--root", str(project), "--no-html"])
    assert code == (1 if fails else 0)
    return planted


def _shown(project, part="executed"):
    return (project / "build" / part / "07_pictures.ipynb").read_text()


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("planted.png", "np.asarray(Image.open(path))"),
        ("planted.npy", "np.array(np.load(path, mmap_mode='r'))"),
        pytest.param(
            "planted.png",
            "__import__('cv2').imread(str(path))",
            marks=pytest.mark.skipif(find_spec("cv2") is None, reason="OpenCV is no part of the book's environment"),
        ),
        ("planted.png", "__import__('torchvision').io.read_image(str(path)).numpy().transpose(1, 2, 0)"),
    ],
)
def test_planted_pictures_give_way_and_charts_and_tables_stay(project, tmp_path, name, read):
    planted = _run(project, tmp_path / "licensed", name=name, read=read)
    text = _shown(project)
    node = nbformat.reads(text, as_version=4)
    outputs = [o for cell in node.cells for o in cell.get("outputs", [])]
    assert sum(o.get("data", {}).get("text/plain") == pixels.PLACEHOLDER for o in outputs) == PICTURES
    assert not any(_holds(image, planted) for image in _images(text))
    assert "a number" in text
    charts = [o for o in outputs if o.get("metadata", {}).get("fau_chart")]
    assert len(charts) == CHARTS


def test_the_test_would_find_them(project, tmp_path):
    """The same chapter on a folder with the mark: all pictures are there, and the search above sees each."""
    (tmp_path / "rendered").mkdir()
    mark(tmp_path / "rendered")
    planted = _run(project, tmp_path / "rendered")
    text = _shown(project)
    assert pixels.PLACEHOLDER not in text
    held = [image for image in _images(text) if _holds(image, planted)]
    assert len(held) == PICTURES


def test_a_chapter_that_fails_shows_none_either(project, tmp_path):
    planted = _run(project, tmp_path / "licensed", fails=True)
    assert not any(_holds(image, planted) for image in _images(_shown(project, "failed")))
    for path in (project / "build").rglob("*.ipynb"):
        assert not any(_holds(image, planted) for image in _images(path.read_text())), path


def test_what_a_chapter_wrote_itself_it_may_show(project, tmp_path):
    drawn = "np.zeros((40, 40, 3), 'uint8'); Image.fromarray(image).save('own.png')"
    _run(project, tmp_path / "unread", read=drawn + "; image = np.asarray(Image.open('own.png'))")
    assert pixels.PLACEHOLDER not in _shown(project)


def test_films_and_databases_are_heard_where_python_opens_no_file(tmp_path):
    import sys

    from fau_utils.data import decoder, unlabelled
    from fau_utils.data.tree import DatasetError

    heard = []
    sys.addaudithook(lambda event, args: heard.append(args[0]) if event == "fau.pictures" else None)
    (tmp_path / "film.avi").write_bytes(b"no film")
    (tmp_path / "data.mdb").write_bytes(b"no database")
    with pytest.raises(DatasetError):
        decoder.open_video(tmp_path / "film.avi", threads=1)
    with pytest.raises(DatasetError):
        next(unlabelled.Lmdb(tmp_path, dataset="vgg").raw())
    assert heard == [str(tmp_path / "film.avi"), str(tmp_path / "data.mdb")]


@pytest.mark.parametrize(
    "data",
    [
        {"image/jpeg": "xx"},
        {"image/svg+xml": "<svg/>"},
        {"text/html": "<video src='a.mp4'>"},
        {"text/html": '<script>Plotly.newPlot([{"type": "image"}])</script>'},
        {"application/vnd.plotly.v1+json": {"data": [{"type": "image"}]}},
    ],
)
def test_in_doubt_an_output_goes(data):
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data=data)])
    words = nbformat.v4.new_markdown_cell("![](attachment:a.png)", attachments={"a.png": {"image/png": "xx"}})
    node = nbformat.v4.new_notebook(cells=[cell, words])
    assert pixels.without_pictures(node) == 2
    assert "attachments" not in node.cells[1]
    assert node.cells[0].outputs[0]["data"]["text/plain"] == pixels.PLACEHOLDER
    json.dumps(node)


def test_rehearsal_trees_and_what_is_prepared_from_them_bear_the_mark(tmp_path):
    from fau_utils.data import layouts, readers
    from fau_utils.data.prepare import prepare

    layouts.export("bp4d", tmp_path / "tree", subjects=2, tasks=1, frames=8, res=64)
    assert is_rendered(tmp_path / "tree" / "deep" / "below")
    assert not is_rendered(tmp_path)
    frames = readers.read("bp4d", tmp_path / "tree")
    prepare(frames, tmp_path / "tree", tmp_path / "crops", crop="none", size=64, workers=1)
    assert (tmp_path / "crops" / MARK).is_file()
