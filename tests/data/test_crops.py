import sys

import numpy as np
import pytest
import torch

from fau_utils.data import crops
from fau_utils.data.detector import FaceDetector, NoDetector, largest
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.landmarks import FLIP_49, INDEX_49
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer

BY_POINTS = [name for name, recipe in crops.RECIPES.items() if recipe.needs == "points"]

# the 49 points' mirror images as published with JAA-Net, counted from 1
REFLECT_49 = [
    10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 11, 12, 13, 14, 19, 18, 17, 16, 15, 29, 28, 27, 26, 31, 30, 23, 22, 21, 20, 25, 24,
    38, 37, 36, 35, 34, 33, 32, 43, 42, 41, 40, 39, 46, 45, 44, 49, 48, 47,
]  # fmt: skip


@pytest.fixture(scope="module")
def faces():
    """Rendered faces, (N, H, W, 3) uint8, with their 49 landmarks, turned by rolls the crops have to undo."""
    seed = torch.arange(6)
    out = FaceRenderer(res=112)(sample_identity(seed), torch.zeros(6, 16, 2), sample_nuisance(seed + 50))
    images = (out.image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return images, out.landmarks[:, list(INDEX_49)].numpy().astype("float64")


def placed(points, crop, size):
    five = crops.five_points(points)
    matrices = crops.from_points(five, crop=crop, size=size)
    return matrices, crops.transform(five, matrices)


def test_reflect_49_is_the_permutation_of_the_49_points():
    assert [i + 1 for i in FLIP_49] == REFLECT_49


def test_the_five_points_are_eyes_nose_tip_and_mouth_corners(faces):
    _, points = faces
    five = crops.five_points(points)
    assert np.allclose(five[:, 0], points[:, 19:25].mean(1))
    assert np.allclose(five[:, 1], points[:, 25:31].mean(1))
    assert (five[:, 0, 0] < five[:, 1, 0]).all(), "the picture's left eye comes first"
    assert (five[:, 2, 1] > five[:, :2, 1].max(1)).all(), "the nose is below the eyes"
    assert (five[:, 3:, 1] > five[:, 2, None, 1]).all(), "and above the mouth"
    assert np.allclose(five[:, 3], points[:, INDEX_49.index(48)])
    assert np.allclose(five[:, 4], points[:, INDEX_49.index(54)])


@pytest.mark.parametrize("size", [200, 224, 64])
def test_jaa_turns_the_eyes_level_and_gives_the_five_points_a_box_enlarged_2_9_times(faces, size):
    _, five = placed(faces[1], "jaa", size)
    assert np.abs(five[:, 0, 1] - five[:, 1, 1]).max() < 1e-9
    low, high = five.min(1), five.max(1)
    assert np.allclose((low + high) / 2, (size - 1) / 2), "the points' box is in the middle"
    assert np.allclose((high - low).max(1) * 2.9, size - 1), "its larger side is 1 / 2.9 of the crop"


def test_megraph_is_the_least_squares_similarity_onto_the_template(faces):
    matrices, five = placed(faces[1], "megraph", 256)
    goal = (crops._TEMPLATE + 0.5) * 256 / 112 - 0.5
    for source, matrix in zip(crops.five_points(faces[1]), matrices, strict=True):
        x, y = source.T
        one, zero = np.ones(5), np.zeros(5)
        system = np.block([[x[:, None], -y[:, None], one[:, None], zero[:, None]],
                           [y[:, None], x[:, None], zero[:, None], one[:, None]]])  # fmt: skip
        a, b, u, v = np.linalg.lstsq(system, goal.T.reshape(-1), rcond=None)[0]
        assert np.allclose(matrix, [[a, -b, u], [b, a, v]])
    assert np.abs(five - goal).max() < 20


def test_fgnet_puts_the_centre_a_tenth_below_the_eyes_in_a_square_of_ffhq_size(faces):
    _, five = placed(faces[1], "fgnet", 256)
    eyes, mouth = five[:, :2].mean(1), five[:, 3:].mean(1)
    assert np.allclose(eyes + 0.1 * (mouth - eyes), 127.5)
    across = np.linalg.norm(five[:, 1] - five[:, 0], axis=1)
    down = np.linalg.norm(mouth - eyes, axis=1)
    assert np.allclose(np.maximum(4 * across, 3.6 * down), 256)
    # level with the mean of the eye line and of what stands across the line to the mouth
    tilt = (five[:, 1] - five[:, 0]) + np.stack([(mouth - eyes)[:, 1], -(mouth - eyes)[:, 0]], 1)
    assert np.abs(tilt[:, 1]).max() < 1e-9


@pytest.mark.parametrize("crop", BY_POINTS)
def test_crops_by_points_are_similarities_without_mirroring(faces, crop):
    turn = placed(faces[1], crop, 224)[0][:, :, :2]
    product = turn @ turn.transpose(0, 2, 1)
    assert np.allclose(product, np.linalg.det(turn)[:, None, None] * np.eye(2))
    assert (np.linalg.det(turn) > 0).all()


@pytest.mark.parametrize("crop", BY_POINTS)
@pytest.mark.parametrize("size", [None, 112])
def test_the_crop_of_the_mirror_image_is_the_mirror_image_of_the_crop(faces, crop, size):
    if crop == "megraph":
        pytest.skip("its template is not symmetrical: 0.2 px")
    images, points = faces
    side = crops.chosen_size(crop, size)
    mirrored = points[:, list(FLIP_49)] * [-1, 1] + [images.shape[2] - 1, 0]
    here = crops.transform(points, placed(points, crop, size)[0])
    there = crops.transform(mirrored, placed(mirrored, crop, size)[0])
    assert np.allclose(there, here[:, list(FLIP_49)] * [-1, 1] + [side - 1, 0])


@pytest.mark.parametrize("crop", BY_POINTS)
def test_pixels_go_where_landmarks_go(faces, crop):
    _, points = faces
    recipe = crops.RECIPES[crop]
    matrices, five = placed(points, crop, 200)
    y, x = np.mgrid[:112, :112]
    for k in (0, 1, 4):
        for source, matrix, goal in zip(crops.five_points(points), matrices, five, strict=True):
            spot = 255 * np.exp(-((x - source[k, 0]) ** 2 + (y - source[k, 1]) ** 2) / 18)
            image = np.repeat(spot.round().astype("uint8")[..., None], 3, 2)
            out = crops.warp(image, matrix, size=200, filter=recipe.filter)[..., 0].astype(float)
            out[out < 40] = 0
            yy, xx = np.mgrid[:200, :200]
            found = np.array([(xx * out).sum(), (yy * out).sum()]) / out.sum()
            assert np.abs(found - goal[k]).max() < 0.15


def test_bilinear_sampling_agrees_with_opencv_to_a_grey_level(faces):
    cv2 = pytest.importorskip("cv2")
    images, points = faces
    matrices, _ = placed(points, "jaa", 200)
    for image, matrix in zip(images, matrices, strict=True):
        theirs = cv2.warpAffine(image, matrix, (200, 200), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128))
        ours = crops.warp(image, matrix, size=200, fill=128)
        assert np.abs(ours.astype(int) - theirs)[8:-8, 8:-8].mean() < 1.0


def test_outside_the_picture_is_the_recipes_grey(faces):
    matrix = np.array([[1.0, 0, 100], [0, 1, 0]])
    out = crops.warp(faces[0][0], matrix, size=112, fill=128)
    assert (out[:, :99] == 128).all()
    assert crops.outside(matrix, 112, 112, size=112) == pytest.approx(100 / 112, abs=0.03)
    assert crops.RECIPES["jaa"].fill == 128


def test_a_box_grows_by_a_twentieth_on_each_side_and_fills_the_crop():
    from PIL import Image

    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    box = np.array([[20.0, 30, 60, 90]])
    matrix = crops.from_boxes(box, size=64)[0]
    corners = np.array([[[18, 27], [62, 93]]]) - 0.5  # 5 % of 40 and of 60 px, at the outer edges of the pixels
    assert np.allclose(crops.transform(corners, matrix[None]), [[[-0.5, -0.5], [63.5, 63.5]]])
    published = np.asarray(Image.fromarray(image).crop((18, 27, 62, 93)).resize((64, 64)))
    assert np.array_equal(crops.warp(image, matrix, size=64, filter="bicubic"), published)
    assert (crops.warp(image, matrix, size=64, filter="bicubic")[-2:] == 0).all(), "black below the picture"


def test_a_whole_picture_keeps_its_shape_between_bars():
    image = np.full((40, 80, 3), 200, "uint8")
    out = crops.warp(image, crops.whole(80, 40, size=64), size=64, filter="bicubic")
    assert (out[18:46] == 200).all()
    assert (out[:14] == 0).all()
    assert (out[50:] == 0).all()
    square = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(crops.warp(square, crops.whole(64, 64, size=64), size=64, filter="bicubic"), square)


@pytest.mark.parametrize(
    ("five", "expected"),
    [
        (np.full((5, 2), np.nan), "no landmarks"),
        (np.full((5, 2), 20.0), "eyes 0.0 px apart"),
        (np.array([[300.0, 20], [340, 20], [320, 40], [305, 60], [335, 60]]), "outside the picture"),
    ],
)
def test_points_that_place_nothing_are_named(five, expected):
    assert expected in crops.problem(five, 112, 112)


def test_unknown_crops_sizes_and_misuse_are_refused():
    with pytest.raises(ValueError, match="known are jaa, megraph, fmae, fgnet, none"):
        crops.recipe("aligned")
    with pytest.raises(ValueError, match="16 to 1024"):
        crops.chosen_size("jaa", 8)
    with pytest.raises(ValueError, match="use from_boxes"):
        crops.from_points(np.zeros((1, 5, 2)), crop="fmae")
    assert crops.chosen_size("jaa", None) == 200


def test_without_opencv_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(NoDetector, match="pip install opencv-python-headless"):
        FaceDetector(tmp_path / "model.onnx")


def test_a_missing_or_wrong_model_file_is_named_with_what_to_do(tmp_path):
    pytest.importorskip("cv2")
    with pytest.raises(NoDetector, match="download face_detection_yunet"):
        FaceDetector(tmp_path / "absent.onnx")
    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    with pytest.raises(NoDetector, match=r"wrong\.onnx: expected a YuNet model"):
        FaceDetector(tmp_path / "wrong.onnx")


def test_of_several_faces_the_largest_is_taken():
    faces = np.zeros((2, 15))
    faces[0, :4], faces[1, :4] = [5, 5, 10, 10], [50, 40, 30, 20]
    faces[:, 14] = [0.99, 0.7]
    found = largest(faces)
    assert found.box.tolist() == [50, 40, 80, 60]
    assert found.score == 0.7
    assert found.five.shape == (5, 2)
