"""Pictures and names from strangers: what is refused, and why.

An image file of a few kilobytes can unfold to gigabytes, and a name inside an archive can point out of the folder it
is unpacked into. Both are refused before anything is decoded or written.
"""

import io
import os
from pathlib import PurePosixPath

import numpy as np

MAX_PIXELS = 64_000_000  # 8000 x 8000; the largest faces met in the wild are a third of it
MAX_BYTES = 256 * 2**20
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "BMP", "WEBP", "GIF")  # others run larger and less tested code in Pillow


class UnreadableImage(ValueError):
    """An image that is damaged, too large, or none."""


def picture(data: bytes | str | os.PathLike, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode an image file or its bytes.

    Parameters
    ----------
    data : bytes or path-like
    max_pixels : int
        Refused above, by the header, before a pixel is decoded.
    max_bytes : int
        Refused above, by the size of the file.

    Returns
    -------
    ndarray, (H, W, 3) uint8 RGB
        As stored; an orientation tag is not applied, as in the published pipelines.

    Raises
    ------
    UnreadableImage
        Not an image of :data:`FORMATS`, cut short, damaged, or larger than allowed.
    """
    from PIL import Image

    size = len(data) if isinstance(data, bytes) else os.stat(data).st_size
    if size > max_bytes:
        raise UnreadableImage(f"{size:,} bytes, at most {max_bytes:,} are read")
    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadableImage(f"{width} x {height} pixels, at most {max_pixels:,} are decoded")
            return np.array(image.convert("RGB"))
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(str(error)) from error
    except Image.UnidentifiedImageError as error:  # whose words hold an address in memory or a path
        raise UnreadableImage(f"{size:,} bytes that are no image of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:
        raise UnreadableImage(f"{type(error).__name__}: {error}") from error


def inside(name: str) -> bool:
    """Whether a name from an archive stays in the folder it would be put into: relative, and without ``..``.

    Back slashes and drive letters are refused too: they are part of a name here and a way out elsewhere.
    """
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\\" not in name and ":" not in parts[0]
