"""The rendered dataset on disk and on the fly: complete, repeatable, and safe against damage."""

import json
import logging
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from fau_utils.aus import RENDERED
from fau_utils.data import synth
from fau_utils.data.cache import Damaged, FolderWriter, cache_root, read_arrays
from fau_utils.data.holdout import holdout
from fau_utils.data.images import batches
from fau_utils.faces import population
from fau_utils.faces.draw import CHUNK, au_support, draw_all, renderer_for
from fau_utils.faces.landmarks import INDEX_49
from fau_utils.faces.occluders import KINDS
from fau_utils.faces.patches import band, hidden_share, patches_to_pixels
from fau_utils.faces.plan import plan
from fau_utils.faces.population import Occlusion, Split, SynthFaces

CONFIG = SynthFaces(
    skew=1.0,
    unknown=0.1,
    train=Split(4, 3, "train"),
    val=Split(2, 2, "val"),
    test=Split(2, 2, "test"),
    seen=Split(4, 1, "train"),
    unlabelled=Split(3, 2, "unlabelled", labelled=False),
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "0")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def train(cache):
    return synth.load(CONFIG, "train", cache_dir=cache)


@pytest.fixture
def counted(monkeypatch):
    """How often faces were rendered."""
    calls = []

    def count(*arguments, **options):
        calls.append(1)
        return draw_all(*arguments, **options)

    monkeypatch.setattr(synth, "draw_all", count)
    return calls


def test_a_split_is_an_image_set(train):
    assert train.images.shape == (12, 3, 64, 64)
    assert isinstance(train.images, np.memmap)
    assert train.subjects == tuple(f"synth/S{i:05d}" for i in range(4))
    assert train.subject.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert train.landmarks.shape == (12, 49, 2)
    assert (train.domain == 0).all()
    assert train.visible is None
    assert train.frames.aus == RENDERED
    batch = next(batches(train, batch_size=12, shuffle=False))
    assert batch.image.amin() >= 0
    assert batch.image.amax() <= 1
    assert batch.image.std(dim=(1, 2, 3)).min() > 0.05  # a picture, not a blank


def test_labels_are_intensities_at_the_threshold_and_unknown_cells_stay_unknown(train, cache):
    rows = plan(CONFIG, "train")
    columns = [RENDERED.index(au) for au in CONFIG.aus]
    expected = torch.where(
        rows.coded[:, columns], (rows.intensity[:, columns] >= CONFIG.label_threshold).float(), torch.nan
    )
    torch.testing.assert_close(train.labels, expected, equal_nan=True)
    assert 0 < train.labels.isnan().float().mean() < 0.3
    torch.testing.assert_close(train.intensity, rows.intensity[:, columns])
    higher = synth.load(replace(CONFIG, label_threshold=3.0), "train", cache_dir=cache)
    known = ~train.labels.isnan()
    assert (higher.labels[known] <= train.labels[known]).all()
    assert higher.labels.nansum() < train.labels.nansum()


def test_the_second_call_reads_and_does_not_render(train, cache, counted):
    again = synth.load(CONFIG, "train", cache_dir=cache)
    assert not counted
    assert np.array_equal(again.images, train.images)
    torch.testing.assert_close(again.landmarks, train.landmarks)


def test_faces_do_not_depend_on_the_number_of_threads(tmp_path):
    config = CONFIG.with_split("train", frames=2 * CHUNK // 4 + 1)
    rows = plan(config, "train")
    one, three = (torch.cat([d.images for d in draw_all(config, rows, workers=n)]) for n in (1, 3))
    assert torch.equal(one, three)


def test_rendering_leaves_the_thread_settings_alone():
    before = torch.get_num_threads()
    next(draw_all(CONFIG, plan(CONFIG, "val"), workers=2))
    list(draw_all(CONFIG, plan(CONFIG, "val"), workers=2))
    assert torch.get_num_threads() == before


def test_unlabelled_people_have_pictures_and_no_labels(cache):
    data = synth.load(CONFIG, "unlabelled", cache_dir=cache)
    assert data.labels.isnan().all()
    assert not data.intensity.isnan().any()
    assert all(subject.startswith("synth/S3") for subject in data.subjects)


def test_truth_has_every_landmark_and_what_is_hidden(cache, train):
    truth = synth.load_truth(CONFIG, "train", cache_dir=cache)
    assert truth.landmarks.shape == (12, 68, 2)
    assert np.array_equal(truth.landmarks[:, list(INDEX_49)], train.landmarks.numpy())
    assert truth.visible.mean() > 0.7
    assert not truth.occluded.any()
    assert torch.equal(truth.plan.person, plan(CONFIG, "train").person)


def test_occluders_and_patch_masks_are_drawn_and_known(tmp_path):
    kinds = ("mask", "sunglasses", "block", "lower")
    config = replace(CONFIG, occlusion=Occlusion(kinds, ratio=0.25)).with_split("train", subjects=8)
    data = synth.load(config, "train", cache_dir=tmp_path)
    truth = synth.load_truth(config, "train", cache_dir=tmp_path)
    plain = synth.load(CONFIG.with_split("train", subjects=8), "train", cache_dir=tmp_path)
    assert data.visible.shape == (24, 64)
    assert set(data.frames.table["hidden_by"]) == set(kinds)
    changed = (data.images != plain.images).any(1)
    for row, kind in enumerate(data.frames.table["hidden_by"]):
        mask = truth.occluded[row]
        assert changed[row].any()
        if kind == "block":
            assert (~data.visible[row]).sum() == 16
        if kind == "lower":
            assert not data.visible[row].view(8, 8)[4:].any()
        if kind not in KINDS:
            assert np.array_equal(changed[row], mask) or (mask & ~changed[row]).mean() < 0.01
        hidden = truth.visible[row] & mask[tuple(truth.landmarks[row].round().astype(int).clip(0, 63).T[::-1])]
        assert not hidden.any()


def test_which_aus_a_mask_hides_is_known():
    rows = plan(CONFIG, "val")
    support = au_support(CONFIG, rows, renderer=renderer_for(CONFIG))
    lower = patches_to_pixels(band("lower", grid=8)[None].expand(len(rows), -1), size=64)
    share = hidden_share(support, lower)
    assert (share[:, RENDERED.index(17)] > 0.95).all()
    assert (share[:, RENDERED.index(1)] < 0.05).all()
    assert (share[:, RENDERED.index(6)] > 0.05).all()
    assert (hidden_share(support, torch.ones_like(lower)) == 1).all()


def test_a_wild_set_is_the_other_domain(tmp_path):
    data = synth.load(replace(CONFIG, wild=0.7), "val", cache_dir=tmp_path)
    assert (data.domain == 1).all()


def test_clips_stay_together(tmp_path):
    config = replace(
        CONFIG, clip_length=4, drift=True, unknown=0.0,
        train=Split(2, 8, "train"), val=Split(1, 4, "val"), test=Split(1, 4, "test"),
        seen=Split(1, 4, "train"), unlabelled=Split(1, 4, "unlabelled"),
    )  # fmt: skip
    data = synth.load(config, "train", cache_dir=tmp_path)
    assert data.clip.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert data.frame.tolist() == [0, 1, 2, 3] * 4
    assert data.subject.tolist() == [0] * 8 + [1] * 8
    images = data.images.astype(float)
    within = np.abs(images[:3] - images[1:4]).mean()
    between = np.abs(images[:4] - images[8:12]).mean()
    assert within < 0.3 * between


# the cache


def folder_of(root, split="val"):
    return synth.cache_folder(CONFIG, split, cache_dir=root)


def damage_byte(folder):
    path = folder / "images.npy"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def truncate(folder):
    os.truncate(folder / "landmarks.npy", 200)


def lose_file(folder):
    (folder / "visible.npy").unlink()


def garble_meta(folder):
    (folder / "meta.json").write_text("{")


def drop_array(folder):
    meta = json.loads((folder / "meta.json").read_text())
    del meta["files"]["hidden"]
    (folder / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("damage", [damage_byte, truncate, lose_file, garble_meta, drop_array])
def test_a_damaged_cache_is_reported_once_and_rendered_again(tmp_path, caplog, counted, damage):
    good = np.array(synth.load(CONFIG, "val", cache_dir=tmp_path).images)
    damage(folder_of(tmp_path))
    with caplog.at_level(logging.WARNING):
        data = synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert len(caplog.records) == 1
    assert "is damaged" in caplog.text
    assert "rendering it again" in caplog.text
    assert np.array_equal(data.images, good)
    assert len(counted) == 2
    caplog.clear()
    synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert not caplog.records
    assert [p.name for p in folder_of(tmp_path).parent.iterdir()] == [folder_of(tmp_path).name]


def test_a_writer_killed_half_way_leaves_nothing_a_reader_takes(tmp_path, counted):
    folder = folder_of(tmp_path)
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom fau_utils.data.cache import FolderWriter\nimport numpy as np\n"
        "w = FolderWriter(Path(sys.argv[1]), fields={'images': ((4, 2), 'uint8')})\n"
        "w.append({'images': np.zeros((2, 2), 'uint8')})\nos._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], check=False).returncode == 9
    orphans = list(folder.parent.iterdir())
    assert len(orphans) == 1
    assert orphans[0].name.startswith(".")
    assert len(synth.load(CONFIG, "val", cache_dir=tmp_path)) == 4
    assert len(counted) == 1
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # the orphan is gone


def test_an_error_while_rendering_leaves_nothing_behind(tmp_path, monkeypatch):
    def broken(*arguments, **options):
        yield from draw_all(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(synth, "draw_all", broken)
        with pytest.raises(KeyboardInterrupt):
            synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert not list(folder_of(tmp_path).parent.iterdir())
    assert len(synth.load(CONFIG, "val", cache_dir=tmp_path)) == 4


def write(folder, value, barrier):
    with FolderWriter(folder, fields={"x": ((1000, 100), "uint8")}) as writer:
        barrier.wait()
        for _ in range(10):
            writer.append({"x": np.full((100, 100), value, "uint8")})
        barrier.wait()
        writer.commit({})


def test_two_writers_at_once_leave_one_whole_folder(tmp_path):
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    for attempt in range(3):
        folder = tmp_path / f"set{attempt}"
        barrier = context.Barrier(2)
        writers = [context.Process(target=write, args=(folder, value, barrier)) for value in (3, 7)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(30)
            assert writer.exitcode == 0
        values = np.unique(read_arrays(folder)["x"])
        assert values.tolist() in ([3], [7])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set0", "set1", "set2"]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FolderWriter, "append", full)
    with pytest.raises(OSError, match=r"No space left.*free about 0 MB there, or set FAU_CACHE"):
        synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert not list(folder_of(tmp_path).parent.iterdir())


def test_a_cache_that_cannot_be_written_keeps_faces_in_memory_and_says_so(tmp_path, caplog):
    (tmp_path / "synth").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        data = synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert len(data) == 4
    assert "kept in memory" in caplog.text
    assert "FAU_CACHE" in caplog.text


def test_a_read_only_cache_is_read(tmp_path, counted):
    synth.load(CONFIG, "val", cache_dir=tmp_path)
    folder_of(tmp_path).parent.chmod(0o500)
    try:
        synth.load(CONFIG, "val", cache_dir=tmp_path)
    finally:
        folder_of(tmp_path).parent.chmod(0o700)
    assert len(counted) == 1


def test_a_writer_refuses_missing_rows_and_wrong_shapes(tmp_path):
    with FolderWriter(tmp_path / "a", fields={"x": ((3, 2), "uint8")}) as writer:
        with pytest.raises(ValueError, match="expected rows of x"):
            writer.append({"x": np.zeros((1, 5), "uint8")})
        writer.append({"x": np.zeros((2, 2), "uint8")})
        with pytest.raises(ValueError, match="2 rows written, expected 3"):
            writer.commit({})
    assert not list(tmp_path.iterdir())


def test_an_old_format_counts_as_damage(tmp_path):
    with FolderWriter(tmp_path / "a", fields={"x": ((1,), "uint8")}) as writer:
        writer.append({"x": np.zeros(1, "uint8")})
        writer.commit({})
    meta = json.loads((tmp_path / "a" / "meta.json").read_text())
    (tmp_path / "a" / "meta.json").write_text(json.dumps(meta | {"format": 0}))
    with pytest.raises(Damaged, match="format is 0"):
        read_arrays(tmp_path / "a")


def test_the_cache_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("FAU_CACHE", str(tmp_path / "here"))
    assert cache_root() == tmp_path / "here"
    assert cache_root(tmp_path / "there") == tmp_path / "there"
    monkeypatch.delenv("FAU_CACHE")
    assert cache_root().name == "fau"


def test_a_change_of_the_renderer_renders_again(tmp_path, monkeypatch, counted):
    synth.load(CONFIG, "val", cache_dir=tmp_path)
    monkeypatch.setattr(population, "code_version", lambda: "another")
    synth.load(CONFIG, "val", cache_dir=tmp_path)
    assert len(counted) == 2


# on the fly


def test_a_stream_shows_new_frames_of_the_same_people(train):
    found = list(synth.stream(CONFIG, "train", batch_size=8, views=20, device="cpu"))
    assert [len(batch) for batch in found] == [8, 8, 4]
    again = next(synth.stream(CONFIG, "train", batch_size=8, views=8, device="cpu"))
    assert torch.equal(again.image, found[0].image)
    other = next(synth.stream(CONFIG, "train", batch_size=8, views=8, device="cpu", seed=1))
    assert not torch.equal(other.intensity, again.intensity)
    intensity = torch.cat([batch.intensity for batch in found])
    assert len(intensity.unique(dim=0)) >= 15  # a few rows may have no movement at all
    assert 0 <= min(b.subject.min() for b in found) <= max(b.subject.max() for b in found) < 4
    assert found[0].landmarks.shape == (8, 49, 2)
    assert set(found[0].au[~found[0].au.isnan()].tolist()) == {0.0, 1.0}


def test_a_stream_refuses_to_cut_clips():
    with pytest.raises(ValueError, match="whole clips of 1, found batch_size=0"):
        next(synth.stream(CONFIG, "train", batch_size=0, views=8, device="cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_faces_rendered_on_a_gpu_look_like_those_of_the_cpu(train, tmp_path):
    data = synth.load(CONFIG, "train", cache_dir=tmp_path, device="cuda")
    assert data.images.device.type == "cuda"
    difference = (data.images.cpu().int() - torch.from_numpy(np.array(train.images)).int()).abs()
    assert (difference <= 2).float().mean() > 0.995


# dividing a set


def test_holding_out_people_keeps_both_sides_apart():
    subject = np.repeat(np.arange(10), 7)
    out = holdout(subject, share=0.3)
    assert out.sum() == 21
    assert not set(subject[out]) & set(subject[~out])
    assert np.array_equal(out, holdout(subject, share=0.3))
    assert not np.array_equal(out, holdout(subject, share=0.3, seed=1))


def test_random_frames_leak_and_have_to_be_asked_for_by_name(caplog):
    subject = np.repeat(np.arange(10), 7)
    with caplog.at_level(logging.WARNING):
        out = holdout(subject, share=0.3, by="random_frames")
    assert out.sum() == 21
    assert set(subject[out]) & set(subject[~out])
    assert "too good" in caplog.text
    with pytest.raises(ValueError, match="did you mean 'random_frames'"):
        holdout(subject, by="random")
    with pytest.raises(ValueError, match="two people, found 1"):
        holdout(np.zeros(5, int))
    with pytest.raises(ValueError, match=r"share in \(0, 1\)"):
        holdout(subject, share=1.0)
