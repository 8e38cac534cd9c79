import sys
import types

import pytest

from fau_utils.training.loggers import Logger, LoggerMissing, Loggers, MLflow, TensorBoard, WandB, flat

ROWS = [
    {"step": 5, "views": 80, "seconds": 1.0, "lr": 1e-3, "loss": 0.9, "au": 0.8},
    {"step": 10, "views": 160, "seconds": 2.0, "lr": 5e-4, "loss": 0.5, "au": 0.4, "val_f1": 0.6},
]


def written(logger, rows, parameters=None):
    logger.start(parameters or {"seed": 3, "budget": {"lr": 1e-3, "betas": (0.9, 0.98)}})
    for row in rows:
        logger.row(row)
    logger.end()


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(folder, name):
    return [(event.step, pytest.approx(event.value)) for event in events(folder).Scalars(name)]


def test_tensorboard_events_hold_the_rows_and_the_parameters(tmp_path):
    written(TensorBoard(tmp_path / "events"), ROWS)
    found = events(tmp_path / "events")
    assert scalars(tmp_path / "events", "train/loss") == [(5, 0.9), (10, 0.5)]
    assert scalars(tmp_path / "events", "train/au") == [(5, 0.8), (10, 0.4)]
    assert scalars(tmp_path / "events", "validation/f1") == [(10, 0.6)]
    assert scalars(tmp_path / "events", "run/lr") == [(5, 1e-3), (10, 5e-4)]
    assert scalars(tmp_path / "events", "run/views") == [(5, 80), (10, 160)]
    (text,) = found.Tensors("parameters/text_summary")
    said = text.tensor_proto.string_val[0].decode()
    assert "| seed | 3 |" in said
    assert "| budget.lr | 0.001 |" in said


def test_a_resumed_run_replaces_the_rows_after_the_step_it_resumes_from(tmp_path):
    written(TensorBoard(tmp_path), [*ROWS, {"step": 15, "loss": 0.4}])
    written(TensorBoard(tmp_path), [{"step": 10, "loss": 0.55}, {"step": 20, "loss": 0.3}])
    assert scalars(tmp_path, "train/loss") == [(5, 0.9), (10, 0.55), (20, 0.3)]


def test_only_the_first_process_writes(tmp_path):
    written(Loggers([TensorBoard(tmp_path / "events")], rank=1), ROWS)
    assert not (tmp_path / "events").exists()
    written(Loggers([TensorBoard(tmp_path / "events")], rank=0), ROWS)
    assert scalars(tmp_path / "events", "train/loss") == [(5, 0.9), (10, 0.5)]


class Recorder:
    def __init__(self, *, fails_in=None):
        self.seen, self.fails_in = [], fails_in

    def start(self, parameters):
        self._note("start", parameters)

    def row(self, values):
        self._note("row", values)

    def end(self):
        self._note("end", None)

    def _note(self, what, values):
        if self.fails_in == what:
            raise OSError("the server is gone")
        self.seen.append((what, values))


def test_a_logger_that_fails_is_left_out_once_and_the_others_go_on(caplog):
    broken, sound = Recorder(fails_in="row"), Recorder()
    assert isinstance(broken, Logger)
    written(Loggers([broken, sound]), ROWS)
    assert [what for what, _ in sound.seen] == ["start", "row", "row", "end"]
    assert [what for what, _ in broken.seen] == ["start"]
    (record,) = caplog.records
    assert "Recorder failed and is left out" in record.getMessage()
    assert "the server is gone" in record.getMessage()


def test_a_logger_that_cannot_start_is_an_error():
    with pytest.raises(OSError, match="the server is gone"):
        Loggers([Recorder(fails_in="start")]).start({})


@pytest.mark.parametrize(("adapter", "package"), [(MLflow, "mlflow"), (WandB, "wandb")])
def test_a_library_that_is_not_there_is_named(monkeypatch, adapter, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LoggerMissing, match=rf"needs the package {package}.*pip install {package}, or leave"):
        adapter()


def test_mlflow_is_given_parameters_metrics_and_steps(monkeypatch):
    calls = []
    names = ("set_tracking_uri", "set_experiment", "start_run", "log_params", "log_metrics", "end_run")
    fake = types.SimpleNamespace(**{name: (lambda *a, _name=name, **k: calls.append((_name, a, k))) for name in names})
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    written(MLflow(experiment="e", name="n", uri="file:x"), ROWS)
    assert [name for name, _, _ in calls] == [*names[:5], "log_metrics", "end_run"]
    assert calls[2][2] == {"run_id": None, "run_name": "n"}
    assert calls[3][1][0]["budget.lr"] == "0.001"
    assert calls[5][1][0]["val_f1"] == 0.6
    assert calls[5][2] == {"step": 10}


def test_wandb_is_given_parameters_metrics_and_steps(monkeypatch):
    begun, rows, ended = [], [], []
    run = types.SimpleNamespace(log=lambda values, step: rows.append((step, values)), finish=lambda: ended.append(True))
    fake = types.SimpleNamespace(init=lambda **options: begun.append(options) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    written(WandB(project="p", mode="offline"), ROWS)
    assert begun[0]["project"] == "p"
    assert begun[0]["config"]["seed"] == 3
    assert [(step, values["loss"]) for step, values in rows] == [(5, 0.9), (10, 0.5)]
    assert ended == [True]


def test_nested_parameters_become_one_level():
    assert flat({"a": {"b": {"c": 1}, "d": (1, 2)}, "e": None}) == {"a.b.c": 1, "a.d": "[1, 2]", "e": "null"}
