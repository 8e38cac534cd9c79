import pickle
import tarfile
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fau_utils.data import decode, loaders
from fau_utils.data.images import ImageSet, Memory, as_floats, batches
from fau_utils.data.prepare import prepare
from fau_utils.data.safe import UnreadableImage
from fau_utils.data.unlabelled import Folder
from fau_utils.data.views import cut, draw, mirror_bytes, views
from fau_utils.frames import Frames

COUNT, SIDE = 23, 48


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Image files, one of them broken, and their table."""
    root = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    rows = []
    for i in range(COUNT):
        coarse = generator.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(root / f"{i:03d}.jpg", quality=95)
        rows.append((f"wild/P{i % 4}", "C", i, f"{i:03d}.jpg", i % 2, None if i % 5 == 0 else 1))
    (root / "007.jpg").write_bytes((root / "007.jpg").read_bytes()[:300])
    table = pd.DataFrame(rows, columns=["subject", "clip", "frame", "path", "AU1", "AU12"])
    return Frames(table.assign(dataset="wild")), root


@pytest.fixture(scope="module", params=["array", "tar"])
def prepared(request, source, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / request.param
    prepare(*source, out, crop="none", size=SIDE, form=request.param, workers=1, piece=9)
    return out


def good(source):
    frames, root = source
    return frames.select(frames.table["frame"] != 7), root


# --- sets that stay on the disk


def test_a_prepared_folder_opens_as_a_set_without_what_was_left_out(source, prepared):
    frames, root = good(source)
    data = loaders.open_prepared(prepared)
    order = sorted((i for i in range(COUNT) if i != 7), key=lambda i: (i % 4, i))  # clips as they came, then frames
    assert data.frame.tolist() == order
    frames = frames.select([frames.table["frame"].tolist().index(i) for i in order])
    assert torch.equal(data.labels.isnan(), torch.from_numpy(frames.labels((1, 12))).isnan())
    assert data.landmarks is None
    images = np.asarray(data.images)
    assert images.shape == (COUNT - 1, 3, SIDE, SIDE)
    for image, path in zip(images, frames.table["path"], strict=True):
        original = decode.decode(root / path).transpose(2, 0, 1)
        assert np.abs(image.astype(int) - original).max() <= (0 if prepared.name == "array" else 24)


def test_a_set_on_the_disk_serves_the_batches_of_the_same_set_in_memory(prepared):
    data = loaders.open_prepared(prepared)
    resident = data.to("cpu")
    assert isinstance(resident.images, torch.Tensor)
    for mine, theirs in zip(batches(data, batch_size=5, seed=3), batches(resident, batch_size=5, seed=3), strict=True):
        assert torch.equal(mine.image, theirs.image)
        assert torch.equal(mine.au.nan_to_num(9), theirs.au.nan_to_num(9))
        assert torch.equal(mine.subject, theirs.subject)


def test_a_subset_of_a_set_on_the_disk_stays_there(prepared):
    data = loaders.open_prepared(prepared)
    part = data.subset([5, 2, 20]).subset([2, 0])
    assert type(part.images) is type(data.images)
    assert np.array_equal(np.asarray(part.images), np.asarray(data.images)[[20, 5]])
    assert part.frame.tolist() == data.frame[[20, 5]].tolist()


def test_a_set_on_the_disk_can_be_sent_to_another_process(prepared):
    images = loaders.open_prepared(prepared).subset([3, 9]).images
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(images))), np.asarray(images))


def test_an_unfinished_or_absent_preparation_is_named(prepared, tmp_path):
    with pytest.raises(ValueError, match="run fau prepare first"):
        loaders.open_prepared(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ValueError, match="not finished; run the same fau prepare again"):
        loaders.open_prepared(tmp_path)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_are_read_as_they_are_and_made_to_fit(source, threads):
    frames, root = good(source)
    data = loaders.from_files(frames, root, size=32, threads=threads)
    batch = data.batch(torch.tensor([4, 0]))
    for image, i in zip(batch.image, (4, 0), strict=True):
        expected = decode.fit(decode.decode(root / frames.table["path"][i], at_least=32), size=32)
        assert torch.equal(image, as_floats(torch.from_numpy(expected.copy()).permute(2, 0, 1)))


def test_a_broken_file_is_named(source):
    data = loaders.from_files(*source, size=SIDE)
    with pytest.raises(UnreadableImage, match=r"007\.jpg"):
        data.batch(torch.tensor([6, 7]))
    with pytest.raises(ValueError, match="a path in every row"):
        loaders.from_files(Frames(source[0].table.drop(columns="path")), source[1], size=SIDE)


def test_a_shard_that_is_cut_is_named(source, tmp_path):
    prepare(*good(source), tmp_path / "out", crop="none", size=SIDE, form="tar", workers=1, piece=100)
    shard = tmp_path / "out" / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(UnreadableImage, match=r"shard-000000\.tar at byte \d+: .* the shard is cut"):
        np.asarray(loaders.open_prepared(tmp_path / "out").images)


# --- views


def test_what_is_cut_while_reading_is_what_is_cut_afterwards(prepared):
    """The short way on a CPU against the functions that also run on a GPU."""
    data = loaders.open_prepared(prepared)
    marks = torch.rand(len(data), 49, 2) * SIDE
    data = ImageSet(**{**vars(data), "landmarks": marks})
    generator = torch.Generator().manual_seed(11)
    served = list(views(data, batch_size=7, size=32, views=30, seed=11, threads=2))
    assert [len(b) for b in served] == [len(b) for b in batches(data, batch_size=7, views=30, seed=11)]
    turned = 0
    for mine, whole in zip(served, batches(data, batch_size=7, views=30, seed=11), strict=True):
        parts = draw(len(whole), height=SIDE, width=SIDE, size=32, mirror=True, generator=generator)
        theirs = cut(whole, parts)
        assert torch.equal(mine.image, theirs.image)
        torch.testing.assert_close(mine.landmarks, theirs.landmarks)
        assert torch.equal(mine.frame, theirs.frame)
        turned += int(parts.mirrored.sum())
    assert 5 < turned < 25


def test_a_part_shows_what_its_corner_says(prepared):
    data = loaders.open_prepared(prepared)
    whole = np.asarray(data.images)
    batch = next(views(data, batch_size=22, size=40, mirror=False, shuffle=False))
    parts = draw(22, height=SIDE, width=SIDE, size=40, mirror=False, generator=torch.Generator().manual_seed(0))
    assert {tuple(c) for c in parts.corner.tolist()} != {tuple(parts.corner[0].tolist())}
    assert parts.corner.min() >= 0
    assert parts.corner.max() <= SIDE - 40
    for image, face, (left, top) in zip(batch.image, whole, parts.corner.tolist(), strict=True):
        expected = torch.from_numpy(face[:, top : top + 40, left : left + 40].copy())
        assert torch.equal(image, as_floats(expected))


def test_views_repeat_with_their_seed_whatever_the_number_of_threads(prepared):
    data = loaders.open_prepared(prepared)

    def pixels(**options):
        return torch.cat([b.image for b in views(data, batch_size=6, size=24, views=40, **options)])

    assert torch.equal(pixels(seed=1, threads=1), pixels(seed=1, threads=4))
    assert not torch.equal(pixels(seed=1), pixels(seed=2))


def test_parts_that_do_not_fit_and_grids_are_refused(prepared):
    data = loaders.open_prepared(prepared)
    with pytest.raises(ValueError, match="at most 48 px, found 64"):
        next(views(data, batch_size=4, size=64))
    grid = ImageSet(**{**vars(data), "visible": torch.ones(len(data), 16, dtype=torch.bool)})
    with pytest.raises(ValueError, match="under their grid"):
        next(views(grid, batch_size=4, size=24))
    assert next(views(grid, batch_size=11)).visible.shape == (11, 16)


@pytest.mark.parametrize("width", [24, 30])
def test_mirroring_by_eights_is_mirroring(width):
    face = np.random.default_rng(0).integers(0, 256, (3, 20, 40), dtype=np.uint8)[:, :, 3 : 3 + width]
    assert np.array_equal(mirror_bytes(face), face[..., ::-1])


def test_a_batch_that_is_kept_is_never_written_over(prepared):
    data = loaders.open_prepared(prepared)
    kept, copies = [], []
    for batch in views(data, batch_size=4, size=32, views=60):
        kept.append(batch.image[1])  # a view of a part of it
        copies.append(batch.image[1].clone())
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_memory_is_used_again_only_when_nothing_refers_to_it():
    memory, pixels = Memory(), torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    first = as_floats(pixels, memory=memory)
    place, window = first.data_ptr(), first[2:].numpy()
    del first
    second = as_floats(pixels, memory=memory)
    assert second.data_ptr() != place
    del window
    assert as_floats(pixels, memory=memory).data_ptr() == place
    last = pixels.contiguous(memory_format=torch.channels_last)
    assert as_floats(last, memory=memory).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(as_floats(last, memory=memory), pixels.float() / 255)


# --- streams


@pytest.mark.parametrize("shuffle", [0, 6])
def test_a_stream_serves_every_readable_image_once_and_notes_the_others(source, shuffle):
    _, root = source
    folder = Folder(root, dataset="wild")
    served = list(loaders.stream(folder, batch_size=5, size=SIDE, threads=2, shuffle=shuffle))
    images = torch.cat([batch.image for batch in served])
    assert [len(batch) for batch in served] == [5, 5, 5, 5, 2]
    expected = [decode.decode(root / f"{i:03d}.jpg").transpose(2, 0, 1) for i in range(COUNT) if i != 7]
    expected = as_floats(torch.from_numpy(np.stack(expected)))
    order = [int((expected == image).flatten(1).all(1).nonzero()) for image in images]
    assert sorted(order) == list(range(COUNT - 1))
    assert (order == sorted(order)) == (shuffle == 0)
    assert [skipped.name for skipped in folder.skipped] == ["007.jpg"]
    assert served[0].au.shape == (5, 0)
    assert served[-1].frame.tolist() == [20, 21]


def test_prefetching_changes_nothing_and_passes_errors_on():
    def failing():
        yield from range(5)
        raise OSError("the disk is gone")

    assert list(loaders.prefetched(iter(range(50)), depth=3)) == list(range(50))
    received = []
    with pytest.raises(OSError, match="the disk is gone"):
        received.extend(loaders.prefetched(failing()))
    items = loaders.prefetched(failing())
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_leaving_a_prefetched_loop_early_ends_its_thread():
    before = threading.active_count()
    items = loaders.prefetched(iter(range(10**9)))
    assert next(items) == 0
    items.close()
    assert threading.active_count() == before


def test_shards_hold_what_any_web_dataset_reader_expects(prepared):
    if prepared.name != "tar":
        pytest.skip("an array has no shards")
    data = loaders.open_prepared(prepared)
    row = data.frames.table.iloc[3]
    with tarfile.open(prepared / row["shard"]) as shard:
        member = shard.extractfile(f"{row['key']}.jpg").read()
    assert np.array_equal(decode.decode(member).transpose(2, 0, 1), data.images[3])
