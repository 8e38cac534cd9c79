"""Cards of models, in words."""

import json
from pathlib import Path
from typing import Any

from fau_utils.own import model

_NONE = """\
no models in {folder}
None comes with this code: weights trained on licensed faces are not ours to give. To teach, one from rendered faces:
  fau train cnn --data synth --set views=8000 --out results/
  fau models add results/cnn-synth-s0-* --data synth --name teaching
What it says of a recorded face means nothing. For that, train on a coded dataset whose licence you have."""


def table() -> str:
    """A line per kept model."""
    paths = model.listing()
    if not paths:
        return _NONE.format(folder=model.folder())
    lines = [f"{'name':24} {'trained on':10} {'AUs':>3}  {'F1 at 0.5':18} {'AUC':18}"]
    for path in paths:
        try:
            said = json.loads((path / model.CARD).read_text())
            scores = [_interval(said["scores"][name]) for name in ("F1 at 0.5", "AUC")]
            line = f"{path.name:24} {said['data']['dataset']:10} {len(said['aus']):3}  {scores[0]:18} {scores[1]:18}"
            lines.append(line + ("  TEACHING ONLY" if said["warning"] else ""))
        except (OSError, ValueError, KeyError, TypeError) as error:
            lines.append(f"{path.name:24} damaged: {error!r}")
    return "\n".join(lines)


def render(path: str | Path) -> str:
    """A card after a check of the files.

    Raises
    ------
    BadModel
        The model is damaged.
    """
    said = model.check(path)
    lines = [f"{said['name']}: {said['method']} on {len(said['aus'])} AUs, run {said['run']}"]
    lines += [said["warning"]] if said["warning"] else []
    data, limits = said["data"], said["limits"]
    facts = {
        "AUs": " ".join(map(str, said["aus"])),
        "trained on": f"{data['dataset']}: {data['train']}",
        "faces": data.get("faces", "unknown"),
        "tested on": data["test"],
        "licence": data["licence"],
        "protocol": said["protocol"],
        "answers": said["unit"],
        "threshold": said["threshold"]["chosen"],
        "F1 at 0.5": _interval(said["scores"]["F1 at 0.5"]) + "  mean over AUs, 95 % over test people",
        "AUC": _interval(said["scores"]["AUC"]),
        "leakage": _leakage(said["leakage"]),
        "abstains": ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None),
    }
    lines += [f"  {name:11} {value}" for name, value in facts.items()]
    lines += _groups(said["groups"])
    lines += ["  not for", *(f"    {use}" for use in said["not_for"])]
    return "\n".join(lines)


def _interval(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "undefined"
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def _leakage(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not measured; fau models add RUN --data ... measures it"
    if "why" in found:
        return f"not measured: {found['why']}"
    return f"{_interval(found)}, chance {found['chance']:.3f}: {found['what']}"


def _groups(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["  groups      not measured; fau models add RUN --data ... measures them"]
    lines = ["  groups"]
    for name, value in found.items():
        if isinstance(value, str):
            lines.append(f"    {name}: {value}")
        elif isinstance(value, dict):
            lines.append(f"    {name}: " + ", ".join(f"{what} {number}" for what, number in value.items()))
        else:
            lines += [
                f"    {name} {row['group']}: AUC {row['score']:.1f} of {row['people']} people, gap {row['gap']:+.1f} "
                f"[{row['low']:+.1f}, {row['high']:+.1f}] points, {row['verdict']}"
                for row in value
                if row["score"] is not None and row["gap"] is not None and row["low"] is not None
            ]
    return lines
