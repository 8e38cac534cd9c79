"""What clusters are given: rules for Snakemake, a Job for Kubernetes."""

import json
import shlex
import subprocess
import sys

import pytest
import yaml

from fau_utils import cli
from fau_utils.bench import grid, kubernetes, plan, snake
from fau_utils.bench.store import ROOT, Place

needs_snakemake = pytest.mark.skipif(snake.found() is None, reason="no command snakemake; see FAU_SNAKEMAKE")


def _tasks(bench):
    loaded = grid.load(bench.file)
    tasks = plan.plan(loaded, bench.store, notebook=bench.file)
    with bench.store.driven():
        plan.write(loaded, bench.store, tasks, notebook=bench.file)
    return tasks


def _cell(*words):
    return subprocess.run([sys.executable, "-m", "fau_utils.bench.cell", *words], check=False).returncode


def test_rules_ask_for_what_a_cell_may_use_and_for_time_to_try_again(bench):
    bench.write(minutes=10, memory_gb=2, cpus=4, gpus=1, times=2, wait=60)
    path = snake.write(_tasks(bench), bench.folder / "rules")
    (needs,) = json.loads((bench.folder / "rules" / "cells.json").read_text()).values()
    assert needs == {
        "folder": str(bench.place().folder), "threads": 4, "mem_mb": 2500, "runtime": 3 * 10 + (1 + 4) + 5, "gpu": 1
    }  # fmt: skip
    assert "resources: gpu=" in path.read_text()
    assert "--told" in path.read_text()


def test_cells_without_limits_ask_for_none(bench):
    bench.write()
    assert "resources" not in snake.write(_tasks(bench), bench.folder / "rules").read_text()


def test_words_for_snakemake_are_handed_on(bench):
    line = snake.line(bench.folder, "slurm", jobs=7, arguments=["--slurm-no-account --retries 0"])
    assert line[-2:] == ["--retries", "0"]
    assert line[line.index("--jobs") + 1] == "7"


def test_a_missing_snakemake_is_one_line(bench, monkeypatch, capsys):
    bench.write()
    monkeypatch.setenv("FAU_SNAKEMAKE", "no-such-command")
    assert cli.main(["bench", "run", str(bench.file), "--out", str(bench.out), "--executor", "slurm"]) == 2
    said = capsys.readouterr().err
    assert "needs Snakemake" in said
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "`make snakemake`" in said
    assert "\nsnakemake: " in makefile
    assert all(f'"{word}"' in makefile for word in shlex.split(snake.WANTED)), "what make installs is what is wanted"


def test_snakemake_is_found_where_make_puts_it(tmp_path, monkeypatch):
    monkeypatch.delenv("FAU_SNAKEMAKE", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "env" / "bin" / "python"))
    made = tmp_path / "env-snakemake" / "bin" / "snakemake"
    made.parent.mkdir(parents=True)
    made.write_text("")
    made.chmod(0o755)
    assert snake.found() == str(made)


@needs_snakemake
@pytest.mark.slow
def test_snakemake_runs_what_is_left_and_a_failure_is_isolated(bench):
    bench.write({"good": {"sleep": 0}, "bad": {"fail": 1}}, memory_gb=1)
    bench.run(only=("a-good*",))
    with bench.store.driven():
        tasks = _left(bench)
        snake.run(tasks, bench.store, "local", jobs=2)
    assert bench.place("good").finished()
    assert bench.place("bad").state["state"] == "failed"
    assert len(bench.told("begin")) == 2


def _left(bench):
    loaded = grid.load(bench.file)
    tasks = plan.plan(loaded, bench.store, notebook=bench.file)
    plan.write(loaded, bench.store, tasks, notebook=bench.file)
    return [task for task in tasks if task.state == plan.LEFT]


def test_a_failure_that_is_written_down_is_none_to_a_cluster(bench):
    bench.write({"fail": 1})
    _tasks(bench)
    folder = str(bench.place().folder)
    assert _cell(folder) == 1
    plan.forget_failure(Place(bench.place().folder))
    assert _cell("--told", folder) == 0


def test_a_pod_takes_the_cell_of_its_number(bench, monkeypatch):
    bench.write(methods=("a", "bb"))
    settings = kubernetes.Settings(image="registry/fau:1", claim="results", mount=str(bench.folder))
    to = bench.folder / "job.yml"
    kubernetes.write(str(bench.file), to, settings)
    (job,) = yaml.safe_load_all(to.read_text())
    assert job["spec"]["completions"] == 2
    *_, listed = job["spec"]["template"]["spec"]["containers"][0]["command"]
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    assert _cell("--index", listed) == 0
    assert bench.told("end") == ["bb.default-0"]
    kubernetes.write(str(bench.file), to, settings)  # what is finished is in no job
    (job,) = yaml.safe_load_all(to.read_text())
    assert job["spec"]["completions"] == 1


def test_a_job_has_the_form_that_kubernetes_wants(bench):
    bench.write(memory_gb=8, cpus=2, gpus=1)
    settings = kubernetes.Settings(image="i", claim="c", mount=str(bench.folder), namespace="lab", parallelism=3)
    said = kubernetes.write(str(bench.file), bench.folder / "job.yml", settings)
    assert said.startswith("1 cells in 1 jobs: kubectl apply")
    (job,) = yaml.safe_load_all((bench.folder / "job.yml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"] == {"name": "fau-bench-grid-0", "namespace": "lab"}
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"  # without it JOB_COMPLETION_INDEX and backoffLimitPerIndex do not exist
    assert spec["backoffLimitPerIndex"] == 2
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # backoffLimitPerIndex asks for it
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "8500M", "nvidia.com/gpu": "1"}
    mounted = {m["name"] for m in container["volumeMounts"]}
    assert mounted == {v["name"] for v in spec["template"]["spec"]["volumes"]}


def test_cells_of_other_limits_are_another_job(bench):
    bench.write()
    text = yaml.safe_load(bench.file.read_text())
    text["methods"].append({"method": "big", "limits": {"gpus": 1}})
    bench.file.write_text(yaml.safe_dump(text))
    settings = kubernetes.Settings(image="i", claim="c", mount=str(bench.folder))
    kubernetes.write(str(bench.file), bench.folder / "job.yml", settings)
    assert len(list(yaml.safe_load_all((bench.folder / "job.yml").read_text()))) == 2


def test_a_volume_that_is_not_here_is_one_line(bench):
    bench.write()
    settings = kubernetes.Settings(image="i", claim="c", mount=str(bench.folder / "nowhere"))
    with pytest.raises(ValueError, match="has to be mounted here, too"):
        kubernetes.write(str(bench.file), bench.folder / "job.yml", settings)
