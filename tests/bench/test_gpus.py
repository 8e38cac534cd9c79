"""One device for one cell at a time."""

import os
import subprocess
import sys
import threading

import pytest

from fau_utils.bench import gpus


def test_each_lease_is_another_device_and_a_third_waits(tmp_path):
    got = []

    def third():
        with gpus.lease(["3", "5"], folder=tmp_path, every=0.01) as (name, _):
            got.append(name)

    with gpus.lease(["3", "5"], folder=tmp_path) as (first, _):
        with gpus.lease(["3", "5"], folder=tmp_path) as (second, _):
            waiting = threading.Thread(target=third)
            waiting.start()
            waiting.join(0.1)
            assert (first, second, got) == ("3", "5", [])
        waiting.join(10)
    assert got == ["5"]


def test_a_killed_process_lets_go_of_its_device(tmp_path):
    code = "from fau_utils.bench import gpus; from pathlib import Path; import sys, time\n"
    code += "with gpus.lease(['0'], folder=Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    with gpus.lease(["0"], folder=tmp_path) as (name, _):
        assert name == "0"


def test_cells_side_by_side_get_devices_of_their_own(bench, monkeypatch):
    monkeypatch.setenv(gpus.POOL, "6,7")
    monkeypatch.setenv("TMPDIR", str(bench.folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    bench.write({"sleep": 0.4}, seeds=4, gpus=1)
    assert bench.run(jobs=4)[0] == 0  # four are allowed, two can
    journal = [line.split() for line in bench.journal.read_text().splitlines()]
    beside = most = 0
    for _, what, *_ in journal:
        beside += {"begin": 1, "end": -1}.get(what, 0)
        most = max(most, beside)
    assert most == 2
    assert sorted(result["gpu"] for result in bench.results().values()) == ["6", "6", "7", "7"]


def test_what_a_cluster_assigned_is_kept(bench, monkeypatch):
    monkeypatch.delenv(gpus.POOL, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    bench.write(gpus=1)
    assert bench.run()[0] == 0
    assert bench.place().record["gpu"] == "4"


def test_a_cell_that_asks_for_none_sees_none(bench, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    bench.write()
    bench.run()
    assert bench.place().record["result"]["gpu"] == ""


def test_a_computer_without_devices_fails_the_cell_in_words(bench, monkeypatch):
    monkeypatch.setenv(gpus.POOL, "")
    bench.write(gpus=1)
    code, said = bench.run()
    assert code == 1
    assert "asks for a GPU and there is none here" in said


@pytest.mark.parametrize(
    ("environment", "pool"),
    [({gpus.POOL: "0, 2"}, ["0", "2"]), ({"CUDA_VISIBLE_DEVICES": "1"}, ["1"]), ({"CUDA_VISIBLE_DEVICES": "-1"}, [])],
)
def test_the_pool_is_what_was_named(monkeypatch, environment, pool):
    for name in (gpus.POOL, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setitem(os.environ, name, value)
    assert gpus.pool() == pool
