from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fau_utils.data.detector import NoDetector
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer
from fau_utils.own import finders, geometry, mtcnn


@pytest.fixture(scope="module")
def shown():
    """Six rendered people, their pictures and the truth about them; the heads of the last two are turned."""
    seed = torch.arange(6)
    nuisance = sample_nuisance(seed)
    turn = torch.tensor([0.0, 0, 0, 0, 0.5, -0.5])
    nuisance = replace(nuisance, pose=torch.stack([turn, *nuisance.pose.T[1:]], 1))
    out = FaceRenderer(res=224)(sample_identity(seed), torch.zeros(6, 16, 2), nuisance)
    images = (out.image * 255).byte().permute(0, 2, 3, 1).numpy()
    return SimpleNamespace(images=images, points=out.landmarks.numpy(), turn=np.degrees(turn.numpy()))


@pytest.fixture(scope="module")
def found(shown):
    return mtcnn.Mtcnn(smallest=40)(shown.images)


def test_every_rendered_face_is_found_once_with_its_eyes_and_mouth(shown, found):
    assert [len(faces) for faces in found] == [1] * 6
    for (face,), points in zip(found, shown.points, strict=True):
        eyes = points[36:42].mean(0), points[42:48].mean(0)
        assert np.abs(face.five[:2] - eyes).max() < 6  # of 60 px between the eyes
        assert np.abs(face.five[3:] - points[[48, 54]]).max() < 10
        assert face.score > 0.8


def test_a_turned_head_is_measured_with_its_sign(shown, found):
    yaw = np.array([geometry.pose(face.five)[0] for (face,) in found])
    assert np.abs(yaw - shown.turn).max() < 15
    assert (np.sign(yaw[4:]) == np.sign(shown.turn[4:])).all()


def test_pictures_together_give_the_faces_of_each_alone(shown, found):
    (alone,) = mtcnn.Mtcnn(smallest=40)(shown.images[2:3])
    assert np.allclose(alone[0].box, found[2][0].box, atol=0.1)
    assert np.allclose(alone[0].five, found[2][0].five, atol=0.1)


def test_places_are_those_of_a_large_picture(shown):
    large = np.full((480, 1280, 3), 120, "uint8")
    large[100:324, 700:924] = shown.images[0]
    ((face,),) = mtcnn.Mtcnn()(large[None])
    assert np.abs(face.five[0] - shown.points[0, 36:42].mean(0) - [700, 100]).max() < 8


def test_nothing_is_found_where_nothing_is():
    assert mtcnn.Mtcnn()(np.full((2, 120, 160, 3), 90, "uint8")) == [[], []]


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoDetector, match="--cropped"):
        finders.finder("mtcnn")


def test_a_pickle_of_unknown_content_is_never_opened(monkeypatch, tmp_path):
    (tmp_path / "assets" / "weights").mkdir(parents=True)
    (tmp_path / "assets" / "weights" / "pnet.lz4").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    monkeypatch.setattr(
        mtcnn.importlib.util, "find_spec", lambda name: SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    )
    with pytest.raises(NoDetector, match="other bytes"):
        mtcnn.Mtcnn()


def test_yunet_is_taken_by_the_name_of_its_file(tmp_path):
    pytest.importorskip("cv2")
    with pytest.raises(NoDetector, match="found nothing of this name"):
        finders.finder(str(tmp_path / "face_detection_yunet.onnx"))
