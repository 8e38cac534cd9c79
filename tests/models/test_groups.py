import pytest
import torch
from torch import nn

from fau_utils.models.groups import layer_decay_groups
from fau_utils.models.vit import ViT, vit

# decay .5, two blocks: layers 0 (stem, cls, positions), 1, 2 (blocks), 3 (norm, head); scale .5 ** (3 - layer)
BY_HAND = {
    "cls_token": (0.125, False),
    "pos_embed": (0.125, False),
    "patch_embed.proj.weight": (0.125, True),
    "patch_embed.proj.bias": (0.125, False),
    "blocks.0.norm1.weight": (0.25, False),
    "blocks.0.attn.qkv.weight": (0.25, True),
    "blocks.0.attn.qkv.bias": (0.25, False),
    "blocks.0.mlp.fc2.weight": (0.25, True),
    "blocks.1.attn.proj.weight": (0.5, True),
    "blocks.1.norm2.bias": (0.5, False),
    "norm.weight": (1.0, False),
    "norm.bias": (1.0, False),
    "head.weight": (1.0, True),
    "head.bias": (1.0, False),
}


@pytest.fixture
def parts():
    return ViT(size=32, patch=8, dim=24, depth=2, heads=3, position="learned"), nn.Linear(24, 5)


def table(network, head, groups):
    """Name -> (scale, decayed) of each parameter."""
    names = {id(p): name for name, p in network.named_parameters()}
    names |= {id(p): f"head.{name}" for name, p in head.named_parameters()}
    return {
        names[id(p)]: (group["lr_scale"], group.get("weight_decay") != 0.0) for group in groups for p in group["params"]
    }


def test_scale_and_decay_of_each_parameter_are_those_worked_out_by_hand(parts):
    got = table(*parts, layer_decay_groups(*parts, decay=0.5))
    assert {name: got[name] for name in BY_HAND} == BY_HAND


def test_every_parameter_is_in_exactly_one_group(parts):
    network, head = parts
    grouped = [id(p) for group in layer_decay_groups(network, head, decay=0.65) for p in group["params"]]
    expected = [id(p) for module in parts for p in module.parameters()]
    assert sorted(grouped) == sorted(expected)


@pytest.mark.parametrize("stem", ["linear", "conv", "patch"])
def test_stems_are_the_first_layer_and_the_read_out_the_last(stem):
    network, head = vit("mini64", stem=stem, pool="position"), nn.Linear(1024, 5)
    got = table(network, head, layer_decay_groups(network, head, decay=0.5))
    assert len(got) == len(list(network.parameters())) + 2
    assert {scale for name, (scale, _) in got.items() if name.startswith("patch_embed")} == {0.125}
    assert got["reduce.weight"] == (1.0, True)


def test_the_lower_half_of_the_large_size_hardly_moves():
    with torch.device("meta"):
        network, head = vit("large", position="learned"), nn.Linear(1024, 12)
    got = table(network, head, layer_decay_groups(network, head, decay=0.65))
    assert got["patch_embed.proj.weight"][0] == pytest.approx(2.1e-5, rel=0.01)
    assert got["blocks.23.attn.qkv.weight"][0] == pytest.approx(0.65)
    assert got["blocks.12.attn.qkv.weight"][0] == pytest.approx(0.65**12)


def test_several_heads_learn_at_the_full_rate(parts):
    network, head = parts
    groups = layer_decay_groups(network, [head, nn.Linear(24, 7)], decay=0.5)
    full = [p for group in groups if group["lr_scale"] == 1 for p in group["params"]]
    assert len(full) == 2 + 2 + 2  # norm and two heads


def test_frozen_parameters_are_in_no_group(parts):
    network, head = parts
    network.blocks[0].requires_grad_(False)
    got = table(network, head, layer_decay_groups(network, head, decay=0.5))
    assert not any(name.startswith("blocks.0.") for name in got)


def test_without_decay_all_learn_alike(parts):
    assert {group["lr_scale"] for group in layer_decay_groups(*parts)} == {1.0}


def test_an_optimiser_takes_the_groups(parts):
    groups = layer_decay_groups(*parts, decay=0.5)
    optimizer = torch.optim.AdamW(groups, lr=1e-3, weight_decay=0.05)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 0.05}


@pytest.mark.parametrize("decay", [0.0, 1.1])
def test_a_decay_that_makes_no_sense_is_refused(parts, decay):
    with pytest.raises(ValueError, match=r"expected a layer decay in \(0, 1\]"):
        layer_decay_groups(*parts, decay=decay)
