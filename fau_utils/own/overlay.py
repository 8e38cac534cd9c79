"""What was found, drawn onto the pictures: an annotated video for each video, and a sheet of stills."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from fau_utils.data import video
from fau_utils.own import inputs, layouts
from fau_utils.own.model import Model

TILE = 240  # px
MOST = 48
"""Stills on a sheet; how many later ones are left out is said."""
_ANSWER, _SILENCE = (0, 114, 178), (213, 94, 0)

Row = dict[str, Any]


def write(
    parts: Iterable[pd.DataFrame], files: Sequence[inputs.Input], *, folder: Path, model: Model, step: int = 1
) -> tuple[list[Path], int]:
    """Draw everything; a frame is in memory, and the stills of one sheet. Returns the files, and the stills left out.

    Parameters
    ----------
    parts : iterable of DataFrame
        In the order in which they were made.
    files : sequence of Input
    folder : Path
        Made when missing. Videos are ``NAME_faces.mp4``, the sheet ``sheet.jpg``.
    model : Model
        For names and thresholds.
    step : int
        Every how many frames were looked at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_name, made, tiles, left_out = {str(one.path): one for one in files}, [], [], 0
    rows = (row for part in parts for row in part.assign(**_decided(part, model)).to_dict("records"))
    for name, of_file in groupby(rows, key=lambda row: row["input"]):
        one = by_name[name]
        if one.kind == "video":
            path, again = folder / f"{one.path.stem}_faces.mp4", 1
            while path in made:
                again += 1
                path = folder / f"{one.path.stem}_{again}_faces.mp4"
            fps = video.info(one.path).fps or 25
            video.write(path, _frames(one, of_file, step), fps=fps / step, codec="mpeg4")
            made.append(path)
        elif len(tiles) < MOST:
            tiles.append(_tile(one, list(of_file)))
        else:
            left_out += 1
    if tiles:
        made.append(folder / "sheet.jpg")
        _sheet(tiles).save(made[-1], quality=90)
    return made, left_out


def _decided(part: pd.DataFrame, model: Model) -> dict[str, list[str]]:
    shown = layouts.ours(part, aus=model.aus, threshold=model.threshold)
    names = [name for name in shown if name.endswith("_present")]
    flags = shown[names].fillna(0).to_numpy("int64")
    return {
        "words": [
            " ".join(n.removesuffix("_present")[2:] for n, yes in zip(names, row, strict=True) if yes) for row in flags
        ]
    }


def _frames(one: inputs.Input, rows: Iterator[Row], step: int) -> Iterator[np.ndarray]:
    pictures = inputs.pictures(one, step=step)
    for frame, of_frame in groupby(rows, key=lambda row: row["frame"]):
        number, _, picture = next(pictures)
        if number != frame:
            raise ValueError(f"{one.path}: expected frame {frame}, found {number}; has the file changed meanwhile?")
        drawn = np.asarray(draw(picture, list(of_frame)))
        yield drawn[: len(drawn) // 2 * 2, : drawn.shape[1] // 2 * 2]  # codecs want even sides


def draw(picture: np.ndarray, rows: Sequence[Row]) -> Image.Image:
    """A picture (H, W, 3) with a box for each face: its number and AUs, or why there is no answer."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    size = max(11, len(picture) // 22)
    font = ImageFont.load_default(size)
    for row in rows:
        if pd.isna(row["face"]):
            continue
        why = row[layouts.WHY]
        colour = _SILENCE if why else _ANSWER
        left, top = row["x"], row["y"]
        pen.rectangle((left, top, left + row["width"], top + row["height"]), outline=colour, width=max(2, size // 7))
        words = f"{int(row['face'])}: {why or 'AU ' + (row['words'] or 'none')}"
        width = pen.textlength(words, font=font)
        at = (min(max(left, 0), max(len(picture[0]) - width - 4, 0)), max(top - size - 4, 0))
        pen.rectangle((*at, at[0] + width + 4, at[1] + size + 4), fill=colour)
        pen.text((at[0] + 2, at[1]), words, fill="white", font=font)
    return image


def _tile(one: inputs.Input, rows: list[Row]) -> Image.Image:
    _, _, picture = next(inputs.pictures(one))
    scale = TILE / max(picture.shape[:2])
    small = Image.fromarray(picture).resize((round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
    moved = [{**row, **{name: row[name] * scale for name in ("x", "y", "width", "height")}} for row in rows]
    return draw(np.asarray(small), moved)


def _sheet(tiles: Sequence[Image.Image]) -> Image.Image:
    across = min(4, len(tiles))
    sheet = Image.new("RGB", (across * TILE, -(-len(tiles) // across) * TILE), "white")
    for k, tile in enumerate(tiles):
        sheet.paste(tile, (k % across * TILE, k // across * TILE))
    return sheet
