import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fau_utils.data import decode
from fau_utils.data.safe import UnreadableImage


def picture(height=48, width=64, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def packed(image, kind="JPEG", **options):
    written = io.BytesIO()
    Image.fromarray(image).save(written, kind, **options)
    return written.getvalue()


@pytest.fixture(params=["simplejpeg", "Pillow"])
def library(request, monkeypatch):
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(decode, "_simplejpeg", lambda: None)
    assert decode.decoder().startswith(request.param)
    return request.param


def test_jpeg_comes_out_as_pillow_decodes_it(library, tmp_path):
    data = packed(picture(), quality=90)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode.decode(data).astype(int) - theirs).max() <= 2
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.array_equal(decode.decode(tmp_path / "a.jpg"), decode.decode(data))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpeg_become_rgb(library, mode):
    written = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(written, "JPEG", quality=95)
    assert decode.decode(written.getvalue()).shape == (48, 64, 3)


def test_png_is_exact(library):
    assert np.array_equal(decode.decode(packed(picture(), "PNG")), picture())


def test_encoding_is_repeatable_and_near(library):
    data = decode.encode(picture(), quality=95)
    assert data == decode.encode(picture(), quality=95)
    assert np.abs(decode.decode(data).astype(int) - picture()).max() <= 12


def test_decoding_smaller_never_goes_below_the_side_asked_for():
    pytest.importorskip("simplejpeg")
    data = packed(picture(480, 640))
    small = decode.decode(data, at_least=100)
    assert small.shape[0] >= 100
    assert small.shape[0] < 480
    assert decode.decode(data).shape == (480, 640, 3)


@pytest.mark.parametrize("size", [48, 32, 100])
def test_decoding_into_a_batch_is_decoding_and_fitting(library, size):
    for image in (picture(), picture(48, 48)):
        data = packed(image)
        out = np.full((size, size, 3), 7, "uint8")
        decode.decode_into(out, data)
        assert np.array_equal(out, decode.fit(decode.decode(data, at_least=size), size=size))


@pytest.mark.parametrize("cut", [4, 100, -40])
def test_a_file_that_is_cut_is_refused(library, cut):
    with pytest.raises(UnreadableImage):
        decode.decode(packed(picture())[:cut])


def test_what_is_no_image_is_refused(library):
    for data in (b"", b"\xff\xd8\xff", b"<html>not found</html>"):
        with pytest.raises(UnreadableImage):
            decode.decode(data)


def bomb_png(side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


def bomb_jpeg(side):
    data = bytearray(packed(picture()))
    at = data.index(b"\xff\xc0")  # the frame header states the size
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("bomb", [bomb_png, bomb_jpeg])
@pytest.mark.parametrize("side", [9_000, 60_000])  # above our limit, and above the one at which Pillow itself raises
def test_an_image_bomb_is_refused_by_its_header(library, bomb, side):
    with pytest.raises(UnreadableImage, match=r"at most 64,000,000|decompression bomb"):
        decode.decode(bomb(side))


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(library, tmp_path):
    (tmp_path / "a.jpg").write_bytes(packed(picture()))
    with pytest.raises(UnreadableImage, match="at most 100 are read"):
        decode.decode(tmp_path / "a.jpg", max_bytes=100)
