import pytest
import tree

from fau_utils.book import chapters, project
from fau_utils.book.errors import UserError


@pytest.fixture
def found(tmp_path):
    return chapters.discover(project.find(tree.make(tmp_path / "p")))


def test_a_chapter_says_its_title_part_and_minutes(found):
    first = found[0]
    assert (first.name, first.number, first.title, first.part) == ("00_tour", 0, "A tour of nothing", "First steps")
    assert first.minutes == pytest.approx(0.1)


def test_chapters_are_chosen_by_name_number_or_file(found):
    for word in ("02_sums", "02", "02_sums.py", "notebooks/02_sums.ipynb"):
        assert [c.name for c in chapters.select(found, [word])] == ["02_sums"]
    assert [c.name for c in chapters.select(found, ["02", "00"])] == ["00_tour", "02_sums"]


def test_an_unknown_chapter_is_refused_with_the_nearest_name(found):
    with pytest.raises(UserError, match=r"02_sumz.*did you mean '02_sums'.*00_tour, 02_sums"):
        chapters.select(found, ["02_sumz"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# %%\n1\n", "no title"),
        ("# ---\n# jupyter:\n#   fau:\n#     minuts: 3\n# ---\n# %% [markdown]\n# # T\n", "unknown key 'minuts'"),
        ("# ---\n# jupyter: [\n# ---\n# %% [markdown]\n# # T\n", "not YAML"),
        # a header is data: what would run a command as it is read is refused
        ("# ---\n# jupyter: !!python/object/apply:os.mkdir [ran]\n# ---\n# %% [markdown]\n# # T\n", "not YAML"),
    ],
)
def test_a_chapter_that_does_not_say_what_it_is_is_refused(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "05_x.py"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        chapters.read(path)
    assert not (tmp_path / "ran").exists()


def test_a_file_without_a_number_is_refused(tmp_path):
    (tmp_path / "intro.py").write_text("# %% [markdown]\n# # T\n")
    with pytest.raises(UserError, match="two digits"):
        chapters.read(tmp_path / "intro.py")


def test_a_cell_is_found_in_the_source(found):
    source = "import sys\n\nprint("
    assert found[1].text.splitlines()[chapters.line_of(found[1], source) - 1] == "import sys"
    assert chapters.first_line("# why\n\nx = 1\ny = 2") == "x = 1"
