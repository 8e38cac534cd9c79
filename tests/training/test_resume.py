import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fau_utils.methods import CnnDetector, LandmarkMlp
from fau_utils.training import Budget, Checkpoints, fit
from fau_utils.training.checkpoints import STATE, TENSORS, OtherRun

HERE = Path(__file__).parent
TINY = Budget("tiny", views=160, batch_size=16, lr=5e-3)


class Plug:
    """A logger that pulls the plug at some row of the history."""

    def __init__(self, row):
        self.left = row

    def start(self, parameters):
        pass

    def row(self, values):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def end(self):
        pass


def run(data, *, method=None, **options):
    options = {"budget": TINY, "seed": 1, "device": "cpu", "progress": False, **options}
    return fit(method or LandmarkMlp(data.aus, seed=0), data, **options)


def flat(method):
    return torch.cat([value.flatten().float() for value in method.state_dict().values()])


def same(a, b):
    assert torch.equal(flat(a.method), flat(b.method))
    assert a.history.drop(columns="seconds").equals(b.history.drop(columns="seconds"))
    assert (a.views, a.chosen_step) == (b.views, b.chosen_step)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    out = tmp_path_factory.mktemp("killed")
    seed = random.SystemRandom().randrange(10**6)  # other steps each time the tests run
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    program = [sys.executable, str(HERE / "killed_runs.py"), str(out), str(seed)]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, (seed, done.stderr)
    return out, seed, json.loads((out / "codes.json").read_text()), done.stderr


@pytest.mark.parametrize("how", ["steps", "moments"])
def test_a_run_that_was_killed_ends_with_the_same_bits(killed, how):
    out, seed, codes, errors = killed
    assert codes[how][0] == -9, (seed, errors)
    assert codes[how][-1] == 0, (seed, errors)
    whole, resumed = (json.loads((out / f"{name}.json").read_text()) for name in ("first", how))
    assert whole["steps"] == 40
    assert 0 < resumed["steps"] < 40  # it did not begin anew
    for what in ("weights", "history", "chosen"):
        assert resumed[what] == whole[what], (what, seed)


def test_a_run_that_is_finished_has_nothing_left_to_do(killed):
    out, _, codes, _ = killed
    first, again = (json.loads((out / f"{name}.json").read_text()) for name in ("first", "whole"))
    assert codes["again"] == [0]
    assert again.pop("steps") == 0
    first.pop("steps")
    assert again == first


def test_only_the_last_checkpoints_are_kept_and_nothing_half_written(killed):
    out, _, _, _ = killed
    for name in ("whole", "steps", "moments"):
        kept = sorted(path.name for path in (out / name).iterdir())
        assert kept == ["step-000000038", "step-000000040"]


def test_checkpoints_change_nothing(blobs, tmp_path):
    data = blobs(4, 10, size=16)
    same(run(data), run(data, checkpoints=Checkpoints(tmp_path, every=20)))


def test_an_interrupt_leaves_the_newest_checkpoint_usable_and_the_method_in_evaluation_mode(blobs, tmp_path):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16)
    method = CnnDetector(data.aus, size=16)
    with pytest.raises(KeyboardInterrupt):
        run(data, method=method, checkpoints=checkpoints, loggers=[Plug(7)])
    assert not method.training
    assert all(parameter.grad is None for parameter in method.parameters())
    assert [path.name for path in checkpoints.paths()] == ["step-000000006", "step-000000005", "step-000000004"]
    resumed = run(data, method=CnnDetector(data.aus, size=16), checkpoints=checkpoints)
    same(resumed, run(data, method=CnnDetector(data.aus, size=16)))


def test_losses_that_were_not_yet_read_are_part_of_the_next_row(blobs, tmp_path):
    data, long = blobs(4, 10, size=16), TINY.replace(views=8 * 100, batch_size=8)  # read every second step
    checkpoints = Checkpoints(tmp_path, every=24)  # three steps
    with pytest.raises(KeyboardInterrupt):
        run(data, budget=long, checkpoints=checkpoints, loggers=[Plug(2)])
    assert checkpoints.paths()[0].name == "step-000000003"
    resumed = run(data, budget=long, checkpoints=checkpoints)
    assert resumed.history["step"].tolist() == list(range(2, 101, 2))
    same(resumed, run(data, budget=long))


def test_a_run_goes_on_with_the_micro_batches_that_fitted(blobs, tmp_path, caplog):
    class Cramped(LandmarkMlp):
        sizes = ()

        def loss(self, batch):
            self.sizes += (len(batch),)
            if len(batch) > 12:
                raise torch.OutOfMemoryError("out of memory")
            return super().loss(batch)

    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16)
    with pytest.raises(KeyboardInterrupt):
        run(data, method=Cramped(data.aus, seed=0), checkpoints=checkpoints, loggers=[Plug(5)])
    resumed = run(data, method=Cramped(data.aus, seed=0), checkpoints=checkpoints)
    assert set(resumed.method.sizes) == {8}  # it does not run out of memory again
    assert caplog.text.count("out of memory with 16 faces") == 1
    same(resumed, run(data, method=Cramped(data.aus, seed=0)))


def test_nothing_is_seen_of_a_checkpoint_before_all_of_it_is_there(blobs, tmp_path, monkeypatch):
    from fau_utils.training import checkpoints as module

    data, checkpoints, seen = blobs(4, 10, size=16), Checkpoints(tmp_path, every=80), []
    for name in ("save_file", "_digest", "_flush"):
        original = getattr(module, name)

        def spying(*arguments, original=original, name=name):
            seen.append((name, len(checkpoints.paths())))
            return original(*arguments)

        monkeypatch.setattr(module, name, spying)
    run(data, checkpoints=checkpoints)
    first = seen[: seen.index(("_flush", 1))]
    assert [name for name, _ in first] == ["save_file", "_digest", "_flush", "_flush", "_flush"]
    assert all(count == 0 for _, count in first)


def damage(path, how):
    if how == "truncated":
        content = (path / TENSORS).read_bytes()
        (path / TENSORS).write_bytes(content[: len(content) // 2])
    elif how == "one bit":
        content = bytearray((path / TENSORS).read_bytes())
        content[-7] ^= 4
        (path / TENSORS).write_bytes(content)
    elif how == "no state":
        (path / STATE).unlink()
    elif how == "half a state":
        (path / STATE).write_text((path / STATE).read_text()[:50])
    elif how == "another format":
        (path / STATE).write_text(json.dumps({**json.loads((path / STATE).read_text()), "format": 99}))
    elif how == "a list":
        (path / STATE).write_text("[]")


@pytest.mark.parametrize("how", ["truncated", "one bit", "no state", "half a state", "another format", "a list"])
def test_a_damaged_checkpoint_is_skipped_with_a_message_and_the_one_before_is_used(blobs, tmp_path, caplog, how):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16)
    with pytest.raises(KeyboardInterrupt):
        run(data, checkpoints=checkpoints, loggers=[Plug(7)])
    damage(tmp_path / "step-000000006", how)
    started = []

    class Begin(Plug):
        def row(self, values):
            started.append(values["step"])

    resumed = run(data, checkpoints=checkpoints, loggers=[Begin(0)])
    assert started[0] == 6  # after the fifth
    told = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(told) == 1
    assert str(tmp_path / "step-000000006") in told[0]
    same(resumed, run(data))


def test_with_all_checkpoints_damaged_the_run_begins_anew(blobs, tmp_path, caplog):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=40)
    first = run(data, checkpoints=checkpoints)
    for path in checkpoints.paths():
        damage(path, "truncated")
    same(run(data, checkpoints=checkpoints), first)
    assert len([record for record in caplog.records if "damaged" in record.getMessage()]) == 3
    assert checkpoints.newest(json.loads((tmp_path / "step-000000010" / STATE).read_text())["configuration"])


class Wider(LandmarkMlp):
    pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: {"seed": 2}, "seed was 1, is 2"),
        (lambda data: {"budget": TINY.replace(lr=0.1)}, r"budget\.lr was 0\.005, is 0\.1"),
        (lambda data: {"method": Wider(data.aus)}, r"method was .*LandmarkMlp, is .*Wider"),
        (lambda data: {"method": LandmarkMlp(data.aus, seed=5)}, "initial weights was .*, is "),
        (lambda data: {"augment": False}, "augment was True, is False"),
        (lambda data: {"data": data.subset(range(39))}, "training faces was .*40 faces.*, is .*39 faces"),
        (lambda data: {"data": relabelled(data)}, "training faces was .*40 faces.*, is .*40 faces"),
        (lambda data: {"data": repainted(data)}, "training faces was .*40 faces.*, is .*40 faces"),
    ],
    ids=["seed", "budget", "method", "weights", "augment", "fewer", "labels", "pixels"],
)
def test_a_checkpoint_of_another_run_is_refused_by_what_differs(blobs, tmp_path, change, words):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=80)
    run(data, checkpoints=checkpoints)
    with pytest.raises(OtherRun, match=words) as refused:
        run(**{"data": data, "checkpoints": checkpoints, **change(data)})
    assert str(refused.value).count(" was ") == 1  # and nothing else
    assert "resume=False" in str(refused.value)


def relabelled(data):
    data = data.subset(range(len(data)))
    data.labels[7, 1] = 1 - data.labels[7, 1]
    return data


def repainted(data):
    data = data.subset(range(len(data)))
    data.images[0, 0, 0, 0] += 1
    return data


def test_a_run_that_begins_anew_removes_the_checkpoints_of_another(blobs, tmp_path):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16, keep=9)
    run(data, checkpoints=checkpoints)
    other = TINY.replace(views=64)
    anew = run(data, checkpoints=checkpoints, budget=other, resume=False)
    assert checkpoints.paths()[0].name == "step-000000004"
    same(anew, run(data, checkpoints=checkpoints, budget=other))


def test_a_checkpoint_holds_no_objects(blobs, tmp_path):
    class Remembers(LandmarkMlp):
        def get_extra_state(self):
            return {"not": "a tensor"}

        def set_extra_state(self, state):
            pass

    data = blobs(4, 10, size=16)
    with pytest.raises(ValueError, match="_extra_state to be a tensor, found dict"):
        run(data, method=Remembers(data.aus), checkpoints=Checkpoints(tmp_path, every=16))


def test_what_a_learner_keeps_in_tensors_is_resumed_whether_a_state_dict_has_it_or_not(blobs, tmp_path):
    class Counts(LandmarkMlp):
        def __init__(self, aus):
            super().__init__(aus, seed=0)
            self.register_buffer("seen", torch.zeros(()), persistent=False)
            self.extra = 0

        def loss(self, batch):
            self.seen += 1
            self.extra += 1
            losses = super().loss(batch)
            losses.total = losses.total * (1 + self.seen / 10) * (1 + self.extra / 10)
            return losses

        def get_extra_state(self):
            return torch.tensor(self.extra)

        def set_extra_state(self, state):
            self.extra = int(state)

    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16)
    with pytest.raises(KeyboardInterrupt):
        run(data, method=Counts(data.aus), checkpoints=checkpoints, loggers=[Plug(5)])
    same(
        run(data, method=Counts(data.aus), checkpoints=checkpoints),
        run(data, method=Counts(data.aus)),
    )


def test_a_method_without_gradients_is_resumed_as_well(blobs, tmp_path):
    from fau_utils.methods import BaseRate

    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=16)

    def build():
        return BaseRate(data.aus, subjects=data.subjects)

    with pytest.raises(KeyboardInterrupt):
        run(data, method=build(), checkpoints=checkpoints, loggers=[Plug(5)])
    same(run(data, method=build(), checkpoints=checkpoints), run(data, method=build()))


def test_weights_beside_each_other_in_memory_are_resumed_in_their_layout(blobs, tmp_path):
    data, checkpoints = blobs(4, 10, size=16), Checkpoints(tmp_path, every=80)
    method = CnnDetector(data.aus, size=16)
    run(data, method=method, checkpoints=checkpoints)
    again = CnnDetector(data.aus, size=16)
    run(data, method=again, checkpoints=checkpoints)
    kernels = [m.weight for m in again.modules() if isinstance(m, nn.Conv2d) and m.weight.shape[1] > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)


def test_a_full_disk_is_told_of_and_training_goes_on(blobs, tmp_path, monkeypatch, caplog):
    from fau_utils.training import checkpoints as module

    def full(*_):
        raise OSError(28, "No space left on device")

    data = blobs(4, 10, size=16)
    monkeypatch.setattr(module, "save_file", full)
    same(run(data, checkpoints=Checkpoints(tmp_path, every=80)), run(data))
    assert "the checkpoint of step 10 could not be written, training goes on" in caplog.text
    assert "No space left" in caplog.text
    assert not Checkpoints(tmp_path, every=80).paths()


@pytest.mark.parametrize("wrong", [{"every": 0}, {"every": 5, "keep": 0}])
def test_numbers_that_are_not_positive_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="positive number of views and of checkpoints"):
        Checkpoints(tmp_path, **wrong)
