"""Files that are opened where Python does not hear it are heard, and nothing of ours is taken for foreign."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fau_utils import kernel

WATCH = Path(kernel.__file__).with_name("watch.py")
HEAD = """
import os, sys
from pathlib import Path
get_ipython = lambda: None
exec(Path({watch!r}).read_text())
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq, torch
there, here = Path({there!r}), Path({here!r})
heard = sys.modules["fau_watch"]
"""
FAKE_H5PY = """
class File:
    def __init__(self, name, mode="r"):
        self.name = name
"""
FAKE_CV2 = """
def imread(name, flags=1):
    return None
def imwrite(name, image):
    return open(name, "wb").write(bytes(image)) > 0
class VideoCapture:
    def __init__(self, name):
        self.name = name
"""


def _foreign(tmp_path, *lines):
    """Whether each line reads what may be licensed, in one Python that is watched."""
    (tmp_path / "lib" / "h5py" / "_hl").mkdir(parents=True)
    (tmp_path / "lib" / "h5py" / "__init__.py").write_text("from h5py._hl.files import File\n")
    (tmp_path / "lib" / "h5py" / "_hl" / "files.py").write_text(FAKE_H5PY)
    if find_spec("cv2") is None:  # OpenCV is no part of the book's environment
        (tmp_path / "lib" / "cv2.py").write_text(FAKE_CV2)
    here = tmp_path / "here"
    here.mkdir()
    code = HEAD.format(watch=str(WATCH), there=str(tmp_path), here=str(here))
    for line in lines:
        code += f"heard.foreign = False\n{line}\nprint('heard', heard.foreign)\n"
    made = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": str(tmp_path / "lib"), "PATH": ""},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return [line.split()[1] == "True" for line in made.stdout.splitlines() if line.startswith("heard ")]


@pytest.fixture
def licensed(tmp_path):
    import numpy as np
    import pandas as pd
    import torch
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3)))
    torch.save(torch.zeros(2, 3, 8, 8), tmp_path / "a.pt")
    pd.DataFrame({"image": [b"jpeg"]}).to_parquet(tmp_path / "bytes.parquet")
    pd.DataFrame({"image": [np.zeros(9, "uint8")]}).to_parquet(tmp_path / "lists.parquet")
    pd.DataFrame({"au": pd.array([1], "Int8"), "f1": [[0.5]]}).to_parquet(tmp_path / "scores.parquet")
    return tmp_path


def test_readers_that_python_does_not_hear_are_heard(licensed):
    read = [
        "import cv2; cv2.imread(str(there / 'a.png'))",
        "import cv2; cv2.VideoCapture(str(there / 'a.avi'))",
        "from torchvision.io import read_image; read_image(str(there / 'a.png'))",
        "from torchvision.io import decode_image; decode_image(str(there / 'a.png'))",
        "import h5py; h5py.File(there / 'a.h5')",
        "torch.load(there / 'a.pt')",
        "np.load(there / 'a.npy', mmap_mode='r')",
        "pq.read_table(there / 'bytes.parquet')",
        "pd.read_parquet(there / 'lists.parquet')",
    ]
    assert dict(zip(read, _foreign(licensed, *read), strict=True)) == dict.fromkeys(read, True)


def test_tables_of_numbers_and_what_was_written_here_are_not_foreign(licensed):
    read = [
        "pq.read_table(there / 'scores.parquet')",
        "pd.read_parquet(there / 'scores.parquet')",
        "import cv2; cv2.imwrite(str(here / 'b.png'), np.zeros((8, 8, 3), 'uint8')); cv2.imread(str(here / 'b.png'))",
        "torch.save(torch.zeros(3), here / 'b.pt'); torch.load(here / 'b.pt')",
        "import h5py; h5py.File(here / 'b.h5', 'w'); h5py.File(here / 'b.h5')",
        "assert isinstance(h5py.File(here / 'b.h5'), h5py.File)",
    ]
    assert dict(zip(read, _foreign(licensed, *read), strict=True)) == dict.fromkeys(read, False)
