"""Two numbers for a leaderboard: they mean what they say, and draws of people stand beside them."""

import numpy as np
import pytest
import torch

from fau_utils.data import by_name
from fau_utils.methods import BaseRate, LandmarkMlp
from fau_utils.stress import lab_to_wild, occlusion_curve
from fau_utils.stress.robustness import RATIOS, _patch, fall, few, hidden
from fau_utils.training import fit
from fau_utils.training.evaluate import predict


@pytest.fixture(scope="module")
def world():
    sides = by_name.synth_sides("synth:subjects=6,frames=8")
    method = LandmarkMlp(sides["train"].aus, seed=0)
    fit(method, sides["train"], budget="smoke", seed=0, device="cpu", progress=False)
    return method.eval(), sides["test"]


def test_few_faces_are_of_every_person_and_spread_over_those_there_are(world):
    _, test = world
    some = few(test, frames=3)
    assert some.frames.table.groupby("subject").size().tolist() == [3] * 3
    own = test.frames.table["clip"][test.frames.table["subject"] == test.frames.subjects[0]].tolist()
    kept = some.frames.table["clip"][some.frames.table["subject"] == test.frames.subjects[0]].tolist()
    assert kept == [own[0], own[4], own[7]]
    assert len(few(test, frames=99)) == len(test)


def test_hidden_is_the_area_under_the_stress_chapters_curve_over_its_width(world):
    method, test = world
    found = hidden(method, test, resamples=7, device="cpu")
    curve = occlusion_curve({"m": method}, test, ratios=RATIOS, device="cpu")
    areas = [np.trapezoid(own["auc"], own["ratio"]) / 0.75 for _, own in curve.groupby("kind")]
    assert len(areas) == 2
    assert found["hidden"] == pytest.approx(np.mean(areas))
    assert len(found["hidden_draws"]) == 7
    clear = occlusion_curve({"m": method}, test, ratios=(0.0,), kinds=("random",), device="cpu")["auc"][0]
    assert found["hidden"] < clear - 5  # landmarks that are hidden are lost


def test_a_method_that_sees_nothing_loses_nothing(world):
    _, test = world
    blind = BaseRate(test.aus, subjects=())
    assert hidden(blind, test, resamples=3, device="cpu") == {"hidden": 50.0, "hidden_draws": [50.0] * 3}
    assert fall(blind, people=3, frames=4, resamples=3, device="cpu") == {"fall": 0.0, "fall_draws": [0.0] * 3}


def test_fall_is_that_of_lab_to_wild_and_its_draws_are_of_the_same_people(world):
    method, _ = world
    few_faces = {"people": 3, "frames": 4}
    found = fall(method, **few_faces, resamples=400, device="cpu")
    table = lab_to_wild({"m": method}, gaps=(0.0, 1.0), **few_faces, resamples=5, device="cpu")
    assert found["fall"] == pytest.approx(table["fall"].iloc[-1])
    assert np.nanmedian(found["fall_draws"]) == pytest.approx(found["fall"], abs=6)


def test_a_person_hard_in_both_looks_is_not_in_the_interval_of_the_fall(world):
    method, test = world
    found = fall(method, faces={0.0: test, 1.0: test}, resamples=20, device="cpu")
    assert found == {"fall": 0.0, "fall_draws": [0.0] * 20}
    assert np.ptp(hidden(method, test, resamples=20, device="cpu")["hidden_draws"]) > 0


def test_a_curve_needs_two_shares(world):
    with pytest.raises(ValueError, match="two different ratios"):
        hidden(*world, ratios=(0.5,))


@pytest.mark.parametrize(("side", "patch"), [(64, 8), (112, 16), (224, 16), (100, 10), (20, 2)])
def test_patches_divide_any_picture(side, patch):
    assert _patch(None, side) == patch
    assert side % patch == 0


def test_a_method_is_left_as_it_was(world):
    method, test = world
    before = predict(method, test, device="cpu").prob
    hidden(method, test, resamples=2, device="cpu")
    assert torch.equal(torch.from_numpy(before), torch.from_numpy(predict(method, test, device="cpu").prob))
