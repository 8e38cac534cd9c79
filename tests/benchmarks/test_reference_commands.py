"""What the caption of a reference table tells the reader to type can be typed."""

import shlex
from pathlib import Path

import pytest

from fau_utils.results import reference

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in reference.FOLDER.glob("*.parquet"))


def test_there_are_reference_tables():
    assert len(NAMES) > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_command_of_a_table_is_one_of_this_repository(name):
    words = shlex.split(reference.read(name).record["command"])
    if words[0] == "fau":
        assert words[:3] == ["fau", "bench", "run"]
        assert (ROOT / "benchmarks" / "grids" / f"{words[3]}.yml").is_file()
    else:
        assert words[0] == "python"
        assert (ROOT / words[1]).is_file()
