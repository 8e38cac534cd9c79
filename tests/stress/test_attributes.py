"""What is known of rendered people, and the same faces with another look."""

import numpy as np
import pandas as pd
import pytest
import torch

from fau_utils.data import synth
from fau_utils.faces.population import Occlusion, Split, SynthFaces
from fau_utils.stress.attributes import group_of, redrawn, rendered_people

WORLD = SynthFaces(test=Split(300, 2, "test"))


def test_every_person_has_one_row_and_its_groups_follow_from_the_numbers():
    people = rendered_people(WORLD, "test")
    assert len(people) == 300
    assert people.index[0] == "synth/S20000"
    assert (people.loc[people["melanin"] < 1 / 3, "melanin_group"] == "light").all()
    assert (people.loc[people["melanin"] >= 2 / 3, "melanin_group"] == "dark").all()
    assert (people["age_group"] == "lined").mean() == pytest.approx(1 / 3, abs=0.08)
    assert (people["glasses_group"] == "glasses").mean() == pytest.approx(0.12, abs=0.06)


def test_a_table_row_is_looked_up_by_the_name_of_the_person():
    people = rendered_people(WORLD, "test")
    found = group_of(["synth/S20001", "somebody", "synth/S20000"], people, "age_group")
    assert found.tolist() == [people["age_group"].iloc[1], None, people["age_group"].iloc[0]]
    with pytest.raises(ValueError, match="did you mean 'age_group'"):
        group_of(["synth/S20001"], people, "age_grup")
    with pytest.raises(ValueError, match="none of the people"):
        group_of(["other/S20001"], people, "age")
    with pytest.raises(ValueError, match="one row per person"):
        group_of(["synth/S20001"], pd.concat([people, people]), "age")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    small = SynthFaces(test=Split(6, 2, "test"))
    return small, synth.load(small, "test", cache_dir=tmp_path_factory.mktemp("cache"), workers=1)


def test_with_their_own_look_faces_are_what_they_were(faces):
    config, plain = faces
    own = rendered_people(config, "test")["melanin"].iloc[2]
    again = redrawn(config, "test", looks={"melanin": float(own)}, rows=[4, 5])
    assert torch.equal(again.images, torch.as_tensor(np.array(plain.images[4:6])))
    assert torch.equal(again.labels, plain.labels[4:6])
    torch.testing.assert_close(again.landmarks, plain.landmarks[4:6])
    assert again.frames.table["subject"].tolist() == ["synth/S20002"] * 2


def test_darker_skin_is_darker_and_changes_neither_movement_nor_pose(faces):
    config, plain = faces
    light, dark = (redrawn(config, "test", looks={"melanin": x}) for x in (0.05, 0.95))
    middle = (slice(None), slice(None), slice(24, 40), slice(24, 40))
    assert (dark.images[middle].float().mean((1, 2, 3)) < light.images[middle].float().mean((1, 2, 3)) - 20).all()
    assert torch.equal(dark.labels, plain.labels)
    torch.testing.assert_close(dark.landmarks, light.landmarks)
    on, off = (redrawn(config, "test", looks={"glasses": x}, rows=[0]).images.float() for x in (0.06, 0.5))
    assert (on - off).abs().max() > 40


def test_looks_that_do_not_exist_are_named(faces):
    config, _ = faces
    with pytest.raises(ValueError, match="did you mean 'melanin'"):
        redrawn(config, "test", looks={"melanine": 0.5})
    with pytest.raises(ValueError, match=r"age in \[0, 1\), found 1"):
        redrawn(config, "test", looks={"age": 1.0})
    hidden = SynthFaces(occlusion=Occlusion(("mask",)))
    with pytest.raises(ValueError, match="without occlusion"):
        redrawn(hidden, "test", looks={"age": 0.5})
