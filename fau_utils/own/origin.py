"""Where a run's faces came from: rendered or recorded, under which licence, cut how, divided by which protocol."""

import json
from collections.abc import Mapping
from typing import Any

from fau_utils.data import by_name, conventions
from fau_utils.data.rendered import is_rendered
from fau_utils.own.geometry import RENDERED
from fau_utils.own.model import BadModel

LICENCES: Mapping[str, str] = {
    "synth": "rendered here; no licence needed",
    "bp4d": "agreement of Binghamton University; ask before weights are passed on",
    "bp4dplus": "agreement of Binghamton University; ask before weights are passed on",
    "disfa": "agreement of the University of Denver, research only; ask before weights are passed on",
    "disfaplus": "agreement of the University of Denver, research only; ask before weights are passed on",
    "gft": "agreement of the University of Pittsburgh; ask before weights are passed on",
    "emotionet": "agreement of the Ohio State University, research only",
    "affwild2": "agreement of the dataset's authors, research only",
}
_UNCHECKED = "; unchecked: neither the run nor --data says whether its faces were rendered"


def rendered(said: Mapping[str, Any], data: str | None) -> bool | None:
    """Whether a run saw rendered faces only; None when neither its record nor its data are there to tell.

    Parameters
    ----------
    said : Mapping
        What the run's record says of its data.
    data : str, optional
        The data by name.
    """
    if "config" in said:
        return True
    if "rendered" in said:
        return bool(said["rendered"])
    return None if data is None else by_name.is_synth(data) or is_rendered(by_name.folder_of(data))


def licence(dataset: str, is_rendered: bool | None) -> str:
    """Of the data, in words for the card."""
    if is_rendered:
        return LICENCES["synth"]
    known = LICENCES.get(dataset, "unknown: do not pass these weights on")
    return known + _UNCHECKED if is_rendered is None else known


def crop(said: Mapping[str, Any], data: str | None, stated: str | None) -> str:
    """How the faces were cut: a prepared folder and a run on it know it, and faces of ``synth`` come cut.

    Raises
    ------
    BadModel
        Nobody says it, or the folder says another than was stated.
    """
    known = RENDERED if "config" in said else said.get("content", {}).get("crop")
    if data is not None and not by_name.is_synth(data):
        plan = by_name.folder_of(data) / "plan.json"
        known = json.loads(plan.read_text())["crop"] if plan.is_file() else known
    if known and stated and known != stated:
        raise BadModel(f"--crop {stated}: the faces were cut by {known}; leave --crop out")
    if not (known or stated):
        raise BadModel("how were the faces cut? Name their folder with --data, or say --crop as for fau prepare")
    return known or stated


def protocol(digest: str, dataset: str) -> str:
    """The name of a protocol by its hash; without a hash the renderer divided the people."""
    if not digest:
        return "ours"
    for name in conventions.NAMES:
        try:
            if conventions.named(name, dataset=dataset).hash == digest:
                return name
        except ValueError:
            continue  # not defined on this dataset
    divided = dataset in conventions.EVALUATED and conventions.ours(dataset).folds
    return f"unknown to this version ({digest})" if divided else "ours"
