"""Small made-up faces whose labels can be learnt in seconds; one thread for each test process."""

import os

# before torch is imported: small tensors gain nothing from threads, and test processes run side by side
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["FAU_PROGRESS"] = "0"  # what commands say is read line by line, and a bar is not one of them

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch

from fau_utils.data.images import ImageSet
from fau_utils.frames import Frames

# a busy machine is no failure: examples are checked for what they say, not for how long they take
hypothesis.settings.register_profile("fau", deadline=None)
hypothesis.settings.load_profile("fau")


def make_blobs(
    people=8, frames=16, *, aus=(1, 4, 12), size=64, seed=0, unknown=0.0, first=0, with_landmarks=True
) -> ImageSet:
    """Noise pictures: AU number k is a bright blob at its own place, and moves its own landmarks.

    Parameters
    ----------
    people, frames : int
        Number of people and of frames of each.
    unknown : float
        Share of labels that are not coded.
    first : int
        Number of the first person, so that two sets can have other people.
    """
    generator = np.random.default_rng(seed)
    count = people * frames
    label = (generator.random((count, len(aus))) < 0.4).astype("float32")
    images = generator.normal(110, 12, (count, 3, size, size))
    images += generator.normal(0, 10, (people, 3, 1, 1)).repeat(frames, 0)
    landmarks = generator.uniform(0.2, 0.8, (1, 49, 2)) * size
    landmarks[:, 19:25], landmarks[:, 25:31] = size * np.array([0.35, 0.4]), size * np.array([0.65, 0.4])
    landmarks = landmarks + generator.normal(0, 0.01 * size, (count, 49, 2))
    side = size // 8
    for k in range(len(aus)):
        top, left = side * (1 + 2 * (k % 3)), side * 3  # on the midline, so that mirroring changes no label
        images[:, :, top : top + side, left : left + 2 * side] += 45 * label[:, k, None, None, None]
        landmarks[:, 31 + 4 * k : 33 + 4 * k, 1] += 0.05 * size * label[:, k, None]
    hidden = generator.random(label.shape) < unknown
    table = pd.DataFrame(
        {
            "dataset": "blobs",
            "subject": np.repeat([f"blobs/P{first + i:03d}" for i in range(people)], frames),
            "clip": "C0",
            "frame": np.tile(np.arange(frames), people),
            **{f"AU{n}": np.where(hidden[:, k], np.nan, label[:, k]) for k, n in enumerate(aus)},
        }
    )
    return ImageSet.from_frames(
        torch.from_numpy(images.clip(0, 255).astype("uint8")),
        frames=Frames(table),
        aus=aus,
        landmarks=landmarks if with_landmarks else None,
        visible=torch.ones(count, (size // 8) ** 2, dtype=torch.bool),
    )


@pytest.fixture(scope="session")
def blobs():
    """The function :func:`make_blobs`."""
    return make_blobs
