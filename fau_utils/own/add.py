"""From a run of ``fau train`` to a model with a card: what it was trained on, how well it does, and for whom."""

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from fau_utils import metrics
from fau_utils.data import by_name
from fau_utils.data.images import ImageSet
from fau_utils.methods import Method
from fau_utils.metrics.thresholds import tuned
from fau_utils.own import model, neutral, origin
from fau_utils.own.limits import Limits
from fau_utils.probes import embed, probe
from fau_utils.results.run import WEIGHTS, DamagedRun, Run
from fau_utils.stress.attributes import GROUPS, group_of, rendered_people
from fau_utils.stress.subgroups import subgroups
from fau_utils.training import Predictions, predict

log = logging.getLogger(__name__)

SIDES = (64, 112, 224, 96, 128, 160, 176, 200, 256)
QUANTILE = 0.99
"""Share of the validation people's faces that are within the range of a model, by its definition."""
FACES = 2000
"""Training faces that the range is fitted to."""
PEOPLE = 20
"""Test people whom the identity probe tells apart."""
MARGIN = 5.0
"""Points between groups of people that count."""

NOT_FOR: tuple[str, ...] = (
    "inferring what anybody feels, thinks, intends or is: an action unit is a movement",
    "decisions about people, at work, at school, at borders, in court or in care",
    "watching people who have not agreed to it",
    "faces unlike those it was trained on; where it abstains, nothing is known",
)
TEACHING = (
    "TEACHING ONLY: trained on rendered faces, which are nobody's. What it says of a recorded face means nothing."
)


def add(
    run: str | os.PathLike,
    *,
    name: str | None = None,
    data: str | None = None,
    crop: str | None = None,
    licence: str | None = None,
    out: Path | None = None,
    device: str = "auto",
) -> Path:
    """Make a model of a run.

    Parameters
    ----------
    run : path
        With weights, as ``fau train`` leaves it.
    name : str, optional
        By default the run's.
    data : str, optional
        What it was trained on, as it was named then. With it the card says how far features give people away, how
        groups fare, and where the training range ends; without it, that these are not known.
    crop : str, optional
        How faces were cut; a prepared folder and rendered faces say it themselves.
    licence : str, optional
        Of the data; known for the datasets that the book reads.
    out : Path, optional
        Folder of models.
    device : str

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    BadModel
        A run without weights or with other data than named, or a crop that nobody stated.
    """
    try:
        done = Run.read(run)
    except DamagedRun as error:
        raise model.BadModel(str(error)) from None
    if not (done.path / WEIGHTS).is_file():
        raise model.BadModel(f"{run}: expected a run with {WEIGHTS}, found none; fau train keeps the weights")
    parameters = done.record["parameters"]
    said = parameters["data"]
    found, validation = done.predictions(), done.validation()
    crop = origin.crop(said, data, crop)
    sides = None if data is None else _sides(data, said, _dataset(found))
    size = int(sides["train"].images.shape[-1]) if sides else None
    method, size = _rebuilt(done, found.aus, said, parameters, size)
    rendered = origin.rendered(said, data)
    licence = licence or origin.licence(_dataset(found), rendered)
    card = _card(done, found, validation, licence=licence, crop=crop, size=size, rendered=rendered)
    known, limits = None, Limits(eyes=size / 4)
    if sides:
        known, distance = _range(method, sides, device)
        limits = Limits(eyes=size / 4, distance=distance)
        card |= {"leakage": _leakage(method, sides["test"], device)}
        card |= {"groups": _groups(method, sides["test"], by_name.synth_of(data) if "config" in said else None, device)}
    card["limits"] = limits.as_dict()
    where = (model.folder() if out is None else Path(out)) / (name or done.id)
    return model.save(where, state=method.state_dict(), card=card, known=known)


def _dataset(found: Predictions) -> str:
    return found.subject[0].split("/")[0]


def _sides(data: str, said: Mapping[str, Any], dataset: str) -> dict[str, ImageSet]:
    if by_name.is_synth(data):
        config = by_name.synth_of(data).hash()
        if config != said.get("config"):
            raise model.BadModel(f"{data}: the run was trained on other faces ({said.get('config')}, not {config})")
        return by_name.synth_sides(data)
    found = by_name.prepared(data, protocol=_protocol(said, dataset)).data
    subject = found.frames.table["subject"].to_numpy(str)
    made = {side: found.subset(np.isin(subject, said[f"{long}_people"])) for side, long in _LONG.items()}
    if empty := [side for side, some in made.items() if not len(some)]:
        raise model.BadModel(f"{data}: holds none of the people of {empty} of this run")
    return made


_LONG = {"train": "train", "val": "validation", "test": "test"}


def _rebuilt(done: Run, aus, said, parameters, size: int | None) -> tuple[Method, int]:
    """The trained method. A run does not say the side of its pictures; the shapes of its weights do."""
    state = safetensors.torch.load_file(done.path / WEIGHTS)
    failed = None
    for side in (size,) if size else dict.fromkeys((*SIDES, said.get("size", 64))):
        try:
            made = model.build(
                parameters["method"],
                aus=aus,
                size=side,
                options=parameters["options"],
                people=len(said["train_people"]),
            )
            made.load_state_dict(state)
        except (RuntimeError, ValueError) as error:
            failed = error
            continue
        return made.eval(), side
    raise model.BadModel(f"{done.path}: its weights do not fit {parameters['method']} of this version ({failed})")


def _protocol(said: Mapping[str, Any], dataset: str) -> str:
    return origin.protocol(str(said.get("protocol") or ""), dataset)


def _card(
    done: Run, found: Predictions, validation: Predictions | None, *, licence: str, crop: str, size: int, rendered
) -> dict:
    parameters, said = done.record["parameters"], done.record["parameters"]["data"]
    has_validation = validation is not None
    threshold = tuned(validation.prob, validation.label) if has_validation else np.full(len(found.aus), 0.5)
    dataset = _dataset(found)
    at_half = found.scores()
    return {
        "method": parameters["method"],
        "options": parameters["options"],
        "aus": list(found.aus),
        "input": {"size": size, "crop": crop, "margin": 1.0},
        "people": len(said["train_people"]),
        "warning": TEACHING if rendered else "",
        "data": {
            "dataset": dataset,
            "faces": {True: "rendered", False: "recorded", None: "unknown"}[rendered],
            "licence": licence,
            "train": f"{len(said['train_people'])} people, {said['train_faces']:,} faces",
            "test": f"{len(said['test_people'])} people, {said['test_faces']:,} faces, none of them in training",
        },
        "protocol": _protocol(said, dataset),
        "unit": "probability of presence, 0 to 1; no intensity",
        "threshold": {
            "values": [round(float(value), 4) for value in threshold],
            "chosen": "best F1 of each AU on the validation people"
            if has_validation
            else "0.5; no validation people were kept",
        },
        "scores": {
            "F1 at 0.5": _interval(found, metrics.f1_per_au),
            "AUC": _interval(found, metrics.auc_per_au),
            "per AU": [
                {"au": int(row.au), "f1": _plain(row.f1), "auc": _plain(row.auc)} for row in at_half.itertuples()
            ],
        },
        "usual": neutral.usual(validation if has_validation else found),
        "leakage": None,
        "groups": None,
        "not_for": list(NOT_FOR),
        "run": done.id,
        "code_hash": done.record["code_hash"],
        "git_revision": done.record["git_revision"],
        "versions": done.record["versions"],
    }


def _interval(found: Predictions, metric) -> dict[str, float | None]:
    whole = found.interval(metric, resamples=500)
    return {name: _plain(value) for name, value in asdict(whole).items() if name in ("value", "low", "high")}


def _plain(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _range(method: Method, sides: Mapping[str, ImageSet], device: str):
    known = model.spread(torch.from_numpy(embed(method, _spaced(sides["train"], FACES), device=device).z))
    strangers = torch.from_numpy(embed(method, sides["val"], device=device).z)
    return known, round(float(model.apart(strangers, known).quantile(QUANTILE)), 4)


def _spaced(data: ImageSet, most: int) -> ImageSet:
    return data.subset(np.linspace(0, len(data) - 1, min(len(data), most)).astype(int))


def _leakage(method: Method, test: ImageSet, device: str) -> dict[str, Any]:
    try:
        subject = test.frames.table["subject"].to_numpy(str)
        some = test.subset(np.isin(subject, np.unique(subject)[:PEOPLE]))
        found = probe(embed(method, some, device=device), target="identity", resamples=200)
    except ValueError as error:
        log.warning("leakage was not measured: %s", error)
        return {"why": str(error)}
    ends = found.main.value
    return {
        "what": f"a linear probe names one of {len(np.unique(subject)[:PEOPLE])} test people from the features",
        **{name: _plain(value) for name, value in (("value", found.value), ("low", ends.low), ("high", ends.high))},
        "chance": _plain(found.chance),
    }


def _groups(method: Method, test: ImageSet, config, device: str) -> dict[str, Any]:
    found = predict(method, test, device=device)
    per_person = [
        float(np.nanmean(metrics.auc_per_au(found.prob[rows], found.label[rows])))
        for rows in (found.subject == who for who in np.unique(found.subject))
        if not np.isnan(metrics.auc_per_au(found.prob[rows], found.label[rows])).all()
    ]
    worst, middle = np.quantile(per_person, (0.1, 0.5)) if per_person else (np.nan, np.nan)
    made: dict[str, Any] = {
        "people": {"AUC of the median person": _plain(middle), "of the lowest tenth": _plain(worst)}
    }
    if config is None:
        return made | {"unknown": "the data does not say who belongs to which group; nothing is known of fairness"}
    people = rendered_people(config, "test")
    for name in GROUPS:
        try:
            table = subgroups(found, group_of(found.subject, people, f"{name}_group"), margin=MARGIN, resamples=200)
        except ValueError as error:
            made[name] = str(error)
            continue
        columns = ["group", "people", "score", "gap", "low", "high", "verdict"]
        rows = table[columns].to_dict("records")
        made[name] = [{k: _plain(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    return made
