import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.models.landmark_heads import (
    PointRegression,
    ResponseMaps,
    argmax,
    attention,
    cells,
    response_loss,
    soft_argmax,
)


def peak(x, y, *, grid=8, height=50.0):
    maps = torch.zeros(1, 1, grid, grid)
    maps[0, 0, y, x] = height
    return maps


@given(st.integers(0, 7), st.integers(0, 7))
def test_a_single_peak_is_where_its_cell_has_its_centre(x, y):
    expected = torch.tensor([[[8 * x + 3.5, 8 * y + 3.5]]])
    torch.testing.assert_close(argmax(peak(x, y), size=64), expected)
    torch.testing.assert_close(soft_argmax(peak(x, y), size=64), expected)
    assert cells(expected, size=64, grid=8).item() == 8 * y + x


def test_equal_responses_mean_the_centre_of_the_image():
    torch.testing.assert_close(soft_argmax(torch.zeros(1, 2, 4, 6), size=64), torch.full((1, 2, 2), 31.5))


def test_a_low_temperature_sharpens():
    maps = peak(1, 1, height=2.0)
    far = [abs(soft_argmax(maps, size=64, temperature=t) - 11.5).max() for t in (1.0, 0.3, 0.05)]
    assert far[0] > far[1] > far[2]
    with pytest.raises(ValueError, match="above 0"):
        soft_argmax(maps, size=64, temperature=0)


def test_attention_sums_to_one_in_each_map():
    torch.testing.assert_close(attention(torch.randn(2, 5, 4, 4)).sum((2, 3)), torch.ones(2, 5))


def test_points_outside_count_to_the_border_and_unknown_ones_to_nothing():
    points = torch.tensor([[[-9.0, 3.0], [99.0, 99.0], [torch.nan, 3.0]]])
    assert cells(points, size=64, grid=8).tolist() == [[0, 63, -100]]


def test_the_loss_is_the_mean_over_landmarks_that_are_known():
    maps = torch.randn(2, 3, 8, 8, requires_grad=True)
    points = torch.rand(2, 3, 2) * 63
    whole = response_loss(maps, points, size=64)
    logs = maps.flatten(2).log_softmax(-1)
    place = cells(points, size=64, grid=8)
    each = -logs.gather(2, place[..., None])[..., 0]
    torch.testing.assert_close(whole, each.mean())
    points[0, 1] = torch.nan
    kept = torch.ones(2, 3, dtype=torch.bool)
    kept[0, 1] = False
    torch.testing.assert_close(response_loss(maps, points, size=64), each[kept].mean())
    nothing = response_loss(maps, torch.full((2, 3, 2), torch.nan), size=64)
    assert nothing.item() == 0


def test_response_maps_learn_where_a_bright_spot_is():
    torch.manual_seed(0)
    head = ResponseMaps(1, points=1, hidden=8)
    place = torch.randint(0, 8, (64, 2))
    maps = torch.zeros(64, 1, 8, 8)
    maps[torch.arange(64), 0, place[:, 1], place[:, 0]] = 1
    points = (8 * place + 3.5)[:, None]
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        response_loss(head(maps), points, size=64).backward()
        optimizer.step()
    assert (argmax(head(maps), size=64) == points).all(-1).float().mean() > 0.95


def test_a_regression_begins_at_the_centre():
    head = PointRegression(5, size=64)
    assert head(torch.zeros(2, 5)).shape == (2, 49, 2)
    assert (head(torch.zeros(2, 5)) == 31.5).all()
