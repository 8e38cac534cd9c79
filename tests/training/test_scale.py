import runpy
import sys
from pathlib import Path

import pytest

from fau_utils.training.scale import Machine, Pretraining, arithmetic, limits, most_gpus, table

ROOT = Path(__file__).parents[2]
PLENTY = {"cores": 10**6, "disk": 1e15, "network": 1e18}


def test_nine_million_faces_by_hand():
    task = Pretraining()
    assert task.views == 450_000_000
    assert task.steps == 878_907  # 17,578.1 steps in each of 50 epochs
    assert task.array_bytes == 9_000_000 * 196_608  # 1.77 TB
    assert task.shard_bytes == 9_000_000 * (512 + 40 * 512)  # 20,000 bytes fill 40 blocks, and there is a header
    row = arithmetic(task, Machine(gpus=1, faces_per_second=1000, price=3, **PLENTY))
    assert row["days"] == pytest.approx(450_000 / 86_400)
    assert row["GPU hours"] == pytest.approx(125)
    assert row["cost"] == pytest.approx(375)
    assert row["MB/s the GPUs want"] == pytest.approx(1000 * 20_992 / 1e6)
    assert row["limit"] == "gpu"


def test_operations_and_hours_follow_from_a_rate_of_operations():
    task = Pretraining(model="large")
    row = arithmetic(task, Machine(gpus=4, flops=125e12, **PLENTY))  # 40 % of 312e12
    assert row["EFLOP"] == pytest.approx(56, rel=0.01)
    assert row["GPU hours"] == pytest.approx(row["EFLOP"] * 1e18 / 125e12 / 3600)
    assert row["days"] * 24 == pytest.approx(row["GPU hours"] / 4)
    assert row["days"] * 24 == pytest.approx(31, abs=1)


@pytest.mark.parametrize(
    ("short", "limit", "rate"),
    [
        ({"cores": 2, "decoded_per_core": 500.0}, "decoding", 1000),
        ({"disk": 20_992_000.0}, "disk", 1000),
        # 8 GPUs pass 7/4 of the gradient around, 4 bytes for each parameter
        ({"network": 1e9}, "network", 512 * 1e9 / (7 / 4 * 4 * Pretraining().work.parameters)),
    ],
)
def test_what_is_short_sets_the_pace_and_is_named(short, limit, rate):
    row = arithmetic(Pretraining(), Machine(**{**PLENTY, "gpus": 8, "faces_per_second": 3000.0, **short}))
    assert row["limit"] == limit
    assert row["faces/s"] == pytest.approx(rate)
    assert row["faces/s the GPUs want"] == 24_000
    assert row["GPU hours"] == pytest.approx(450e6 / rate / 3600 * 8)  # those that wait are paid for


def test_arrays_need_no_decoding_and_more_disk():
    jpeg, arrays = (limits(Pretraining(), Machine(), form=form) for form in ("jpeg", "arrays"))
    assert arrays["decoding"] == float("inf")
    assert jpeg["disk"] / arrays["disk"] == pytest.approx(196_608 / 20_992)
    with pytest.raises(ValueError, match="'jpeg' or 'arrays'"):
        limits(Pretraining(), Machine(), form="png")


def test_one_gpu_sends_nothing():
    assert limits(Pretraining(), Machine(gpus=1))["network"] == float("inf")


def test_the_number_of_gpus_that_still_helps():
    machine = Machine(faces_per_second=1000.0, **{**PLENTY, "disk": 20_992_000.0 * 5.5})
    assert most_gpus(Pretraining(), machine) == (5, "disk")
    assert most_gpus(Pretraining(), Machine(faces_per_second=1000.0, **PLENTY)) == (1024, "gpu")


def test_a_table_has_a_row_for_each_model_and_number_of_gpus():
    found = table(Pretraining(), Machine(**PLENTY), gpus=(1, 8))
    assert list(zip(found["model"], found["GPUs"], strict=True)) == [
        ("small", 1), ("small", 8), ("base", 1), ("base", 8), ("large", 1), ("large", 8),
    ]  # fmt: skip
    assert found["cost"].is_monotonic_increasing  # more GPUs cost the same while nothing is short
    with pytest.raises(ValueError, match="one model"):
        table(Pretraining(), Machine(faces_per_second=1000.0))


def test_rates_of_nothing_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        Machine(disk=0)


def test_the_command_prints_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale.py", "--disk", "1e8", "--gpus", "2"])
    runpy.run_path(str(ROOT / "benchmarks" / "scale.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert "GPU hours" in shown
    assert "more wait for the disk" in shown
