import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from squares import film, picture, save

from fau_utils.data import video
from fau_utils.own import inputs


def test_a_folder_gives_its_pictures_and_videos_in_order_and_leaves_out_the_rest(tmp_path):
    for name in ("b/2.png", "b/1.png", "a.png"):
        save(tmp_path / name, picture())
    film(tmp_path / "c.mp4", 5)
    for name in ("notes.txt", ".hidden.png", "out.csv"):
        (tmp_path / name).write_text("")
    found = inputs.listed([tmp_path])
    assert [(one.path.relative_to(tmp_path).as_posix(), one.kind) for one in found] == [
        ("a.png", "image"), ("b/1.png", "image"), ("b/2.png", "image"), ("c.mp4", "video"),
    ]  # fmt: skip


def test_a_file_that_is_named_twice_is_looked_at_once(tmp_path):
    path = save(tmp_path / "a.png", picture())
    assert len(inputs.listed([path, tmp_path, path])) == 1


def test_a_missing_name_and_an_empty_folder_are_mistakes(tmp_path):
    with pytest.raises(ValueError, match="found nothing of this name"):
        inputs.listed([tmp_path / "none.png"])
    with pytest.raises(ValueError, match="found none below"):
        inputs.listed([tmp_path])


def test_a_file_that_is_neither_is_refused_when_it_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("words")
    (one,) = inputs.listed([tmp_path / "a.txt"])
    with pytest.raises(ValueError, match=r"found \.txt"):
        list(inputs.pictures(one))


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_picture_from_a_phone_is_held_upright(tmp_path, turned):
    right = np.zeros((32, 48, 3), "uint8")
    right[:16, :24] = 250  # light at the top left
    stored = {1: right, 2: right[:, ::-1], 3: right[::-1, ::-1], 4: right[::-1], 5: right.transpose(1, 0, 2),
              6: np.rot90(right), 7: np.rot90(right, 2).transpose(1, 0, 2), 8: np.rot90(right, -1)}[turned]  # fmt: skip
    exif = Image.Exif()
    exif[274] = turned
    path = save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif)
    ((_, _, seen),) = inputs.pictures(inputs.listed([path])[0])
    assert np.array_equal(seen, right)


# 16.16 fixed point of tkhd: rows of the matrix that a phone writes when it was held so
HELD = {90: (0, 1, 0, -1, 0, 0), 180: (-1, 0, 0, 0, -1, 0), 270: (0, -1, 0, 1, 0, 0)}  # degrees clockwise


@pytest.mark.parametrize("degrees", HELD)
def test_a_video_from_a_phone_is_held_upright_from_any_frame_on(tmp_path, degrees):
    upright = np.zeros((64, 96, 3), "uint8")
    upright[:32, :48] = 250  # light at the top left
    path = tmp_path / "phone.mp4"
    video.write(path, [np.ascontiguousarray(np.rot90(upright, degrees // 90))] * 60, codec="mpeg4")
    data = path.read_bytes()
    place = data.index(b"tkhd") + 4 + 40
    fixed = [value << 16 for value in HELD[degrees]] + [0, 0, 1 << 30]
    path.write_bytes(data[:place] + struct.pack(">9i", *fixed) + data[place + 36 :])
    for start in (0, 3, 55):  # the last by a seek
        number, _, seen = next(inputs.pictures(inputs.Input(path, "video"), start=start))
        assert (number, seen.shape) == (start, upright.shape)
        assert np.abs(seen.astype(int) - upright).mean() < 5


def test_a_frame_has_its_own_time_where_the_rate_varies(tmp_path):
    path, times = tmp_path / "varies.mp4", [0, 40, 80, 500, 540, 1540]  # ms
    with video.library().open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k, time in enumerate(times):
            frame = video.library().VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * k, "uint8"), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    one = inputs.Input(path, "video")
    assert [time for _, time, _ in inputs.pictures(one)] == pytest.approx([ms / 1000 for ms in times], abs=1e-3)
    assert [time for _, time, _ in inputs.pictures(one, start=3, step=2)] == pytest.approx([0.5, 1.54], abs=1e-3)


def test_a_video_goes_on_from_a_frame_in_steps_with_its_times(tmp_path):
    (one,) = inputs.listed([film(tmp_path / "c.mp4", 30)])
    frames = [(number, time) for number, time, _ in inputs.pictures(one, start=10, step=7)]
    assert frames == [(10, 0.4), (17, pytest.approx(0.68)), (24, 0.96)]
    assert inputs.length(one, step=7) == 5
