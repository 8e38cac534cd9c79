"""The student of MAE latents, its teacher, the occlusion transform and the other arms."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fau_utils import cli
from fau_utils.data import synth
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.frames import Frames
from fau_utils.methods import GraphDetector, MaePretraining, OcclusionMae
from fau_utils.methods.graph_teacher import edge_class_loss, rarity, weighted_asymmetric_loss
from fau_utils.methods.occlude import Occlude, occluded, on_grid
from fau_utils.methods.occlusion_arms import TRAINED, InpaintThenClassify, MaskChannelDetector, build_arm
from fau_utils.methods.occlusion_mae import (
    edge_distillation_loss,
    logit_distillation_loss,
    node_distillation_loss,
)
from fau_utils.results import Run
from fau_utils.training import fit, predict

AUS = (1, 4, 12)
SMALL = {"size": 32, "model": "mini64"}
NONE = torch.zeros(8, 16, dtype=torch.bool)


@pytest.fixture(scope="module")
def faces(blobs):
    return blobs(4, 4, size=32)


@pytest.fixture
def batch(faces):
    return faces.batch(torch.arange(8))


@pytest.fixture(scope="module")
def teacher():
    return GraphDetector(AUS, **SMALL)


@pytest.fixture(scope="module")
def mae():
    return MaePretraining(**SMALL, stem="patch", normalise_target=False)


# losses


def test_node_distillation_is_the_squared_distance_of_unit_vectors():
    s, t = torch.randn(2, 3, 5, 7).unbind(0)
    expected = (F.normalize(s, dim=-1) - F.normalize(t, dim=-1)).square().sum(-1).mean()
    torch.testing.assert_close(node_distillation_loss(s, t), expected)
    torch.testing.assert_close(edge_distillation_loss(3 * s, t), expected)  # lengths do not matter
    torch.testing.assert_close(node_distillation_loss(s, t, distance="mse"), F.mse_loss(s, t))
    assert node_distillation_loss(s, s) < 1e-6


def test_the_teacher_gets_no_gradient_from_distillation():
    s, t = (torch.rand(3, 5, requires_grad=True) for _ in range(2))
    for loss in (node_distillation_loss(s[:, :, None], t[:, :, None]), logit_distillation_loss(s, t)):
        loss.backward()
    assert s.grad is not None
    assert t.grad is None


def test_faces_without_a_label_take_no_part_in_distillation():
    s, t = torch.randn(2, 4, 5, 7).unbind(0)
    known = torch.tensor([True, False, True, False])
    torch.testing.assert_close(node_distillation_loss(s, t, known=known), node_distillation_loss(s[::2], t[::2]))


def test_the_asymmetric_loss_is_the_published_one_over_coded_labels():
    p = torch.tensor([[0.2, 0.9], [0.6, 0.3]], requires_grad=True)
    y = torch.tensor([[0.0, 1.0], [1.0, torch.nan]])
    weight = rarity(torch.tensor([0.5, 0.125]))
    torch.testing.assert_close(weight, torch.tensor([0.4, 1.6]))
    loss = weighted_asymmetric_loss(p, y, weight=weight)
    terms = [0.4 * 0.2 * np.log(0.8), 1.6 * np.log(0.9), 0.4 * np.log(0.6)]
    assert loss.item() == pytest.approx(-sum(terms) / 3)
    loss.backward()
    assert p.grad[0, 0].item() == pytest.approx(0.4 * 0.2 / 0.8 / 3)  # the factor p is a constant
    assert p.grad[1, 1] == 0


def test_the_edge_loss_leaves_out_pairs_that_are_not_coded():
    logits, y = torch.randn(2, 4, 4), torch.tensor([[1.0, 0.0], [1.0, torch.nan]])
    chosen = torch.stack([logits[0, 0], logits[0, 1], logits[0, 2], logits[0, 3], logits[1, 0]])
    torch.testing.assert_close(edge_class_loss(logits, y), F.cross_entropy(chosen, torch.tensor([3, 2, 1, 0, 3])))


# occlusion


def test_each_face_draws_its_own_ratio_between_the_ends():
    hidden = Occlude(low=0.25, high=0.75).masks(torch.arange(400), grid=8)
    share = hidden.float().mean(1)
    assert share.min() >= 0.25 - 1 / 128
    assert share.max() <= 0.75 + 1 / 128
    assert len(share.unique()) > 20
    assert abs(share.mean() - 0.5) < 0.03


def test_the_clean_share_is_left_alone_and_masks_are_functions_of_their_seed():
    transform = Occlude(low=0.5, clean=0.3)
    hidden = transform.masks(torch.arange(1000), grid=4)
    assert 0.25 < (~hidden.any(1)).float().mean() < 0.35
    assert torch.equal(transform.masks(torch.tensor([7]), grid=4)[0], hidden[7])


def test_hidden_patches_are_painted_and_marked(batch):
    made = Occlude(low=0.5, high=0.5, kinds=("random",))(batch)
    assert (~made.visible).sum(1).tolist() == [8] * 8
    pixels = made.visible.view(8, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand_as(batch.image)
    assert torch.equal(made.image[pixels], batch.image[pixels])
    assert (made.image[~pixels] == 0.5).all()
    assert torch.equal(made.au.nan_to_num(), batch.au.nan_to_num())


def test_wrong_kinds_ratios_and_sizes_are_named():
    with pytest.raises(ValueError, match=r"blok.*block"):
        Occlude(kinds=("blok",))
    for bad in ({"high": 1.2}, {"low": -0.1}, {"clean": 2.0}, {"high": float("nan")}):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            Occlude(**bad)
    with pytest.raises(ValueError, match="low <= high"):
        Occlude(low=0.5, high=0.2)
    with pytest.raises(ValueError, match="size % patch"):
        OcclusionMae(AUS, size=36, model="mini64")


def test_an_image_that_the_patch_does_not_divide_is_refused(blobs):
    batch = blobs(1, 2, size=32).batch(torch.arange(2))
    with pytest.raises(ValueError, match="32 px cannot be cut into patches of 5 px"):
        Occlude(patch=5)(batch)


def test_a_mask_is_put_on_another_grid_where_one_divides_the_other():
    fine = torch.zeros(1, 16, dtype=torch.bool)
    fine[0, [0, 1, 10]] = True  # half of the first quarter, a quarter of the last
    assert on_grid(fine, grid=2)[0].tolist() == [True, False, False, False]
    assert on_grid(on_grid(fine, grid=2), grid=4)[0].nonzero()[:, 0].tolist() == [0, 1, 4, 5]
    with pytest.raises(ValueError, match="found 16 patches; make it with grid=3"):
        on_grid(fine, grid=3)


# the student


def test_a_hidden_patch_changes_nothing_that_the_student_says(batch):
    method = OcclusionMae(AUS, **SMALL).eval()
    hidden = Occlude(high=0.9).masks(torch.arange(8), grid=4)
    with torch.no_grad():
        grey = method.predict(occluded(batch, hidden))
        loud = method.predict(occluded(batch, hidden, fill="noise"))
    torch.testing.assert_close(loud, grey, atol=0, rtol=0)


def test_in_full_view_a_mask_makes_no_difference(batch):
    method = OcclusionMae(AUS, **SMALL).eval()
    with torch.no_grad():
        torch.testing.assert_close(method.predict(occluded(batch, NONE)), method.predict(batch))


@pytest.mark.parametrize("present", ["drop", "paint"])
@pytest.mark.parametrize("pool", ["position", "attention", "mean", "published"])
def test_a_fully_hidden_face_gets_an_answer_that_does_not_depend_on_it(batch, pool, present):
    method = OcclusionMae(AUS, **SMALL, pool=pool, width=8, present=present, distil="none").eval()
    with torch.no_grad():
        said = method.predict(occluded(batch, ~NONE))
    assert said.isfinite().all()
    torch.testing.assert_close(said, said[:1].expand_as(said))


def test_a_given_teacher_is_frozen_and_never_in_training_mode(batch, teacher):
    method = OcclusionMae(AUS, **SMALL, teacher=teacher).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    method.loss(batch).total.backward()
    assert not method.teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_a_teacher_that_is_not_given_learns_from_labels_alone(batch):
    method = OcclusionMae(AUS, **SMALL)
    losses = method.loss(batch)
    assert {"teacher au", "nodes", "edges"} <= set(losses.parts)
    (losses.parts["nodes"] + losses.parts["edges"]).backward(retain_graph=True)
    assert all(p.grad is None for p in method.teacher.parameters())
    losses.parts["teacher au"].backward()
    assert any(p.grad is not None for p in method.teacher.parameters())


@pytest.mark.parametrize(
    ("distil", "parts"),
    [("nodes+edges", {"nodes", "edges"}), ("nodes", {"nodes"}), ("edges", {"edges"}), ("logits", {"logits"}),
     ("none", set())],
)  # fmt: skip
def test_each_form_of_distillation_has_its_own_losses(batch, teacher, distil, parts):
    method = OcclusionMae(AUS, **SMALL, teacher=teacher, distil=distil)
    assert set(method.loss(batch).parts) - {"au", "edge class"} == parts


def test_the_teacher_sees_the_clean_face_unless_it_is_told_otherwise(batch, teacher, monkeypatch):
    seen = []
    graph = GraphDetector.graph
    monkeypatch.setattr(teacher, "graph", lambda b: seen.append(b.image) or graph(teacher, b))
    always = Occlude(low=0.5, high=0.5)
    for sees in ("clean", "occluded"):
        OcclusionMae(AUS, **SMALL, teacher=teacher, teacher_sees=sees, occlusion=always).loss(batch)
    assert torch.equal(seen[0], batch.image)
    assert (seen[1] == 0.5).float().mean() == pytest.approx(0.5, abs=0.05)


def test_a_frozen_encoder_keeps_its_weights_and_statistics(batch, mae, teacher):
    method = OcclusionMae(AUS, **SMALL, init=mae, encoder_rate=0.0, teacher=teacher).train()
    before = {name: value.clone() for name, value in method.encoder.state_dict().items()}
    method.loss(batch).total.backward()
    assert all(p.grad is None for p in method.encoder.parameters())
    assert all(torch.equal(value, before[name]) for name, value in method.encoder.state_dict().items())
    assert {group["lr_scale"] for group in method.param_groups()} == {1.0}


def test_weights_of_the_autoencoder_are_taken_and_tuned_lightly(mae):
    method = OcclusionMae(AUS, **SMALL, init=mae, distil="none")
    ours, theirs = method.encoder.state_dict(), mae.network.encoder.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    rates = {group["name"].split(",")[0]: group["lr_scale"] for group in method.param_groups()}
    assert rates == {"encoder": 0.3, "head": 1.0}


def test_teachers_that_do_not_fit_and_unknown_names_are_refused(teacher):
    with pytest.raises(ValueError, match="teacher of AUs"):
        OcclusionMae((1, 4), **SMALL, teacher=teacher)
    with pytest.raises(ValueError, match="nodes of width 16, found 32"):
        OcclusionMae(AUS, **SMALL, teacher=teacher, width=16)
    with pytest.raises(ValueError, match="expected distil of"):
        OcclusionMae(AUS, **SMALL, distil="both")
    with pytest.raises(ValueError, match="patches of 8 px, found 16"):
        OcclusionMae(AUS, **SMALL, occlusion=Occlude(patch=16))
    with pytest.raises(ValueError, match="expected encoder_rate"):
        OcclusionMae(AUS, **SMALL, encoder_rate=2.0)


def test_the_published_sizes_run_on_patches_of_16_px(blobs):
    batch = blobs(1, 4, size=64).batch(torch.arange(4))
    tiny = {"size": 64, "model": "small", "dim": 24, "depth": 2, "heads": 2}
    method = OcclusionMae(AUS, **tiny, width=16)
    assert (method.pool, method.occlusion.patch, method.encoder.grid) == ("published", 16, 4)
    method.loss(batch).total.backward()
    assert method.eval().predict(Occlude(patch=16)(batch)).shape == (4, 3)


# the other arms


@pytest.mark.parametrize("name", TRAINED)
def test_every_arm_trains_and_answers_under_a_mask(name, faces, batch, teacher, mae):
    arm = build_arm(name, AUS, teacher=teacher, mae=mae, occlusion=Occlude(), **SMALL)
    arm.prepare(batch.image)
    arm.loss(batch).total.backward()
    said = arm.eval().predict(Occlude()(batch))
    assert said.shape == (8, 3)
    assert said.isfinite().all()


def test_an_unknown_arm_is_refused(teacher):
    with pytest.raises(ValueError, match="expected one of augmented"):
        build_arm("magic", AUS, teacher=teacher, mae=None, occlusion=Occlude(), **SMALL)


def test_inpainting_leaves_visible_pixels_and_paints_the_mean_face_where_nothing_is_seen(batch, mae, teacher):
    method = InpaintThenClassify(mae, teacher).eval()
    hidden = Occlude(high=0.9).masks(torch.arange(8), grid=4)
    hidden[0] = True
    made = method.inpaint(occluded(batch, hidden))
    pixels = (~hidden).view(8, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand_as(batch.image)
    assert torch.equal(made.image[pixels], batch.image[pixels])
    assert not (made.image[1:][~pixels[1:]] == 0.5).all()
    torch.testing.assert_close(made.image[0], mae.normalise.mean)
    loud = method.inpaint(occluded(batch, hidden, fill="noise"))
    torch.testing.assert_close(loud.image, made.image)


def test_an_autoencoder_of_normalised_patches_cannot_inpaint(teacher):
    with pytest.raises(ValueError, match="normalise_target=False"):
        InpaintThenClassify(MaePretraining(**SMALL), teacher)


def test_the_fourth_channel_is_the_mask(batch):
    method = MaskChannelDetector(AUS, **SMALL).eval()
    half = occluded(batch, Occlude(low=0.5, high=0.5).masks(torch.arange(8), grid=4))
    unmarked = replace(half, visible=~NONE)
    with torch.no_grad():
        assert not torch.allclose(method.predict(half), method.predict(unmarked), atol=1e-6)
        torch.testing.assert_close(method.predict(unmarked), method.predict(replace(half, visible=None)))


def test_the_student_learns_blobs_that_an_occluder_may_hide(blobs):
    faces, strangers = blobs(6, 20, size=32), blobs(3, 20, size=32, first=50)
    method = OcclusionMae(AUS, **SMALL, distil="none", occlusion=Occlude(high=0.5))
    fit(method, faces, budget=_short(method), device="cpu", progress=False)
    assert predict(method, strangers, device="cpu").scores()["auc"].mean() > 0.8


def _short(method):
    from fau_utils.training import budget_for

    return budget_for(method, "smoke").replace(views=960)


# the command


@pytest.fixture(scope="module")
def disfa(tmp_path_factory):
    """A prepared folder in the shape of DISFA: its eight AUs, rendered faces, three folds of people."""
    world = SynthFaces(aus=(1, 2, 4, 6, 9, 12, 25, 26), train=Split(9, 6, "train"), seen=Split(9, 1, "train"))
    faces = synth.load(world, "train", cache_dir=tmp_path_factory.mktemp("cache"), workers=1)
    folder = tmp_path_factory.mktemp("prepared") / "disfa"
    folder.mkdir()
    table = faces.frames.table.assign(dataset="disfa", row=range(len(faces)))
    codes = ("SN001", "SN002", "SN009", "SN006", "SN011", "SN012", "SN003", "SN004", "SN005")  # three of each fold
    people = dict(zip(faces.subjects, [f"disfa/{code}" for code in codes], strict=True))
    table["subject"] = table["subject"].map(people)
    known = [f"AU{au}" for au in world.aus]
    table = table[[c for c in table if not c.startswith("AU") or c in known]].drop(columns=["split", "hidden_by"])
    Frames(table, scale="intensity").to_parquet(folder / "manifest.parquet")
    np.save(folder / "images.npy", np.asarray(faces.images))
    return folder


def _train(capsys, *words):
    code = cli.main(["train", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out.strip(), said.err.strip()


def test_one_command_trains_teacher_and_student_and_a_teacher_can_be_given(disfa, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "0")
    quick = ["--data", disfa, "--out", tmp_path, "--device", "cpu", "--budget", "smoke", "--set", "views=32"]
    quick += ["--set", "model=mini64"]
    code, out, err = _train(capsys, "occlusion-mae", "--fold", "P1", *quick)
    assert code == 0, err
    alone = Run.read(out.splitlines()[-1])
    assert {"nodes", "edges", "teacher au"} <= set(alone.history())
    code, out, err = _train(capsys, "graph-detector", "--fold", "P1", *quick)
    assert code == 0, err
    teacher = out.splitlines()[-1]
    code, out, err = _train(capsys, "occlusion-mae", "--fold", "P1", *quick, "--set", f"teacher_run={teacher}")
    assert code == 0, err
    taught = Run.read(out.splitlines()[-1])
    assert "teacher au" not in taught.history()
    assert "nodes" in taught.history()
    assert taught.predictions().aus == (1, 2, 4, 6, 9, 12, 25, 26)
    assert json.loads((taught.path / "run.json").read_text())["parameters"]["method"] == "occlusion-mae"
    # a teacher of another fold has seen this fold's test people
    code, out, err = _train(capsys, "occlusion-mae", "--fold", "P2", *quick, "--set", f"teacher_run={teacher}")
    assert code != 0
    assert "another fold" in err
