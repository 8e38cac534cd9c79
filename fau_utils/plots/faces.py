"""Pictures of faces: sheets, landmarks, and a face that moves under the reader's hand."""

import base64
import html
import io
import uuid
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from fau_utils.plots.style import look


def to_pixels(images: Tensor | np.ndarray) -> np.ndarray:
    """Images as matplotlib and Pillow want them.

    Parameters
    ----------
    images : (..., 3, H, W), float in [0, 1] or uint8

    Returns
    -------
    ndarray, (..., H, W, 3) uint8
    """
    array = torch.as_tensor(images).detach().cpu().movedim(-3, -1)
    if array.shape[-1] != 3:
        raise ValueError(f"expected images of shape (..., 3, H, W), found {tuple(torch.as_tensor(images).shape)}")
    if array.dtype != torch.uint8:
        array = (array.clamp(0, 1) * 255).round().to(torch.uint8)
    return array.numpy()


def mosaic(images: Tensor | np.ndarray, *, columns: int, gap: int = 1) -> np.ndarray:
    """Many small images as one, row by row, on white.

    Parameters
    ----------
    images : (N, 3, H, W)
    columns : int
        Images in a row.
    gap : int
        White pixels between images.

    Returns
    -------
    ndarray, (rows * (H + gap) - gap, columns * (W + gap) - gap, 3) uint8
    """
    pixels = to_pixels(images)
    count, height, width, _ = pixels.shape
    rows = -(-count // columns)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = picture
    return canvas


def sheet(
    images: Tensor | np.ndarray,
    *,
    columns: int,
    titles: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    inches: float = 1.2,
) -> Figure:
    """A sheet of faces with a title above each.

    Parameters
    ----------
    images : (N, 3, H, W), float in [0, 1] or uint8
    columns : int
        Faces in a row.
    titles : sequence of str, optional
        One per face, or one per column (then shown in the first row only).
    rows : sequence of str, optional
        One per row, written at its left.
    inches : float
        Width of one face on paper.
    """
    pixels = to_pixels(images)
    count = len(pixels)
    lines = -(-count // columns)
    if titles is not None and len(titles) not in (count, columns):
        raise ValueError(f"expected {count} titles (one a face) or {columns} (one a column), found {len(titles)}")
    ratio = pixels.shape[1] / pixels.shape[2]
    titled_each = titles is not None and len(titles) == count
    room = 0.17 * (1 + max(title.count("\n") for title in titles)) if titled_each else 0.04
    with look():
        figure, axes = plt.subplots(
            lines,
            columns,
            figsize=(columns * inches, inches * (lines * ratio + (lines - 1) * room)),
            squeeze=False,
            gridspec_kw={"wspace": 0.04, "hspace": room / ratio, "left": 0, "right": 1, "bottom": 0, "top": 1},
        )
        for index, ax in enumerate(axes.flat):
            ax.axis("off")
            if index >= count:
                continue
            ax.imshow(pixels[index])
            if titles is not None and (len(titles) == count or index < columns):
                ax.set_title(titles[index], fontsize=8, pad=2)
            if rows is not None and index % columns == 0:
                ax.text(-0.06, 0.5, rows[index // columns], transform=ax.transAxes, ha="right", va="center", fontsize=8)
    plt.close(figure)  # the caller shows what is returned; a figure left open would be shown twice in a notebook
    return figure


def draw_landmarks(ax: Axes, image: Tensor | np.ndarray, landmarks: Tensor, visible: Tensor | None = None) -> None:
    """One face with its landmarks; hidden ones are hollow.

    Parameters
    ----------
    image : (3, H, W)
    landmarks : Tensor, (L, 2)
        Pixels, x to the right and y down; the centre of the first pixel is (0, 0).
    visible : Tensor, (L,) bool, optional
    """
    ax.imshow(to_pixels(image))
    ax.axis("off")
    points = landmarks.detach().cpu().numpy()
    seen = np.ones(len(points), bool) if visible is None else visible.detach().cpu().numpy()
    ax.scatter(*points[seen].T, s=7, c="#00d0a0", linewidths=0.3, edgecolors="black", zorder=3)
    ax.scatter(*points[~seen].T, s=9, facecolors="none", edgecolors="#ff5050", linewidths=0.8, zorder=3)


def _jpeg(pixels: np.ndarray, quality: int) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def movable_face(
    images: Tensor | np.ndarray,
    *,
    names: Sequence[str],
    levels: Sequence[str],
    describe: str,
    quality: int = 82,
) -> str:
    """A face the reader moves: choose a movement, slide its intensity. Works from disk, without a network.

    Parameters
    ----------
    images : (len(names), len(levels), 3, H, W)
        One precomputed face per movement and level.
    names, levels : sequence of str
        What the menu and the slider say.
    describe : str
        Alternative text for readers who do not see the picture.
    quality : int
        JPEG quality of the sprite that holds all the faces.

    Returns
    -------
    str
        HTML for ``IPython.display.HTML``.
    """
    pixels = to_pixels(images)
    if pixels.shape[:2] != (len(names), len(levels)):
        raise ValueError(f"expected images for {len(names)} names x {len(levels)} levels, found {pixels.shape[:2]}")
    _, _, height, width, _ = pixels.shape
    sprite = pixels.transpose(0, 2, 1, 3, 4).reshape(len(names) * height, len(levels) * width, 3)
    key = "face" + uuid.uuid5(uuid.NAMESPACE_OID, describe + repr(pixels.shape)).hex[:10]
    options = "".join(f'<option value="{i}">{html.escape(n)}</option>' for i, n in enumerate(names))
    shown = ", ".join(f'"{html.escape(level)}"' for level in levels)
    return f"""
<div id="{key}" class="movable-face" style="max-width:{width + 40}px">
  <div class="face" role="img" aria-label="{html.escape(describe)}" style="width:{width}px;height:{height}px;
    background-image:url(data:image/jpeg;base64,{_jpeg(sprite, quality)})"></div>
  <label>Movement <select>{options}</select></label>
  <label>Intensity <input type="range" min="0" max="{len(levels) - 1}" value="{len(levels) - 1}" step="1">
    <output></output></label>
</div>
<script>
(() => {{
  const box = document.getElementById("{key}"), levels = [{shown}];
  const [face, menu, slider, said] = ["div.face", "select", "input", "output"].map(s => box.querySelector(s));
  const move = () => {{
    face.style.backgroundPosition = `${{-slider.value * {width}}}px ${{-menu.value * {height}}}px`;
    said.textContent = levels[slider.value];
    face.setAttribute("aria-label", menu.selectedOptions[0].text + ", intensity " + levels[slider.value]);
  }};
  menu.addEventListener("input", move); slider.addEventListener("input", move); move();
}})();
</script>
"""
