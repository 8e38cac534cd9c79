import sys

import numpy as np
import squares

from fau_utils.own import camera
from fau_utils.own import model as models


class _Camera:
    """Twelve frames, then the time is over."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, video):
        shown = type("Frame", (), {"to_ndarray": lambda self, format: squares.picture((40, 20))})
        while True:
            yield shown()


def test_what_a_camera_sees_is_counted_as_foreign_and_stored_nowhere(model, monkeypatch, tmp_path):
    heard, clock = [], iter(np.arange(0, 10, 0.1))
    sys.addaudithook(lambda event, details: heard.append((event, details)) if heard is not None else None)
    monkeypatch.setattr(camera, "library", lambda: type("av", (), {"open": staticmethod(lambda *a, **k: _Camera())}))
    monkeypatch.setattr(camera.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(camera, "DEVICES", dict.fromkeys((sys.platform,), ("v4l2", "/dev/video0")))
    monkeypatch.chdir(tmp_path)
    loaded = models.load(model, device="cpu")
    heard.clear()
    rows = camera.watch(loaded, squares.find, seconds=0.55)
    written = [d for event, d in heard if event == "open" and "w" in str(d[1] or "")]
    said = [d for event, d in heard if event == "fau.pictures"]
    heard = None
    assert rows["face"].tolist() == [0] * 5
    assert said == [("/dev/video0",)]
    assert written == []
    assert list(tmp_path.iterdir()) == []
