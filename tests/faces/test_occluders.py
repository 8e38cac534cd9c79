"""Occluders sit where they belong, change what they say they change, and depend on their row alone."""

import pytest
import torch

from fau_utils.faces import occluders
from fau_utils.faces.identity import sample_identity
from fau_utils.faces.landmarks import EYE, MOUTH
from fau_utils.faces.rng import mix

KINDS = occluders.KINDS[1:]
N = 4


@pytest.fixture(scope="module")
def faces(renderer, still):
    """Faces looking left, ahead and right, with nothing before them."""
    pose = torch.tensor([[-0.5, 0.1, 0.0], [0.0, 0.0, 0.2], [0.0, -0.1, -0.2], [0.5, 0.0, 0.0]])
    nuisance = still(N, pose=pose)
    identity = sample_identity(mix(3, torch.arange(N)))
    au = torch.zeros(N, 16, 2)
    return identity, au, nuisance, renderer(identity, au, nuisance)


def paint(faces, kind, *, seed=0, rows=slice(None), shift=0.0):
    _, _, nuisance, plain = faces
    landmarks = plain.landmarks[rows]
    count = len(landmarks)
    return occluders.paint(
        torch.full((count,), occluders.kind_number(kind)),
        mix(seed, torch.arange(N)[rows]),
        landmarks=landmarks + shift,
        pose=nuisance.pose[rows],
        scale=torch.full((count,), 26.0),
        res=64,
    )


def covered(alpha, landmarks, points):
    column, row = landmarks[:, list(points)].round().long().clamp(0, 63).unbind(-1)
    return alpha.flatten(1).gather(1, row * 64 + column) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_an_occluder_changes_are_its_coverage(renderer, faces, kind):
    identity, au, nuisance, plain = faces
    number = torch.full((N,), occluders.kind_number(kind))
    seed = mix(11, torch.arange(N))
    out = renderer(identity, au, nuisance, occluder=(number, seed))
    changed = (out.image != plain.image).any(1)
    assert changed.any(dim=(1, 2)).all()
    # half-covered pixels at the edge change too; beyond one pixel of the mask nothing may
    grown = torch.nn.functional.max_pool2d(out.occluded[:, None].float(), 3, 1, 1)[:, 0] > 0
    thin = changed & ~grown  # cords and temples are thinner than a pixel and never half of one
    assert thin.float().mean() < 0.01
    assert (out.occluded & ~changed).float().mean() < 0.001  # the same colour by chance
    assert torch.equal(out.landmarks, plain.landmarks)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_painted_where_coverage_is_zero(faces, kind):
    rgb, alpha = paint(faces, kind)
    assert rgb.isfinite().all()
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert (rgb.amax(1)[alpha == 0] == 0).all()
    assert 0.02 < (alpha > 0.5).float().mean() < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_an_occluder_depends_on_its_row_alone(faces, kind):
    rgb, alpha = paint(faces, kind)
    again = paint(faces, kind, rows=torch.tensor([2, 0]))
    assert torch.equal(again[0], rgb[[2, 0]])
    assert torch.equal(again[1], alpha[[2, 0]])
    other = paint(faces, kind, seed=1)
    assert not torch.equal(other[0], rgb)


@pytest.mark.parametrize("kind", KINDS)
def test_an_occluder_moves_with_the_face(faces, kind):
    alpha = paint(faces, kind)[1]
    moved = paint(faces, kind, shift=3.0)[1]
    assert (moved[:, 3:, 3:] - alpha[:, :-3, :-3]).abs().mean() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_hides_what_it_is_worn_over(faces, seed):
    landmarks = faces[3].landmarks
    # at 30 degrees of yaw the far edge of a mask or lens may lie a pixel off
    share = {kind: paint(faces, kind, seed=seed)[1] for kind in ("sunglasses", "mask", "scarf")}
    assert covered(share["sunglasses"], landmarks, EYE).float().mean() > 0.95
    assert not covered(share["sunglasses"], landmarks, MOUTH).any()
    for kind in ("mask", "scarf"):
        assert covered(share[kind], landmarks, MOUTH).float().mean() > 0.95
        assert not covered(share[kind], landmarks, EYE).any()


def test_hands_and_objects_come_in_many_places(faces):
    landmarks = faces[3].landmarks
    for kind in ("hand", "object"):
        parts = [paint(faces, kind, seed=seed)[1] for seed in range(8)]
        hidden = torch.cat([covered(alpha, landmarks, range(17, 68)) for alpha in parts])
        assert hidden.float().mean() > 0.15
        assert hidden.any(0).float().mean() > 0.8  # every part of the face is hidden by some of them


def test_the_first_kind_hides_nothing(faces):
    rgb, alpha = paint(faces, "none")
    assert not alpha.any()
    assert not rgb.any()


def test_skin_colour_can_be_given(faces):
    _, _, nuisance, plain = faces
    arguments = {"landmarks": plain.landmarks, "pose": nuisance.pose, "scale": torch.full((N,), 26.0), "res": 64}
    kind, seed = torch.full((N,), 4), mix(0, torch.arange(N))
    dark = occluders.paint(kind, seed, skin=torch.full((N, 3), 0.2), **arguments)[0]
    light = occluders.paint(kind, seed, skin=torch.full((N, 3), 0.8), **arguments)[0]
    assert light.sum() > 1.5 * dark.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_poses_and_faces_out_of_the_picture_stay_finite(faces, kind):
    landmarks = faces[3].landmarks.clone()
    landmarks[0] += 500
    landmarks[1] = landmarks[1].mean(0)  # all points in one
    landmarks[2, :, 0] = 32  # seen from the side
    rgb, alpha = occluders.paint(
        torch.full((N,), occluders.kind_number(kind)),
        torch.arange(N),
        landmarks=landmarks,
        pose=torch.tensor([[1.5, 0.0, 0.0]]).expand(N, 3),
        scale=torch.full((N,), 26.0),
        res=64,
    )
    assert rgb.isfinite().all()
    assert alpha.isfinite().all()


def test_an_unknown_kind_is_refused_with_the_list():
    with pytest.raises(ValueError, match=r"did you mean 'sunglasses'\? valid: none, sunglasses, mask, scarf"):
        occluders.kinds(["mask", "sunglases"])
    assert occluders.kinds(["none", "object"]).tolist() == [0, 5]


def test_a_number_that_is_no_kind_is_refused(faces):
    with pytest.raises(ValueError, match="occluder kinds 0 to 5"):
        occluders.paint(
            torch.tensor([6]),
            torch.tensor([0]),
            landmarks=faces[3].landmarks[:1],
            pose=torch.zeros(1, 3),
            scale=torch.ones(1),
            res=64,
        )
