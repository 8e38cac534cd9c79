"""The whole benchmark: what runs and why, and that killing it changes nothing but the time it takes."""

import io
import os
import random
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from fau_utils import cli
from fau_utils.bench import command, progress
from fau_utils.bench.store import read_json, write_json


def _ids(bench):
    return {place.id for place in bench.store.places()}


def test_a_second_run_has_nothing_to_do(bench):
    bench.write(methods=("a", "bb"), seeds=2)
    assert bench.run(jobs=2)[0] == 0
    code, said = bench.run(jobs=2)
    assert code == 0
    assert "4 cells: 4 up to date, 0 to run" in said
    assert len(bench.told("begin")) == 4


def test_only_what_changed_runs_again_and_the_reason_is_said(bench):
    bench.write({"one": {"sleep": 0}, "two": {"sleep": 0}}, seeds=2)
    bench.run(jobs=2)
    bench.write({"one": {"sleep": 0}, "two": {"sleep": 0.01}}, seeds=3)
    code, said = bench.run(jobs=2)
    assert code == 0
    assert "6 cells: 2 up to date, 4 to run" in said
    assert "settings sleep=0 -> sleep=0.01: a-two-synth" in said
    assert "never run: " in said
    assert bench.told("begin").count("a.one-0") == 1
    assert bench.told("begin").count("a.two-0") == 2


def test_code_that_changed_runs_everything_again(bench, tmp_path):
    bench.write(seeds=2)
    own = shutil.copy(Path(__file__).with_name("fake_cell.py"), tmp_path / "own_body.py")
    text = bench.file.read_text()
    bench.file.write_text(text.replace(str(Path(__file__).with_name("fake_cell.py")), str(own)))
    bench.run(jobs=2)
    own.write_text(own.read_text() + "# more\n")
    _, said = bench.run(dry=True)
    assert "own_body.py changed: " in said
    assert len(bench.told("begin")) == 2


def test_code_that_is_edited_meanwhile_makes_no_result(bench, tmp_path):
    bench.write({"sleep": 1})
    own = shutil.copy(Path(__file__).with_name("fake_cell.py"), tmp_path / "own_body.py")
    text = bench.file.read_text()
    bench.file.write_text(text.replace(str(Path(__file__).with_name("fake_cell.py")), str(own)))
    driver = bench.start()
    while not bench.told("tick"):
        time.sleep(0.01)
    own.write_text(own.read_text() + "# edited\n")
    said, _ = driver.communicate()
    assert "own_body.py changed after it was planned; the same command takes it up" in said
    assert bench.results() == {}
    code, said = bench.run()
    assert (code, len(bench.results())) == (0, 1)


def test_the_old_result_stands_until_the_new_one_is_whole(bench):
    bench.write({"sleep": 0})
    bench.run()
    first = bench.results()
    bench.write({"fail": 1})
    assert bench.run()[0] == 1
    assert bench.results() == first
    assert bench.place().finished() is None  # and is not taken for what is wanted now


def test_a_failure_stops_no_other_cell_and_is_not_tried_again_unasked(bench):
    bench.write({"good": {"sleep": 0}, "bad": {"fail": 1}}, methods=("a", "bb"))
    code, said = bench.run(jobs=2)
    assert code == 1
    assert "2 done, 2 failed, 0 left" in said
    assert said.count("Traceback\nValueError: a wrong value") == 2
    assert said.count("log.txt") == 2
    _, said = bench.run(jobs=2)
    assert "failed before, not run again (fau bench retry)" in said
    assert len(bench.told("begin")) == 4


def test_retry_runs_what_failed_or_one_of_it(bench):
    bench.write(
        {"x": {"fail": 1, "error": "ValueError: no"}, "y": {"fail": 1, "error": "ConnectionError: no"}}, times=0
    )
    assert bench.run()[0] == 1
    passing = bench.place("a-y").id
    code, said = bench.run(again=[passing])
    assert f"failed: ConnectionError: no (a connection failed): {passing}" in said
    assert sorted(bench.told("begin")) == ["a.x-0", "a.y-0", "a.y-0"]
    assert (code, list(bench.results())) == (1, [passing])  # its second attempt goes on where the first one was
    bench.run(again=[])
    assert bench.told("begin")[3:] == ["a.x-0"]
    with pytest.raises(ValueError, match="nobody did not fail; failed are "):
        bench.run(again=["nobody"])


def test_a_dry_run_changes_nothing(bench):
    bench.write(seeds=2)
    code, said = bench.run(dry=True)
    assert code == 0
    assert "2 to run" in said
    assert not bench.out.exists()


def test_parts_of_a_grid_can_be_run(bench):
    bench.write(methods=("a", "bb"), seeds=2)
    bench.run(only=("bb",))
    assert sorted(bench.told("begin")) == ["bb.default-0", "bb.default-1"]
    bench.run(only=("a-*s1*",))
    assert bench.told("begin")[2:] == ["a.default-1"]
    with pytest.raises(ValueError, match="no cell of grid grid fits ccc"):
        bench.run(only=("ccc",))


def test_running_a_part_leaves_the_rest_of_the_grid_known(bench):
    bench.write(methods=("a", "bb"), seeds=2)
    bench.run(jobs=2)
    code, said = bench.run(only=("a",))
    assert code == 0
    assert "0 cells run; 2 done, 0 failed, 0 left" in said
    assert "2 more in the grid, not asked for" in said
    assert progress.read(bench.store).counts["done"] == 4
    console = Console(file=io.StringIO())
    command.clean(bench.out, console, failed=True)
    assert "0 of 4 cells removed" in console.file.getvalue()
    bench.write(methods=("a", "bb", "ccc"), seeds=2)
    assert bench.run(only=("a",))[0] == 0  # what was asked for is done
    assert progress.read(bench.store).counts == {"done": 4, "running": 0, "failed": 0, "left": 2}


def test_killed_at_random_it_ends_like_an_undisturbed_run(bench, tmp_path_factory):
    """Five SIGKILLs at random moments, at the driver, a cell's process or its body."""
    cells = {"methods": ("a", "bb", "ccc"), "seeds": 3}
    bench.write({"sleep": 0.15}, **cells)
    undisturbed = type(bench)(tmp_path_factory.mktemp("undisturbed"))
    undisturbed.write({"sleep": 0}, **cells)
    undisturbed.run(jobs=2)

    dice = random.Random(os.environ.get("FAU_KILLS", "0"))
    kept: dict[str, str] = {}
    for target in ("driver", "cell", "body", "driver", "cell"):
        driver = bench.start("--jobs", "2")
        time.sleep(dice.uniform(0.3, 0.9))
        _kill(target, driver, bench, dice)
        if target == "driver":
            driver.kill()
        else:
            driver.terminate()
        driver.communicate()
        now = {place.id: place.record["folder"] for place in bench.store.places() if place.record}
        assert kept.items() <= now.items(), "a finished cell was done again"
        kept = now
    bench.run(jobs=2)
    if any(e.state == "failed" for e in progress.read(bench.store).entries):  # three bodies killed in one cell
        bench.run(again=[])
    assert bench.results() == undisturbed.results()
    assert {place.id: place.record["folder"] for place in bench.store.places()}.items() >= kept.items()
    _no_two_at_a_time(bench)


def _kill(target, driver, bench, dice):
    if target == "driver":
        return
    bodies = [p for p in psutil.process_iter() if str(bench.out) in " ".join(_line(p)) and p.pid != driver.pid]
    wanted = "fau_utils.bench.cell" if target == "cell" else "fake_cell.py"
    found = [p for p in bodies if wanted in " ".join(_line(p))]
    if found:
        os.kill(dice.choice(found).pid, signal.SIGKILL)


def _line(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _no_two_at_a_time(bench):
    """Once another process began a cell, the one before is never heard of again."""
    latest: dict[str, str] = {}
    old: set[tuple[str, str]] = set()
    for line in bench.journal.read_text().splitlines():
        who, what, pid, _ = line.split()
        if what == "begin":
            if who in latest:
                old.add((who, latest[who]))
            latest[who] = pid
        assert (who, pid) not in old or latest[who] == pid, line


@pytest.mark.parametrize("half", ["", "{", '{"schema": 1', "[]"])
def test_a_damaged_record_is_no_result(bench, half):
    bench.write()
    bench.run()
    (bench.place().folder / "run.json").write_text(half)
    assert bench.results() == {}
    assert bench.run()[0] == 0
    assert len(bench.told("begin")) == 2


def test_a_record_of_a_later_version_is_left_alone_and_not_read(bench):
    bench.write()
    bench.run()
    path = bench.place().folder / "run.json"
    write_json(path, {**read_json(path), "schema": 99})
    assert bench.place().record is None


def test_status_tells_done_running_failed_left_and_the_time(bench):
    bench.write({"good": {"sleep": 0.2}, "bad": {"fail": 1}})
    bench.run()
    bench.write({"good": {"sleep": 0.2}, "bad": {"fail": 1}}, seeds=2)
    code, _ = bench.run(only=("*good*",))
    bench.write({"good": {"sleep": 0.2}, "bad": {"fail": 1}}, seeds=3)
    from fau_utils.bench import grid, plan

    loaded = grid.load(bench.file)
    plan.write(loaded, bench.store, plan.plan(loaded, bench.store, notebook=bench.file), notebook=bench.file)
    now = progress.read(bench.store)
    assert code == 0
    assert now.counts == {"done": 2, "running": 0, "failed": 1, "left": 3}
    assert now.seconds_left(2) > 0.2


def test_the_command_prints_the_status_and_json(bench, capsys):
    bench.write({"good": {"sleep": 0}, "bad": {"fail": 1}})
    bench.run()
    assert cli.main(["bench", "status", str(bench.out)]) == 1
    assert "ValueError: a wrong value" in capsys.readouterr().out
    assert cli.main(["bench", "status", str(bench.out), "--json"]) == 0
    said = capsys.readouterr().out
    assert '"failed": 1' in said
    assert cli.main(["bench", "status", str(bench.folder)]) == 2
    assert "no benchmark was begun here" in capsys.readouterr().err


def test_time_left_counts_workers_and_what_runs_now():
    def entry(state, **about):
        return progress.Entry("x", {"method": "m"}, state, about, None)

    done = [entry("done", seconds=10.0)] * 3
    left = [entry("left")] * 4
    assert progress.Progress("g", [*done, *left]).seconds_left(1) == 40
    assert progress.Progress("g", [*done, *left]).seconds_left(2) == 20
    running = entry("running", started_at=time.time() - 8)
    assert 1 < progress.Progress("g", [*done, running]).seconds_left(2) < 3
    assert progress.Progress("g", left).seconds_left(2) is None


def test_clean_removes_what_the_grid_has_no_more(bench):
    bench.write(methods=("a", "bb"))
    bench.run()
    bench.write({"fail": 1}, methods=("a",))
    bench.run()
    console = command_console()
    command.clean(bench.out, console)
    assert {place.id[0] for place in bench.store.places()} == {"a"}
    command.clean(bench.out, console, failed=True)
    assert _ids(bench) == set()
    bench.write()
    bench.run()
    command.clean(bench.out, console, everything=True)
    assert _ids(bench) == set()


def command_console():
    from rich.console import Console

    return Console(quiet=True)
