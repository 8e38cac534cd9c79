import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fau_utils import provenance
from fau_utils.results import reference

TABLE = pd.DataFrame({"views": [100, 200], "auc": [0.6, float("nan")]})


def kept(folder, **changes):
    given = {"command": "python speed.py", "code": ["fau_utils.batch"], "device": "a laptop", **changes}
    return reference.write("speed", TABLE, folder=folder, **given)


def test_a_table_comes_back_with_where_it_is_from(tmp_path):
    kept(tmp_path, extra={"seeds": [0, 1]})
    found = reference.read("speed", folder=tmp_path)
    pd.testing.assert_frame_equal(found.table, TABLE)
    assert found.record["seeds"] == [0, 1]
    assert found.record["versions"]["torch"]
    assert "python speed.py" in found.origin
    assert "a laptop" in found.origin
    assert [path.name for path in tmp_path.iterdir()] == ["speed.parquet"]


def test_a_table_is_stale_when_its_code_changes(tmp_path, monkeypatch):
    kept(tmp_path)
    found = reference.read("speed", folder=tmp_path)
    assert not found.stale
    assert "changed" not in found.origin
    monkeypatch.setattr(provenance, "code_hash", lambda code: "another")
    assert found.stale
    assert "changed since" in found.origin


def test_a_table_is_stale_when_its_code_is_gone(tmp_path):
    kept(tmp_path)
    found = reference.read("speed", folder=tmp_path)
    found.record["code"] = ["fau_utils.nothing"]
    assert found.stale


def test_what_is_missing_damaged_or_of_unknown_origin_is_refused_by_name(tmp_path):
    path = kept(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'sped', found \['speed'\]"):
        reference.read("sped", folder=tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"speed\.parquet is damaged"):
        reference.read("speed", folder=tmp_path)
    pq.write_table(pq.read_table(kept(tmp_path)).replace_schema_metadata(None), path)
    with pytest.raises(ValueError, match="nothing of its origin"):
        reference.read("speed", folder=tmp_path)


def test_an_empty_table_is_no_result(tmp_path):
    with pytest.raises(ValueError, match="empty"):
        reference.write("speed", TABLE[:0], command="", code=[], device="", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_reference_result_of_the_book_can_be_read():
    for path in reference.FOLDER.glob("*.parquet"):
        found = reference.read(path.stem)
        assert len(found.table)
        assert found.record["command"]


def test_lists_are_kept_in_single_precision_where_that_loses_nothing(tmp_path):
    draws = np.float32([0.1, np.nan, 3e9]).tolist()
    rows = pd.DataFrame({"draws": [draws, None], "exact": [[0.1], [1.0]]})
    path = reference.write("kept", rows, command="x", code=["fau_utils.aus"], device="cpu", folder=tmp_path)
    kinds = {field.name: field.type.value_type for field in pq.read_schema(path) if field.name in rows}
    assert {name: str(kind) for name, kind in kinds.items()} == {"draws": "float", "exact": "double"}
    found = reference.read("kept", folder=tmp_path).table
    np.testing.assert_array_equal(np.float64(found["draws"][0]), draws)
    assert found["exact"][0][0] == 0.1
