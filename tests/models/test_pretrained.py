import argparse
import os
import pickle
from pathlib import Path

import pytest
import reference_mae as reference
import torch
from torch import nn

from fau_utils.models import store
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.pretrained import interpolate_position, load_pretrained, read_checkpoint
from fau_utils.models.store import CheckpointError
from fau_utils.models.vit import ViT

ENCODER = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "heads": 3}
DECODER = {"decoder_dim": 16, "decoder_depth": 2, "decoder_heads": 4}
STATE = {"size": 32, "patch": 8, "dim": 24, "depth": 3, "decoder_dim": 16, "decoder_depth": 2}


def face(size=32):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def training_file(path, state, **more):
    """As `save_model` of the published training scripts writes it."""
    parameters = [nn.Parameter(torch.zeros(4, 4))]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    parameters[0].grad = torch.ones(4, 4)
    optimizer.step()
    content = {
        "model": state,
        "optimizer": optimizer.state_dict(),
        "epoch": 49,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000},
        "args": argparse.Namespace(model="mae_vit_base_patch16", mask_ratio=0.75, betas=(0.9, 0.95)),
    }
    torch.save(content | more, path)
    return path


def finetuned_state(aus=12, people=41):
    """As fine-tuning of FMAE-IAT leaves it: `fc_norm` instead of `norm`, two heads, no decoder."""
    state = {k: v for k, v in reference.state(**STATE).items() if not k.startswith(("decoder", "mask"))}
    state["fc_norm.weight"], state["fc_norm.bias"] = 2 * state.pop("norm.weight"), state.pop("norm.bias")
    g = torch.Generator().manual_seed(7)
    for name, outputs in (("AU_head", aus), ("ID_head", people)):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(outputs, 24, generator=g), torch.zeros(outputs)
    return state


def test_a_pretraining_file_fills_encoder_and_decoder(tmp_path):
    state = reference.state(**STATE)
    model = MaskedAutoencoder(ViT(**ENCODER), **DECODER)
    report = load_pretrained(model, training_file(tmp_path / "checkpoint-49.pth", state))
    assert sorted(report.loaded) == sorted(state)
    assert report.missing == report.left_out == report.unexpected == report.mismatched == ()
    assert (report.epoch, report.arguments["mask_ratio"]) == (49, 0.75)
    noise = torch.rand(2, 16)
    expected, *_ = reference.reconstruct(state, face(), 3, 4, noise, 0.75)
    torch.testing.assert_close(model.eval()(face(), noise=noise).loss, expected, atol=1e-5, rtol=1e-5)


def test_a_vit_leaves_the_decoder_out(tmp_path):
    state = reference.state(**STATE)
    torch.save({"model": state}, tmp_path / "mae_pretrain.pth")  # as published, without the rest
    model = ViT(**ENCODER, position="learned")
    report = load_pretrained(model, tmp_path / "mae_pretrain.pth")
    assert set(report.left_out) == {key for key in state if key.startswith(("decoder", "mask_token"))}
    assert report.arguments is None
    assert torch.equal(model.pos_embed, state["pos_embed"])
    expected = reference.layer_norm(state, "norm", reference.encode(state, face(), 3))
    torch.testing.assert_close(model.eval().tokens(face()), expected, atol=1e-5, rtol=1e-5)


def test_an_encoder_file_leaves_a_decoder_as_it_was_and_says_so(tmp_path):
    state = {key: value for key, value in reference.state(**STATE).items() if not key.startswith(("decoder", "mask"))}
    torch.save({"model": state}, tmp_path / "encoder.pth")
    model = MaskedAutoencoder(ViT(**ENCODER), **DECODER)
    before = model.decoder_pred.weight.clone()
    report = load_pretrained(model, tmp_path / "encoder.pth")
    assert "decoder_pred.weight" in report.missing
    assert "missing: " in str(report)
    assert torch.equal(model.decoder_pred.weight, before)


def test_a_finetuned_file_gives_its_pooled_norm_and_the_heads_asked_for(tmp_path):
    state = finetuned_state()
    path = training_file(tmp_path / "bp4d_fold1.pth", state)
    model, head = ViT(**ENCODER), nn.Linear(24, 12)
    report = load_pretrained(model, path, heads={"AU_head": head})
    assert set(report.left_out) == {"ID_head.weight", "ID_head.bias"}
    assert report.missing == report.mismatched == ()
    expected = reference.linear(state, "AU_head", reference.pooled(state, face(), 3))
    torch.testing.assert_close(head(model.eval()(face())), expected, atol=1e-5, rtol=1e-5)


def test_heads_of_another_shape_are_named_and_left_alone(tmp_path):
    path = training_file(tmp_path / "bp4d_fold1.pth", finetuned_state())
    aus, people = nn.Linear(24, 8), nn.Linear(24, 27)
    before = aus.weight.clone()
    report = load_pretrained(ViT(**ENCODER), path, heads={"AU_head": aus, "ID_head": people})
    assert "AU_head.weight: file (12, 24), model (8, 24)" in report.mismatched
    assert "ID_head.bias: file (41,), model (27,)" in report.mismatched
    assert "AU_head.weight" in report.missing
    assert "AU_head.weight: file (12, 24)" in str(report)
    assert torch.equal(aus.weight, before)


def test_the_last_norm_can_stay_fresh_as_in_published_finetuning(tmp_path):
    torch.save({"model": reference.state(**STATE)}, tmp_path / "a.pth")
    model = ViT(**ENCODER)
    report = load_pretrained(model, tmp_path / "a.pth", fresh_norm=True)
    assert {"norm.weight", "norm.bias"} <= set(report.left_out)
    assert {"norm.weight", "norm.bias"} == set(report.missing)
    assert (model.norm.weight == 1).all()


def test_positions_are_interpolated_to_another_image_size(tmp_path):
    state = reference.state(**STATE)
    torch.save({"model": state}, tmp_path / "a.pth")
    model = MaskedAutoencoder(ViT(**ENCODER | {"size": 48}), **DECODER)
    report = load_pretrained(model, tmp_path / "a.pth")
    assert report.interpolated == ("pos_embed", "decoder_pos_embed")
    got = model.encoder.pos_embed
    assert torch.equal(got[:, :1], state["pos_embed"][:, :1])
    old = state["pos_embed"][:, 1:].reshape(1, 4, 4, 24).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(old, size=(6, 6), mode="bicubic", align_corners=False)
    torch.testing.assert_close(got[:, 1:], expected.permute(0, 2, 3, 1).flatten(1, 2))
    assert model(face(48)).loss.isfinite()


def test_interpolation_keeps_the_left_left_and_the_top_at_the_top():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    table = torch.stack([rows, columns], -1).view(1, 16, 2)
    wider = interpolate_position(table, 64, first=0).view(8, 8, 2)
    assert (wider[1:, :, 0] > wider[:-1, :, 0]).all()
    assert (wider[:, 1:, 1] > wider[:, :-1, 1]).all()
    assert interpolate_position(1 + table, 17, first=1)[0, 0].tolist() == [0, 0]


def test_a_cls_token_that_the_model_lacks_is_left_out(tmp_path):
    state = reference.state(**STATE)
    torch.save(state, tmp_path / "bare.pth")  # a state dict and nothing around it
    model = ViT(**ENCODER, cls=False)
    report = load_pretrained(model, tmp_path / "bare.pth")
    assert "cls_token" in report.left_out
    assert torch.equal(model.pos_embed, state["pos_embed"][:, 1:])


def test_names_of_data_parallel_training_are_understood(tmp_path):
    state = {f"module.{key}": value for key, value in reference.state(**STATE).items()}
    torch.save({"model": state}, tmp_path / "ddp.pth")
    assert load_pretrained(ViT(**ENCODER), tmp_path / "ddp.pth").unexpected == ()


def test_our_own_folders_files_and_models_serve_as_well(tmp_path):
    from safetensors.torch import save_file

    mae = MaskedAutoencoder(ViT(**ENCODER), **DECODER)
    folder = store.save(mae, tmp_path / "mine")
    save_file(mae.state_dict(), tmp_path / "mine.safetensors")
    for source in (folder, tmp_path / "mine.safetensors", mae, mae.encoder):
        model = ViT(**ENCODER)
        assert load_pretrained(model, source).unexpected == ()
        assert torch.equal(model(face()), mae.encoder(face()))


def test_an_entry_of_no_known_part_is_reported(tmp_path):
    torch.save({"model": reference.state(**STATE) | {"adapter.down": torch.zeros(2)}}, tmp_path / "a.pth")
    assert load_pretrained(ViT(**ENCODER), tmp_path / "a.pth").unexpected == ("adapter.down",)


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ({"dim": 32}, r"expected a ViT of width 24, 3 blocks, patch 8, found a ViT of width 32, 3 blocks, patch 8"),
        ({"depth": 5}, r"3 blocks, patch 8, found a ViT of width 24, 5 blocks"),
        ({"patch": 4}, r"patch 8, found a ViT of width 24, 3 blocks, patch 4"),
    ],
)
def test_another_size_is_refused_with_both_sizes(tmp_path, numbers, found):
    torch.save({"model": reference.state(**STATE | numbers)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=found):
        load_pretrained(ViT(**ENCODER), tmp_path / "a.pth")


def test_published_sizes_are_called_by_their_names(tmp_path):
    state = {
        "blocks.11.norm1.weight": torch.ones(768),
        "blocks.0.norm1.weight": torch.ones(768),
        "patch_embed.proj.weight": torch.zeros(768, 3, 16, 16),
    }
    torch.save({"model": state}, tmp_path / "a.pth")
    with torch.device("meta"):
        small = ViT(dim=384, depth=12, heads=6)
    with pytest.raises(CheckpointError, match=r"\(small\), found a ViT of width 768, 12 blocks, patch 16 \(base\)"):
        load_pretrained(small, tmp_path / "a.pth")


def test_a_decoder_of_another_width_is_refused_and_nothing_is_loaded(tmp_path):
    torch.save({"model": reference.state(**STATE | {"decoder_dim": 32})}, tmp_path / "a.pth")
    model = MaskedAutoencoder(ViT(**ENCODER), **DECODER)
    before = model.encoder.cls_token.clone()
    with pytest.raises(CheckpointError, match=r"expected decoder_embed.weight of shape \(16, 24\), found \(32, 24\)"):
        load_pretrained(model, tmp_path / "a.pth")
    assert torch.equal(model.encoder.cls_token, before)


def test_an_encoder_with_a_hole_is_refused(tmp_path):
    state = reference.state(**STATE)
    del state["blocks.1.mlp.fc1.weight"]
    torch.save({"model": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"found none for blocks.1.mlp.fc1.weight \(1 in all\)"):
        load_pretrained(ViT(**ENCODER), tmp_path / "a.pth")


class Payload:
    """Unpickled without restraint, creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("where", ["args", "model", "epoch"])
@pytest.mark.parametrize("archive", [True, False])
def test_a_payload_is_refused_and_not_run(tmp_path, where, archive):
    trace, path = tmp_path / "was_here", tmp_path / "evil.pth"
    content = {"model": reference.state(**STATE), where: Payload(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(CheckpointError, match=r"calls \w+\.system; nothing in it was run"):
        load_pretrained(ViT(**ENCODER), path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # it would have
    assert trace.exists()


def test_a_plain_pickle_with_a_payload_is_refused_and_not_run(tmp_path):
    trace, path = tmp_path / "was_here", tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(Payload(trace)))
    with pytest.raises(CheckpointError, match="nothing in it was run"):
        read_checkpoint(path)
    assert not trace.exists()


def test_a_whole_pickled_model_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"calls torch\.nn\.modules\.linear\.Linear"):
        read_checkpoint(tmp_path / "a.pth")


def test_reading_leaves_no_class_allowed_behind(tmp_path):
    read_checkpoint(training_file(tmp_path / "a.pth", reference.state(**STATE)))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("archive", [True, False])
def test_a_truncated_file_is_refused(tmp_path, share, archive):
    whole, part = tmp_path / "whole.pth", tmp_path / "part.pth"
    torch.save({"model": reference.state(**STATE)}, whole, _use_new_zipfile_serialization=archive)
    data = whole.read_bytes()
    part.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=r"found .*(copy or download it again|Copy or download it again)"):
        load_pretrained(ViT(**ENCODER), part)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes that are none or are damaged"),
        (b"<html>404 not found</html>" * 9, "Copy or download it again"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(CheckpointError, match="found no such file"):
        read_checkpoint(Path(tmp_path / "a.pth"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dict of tensors, found list"),
        ({"history": [1.0]}, r"found the keys \['history'\]"),
        ({"model": {"conv.weight": torch.zeros(2)}}, r"expected a vision transformer .* found \['conv.weight'\]"),
    ],
)
def test_data_of_another_kind_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(ViT(**ENCODER), tmp_path / "a.pth")
