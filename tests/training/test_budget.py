import pytest

from fau_utils.methods import CnnDetector
from fau_utils.training import Budget, budget_for


def test_rate_rises_over_the_warm_up_and_falls_to_nothing():
    budget = Budget("b", views=3200, batch_size=32, lr=1.0, warmup=0.1)
    rates = [budget.rate(step, steps=100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_no_warm_up_starts_at_the_peak_and_one_step_is_a_schedule():
    assert Budget("b", views=1, warmup=0.0, lr=3.0).rate(0, steps=1) == 3.0
    assert Budget("b", views=1, warmup=0.1, lr=3.0).rate(0, steps=1) == 3.0


def test_steps_cover_the_views():
    budget = Budget("b", views=100, batch_size=32)
    assert [budget.steps(n) for n in (1, 32, 33, 100)] == [1, 1, 2, 4]


def test_rate_falls_to_the_least_rate():
    budget = Budget("b", views=3200, lr=1.0, min_lr=0.1)
    rates = [budget.rate(step, steps=100) for step in range(100)]
    assert max(rates) == pytest.approx(1.0)
    assert min(rates[10:]) == rates[-1] == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"views": -1},
        {"batch_size": 0},
        {"lr": float("inf")},
        {"min_lr": 1.0},
        {"warmup": 1.0},
        {"ema": 1.0},
        {"label_weights": "balancd"},
        {"micro": -1},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_numbers_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Budget("b", **{"views": 10, **wrong})


def test_budgets_stand_next_to_their_method_and_can_be_changed():
    assert budget_for(CnnDetector, "smoke").views < budget_for(CnnDetector, "laptop").views
    assert budget_for(CnnDetector((1, 2)), "laptop", views=10).views == 10
    with pytest.raises(ValueError, match=r"no budget 'labtop'; did you mean 'laptop'\? it has \['gpu', 'laptop'"):
        budget_for(CnnDetector, "labtop")


def test_a_budget_cannot_change_under_a_run():
    with pytest.raises(AttributeError):
        Budget("b", views=1).views = 2
    assert Budget("b", views=1).replace(views=2) == Budget("b", views=2)
