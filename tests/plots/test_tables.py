"""Tables that are sorted and filtered by their reader; ranks with what they do not tell apart."""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from fau_utils.metrics.compare import ranks
from fau_utils.plots.ranking import critical_difference
from fau_utils.plots.tables import sortable

TABLE = pd.DataFrame({"method": ["<b>", "c"], "F1": ["9.1 [8, 10]", ""], "n": [1, 2.5]})


def test_text_is_escaped_and_rows_and_columns_have_headings():
    page = sortable(TABLE, caption="A & B", keys=pd.DataFrame({"F1": [9.1, np.nan]}))
    assert "<b>" not in page
    assert page.count('scope="col"') == 3
    assert page.count('scope="row"') == 2
    assert "<caption>A &amp; B</caption>" in page
    assert '<td class="n" data-v="9.1">9.1 [8, 10]</td>' in page
    assert '<td class="n" data-v=""></td>' in page  # nothing, and sorted last


def test_two_tables_of_a_page_have_fields_of_their_own():
    first, second = (sortable(TABLE, caption="x") for _ in range(2))
    assert first.split('input type="search" id="')[1][:20] != second.split('input type="search" id="')[1][:20]


def test_nothing_is_fetched():
    assert "http" not in sortable(TABLE, caption="x")


def test_a_bar_for_each_group_that_is_not_told_apart():
    rng = np.random.default_rng(0)
    base = rng.normal(size=100)
    found = ranks({"a": base, "b": base + rng.normal(0, 0.01, 100), "c": base - 9})
    figure, axes = plt.subplots()
    critical_difference(axes, found)
    thick = [line for line in axes.lines if line.get_linewidth() > 3]
    assert len(thick) == len(found.cliques) == 1
    assert {text.get_text().split()[0] for text in axes.texts} == {"a", "b", "c", "critical"}
    plt.close(figure)


def test_a_column_of_sentences_gets_room():
    text = pd.DataFrame({"no.": [1, 2], "claim": ["short", "long " * 20], "verdict": ["holds", "does not"]})
    page = sortable(text, caption="all")
    assert page.count('<td class="w">') == 2
    assert "<td>holds</td>" in page
