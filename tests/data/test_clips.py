"""Clips from faces in memory, rendered ones, and videos."""

import logging
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fau_utils import cli
from fau_utils.data import synth
from fau_utils.data.clips import ClipSet, from_videos
from fau_utils.data.images import ImageSet
from fau_utils.data.layouts import unlabelled
from fau_utils.data.loaders import open_prepared
from fau_utils.data.source import Source
from fau_utils.faces.population import Split, SynthFaces
from fau_utils.frames import Frames
from fau_utils.models import store


def faces(*clips, person=None):
    """Faces of clips, each a list of frame numbers; the pixels of a face say clip and frame."""
    rows = [(number, frame) for number, frames in enumerate(clips) for frame in frames]
    images = np.zeros((len(rows), 3, 8, 8), "uint8")
    images[:, 0] = np.array([row[0] for row in rows])[:, None, None]
    images[:, 1] = np.array([row[1] for row in rows])[:, None, None]
    table = pd.DataFrame(
        {
            "dataset": "v",
            "subject": [f"v/P{(person or range(len(clips)))[row[0]]}" for row in rows],
            "clip": [f"C{row[0]:02d}" for row in rows],
            "frame": [row[1] for row in rows],
            "AU1": 0,
        }
    )
    return ImageSet.from_frames(torch.from_numpy(images), frames=Frames(table))


def served(source, **options):
    """Clip and frame numbers of every clip that is served, as the pixels have them, (clips, T, 2)."""
    found = [batch.image[:, :2, 0, 0].mul(255).round().long() for batch in source.batches(**options)]
    return torch.cat(found).unflatten(0, (-1, source.length))


def test_it_is_a_source_of_whole_clips_of_one_person_in_the_order_of_time():
    source = ClipSet(faces(range(20), range(9), range(30), person=[0, 0, 1]), length=4, stride=(1, 3))
    assert isinstance(source, Source)
    assert len(source) == 12
    clips = served(source, batch_size=8, views=400)
    assert clips.shape == (100, 4, 2)
    assert (clips[..., 0] == clips[:, :1, 0]).all()
    steps = clips[..., 1].diff(dim=1)
    assert (steps == steps[:, :1]).all()
    assert set(steps.flatten().tolist()) == {1, 3}
    of_short = steps[clips[:, 0, 0] == 1]
    assert set(of_short.flatten().tolist()) == {1}  # nine frames have no room for four at a stride of three
    assert clips[clips[:, 0, 0] == 2][:, 0, 1].unique().numel() > 5  # anywhere in the run


def test_every_run_gives_one_clip_per_epoch_whatever_its_length():
    source = ClipSet(faces(*[range(5 + 3 * k) for k in range(6)]), length=5)
    epochs = served(source, batch_size=10, views=3 * len(source))[:, 0, 0].view(3, 6)
    assert (epochs.sort(1).values == torch.arange(6)).all()
    assert not torch.equal(epochs[0], epochs[1])


def test_the_same_seed_serves_the_same_and_a_resumed_run_goes_on_where_it_was():
    source = ClipSet(faces(*[range(12)] * 7), length=3, stride=(1, 2))
    whole = served(source, batch_size=9, views=180, seed=4)
    assert torch.equal(whole, served(source, batch_size=9, views=180, seed=4))
    assert not torch.equal(whole, served(source, batch_size=9, views=180, seed=5))
    rest = served(source, batch_size=9, views=180, seed=4, skip=13)
    assert torch.equal(whole[-len(rest) :], rest)
    assert len(list(source.batches(batch_size=9, views=185))) == 21  # as many steps as a budget counts


def test_processes_share_a_step_in_whole_clips_and_equally():
    source = ClipSet(faces(*[range(6)] * 10), length=3)
    options = {"batch_size": 15, "views": 150, "seed": 1}
    whole = list(source.batches(**options))
    parts = [list(source.batches(**options, rank=rank, world=2)) for rank in range(2)]
    for one, first, second in zip(whole, *parts, strict=True):
        assert len(one) == 15
        assert len(first) == len(second) == 6  # the fifth clip has no partner and is left out
        assert torch.equal(torch.cat([first.image, second.image]), one.image[:12])
    with pytest.raises(ValueError, match="a clip of 3 frames for each of 4 processes"):
        next(source.batches(batch_size=9, views=90, world=4))


def test_a_clip_that_is_shorter_is_left_out_and_counted(caplog):
    with caplog.at_level(logging.WARNING):
        source = ClipSet(faces(range(4), range(9), range(6)), length=7)
    assert (len(source.runs), source.short) == (1, 2)
    assert "2 of 3 runs are shorter than 7 frames" in caplog.text
    assert set(served(source, batch_size=7, views=70)[..., 0].flatten().tolist()) == {1}
    with pytest.raises(ValueError, match="longest of 3 has 9; take shorter clips, or more frames per second"):
        ClipSet(faces(range(4), range(9), range(6)), length=10)


def test_a_frame_without_a_face_breaks_a_clip_in_two():
    source = ClipSet(faces([0, 5, 10, 15, 30, 35, 40, 45, 50]), length=4)  # every fifth frame was taken, 20 and 25 miss
    assert [run.count for run in source.runs] == [4, 5]
    starts = served(source, batch_size=4, views=80)[:, 0, 1]
    assert set(starts.tolist()) == {0, 30, 35}


def test_rows_in_any_order_are_clips_all_the_same():
    data = faces(range(8), range(8))
    mixed = data.subset(torch.randperm(16, generator=torch.Generator().manual_seed(0)))
    options = {"batch_size": 8, "views": 64}
    assert torch.equal(served(ClipSet(mixed, length=4), **options), served(ClipSet(data, length=4), **options))


def test_two_cameras_are_two_clips():
    data = faces(range(5))
    other = Frames(data.frames.table.assign(camera="right"))
    both = Frames(pd.concat([data.frames.table.assign(camera="left"), other.table], ignore_index=True))
    source = ClipSet(ImageSet.from_frames(torch.cat([data.images] * 2), frames=both), length=5)
    assert [run.count for run in source.runs] == [5, 5]


def test_rendered_clips_keep_the_person_and_only_drifting_ones_change_their_light(tmp_path):
    one = {name: Split(1, 6, name) for name in ("train", "val", "test")}
    still = SynthFaces(clip_length=6, fps=12.5, seen=Split(1, 6, "train"), unlabelled=Split(2, 12, "unlabelled"), **one)
    corners = []
    for config in (still, replace(still, drift=True)):
        source = ClipSet(synth.load(config, "unlabelled", cache_dir=tmp_path), length=6)
        assert len(source.runs) == 4
        batch = next(source.batches(batch_size=24))
        assert (batch.subject.view(4, 6) == batch.subject.view(4, 6)[:, :1]).all()
        corners.append(batch.image.view(4, 6, -1).diff(dim=1).abs().mean())
    assert corners[1] > 1.5 * corners[0]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two whole videos, one that ends before its header says so, and one that is none."""
    video = pytest.importorskip("fau_utils.data.video")
    pytest.importorskip("av")
    root = tmp_path_factory.mktemp("vox")
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), "uint8")

    def write(person, name, count):
        folder = root / "dev" / "mp4" / person / "abc"
        folder.mkdir(parents=True, exist_ok=True)
        video.write(folder / name, (np.roll(noise, k, 0) for k in range(count)), fps=25)
        return folder / name

    write("id00012", "00001.avi", 20)
    write("id00012", "00002.avi", 24)
    cut = write("id00017", "00001.avi", 30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 6 // 10])
    (root / "dev" / "mp4" / "id00017" / "abc" / "00002.mp4").write_bytes(b"no video at all" * 50)
    return root


def test_videos_that_end_early_are_kept_up_to_there_and_undecodable_ones_left_out(videos, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = from_videos(videos, tmp_path / "out", size=16, per_second=12.5)
    assert data.images.shape[1:] == (3, 16, 16)
    counts = pd.Series(data.clip.numpy()).value_counts().sort_index().tolist()
    assert counts[:2] == [10, 12]
    assert len(counts) == 3
    assert 4 <= counts[2] < 15  # 30 frames were promised, every second one is taken
    assert len(data.subjects) == 2
    assert "00002.mp4" in caplog.text
    source = ClipSet(data, length=4)
    batch = next(source.batches(batch_size=12))
    assert batch.frame.view(-1, 4).diff(dim=1).eq(2).all()
    again = from_videos(videos, tmp_path / "out", size=16, per_second=12.5)  # opens what is there
    assert len(again) == len(data)


CHAPTER = Path(__file__).parents[2] / "notebooks" / "30_clp.py"


def test_the_commands_of_the_chapter_lead_from_videos_to_a_learner_of_clips(tmp_path, monkeypatch, capsys, caplog):
    pytest.importorskip("av")
    monkeypatch.setenv("FAU_PROGRESS", "0")
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), "uint8")
    names = [f"id{person:05d}/abc/{clip:05d}" for person in (12, 17, 19) for clip in (1, 2)]
    clips = {name: [np.roll(noise, k + j, 0) for k in range(20)] for j, name in enumerate(names)}
    unlabelled.voxceleb2("VIDEOS", clips)
    prepare, train = re.findall(r"^# fau ((?:prepare voxceleb2|train clp).*)$", CHAPTER.read_text("utf-8"), re.M)
    assert cli.main([*shlex.split(prepare), "--size", "32", "--workers", "1"]) == 0
    frames = open_prepared(Path("prepared/voxceleb2"), aus=()).frames.table
    assert frames.groupby(["subject", "clip"])["frame"].count().tolist() == [10] * 6  # 20 frames at 25 per second
    capsys.readouterr()
    small = ["length=7", "batch_size=28", "memory=32", "views=84"]
    words = [*shlex.split(train.replace("--budget paper", "--budget smoke")), "--device", "cpu"]
    assert cli.main([*words, *(word for one in small for word in ("--set", one))]) == 0
    assert store.read(capsys.readouterr().out.strip())[0]["kind"] == "ClipEncoder"
    assert "shorter than" not in caplog.text  # every video gave clips of seven
