import numpy as np
import pytest

from fau_utils.faces.landmarks import INDEX_49
from fau_utils.metrics.landmarks import failure_rate, landmark_error, nme


def faces(seed=0, count=6):
    return np.random.default_rng(seed).uniform(10, 50, (count, 68, 2))


def test_error_is_in_units_of_the_distance_between_the_eyes():
    actual = faces()
    moved = actual + np.array([3, 4])  # every point by 5 pixels
    centres = actual[:, 36:42].mean(1) - actual[:, 42:48].mean(1)
    np.testing.assert_allclose(landmark_error(moved, actual), 5 / np.linalg.norm(centres, axis=1), atol=1e-12)
    corners = actual[:, 36] - actual[:, 45]
    np.testing.assert_allclose(
        landmark_error(moved, actual, unit="outer_corners"), 5 / np.linalg.norm(corners, axis=1), atol=1e-12
    )


def test_forty_nine_points_use_the_same_eyes_as_sixty_eight():
    actual, index = faces(), list(INDEX_49)
    moved = actual + np.array([3, 4])
    for unit in ("eye_centres", "outer_corners"):
        np.testing.assert_allclose(
            landmark_error(moved[:, index], actual[:, index], unit=unit), landmark_error(moved, actual, unit=unit)
        )


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_error_does_not_depend_on_the_size_of_the_picture(factor):
    actual, predicted = faces(0), faces(1)
    np.testing.assert_allclose(landmark_error(factor * predicted, factor * actual), landmark_error(predicted, actual))


def test_unknown_points_are_left_out_and_faces_without_eyes_are_undefined_and_counted():
    actual, predicted = faces(0), faces(1)
    full = landmark_error(predicted, actual)
    actual[0, 0] = np.nan  # a point of the outline
    actual[1, 40] = np.nan  # part of an eye
    actual[2] = np.nan
    error = landmark_error(predicted, actual)
    assert np.isnan(error).tolist() == [False, True, True, False, False, False]
    assert error[0] != full[0]
    np.testing.assert_array_equal(error[3:], full[3:])
    mean = nme(predicted, actual)
    assert mean.undefined == 2
    assert mean.value == pytest.approx(np.nanmean(error))
    assert nme(predicted[2:3], actual[2:3]).undefined == 1
    assert failure_rate(error, limit=np.nanmedian(error)) == 0.5


def test_wrong_shapes_and_failed_predictions_are_refused():
    actual = faces()
    with pytest.raises(ValueError, match="49 or 68"):
        landmark_error(actual[:, :66], actual[:, :66])
    with pytest.raises(ValueError, match="one shape"):
        landmark_error(actual[:2], actual)
    with pytest.raises(ValueError, match="not finite"):
        landmark_error(np.full_like(actual, np.nan), actual)
