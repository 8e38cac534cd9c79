"""Frames carry their number in their pixels, in blocks large enough to survive every codec."""

import gc
import logging
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from fau_utils.data import decoder, video  # noqa: E402
from fau_utils.data.tree import DatasetError  # noqa: E402

BITS, BLOCK = 10, 16
LENGTH = 330
KINDS = {
    "mjpeg.avi": ("mjpeg", {}),
    "mpeg4.avi": ("mpeg4", {}),
    "bframes.avi": ("mpeg4", {"bf": "2", "g": "24"}),
    "bframes.mp4": ("libx264", {"bf": "3", "g": "50", "preset": "ultrafast"}),
    "opengop.mp4": ("libx264", {"x264-params": "open-gop=1:keyint=40:bframes=3", "preset": "veryfast"}),
    "onekey.mp4": ("libx264", {"g": "1000", "preset": "ultrafast"}),
    "lossless.mkv": ("ffv1", {}),
}


def numbered(count, *, size=1):
    for i in range(count):
        image = np.full((2 * BLOCK * size, BITS // 2 * BLOCK * size, 3), 40, "uint8")
        for bit in range(BITS):
            row, column = divmod(bit, BITS // 2)
            if i >> bit & 1:
                side = BLOCK * size
                image[row * side : (row + 1) * side, column * side : (column + 1) * side] = 215
        yield image


def number_in(image):
    side = image.shape[0] // 2
    blocks = [image[r * side : (r + 1) * side, c * side : (c + 1) * side] for r in range(2) for c in range(BITS // 2)]
    return sum(1 << bit for bit, block in enumerate(blocks) if block[4:-4, 4:-4].mean() > 128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name, (codec, options) in KINDS.items():
        assert video.write(folder / name, numbered(LENGTH), fps=25, codec=codec, options=options) == LENGTH
    return folder


@pytest.fixture(params=KINDS)
def path(folder, request):
    return folder / request.param


def test_frames_come_in_order_and_complete(path):
    assert [number_in(image) for image in video.frames(path)] == list(range(LENGTH))
    assert video.count(path) == LENGTH


def test_random_access_gives_the_bytes_of_sequential_decoding(path):
    sequence = np.stack(list(video.frames(path)))
    wanted = [0, 3, 99, 100, 101, 228, 229, 300, LENGTH - 1]
    assert np.array_equal(video.read(path, wanted), sequence[wanted])
    for index in (0, 149, 201, LENGTH - 1):  # each from a file just opened
        assert np.array_equal(video.read(path, [index]), sequence[[index]])


def test_a_range_starts_and_ends_where_it_says(path):
    assert [number_in(f) for f in video.frames(path, start=203, stop=212, step=4)] == [203, 207, 211]
    assert [number_in(f) for f in video.frames(path, start=LENGTH - 2)] == [LENGTH - 2, LENGTH - 1]
    assert list(video.frames(path, start=5, stop=5)) == []


def test_asking_for_the_time_of_a_frame_is_not_asking_for_its_number(folder):
    """The naive way: seek to index / fps and take what comes. It lands on a key frame, not on the frame."""
    with av.open(str(folder / "bframes.mp4")) as container:
        stream = container.streams.video[0]
        container.seek(int(201 / 25 / stream.time_base), stream=stream)
        naive = next(container.decode(stream)).to_ndarray(format="rgb24")
    assert number_in(naive) != 201
    assert number_in(video.read(folder / "bframes.mp4", [201])[0]) == 201


def test_seeking_saves_decoding_where_it_is_exact(folder, monkeypatch):
    decoded = []
    following = decoder.Decoder._next
    monkeypatch.setattr(decoder.Decoder, "_next", lambda self: decoded.append(1) or following(self))
    assert number_in(video.read(folder / "bframes.mp4", [310])[0]) == 310
    assert len(decoded) <= 50
    decoded.clear()
    assert number_in(video.read(folder / "opengop.mp4", [310])[0]) == 310  # frames that lead a key frame are left out
    assert len(decoded) <= 50
    decoded.clear()
    assert number_in(video.read(folder / "onekey.mp4", [310])[0]) == 310  # one key frame: nothing to jump to
    assert len(decoded) == 311


class OpenOnly:
    """A container and its stream that may be asked only while the file is open; PyAV reads freed memory after that."""

    def __init__(self, container, stream):
        self._container, self._stream, self._open = container, stream, True

    def __getattr__(self, name):
        assert self._open, f"{name} was asked after the file was closed"
        return getattr(self._stream, name)

    def demux(self, stream):
        return self._container.demux(self._stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._container.close()
        self._open = False


def test_a_closed_file_is_not_asked_for_its_number_of_frames(folder, monkeypatch):
    opened = decoder.open_video
    monkeypatch.setattr(decoder, "open_video", lambda *args, **kw: (OpenOnly(*opened(*args, **kw)),) * 2)
    assert len(decoder.packets(folder / "bframes.mp4").stamps) == LENGTH


def test_a_seek_that_loses_a_frame_is_noticed_and_undone(folder, monkeypatch):
    def losing(frame, rest):
        next(rest)
        yield frame
        yield from rest

    monkeypatch.setattr(decoder, "_put_back", losing)
    assert [number_in(f) for f in video.read(folder / "bframes.mp4", [5, 201, 310])] == [5, 201, 310]
    assert [number_in(f) for f in video.frames(folder / "bframes.mp4", start=205, stop=208)] == [205, 206, 207]


@pytest.mark.parametrize("empty", [False, True])
def test_packets_that_hold_no_frame_are_not_counted(folder, tmp_path, empty):
    """DivX and XviD mark a repeated frame by a packet of a few bytes or none, for which decoders give nothing.

    The naive index, one frame per packet, is off by one behind each of them.
    """
    path = tmp_path / "divx.avi"
    nothing_new = (
        b""
        if empty
        else bytes.fromhex("000001b6") + int("01" + "0" + "1" + "00000" + "1" + "0" + "01111", 2).to_bytes(2)
    )
    with av.open(str(folder / "mpeg4.avi")) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for place, packet in enumerate(p for p in source.demux(video=0) if p.size):
            written = av.Packet(nothing_new) if place in (50, 90) else packet
            written.pts, written.dts, written.time_base = packet.pts, packet.dts, packet.time_base
            written.stream = stream
            copy.mux(written)
    sequence = np.stack(list(video.frames(path)))
    assert len(sequence) == LENGTH - 2
    assert np.array_equal(video.read(path, [10, 200, 300]), sequence[[10, 200, 300]])


def test_packets_without_time_stamps_mean_no_seek(folder, monkeypatch):
    monkeypatch.setattr(decoder, "packets", lambda path: decoder.Packets())
    assert number_in(video.read(folder / "mjpeg.avi", [310])[0]) == 310


def test_read_keeps_the_order_asked_for_and_repeats(folder):
    images = video.read(folder / "mjpeg.avi", [7, 2, 7, 150])
    assert [number_in(image) for image in images] == [7, 2, 7, 150]
    assert video.read(folder / "mjpeg.avi", []).shape == (0, 2 * BLOCK, 5 * BLOCK, 3)


def test_pick_streams_pairs_and_refuses_to_go_back(folder):
    pairs = video.pick(folder / "mjpeg.avi", iter([4, 9]))
    assert [(index, number_in(image)) for index, image in pairs] == [(4, 4), (9, 9)]
    with pytest.raises(ValueError, match="rising"):
        list(video.pick(folder / "mjpeg.avi", [4, 4]))
    with pytest.raises(ValueError, match="from 0"):
        video.read(folder / "mjpeg.avi", [-1])


def test_an_index_behind_the_end_is_an_error_not_the_last_frame(path):
    with pytest.raises(DatasetError, match=rf"index {LENGTH} .*found {LENGTH} frames"):
        video.read(path, [LENGTH])


def test_the_header_is_told_without_decoding(folder):
    header = video.info(folder / "bframes.mp4")
    assert (header.fps, header.width, header.height, header.stated, header.codec) == (
        Fraction(25), 5 * BLOCK, 2 * BLOCK, LENGTH, "h264",
    )  # fmt: skip
    assert video.info(folder / "lossless.mkv").stated is None


def cut(path, share, out):
    out.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return out


@pytest.mark.parametrize("name", ["mjpeg.avi", "mpeg4.avi", "bframes.avi", "lossless.mkv"])
@pytest.mark.parametrize("share", [0.34, 0.42, 0.5, 0.56])
def test_a_truncated_video_is_an_error_after_its_good_frames(folder, tmp_path, name, share):
    path = cut(folder / name, share, tmp_path / name)
    given = []
    with pytest.raises(DatasetError, match="truncated") as error:
        given.extend(video.frames(path))
    assert error.value.file == path
    assert 20 < len(given) < 250
    whole = video.frames(folder / name)
    assert all(np.array_equal(image, next(whole)) for image in given)  # the last one too: nothing painted over


def test_a_truncated_video_can_be_read_as_far_as_it_goes(folder, tmp_path, caplog):
    path = cut(folder / "mpeg4.avi", 0.5, tmp_path / "half.avi")
    with caplog.at_level(logging.WARNING):
        given = [number_in(image) for image in video.frames(path, partial=True)]
    assert given == list(range(len(given)))
    assert "half.avi" in caplog.text
    assert video.count(path, partial=True) == len(given)


def test_a_video_whose_index_is_cut_off_says_so(folder, tmp_path):
    with pytest.raises(DatasetError, match="truncated or not a video"):
        video.count(cut(folder / "bframes.mp4", 0.9, tmp_path / "cut.mp4"))


@pytest.mark.parametrize(("content", "message"), [(b"", "0 bytes"), (b"AU1,AU2\n0,1\n" * 50, "not a video")])
def test_what_is_not_a_video_is_named(tmp_path, content, message):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        video.info(tmp_path / "a.mp4")
    assert error.value.file == tmp_path / "a.mp4"
    assert "Errno" not in str(error.value)


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(DatasetError, match="no file of this name"):
        list(video.frames(tmp_path / "none.avi"))


def test_sound_without_picture_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), "int16"), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(DatasetError, match="video stream"):
        video.info(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["mjpeg.avi", "mpeg4.avi"])
def test_damage_in_the_middle_is_not_passed_over(folder, tmp_path, name):
    """Behind a lost frame nobody knows the numbers any more, so that nothing behind it is given a wrong one."""
    raw = bytearray((folder / name).read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 4000] = bytes(4000)
    path = tmp_path / name
    path.write_bytes(raw)
    given = [number_in(image) for image in video.frames(path, partial=True)]
    assert given == list(range(len(given)))
    assert len(given) < LENGTH
    with pytest.raises(DatasetError):
        video.count(path)
    with pytest.raises(DatasetError):
        video.read(path, [300])


def test_where_the_container_keeps_a_table_frames_behind_damage_keep_their_number(folder, tmp_path):
    raw = bytearray((folder / "bframes.mp4").read_bytes())
    raw[len(raw) // 4 : len(raw) // 4 + 500] = bytes(500)
    path = tmp_path / "hole.mp4"
    path.write_bytes(raw)
    with pytest.raises(DatasetError):
        video.count(path)
    assert number_in(video.read(path, [310])[0]) == 310


def test_a_half_written_video_never_bears_its_name(tmp_path):
    def failing():
        yield from numbered(5)
        raise RuntimeError("renderer stopped")

    with pytest.raises(RuntimeError):
        video.write(tmp_path / "a.avi", failing())
    with pytest.raises(ValueError, match="at least one image"):
        video.write(tmp_path / "b.avi", [])
    with pytest.raises(ValueError, match="expected images"):
        video.write(tmp_path / "c.avi", [np.zeros((32, 32, 3), "uint8"), np.zeros((34, 32, 3), "uint8")])
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_length(tmp_path):
    """600 frames of 480 x 192 px are 166 MB of pixels; the decoder may hold a few frames of them."""
    path = tmp_path / "long.avi"
    video.write(path, numbered(600, size=6), codec="mjpeg")
    code = (
        "import resource, sys\n"
        "from fau_utils.data import video\n"
        "images = video.frames(sys.argv[1])\n"
        "for _ in range(20): next(images)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rest = sum(1 for _ in images)\n"
        "kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "sys.exit(f'{rest} {kept}')\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    rest, kept = map(int, result.stderr.split())
    assert rest == 580
    assert kept < 15_000, f"{kept} KiB grew while decoding"


def test_files_are_closed_when_reading_stops_early(folder):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("counts descriptors through /proc")
    gc.collect()
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        images = video.frames(folder / "mjpeg.avi")
        next(images)
        images.close()
        with pytest.raises(DatasetError):
            video.read(folder / "mjpeg.avi", [LENGTH])
    gc.collect()
    assert len(list(descriptors.iterdir())) <= before
