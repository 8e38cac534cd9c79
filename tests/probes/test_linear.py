import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from fau_utils.probes.linear import logistic, near, principal, ridge


def problem(rows=300, width=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows) % classes)
    x = rng.normal(size=(rows, width)) * np.logspace(0, -2, width) + 0.5 * rng.normal(size=(classes, width))[y]
    return (x - x.mean(0)) / x.std(0), y


@pytest.mark.parametrize("width", [12, 500])  # fewer rows than columns, too
def test_logistic_regression_is_that_of_scikit_learn(width):
    x, y = problem(width=width)
    found = logistic((x[:200], y[:200]), (x[200:], y[200:]), classes=4, penalties=(0.01,), tolerance=1e-10)
    same = LogisticRegression(C=1 / (0.01 * 200), class_weight="balanced", tol=1e-10, max_iter=5000)
    logits = same.fit(x[:200], y[:200]).decision_function(x)
    ours = found.predict(x)
    assert found.converged
    assert ours - ours.mean(1, keepdims=True) == pytest.approx(logits - logits.mean(1, keepdims=True), abs=1e-3)


def test_labels_are_one_binary_regression_each_with_a_penalty_of_its_own():
    x, classes = problem()
    y = np.stack([classes == 0, np.random.default_rng(0).random(300) < 0.3], 1).astype(float)
    y[:50, 1] = np.nan
    found = logistic((x[:200], y[:200]), (x[200:], y[200:]), penalties=(1.0, 1e-3), tolerance=1e-10)
    for column, penalty in ((0, 1e-3), (1, 1.0)):  # a signal wants a weak penalty, noise a strong one
        rows = np.flatnonzero(~np.isnan(y[:200, column]))
        same = LogisticRegression(C=1 / (penalty * len(rows)), class_weight="balanced", tol=1e-10, max_iter=5000)
        expected = same.fit(x[rows], y[rows, column]).decision_function(x)
        assert found.predict(x)[:, column] == pytest.approx(expected, abs=1e-3)


def test_ridge_is_that_of_scikit_learn_column_by_column():
    x, _ = problem()
    rng = np.random.default_rng(0)
    y = np.stack([x @ rng.normal(size=12) + 3, rng.normal(size=300)], 1)
    y[:50, 1] = np.nan
    found = ridge((x[:200], y[:200]), (x[200:], y[200:]), penalties=(1.0, 1e-3))
    for column, penalty in ((0, 1e-3), (1, 1.0)):
        rows = np.flatnonzero(~np.isnan(y[:200, column]))
        expected = Ridge(alpha=penalty * len(rows)).fit(x[rows], y[rows, column]).predict(x)
        assert found.predict(x)[:, column] == pytest.approx(expected, abs=1e-8)
    assert found.gradient < 1e-10


def test_converged_means_near_the_least_loss():
    x, y = problem(width=40)
    loose = logistic((x[:200], y[:200]), (x[200:], y[200:]), classes=4, penalties=(1e-4,), iterations=3)
    assert not loose.converged
    assert loose.gradient > near(1e-4, 1e-5)
    done = logistic((x[:200], y[:200]), (x[200:], y[200:]), classes=4, penalties=(1e-4,))
    assert done.converged
    assert done.gradient <= near(1e-4, 1e-5)


def test_features_that_differ_in_scale_by_thousands_do_not_slow_it_down():
    """Directions of a network's features do; a plain L-BFGS would take many times as many iterations."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    x, y = problem(rows=600, width=60, classes=6)
    x = x * np.logspace(0, -3, 60) @ turn
    found = logistic((x[:400], y[:400]), (x[400:], y[400:]), classes=6, penalties=(1e-4,))
    assert found.converged
    assert found.steps < 60


def test_principal_axes_leave_nothing_out():
    x, _ = problem(rows=30, width=80)
    axes, variance = principal(x)
    assert axes.shape == (80, len(variance))
    assert len(variance) <= 30
    assert x @ axes @ axes.T == pytest.approx(x, abs=1e-8)
    assert ((x @ axes) ** 2).mean(0) == pytest.approx(variance)


def test_forty_people_in_four_thousand_faces_take_seconds_on_one_thread():
    from fau_utils.probes import Features, probe

    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 100)
    z = (rng.normal(size=(4000, 512)) + 0.4 * rng.normal(size=(40, 512))[person]) * np.logspace(0, -2, 512)
    subject = np.array([f"toy/P{k:03d}" for k in person])
    features = Features(z=z.astype("float32"), subject=subject, clip=np.arange(4000), frame=np.zeros(4000, int))
    with threadpool_limits(1):
        start = time.process_time()
        found = probe(features)
        seconds = time.process_time() - start
    assert found.converged
    assert found.value > 0.9
    assert seconds < 30  # a few on a machine that has nothing else to do
