"""A video file with a place in it, and the proof that a jump ends where it should."""

import logging
import os
import sys
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fau_utils.data.tree import DatasetError

log = logging.getLogger(__name__)

SEEK_WORTH = 48  # frames; below it, decoding on costs less than opening and indexing the file a second time
SLACK = 2  # frames a header may promise in excess: encoders count a dropped or a flushed frame
SMALLEST = {"mjpeg": 1, "ffv1": 1, "rawvideo": 1, "png": 1, "h264": 1, "hevc": 1, "mpeg4": 16}
# codecs with one frame in each packet, so that packets can be counted instead of decoded; MPEG-4 has packets of a few
# bytes that say "no new frame" (DivX and XviD files are full of them), and others have hidden frames
SHORT = 1.0  # seconds, for containers that state no number of frames; sound may well last longer than the picture


def library():
    """PyAV, imported when a video is opened: machines that only train do not have it."""
    try:
        import av
    except ImportError as error:
        raise ImportError("reading videos needs PyAV: pip install av") from error
    return av


class Decoder:
    """A video file with a place in it: `position` is the index of the frame that comes next."""

    def __init__(self, path: str | os.PathLike, *, threads: int = 1):
        self.path = Path(path)
        self.threads = threads
        self.container = None
        self._table: Packets | None = None
        self._may_seek = True
        self._restart()

    def __enter__(self) -> "Decoder":
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
        """Frame `index`, which is not behind the present position."""
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
        self.container, self.stream = open_video(self.path, threads=self.threads)
        self._decoded = self._decode()
        self.position = 0
        self._shown_until = 0.0
        self._proven: Packets | None = None  # after a seek: the time stamps that frames have to have

    def _decode(self) -> Iterator:
        for fed, packet in enumerate(self.container.demux(self.stream)):
            at_end = packet.dts is None and packet.size == 0
            lost = self.stream.frames - fed if at_end and self._proven is None else 0
            # Decoders paint over what is missing and say nothing. They also keep frames back, to show them after
            # others that come later in the file: when those never come, the kept ones are shown in their place.
            if packet.is_corrupt or lost > SLACK:
                raise self._damage("a frame that is cut short" if packet.is_corrupt else f"the last {lost} missing")
            if packet.size or at_end:  # an empty packet is a dropped frame; to a decoder it would mean the end
                yield from packet.decode()

    def _next(self):
        av = library()
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
        av = library()
        if self._table is None:
            self._table = packets(self.path)
        key = self._table.key_before(index)
        if key is None or key - self.position <= SEEK_WORTH // 2:
            return
        stamp = self._table.at(key)
        try:
            self.container.seek(stamp, stream=self.stream, backward=True, any_frame=False)
            self._proven = self._table  # complete, or there would be no key frame to go to
            self._decoded = self._decode()
            # what comes before the key frame refers to frames that were jumped over, or was shown long ago
            frame = next((f for f in self._decoded if f.pts is not None and f.pts >= stamp), None)
        except (av.FFmpegError, DatasetError):
            frame = None
        if frame is None or frame.pts != stamp or frame.is_corrupt:
            self._return_to(self.position)
            return
        self._decoded = _put_back(frame, self._decoded)
        self.position = key

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
            log.warning(
                "%s: the header promises %d frames, %d were decoded; if frames were lost and not only counted wrongly, "
                "labels behind the place are off by as many",
                self.path, stated, self.position,
            )  # fmt: skip

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


def open_video(path: Path, *, threads: int):
    av = library()
    if not path.is_file():
        raise DatasetError(path, expected="a video file", found="no file of this name", hint="see whether it was moved")
    sys.audit("fau.pictures", str(path))  # it opens files where Python does not hear of it, see kernel/watch.py
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
class Packets:
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


def packets(path: Path) -> Packets:
    """Read a file's packets without decoding them."""
    av = library()
    container, stream = open_video(path, threads=1)
    stamps, keys = [], []
    smallest = SMALLEST.get(stream.codec_context.name)
    if smallest is None:
        container.close()
        return Packets()
    stated = stream.frames  # asked while the file is open: a closed one answers with whatever lies in its memory
    with container, suppress(av.FFmpegError):  # a broken end: what came before it is still well numbered
        for packet in container.demux(stream):
            if packet.dts is None and packet.size == 0:
                continue  # the flush at the end
            if packet.pts is None or packet.size < smallest or packet.is_discard or packet.is_corrupt:
                return Packets()
            stamps.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    order = sorted(stamps)
    if not keys or len(set(stamps)) != len(stamps) or not stamps[0] == keys[0] == order[0]:
        return Packets()
    if not _complete(order, stated):
        return Packets()
    return Packets(tuple(order), tuple(bisect_left(order, key) for key in sorted(keys)))


def _complete(stamps: list[int], stated: int) -> bool:
    """Whether no packet was lost on the way, by the header's count or, without one, by even steps in time."""
    if stated:
        return len(stamps) == stated
    steps = [after - before for before, after in pairwise(stamps)]
    return not steps or max(steps) <= 1.5 * min(steps)
