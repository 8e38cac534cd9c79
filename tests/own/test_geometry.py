from dataclasses import replace

import numpy as np
import pytest
import torch

from fau_utils.data import crops
from fau_utils.data.detector import Found
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer
from fau_utils.own import geometry

FIVE = np.array([[60.0, 80], [120, 80], [90, 114], [65, 149], [115, 149]])
FACE = Found(np.array([40.0, 30, 140, 180]), FIVE, 1.0)


def _five(points):
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def test_the_crop_of_rendered_faces_is_that_of_the_renderers_own_aligner():
    seed = torch.arange(4)
    nuisance = sample_nuisance(seed)
    still = replace(nuisance, shift=nuisance.shift * 0, zoom=torch.ones_like(nuisance.zoom), pose=nuisance.pose * 0)
    rest = torch.zeros(4, 16, 2)
    frame = FaceRenderer(res=224)(sample_identity(seed), rest, still).landmarks.numpy()
    crop = FaceRenderer(res=64)(sample_identity(seed), rest, still, align=True).landmarks.numpy()
    for seen, goal in zip(frame, crop, strict=True):
        five = _five(seen)
        matrix = geometry.matrix(Found(np.zeros(4), five, 1.0), crop="rendered", size=64)
        assert np.abs(crops.transform(five[None], matrix[None])[0] - _five(goal)).max() < 1.5  # of 64 px


@pytest.mark.parametrize("name", ["rendered", "jaa", "megraph", "fgnet"])
def test_a_picture_that_is_moved_and_turned_gives_the_same_crop(name):
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]) * 1.7
    moved = replace(FACE, five=FIVE @ turn.T + [33, -12])
    one = crops.transform(FIVE[None], geometry.matrix(FACE, crop=name, size=64)[None])
    other = crops.transform(moved.five[None], geometry.matrix(moved, crop=name, size=64)[None])
    assert np.allclose(one, other)


def test_a_margin_shows_the_middle_of_the_published_crop():
    whole = geometry.matrix(FACE, crop="megraph", size=256)
    middle = geometry.matrix(FACE, crop="megraph", size=224, margin=256 / 224)
    there = crops.transform(FIVE[None], whole[None]) - 16
    assert np.allclose(crops.transform(FIVE[None], middle[None]), there)


def test_a_face_without_points_is_taken_by_its_box():
    matrix = geometry.matrix(replace(FACE, five=np.full((5, 2), np.nan)), crop="rendered", size=75)
    corners = crops.transform(np.array([[[39.5, 29.5], [139.5, 179.5]]]), matrix[None])[0]
    assert np.allclose(corners[:, 1], [-0.5, 74.5])
    assert np.allclose(corners[:, 0].mean(), 37)


def test_a_face_that_looks_ahead_is_not_turned_and_roll_is_that_of_the_eyes():
    ahead = (geometry._FACE[:, :2] * [1, -1]) * 50 + 100
    assert np.abs(geometry.pose(ahead)).max() < 0.5
    tilted = (ahead - 100) @ np.array([[np.cos(0.2), np.sin(0.2)], [-np.sin(0.2), np.cos(0.2)]]) + 100
    assert geometry.pose(tilted) == pytest.approx([0, 0, -np.degrees(0.2)], abs=0.5)


def test_without_points_nothing_is_known_of_the_pose():
    assert np.isnan(geometry.pose(np.full((5, 2), np.nan))).all()
