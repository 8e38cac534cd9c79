"""Frames of a video file: exact, streaming, in constant memory.

A frame's index is its place in the order in which the decoder shows frames, from 0. That is the order of the
cv2 and ffmpeg counters behind every published frame list, and it does not depend on time stamps, which old
AVI files lack or repeat. Seeking is only a shortcut: it is used when the packets' time stamps allow a proof of
where it lands, and the way from the start is taken when they do not.
"""

import logging
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from fau_utils.data.tree import DatasetError

log = logging.getLogger(__name__)

SEEK_WORTH = 48  # frames; below it, decoding on costs less than opening and indexing the file a second time
SLACK = 2  # frames a header may promise in excess: encoders count a dropped or a flushed frame
SMALLEST = {"mjpeg": 1, "ffv1": 1, "rawvideo": 1, "png": 1, "h264": 1, "hevc": 1, "mpeg4": 16}
# codecs with one frame in each packet, so that packets can be counted instead of decoded; MPEG-4 has packets of a few
# bytes that say "no new frame" (DivX and XviD files are full of them), and others have hidden frames
SHORT = 1.0  # seconds, for containers that state no number of frames; sound may well last longer than the picture


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
    decoder = _Decoder(path)
    with decoder:
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
    with _Decoder(path, threads=threads) as decoder:
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
        End at a damaged place with a warning in the log instead of raising. Frames behind the damage are never
        given, because nobody can tell their numbers.

    Raises
    ------
    DatasetError
        No such file, not a video, a damaged frame, or fewer frames than the header promises (truncation). Frames
        before the damage have been given by then.
    """
    if start < 0 or step < 1:
        raise ValueError(f"expected start >= 0 and step >= 1, found start={start}, step={step}")
    with _Decoder(path, threads=threads) as decoder:
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
    with _Decoder(path, threads=threads) as decoder:
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
    av = _av()
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


def _av():
    try:
        import av
    except ImportError as error:
        raise ImportError("reading videos needs PyAV: pip install av") from error
    av.logging.set_level(None)  # what ffmpeg mutters about damage comes back as an error with the file's name
    return av


class _Decoder:
    """A video file with a place in it: `position` is the index of the frame that comes next."""

    def __init__(self, path: str | os.PathLike, *, threads: int = 1):
        self.path = Path(path)
        self.threads = threads
        self.container = None
        self._table: _Packets | None = None
        self._may_seek = True
        self._restart()

    def __enter__(self) -> "_Decoder":
        return self

    def __exit__(self, *_) -> None:
        self.container.close()

    def all(self, *, partial: bool) -> Iterator:
        """Every frame from the present position on, with the checks at the end."""
        try:
            while True:
                try:
                    frame = self._next()
                except _Mislanded:
                    self._return_to(self.position)
                    continue
                if frame is None:
                    self._check_end()
                    return
                yield frame
        except DatasetError as damage:
            if not partial:
                raise
            log.warning("%s; going on with the %d frames before that", damage, self.position)

    def frame(self, index: int):
        self.advance(index)
        try:
            frame = self._next()
        except _Mislanded:
            self._return_to(index)
            frame = self._next()
        if frame is None:
            self._check_end()
            raise DatasetError(
                self.path,
                expected=f"a frame with the index {index} (counted from 0)",
                found=f"{self.position} frames in the video",
                hint="see whether labels and video belong together and count from the same base",
            )
        return frame

    def advance(self, index: int) -> None:
        """Stand before frame `index`, or at the end of a shorter video."""
        if self._may_seek and index - self.position > SEEK_WORTH:
            self._seek(index)
        try:
            while self.position < index and self._next() is not None:
                pass
        except _Mislanded:
            self._return_to(index)

    def _return_to(self, index: int) -> None:
        log.debug("%s: a seek is not exact in this file; decoding from its start", self.path)
        self._may_seek = False
        self._restart()
        while self.position < index and self._next() is not None:
            pass

    def _restart(self) -> None:
        if self.container is not None:
            self.container.close()
        self.container, self.stream = _open(self.path, threads=self.threads)
        self._decoded = self.container.decode(self.stream)
        self.position = 0
        self._shown_until = 0.0
        self._proven: _Packets | None = None  # after a seek: the time stamps that frames have to have

    def _next(self):
        av = _av()
        try:
            frame = next(self._decoded, None)
        except av.FFmpegError as error:
            raise self._damage(error.strerror or str(error)) from error
        if frame is None:
            return None
        if self._proven is not None and self._proven.at(self.position) != frame.pts:
            raise _Mislanded
        if frame.is_corrupt:
            raise self._damage("a frame with missing data")
        self.position += 1
        self._shown_until = frame.time or 0.0
        return frame

    def _seek(self, index: int) -> None:
        av = _av()
        if self._table is None:
            self._table = _packets(self.path)
        key = self._table.key_before(index)
        if key is None or key - self.position <= SEEK_WORTH // 2:
            return
        stamp = self._table.at(key)
        try:
            self.container.seek(stamp, stream=self.stream, backward=True, any_frame=False)
            self._decoded = self.container.decode(self.stream)
            # what comes before the key frame refers to frames that were jumped over, or was shown long ago
            frame = next((f for f in self._decoded if f.pts is not None and f.pts >= stamp), None)
        except av.FFmpegError:
            frame = None
        if frame is None or frame.pts != stamp or frame.is_corrupt:
            self._return_to(self.position)
            return
        self._decoded = _put_back(frame, self._decoded)
        self.position, self._proven = key, self._table

    def _check_end(self) -> None:
        stated = self.stream.frames
        if self.position == 0:
            raise self._damage("the end of the file")
        length = self.container.duration
        if not stated and length and length / 1e6 - self._shown_until > SHORT:
            raise DatasetError(
                self.path,
                expected=f"a video of {length / 1e6:.1f} s, as its header says",
                found=f"{self.position} frames, the last at {self._shown_until:.1f} s",
                hint="the file is truncated or damaged: copy or extract it again",
            )
        if stated and stated - self.position > SLACK:
            raise DatasetError(
                self.path,
                expected=f"the {stated} frames that its header promises",
                found=f"{self.position}",
                hint="the file is truncated or damaged: copy or extract it again",
            )
        if stated and stated != self.position:
            log.warning("%s: the header promises %d frames, %d were decoded", self.path, stated, self.position)

    def _damage(self, found: str) -> DatasetError:
        return DatasetError(
            self.path,
            expected=f"frame {self.position} (counted from 0) or a clean end",
            found=found,
            hint="the video is truncated or damaged: copy or extract it again",
        )


class _Mislanded(Exception):
    """A seek did not lead to the frame that the packets' time stamps promise."""


def _put_back(frame, rest: Iterator) -> Iterator:
    yield frame
    yield from rest


def _open(path: Path, *, threads: int):
    av = _av()
    if not path.is_file():
        raise DatasetError(path, expected="a video file", found="no file of this name", hint="see whether it was moved")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise DatasetError(
            path,
            expected="a video",
            found=f"{path.stat().st_size} bytes that do not open as one ({error.strerror})",
            hint="the file is truncated or not a video: copy or extract it again",
        ) from error
    if not container.streams.video:
        container.close()
        raise DatasetError(
            path,
            expected="a video stream",
            found="none",
            hint="the file is truncated, or a sound file: copy or extract it again",
        )
    stream = container.streams.video[0]
    stream.codec_context.thread_count = threads
    return container, stream


@dataclass(frozen=True)
class _Packets:
    """Time stamps of a video's frames in the order of showing, and the positions of key frames.

    Both are empty where packets do not say with certainty which frame they hold.
    """

    stamps: tuple[int, ...] = ()
    keys: tuple[int, ...] = ()

    def at(self, position: int) -> int | None:
        return self.stamps[position] if position < len(self.stamps) else None

    def key_before(self, position: int) -> int | None:
        if position >= len(self.stamps):
            return None
        place = bisect_left(self.keys, position + 1) - 1
        return self.keys[place] if place >= 0 else None


def _packets(path: Path) -> _Packets:
    """Read a file's packets without decoding them."""
    av = _av()
    container, stream = _open(path, threads=1)
    stamps, keys = [], []
    smallest = SMALLEST.get(stream.codec_context.name)
    if smallest is None:
        container.close()
        return _Packets()
    with container, suppress(av.FFmpegError):  # a broken end: what came before it is still well numbered
        for packet in container.demux(stream):
            if packet.dts is None and packet.size == 0:
                continue  # the flush at the end
            if packet.pts is None or packet.size < smallest or packet.is_discard or packet.is_corrupt:
                return _Packets()
            stamps.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    order = sorted(stamps)
    if not keys or len(set(stamps)) != len(stamps) or not stamps[0] == keys[0] == order[0]:
        return _Packets()
    return _Packets(tuple(order), tuple(bisect_left(order, key) for key in sorted(keys)))
