"""One cell: its limits, its retries, what it leaves behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fau_utils.bench import command, processes


def _until(said, seconds=60.0):
    begin = time.monotonic()
    while not said():
        assert time.monotonic() - begin < seconds, "it did not come"
        time.sleep(0.01)


def test_a_finished_cell_is_a_record_with_its_files_and_nothing_else(bench):
    bench.write()
    assert bench.run()[0] == 0
    place = bench.place()
    record = place.record
    assert record["result"] == {"score": 1, "gpu": ""}
    assert record["attempts"] == 1
    assert record["seconds"] > 0
    assert record["ingredients"]["parameters"]["method"] == "a"
    left = {path.name for path in place.folder.iterdir()}
    assert left == {"run.json", "spec.json", "lock", "log.txt", record["folder"]}
    assert "hello from a.default-0" in place.log.read_text()


def test_a_passing_cause_is_tried_again_and_a_wrong_value_is_not(bench):
    passing = {"fail": 1, "error": "OutOfMemoryError: CUDA out of memory"}
    bench.write({"wrong": {"fail": 1}, "full": passing, "killed": {"die": 2}, "hopeless": {**passing, "fail": 9}})
    code, said = bench.run(jobs=2)
    assert code == 1
    attempts = {words: bench.told("begin").count(f"a.{words}-0") for words in ("wrong", "full", "killed", "hopeless")}
    assert attempts == {"wrong": 1, "full": 2, "killed": 3, "hopeless": 3}
    assert bench.place("full").record["tries"][0]["cause"].endswith("(the device's memory was full)")
    assert "SIGKILL" in bench.place("killed").record["tries"][0]["cause"]
    assert "cell 3 of the notebook: ValueError: a wrong value" in said
    assert "2 done, 2 failed" in said


def test_each_wait_before_a_retry_is_four_times_the_one_before(bench):
    bench.write({"die": 2}, wait=0.1)
    bench.run()
    begun = [float(line.split()[3]) for line in bench.journal.read_text().splitlines() if " begin " in line]
    assert begun[1] - begun[0] >= 0.1
    assert begun[2] - begun[1] >= 0.4


@pytest.mark.parametrize(("settings", "limits", "kind"), [
    ({"sleep": 30}, {"minutes": 0.01}, "time"),
    ({"eat": 300}, {"memory_gb": 0.15}, "memory"),
])  # fmt: skip
def test_a_cell_that_uses_more_than_it_may_is_ended_with_its_children(bench, settings, limits, kind):
    bench.write({**settings, "child": 1}, **limits)
    begin = time.monotonic()
    assert bench.run()[0] == 1
    assert time.monotonic() - begin < 25
    state = bench.place().state
    assert state["kind"] == kind
    assert f"{kind} limit" in state["error"]
    assert processes._marked(str(bench.place().folder)) == []
    assert len(bench.told("begin")) == 1


def test_children_do_not_outlive_a_finished_cell(bench):
    bench.write({"child": 1})
    assert bench.run()[0] == 0
    assert processes._marked(str(bench.place().folder)) == []


def test_a_body_ends_with_the_process_that_watches_it(bench):
    bench.write({"sleep": 30})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    driver.kill()  # it would begin the cell again
    driver.communicate()
    assert processes._marked(str(bench.place().folder))
    os.kill(bench.place().state["pid"], signal.SIGKILL)
    _until(lambda: not processes._marked(str(bench.place().folder)))


def test_what_was_cut_off_goes_on_in_a_folder_of_another_name(bench):
    bench.write({"sleep": 0.3})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    first = bench.place().works()
    os.kill(bench.place().state["pid"], signal.SIGKILL)
    said, _ = driver.communicate()
    assert driver.returncode == 0, said  # it is begun again at once
    place = bench.place()
    assert len(place.works()) == 1
    assert place.works() != first
    assert (place.works()[0] / "attempts").read_text() == "xx"  # its checkpoints would be there, too


def test_a_cell_is_not_run_beside_itself(bench):
    bench.write({"sleep": 0.5})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    line = [sys.executable, "-m", "fau_utils.bench.cell", str(bench.place().folder)]
    assert subprocess.run(line, check=False).returncode == 0
    assert bench.told("begin") == ["a.default-0"]
    driver.communicate()


def test_an_orphan_that_is_still_wanted_is_waited_for(bench):
    bench.write({"sleep": 2})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    driver.kill()
    driver.communicate()
    code, said = bench.run()
    assert code == 0
    assert "outlived its driver" in said
    assert bench.told("begin") == ["a.default-0"]


def test_an_orphan_that_is_no_longer_wanted_is_ended(bench):
    bench.write({"sleep": 30})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    orphan = bench.place().state
    driver.kill()
    driver.communicate()
    bench.write({"sleep": 0})
    assert bench.run()[0] == 0
    assert not processes.alive(orphan["pid"], orphan["started"])
    assert bench.place().record["parameters"]["settings"][-1] == "sleep=0"


def test_a_stopped_run_ends_its_cells_and_goes_on_later(bench):
    bench.write({"sleep": 0.5})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    driver.terminate()
    said, _ = driver.communicate(timeout=20)
    assert driver.returncode == 130
    assert "stopped" in said
    assert processes._marked(str(bench.place().folder)) == []
    code, said = bench.run()
    assert code == 0
    assert "was stopped" in said


def test_two_drivers_exclude_each_other(bench):
    bench.write({"sleep": 20})
    driver = bench.start()
    _until(lambda: bench.told("tick"))
    with pytest.raises(ValueError, match=f"process {driver.pid}"):
        bench.run()
    assert bench.store.driver == driver.pid
    with pytest.raises(ValueError, match="another fau bench"):
        command.clean(bench.out, None)
    driver.terminate()
    driver.communicate()
    assert bench.store.driver is None
