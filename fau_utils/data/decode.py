"""Compressed images to pixels and back, as fast as the installed libraries allow.

JPEG goes through simplejpeg, which is libjpeg-turbo without a detour and leaves other threads running; everything
else, and every JPEG where simplejpeg is not installed or gives up, goes through Pillow. Both give the same bytes when
they are built on the same libjpeg-turbo. Nothing is decoded before its header has been held against the limits of
:mod:`fau_utils.data.safe`.
"""

import functools
import io
import os
from pathlib import Path

import numpy as np

from fau_utils.data.safe import MAX_BYTES, MAX_PIXELS, UnreadableImage, picture

_JPEG = b"\xff\xd8\xff"


@functools.cache
def _simplejpeg():
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def decoder() -> str:
    """What decodes JPEG here, with its version, for records."""
    if _simplejpeg() is not None:
        return f"simplejpeg {_simplejpeg().__version__}"
    import PIL

    return f"Pillow {PIL.__version__}"


def decode(
    data: bytes | str | os.PathLike, *, at_least: int = 0, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> np.ndarray:
    """An image file or its bytes as pixels.

    Parameters
    ----------
    data : bytes or path-like
    at_least : int
        A JPEG whose sides are both larger may come smaller, by a power of two, with no side below this: cheaper, and
        averaged, when it is to be made smaller anyway. 0 for full size.
    max_pixels, max_bytes : int
        Refused above.

    Returns
    -------
    ndarray, (H, W, 3) uint8 RGB

    Raises
    ------
    UnreadableImage
        Damaged, cut short, none of the formats in :data:`fau_utils.data.safe.FORMATS`, or larger than allowed.
    OSError
        When the file cannot be read.
    """
    if not isinstance(data, bytes):
        path = Path(data)
        if path.stat().st_size > max_bytes:
            raise UnreadableImage(f"{path.stat().st_size:,} bytes, at most {max_bytes:,} are read")
        data = path.read_bytes()
    fast = _simplejpeg() if data[:3] == _JPEG else None
    if fast is not None and len(data) <= max_bytes:
        try:
            height, width, *_ = fast.decode_jpeg_header(data)
            if height * width <= max_pixels:
                return fast.decode_jpeg(data, "RGB", min_height=at_least, min_width=at_least, min_factor=1)
        except ValueError:
            pass  # Pillow knows more kinds of JPEG (CMYK, odd subsampling) and says what is wrong with the others
    return picture(data, max_pixels=max_pixels, max_bytes=max_bytes)


def decode_into(out: np.ndarray, data: bytes, *, max_pixels: int = MAX_PIXELS) -> None:
    """Decode an image into a square of pixels, (S, S, 3) uint8 in one piece, as :func:`fit` would make it.

    Raises
    ------
    UnreadableImage
    """
    size, fast = len(out), _simplejpeg() if data[:3] == _JPEG else None
    if fast is not None:
        try:
            if fast.decode_jpeg_header(data)[:2] == (size, size):
                fast.decode_jpeg(data, "RGB", buffer=out)
                return
        except ValueError:
            pass  # as above
    out[:] = fit(decode(data, at_least=size, max_pixels=max_pixels), size=size)


def fit(image: np.ndarray, *, size: int) -> np.ndarray:
    """A picture as a square of `size` px, (size, size, 3): as it is, or made smaller or larger between black bars."""
    if image.shape[:2] == (size, size):
        return image
    from fau_utils.data import crops

    height, width = image.shape[:2]
    return crops.warp(image, crops.whole(width, height, size=size), size=size, filter="bicubic")


def encode(image: np.ndarray, *, quality: int = 95) -> bytes:
    """A picture, (H, W, 3) uint8 RGB, as JPEG with full colour resolution; the same bytes every time."""
    image = np.ascontiguousarray(image)
    if _simplejpeg() is not None:
        return _simplejpeg().encode_jpeg(image, quality=quality, colorspace="RGB", colorsubsampling="444")
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(image).save(written, "JPEG", quality=quality, subsampling=0)
    return written.getvalue()
