"""Frames of a video file: exact, streaming, in constant memory.

A frame's index is its place in the order in which the decoder shows frames, from 0. That is the order of the
cv2 and ffmpeg counters behind every published frame list, and it does not depend on time stamps, which old
AVI files lack or repeat. Seeking is only a shortcut: it is used when the packets' time stamps allow a proof of
where it lands, and the way from the start is taken when they do not.

Damage is noticed where the container or the codec notices it. Most codecs carry no checksums: a few changed bytes
inside a frame may show as a smear in the picture, and that is for the eye to find.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from fau_utils.data.decoder import Decoder, library


@dataclass(frozen=True)
class VideoInfo:
    """What the header of a video says, without decoding.

    Attributes
    ----------
    fps : Fraction or None
        Average frames per second.
    width, height : int
        Pixels.
    stated : int or None
        Number of frames promised by the header; :func:`count` gives the number that is there.
    codec : str
    """

    fps: Fraction | None
    width: int
    height: int
    stated: int | None
    codec: str


def info(path: str | os.PathLike) -> VideoInfo:
    """The header of a video.

    Raises
    ------
    DatasetError
        No such file, not a video, or no picture in it.
    """
    with Decoder(path) as decoder:
        stream = decoder.stream
        return VideoInfo(
            fps=stream.average_rate,
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            stated=stream.frames or None,
            codec=stream.codec_context.name,
        )


def count(path: str | os.PathLike, *, threads: int = 1, partial: bool = False) -> int:
    """Number of frames that can be decoded; every one of them is decoded to know.

    Parameters
    ----------
    path : path-like
    threads : int
        Threads of the decoder.
    partial : bool
        Count up to the damage instead of raising.

    Raises
    ------
    DatasetError
        As :func:`frames`.
    """
    with Decoder(path, threads=threads) as decoder:
        return sum(1 for _ in decoder.all(partial=partial))


def frames(
    path: str | os.PathLike,
    *,
    start: int = 0,
    stop: int | None = None,
    step: int = 1,
    threads: int = 1,
    partial: bool = False,
) -> Iterator[np.ndarray]:
    """Frames of a video one after another, (H, W, 3) uint8 RGB.

    One frame is in memory at a time, however long the video is.

    Parameters
    ----------
    path : path-like
    start, stop, step : int
        As in ``range``; `start` is reached by a seek when that is exact and cheaper.
    threads : int
        Threads of the decoder. One by default: clips are decoded in parallel, not frames.
    partial : bool
        End where damage is noticed, with a warning in the log instead of an error. Frames behind that place are not
        given, because nobody can tell their numbers.

    Raises
    ------
    DatasetError
        No such file, not a video, a damaged frame, or fewer frames than the header promises (truncation). Frames
        before the damage have been given by then.
    """
    if start < 0 or step < 1:
        raise ValueError(f"expected start >= 0 and step >= 1, found start={start}, step={step}")
    with Decoder(path, threads=threads) as decoder:
        if start:
            decoder.advance(start)
        remaining = decoder.all(partial=partial)
        span = None if stop is None else max(stop - start, 0)
        for frame in islice(remaining, 0, span, step):
            yield frame.to_ndarray(format="rgb24")


def pick(path: str | os.PathLike, indices: Iterable[int], *, threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Some frames in rising order, as pairs of index and (H, W, 3) uint8 RGB; streaming.

    Raises
    ------
    DatasetError
        As :func:`frames`, and when the video ends before an index.
    ValueError
        When the indices are not rising.
    """
    with Decoder(path, threads=threads) as decoder:
        previous = -1
        for index in indices:
            if index <= previous:
                raise ValueError(
                    f"expected rising indices from 0, found {index} after {previous}; sort them, or read()"
                )
            yield index, decoder.frame(index).to_ndarray(format="rgb24")
            previous = index


def read(path: str | os.PathLike, indices: Sequence[int], *, threads: int = 1) -> np.ndarray:
    """Some frames in the order asked for, repeats allowed, (N, H, W, 3) uint8 RGB; all N are in memory.

    Raises
    ------
    DatasetError
        As :func:`pick`.
    """
    wanted = np.asarray(indices, "int64").reshape(-1)
    distinct, place = np.unique(wanted, return_inverse=True)
    if not len(distinct):
        header = info(path)
        return np.empty((0, header.height, header.width, 3), "uint8")
    if distinct[0] < 0:
        raise ValueError(f"expected indices from 0, found {distinct[0]}")
    pictures = np.stack([picture for _, picture in pick(path, distinct.tolist(), threads=threads)])
    return pictures if np.array_equal(distinct, wanted) else pictures[place]


def write(
    path: str | os.PathLike,
    images: Iterable[np.ndarray],
    *,
    fps: int | Fraction = 25,
    codec: str = "mjpeg",
    options: dict[str, str] | None = None,
) -> int:
    """Write a video; the container follows from the file name. Returns the number of frames.

    Parameters
    ----------
    path : path-like
        Ends in .avi, .mp4 or another container's suffix. A half-written file never bears this name.
    images : iterable of ndarray, (H, W, 3) uint8 RGB
        Any length; one is in memory at a time. H and W are even for codecs with halved colour.
    fps : int or Fraction
    codec : str
        ``mjpeg``, ``mpeg4``, ``ffv1`` (lossless), ``libx264``, ...
    options : dict, optional
        The encoder's own, e.g. ``{"bf": "2", "g": "12"}``.

    Raises
    ------
    ValueError
        No image, or images of different shapes.
    """
    av = library()
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    written, shape = 0, None
    try:
        with av.open(str(temporary), "w") as container:
            stream = None
            for image in images:
                image = np.ascontiguousarray(image)
                if stream is None:
                    shape = image.shape
                    stream = _output_stream(container, codec, fps=fps, shape=shape, options=options)
                if image.shape != shape or image.dtype != np.uint8:
                    raise ValueError(f"expected images {shape} uint8, found {image.shape} {image.dtype} at {written}")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
                written += 1
            if stream is None:
                raise ValueError(f"{path}: expected at least one image, found none")
            container.mux(stream.encode(None))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _output_stream(container, codec: str, *, fps, shape: tuple[int, ...], options):
    stream = container.add_stream(codec, rate=fps, options=options or {})
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = {"mjpeg": "yuvj420p", "ffv1": "bgr0"}.get(codec, "yuv420p")
    stream.codec_context.thread_count = 1  # the same bytes on every machine
    if codec in ("mjpeg", "mpeg4"):
        stream.codec_context.qmin = stream.codec_context.qmax = 2  # near the best these codecs can do
    return stream
