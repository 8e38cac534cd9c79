import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.data.augment import flip, random_flip, seeded_flip
from fau_utils.data.images import ImageSet, batches, epoch_order, positions
from fau_utils.data.source import Source, known_length, share
from fau_utils.faces.landmarks import FLIP_49
from fau_utils.frames import Frames


def image_set(count=10, *, size=8, memmap=None):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(count)  # so that a face can be recognised
    table = pd.DataFrame(
        {
            "dataset": "synth",
            "subject": [f"synth/S{i % 3}" for i in range(count)],
            "clip": [f"C{i % 2}" for i in range(count)],
            "frame": range(count),
            "AU1": [[0, 1, None][i % 3] for i in range(count)],
            "AU12": [i % 2 for i in range(count)],
        }
    )
    if memmap is not None:
        np.save(memmap, images)
        images = np.load(memmap, mmap_mode="r")
    else:
        images = torch.from_numpy(images)
    return ImageSet.from_frames(
        images,
        frames=Frames(table),
        landmarks=torch.rand(count, 49, 2) * size,
        visible=torch.rand(count, 4) < 0.5,
        domain=torch.zeros(count),
    )


def who(batch):
    return (batch.image[:, 0, 0, 0] * 255).round().long()


def test_a_batch_holds_the_rows_asked_for_as_floats_in_the_unit_interval():
    data = image_set()
    batch = data.batch(torch.tensor([7, 2]))
    assert who(batch).tolist() == [7, 2]
    assert batch.image.dtype == torch.float32
    torch.testing.assert_close(batch.image, data.images[[7, 2]].float() / 255)
    assert torch.equal(batch.landmarks, data.landmarks[[7, 2]])
    assert batch.subject.tolist() == [1, 2]
    assert batch.frame.tolist() == [7, 2]
    assert batch.au[1, 0].isnan()
    assert batch.au[:, 1].tolist() == [1, 0]


def test_memory_mapped_images_give_the_same_batches_as_resident_ones(tmp_path):
    resident, mapped = image_set(), image_set(memmap=tmp_path / "images.npy")
    assert isinstance(mapped.images, np.memmap)
    for a, b in zip(batches(resident, batch_size=4), batches(mapped, batch_size=4), strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.subject, b.subject)
    assert torch.equal(mapped.to("cpu").images, resident.images)


@pytest.mark.parametrize(("views", "size"), [(10, 4), (25, 4), (7, 64), (35, 64), (1, 4), (0, 4)])
def test_the_number_of_views_is_exact_and_no_batch_is_larger_than_asked(views, size):
    sizes = [len(b) for b in batches(image_set(), batch_size=size, views=views)]
    assert sum(sizes) == views
    assert all(0 < n <= size for n in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_every_face_is_seen_once_before_any_is_seen_twice():
    seen = torch.cat([who(b) for b in batches(image_set(), batch_size=3, views=30)])
    for epoch in seen.split(10):
        assert sorted(epoch.tolist()) == list(range(10))


def test_each_epoch_has_a_new_order_that_the_seed_decides():
    def orders(seed):
        return torch.cat([who(b) for b in batches(image_set(), batch_size=3, views=30, seed=seed)]).split(10)

    first, second, third = orders(0)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert torch.equal(torch.cat(orders(0)), torch.cat([first, second, third]))
    assert not torch.equal(orders(1)[0], first)
    # a golden order: a change would silently change every recorded run
    assert epoch_order(10, epoch=1, seed=3).tolist() == [4, 1, 2, 8, 5, 0, 7, 9, 6, 3]


@st.composite
def servings(draw):
    """Arguments of :func:`positions` with at least one face for each process in every batch."""
    world = draw(st.integers(1, 5))
    size = draw(st.integers(world, 12))
    views = draw(st.integers(0, 60).filter(lambda v: not v or v // -(-v // size) >= world))
    return {"batch_size": size, "views": views, "seed": draw(st.integers(0, 9)), "shuffle": draw(st.booleans())}, world


@given(servings(), st.integers(1, 14))
def test_processes_together_serve_the_batches_of_one_process_each_face_once(serving, count):
    options, world = serving
    data = image_set(count, size=2)
    ranks = [list(positions(data, **options, rank=rank, world=world)) for rank in range(world)]
    for whole, *parts in zip(positions(data, **options), *ranks, strict=True):
        assert torch.equal(torch.cat(parts), whole)
        sizes = [len(part) for part in parts]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


@given(servings(), st.integers(1, 14), st.integers(0, 70))
def test_skipping_batches_is_the_same_as_dropping_them(serving, count, skip):
    options, world = serving
    data = image_set(count, size=2)
    kept = list(positions(data, **options, rank=world - 1, world=world))[skip:]
    skipped = list(positions(data, **options, rank=world - 1, world=world, skip=skip))
    assert len(kept) == len(skipped)
    assert all(torch.equal(a, b) for a, b in zip(kept, skipped, strict=True))


def test_each_epoch_has_a_new_order_on_each_process():
    data = image_set(24)
    for rank in range(2):
        epochs = torch.cat(list(positions(data, batch_size=8, views=72, rank=rank, world=2))).split(12)
        assert not torch.equal(epochs[0], epochs[1])
        assert not torch.equal(epochs[1], epochs[2])


def test_skipped_batches_touch_no_image():
    class Watched(np.ndarray):
        touched = 0

        def __getitem__(self, index):
            Watched.touched += 1
            return super().__getitem__(index)

    data = image_set()
    data = ImageSet(**{**vars(data), "images": data.images.numpy().view(Watched)})
    served = data.batches(batch_size=2, views=40, skip=17)
    assert len(list(served)) == 3
    assert Watched.touched == 3


def test_an_image_set_is_a_source_that_knows_its_length():
    data = image_set()
    assert isinstance(data, Source)
    assert known_length(data) == 10
    mine = data.batches(batch_size=4, views=20, seed=5, rank=1, world=2, skip=2)
    other = batches(data, batch_size=4, views=20, seed=5)
    for a, b in zip(mine, list(other)[2:], strict=True):
        assert torch.equal(who(a), who(b[2:]))


def test_a_process_without_a_face_is_refused():
    with pytest.raises(ValueError, match="a face for each of 4 processes in every batch, found a batch of 2"):
        next(positions(image_set(), batch_size=3, rank=0, world=4))
    with pytest.raises(ValueError, match="rank from 0 to 1, found 2"):
        share(8, rank=2, world=2)


def test_without_shuffling_faces_come_in_the_order_of_the_set():
    seen = torch.cat([who(b) for b in batches(image_set(), batch_size=3, shuffle=False)])
    assert seen.tolist() == list(range(10))


def test_a_subset_keeps_the_meaning_of_subject_indices():
    data = image_set()
    part = data.subset(data.subject == 2)
    assert len(part) == 3
    assert part.subject.tolist() == [2, 2, 2]
    assert part.subjects == data.subjects
    assert part.frames.subjects == ("synth/S2",)
    assert part.frames.table["frame"].tolist() == part.frame.tolist() == [2, 5, 8]
    assert torch.equal(data.subset([2, 5, 8]).images, part.images)


def test_subjects_of_another_list_are_marked_as_strangers():
    data = image_set().with_subjects(["synth/S2", "synth/S0"])
    assert data.subject[:3].tolist() == [1, -1, 0]


def test_same_clip_name_of_two_people_has_two_indices():
    data = image_set()
    pairs = {(s, c) for s, c in zip(data.subject.tolist(), data.clip.tolist(), strict=True)}
    assert len(pairs) == len(set(data.clip.tolist())) == 6


def test_fields_that_do_not_fit_are_named():
    data = image_set()
    with pytest.raises(ValueError, match=r"expected labels of shape \(10, 2\)"):
        ImageSet(**{**vars(data), "labels": data.labels[:, :1]})
    with pytest.raises(ValueError, match=r"uint8, found .* float32"):
        ImageSet(**{**vars(data), "images": data.images.float()})
    with pytest.raises(ValueError, match="one row of frames per image"):
        ImageSet(**{**vars(data), "frames": data.frames.select(range(9))})
    with pytest.raises(ValueError, match="10 rows of visible"):
        ImageSet(**{**vars(data), "visible": data.visible[:3]})


def test_an_empty_set_is_refused_before_training_on_nothing():
    with pytest.raises(ValueError, match="at least one face"):
        next(batches(image_set().subset([]), batch_size=4))


def test_flip_mirrors_only_the_chosen_faces_with_their_landmarks_and_patches():
    batch = image_set(size=8).batch(torch.arange(4))
    # a mark under landmark 10, so that picture and landmarks can be compared after the flip
    at = torch.tensor([2, 5])
    batch.landmarks[:, 10] = at.float()
    batch.image[:, :, at[1], at[0]] = 9.0
    flipped = flip(batch, torch.tensor([True, False, True, False]))
    assert torch.equal(flipped.image[1::2], batch.image[1::2])
    assert torch.equal(flipped.landmarks[1::2], batch.landmarks[1::2])
    assert torch.equal(flipped.visible[1::2], batch.visible[1::2])
    assert torch.equal(flipped.image[::2], batch.image[::2].flip(-1))
    x, y = flipped.landmarks[0, FLIP_49.index(10)].long()
    assert flipped.image[0, 0, y, x] == 9.0
    assert torch.equal(flipped.visible[0], batch.visible[0][[1, 0, 3, 2]])
    assert torch.equal(flipped.au.nan_to_num(9), batch.au.nan_to_num(9))
    twice = flip(flipped, torch.tensor([True, False, True, False]))
    torch.testing.assert_close(twice.landmarks, batch.landmarks)


def test_random_flip_decides_for_each_face_and_repeats_with_its_generator():
    batch = image_set(100).batch(torch.arange(100))

    def flips(seed):
        out = random_flip(batch, generator=torch.Generator().manual_seed(seed))
        return (out.image != batch.image).flatten(1).any(1)

    assert 30 < flips(0).sum() < 70
    assert torch.equal(flips(0), flips(0))
    assert not torch.equal(flips(0), flips(1))


def test_seeded_flips_are_the_same_in_any_part_of_a_batch_and_new_at_each_step():
    batch = image_set(100).batch(torch.arange(100))

    def flips(part, **where):
        out = seeded_flip(part, **{"seed": 0, "step": 0, **where})
        return (out.image != part.image).flatten(1).any(1)

    whole = flips(batch)
    assert 30 < whole.sum() < 70
    assert torch.equal(torch.cat([flips(batch[:37]), flips(batch[37:])]), whole)
    for other in ({"step": 1}, {"seed": 1}):
        assert 25 < (flips(batch, **other) != whole).sum() < 75


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_batch_on_the_gpu_never_waits_for_the_host():
    data = image_set(500, size=64).to("cuda")
    served = batches(data, batch_size=32, views=480, device="cuda")
    next(served)  # the epoch's order crosses here
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(14):
            next(served)
    finally:
        torch.cuda.set_sync_debug_mode("default")
