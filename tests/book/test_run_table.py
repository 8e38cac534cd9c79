"""The table of minutes on the home page."""

import dataclasses
import inspect
import re

import pytest

from fau_utils.book import chapters, pages, records


def _page(name, *, date, seconds):
    empty = {parameter: {} for parameter in inspect.signature(records.Record).parameters}
    record = records.Record(**{**empty, "chapter": name, "seconds": seconds, "date": date, "memory": 2**30,
                               "device_memory": 0, "device": "a machine", "schema": 1})  # fmt: skip
    values = {field.name: None for field in dataclasses.fields(chapters.Chapter)}
    chapter = chapters.Chapter(**{**values, "name": name, "number": 0, "title": name})
    return pages.Page(chapter, record, None, None)


@pytest.mark.parametrize(
    ("ends", "clock"),
    [
        (["10:10", "10:10", "10:20"], "20.0 min"),  # the first two side by side
        (["10:10", "10:14", "10:20"], "20.0 min"),  # each begins before the one before it ends
        (["10:10", "10:15", "11:00"], "25.0 min"),  # and one later, alone
        (["10:10", "10:20", "10:30"], None),  # one after the other
    ],
)
def test_time_on_the_clock_is_said_where_chapters_ran_at_the_same_time(ends, clock):
    found = [_page(f"c{n}", date=f"2026-11-21T{end}:00+00:00", seconds=600.0) for n, end in enumerate(ends)]
    text = pages.run_table(found)
    assert "| **together** | | **30.0 min** |" in text
    said = re.search(r"same time: (.+?) on the clock", text)
    assert (said and said.group(1)) == clock
    assert "Run on: a machine." in text
