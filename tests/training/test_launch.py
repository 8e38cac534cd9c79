import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.training import launch as launching
from fau_utils.training.launch import fabric_for, is_first, launch, synchronise_batch_norm

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What processes wrote that trained alone, and in twos; and their error stream."""
    out = tmp_path_factory.mktemp("processes")
    environment = {**os.environ, "FAU_PROGRESS": "1", "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    program = [sys.executable, str(HERE / "two_processes.py"), str(out)]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, done.stderr


def read(seen, name):
    return json.loads((seen[0] / f"{name}.json").read_text())


@pytest.mark.parametrize("unknown", ["0.0", "0.4"])
def test_two_processes_have_the_loss_curve_and_the_weights_of_one(seen, unknown):
    """With unknown labels, too: their means are over all processes."""
    alone, first, second = (read(seen, f"{name}-{unknown}") for name in ("1-0", "2-0", "2-1"))
    assert alone["history"].keys() == first["history"].keys() >= {"loss", "au", "val_auc", "val_loss"}
    for name, values in alone["history"].items():
        np.testing.assert_allclose(np.array(first["history"][name], float), np.array(values, float), atol=1e-5)
    np.testing.assert_allclose(first["weights"], alone["weights"], atol=1e-5)
    assert first["weights"] == second["weights"]
    assert first["views"] == alone["views"] == 294


def test_each_epoch_has_a_new_order_on_each_process_and_every_face_once(seen):
    ranks = [read(seen, f"2-{rank}-0.0")["shown"] for rank in range(2)]
    orders = [np.array_split(np.arange(len(shown)), 7) for shown in ranks]
    for epoch in range(7):
        both = [tuple(shown[i]) for shown, parts in zip(ranks, orders, strict=True) for i in parts[epoch]]
        assert len(both) == len(set(both)) == 42
    for shown, parts in zip(ranks, orders, strict=True):
        epochs = [tuple(tuple(shown[i]) for i in part) for part in parts]
        assert len(set(epochs)) == 7
    assert ranks[0] != ranks[1]


def test_two_processes_that_were_stopped_twice_end_as_those_that_were_not(seen):
    for rank in range(2):
        whole, resumed = read(seen, f"whole-{rank}"), read(seen, f"resumed-{rank}")
        assert resumed["weights"] == whole["weights"]
        assert resumed["loss"] == whole["loss"]
        assert resumed["shown"] < whole["shown"] / 2  # it did not begin anew
    assert read(seen, "whole-0")["weights"] == read(seen, "whole-1")["weights"]


def test_only_the_first_process_shows_a_bar_and_writes_events(seen):
    out, errors = seen
    assert sorted(path.name for path in out.glob("events-*-0.0")) == ["events-1-0-0.0", "events-2-0-0.0"]
    # a bar is drawn again and again over one line of the stream
    lines = [line for line in errors.split("\n") if "294/294" in line]
    # one for each of the five trainings that were finished, three of them in two processes; tqdm may end one twice
    assert 5 <= len(lines) < 8
    assert "Starting with 2 processes" not in errors


def test_a_parameter_without_a_gradient_is_explained_and_can_be_looked_for(seen):
    said = read(seen, "said")
    assert "every parameter needs a gradient in every step" in said["unused"]
    assert "unused=True" in said["unused"]
    assert said["looked for"] is None


def test_what_another_process_refuses_is_said_as_it_was_said_there(seen):
    assert read(seen, "said")["refused"] == "this is wrong,\nand this is how to put it right"


def test_one_process_needs_no_launching():
    assert launch(lambda fabric, *more: (fabric.world_size, more), 5, {"a": 6}, device="cpu") == (1, (5, {"a": 6}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"devices": 0}, "at least one device and one node, found 0 and 1"),
        ({"nodes": 0}, "at least one device and one node, found 1 and 0"),
        ({"strategy": "ddq"}, "strategy of auto, ddp, ddp_notebook, ddp_spawn, fsdp, found 'ddq'"),
    ],
)
def test_numbers_and_names_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fabric_for(**{"device": "cpu", **options})


@pytest.fixture
def torchrun(monkeypatch):
    """The environment of the second process that ``torchrun --nnodes 3 --nproc-per-node 2`` starts on a node."""
    names = {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "LOCAL_RANK": "1", "RANK": "3", "GROUP_RANK": "1",
             "MASTER_ADDR": "localhost", "MASTER_PORT": "29555", "TORCHELASTIC_RUN_ID": "x"}  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("torchrun")
def test_processes_that_torchrun_started_are_found():
    fabric = fabric_for(device="cpu")
    assert (fabric.strategy.num_processes, fabric.strategy.num_nodes) == (2, 3)
    assert fabric.strategy.cluster_environment.creates_processes_externally
    assert not is_first()
    assert fabric_for(device="cpu", devices=2, nodes=3).strategy.num_nodes == 3
    with pytest.raises(ValueError, match="torchrun started 2 devices, 4 are asked for; leave --devices to torchrun"):
        fabric_for(device="cpu", devices=4)


def test_in_a_notebook_processes_are_copies_of_the_kernel(monkeypatch):
    ways = {}
    for name, shell in (("notebook", types.SimpleNamespace(kernel=1)), ("program", None)):
        module = types.SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", module)
        ways[name] = launching._strategy("auto", world=2, started=False, unused=False)._start_method
    assert ways == {"notebook": "fork", "program": "popen"}


def test_batch_norms_of_several_processes_on_a_cpu_are_warned_of(caplog):
    def several(kind):
        return types.SimpleNamespace(world_size=2, is_global_zero=True, device=torch.device(kind))

    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    assert synchronise_batch_norm(module, several("cpu")) is module
    assert "batch norms see only the faces of their own process" in caplog.text
    caplog.clear()
    assert synchronise_batch_norm(nn.Sequential(nn.LayerNorm(3)), several("cpu"))
    assert caplog.text == ""
    keys = list(module.state_dict())
    together = synchronise_batch_norm(module, several("cuda"))
    assert isinstance(together[1], nn.SyncBatchNorm)
    assert list(together.state_dict()) == keys


def divided(folder, device):
    program = [sys.executable, str(HERE / "divided_model.py"), str(folder), device]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}, done.stderr


def test_a_divided_model_learns_as_a_whole_one_and_ends_whole_also_when_it_was_stopped(tmp_path):
    """With fsdp on two CPUs: moving average, validation, choice and checkpoints included."""
    found, errors = divided(tmp_path, "cpu")
    assert "fsdp on a CPU saves no memory" in errors
    for name in ("best", "last"):  # the second was stopped in between
        one, first, second = (found[f"{name}-{rank}"] for rank in ("1-0", "2-0", "2-1"))
        assert max(first["here"], second["here"]) < 0.6 * one["here"]  # it was divided
        assert first["history"].keys() == one["history"].keys() >= {"loss", "val_auc", "ema"}
        for column, values in one["history"].items():
            np.testing.assert_allclose(first["history"][column], values, atol=1e-5, err_msg=column)
        assert first["names"] == one["names"]
        assert first["kinds"] == one["kinds"] == ["Parameter"]
        np.testing.assert_allclose(first["weights"], one["weights"], atol=1e-4)
        assert np.abs(np.subtract(one["weights"], one["before"])).max() > 0.01
        assert first["weights"] == second["weights"]
    assert found["last-2-0"]["steps"] < found["best-2-0"]["steps"]  # it did not begin anew


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fsdp divides a model among GPUs, found fewer than two")
def test_a_model_divided_among_gpus_learns_as_a_whole_one_and_ends_whole(tmp_path):
    found, _ = divided(tmp_path, "cuda")
    np.testing.assert_allclose(found["last-2-0"]["history"]["loss"], found["last-1-0"]["history"]["loss"], rtol=0.02)
    np.testing.assert_allclose(found["last-2-0"]["weights"], found["last-1-0"]["weights"], atol=0.02)
