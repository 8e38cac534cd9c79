import numpy as np
import pytest
from PIL import Image
from squares import film, picture, save

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


def test_a_video_goes_on_from_a_frame_in_steps_with_its_times(tmp_path):
    (one,) = inputs.listed([film(tmp_path / "c.mp4", 30)])
    frames = [(number, time) for number, time, _ in inputs.pictures(one, start=10, step=7)]
    assert frames == [(10, 0.4), (17, 0.68), (24, 0.96)]
    assert inputs.length(one, step=7) == 5
