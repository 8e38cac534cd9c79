"""Parameters in groups: the further from the head, the smaller the learning rate.

References
----------
Bao et al. (2022), "BEiT"; ``util/lr_decay.py`` of facebookresearch/mae, whose numbering this follows.
"""

from collections.abc import Iterable

from torch import nn

from fau_utils.models.vit import ViT


def layer_decay_groups(vit: ViT, head: nn.Module | Iterable[nn.Module], *, decay: float = 1.0) -> list[dict]:
    """Groups for the optimiser with learning rate and weight decay by place in the network.

    Stem, cls token and positions are layer 0, block i is layer i + 1, and the last norm and the heads are layer
    L + 1. The learning rate of layer i is scaled by ``decay ** (L + 1 - i)``, so that of the heads by 1. Parameters
    with one axis, the cls token and the positions decay to nothing.

    Parameters
    ----------
    vit : ViT
        With L blocks.
    head : nn.Module or several of them
        All that reads the features.
    decay : float
        0.65 in FMAE; 1 gives one learning rate to all.

    Returns
    -------
    list of dict
        ``params, name, lr_scale``, and ``weight_decay`` 0 where there is to be none. Each trainable parameter is in
        exactly one group; empty groups are left out.

    Raises
    ------
    ValueError
        When the decay is not in (0, 1].
    """
    if not 0 < decay <= 1:
        raise ValueError(f"expected a layer decay in (0, 1], found {decay}; FMAE takes 0.65")
    last = len(vit.blocks) + 1
    placed = [(_layer(name, last), name in _UNDECAYED, value) for name, value in vit.named_parameters()]
    heads = nn.ModuleList([head] if isinstance(head, nn.Module) else head)
    placed += [(last, False, value) for value in heads.parameters()]

    groups: dict[str, dict] = {}
    for layer, free, value in placed:
        if not value.requires_grad:
            continue
        free = free or value.ndim <= 1
        name = f"layer {layer}, {'no decay' if free else 'decay'}"
        group = groups.setdefault(name, {"params": [], "name": name, "lr_scale": decay ** (last - layer)})
        group["params"].append(value)
        if free:
            group["weight_decay"] = 0.0
    return list(groups.values())


_UNDECAYED = ("cls_token", "pos_embed")


def _layer(name: str, last: int) -> int:
    if name.startswith("blocks."):
        return int(name.split(".")[1]) + 1
    return 0 if name.startswith(("cls_token", "pos_embed", "patch_embed")) else last
