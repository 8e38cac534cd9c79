import matplotlib.pyplot as plt
import pytest

from fau_utils.metrics.contrast import Contrast
from fau_utils.plots import forest
from fau_utils.plots.forest import TINT

NAN = float("nan")
FOUND = [
    Contrast("helps", 3.0, 2.0, 4.0, over="5 seeds and the people", least=1.0, unit="AUC points"),
    Contrast("hurts", -3.0, -4.0, -2.0, over="2 seeds", unit="AUC points"),
    Contrast("one run", 1.0, NAN, NAN, over="1 seed", unit="AUC points"),
]


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_lines_stand_where_the_intervals_are_less_what_is_needed(axes):
    forest(axes, FOUND)
    lines = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert lines == [[1, 3], [-4, -2], [0, 0]]
    points = {line.get_ydata()[0]: line for line in axes.lines if line.get_marker() == "o"}
    assert [points[y].get_xdata()[0] for y in range(3)] == [2, -3, 1]
    assert [points[y].get_color() for y in range(3)] == [
        TINT["supported"], TINT["not supported"], TINT["cannot tell"]
    ]  # fmt: skip
    assert points[2].get_fillstyle() == "none"
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first on top"


def test_every_line_says_over_how_much_it_is(axes):
    forest(axes, FOUND, labels=["a", "b", "c"])
    assert [text.get_text() for text in axes.texts] == ["5 seeds", "2 seeds", "1 seed"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


def test_what_cannot_share_an_axis_is_refused(axes):
    with pytest.raises(ValueError, match="one unit"):
        forest(axes, [*FOUND, Contrast("F1", 1.0, 0.0, 2.0, over="2 seeds", unit="F1 points")])
    with pytest.raises(ValueError, match="3 labels"):
        forest(axes, FOUND, labels=["a"])
