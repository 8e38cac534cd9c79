"""Ours beside published numbers: of the same test, method and variant, or not at all."""

import pandas as pd
import pytest

from fau_utils.results import published
from fau_utils.results.beside import beside

NAMES = {"FMAE-IAT (ViT-L)": ("fmae-iat", "identity"), "FMAE (ViT-L)": ("fmae-iat", "without")}
ASKED = {"data": "bp4d", "folds": 3, "names": NAMES}


def _ours(variant="identity", f1=66.0, **changes):
    place = {"method": "fmae-iat", "variant": variant, "data": "bp4d", "protocol": "ours", "budget": "paper"}
    return {**place, "folds": 3, "f1": f1, "f1_low": f1 - 1, "f1_high": f1 + 1, **changes}


@pytest.fixture(scope="module")
def rows():
    return published.select(dataset="BP4D", protocol="3-fold")


def _beside(rows, *ours, **changes):
    found = beside(rows, pd.DataFrame(list(ours)), **{**ASKED, **changes})
    return dict(zip(found["method"], found["ours"], strict=True)) | {"": (found["ours"] != "").sum()}


def test_variants_of_one_method_are_two_methods(rows):
    found = _beside(rows, _ours(), _ours("without", 64.0))
    assert found["FMAE-IAT (ViT-L)"] == "66.0 [65.0, 67.0]"
    assert found["FMAE (ViT-L)"] == "64.0 [63.0, 65.0]"
    assert found[""] == 2


@pytest.mark.parametrize(
    "other", [{"data": "synth"}, {"folds": 1}, {"protocol": "megraph"}, {"budget": "smoke"}, {"variant": "without"}]
)
def test_another_test_or_variant_is_no_answer(rows, other):
    """A smoke run once stood beside a published number of the same name."""
    found = _beside(rows, _ours(), _ours(f1=11.0, **other))
    assert found["FMAE-IAT (ViT-L)"] == "66.0 [65.0, 67.0]"
    assert _beside(rows, _ours(**other))["FMAE-IAT (ViT-L)"] == ""


def test_a_prepared_folder_is_the_dataset_of_its_name(rows):
    assert _beside(rows, _ours(data="/some/where/BP4D"))[""] == 1


def test_two_answers_are_refused(rows):
    with pytest.raises(ValueError, match=r"found several of \[.'fmae-iat', 'identity'.\]"):
        _beside(rows, _ours(), _ours(data="elsewhere/bp4d"))


def test_without_runs_the_published_numbers_stand_alone_best_first(rows):
    table = beside(rows, pd.DataFrame([_ours(data="synth")]).drop(columns="f1"), **ASKED)
    assert (table["ours"] == "").all()
    assert table["published"].is_monotonic_decreasing
    for dataset, protocol in (("DISFA", "3-fold"), ("BP4D+", "4-fold")):
        assert len(beside(published.select(dataset=dataset, protocol=protocol), pd.DataFrame([_ours()]), **ASKED))


def test_what_was_read_through_another_paper_says_which(rows):
    found = beside(rows, pd.DataFrame([_ours()]), **ASKED)
    by = found.drop_duplicates("method").set_index("method")["read through"]
    assert (by["CLP"], by["MoCo"], by["EAC-Net"]) == ("AUNCE", "AUNCE", "ME-GraphAU")
    assert {by["AUNCE"], by["FMAE-IAT (ViT-L)"], by["FMAE ViT-B"], by["MDHR (Swin-B)"]} == {""}
    assert found.set_index("method").loc["MoCo", "second hand"]
