"""The whole command: what runs, what is kept, what is said when something goes wrong, and how it recovers."""

import ctypes
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

import psutil
import pytest
import tree

from fau_utils.book import check, project, records

QUICK = """\
# %% [markdown]
# # Quick

# %% tags=["parameters"]
seed: int = 0  # all randomness comes from it

# %%
seed + 1
"""
FAILING = QUICK.replace("# # Quick", "# # Failing") + "\n# %%\n# a reason\nvalue = seed / 0\n"
DRAWING = """\
# %% [markdown]
# # Drawing

# %%
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()
"""
SLOW = """\
# %% [markdown]
# # Slow

# %%
import os, time
from pathlib import Path

if "FAU_TEST_MARK" in os.environ:
    Path(os.environ["FAU_TEST_MARK"]).write_text(str(os.getpid()))
    time.sleep(120)
"""


def _words(path):
    """A page as a reader sees it."""
    return re.sub(r"<[^>]+>", "", path.read_text())


def _names(folder, pattern="*"):
    return sorted(path.name for path in folder.glob(pattern))


def _start(root, mark, **options):
    """The command in a process of its own, stopped in the middle of the slow chapter."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fau_utils.cli", "book", "--root", str(root), "--no-html", "--jobs", "1"],
        env={**os.environ, "FAU_TEST_MARK": str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    end = time.monotonic() + 120
    while not (mark.exists() and mark.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.1)
    return process, int(mark.read_text())


def _gone(pid, seconds):
    end = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_figures_are_shown_whatever_the_caller_draws_with(tmp_path, fau, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")  # as on a machine without a screen
    root = tree.make(tmp_path / "project", _01_drawing=DRAWING)
    assert fau("book", root, "--no-html")[0] == 0
    node = json.loads((root / "build" / "executed" / "01_drawing.ipynb").read_text())
    shown = [kind for cell in node["cells"] for output in cell.get("outputs", []) for kind in output.get("data", {})]
    assert "image/png" in shown


def test_the_built_book_has_no_problems(built):
    assert check.check(built / "build" / "html", private=[built, tree.ROOT]) == []


def test_sphinx_had_nothing_to_complain_about(built):
    assert json.loads((built / "build" / "html.json").read_text())["warnings"] == []


def test_numbers_in_the_prose_come_from_the_run(built):
    import numpy as np

    mean = np.random.default_rng(0).normal(size=20).mean()
    page = (built / "build" / "html" / "chapters" / "00_tour.html").read_text()
    assert f"{mean:.3f}" in page


def test_chapters_keep_the_number_of_their_file(built):
    page = (built / "build" / "html" / "chapters" / "02_sums.html").read_text()
    assert "Figure 0.1" in page
    assert "2. </span>Sums" in page


def test_a_page_says_where_it_comes_from_and_offers_its_notebook(built):
    page = _words(built / "build" / "html" / "chapters" / "00_tour.html")
    for word in ("Where this page comes from", "numpy 2.", "seed = 0", "Run at", "Download this notebook"):
        assert word in page
    other = _words(built / "build" / "html" / "chapters" / "02_sums.html")
    assert other.count("words on the error stream") == 1  # in the code, not as output


def test_plotly_is_loaded_only_where_it_is_used(built):
    html = built / "build" / "html"
    assert "plotly.min.js" in (html / "chapters/00_tour.html").read_text()
    assert "plotly.min.js" not in (html / "chapters/02_sums.html").read_text()
    assert (html / "_static" / "plotly.min.js").stat().st_size > 1_000_000


def test_an_executed_notebook_says_what_ran_without_saying_where(built):
    node = json.loads((built / "build" / "executed" / "00_tour.ipynb").read_text())
    about = node["metadata"]["papermill"]
    assert about["input_path"] == "notebooks/00_tour.ipynb"
    assert about["parameters"] == {"budget": "smoke"}
    assert str(built) not in json.dumps(node)
    assert "fau_publish" not in json.dumps(node)


def test_the_record_knows_the_code_that_was_used(built):
    record = records.load(project.find(built), "00_tour")
    assert "fau_utils/aus.py" in record.used
    assert not [name for name in record.used if "faces/" in name]
    assert record.memory > 10e6


def test_nothing_is_built_inside_a_source_folder(built):
    assert _names(built) == ["book", "build", "notebooks"]
    assert _names(built / "notebooks") == ["00_tour.ipynb", "00_tour.py", "02_sums.ipynb", "02_sums.py"]
    assert _names(built / "book", "_generated") == []


def test_a_second_run_runs_nothing_and_builds_nothing(copy, fau):
    before = (copy / "build" / "html" / "index.html").stat().st_mtime_ns
    begin = time.monotonic()
    code, said = fau("book", copy, "--budget", "smoke")
    assert code == 0
    assert time.monotonic() - begin < 10
    assert "nothing to run" in said
    assert "HTML is up to date" in said
    assert (copy / "build/html/index.html").as_uri() in said
    assert (copy / "build" / "html" / "index.html").stat().st_mtime_ns == before


def test_a_command_that_does_nothing_imports_nothing_heavy(copy):
    code = (
        "import sys; from fau_utils import cli\n"
        f"assert cli.main(['book', '--root', {str(copy)!r}, '--budget', 'smoke']) == 0\n"
        "heavy = {'torch', 'papermill', 'nbformat', 'jupytext', 'sphinx', 'pandas', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_only_the_changed_chapter_runs_and_an_untouched_text_does_not(copy, fau):
    first = copy / "notebooks" / "00_tour.py"
    os.utime(first)
    second = copy / "notebooks" / "02_sums.py"
    second.write_text(second.read_text().replace("range(terms)", "range(terms + 1)"))
    code, said = fau("book", copy, "--budget", "smoke", "--no-html")
    assert code == 0
    assert "02_sums runs: text changed" in said
    assert "00_tour runs" not in said
    assert "note: 02_sums.ipynb is not what 02_sums.py makes" in said


def test_the_list_shows_states_and_runs_nothing(copy, fau):
    second = copy / "notebooks" / "02_sums.py"
    second.write_text(second.read_text() + "\n")
    code, said = fau("book", copy, "--list")
    assert code == 0
    lines = {line.split()[0]: line for line in said.splitlines() if line}
    assert "up to date" in lines["00_tour"]
    assert "text changed" in lines["02_sums"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "sede=1"], "no chapter has a parameter 'sede', did you mean 'seed'?"),
        (["--set", "seed=1.5"], "parameter seed: expected int, found '1.5'"),
        (["--only", "02_sums", "--set", "rate=1"], "no chapter has a parameter 'rate'"),
        (["--only", "00_tuor"], "did you mean '00_tour'?"),
        (["--budget", "laptp"], "did you mean 'laptop'?"),
        (["--jobs", "0"], "expected 1 or more"),
    ],
)
def test_a_mistake_is_one_line_and_runs_nothing(built, fau, words, said):
    code, output = fau("book", built, *words)
    assert code == 2
    assert said in output
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    ("budget", "cores", "free", "asked", "expected"),
    [
        ("laptop", 2, 24, None, (2, 1)),
        ("laptop", 8, 24, None, (3, 2)),
        ("laptop", 16, 64, None, (3, 5)),
        ("laptop", 8, 5, None, (1, None)),
        ("gpu", 16, 64, None, (1, None)),
        ("gpu", 16, 64, 2, (2, 8)),
    ],
)
def test_as_many_chapters_run_at_a_time_as_the_machine_carries(
    tmp_path, fau, monkeypatch, budget, cores, free, asked, expected
):
    text = QUICK.replace("seed: int = 0", 'budget: str = "laptop"  # smoke, laptop, gpu or paper\nseed: int = 0')
    meant = {"_01_short": 1, "_02_long": 9, "_03_mean": 4}
    header = "# ---\n# jupyter:\n#   fau:\n#     minutes: {}\n# ---\n\n"
    root = tree.make(tmp_path / "p", **{name: header.format(minutes) + text for name, minutes in meant.items()})
    memory = types.SimpleNamespace(available=free * 2**30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr("fau_utils.book.command.cpus", lambda: cores)
    begun = []

    def run(project, jobs, *, workers, watcher, threads):
        begun.append(([job.chapter.name for job in jobs], workers, threads))
        return {}

    monkeypatch.setattr("fau_utils.book.runner.run", run)
    words = [] if asked is None else ["--jobs", str(asked)]
    fau("book", root, "--budget", budget, "--no-html", *words)
    known = budget == "laptop"  # how long a chapter takes at another one, nobody has said
    names = ["02_long", "03_mean", "01_short"] if expected[0] > 1 and known else ["01_short", "02_long", "03_mean"]
    assert begun == [(names, *expected)]


def test_a_failing_chapter_is_told_by_cell_while_others_go_on_and_is_no_page(tmp_path, fau):
    root = tree.make(tmp_path / "p", _01_bad=FAILING, _02_good=QUICK, _03_later=QUICK)
    some = ("--only", "01_bad", "--only", "02_good")
    code, said = fau("book", root, *some)
    assert code == 1
    line = next(line for line in said.splitlines() if "01_bad failed" in line)
    assert "cell 4 (notebooks/01_bad.py, line 11): value = seed / 0 -> ZeroDivisionError" in line
    assert _names(root / "build" / "executed") == ["02_good.ipynb"]
    assert "the HTML was not built: 01_bad failed" in said
    assert not (root / "build" / "html").exists()
    assert (root / "build" / "failed" / "01_bad.ipynb").exists()

    code, said = fau("book", root, *some, "--keep-going")
    assert code == 1
    assert "02_good runs" not in said
    html = root / "build" / "html" / "chapters"
    assert "This chapter failed" in _words(html / "01_bad.html")
    assert "ZeroDivisionError" in _words(html / "01_bad.html")
    assert "seed = 0" in _words(html / "02_good.html")
    assert "has not been run here" in _words(html / "03_later.html")

    (root / "notebooks" / "01_bad.py").write_text(FAILING.replace("/ 0", "/ 1"))
    code, said = fau("book", root, *some, "--no-html")
    assert code == 0
    assert _names(root / "build" / "failed") == []
    assert _names(root / "build" / "executed") == ["01_bad.ipynb", "02_good.ipynb"]


def test_a_run_killed_in_the_middle_of_a_chapter_keeps_what_was_finished(tmp_path, fau):
    root = tree.make(tmp_path / "p", _01_one=QUICK, _02_slow=SLOW)
    process, kernel = _start(root, tmp_path / "mark")
    process.kill()
    process.communicate()
    assert _gone(kernel, 20), "the kernel outlives the run"
    assert _names(root / "build" / "executed") == ["01_one.ipynb"]

    code, said = fau("book", root, "--no-html")
    assert code == 0
    assert "01_one runs" not in said
    assert "02_slow runs: never run" in said
    assert _names(root / "build" / "executed") == ["01_one.ipynb", "02_slow.ipynb"]
    assert not (root / "build" / "work").exists()


def test_a_run_that_is_told_to_stop_ends_its_kernels_and_says_what_is_kept(tmp_path):
    root = tree.make(tmp_path / "p", _01_one=QUICK, _02_slow=SLOW)
    process, kernel = _start(root, tmp_path / "mark")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "fau: stopped; 1 of 2 chapters finished and kept. The next run goes on from there"
    assert "Traceback" not in said
    assert _gone(kernel, 5)
    assert _names(root / "build" / "records") == ["01_one.json"]
    assert _names(root / "build" / "failed") == []


def _without_the_right_to_write_anywhere():
    if os.getuid() == 0:
        ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE: root obeys permissions as others do


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="drops a Linux capability")
def test_a_read_only_build_folder_is_one_line_and_the_next_run_recovers(tmp_path, fau):
    root = tree.make(tmp_path / "p", _01_one=QUICK)
    (root / "build").mkdir()
    (root / "build").chmod(0o555)
    result = subprocess.run(
        [sys.executable, "-m", "fau_utils.cli", "book", "--root", str(root), "--no-html", "--jobs", "1"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_without_the_right_to_write_anywhere,
    )
    (root / "build").chmod(0o755)
    assert result.returncode == 2
    assert len((result.stdout + result.stderr).splitlines()) == 1
    assert "cannot write" in result.stderr
    assert "make it writable" in result.stderr
    assert fau("book", root, "--no-html")[0] == 0


def test_a_disk_that_fills_up_in_the_middle_is_one_line_and_the_next_run_recovers(tmp_path, fau, monkeypatch):
    root = tree.make(tmp_path / "p", _01_one=QUICK)
    with monkeypatch.context() as patch:

        def full(path, data):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        patch.setattr(records, "write", full)
        code, said = fau("book", root, "--no-html")
    assert code == 2
    assert "No space left on device" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert _names(root / "build" / "executed") == []
    assert fau("book", root, "--no-html")[0] == 0


def test_a_chapter_also_runs_with_papermill_alone_from_any_folder(built, tmp_path, monkeypatch):
    import papermill

    monkeypatch.chdir(tmp_path)
    source = built / "notebooks" / "02_sums.ipynb"
    out = tmp_path / "out.ipynb"
    (tmp_path / "empty").mkdir()
    papermill.execute_notebook(str(source), str(out), {"terms": 5}, cwd=str(tmp_path / "empty"), progress_bar=False)
    assert '"10"' in out.read_text()
