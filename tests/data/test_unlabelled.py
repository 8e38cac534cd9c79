"""What cannot be read, or should not, is listed and never hidden; everything else arrives."""

import logging
import struct
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest

from fau_utils.data import safe
from fau_utils.data.layouts import unlabelled as layout
from fau_utils.data.tree import DatasetError
from fau_utils.data.unlabelled import Folder, Lmdb, Shards, expand

pytest.importorskip("lmdb")


def face(number, *, side=24):
    return np.full((side, side, 3), (number * 17) % 256, "uint8")


def items(count=6):
    return [(f"n{i // 2:06d}/{i:04d}_01.jpg", layout.encode(face(i))) for i in range(count)]


def bomb(width=60_000, height=60_000):
    """A PNG of 10.8 gigabytes of pixels in a few bytes on disk."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def a_folder(root, contents):
    layout.folder(root / "tree", contents)
    return Folder(root / "tree", dataset="faces", identity="folder")


def an_lmdb(root, contents):
    layout.lmdb(root / "faces.lmdb", contents)
    return Lmdb(root / "faces.lmdb", dataset="faces", identity="folder")


def tar_shards(root, contents):
    layout.shards(root / "shards", contents, per_shard=4)
    return Shards(root / "shards" / "faces-*.tar", dataset="faces", identity="folder")


SOURCES = {"folder": a_folder, "lmdb": an_lmdb, "shards": tar_shards}


@pytest.fixture(params=SOURCES)
def source_of(request, tmp_path):
    return lambda contents: SOURCES[request.param](tmp_path, contents)


def test_every_source_gives_the_same_faces_and_people(source_of):
    source = source_of(items())
    images = list(source.images())
    assert len(images) == 6
    for number, (_, image) in enumerate(images):
        assert image.shape == (24, 24, 3)
        assert abs(int(image.mean()) - (number * 17) % 256) <= 2
    frames = source.frames()
    assert frames.subjects == ("faces/n000000", "faces/n000001", "faces/n000002")
    assert frames.table["clip"].tolist() == [name for name, _ in images]
    assert source.skipped == []
    assert frames.aus == ()


def test_unreadable_images_are_skipped_listed_and_counted(source_of, caplog):
    good = items(4)
    whole = layout.encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype="uint8"))
    bad = [("n9/cut.jpg", whole[: len(whole) // 2]), ("n9/text.jpg", b"<html>404</html>"), ("n9/none.jpg", b"")]
    source = source_of(sorted(good + bad))
    with caplog.at_level(logging.WARNING):
        assert len(list(source.images())) == 4
    assert sorted(s.name.rsplit("/")[-1].removesuffix(".jpg") for s in source.skipped) == ["cut", "none", "text"]
    assert all(s.reason for s in source.skipped)
    assert "3 images skipped" in caplog.text


def test_image_bombs_are_refused_before_they_unfold(source_of):
    source = source_of([*items(2), ("n9/bomb.png", bomb())])
    tracemalloc.start()
    assert len(list(source.images())) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert "60000 x 60000 pixels" in source.skipped[0].reason or "decompression bomb" in source.skipped[0].reason


def test_the_limit_of_pixels_is_the_readers(tmp_path):
    layout.folder(tmp_path / "tree", [("a.jpg", layout.encode(face(1, side=30))), ("b.jpg", layout.encode(face(1)))])
    source = Folder(tmp_path / "tree", dataset="faces", max_pixels=600)
    assert [name for name, _ in source.images()] == ["b.jpg"]
    assert source.skipped[0].reason == "30 x 30 pixels, at most 600 are decoded"


def test_large_files_are_refused_by_their_size():
    with pytest.raises(safe.UnreadableImage, match="at most 100"):
        safe.picture(layout.encode(face(1)), max_bytes=100)


def test_only_common_picture_formats_are_opened():
    with pytest.raises(safe.UnreadableImage):
        safe.picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")


def test_grey_and_transparent_images_come_as_three_channels(tmp_path):
    from PIL import Image

    for mode in ("L", "RGBA", "P", "CMYK"):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.new(mode, (5, 4)).save(tmp_path / f"{mode}.{suffix}")
    shapes = [image.shape for _, image in Folder(tmp_path, dataset="faces").images()]
    assert shapes == [(4, 5, 3)] * 4


def test_people_are_named_by_folders_only_when_asked(tmp_path):
    layout.folder(tmp_path / "tree", items(4))
    assert len(Folder(tmp_path / "tree", dataset="celeba").frames().subjects) == 4
    assert len(Folder(tmp_path / "tree", dataset="celeba", identity="folder").frames().subjects) == 2
    layout.folder(tmp_path / "flat", [("000001.jpg", layout.encode(face(1)))])
    with pytest.raises(DatasetError, match="identity=None"):
        Folder(tmp_path / "flat", dataset="celeba", identity="folder").frames()


def test_hidden_files_and_other_kinds_are_no_images(tmp_path):
    layout.folder(tmp_path, [*items(1), (".hidden/a.jpg", b"x"), ("._a.jpg", b"x"), ("list.txt", b"x"), ("b.zip", b"")])
    source = Folder(tmp_path, dataset="faces")
    assert len(list(source.images())) == len(source.frames()) == 1
    assert source.skipped == []


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    (tmp_path / "secret.jpg").write_bytes(layout.encode(face(1)))
    layout.folder(tmp_path / "tree", items(1))
    (tmp_path / "tree" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "tree" / "up").symlink_to(tmp_path)
    source = Folder(tmp_path / "tree", dataset="faces")
    assert len(list(source.images())) == len(source.frames()) == 1
    assert [(s.name, s.reason) for s in source.skipped] == [("link.jpg", "a link out of the folder")]


def test_an_empty_source_is_an_error(source_of):
    with pytest.raises(DatasetError, match=r"expected (images|some shards|the folder of a dataset)"):
        source_of([]).frames()


# --- LMDB


def test_lmdb_images_are_found_by_key(tmp_path):
    source = an_lmdb(tmp_path, items())
    key = source.frames().table["key"].iloc[3]
    assert abs(int(source.get(key).mean()) - 51) <= 2
    with pytest.raises(KeyError):
        source.get("n000000/nobody.jpg")


def test_reading_an_lmdb_writes_nothing(tmp_path):
    source = an_lmdb(tmp_path, items())
    (tmp_path / "faces.lmdb" / "lock.mdb").unlink()
    list(source.images())
    assert [p.name for p in (tmp_path / "faces.lmdb").iterdir()] == ["data.mdb"]


def test_lmdb_keys_that_point_out_are_listed(tmp_path):
    source = an_lmdb(tmp_path, [*items(2), ("../../etc/a.jpg", layout.encode(face(1)))])
    assert len(list(source.images())) == len(source.frames()) == 2
    assert [s.name for s in source.skipped] == ["../../etc/a.jpg"]


def test_what_is_not_an_lmdb_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"data\.mdb"):
        Lmdb(tmp_path / "none", dataset="faces").frames()
    assert not (tmp_path / "none").exists()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "data.mdb").write_bytes(b"not an lmdb" * 1000)
    with pytest.raises(DatasetError, match="expected an LMDB"):
        Lmdb(tmp_path / "bad", dataset="faces").frames()


# --- WebDataset


def test_brace_patterns_name_shards_in_order(tmp_path):
    layout.shards(tmp_path, items(), per_shard=2)
    pattern = str(tmp_path / "faces-{000000..000002}.tar")
    assert [p.name for p in expand(pattern)] == [f"faces-{i:06d}.tar" for i in range(3)]
    assert len(list(Shards(pattern, dataset="faces").images())) == 6
    some = Shards(str(tmp_path / "faces-{000002,000000}.tar"), dataset="faces")
    assert [name.split("/")[0] for name, _ in some.images()] == ["faces-000002"] * 2 + ["faces-000000"] * 2


def test_missing_shards_are_named(tmp_path):
    layout.shards(tmp_path, items(), per_shard=2)
    with pytest.raises(DatasetError, match=r"5 shards, found 3, missing faces-000003\.tar, faces-000004\.tar"):
        expand(str(tmp_path / "faces-{000000..000004}.tar"))


@pytest.mark.parametrize("pattern", ["https://example.org/faces-{000..009}.tar", "pipe:curl -s x.tar", "s3://b/a.tar"])
def test_nothing_is_ever_downloaded(pattern):
    with pytest.raises(DatasetError, match="nothing is downloaded"):
        Shards(pattern, dataset="faces")


def test_tar_members_never_escape_their_folder(tmp_path):
    path = tmp_path / "inner" / "faces-000000.tar"
    path.parent.mkdir()
    image = layout.encode(face(1))
    with tarfile.open(path, "w") as archive:
        layout.add(archive, "n1/good.jpg", image)
        for name in ("../up.jpg", "/tmp/absolute.jpg", "n1/../../up.jpg", "n1\\..\\..\\up.jpg", "C:/up.jpg"):
            layout.add(archive, name, image)
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo(f"n1/link{kind.decode()}.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("n1/device.jpg")
        member.type = tarfile.CHRTYPE
        archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    source = Shards(path, dataset="faces")
    assert [name for name, _ in source.images()] == ["faces-000000/n1/good"]
    assert source.frames().table["key"].tolist() == ["n1/good.jpg"]
    assert len(source.skipped) == 8
    assert sorted(tmp_path.rglob("*")) == before


def test_only_the_image_of_a_sample_is_served(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        layout.add(archive, "x/0001.json", b"{}")
        layout.add(archive, "x/0001.seg.png", layout.encode(face(9)))
        layout.add(archive, "x/0001.jpg", layout.encode(face(1)))
        layout.add(archive, "x/0002.cls", b"3")
        layout.add(archive, "x/0003.jpg", layout.encode(face(3)))
        layout.add(archive, "x/0001.jpg", layout.encode(face(5)))
    source = Shards(tmp_path / "a.tar", dataset="faces")
    assert [name for name, _ in source.images()] == ["a/x/0001", "a/x/0003"]
    assert [s.reason for s in source.skipped] == ["a sample of this name came before in the shard"]


def test_the_same_key_in_two_shards_is_two_faces(tmp_path):
    for name in ("a", "b"):
        layout.shards(tmp_path, [("0001.jpg", layout.encode(face(1)))], stem=name)
    frames = Shards(tmp_path / "*.tar", dataset="faces").frames()
    assert frames.table["clip"].tolist() == ["a-000000/0001", "b-000000/0001"]


def test_compressed_shards_are_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        layout.add(archive, "1.jpg", layout.encode(face(1)))
    assert len(list(Shards(tmp_path / "a.tar.gz", dataset="faces").images())) == 1


def test_a_truncated_shard_is_an_error_after_its_images(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype="uint8")
    (path,) = layout.shards(tmp_path, [(f"{i}.jpg", layout.encode(noise)) for i in range(20)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    given = []
    with pytest.raises(DatasetError, match=r"a whole tar archive.*after \d+ images") as error:
        given.extend(name for name, _ in Shards(path, dataset="faces").images())
    assert error.value.file == path
    assert 5 <= len(given) < 15


def test_a_shard_is_streamed(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype="uint8")
    data = layout.encode(noise)
    layout.shards(tmp_path, ((f"{i:03d}.jpg", data) for i in range(100)), per_shard=100)
    source = Shards(tmp_path / "faces-000000.tar", dataset="faces")
    assert sum(1 for _ in source.images()) == 100
    tracemalloc.start()
    for _ in source.images():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * 100 * len(data)


def test_damaged_bytes_in_a_tar_header_are_an_error(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"not a tar archive" * 100)
    with pytest.raises(DatasetError, match="a whole tar archive"):
        list(Shards(tmp_path / "a.tar", dataset="faces").images())


@pytest.mark.parametrize("name", ["a.jpg", "n1/a.jpg", "n..1/a.jpg", "n1/..a.jpg"])
def test_names_that_stay_inside(name):
    assert safe.inside(name)


@pytest.mark.parametrize("name", ["", "/", "/a", "..", "../a", "a/../b", "a/..", "C:/a", "a\\b"])
def test_names_that_do_not(name):
    assert not safe.inside(name)


def test_pictures_are_read_from_files_and_bytes_alike(tmp_path):
    data = layout.encode(face(3))
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.array_equal(safe.picture(data), safe.picture(tmp_path / "a.jpg"))
