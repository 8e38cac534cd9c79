from dataclasses import replace

import pytest
import tree

from fau_utils.book import chapters, project, records, staleness

NOTEBOOK = b"{}"
FILES = {"fau_utils/aus.py": "1", "fau_utils/faces/render.py": "2", "fau_utils/data/folds.json": "3"}


@pytest.fixture
def here(tmp_path):
    return project.find(tree.make(tmp_path / "p"))


@pytest.fixture
def chapter(here):
    return chapters.read(here.notebooks / "02_sums.py")


@pytest.fixture
def record(here, chapter):
    record = records.Record(
        chapter=chapter.name,
        text=chapter.hash,
        notebook=project.digest(NOTEBOOK),
        values={"seed": "0", "budget": "'laptop'"},
        declared=[],
        used={"fau_utils/aus.py": "1", "fau_utils/faces/render.py": "2"},
        inputs={},
        versions={},
        revision=None,
        device="x",
        memory=1,
        device_memory=0,
        seconds=1.0,
        cell_seconds=[],
        date="2026-01-01T00:00:00+00:00",
    )
    records.keep(here, record, NOTEBOOK)
    return record


def _reason(here, chapter, files=FILES, **values):
    return staleness.reason(here, chapter, files=files, values={"seed": 0, "budget": "laptop"} | values)


def test_nothing_changed_is_no_reason(here, chapter, record):
    assert _reason(here, chapter) is None


def test_a_chapter_without_record_was_never_run(here, chapter):
    assert _reason(here, chapter) == "never run"


def test_text_changed(here, chapter, record):
    assert _reason(here, replace(chapter, text=chapter.text + "\n# %%\n1\n")) == "text changed"


def test_line_endings_are_no_change(here, chapter, record):
    assert _reason(here, replace(chapter, text=chapter.text.replace("\n", "\r\n"))) is None


def test_used_code_changed_or_went_and_other_code_does_not_count(here, chapter, record):
    changed = FILES | {"fau_utils/faces/render.py": "9"}
    assert _reason(here, chapter, changed) == "fau_utils/faces/render.py changed"
    gone = {k: v for k, v in FILES.items() if "aus" not in k}
    assert _reason(here, chapter, gone) == "fau_utils/aus.py removed"
    assert _reason(here, chapter, FILES | {"fau_utils/data/folds.json": "9", "fau_utils/new.py": "1"}) is None


def test_a_parameter_changed(here, chapter, record):
    assert _reason(here, chapter, budget="smoke") == "parameter budget laptop -> smoke"
    assert staleness.reason(here, chapter, files=FILES) is None  # nobody asked for other values


def test_a_package_changed(here, chapter, record):
    records.keep(here, replace(record, versions={"numpy": "0.1"}), NOTEBOOK)
    assert _reason(here, chapter).startswith("numpy 0.1 -> ")


def test_an_input_file_changed_or_came(here, chapter, record):
    (here.root / "book" / "numbers.csv").write_text("1")
    chapter = replace(chapter, inputs=("book/num*.csv",))
    assert _reason(here, chapter) == "book/numbers.csv added"
    records.keep(here, replace(record, inputs=staleness.inputs(here, chapter)), NOTEBOOK)
    assert _reason(here, chapter) is None
    (here.root / "book" / "numbers.csv").write_text("2")
    assert _reason(here, chapter) == "book/numbers.csv changed"


def test_a_damaged_or_missing_notebook_or_record_is_noticed(here, chapter, record):
    path = records.executed_path(here, chapter.name)
    path.write_bytes(b"half")
    assert "damaged" in _reason(here, chapter)
    path.unlink()
    assert "missing" in _reason(here, chapter)
    (here.records / "02_sums.json").write_text('{"chapter": "02_')
    assert _reason(here, chapter) == "never run"


def test_data_files_beside_imported_modules_count_as_used():
    used = staleness.used_with_data(["fau_utils/data/video.py"], FILES | {"fau_utils/data/video.py": "5"})
    assert used == {"fau_utils/data/folds.json": "3", "fau_utils/data/video.py": "5"}


def test_the_snapshot_names_the_package_files():
    files = staleness.snapshot()
    assert "fau_utils/aus.py" in files
    assert not [name for name in files if name.endswith(".pyc")]
