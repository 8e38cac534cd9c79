"""The colours of the book stay apart for readers who see fewer of them, and chapters use no others."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from fau_utils.plots import PALETTE

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
SIGHT = {
    "full": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def _lab(colours, sight):
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1) @ np.transpose(XYZ) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def _nearest(colours, sight):
    lab = _lab(colours, sight)
    return min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2))


@pytest.mark.parametrize("sight", SIGHT)
def test_the_colours_that_lines_take_first_stay_apart_for_everybody(sight):
    assert _nearest(PALETTE[:4], sight) > 10


def test_plain_red_and_green_would_not():
    assert _nearest(["#b22222", "#556b2f"], "deutan") < 15


def test_chapters_name_no_colours_and_no_maps_that_mislead():
    found = {}
    for path in sorted((Path(__file__).parents[2] / "notebooks").glob("*.py")):
        text = path.read_text()
        named = re.findall(r"[\"'](?:tab:\w+|red|green|blue|orange|purple|C\d|jet|rainbow|hsv|RdYlGn)[\"']", text)
        if named:
            found[path.stem] = named
    assert found == {}
