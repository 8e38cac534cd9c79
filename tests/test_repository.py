"""The house keeps its shape: lint, format, floors, and files that must agree with each other."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPI_TO_CONDA = {
    "torch": "pytorch",
    "duckdb": "python-duckdb",
    "lmdb": "python-lmdb",
    "playwright": "playwright-python",
}
_REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)(.*)")


def _tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def _split(requirement: str) -> tuple[str, str]:
    name, floor = _REQUIREMENT.fullmatch(requirement.strip()).groups()
    return re.sub(r"[-_.]+", "-", name).lower(), floor.replace(" ", "")


def _pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _requirements() -> dict[str, str]:
    project = _pyproject()["project"]
    extras = project["optional-dependencies"]
    return dict(_split(r) for r in [*project["dependencies"], *extras["book"], *extras["dev"]])


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_ruff_finds_nothing():
    result = _tool("ruff", "check", ".")
    assert result.returncode == 0, result.stdout


def test_ruff_would_format_nothing():
    result = _tool("ruff", "format", "--check", ".")
    assert result.returncode == 0, result.stdout


def test_the_floors_hold():
    code = "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "1 kept, 0 broken" in result.stdout


def test_environment_file_names_what_pyproject_names():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(_split(e) for e in entries if isinstance(e, str))
    python = _pyproject()["project"]["requires-python"].replace(" ", "")
    assert conda.pop("python") == python
    assert "pip" in conda
    conda.pop("pip")
    (from_pypi,) = (e["pip"] for e in entries if isinstance(e, dict))
    conda |= dict(_split(e) for e in from_pypi if not e.startswith("-"))
    assert conda == {PYPI_TO_CONDA.get(name, name): floor for name, floor in _requirements().items()}


def test_environment_file_says_what_each_package_is_for():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    packages = [line for line in lines if re.match(r"  (?:    )?- [a-z].*>=", line) and "  - python>=" not in line]
    assert len(packages) >= len(_requirements())
    assert [line for line in packages if not re.search(r"  # \w+", line)] == []


def test_every_dependency_is_pinned_above_its_floor():
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, f"constraints.txt: {line!r} is not an exact pin"
            pins[re.sub(r"[-_.]+", "-", name).lower()] = version
    for name, floor in _requirements().items():
        assert name in pins, f"{name} has no pin in constraints.txt"
        assert Requirement(f"{name}{floor}").specifier.contains(pins[name], prereleases=True), name


def test_no_tracked_file_names_a_registry_or_holds_a_url_pin():
    hosts = re.compile(
        "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.org", "deb.debian" + r"\.org"])
    )
    found = [
        p.name for p in _tracked() if p.suffix not in {".js", ".png"} and hosts.search(p.read_text(errors="ignore"))
    ]
    assert found == []


def test_large_files_are_the_ones_with_a_reason():
    reasons = {
        "tex-svg.js": "MathJax, so that equations show without a network",
        "occlusion_mae.parquet": "draws of 60 people for 16 masks of every run, without which no interval over people",
    }
    large = {p.name for p in _tracked() if p.stat().st_size > 1_000_000}
    assert large <= set(reasons)


def test_package_imports_without_what_only_the_book_needs():
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'papermill','jupytext','sphinx','myst_nb','seaborn','plotly',"
        "'duckdb','platformdirs','nbformat','typer'}:\n"
        "            raise ImportError(f'{name} is the book\\'s')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import fau_utils.faces, fau_utils.data.images, fau_utils.data.synth, fau_utils.methods.baselines\n"
        "import fau_utils.training, fau_utils.metrics\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


FEELINGS = re.compile(
    r"\b(happ(?:y|iness)|sad(?:ness)?|ang(?:ry|er)|fear(?:ful)?|disgust(?:ed)?|valence|arousal|contempt)\b", re.I
)


def test_nothing_here_names_a_feeling_as_a_label():
    """AUs are movements. Aff-Wild2's own header has columns of feelings, which its layout writes and nobody reads."""
    allowed = {"fau_utils/data/layouts/affwild2.py", "tests/data/test_affwild2.py", "tests/test_repository.py"}
    found = {}
    for path in _tracked():
        name = path.relative_to(ROOT).as_posix()
        if (
            path.suffix in {".py", ".json", ".yml", ".yaml"}
            and name not in allowed
            and not name.startswith("notebooks/")
        ):
            hits = FEELINGS.findall(path.read_text(errors="ignore"))
            if hits:
                found[name] = len(hits)
    assert found == {}


def test_no_code_of_a_chapter_names_a_feeling():
    """Chapters may write about feelings; what they compute has none, but for the uses to be judged in an exercise."""
    allowed = {("90_ethics", "happy"): "a use to be judged in the exercise ex-act"}
    found = set()
    for path in sorted((ROOT / "notebooks").glob("*.py")):
        code = [part for part in re.split(r"^# %%", path.read_text(), flags=re.M) if not part.startswith(" [markdown]")]
        words = FEELINGS.findall("\n".join(code))
        found |= {(path.stem, word.lower()) for word in words}
    assert found == set(allowed)


def test_the_picture_of_the_house_shows_every_room_of_the_contract():
    picture = (ROOT / "book" / "_static" / "architecture.svg").read_text()
    contract = _pyproject()["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [room.strip(" ()") for layer in contract for room in layer.split("|")]
    rooms = [room for room in rooms if (ROOT / "fau_utils" / room).is_dir()]
    assert len(rooms) > 10
    assert [room for room in rooms if f">{room}/<" not in picture] == []
