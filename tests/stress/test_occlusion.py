"""The same masks for every method."""

import numpy as np
import pytest
import torch

from fau_utils.data import synth
from fau_utils.faces.patches import fixed_masks
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods import (
    METHODS,
    BaseRate,
    Clp,
    CnnDetector,
    DomainSeparation,
    LandmarkMlp,
    OcclusionMae,
    SupervisedClips,
)
from fau_utils.methods.contract import Losses, Method
from fau_utils.stress import hidden_aus, occlude, occlusion_curve, support_in_patches, wearing


class Spy(Method):
    """Remembers what it is shown; says 1 where the middle of the image is bright."""

    aus = (1, 4, 12)

    def __init__(self):
        super().__init__()
        self.images, self.masks = [], []

    def loss(self, batch):
        return Losses(batch.image.sum() * 0)

    def embed(self, batch):
        return batch.image.flatten(1)

    def predict(self, batch):
        self.images.append(batch.image.clone())
        self.masks.append(batch.visible.clone())
        return batch.image.mean((1, 2, 3))[:, None].expand(-1, 3).clamp(0, 1)


@pytest.fixture(scope="module")
def faces(blobs):
    return blobs(4, 8, size=32)


def test_every_method_is_shown_the_same_faces_under_the_same_masks(faces):
    one, other = Spy(), Spy()
    occlusion_curve({"one": one}, faces, ratios=(0.5,), device="cpu", batch_size=5)
    occlusion_curve({"cnn": CnnDetector((1, 4, 12), size=32), "other": other}, faces, ratios=(0.5,), device="cpu")
    assert torch.equal(torch.cat(one.images), torch.cat(other.images))
    assert torch.equal(torch.cat(one.masks), torch.cat(other.masks))
    expected = ~fixed_masks(32, kind="random", grid=4, ratio=0.5)
    assert torch.equal(torch.cat(one.masks)[:32], expected)


def test_any_method_of_the_book_can_be_tested(faces):
    aus = faces.aus
    small = {"size": 32, "model": "mini64"}
    methods = {
        "base rate": BaseRate(aus, subjects=faces.subjects),
        "landmarks": LandmarkMlp(aus),
        "fmae-iat": METHODS["fmae-iat"](aus, subjects=faces.subjects, **small),
        "student": OcclusionMae(aus, **small, distil="none"),
        "published": OcclusionMae(
            aus, size=32, patch=8, model="small", dim=24, heads=2, depth=2, width=8, distil="none"
        ),
        "clp, tuned": SupervisedClips(aus, size=32, dim=16, init=Clp(size=32, dim=16, watch=False)),
        "domain separation": DomainSeparation(aus, size=32),
    }
    table = occlusion_curve(methods, faces, kinds=("random", "block", "eyes"), ratios=(0.0, 1.0), device="cpu")
    assert len(table) == len(methods) * 5
    assert table[["f1", "auc"]].notna().all(axis=None)
    hidden = table.groupby(["kind", "ratio"])["hidden"].first()
    assert hidden["random"].tolist() == [0, 1]
    # where everything is hidden, a method of pixels knows nothing
    blind = table[(table.method == "student") & (table.kind == "random") & (table.ratio == 1)]
    assert blind["auc"].item() == pytest.approx(50)
    whole = table[table.ratio == 0].set_index(["kind", "method"])["auc"]
    assert whole["random"].equals(whole["block"])


def test_draws_are_other_masks_and_can_be_repeated(faces):
    spy = {"spy": Spy()}
    first = occlusion_curve(spy, faces, kinds=("random",), ratios=(0.5,), draws=2, device="cpu")
    again = occlusion_curve(spy, faces, kinds=("random",), ratios=(0.5,), seed=1, device="cpu")
    assert first["draw"].tolist() == [0, 1]
    assert first["auc"][1] == again["auc"][0]
    assert first["auc"][0] != first["auc"][1]


def test_wrong_words_and_numbers_are_named(faces):
    with pytest.raises(ValueError, match=r"blok.*block"):
        occlusion_curve({"spy": Spy()}, faces, kinds=("blok",), device="cpu")
    with pytest.raises(ValueError, match=r"ratio in \[0, 1\], found \[1.5\]|\[0, 1\]"):
        occlusion_curve({"spy": Spy()}, faces, ratios=(1.5,), device="cpu")
    with pytest.raises(ValueError, match="32 px cannot be cut into patches of 7 px"):
        occlusion_curve({"spy": Spy()}, faces, patch=7, device="cpu")


def test_the_data_that_is_given_stays_as_it_is(faces):
    before = faces.images.clone()
    made = occlude(faces, torch.ones(32, 16, dtype=torch.bool))
    assert torch.equal(faces.images, before)
    assert faces.visible.all()
    assert not made.visible.any()
    assert (made.images == 128).all()


def test_hidden_landmarks_are_where_they_are_on_average(faces):
    half = torch.zeros(32, 16, dtype=torch.bool)
    half[:, :8] = True  # rows 0 to 15
    made, below = occlude(faces, half).landmarks, faces.landmarks[..., 1] >= 16
    assert torch.equal(made[below], faces.landmarks[below])
    expected = faces.landmarks.mean(0).expand_as(made)[~below]
    torch.testing.assert_close(made[~below], expected)
    assert (~below).any()


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    world = SynthFaces(test=Split(2, 3, "test"))
    folder = tmp_path_factory.mktemp("cache")
    return synth.load(world, "test", cache_dir=folder, workers=1), world, folder


def test_which_aus_a_mask_hides_is_known_exactly(rendered):
    _, world, folder = rendered
    support = support_in_patches(world, "test", np.arange(4), cache_dir=folder)
    assert support.shape == (4, 12, 64)
    torch.testing.assert_close(support.sum(2), torch.ones(4, 12))
    assert torch.equal(support_in_patches(world, "test", np.arange(4), cache_dir=folder), support)  # from the disk
    upper, mouth = (fixed_masks(4, kind=kind, grid=8) for kind in ("upper", "mouth"))
    columns = {au: world.aus.index(au) for au in (1, 2, 12, 24)}
    covered = hidden_aus(support, upper)
    assert (covered[:, [columns[1], columns[2]]] > 0.9).all()
    assert (covered[:, columns[24]] < 0.1).all()
    assert (hidden_aus(support, mouth)[:, columns[24]] > 0.7).all()
    assert not hidden_aus(support, torch.zeros(4, 64, dtype=torch.bool)).any()


def test_sunglasses_and_masks_are_worn_by_the_same_faces(rendered, monkeypatch):
    faces, world, folder = rendered
    monkeypatch.setenv("FAU_CACHE", str(folder))
    worn = wearing(world, "test", ("sunglasses",), rows=[0, 2, 4])
    spy = Spy()
    spy.aus = world.aus
    monkeypatch.setattr(spy, "predict", lambda b: Spy.predict(spy, b)[:, :1].expand(-1, 12))
    some = faces.subset([0, 2, 4])
    table = occlusion_curve({"spy": spy}, some, kinds=("sunglasses",), worn=worn, device="cpu")
    assert len(table) == 1
    assert 0.02 < table["hidden"][0] < 0.4
    assert torch.equal(spy.images[0], worn["sunglasses"].batch(torch.arange(3)).image)  # not painted over again
    assert torch.equal(worn["sunglasses"].labels, some.labels)
    with pytest.raises(ValueError, match="give worn=wearing"):
        occlusion_curve({"spy": spy}, some, kinds=("scarf",), worn=worn, device="cpu")
    with pytest.raises(ValueError, match="take the same rows"):
        occlusion_curve({"spy": spy}, faces, kinds=("sunglasses",), worn=worn, device="cpu")


def test_scores_of_hidden_and_visible_aus_are_kept_apart(rendered):
    faces, world, folder = rendered
    support = support_in_patches(world, "test", np.arange(6), cache_dir=folder)
    method = OcclusionMae(world.aus, model="mini64", distil="none")
    table = occlusion_curve(
        {"student": method}, faces, kinds=("random",), ratios=(0.0, 1.0), support=support, independent=4, device="cpu"
    )
    clean, blind = table.iloc[0], table.iloc[1]
    assert np.isnan(clean["hidden_auc"])
    assert clean["visible_auc"] == pytest.approx(clean["auc"])
    assert np.isnan(blind["visible_auc"])
    assert blind["hidden_auc"] == pytest.approx(50)
