"""The table as a file: header, rows in a layout, and the person's own baseline."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fau_utils import __version__
from fau_utils import aus as vocabulary
from fau_utils.own import layouts, neutral
from fau_utils.own.limits import REASONS
from fau_utils.own.model import WEIGHTS, Model

Key = tuple[str, int]


def baselines(parts: Iterable[pd.DataFrame], model: Model, *, whose: str) -> dict[Key, np.ndarray | None]:
    """What the model says of each person at rest; None of somebody with too few frames."""
    counted: dict[Key, neutral.Baseline] = {}
    if whose != "no":
        names = vocabulary.columns(model.aus)
        for rows in parts:
            rows = rows[rows["face"].notna()]
            for key, places in rows.groupby(_person(rows, whose)).indices.items():
                counted.setdefault(key, neutral.Baseline(len(names))).see(rows[names].to_numpy("float64")[places])
    return {key: one.rest() for key, one in counted.items()}


def with_own(rows: pd.DataFrame, rest: Mapping[Key, np.ndarray | None], model: Model, *, whose: str) -> pd.DataFrame:
    """The rows with a column ``AUn_own`` for each AU, when baselines were asked for."""
    if whose == "no":
        return rows
    names, usual = vocabulary.columns(model.aus), np.array(model.card["usual"]["rest"])
    prob = rows[names].to_numpy("float64")
    own = np.full_like(prob, np.nan)
    for key, places in rows.groupby(_person(rows, whose)).indices.items():
        own[places] = neutral.subtract(prob[places], rest.get(key), usual)
    return rows.assign(**{f"{name}_own": own[:, k].round(4) for k, name in enumerate(names)})


def _person(rows: pd.DataFrame, whose: str) -> pd.Series:
    if whose == "folder":
        return rows["input"].map(lambda name: (str(Path(name).parent), 0))
    face = rows["face"].fillna(-1).astype(int)
    return pd.Series(list(zip(rows["input"], face, strict=True)), index=rows.index, dtype=object)


def description(
    model: Model, *, detector: str, whose: str, rest: Mapping[Key, Any], unreadable: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """What a reader of the table has to know, as plain data; the header says it too."""
    card = model.card
    return {
        "made by": f"fau predict {__version__}",
        "model": f"{card['name']} ({card['method']}, weights {card['files'][WEIGHTS][:12]}, run {card['run']})",
        "warning": card["warning"] or "see the card: fau models card " + card["name"],
        "trained on": f"{card['data']['dataset']}, {card['data']['train']}; {card['data']['licence']}",
        "protocol": card["protocol"],
        "unit": card["unit"],
        "threshold": " ".join(f"AU{au} {least:.2f}" for au, least in zip(model.aus, model.threshold, strict=True))
        + f"; {card['threshold']['chosen']}",
        "detector": f"{detector}; crop {card['input']['crop']}, {card['input']['size']} px",
        "neutral": _neutral(whose, rest),
        "abstains": {"limits": card["limits"], "reasons": dict(REASONS)},
        "columns": layouts.UNITS,
        "unreadable": [{"file": name, "why": why} for name, why in unreadable],
    }


def _neutral(whose: str, rest: Mapping[Key, Any]) -> str:
    if whose == "no":
        return "no person's baseline was subtracted"
    known = sum(one is not None for one in rest.values())
    return (
        f"AUn_own: logit minus the {neutral.QUANTILE:.0%} quantile of the person's logits plus the validation people's "
        f"usual one; a person is a {'folder' if whose == 'folder' else 'tracked face'}; known for {known} of "
        f"{len(rest)}, the others have fewer than {neutral.FEWEST} frames and are left as they are"
    )


def write(parts: Iterable[pd.DataFrame], out: Path, *, layout: str, model: Model, said: Mapping[str, Any]) -> Counter:
    """Write the table and ``OUT.json``, complete or not at all; returns how many rows there are of what."""
    counts: Counter[str] = Counter()
    partial = out.with_name(f".{out.name}.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="") as file:
        if layout == "fau":
            file.writelines(f"# {name}: {_line(value)}\n" for name, value in said.items() if name != "columns")
            file.writelines(f"# column {name}: {unit}\n" for name, unit in said["columns"].items())
        for number, rows in enumerate(parts):
            counts.update(rows[layouts.WHY])
            counts["faces"] += int(rows["face"].notna().sum())
            counts["answered"] += int((rows[layouts.WHY] == "").sum())
            shown = layouts.LAYOUTS[layout](rows, aus=model.aus, threshold=model.threshold)
            shown.to_csv(file, index=False, header=number == 0)
    out.with_name(f"{out.name}.json").write_text(json.dumps({**said, "layout": layout}, indent=1) + "\n")
    partial.replace(out)
    return counts


def _line(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return f"{len(value)}, listed in the json beside this file" if value else "none"
    return json.dumps(value)


def read(path: str | Path) -> pd.DataFrame:
    """A table in our layout. Only the lines before the names of the columns are header: a path may have a # in it."""
    with Path(path).open(newline="") as file:
        header = sum(1 for _ in takewhile(lambda line: line.startswith("#"), file))
    return pd.read_csv(path, skiprows=header, dtype={"input": str, layouts.WHY: str})
