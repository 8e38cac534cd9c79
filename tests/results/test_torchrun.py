"""``fau train`` in processes that are really started by torchrun, and training by a real notebook's kernel."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from safetensors.numpy import load_file

from fau_utils import kernel
from fau_utils.frames import Frames
from fau_utils.results import job
from fau_utils.results.store import finished

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, blobs):
    faces, folder = blobs(9, 4, size=32), tmp_path_factory.mktemp("data") / "lab"
    folder.mkdir()
    Frames(faces.frames.table.assign(row=range(len(faces)))).to_parquet(folder / "manifest.parquet")
    np.save(folder / "images.npy", faces.images.numpy())
    return folder


def torchrun(how, lab, out, *more):
    words = ["train", "vit", "--data", lab, "--fold", "1 of 3", "--out", out, "--budget", "smoke", "--device", "cpu",
             "--set", "views=24", "--set", "batch_size=8", "--set", "dim=32", *more]  # fmt: skip
    program = [sys.executable, "-m", "torch.distributed.run", *how, "-m", "fau_utils.cli", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, program)), stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)


def trained(nodes, out):
    """The run that all nodes left together, and what its last checkpoint says of it."""
    try:
        said = [node.communicate(timeout=400) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0] * len(nodes), [words[1][-3000:] for words in said]
    (run,) = finished(out)
    assert [words[0].strip() for words in said] == [str(run.path)] + [""] * (len(nodes) - 1)
    assert run.record["views"] == 24
    assert set(run.predictions().subject) == set(run.record["parameters"]["data"]["test_people"])
    last = sorted((out / job.WORK / run.id / "checkpoints").glob("step-*"))[-1]
    return run, json.loads((last / "state.json").read_text()), load_file(last / "tensors.safetensors")


def test_torchrun_on_one_machine_trains_a_divided_model_and_leaves_one_whole_run(lab, tmp_path):
    how = ["--standalone", "--nproc-per-node", "2"]
    run, state, tensors = trained([torchrun(how, lab, tmp_path, "--strategy", "fsdp")], tmp_path)
    assert state["configuration"]["processes"] == 2
    for name, value in load_file(run.path / "model.safetensors").items():
        assert tensors[f"weights/{name}"].shape == value.shape


def test_torchrun_on_two_machines_leaves_one_run(lab, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
    nodes = [torchrun([*how, "--node-rank", rank], lab, tmp_path) for rank in (0, 1)]
    _, state, _ = trained(nodes, tmp_path)
    assert state["configuration"]["processes"] == 2


CELLS = [
    f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})",
    """
import os
import torch
from conftest import make_blobs
from fau_utils.methods import Losses, Method, masked_bce
from fau_utils.training import Budget, fit
from fau_utils.training.launch import launch

class Flat(Method):
    def __init__(self, aus):
        super().__init__()
        torch.manual_seed(0)
        self.aus, self.network = aus, torch.nn.Linear(768, len(aus))
    def embed(self, batch):
        return batch.image.flatten(1)
    def predict(self, batch):
        return self.network(self.embed(batch)).sigmoid()
    def loss(self, batch):
        main = masked_bce(self.network(self.embed(batch)), batch.au)
        return Losses(main, {"au": main})

def train(fabric, faces):
    budget = Budget("tiny", views=32, batch_size=8)
    fitted = fit(Flat(faces.aus), faces, budget=budget, fabric=fabric, progress=False)
    pids = fabric.all_gather(torch.tensor(os.getpid())).flatten().tolist()
    return pids, fitted.history["loss"].tolist()""",
    """
pids, loss = launch(train, make_blobs(4, 4, size=16), device="cpu", devices=2)
assert len({os.getpid(), *pids}) == 3, "the kernel waits for two copies of itself"
""",
    "print(*loss, '|', *launch(train, make_blobs(4, 4, size=16), device='cpu')[1])",
]


def test_a_real_kernel_trains_in_copies_of_itself(tmp_path):
    running = kernel.manager(tmp_path / "kernel")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    nbformat.write(book, tmp_path / "asked.ipynb")
    try:
        done = papermill.execute_notebook(
            str(tmp_path / "asked.ipynb"), str(tmp_path / "done.ipynb"), kernel_name="python3", km=running,
            progress_bar=False, start_timeout=240,
        )  # fmt: skip
    finally:
        kernel.kill(running)
    said = "".join(part.text for part in done.cells[-1].outputs if part.output_type == "stream")
    two, one = ([float(value) for value in half.split()] for half in said.split("|"))
    assert len(two) == 4
    np.testing.assert_allclose(two, one, atol=1e-5)
