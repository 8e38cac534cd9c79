"""A pretrained network on the disk, with what was and what could not be shown to it."""

from pathlib import Path
from typing import Any

import torch

from fau_utils.data.source import Source
from fau_utils.data.unlabelled import Skipped
from fau_utils.models import store
from fau_utils.models.clip_encoder import ClipEncoder
from fau_utils.results.run import HISTORY
from fau_utils.training import Fitted

NAMED = 20
"""Images that could not be read are named up to so many; all are counted."""


def write(path: Path, fitted: Fitted, *, parameters: dict[str, Any], skipped: list[Skipped]) -> None:
    """The network with its history; its description comes last, and says that it is finished."""
    kinds = (*store.KINDS, ClipEncoder.__name__)
    network = next((part for part in fitted.method.modules() if type(part).__name__ in kinds), None)
    if network is None:
        raise TypeError(f"{type(fitted.method).__name__} holds no network of {', '.join(kinds)} to be saved")
    path.mkdir(parents=True, exist_ok=True)
    fitted.history.to_parquet(path / HISTORY, index=False)
    said = {"parameters": parameters, "views": fitted.views, "seconds": fitted.seconds, "device": fitted.device}
    first = {image.name: image.reason for image in skipped[:NAMED]}
    store.save(network, path, meta={**said, "skipped": {"images": len(skipped), "first": first}})


def skipped_by_all(source: Source) -> list[Skipped]:
    """What could not be read of shards since training began or went on, by any process; all of them come here."""
    mine = list(getattr(source, "skipped", ()))
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mine
    found: list[list[Skipped]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, mine)
    return list(dict.fromkeys(skipped for part in found for skipped in part))


def remark(path: Path) -> str:
    """In a sentence what could not be read; empty when everything was, or for a run that is no pretraining."""
    if not (path / store.DESCRIPTION).is_file():
        return ""
    found = store.read(path)[0]["meta"].get("skipped", {})
    if not found.get("images"):
        return ""
    (first, why), *_ = found["first"].items()
    number = found["images"]
    return f"{number:,} image{'s' * (number > 1)} could not be read and were left out, first {first}: {why}"
