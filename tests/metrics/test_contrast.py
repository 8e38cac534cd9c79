"""Verdicts follow from intervals."""

import math

import pytest

from fau_utils.metrics.contrast import Contrast, evidence


def _contrast(low: float, high: float, least: float = 0.0) -> Contrast:
    return Contrast("a claim", (low + high) / 2, low, high, over="60 subjects", least=least)


@pytest.mark.parametrize(
    ("low", "high", "least", "verdict"),
    [
        (0.1, 2.0, 0.0, "supported"),
        (-2.0, -0.1, 0.0, "not supported"),
        (-1.0, 1.0, 0.0, "cannot tell"),
        (0.1, 2.0, 1.0, "cannot tell"),
        (0.1, 0.9, 1.0, "not supported"),
        (0.0, 1.0, 0.0, "cannot tell"),
        (-1.0, 0.0, 0.0, "not supported"),
        (math.nan, math.nan, 0.0, "cannot tell"),
    ],
)
def test_verdict_is_read_off_the_interval(low, high, least, verdict):
    assert _contrast(low, high, least).verdict == verdict


def test_an_interval_that_runs_backwards_is_refused():
    with pytest.raises(ValueError, match="runs from 2"):
        _contrast(2.0, 1.0)


def test_the_table_has_a_row_for_each_claim_with_its_verdict():
    table = evidence([_contrast(0.1, 2.0), _contrast(-1.0, 1.0)])
    assert list(table["verdict"]) == ["supported", "cannot tell"]
    assert table["95 % interval"][0] == "+0.1 … +2.0"


def test_a_claim_without_runs_shows_no_number():
    empty = Contrast("a claim", *[math.nan] * 3, over="no runs yet")
    row = evidence([_contrast(0.1, 2.0), empty]).iloc[1]
    assert (row["effect"], row["95 % interval"], row["verdict"]) == ("–", "–", "cannot tell")
