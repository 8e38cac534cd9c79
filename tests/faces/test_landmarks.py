from fau_utils.faces.landmarks import FLIP_49, FLIP_68, GROUPS, INDEX_49


def test_mirroring_twice_changes_nothing():
    assert [FLIP_68[i] for i in FLIP_68] == list(range(68))
    assert [FLIP_49[i] for i in FLIP_49] == list(range(49))


def test_groups_cover_every_point_once_and_mirror_into_themselves():
    assert sorted(i for group in GROUPS.values() for i in group) == list(range(68))
    for group in GROUPS.values():
        assert {FLIP_68[i] for i in group} == set(group)


def test_the_49_leave_out_the_outline_and_the_inner_mouth_corners():
    assert len(INDEX_49) == 49
    assert not set(INDEX_49) & {*range(17), 60, 64}
