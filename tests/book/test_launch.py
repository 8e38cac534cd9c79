"""Pages open at Binder and Colab once the repository is public, and say nothing of them before."""

from pathlib import Path

import pytest

from fau_utils.book import chapters, launch, pages
from fau_utils.book.errors import UserError
from fau_utils.book.project import Project

ROOT = Path(__file__).parents[2]
CHAPTER = chapters.read(ROOT / "notebooks" / "04_baselines.py")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv(launch.VARIABLE, raising=False)
    (tmp_path / "book").mkdir()

    def made(url, branch="main"):
        (tmp_path / "book" / "conf.py").write_text(f'repository_url = "{url}"\nrepository_branch = "{branch}"\n')
        return Project(tmp_path)

    return made


def _facts(project):
    return pages.facts(pages.Page(CHAPTER, None, None, None), launch.links(*launch.repository(project), CHAPTER))


def test_without_an_address_there_is_no_link(project, built):
    assert "open at" not in _facts(project(""))
    page = (built / "build" / "html" / "chapters" / "00_tour.html").read_text()
    assert "mybinder" not in page
    assert "colab" not in page


def test_the_book_has_no_address_of_its_own_yet(monkeypatch):
    monkeypatch.delenv(launch.VARIABLE, raising=False)
    assert launch.repository(Project(ROOT)) == ("", "main")


def test_links_name_the_notebook_where_it_lies_in_the_repository(project):
    said = _facts(project("https://github.com/lab/faces.git", "stable"))
    notebook = "notebooks/04_baselines.ipynb"
    assert (ROOT / notebook).is_file()
    assert f"(https://colab.research.google.com/github/lab/faces/blob/stable/{notebook})" in said
    assert "(https://mybinder.org/v2/gh/lab/faces/stable?urlpath=lab%2Ftree%2Fnotebooks%2F04_baselines.ipynb)" in said
    assert "%pip install git+https://github.com/lab/faces`" in said


def test_the_environment_goes_before_the_file(project, monkeypatch):
    made = project("https://github.com/lab/faces")
    monkeypatch.setenv(launch.VARIABLE, "https://gitlab.com/group/part/faces/")
    said = _facts(made)
    assert "mybinder.org/v2/gl/group%2Fpart%2Ffaces/main" in said
    assert "colab" not in said, "Colab opens notebooks of GitHub only"


@pytest.mark.parametrize("url", ["github.com/lab/faces", "https://github.com/lab", "https://example.org/lab/faces"])
def test_what_is_no_public_repository_is_refused(project, url):
    with pytest.raises(UserError, match="expected such as"):
        launch.repository(project(url))
