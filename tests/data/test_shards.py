"""Shards are served in an order that depends on seed and epoch alone, by any number of processes, from any step."""

import tarfile
from itertools import chain

import numpy as np
import pytest
import torch

from fau_utils.data import shards as module
from fau_utils.data.layouts import unlabelled as layout
from fau_utils.data.shard_order import Order
from fau_utils.data.shards import Shards
from fau_utils.data.source import Source, known_length
from fau_utils.data.tree import DatasetError

SIDE = 16


def face(number):
    """A picture that says which one it is."""
    image = np.full((SIDE, SIDE, 3), 40, "uint8")
    image[..., 0], image[:, SIDE // 2 :, 1] = number * 5 % 256, 200
    return image


def write(root, counts, *, bad=()):
    """A shard per count; images are numbered through all of them."""
    number = 0
    for k, count in enumerate(counts):
        items = []
        for _ in range(count):
            items.append((f"{number:05d}.png", b"no picture" if number in bad else png(face(number))))
            number += 1
        layout.shards(root, items, per_shard=10**6, stem=f"part{k:03d}")
    return root / "part*.tar"


def png(image):
    import io

    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def opened(tmp_path):
    def build(counts=(7, 1, 12, 5, 9), *, bad=(), **options):
        pattern = write(tmp_path / "shards", counts, bad=bad)
        options = {"size": SIDE, "threads": 3, "cache_dir": tmp_path / "cache", **options}
        return Shards(pattern, **options)

    return build


def served(source, **options):
    return [batch.frame.tolist() for batch in source.batches(**{"batch_size": 6, "seed": 3, **options})]


@pytest.mark.parametrize("sizes", [(34,), (7, 1, 12, 5, 9), (1,) * 34, (0, 30, 4)])
@pytest.mark.parametrize("buffer", [5, 16, 1000])
@pytest.mark.parametrize("batch_size", [1, 6, 34, 50])
def test_every_image_is_once_in_every_epoch(sizes, buffer, batch_size):
    order = Order(sizes=sizes, views=3 * 34, batch_size=batch_size, seed=1, buffer=buffer)
    everything = np.concatenate([order.step(step) for step in range(order.steps)])
    epochs = everything.reshape(3, 34)
    assert (np.sort(epochs, 1) == np.arange(34)).all()
    assert not (epochs[0] == epochs[1]).all()


@pytest.mark.parametrize("counts", [(34,), (7, 1, 12, 5, 9), (17, 17)])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_the_batches_of_one_process_without_overlap_or_loss(opened, counts, world):
    source = opened(counts)
    whole = served(source, views=68)
    parts = [served(source, views=68, rank=rank, world=world) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole)}
    joined = [list(chain.from_iterable(part[step] for part in parts)) for step in range(len(whole))]
    assert joined == whole
    flat = list(chain.from_iterable(whole))
    assert sorted(flat[:34]) == sorted(flat[34:]) == list(range(34))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_image_is_decoded_once_whatever_the_number_of_workers(opened, monkeypatch, threads):
    source, seen = opened(threads=threads), []
    decode = source._decode_one
    monkeypatch.setattr(source, "_decode_one", lambda target, image: (seen.append(image), decode(target, image))[1])
    for batch in source.batches(batch_size=8, seed=1):
        for image, number in zip(batch.image, batch.frame.tolist(), strict=True):
            assert torch.equal((image * 255).round().byte().permute(1, 2, 0), torch.from_numpy(face(number)))
    assert sorted(seen) == list(range(34))


@pytest.mark.parametrize("skip", [0, 1, 5, 11, 12, 30])
def test_a_resumed_run_is_served_exactly_the_rest(opened, skip):
    source = opened(buffer=10, crop=0.3, mirror=True)
    whole = list(source.batches(batch_size=6, views=70, seed=2))
    rest = list(opened(buffer=10, crop=0.3, mirror=True).batches(batch_size=6, views=70, seed=2, skip=skip))
    assert [b.frame.tolist() for b in rest] == [b.frame.tolist() for b in whole[skip:]]
    assert all(torch.equal(a.image, b.image) for a, b in zip(rest, whole[skip:], strict=True))


def test_the_seed_and_the_epoch_decide_the_order(opened):
    source = opened()
    first, second = served(source, views=68)[:5], served(source, views=68)[6:]
    assert served(source, views=68)[:5] == first
    assert served(source, views=68, seed=4)[:5] != first
    assert first != second


def test_neighbours_in_a_shard_are_parted_and_shards_come_in_any_order():
    order = Order(sizes=(100,) * 50, views=5000, batch_size=50, seed=0, buffer=1000)
    first = np.concatenate([order.step(step) for step in range(order.steps)])
    assert (np.abs(np.diff(first)) == 1).mean() < 0.05
    per_batch = [len(np.unique(order.step(step) // 100)) for step in range(order.steps)]
    assert min(per_batch) >= 8  # of the ten shards of a window
    assert np.corrcoef(np.arange(5000), first)[0, 1] < 0.5


def test_shards_come_in_another_order_in_each_epoch():
    order = Order(sizes=(10,) * 20, views=400, batch_size=10, seed=0, buffer=10)  # a window is a shard
    turns = [order.step(step)[0] // 10 for step in range(40)]
    assert sorted(turns[:20]) == sorted(turns[20:]) == list(range(20))
    assert turns[:20] != turns[20:]


def test_processes_read_their_own_stretches_of_shards():
    order = Order(sizes=(100,) * 64, views=6400, batch_size=64, buffer=1600)
    read = [order.of(0, rank=rank, world=4) // 100 for rank in range(4)]
    assert sum(len(np.unique(shards)) for shards in read) <= 16 + 3  # one shard may be cut between two processes
    steps = [np.concatenate([order.step(step)[:16] for step in range(25)]), order.of(0, rank=0, world=4)]
    assert np.array_equal(np.sort(steps[0]), steps[1])


def test_only_the_own_part_is_read(opened, monkeypatch):
    source, seen = opened(), []
    decode = source._decode_one
    monkeypatch.setattr(source, "_decode_one", lambda target, image: (seen.append(image), decode(target, image))[1])
    rest = served(source, rank=1, world=2, skip=2)
    assert sorted(seen) == sorted(chain.from_iterable(rest))


def test_unreadable_images_are_skipped_listed_and_their_steps_smaller(opened):
    source = opened(bad=(3, 20), most_bad=0.1)
    whole = served(source, views=68)
    flat = list(chain.from_iterable(whole))
    assert sorted(flat) == sorted(2 * [n for n in range(34) if n not in (3, 20)])
    assert len(whole) == 12
    assert sorted(s.name for s in source.skipped) == ["part000-000000.tar/00003.png", "part003-000000.tar/00020.png"]
    assert all(s.reason for s in source.skipped)


def test_images_known_to_be_unreadable_are_not_read_again(opened, monkeypatch):
    source, read = opened(bad=(3, 20), most_bad=0.1), []
    served(source)
    decode = module.decode_into
    monkeypatch.setattr(module, "decode_into", lambda *a, **k: (read.append(1), decode(*a, **k))[1])
    served(source)
    assert len(read) == 32
    assert len(source.skipped) == 2


def test_too_many_unreadable_images_are_an_error(opened):
    source = opened((40, 40), bad=range(0, 80, 3), most_bad=0.05)
    with pytest.raises(DatasetError, match=r"unreadable images.*raise most_bad"):
        served(source, batch_size=10)
    assert module.GRACE < len(source.skipped) <= module.GRACE + 0.05 * 80 + 10


def test_a_step_without_any_readable_image_is_an_error(opened):
    with pytest.raises(DatasetError, match="each step"):
        served(opened((4, 4), bad=range(4)), batch_size=1)


def test_shards_cut_short_or_missing_or_empty_are_errors_when_they_are_opened(opened, tmp_path):
    source = opened()
    path = source.shards[2]
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetError, match=r"part002-000000\.tar: expected a whole tar archive"):
        Shards(source.shards, size=SIDE, cache_dir=tmp_path / "cache")
    with pytest.raises(DatasetError, match="missing"):
        Shards(tmp_path / "shards" / "part{000..009}.tar", size=SIDE, cache_dir=tmp_path / "cache")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(DatasetError, match="none in any shard"):
        Shards(tmp_path / "empty.tar", size=SIDE, cache_dir=tmp_path / "cache")


def test_compressed_shards_are_refused_with_the_reason(opened, tmp_path):
    source = opened((3,))
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.add(source.shards[0], arcname="0.jpg")
    with pytest.raises(DatasetError, match="not compressed"):
        Shards(tmp_path / "a.tar", size=SIDE, cache_dir=tmp_path / "cache")


def test_lists_are_kept_and_made_again_when_shards_change_or_the_cache_is_damaged(opened, tmp_path, monkeypatch):
    listed = []
    places = module.unlabelled.Shards.places
    monkeypatch.setattr(
        module.unlabelled.Shards, "places", lambda self, shard: (listed.append(shard.name), places(self, shard))[1]
    )
    source = opened()
    assert len(listed) == 5
    Shards(source.shards, size=SIDE, cache_dir=tmp_path / "cache")
    assert len(listed) == 5
    layout.shards(tmp_path / "shards", [("a.png", png(face(1)))], stem="part001", per_shard=9)
    (tmp_path / "shards" / "part001-000000.tar").replace(source.shards[1])
    kept = sorted((tmp_path / "cache" / "shards").iterdir())[0]
    kept.write_bytes(kept.read_bytes()[:50])
    again = Shards(source.shards, size=SIDE, cache_dir=tmp_path / "cache")
    assert again.sizes == source.sizes
    assert listed[5:]


def test_members_that_point_out_of_the_shard_are_refused_and_told(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        layout.add(archive, "../out.png", png(face(1)))
        layout.add(archive, "in.png", png(face(2)))
    for _ in range(2):  # also when the rest could come from the cache
        source = Shards(tmp_path / "a.tar", size=SIDE, cache_dir=tmp_path / "cache")
        assert len(source) == 1
        assert "points out" in source.skipped[0].reason


def test_it_is_a_source_with_batches_without_labels(opened):
    source = opened()
    assert isinstance(source, Source)
    assert known_length(source) == 34
    batch = next(source.batches(batch_size=17))
    assert batch.image.shape == (17, 3, SIDE, SIDE)
    assert batch.image.dtype == torch.float32
    assert batch.au.shape == (17, 0)
    assert (batch.subject == -1).all()
    shard = np.repeat(np.arange(5), source.sizes)
    assert batch.clip.tolist() == shard[batch.frame].tolist()


def test_crops_are_drawn_for_each_face_and_equal_for_any_number_of_processes(opened):
    source = opened(crop=0.2, mirror=True)
    whole = list(source.batches(batch_size=6, seed=1))
    parts = [list(source.batches(batch_size=6, seed=1, rank=rank, world=2)) for rank in range(2)]
    for step, batch in enumerate(whole):
        assert torch.equal(batch.image, torch.cat([part[step].image for part in parts]))
        assert batch.image.shape[-2:] == (SIDE, SIDE)
    share = torch.cat([(batch.image[:, 1] > 0.5).float().mean((1, 2)) for batch in whole])  # of the bright right half
    right = torch.cat([batch.image[:, 1, :, -1].mean(1) > batch.image[:, 1, :, 0].mean(1) for batch in whole])
    assert share.std() > 0.05
    assert 0.2 < right.float().mean() < 0.8


def test_an_abandoned_run_leaves_no_thread_behind(opened):
    import threading

    running = opened().batches(batch_size=4)
    next(running)
    running.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("fau-shards")]


@pytest.mark.parametrize(
    ("options", "match"),
    [({"buffer": 0}, "positive buffer"), ({"crop": 1.5}, "crop in"), ({"decoded": 32}, "crop=")],
)
def test_impossible_options_are_refused(opened, options, match):
    with pytest.raises(ValueError, match=match):
        opened(**options)


def test_fewer_faces_in_a_step_than_processes_are_refused(opened):
    with pytest.raises(ValueError, match="each of 3 processes"):
        served(opened(), batch_size=2, world=3)


def test_rendered_shards_rehearse_pretraining(tmp_path):
    from fau_utils.cli import main

    assert main(["synth", "shards", str(tmp_path / "faces"), "--faces", "10", "--res", "64", "--per-shard", "4"]) == 0
    source = Shards(tmp_path / "faces" / "faces-{000000..000002}.tar", size=64, cache_dir=tmp_path / "cache")
    assert source.sizes == (4, 4, 2)
    batch = next(source.batches(batch_size=10))
    assert (batch.image.flatten(1)[:, None] - batch.image.flatten(1)[None]).abs().amax(2).fill_diagonal_(1).min() > 0.1
    assert main(["synth", "shards", str(tmp_path / "faces"), "--faces", "10", "--res", "64"]) == 2
    assert main(["synth", "shards", str(tmp_path / "more"), "--faces", "6", "--res", "64", "--per-shard", "4"]) == 0
    assert (tmp_path / "more" / "faces-000000.tar").read_bytes() == source.shards[0].read_bytes()


def test_pretraining_runs_on_shards_and_resumes_in_the_middle_of_an_epoch(tmp_path, opened, monkeypatch):
    from fau_utils.methods import MaePretraining
    from fau_utils.training import Budget, Checkpoints, fit

    source, loss, calls = opened(), MaePretraining.loss, []

    def run(*, stop_at=None, **options):
        def counted(learner, batch):
            calls.append(batch.frame.tolist())
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return loss(learner, batch)

        calls.clear()
        monkeypatch.setattr(MaePretraining, "loss", counted)
        learner = MaePretraining(size=SIDE, model="mini64")
        budget = Budget("tiny", views=60, batch_size=6)
        return fit(learner, source, budget=budget, device="cpu", progress=False, **options).method.state_dict()

    whole = run()
    order = list(calls)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoints=Checkpoints(tmp_path / "run", every=6), stop_at=5)
    rest = run(checkpoints=Checkpoints(tmp_path / "run", every=6))
    assert calls == order[4:]
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())
