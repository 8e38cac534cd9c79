"""Weights that people have: files of MAE and FMAE, and our own, into a ViT or a masked autoencoder.

Those files are pickles, and a pickle can run programs. They are read by torch's restricted reader, which builds
tensors, plain values and the ``argparse.Namespace`` that the published scripts save, and nothing else.

References
----------
facebookresearch/mae and forever208/FMAE-IAT: what their ``save_model`` writes, and how ``interpolate_pos_embed``
brings positions to another image size.
"""

import argparse
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fau_utils.models import store
from fau_utils.models.mae import MaskedAutoencoder
from fau_utils.models.store import CheckpointError
from fau_utils.models.vit import SIZES, ViT

_DECODER = re.compile(r"decoder_|mask_token")
_HEAD = re.compile(r"\w*head\.")
_POSITIONS = ("pos_embed", "decoder_pos_embed")


@dataclass(frozen=True)
class Loaded:
    """What became of each entry of a checkpoint; names are those of the published files.

    Attributes
    ----------
    source : str
        The file, or the class of the module that gave its weights.
    loaded : tuple of str
    interpolated : tuple of str
        Of those, position embeddings brought to another image size.
    missing : tuple of str
        In the model, not in the file: they keep their initial values.
    left_out : tuple of str
        In the file, of a part that was not asked for: a decoder, a head, a cls token.
    mismatched : tuple of str
        Entries of heads that were asked for but have another shape, with both shapes. They were not loaded.
    unexpected : tuple of str
        In the file, of no known part.
    arguments : dict
        Command line of the script that wrote the file, where it kept it.
    epoch : int or None
    """

    source: str
    loaded: tuple[str, ...]
    interpolated: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    arguments: dict[str, Any] | None = None
    epoch: int | None = None

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.loaded)} entries loaded"]
        for field in ("interpolated", "missing", "left_out", "mismatched", "unexpected"):
            names = getattr(self, field)
            if names:
                more = f" and {len(names) - 6} more" if len(names) > 6 else ""
                lines.append(f"  {field.replace('_', ' ')}: {', '.join(names[:6])}{more}")
        return "\n".join(lines)


def load_pretrained(
    model: ViT | MaskedAutoencoder,
    source: str | Path | nn.Module,
    *,
    heads: Mapping[str, nn.Module] | None = None,
    fresh_norm: bool = False,
) -> Loaded:
    """Give a model the weights of a checkpoint, all of them or, when anything is wrong, none.

    Parameters
    ----------
    model : ViT or MaskedAutoencoder
        A ViT leaves the decoder of the file out.
    source : path or nn.Module
        A file of MAE or FMAE (pretrained or fine-tuned), one of our own folders, a safetensors file, or a ViT or
        masked autoencoder in memory.
    heads : mapping, optional
        Linear heads to load as well, by their names in the file: ``{"AU_head": linear}``. Where the shapes differ
        the head stays as it is, and the report says so by name.
    fresh_norm : bool
        Leave the last norm as it is. Fine-tuning in the published code does, as it norms after pooling where
        pretraining did before.

    Returns
    -------
    Loaded
        What was loaded, missing, left out; print it.

    Raises
    ------
    CheckpointError
        When the file is damaged, no checkpoint, holds more than data, or is of a model of another size.
    """
    if isinstance(source, nn.Module):
        entries, arguments, epoch, name = dict(source.state_dict()), None, None, type(source).__name__
    else:
        entries, arguments, epoch = read_checkpoint(source)
        name = str(source)
    entries = _published_names(entries)
    own = _published_names(model.state_dict())
    trunk = model.encoder if isinstance(model, MaskedAutoencoder) else model
    _check_size(name, entries, trunk)

    heads = heads or {}
    wanted = {f"{head}.{key}": value for head, module in heads.items() for key, value in module.state_dict().items()}
    given: dict[str, Tensor] = {}
    interpolated, left_out, mismatched, unexpected = [], [], [], []
    for key, value in entries.items():
        if fresh_norm and key.startswith("norm."):
            left_out.append(key)
        elif key in own and own[key].shape == value.shape:
            given[key] = value
        elif key in own and key in _POSITIONS and own[key].shape[2] == value.shape[2]:
            given[key] = interpolate_position(value, own[key].shape[1], first=trunk.first)
            interpolated.append(key)
        elif key in own:
            raise CheckpointError(
                f"{name}: expected {key} of shape {tuple(own[key].shape)}, found {tuple(value.shape)}; build the "
                "model with the numbers of the file"
            )
        elif key in wanted and wanted[key].shape == value.shape:
            given[key] = value
        elif key in wanted:
            mismatched.append(f"{key}: file {tuple(value.shape)}, model {tuple(wanted[key].shape)}")
        elif _DECODER.match(key) or _HEAD.match(key) or key == "cls_token":
            left_out.append(key)
        else:
            unexpected.append(key)
    missing = [key for key in own | wanted if key not in given]
    lost = [key for key in missing if key.startswith(("blocks.", "patch_embed.", "cls_token", "pos_embed"))]
    if lost:
        raise CheckpointError(
            f"{name}: expected all weights of the encoder, found none for {', '.join(lost[:4])} ({len(lost)} in all); "
            "the file is incomplete or of another architecture"
        )
    _give(model, given)
    for head, module in heads.items():
        part = {key.removeprefix(f"{head}."): value for key, value in given.items() if key.startswith(f"{head}.")}
        module.load_state_dict(part, strict=False)
    return Loaded(
        name, tuple(given), tuple(interpolated), tuple(missing), tuple(left_out), tuple(mismatched),
        tuple(unexpected), arguments, epoch,
    )  # fmt: skip


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any] | None, int | None]:
    """Tensors, command line and epoch of a checkpoint; nothing in it is run.

    Parameters
    ----------
    path : path
        A file of ``torch.save`` (a state dict, or a dict with one under ``model`` or ``state_dict``), a
        ``.safetensors`` file, or a folder of :func:`fau_utils.models.store.save`.

    Raises
    ------
    CheckpointError
        When it is damaged, no checkpoint, or holds more than data.
    """
    path = Path(path)
    if path.is_dir():
        return store.read(path)[1], None, None
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint, found no such file; check the path")
    if path.suffix == ".safetensors":
        return store.read_safetensors(path), None, None
    content = _restricted(path)
    inner = next((content[key] for key in ("model", "state_dict") if key in content), content)
    tensors = {key: value for key, value in inner.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f"{path}: expected tensors under 'model' or 'state_dict', found the keys {list(content)[:8]}; "
            "is it a checkpoint of a model?"
        )
    arguments = content.get("args")
    epoch = content.get("epoch")
    return (
        tensors,
        dict(vars(arguments)) if isinstance(arguments, argparse.Namespace) else None,
        epoch if isinstance(epoch, int) else None,
    )


def interpolate_position(table: Tensor, count: int, *, first: int) -> Tensor:
    """Position embeddings of another grid of patches, bicubic; that of the cls token stays.

    Parameters
    ----------
    table : Tensor, (1, [1+]Q, D)
        Of a square grid; has a cls token when its length less one is a square number.
    count : int
        Length of the result, [1+]P, of a square grid.
    first : int
        1 when the result has a cls token, else 0. One that `table` lacks is at zero.
    """
    had = table.shape[1] - int(table.shape[1] ** 0.5) ** 2 == 1
    cls, patches = table[:, : int(had)], table[:, int(had) :]  # (1, 0 or 1, D), (1, Q, D)
    old, new = round(patches.shape[1] ** 0.5), round((count - first) ** 0.5)
    if patches.shape[1] != old**2:
        raise CheckpointError(
            f"expected positions of a square grid and at most one cls token, found {table.shape[1]}; "
            "such a file needs its own code"
        )
    if old != new:
        picture = patches.transpose(1, 2).unflatten(2, (old, old)).float()  # (1, D, old, old)
        picture = functional.interpolate(picture, (new, new), mode="bicubic", align_corners=False)
        patches = picture.flatten(2).transpose(1, 2).to(table.dtype)
    if not had:
        cls = table.new_zeros(1, 1, table.shape[2])
    return torch.cat([cls[:, :first], patches], 1)


def _restricted(path: Path) -> dict[str, Any]:
    """What ``torch.save`` wrote, as long as it is data."""
    with path.open("rb") as file:
        archive = file.read(4) == b"PK\x03\x04"
    if archive and not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path}: expected a complete checkpoint, found the first {path.stat().st_size:,} bytes of one; "
            "copy or download it again"
        )
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            # mapped, so that the optimiser's numbers, twice as many as the model's, are never read
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # broken bytes raise almost anything
        found = re.search(r"(?:unsupported|Unsupported) (?:global: )?GLOBAL ([\w.]+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and found:
            raise CheckpointError(
                f"{path}: expected tensors, plain values and an argparse.Namespace, found a pickle that calls "
                f"{found[1]}; nothing in it was run. Have its author save the state dict alone, or take the file from "
                "its original source"
            ) from None
        raise CheckpointError(
            f"{path}: expected a file of torch.save, found {path.stat().st_size:,} bytes that are none or are damaged "
            f"({type(error).__name__}); nothing in it was run. Copy or download it again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a dict of tensors, found {type(content).__name__}; save a state dict")
    return content


def _published_names(entries: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Flat names: without the ``module.`` of data parallelism and the ``encoder.`` of our masked autoencoder."""
    named = {key.removeprefix("module.").removeprefix("encoder."): value for key, value in entries.items()}
    # fine-tuned files have the last norm under the name it has after pooling
    return {re.sub(r"^fc_norm\.", "norm.", key): value for key, value in named.items()}


def _give(model: nn.Module, given: Mapping[str, Tensor]) -> None:
    prefix = "encoder." if isinstance(model, MaskedAutoencoder) else ""
    names = {key: key if _DECODER.match(key) else prefix + key for key in given if not _HEAD.match(key)}
    model.load_state_dict({full: given[key] for key, full in names.items()}, strict=False)


def _check_size(name: str, entries: Mapping[str, Tensor], trunk: ViT) -> None:
    numbers = [int(found[1]) for found in (re.match(r"blocks\.(\d+)\.", key) for key in entries) if found]
    if not numbers or "blocks.0.norm1.weight" not in entries:
        raise CheckpointError(
            f"{name}: expected a vision transformer (blocks.0.norm1.weight and so on), found {list(entries)[:4]}; "
            "take a file of MAE, FMAE or this package"
        )
    found = _size(entries["blocks.0.norm1.weight"].shape[0], 1 + max(numbers), entries.get("patch_embed.proj.weight"))
    stem = getattr(trunk.patch_embed, "proj", None)
    expected = _size(trunk.dim, len(trunk.blocks), None if stem is None else stem.weight)
    if found != expected:
        raise CheckpointError(f"{name}: expected {expected}, found {found}; build the model with the size of the file")


def _size(dim: int, depth: int, stem: Tensor | None) -> str:
    known = [name for name, size in SIZES.items() if (size["dim"], size["depth"]) == (dim, depth)]
    stem_said = f"patch {stem.shape[-1]}" if stem is not None else "a stem of convolutions"
    return f"a ViT of width {dim}, {depth} blocks, {stem_said}" + (f" ({known[0]})" if known else "")
