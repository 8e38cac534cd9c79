"""Pictures show the faces they are given, in order."""

import re

import numpy as np
import pytest
import torch

from fau_utils.plots import draw_landmarks, mosaic, movable_face, sheet

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def _grey(count: int, size: int = 4) -> torch.Tensor:
    """Images whose level is their index over ten."""
    return (torch.arange(count) / 10)[:, None, None, None].expand(count, 3, size, size)


def test_mosaic_places_images_row_by_row_on_white():
    canvas = mosaic(_grey(5), columns=3, gap=1)
    assert canvas.shape == (9, 14, 3)
    assert canvas[0, 5, 0] == round(0.1 * 255)
    assert canvas[5, 0, 0] == round(0.3 * 255)
    assert (canvas[:, 4] == 255).all()
    assert (canvas[5:, 10:] == 255).all(), "the empty place of the last row stays white"


def test_uint8_and_float_images_look_the_same():
    levels = _grey(3)
    assert np.array_equal(mosaic(levels, columns=3), mosaic((levels * 255).round().to(torch.uint8), columns=3))


def test_an_image_without_three_channels_is_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\), found \(2, 1, 4, 4\)"):
        mosaic(torch.zeros(2, 1, 4, 4), columns=2)


def test_sheet_titles_every_face_and_refuses_a_wrong_number():
    figure = sheet(_grey(6), columns=3, titles=list("abcdef"))
    assert [ax.get_title() for ax in figure.axes] == list("abcdef")
    with pytest.raises(ValueError, match="expected 6 titles"):
        sheet(_grey(6), columns=3, titles=["a", "b"])


def test_hidden_landmarks_are_drawn_hollow():
    from matplotlib import pyplot as plt

    _, ax = plt.subplots()
    points = torch.tensor([[1.0, 2.0], [3.0, 0.0], [2.0, 2.0]])
    draw_landmarks(ax, _grey(1)[0], points, torch.tensor([True, False, True]))
    filled, hollow = ax.collections
    assert filled.get_offsets().tolist() == [[1, 2], [2, 2]]
    assert hollow.get_offsets().tolist() == [[3, 0]]
    assert len(hollow.get_facecolors()) == 0


def test_movable_face_holds_every_face_and_refers_to_nothing_outside():
    page = movable_face(
        _grey(6).reshape(2, 3, 3, 4, 4), names=["AU1", "AU<2>"], levels=["0", "A", "B"], describe="a face"
    )
    assert page.count("<option") == 2
    assert "AU&lt;2&gt;" in page
    assert 'max="2"' in page
    assert not re.search(r"https?://", page)


def test_movable_face_refuses_a_wrong_number_of_levels():
    with pytest.raises(ValueError, match="2 names x 2 levels"):
        movable_face(_grey(6).reshape(2, 3, 3, 4, 4), names=["a", "b"], levels=["0", "1"], describe="a face")
