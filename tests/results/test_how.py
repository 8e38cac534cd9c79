"""What a run may be told beside its method: arithmetic, loggers, how shards are shown."""

import io
import json
import sys
import tarfile
import types

import numpy as np
import pytest
from PIL import Image

from fau_utils import cli
from fau_utils.bench import fingerprint
from fau_utils.bench.grid import checked
from fau_utils.models import store
from fau_utils.results import Run, how, job

RENDERED = "synth:subjects=2,frames=2"
QUICK = ("views=8", "batch_size=4")


@pytest.fixture
def fau(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FAU_PROGRESS", "0")

    def run(*words):
        given = ["--budget", "smoke", "--device", "cpu", "--out", tmp_path / "runs"]
        code = cli.main(["train", *map(str, words), *map(str, given)])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


@pytest.fixture
def faces(tmp_path):
    """Thirty faces in a shard, two of them unreadable."""
    path, random = tmp_path / "faces-0.tar", np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for number in range(30):
            file = io.BytesIO(b"no picture")
            if number not in (4, 5):
                Image.fromarray(random.integers(0, 256, (32, 32, 3), "uint8")).save(file, "jpeg")
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = len(file.getvalue())
            archive.addfile(member, io.BytesIO(file.getvalue()))
    return str(path)


def _plan(tmp_path, method="cnn", data=RENDERED, **more):
    settings = more.pop("settings", QUICK)
    return job.plan(job.Job(method, data, tmp_path, budget="smoke", settings=settings, **more))


def test_an_option_may_be_a_setting_and_defaults_keep_the_id(tmp_path):
    plain = _plan(tmp_path)
    assert not {"compile", "precision", "log"} & set(plain.parameters)
    fields = _plan(tmp_path, compile=True, precision="bf16-mixed", log="none")
    words = _plan(tmp_path, settings=(*QUICK, "compile=true", "precision=bf16-mixed", "log=none"))
    assert fields.parameters == words.parameters
    assert (words.job.compile, words.job.precision, words.job.log) == (True, "bf16-mixed", "none")
    assert len({plain.id, fields.id, _plan(tmp_path, compile=True).id}) == 3
    assert _plan(tmp_path, log="wandb").id == plain.id, "who looks on decides nothing"


def test_a_run_is_trained_in_the_precision_it_is_told(fau, monkeypatch, tmp_path):
    seen = []
    whole = job.run_fold
    monkeypatch.setattr(job, "run_fold", lambda *given, **more: seen.append(more) or whole(*given, **more))
    words = ["base-rate", "--data", RENDERED, "--set", "views=8", "--precision", "bf16-mixed", "--log", "none"]
    code, out, err = fau(*words)
    assert (code, err) == (0, "")
    assert str(seen[0]["fabric"]._precision.precision) == seen[0]["precision"] == "bf16-mixed"
    assert seen[0]["loggers"] == []
    assert "compile" not in seen[0]
    assert Run.read(out).record["parameters"]["precision"] == "bf16-mixed"


def test_what_is_to_be_compiled_is_told_so(fau, monkeypatch):
    def seen(*_, **options):
        raise ValueError(f"compile is {options['compile']}")

    monkeypatch.setattr(job, "run_fold", seen)
    assert "compile is True" in fau("base-rate", "--data", RENDERED, "--compile", "--log", "none")[2]


def test_what_a_clock_chose_holds_when_the_run_goes_on(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(how, "precision_for", lambda *_, **__: asked.append(1) or "bf16-mixed")
    made = _plan(tmp_path, precision="measure", device="cpu")
    assert [job._precision(made) for _ in range(2)] == ["bf16-mixed"] * 2
    assert len(asked) == 1
    with pytest.raises(ValueError, match="measure is for one process"):
        job._precision(_plan(tmp_path, precision="measure", device="cpu", devices=2))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--precision", "half"], "--precision: expected 32-true, bf16-mixed, measure, found 'half'"),
        (["--log", "paper"], "--log: expected tensorboard, mlflow, wandb, none, found 'paper'"),
        (["--log", "wandb"], "--log wandb: WandB needs the package wandb"),
        (["--set", "crop=0.2"], "cnn and its budget has no option crop"),
        (["--set", "compile=perhaps"], "--set compile: expected true or false"),
    ],
)
def test_what_is_unknown_or_missing_is_said_before_training(fau, monkeypatch, words, said):
    monkeypatch.setitem(sys.modules, "wandb", None)
    code, out, err = fau("cnn", "--data", RENDERED, *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_logger_that_is_named_is_told_the_rows(fau, monkeypatch):
    begun, rows = [], []
    run = types.SimpleNamespace(log=lambda values, step: rows.append(values), finish=lambda: None)
    fake = types.SimpleNamespace(init=lambda **options: begun.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    code, out, err = fau("base-rate", "--data", RENDERED, "--set", "views=8", "--log", "wandb")
    assert (code, err) == (0, "")
    assert begun[0]["name"] == begun[0]["id"] == Run.read(out).id
    assert rows


def test_shards_are_shown_as_told_and_what_cannot_be_read_is_counted(fau, faces, monkeypatch):
    words = ["mae", "--data", faces, "--size", 32, "--set", "views=30", "--set", "batch_size=15"]
    options = ["crop=0.3", "mirror=true", "buffer=8", "most_bad=0.1"]
    code, out, err = fau(*words, *(word for option in options for word in ("--set", option)))
    assert code == 0
    assert "2 images could not be read and were left out, first faces-0.tar/" in err
    meta = store.read(out)[0]["meta"]
    told = meta["parameters"]["data"]
    assert (told["crop"], told["mirror"], told["buffer"], told["most_bad"]) == (0.3, True, 8, 0.1)
    assert meta["skipped"]["images"] == len(meta["skipped"]["first"]) == 2
    assert json.dumps(meta["skipped"]["first"]).count(".jpg") == 2


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"method": "fmae-iat", "variants": {"x": {"recipe": "bp4d-iat", "lr": 1e-4, "compile": True}}}, None),
        ({"method": "cnn", "variants": {"x": {"precision": "bf16-mixed", "log": "none"}}}, None),
        ({"method": "clp", "variants": {"x": {"pretrain": "synth:clip_length=7", "precision": "32-true"}}}, None),
        ({"method": "fmae-iat", "variants": {"x": {"recipe": "mine"}}}, "methods: fmae-iat, variant x: --set recipe: "),
        ({"method": "cnn", "variants": {"x": {"recipe": "bp4d-iat"}}}, "cnn and its budget has no option recipe"),
        ({"method": "cnn", "variants": {"x": {"precision": "half"}}}, "--set precision: expected 32-true or bf16-"),
    ],
)
def test_a_grid_takes_what_a_run_takes(entry, words):
    cells = checked({"name": "g", "methods": [entry], "data": "synth", "seeds": 1}, of="g").cells()
    if words is None:
        fingerprint.check(cells)
        return
    with pytest.raises(ValueError) as error:
        fingerprint.check(cells)
    assert words in str(error.value)
