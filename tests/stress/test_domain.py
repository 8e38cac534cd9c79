import pytest

from fau_utils.methods import CnnDetector
from fau_utils.stress.domain import lab_to_wild
from fau_utils.training import Budget, fit


def test_every_method_is_shown_the_same_faces_and_the_fall_is_counted_from_the_first_gap(blobs):
    near, far = blobs(4, 10, size=16), blobs(4, 10, size=16, first=9, seed=3)
    far.images.copy_(far.images // 4)  # dark: what was learnt no longer helps as much
    learnt, blank = CnnDetector(near.aus, size=16), CnnDetector(near.aus, size=16, seed=1)
    budget = Budget("tiny", views=1600, batch_size=16, lr=5e-3)
    fit(learnt, blobs(6, 20, size=16, first=20), budget=budget, device="cpu", progress=False)
    options = {"faces": {0.0: near, 1.0: far}, "resamples": 20, "device": "cpu"}
    table = lab_to_wild({"learnt": learnt, "blank": blank.eval()}, gaps=(0.0, 1.0), **options)
    assert len(table) == 4
    rows = table.set_index(["method", "gap"])
    assert (rows.xs(0.0, level="gap")["fall"] == 0).all()
    fall = rows.loc[("learnt", 0.0), "auc"] - rows.loc[("learnt", 1.0), "auc"]
    assert rows.loc[("learnt", 1.0), "fall"] == pytest.approx(fall)
    assert rows.loc[("learnt", 0.0), "auc"] > 75
    assert (rows["auc_low"] <= rows["auc"]).all()


def test_methods_that_cannot_be_compared_are_refused(blobs):
    data = blobs(2, 4, size=16)
    one, other = CnnDetector((1, 4, 12), size=16), CnnDetector((4, 1, 12), size=16)
    with pytest.raises(ValueError, match="methods of the same AUs in the same order"):
        lab_to_wild({"one": one, "other": other}, faces={0.0: data}, gaps=(0.0,))
    with pytest.raises(ValueError, match=r"found none for \[1.0\]"):
        lab_to_wild({"one": one}, faces={0.0: data}, gaps=(0.0, 1.0))
    with pytest.raises(ValueError, match="at least one method"):
        lab_to_wild({})
