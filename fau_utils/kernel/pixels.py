"""Keeps pictures of licensed data out of the book.

A chapter can be run on a reader's own copy of BP4D. Its numbers and charts may be shown; its pictures may not: they
show people who agreed to research and not to a web page. When a chapter has read pictures that were not rendered
(:mod:`fau_utils.kernel.watch`), every picture among its outputs gives way to a placeholder before anything is
stored. Only figures of matplotlib that hold no picture stay; in doubt it goes.
"""

import base64
import io
import json
import re
from typing import Any

PLACEHOLDER = "A picture was left out here: this chapter was run on data that may be licensed."
_SAYS_CHART = "fau_chart"
_PICTURES = ("image/", "video/", "audio/")
_INSIDE = re.compile(r'data:(image|video)/|<(video|canvas|img)\b|"type"\s*:\s*"image"', re.IGNORECASE)


def without_pictures(node: Any) -> int:
    """Put placeholders into an executed notebook, in place.

    Returns
    -------
    int
        How many outputs gave way.
    """
    count = 0
    for cell in node.cells:
        for attached in (cell.get("attachments") or {}).values():
            count += len(attached)
        cell.pop("attachments", None)
        for output in cell.get("outputs", []):
            if "data" in output and _shows(output):
                output["data"] = {"image/png": _picture(), "text/plain": PLACEHOLDER}
                output["metadata"] = {}
                count += 1
    return count


def _shows(output: Any) -> bool:
    """Whether an output may hold a picture; only a figure that was found to be a chart certainly does not."""
    for kind, content in output["data"].items():
        if kind.startswith(_PICTURES):
            if not output.get("metadata", {}).get(_SAYS_CHART):
                return True
        elif _INSIDE.search(content if isinstance(content, str) else json.dumps(content)):
            return True
    return False


def _picture() -> str:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (640, 160), (238, 238, 238))
    ImageDraw.Draw(image).multiline_text((24, 60), PLACEHOLDER.replace(": ", ":\n"), fill=(60, 60, 60), spacing=8)
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
