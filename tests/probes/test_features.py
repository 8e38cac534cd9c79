import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.data.synth import load
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.methods.contract import Learner, Losses
from fau_utils.probes import Effort, embed, probe, probe_all, synth_truths


class Look(Learner):
    """Features are the mean colour and a mean over rows; it remembers what it was shown."""

    def __init__(self, *, spoil=False):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen, self.spoil = [], spoil

    def loss(self, batch):
        return Losses(self.scale)

    def embed(self, batch):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.seen.append(batch)
        z = torch.cat([batch.image.mean((2, 3)), batch.image.mean((1, 3))], 1) * self.scale
        return z[:, :, None] if self.spoil else z


def test_features_come_in_the_order_of_the_set_with_labels_hidden(blobs):
    data = blobs(people=5, frames=7)
    learner = Look().train()
    features = embed(learner, data, batch_size=8, device="cpu")
    image = data.images.float() / 255
    assert features.z == pytest.approx(torch.cat([image.mean((2, 3)), image.mean((1, 3))], 1).numpy(), abs=1e-6)
    assert features.z.dtype == np.float32
    assert all(batch.au.isnan().all() and batch.intensity is None for batch in learner.seen)
    assert learner.training
    assert features.subject.tolist() == data.frames.table["subject"].tolist()
    assert np.array_equal(features.labels, data.labels.numpy(), equal_nan=True)
    assert not data.labels.isnan().all()  # hidden from the learner only
    assert "35 faces of 5 people" in repr(features)


def test_a_learner_with_its_own_list_of_people_is_given_indices_into_it(blobs):
    data = blobs(people=4, frames=3)
    learner = Look()
    learner.subjects = ("blobs/P002", "somebody/else")
    features = embed(learner, data, device="cpu")
    assert set(torch.cat([batch.subject for batch in learner.seen]).tolist()) == {0, -1}
    assert len(np.unique(features.subject)) == 4


def test_tokens_instead_of_one_feature_per_face_are_refused(blobs):
    with pytest.raises(ValueError, match="pool tokens"):
        embed(Look(spoil=True), blobs(people=3, frames=3), device="cpu")


def test_picked_features_keep_everything_of_their_faces(blobs):
    data = blobs(people=4, frames=6)
    features = embed(Look(), data, device="cpu", truths={"pose": np.arange(48.0).reshape(24, 2)})
    some = features.select(np.arange(24) % 2 == 1)
    assert some.truths["pose"][:, 0].tolist() == list(range(2, 48, 4))
    assert some.frames.table["frame"].tolist() == features.frame[1::2].tolist()
    assert np.array_equal(some.landmarks, features.landmarks[1::2])
    with pytest.raises(ValueError, match="24 rows of pose"):
        features.with_truths(pose=np.zeros((3, 2)))


def test_a_table_of_probes(blobs):
    data = blobs(people=8, frames=12)
    effort = Effort(hidden=16, epochs=30)
    table = probe_all(Look(), data, targets=("au", "landmarks"), effort=effort, device="cpu", seeds=(0, 1))
    assert table["target"].tolist() == ["au"] * 4 + ["landmarks"] * 4
    assert table["kind"].tolist() == ["linear", "linear", "mlp", "mlp"] * 2
    assert table["value"].notna().all()
    with pytest.raises(ValueError, match="two clips of each class"):  # blobs are one clip of each person
        probe_all(Look(), data, targets=("au", "identity"), effort=effort, device="cpu")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    config = SynthFaces(train=Split(24, 20, "train"), seen=Split(24, 4, "train"))
    return config, load(config, "train", cache_dir=tmp_path_factory.mktemp("cache"))


def test_truths_of_rendered_faces_fit_their_pictures(rendered):
    """Turning the head moves the landmarks; the light from the right brightens the right."""
    config, data = rendered
    truths = synth_truths(config)
    assert {name: value.shape for name, value in truths.items()} == {
        "pose": (480, 3), "gaze": (480, 2), "light": (480, 4), "occluder": (480,),
    }  # fmt: skip
    points = data.landmarks.numpy()
    eyes = points[:, 25:31].mean(1) - points[:, 19:25].mean(1)
    tilt = np.degrees(np.arctan2(-eyes[:, 1], eyes[:, 0]))  # positive: counter-clockwise
    assert abs(np.corrcoef(tilt, truths["pose"][:, 2])[0, 1]) > 0.6
    assert np.abs(truths["pose"]).max() > 3  # degrees


def test_light_and_pose_are_read_from_pixels_and_not_from_noise(rendered):
    config, data = rendered

    class Thumbnail(Look):
        def embed(self, batch):
            return nn.functional.avg_pool2d(batch.image.mean(1, keepdim=True), 8).flatten(1)

    features = embed(Thumbnail(), data, device="cpu", truths=synth_truths(config))
    light = probe(features, target="light")
    assert light.main.each["x"] > 0.3
    blind = features.z.copy()
    np.random.default_rng(0).shuffle(blind)
    assert probe(type(features)(**{**vars(features), "z": blind}), target="light").main.each["x"] < 0.1
