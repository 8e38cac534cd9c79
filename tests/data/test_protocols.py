import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fau_utils.data import conventions, folds
from fau_utils.data.conventions import named, ours
from fau_utils.data.folds import Fold, SubjectLeak
from fau_utils.data.protocols import Protocol, labels, split
from fau_utils.frames import Frames

P1 = ["F001", "F002", "F008", "F009", "F010", "F016", "F018", "F023", "M001", "M004", "M007", "M008", "M012", "M014"]
PUBLISHED = [(name, dataset) for name, on in conventions._NAMED.items() for dataset in on if name != "ours"]


def frames_of(subjects, *, dataset="bp4d", aus=conventions.EVALUATED["bp4d"], scale="occurrence", camera="", value=0):
    rows = [
        {"dataset": dataset, "subject": s, "clip": "T1", "frame": n, "camera": camera, **{f"AU{a}": value for a in aus}}
        for s in subjects
        for n in (1, 2)
    ]
    return Frames(pd.DataFrame(rows), scale=scale)


def everyone(partition="bp4d-3"):
    return [s for part in folds.partition(partition) for s in part.subjects]


def test_a_fold_is_known_by_its_people_in_any_order():
    people = [f"bp4d/{code}" for code in reversed(P1)]
    assert folds.fold_by_hash(folds.fold_hash(people)).part == "P1"
    assert folds.which_published(people).called["megraph"] == "fold3"
    assert folds.which_published(people).called["fmae"] == "fold1"
    assert folds.which_published(people[1:]) is None


@pytest.mark.parametrize("partition", ["bp4d-3", "disfa-3"])
def test_one_fold_number_means_different_people_in_different_code(partition):
    tested = {}
    for fold in folds.partition(partition):
        for code in ("megraph", "fmae"):
            tested[code, fold.called[code]] = set(fold.subjects)
    # naive: train on what one calls fold 1 and test on what the other calls fold 1
    assert not tested["megraph", "fold1"] & tested["fmae", "fold1"]
    assert tested["megraph", "fold2"] == tested["fmae", "fold2"]  # so that a check of one fold does not show it


def test_fold_hashes_of_the_published_lists_do_not_change():
    assert {fold.part: fold.hash for fold in folds.partition("bp4d-3")} == {
        "P1": "97c2531e8299",
        "P2": "39dbc581230e",
        "P3": "99722385f065",
    }


def test_the_same_codes_in_another_dataset_are_another_fold():
    assert folds.which_published(f"bp4dplus/{code}" for code in P1) is None


def test_an_index_is_refused_as_the_name_of_a_fold():
    protocol = named("megraph", dataset="bp4d")
    with pytest.raises(ValueError, match="fold numbers differ"):
        protocol.fold("1")
    with pytest.raises(ValueError, match="97c2531e8299"):
        folds.fold_by_hash("fold1")


@pytest.mark.parametrize(
    ("name", "people", "parts"), [("bp4d-3", 41, 3), ("disfa-3", 27, 3), ("bp4dplus-fmae4", 140, 4)]
)
def test_a_published_partition_tests_everybody_once(name, people, parts):
    tested = everyone(name)
    assert len(folds.partition(name)) == parts
    assert len(tested) == len(set(tested)) == people


def test_published_single_test_lists_have_the_published_sizes():
    sizes = {name: (len(f.subjects), len(f.rest)) for name in folds.partitions() for f in folds.partition(name)}
    assert sizes["bp4d-fera2015"] == (20, 21)
    assert sizes["bp4d-arl-intensity"] == (19, 21)
    assert sizes["disfa-arl-intensity"] == (9, 18)
    assert all(fold.sources for fold in folds.published())


def test_one_human_being_has_one_name():
    assert folds.person("disfaplus/SN001") == folds.person("disfa/SN001")
    assert folds.person("bp4dplus/F001") != folds.person("bp4d/F001")


def test_a_person_on_both_sides_is_named():
    with pytest.raises(SubjectLeak, match="bp4d/F002") as raised:
        Fold(test=("bp4d/F001", "bp4d/F002"), train=("bp4d/F002", "bp4d/F003"))
    assert raised.value.subjects == ("bp4d/F002",)


def test_disfa_people_leak_into_disfa_plus():
    disfa = frames_of(["disfa/SN001", "disfa/SN002"], dataset="disfa", aus=(1,))
    plus = frames_of(["disfaplus/SN001"], dataset="disfaplus", aus=(1,))
    with pytest.raises(SubjectLeak) as raised:
        folds.refuse_leak(train=disfa, test=plus)
    assert raised.value.subjects == ("disfaplus/SN001",)
    other = frames_of(["bp4dplus/F001"], dataset="bp4dplus", aus=(1,))
    folds.refuse_leak(train=frames_of(["bp4d/F001"], aus=(1,)), test=other)


def test_training_frames_of_another_dataset_are_checked_too():
    protocol = ours("disfa")
    fold = next(f for f in protocol.folds if "disfa/SN001" in f.test)
    frames = frames_of(everyone("disfa-3"), dataset="disfa", aus=protocol.aus, scale="intensity")
    more = frames_of(["disfaplus/SN001"], dataset="disfaplus", aus=protocol.aus, scale="intensity")
    with pytest.raises(SubjectLeak, match="SN001"):
        split(frames, protocol, fold=fold.hash, also_train=more)
    trained = next(s for s in fold.train if s in {f"disfa/SN{n:03d}" for n in (3, 4, 7, 9, 10, 13, 25, 27)})
    fine = frames_of(
        [trained.replace("disfa/", "disfaplus/")], dataset="disfaplus", aus=protocol.aus, scale="intensity"
    )
    parts = split(frames, protocol, fold=fold, also_train=fine)
    assert len(parts.train) == 2 * len(fold.train) + len(fine)


def test_a_fold_changed_behind_the_back_of_its_check_is_caught_by_split():
    protocol = ours("bp4d")
    fold = protocol.folds[0]
    object.__setattr__(fold, "train", (*fold.train, fold.test[0]))
    with pytest.raises(SubjectLeak, match=fold.test[0]):
        split(frames_of(everyone()), protocol, fold=fold)


@pytest.mark.parametrize(("name", "dataset"), [*PUBLISHED, ("ours", "bp4d"), ("ours", "disfa"), ("ours", "bp4dplus")])
def test_every_frame_is_on_one_side_of_every_named_protocol(name, dataset):
    protocol = named(name, dataset=dataset)
    people = everyone({"bp4d": "bp4d-3", "disfa": "disfa-3", "bp4dplus": "bp4dplus-fmae4"}[dataset])
    frames = frames_of(people, dataset=dataset, aus=protocol.aus, camera=protocol.camera, scale="intensity")
    for fold in protocol.folds:
        parts = split(frames, protocol, fold=fold)
        assert sum(map(len, parts)) == len(frames)
        folds.refuse_leak(train=parts.train, validation=parts.validation, test=parts.test)
        assert (len(parts.validation) > 0) == (name == "ours")


def test_our_validation_people_come_from_the_training_folds_of_the_published_partition():
    for mine, published in zip(ours("bp4d").folds, folds.partition("bp4d-3"), strict=True):
        assert mine.test == published.subjects
        assert set(mine.validation) | set(mine.train) == set(published.rest)
        assert 4 <= len(mine.validation) <= 6


@given(st.permutations([f"synth/S{i:02d}" for i in range(12)]), st.integers(2, 5), st.integers(0, 3))
def test_our_folds_depend_on_who_there_is_and_not_on_the_order(people, count, seed):
    made = ours("synth", subjects=people, folds=count, seed=seed)
    assert made == ours("synth", subjects=sorted(people), folds=count, seed=seed)
    tested = [s for fold in made.folds for s in fold.test]
    assert sorted(tested) == sorted(people)


def test_a_protocol_hash_covers_what_it_does_and_not_what_it_is_called():
    protocol = named("bp4dplus-fmae4")
    assert protocol.hash == named("fmae", dataset="bp4dplus").hash
    changed = {
        "aus": protocol.aus[:-1],
        "folds": protocol.folds[:2],
        "unknown": "mask",
        "cut": 2.0,
        "crop": "jaa",
        "thresholds": ("0.5",),
        "threshold_scope": "per_au",
        "selection": "last",
        "averages": ("pooled",),
        "undefined_f1": "nan",
        "camera": "left",
    }
    hashes = {dataclasses.replace(protocol, **{name: value}).hash for name, value in changed.items()}
    assert len(hashes | {protocol.hash}) == len(changed) + 1
    described = {"name", "dataset", "readings", "sources", "frames"}
    assert set(changed) | described == {field.name for field in dataclasses.fields(Protocol)}


def test_a_person_is_tested_once():
    fold = ours("bp4d").folds[0]
    other = Fold(test=fold.test[:1], train=fold.train, name=fold.name)
    with pytest.raises(ValueError, match="tested in two folds"):
        Protocol(name="x", dataset="bp4d", aus=(1,), folds=(fold, other))


def unknown_frames():
    cells = pd.DataFrame(
        {
            "dataset": "bp4d",
            "subject": [f"bp4d/{s}" for s in ("F001", "F002", "F003")],
            "clip": "T1",
            "frame": [1, 2, 3],
            "AU1": [1, None, 0],
            "AU2": [None, 1, 0],
            "AU9": [None, None, None],
        }
    )
    return Frames(cells)


def test_three_readings_of_a_label_that_is_not_coded_give_three_label_sets():
    fold = Fold(test=("bp4d/F001",), train=("bp4d/F002", "bp4d/F003"))
    base = Protocol(name="x", dataset="bp4d", aus=(1, 2), folds=(fold,))
    frames = unknown_frames()
    masked = labels(frames, base)
    assert np.isnan(masked).sum() == 2
    negative = labels(frames, dataclasses.replace(base, unknown="negative"))
    assert negative.tolist() == [[1, 0], [0, 1], [0, 0]]
    dropping = dataclasses.replace(base, unknown="drop_frame", folds=(Fold(test=("bp4d/F003",), train=()),))
    kept = split(frames.select([2]), dropping, fold=dropping.folds[0])
    assert len(kept.test) == 1
    with pytest.raises(ValueError, match="nobody of the test side"):
        split(frames, dataclasses.replace(base, unknown="drop_frame"), fold=fold)


def test_an_intensity_cut_belongs_to_the_protocol():
    protocol = named("megraph", dataset="disfa")
    frames = frames_of(["disfa/SN001"], dataset="disfa", aus=protocol.aus, scale="intensity", value=2)
    assert (labels(frames, protocol) == 1).all()
    assert (labels(frames, dataclasses.replace(protocol, cut=3.0)) == 0).all()


def test_the_other_camera_is_refused_and_the_right_one_of_two_taken():
    protocol = named("fmae", dataset="disfa")
    people = everyone("disfa-3")
    left, right = (
        frames_of(people, dataset="disfa", aus=protocol.aus, scale="intensity", camera=c) for c in ("left", "right")
    )
    with pytest.raises(ValueError, match="right camera, found only"):
        split(left, protocol, fold=protocol.folds[0])
    parts = split(Frames.concat([left, right]), protocol, fold=protocol.folds[0])
    assert set(parts.train.table["camera"]) == {"right"}


def test_people_in_no_list_and_other_datasets_are_refused():
    protocol = ours("bp4d")
    with pytest.raises(ValueError, match="bp4d/F099"):
        split(frames_of([*everyone(), "bp4d/F099"]), protocol, fold=protocol.folds[0])
    with pytest.raises(ValueError, match="is for bp4d"):
        split(frames_of(["bp4dplus/F001"], dataset="bp4dplus"), protocol, fold=protocol.folds[0])


def test_missing_people_are_logged(caplog):
    protocol = ours("bp4d")
    split(frames_of(everyone()[1:]), protocol, fold=protocol.folds[1])
    assert everyone()[0] in caplog.text


def test_published_conventions_are_what_their_code_does():
    fmae, jaa, aunet = (named(name, dataset="bp4d") for name in ("fmae", "jaa", "aunet"))
    assert fmae.unknown == "negative"
    assert jaa.unknown == "mask"
    assert fmae.thresholds[0] == "test_for_demonstration_only"
    assert named("fgnet", dataset="bp4d").selection == "best_on_test_for_demonstration_only"
    assert (fmae.undefined_f1, aunet.undefined_f1, ours("bp4d").undefined_f1) == ("zero", "aunet", "nan")
    assert [named(n, dataset="disfa").camera for n in ("fmae", "jaa", "megraph")] == ["right", "left", "left"]
    assert len({named(name, dataset="bp4d").hash for name in ("fmae", "jaa", "megraph", "fgnet", "aunet", "ours")}) == 6


def test_ours_never_looks_at_the_test_people_to_choose():
    for dataset in conventions.EVALUATED:
        protocol = ours(dataset)
        assert not any("test" in rule for rule in (*protocol.thresholds, protocol.selection))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="megraph"):
        named("megrapf", dataset="bp4d")
    with pytest.raises(ValueError, match="defined on"):
        named("jaa", dataset="bp4dplus")
