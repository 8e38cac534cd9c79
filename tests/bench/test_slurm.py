"""Cells on a real SLURM of two nodes. ``make test-slurm`` runs it."""

import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from fau_utils.bench import snake

from .two_nodes import TwoNodes, missing

WORDS = ("--slurm-no-account --slurm-status-command squeue --slurm-init-seconds-before-status-checks 2",)
_absent = missing() or (None if snake.found() else "no command snakemake; see FAU_SNAKEMAKE")

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(_absent is not None, reason=str(_absent))]


@pytest.fixture(scope="module")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    nodes = TwoNodes(folder)
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_both_nodes_work_failures_are_isolated_and_a_killed_job_is_tried_again(cluster, bench):
    settings = {"good": {"sleep": 6}, "bad": {"fail": 1}}
    bench.write(settings, methods=("a", "bb"), seeds=2, gpus=1, memory_gb=0.3, minutes=2)
    outcome = []
    run = threading.Thread(
        target=lambda: outcome.append(bench.run(executor="slurm", jobs=8, arguments=WORDS)), daemon=True
    )
    run.start()
    killed = _kill_one_that_waits(bench, cluster)
    run.join(timeout=240)
    assert outcome, (bench.out / snake.FOLDER / "log.txt").read_text()[-3000:]
    code, said = outcome[0]
    assert code == 1
    assert "4 done, 4 failed, 0 left" in said
    assert {node for node, _ in cluster.jobs()} >= {"n1", "n2"}
    assert {result["gpu"] for result in bench.results().values()} == {"0"}  # each node has one, and calls it 0
    assert len([state for _, state in cluster.jobs() if state != "COMPLETED"]) == 1
    assert bench.told("begin").count(killed) == 2
    assert bench.told("end").count(killed) == 1


def test_what_was_finished_there_is_not_run_again(cluster, bench):
    bench.write(methods=("a",), memory_gb=0.3)
    assert bench.run()[0] == 0
    before = len(cluster.jobs())
    code, said = bench.run(executor="slurm", arguments=WORDS)
    assert (code, len(cluster.jobs())) == (0, before)
    assert "0 to run" in said


def _kill_one_that_waits(bench, cluster, *, patience=90.0):
    """Kill the job of a cell that has begun to wait, and tell whose it was."""
    begin = time.monotonic()
    while time.monotonic() - begin < patience:
        for job in cluster.job_ids("RUNNING"):
            about = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=False).stdout
            for place in bench.store.places():
                state = place.state or {}
                at = place.spec["place"]
                who = f"{at['method']}.{at['variant']}-{at['seed']}"
                runs = state.get("state") == "running" and f"wildcards_{place.id}" in about
                if runs and who in bench.told("tick"):
                    subprocess.run(["scancel", "--signal=KILL", "--full", job], check=True)
                    return who
        time.sleep(0.2)
    raise AssertionError("no job was seen running: " + str(cluster.jobs()))
