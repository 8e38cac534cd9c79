import dataclasses

import pytest
import torch

from fau_utils.aus import RENDERED
from fau_utils.faces.identity import LOOK_INDEX, mean_identity, sample_identity
from fau_utils.faces.landmarks import FLIP_68, GROUPS
from fau_utils.faces.nuisance import sample_nuisance
from fau_utils.faces.render import FaceRenderer

# the landmark groups that an AU may move; the spec's table
MOVES = {
    1: "brow nose eye",
    2: "brow nose eye jaw",
    4: "brow nose eye",
    5: "brow eye",
    6: "brow jaw nose eye",
    7: "brow eye nose",
    9: "brow nose eye mouth",
    10: "nose mouth",
    12: "jaw nose eye mouth",
    14: "jaw mouth",
    15: "jaw mouth",
    17: "jaw mouth",
    23: "jaw mouth",
    24: "jaw mouth",
    25: "jaw mouth",
    26: "jaw mouth",
}


def random_au(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 16, 2, generator=generator) * 5 * (torch.rand(n, 16, 1, generator=generator) < 0.3)


def one_by_one(intensity=5.0):
    """Neutral, then each AU alone."""
    au = torch.zeros(17, 16, 2)
    for k in range(16):
        au[k + 1, k] = intensity
    return au


@pytest.fixture(scope="module")
def crowd(renderer):
    n = 20
    people, au = sample_identity(torch.arange(n) * 31 + 5), random_au(n)
    frames = sample_nuisance(torch.arange(n) + 77, level=1.0, wild=torch.linspace(0, 1, n))
    return people, au, frames, renderer(people, au, frames)


@pytest.fixture(scope="module")
def singles(renderer, still):
    return renderer(mean_identity(17), one_by_one(), still(17))


def test_the_same_seeds_give_the_same_bits(crowd, renderer):
    people, au, frames, first = crowd
    again = renderer(people, au, frames)
    for field in dataclasses.fields(first):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name)), field.name


def test_a_face_does_not_depend_on_the_others_in_its_batch(crowd, renderer):
    people, au, frames, every = crowd
    some = torch.tensor([17, 3, 11, 0, 8])
    alone = renderer(people[some], au[some], frames[some])
    difference = (alone.image - every.image[some]).abs().amax(1)
    assert difference.flatten().quantile(0.999) <= 1 / 255
    assert (alone.landmarks - every.landmarks[some]).abs().max() < 1e-3


def test_every_value_is_finite_and_in_range(crowd):
    _, _, _, out = crowd
    assert out.image.shape == (20, 3, 64, 64)
    assert out.image.dtype == torch.float32
    assert out.image.isfinite().all()
    assert out.image.min() >= 0
    assert out.image.max() <= 1
    assert out.landmarks.isfinite().all()
    assert out.alpha.min() >= 0
    assert out.alpha.max() <= 1
    assert not out.occluded.any()
    # and it is a picture: faces differ from each other and from their background
    assert out.image.std() > 0.1


def test_intensity_zero_is_the_resting_face(renderer, still):
    people = sample_identity(torch.arange(3))
    weak = torch.full((3, 16, 2), 1e-6)
    rest = renderer(people, torch.zeros(3, 16, 2), still(3))
    assert (renderer(people, weak, still(3)).landmarks - rest.landmarks).abs().max() < 1e-3


@pytest.mark.parametrize("k", range(16), ids=[f"AU{n}" for n in RENDERED])
def test_a_unit_moves_its_own_landmarks_only(singles, k):
    moved = (singles.landmarks[k + 1] - singles.landmarks[0]).norm(dim=-1)
    allowed = MOVES[RENDERED[k]].split()
    for group, index in GROUPS.items():
        if group not in allowed:
            assert moved[list(index)].max() < 0.05, group
    main = max(allowed, key=lambda g: moved[list(GROUPS[g])].mean())
    assert moved[list(GROUPS[main])].mean() > 0.15


def test_movements_are_about_as_large_as_in_the_feasibility_study(singles):
    moved = (singles.landmarks - singles.landmarks[0]).norm(dim=-1)

    def mean(au, group):
        return moved[RENDERED.index(au) + 1][list(GROUPS[group])].mean().item()

    for au, group, low, high in (
        (1, "brow", 1.2, 3.2),
        (2, "brow", 1.2, 3.2),
        (4, "brow", 0.9, 2.6),
        (5, "eye", 0.25, 0.9),
        (9, "nose", 0.4, 1.4),
        (12, "mouth", 1.3, 3.2),
        (15, "mouth", 0.9, 2.5),
        (26, "jaw", 0.9, 2.6),
    ):
        assert low < mean(au, group) < high, (au, group, mean(au, group))


@pytest.mark.parametrize("au", [1, 2, 4, 5])
def test_upper_face_units_leave_the_lower_half_of_the_picture_alone(singles, au):
    changed = (singles.image[RENDERED.index(au) + 1] - singles.image[0]).abs().amax(0)
    assert changed[:36].max() > 0.02
    assert changed[40:].max() < 1e-6


def test_one_side_moves_alone(renderer, still):
    au = torch.zeros(2, 16, 2)
    au[1, RENDERED.index(12), 0] = 5  # the subject's left: right in the picture
    out = renderer(mean_identity(2), au, still(2))
    moved = (out.landmarks[1] - out.landmarks[0]).norm(dim=-1)
    assert moved[54] > 1.5
    assert moved[48] < 0.02


@pytest.mark.parametrize("k", range(16), ids=[f"AU{n}" for n in RENDERED])
def test_displacement_grows_with_intensity(renderer, still, k):
    au = torch.zeros(6, 16, 2)
    au[:, k] = torch.arange(6.0)[:, None]
    points = renderer(mean_identity(6), au, still(6)).landmarks
    size = (points - points[0]).norm(dim=-1).mean(1)
    assert (size.diff() > 0).all(), size


def test_a_symmetric_face_is_its_own_mirror_image(renderer, still):
    light = torch.tensor([[0.0, 0.5, 0.866]]).repeat(2, 1)
    person = mean_identity(2)
    person.look[:, LOOK_INDEX["hair_style"]] = 0  # bald: partings and curls are not symmetric
    au = torch.zeros(2, 16, 2)
    au[0, RENDERED.index(12), 0] = au[1, RENDERED.index(12), 1] = 4
    pose = torch.tensor([[0.3, 0.1, 0.1], [-0.3, 0.1, -0.1]])
    out = renderer(person, au, still(2, light=light, pose=pose))
    # the noise maps of skin and hair and the clothes are not symmetric
    assert (out.image[0] - out.image[1].flip(-1)).abs().mean() < 0.02
    mirrored = out.landmarks[1, list(FLIP_68)] * torch.tensor([-1.0, 1.0]) + torch.tensor([63.0, 0.0])
    assert (out.landmarks[0] - mirrored).abs().max() < 0.02


def test_the_far_jaw_is_hidden_when_the_head_turns(renderer, still):
    yaw = torch.tensor([0.0, 0.9, -0.9])
    pose = torch.stack([yaw, yaw * 0, yaw * 0], 1)
    bald = mean_identity(3)
    bald.look[:, LOOK_INDEX["hair_style"]] = 0
    visible = renderer(bald, torch.zeros(3, 16, 2), still(3, pose=pose)).visible
    assert visible[0, 17:].all()
    # turned to the right of the picture, the right of the picture is far
    assert not visible[1, 12:16].any()
    assert visible[1, 3:7].all()
    assert not visible[2, 1:5].any()
    assert visible[2, 10:14].all()


def test_the_iris_is_painted_where_the_lid_landmarks_say(still):
    renderer = FaceRenderer(res=112)
    person = mean_identity(1)
    person.look[:, LOOK_INDEX["melanin"]] = 0
    gaze = torch.zeros(1, 2)
    out = renderer(person, torch.zeros(1, 16, 2), still(1, gaze=gaze))
    for eye in (slice(36, 42), slice(42, 48)):
        points = out.landmarks[0, eye]
        x0, x1 = points[:, 0].min().ceil().int() + 1, points[:, 0].max().floor().int() - 1
        row = points[:, 1].mean().round().int()
        dark = 1 - out.image[0, :, row, x0:x1].mean(0)
        weight = (dark - dark.median()).clamp(min=0)
        centre = (weight * torch.arange(int(x0), int(x1))).sum() / weight.sum()
        assert abs(centre - points[:, 0].mean()) < 1


def test_the_mouth_line_is_painted_between_the_inner_lip_landmarks(still):
    renderer = FaceRenderer(res=112)
    person = mean_identity(2)
    person.layout[1, :] = 1.0
    out = renderer(person, torch.zeros(2, 16, 2), still(2))
    for i in range(2):
        x = out.landmarks[i, 62, 0].round().int()
        y = out.landmarks[i, [62, 66], 1].mean()
        column = out.image[i, :, int(y) - 4 : int(y) + 6, x].mean(0)
        assert abs(column.argmin() + int(y) - 4 - y) <= 1


def test_an_alignment_puts_eyes_and_mouth_in_place_whatever_the_person_and_pose(renderer):
    people = sample_identity(torch.arange(30))
    frames = sample_nuisance(torch.arange(30), level=1.0)
    au = torch.zeros(30, 16, 2)
    loose, tight = renderer(people, au, frames).landmarks, renderer(people, au, frames, align=True).landmarks

    def spread(points):
        eyes, lips = points[:, 36:48].mean(1), points[:, 48:68].mean(1)
        return torch.cat([eyes, lips], 1).std(0)

    assert (spread(tight) < 0.75 * spread(loose)).all()
    level = tight[:, 45] - tight[:, 36]
    assert (level[:, 1] / level[:, 0]).abs().mean() < 0.06


def test_support_contains_every_pixel_that_a_unit_changes(renderer, still, singles):
    support = renderer.support(mean_identity(1), still(1))[0]
    changed = (singles.image[1:] - singles.image[0]).abs().amax(1) > 1.5 / 255
    assert changed.flatten(1).any(1).all()
    for k in range(16):
        assert not (changed[k] & ~support[k]).any(), RENDERED[k]
    assert (support.float().mean((1, 2)) < 0.45).all()


def test_a_blink_lowers_the_upper_lid_and_au7_raises_the_lower_one(renderer, still):
    au = torch.zeros(3, 16, 2)
    au[2, RENDERED.index(7)] = 5
    blink = torch.tensor([0.0, 0.9, 0.0])
    frames = dataclasses.replace(still(3), blink=blink)
    lids = renderer(mean_identity(3), au, frames).landmarks
    upper, lower = lids[:, [37, 38, 43, 44], 1].mean(1), lids[:, [40, 41, 46, 47], 1].mean(1)
    assert upper[1] - upper[0] > 2 * (lower[1] - lower[0]).abs()
    assert lower[0] - lower[2] > upper[2] - upper[0]


@pytest.mark.parametrize("res", [112, 224])
def test_larger_pictures_show_the_same_face(renderer, still, res):
    people, au = sample_identity(torch.arange(2) + 3), random_au(2)
    small, large = renderer(people, au, still(2)), FaceRenderer(res=res)(people, au, still(2))
    assert large.image.shape == (2, 3, res, res)
    assert large.image.isfinite().all()
    shrunk = torch.nn.functional.interpolate(large.image, size=(64, 64), mode="area")
    assert (shrunk - small.image).abs().mean() < 0.03
    assert ((large.landmarks + 0.5) * 64 / res - 0.5 - small.landmarks).abs().max() < 0.6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda au: au[:, :15], r"expected intensities of shape \(B, 16, 2\)"),
        (lambda au: au + 5.5, r"expected FACS intensities in 0\.\.5, found 5\.5"),
        (lambda au: au - 0.1, r"in 0\.\.5"),
        (lambda au: au * float("nan"), r"in 0\.\.5"),
        (lambda au: au.long(), "floating-point"),
        (lambda au: au[:1], "shape"),
    ],
)
def test_wrong_intensities_are_refused(renderer, still, change, message):
    with pytest.raises(ValueError, match=message):
        renderer(mean_identity(2), change(torch.zeros(2, 16, 2)), still(2))


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match=r"\[64, 112, 224\] px, found 96"):
        FaceRenderer(res=96)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("res", [64, 112, 224])
def test_cpu_and_gpu_draw_the_same_faces(res):
    n = 8
    people, au = sample_identity(torch.arange(n)), random_au(n)
    frames = sample_nuisance(torch.arange(n), level=1.0, wild=0.5)
    here = FaceRenderer(res=res)(people, au, frames)
    there = FaceRenderer(res=res, device="cuda")(people.to("cuda"), au.cuda(), frames.to("cuda"))
    assert (here.landmarks - there.landmarks.cpu()).abs().max() < 1e-2
    # the winner of the z-buffer may differ at ties
    difference = (here.image - there.image.cpu()).abs().amax(1).flatten()
    assert difference[:: max(1, len(difference) // 1_000_000)].quantile(0.995) <= 2 / 255
