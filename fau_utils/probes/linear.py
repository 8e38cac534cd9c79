"""Linear probes, trained to the end: logistic regression by L-BFGS, ridge regression in closed form.

The penalty is chosen among a few on validation units, never on the test. Both are solved in the principal axes of
the training features, where L-BFGS can be told how curved each direction is: features of a network vary over
orders of magnitude, and without this a probe needs thousands of iterations or stops too early, which looks like
removed information.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

PENALTIES: tuple[float, ...] = (1e3, 1e2, 1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Factors of half the squared weights, beside a mean loss over standardised features."""


@dataclass(frozen=True)
class Fit:
    """A probe after training.

    Attributes
    ----------
    predict : callable
        (M, D) standardised features to (M, K): logits, or values.
    converged : bool
    gradient : float
        Norm of the gradient at the end, the largest of the outputs; ``nan`` where it says nothing (a network).
    steps : int
        L-BFGS iterations over all penalties, or epochs.
    penalty : float
        Chosen on validation units: the median over outputs where each chooses its own; 0 for a network.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    converged: bool
    gradient: float
    steps: int
    penalty: float


def logistic(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    classes: int | None = None,
    penalties: tuple[float, ...] = PENALTIES,
    iterations: int = 500,
    tolerance: float = 1e-5,
) -> Fit:
    """Multinomial (or, for labels, one binary per column) logistic regression.

    Parameters
    ----------
    train, validation : (x, y)
        x (N, D) standardised. y (N,) int64 classes, or (N, K) labels in {0, 1, nan}.
    classes : int, optional
        Number of classes; None for labels.
    penalties : tuple of float
        Tried from strong to weak, each from the last one's solution. Labels choose one per column.
    iterations : int
        Most iterations for one penalty.
    tolerance : float
        How near the loss must be to the least there is, in nats, for the solution to count as found; see
        :func:`near`. The bias is not penalised, so for it this is no proof.

    Notes
    -----
    Every class (of every label) weighs the same, so that a rare one is not given up.
    """
    (x, y), (x_val, y_val) = train, validation
    axes, variance = principal(x)
    turned = x @ axes  # (N, R)
    width = classes if classes is not None else y.shape[1]
    weight, goal = balanced(y, classes)
    weight_val, goal_val = balanced(y_val, classes)
    turned_val = x_val @ axes
    theta = np.zeros((len(variance) + 1, width))  # the last row is the bias
    best = np.zeros_like(theta)
    least, chosen = np.full(width, np.inf), np.zeros(width)
    residual, done, steps, worse = np.zeros(width), np.ones(width, bool), 0, 0
    for penalty in sorted(penalties, reverse=True):
        theta, norm, count = _minimum(turned, goal, weight, variance, penalty, theta, iterations, tolerance, classes)
        steps += count
        loss = _losses(
            turned_val @ theta[:-1] + theta[-1], goal_val, weight_val, classes
        )  # (width,), equal for classes
        better = loss < least
        least, chosen = np.where(better, loss, least), np.where(better, penalty, chosen)
        residual = np.where(better, norm, residual)
        done = np.where(better, norm <= near(penalty, tolerance), done)
        best[:, better] = theta[:, better]
        worse = 0 if better.any() else worse + 1
        if worse == 2:  # weaker penalties cost the most time and have stopped helping
            break
    coefficients, bias = axes @ best[:-1], best[-1]
    return Fit(
        predict=lambda new: new @ coefficients + bias,
        converged=bool(done.all()),
        gradient=float(residual.max()),
        steps=steps,
        penalty=float(np.median(chosen)),
    )


def _minimum(x, goal, weight, variance, penalty, start, iterations, tolerance, classes):
    """Solution from a start, norm of its gradient for each column, iterations."""
    # curvature of the loss at equal odds; scaling by its root makes every direction about equally curved
    share = 1 / goal.shape[1] if classes is not None else 0.5
    scale = 1 / np.sqrt(np.append(share * (1 - share) * variance + penalty, share * (1 - share)))[:, None]
    shrink = np.append(np.full(len(variance), penalty), 0.0)[:, None]

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = flat.reshape(start.shape) * scale
        loss, slope = _loss_and_slope(x @ theta[:-1] + theta[-1], goal, weight, classes)
        gradient = np.vstack([x.T @ slope, slope.sum(0)]) + shrink * theta
        return loss + 0.5 * float((shrink * theta * theta).sum()), (gradient * scale).ravel()

    enough = near(penalty, tolerance)

    def norms(scaled: np.ndarray) -> np.ndarray:
        gradient = scaled.reshape(start.shape) / scale
        return np.sqrt((gradient**2).sum(0)) if classes is None else np.full(start.shape[1], np.linalg.norm(gradient))

    latest: list[np.ndarray] = []

    def remembered(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = value_and_gradient(flat)
        latest[:] = [gradient]
        return value, gradient

    def stop_when_near(_: np.ndarray) -> None:
        if norms(latest[0]).max() <= enough:  # the accepted point is the last one that was evaluated
            raise StopIteration

    options = {"maxiter": iterations, "maxfun": 2 * iterations + 20, "ftol": 0.0, "gtol": 0.0, "maxcor": 20}
    found = minimize(
        remembered, (start / scale).ravel(), jac=True, method="L-BFGS-B", options=options, callback=stop_when_near
    )
    return found.x.reshape(start.shape) * scale, norms(value_and_gradient(found.x)[1]), int(found.nit)


def near(penalty: float, tolerance: float) -> float:
    """Norm of the gradient below which a loss with this penalty is within `tolerance` of the least there is.

    A function with curvature of at least p lies at most ``norm**2 / (2 p)`` above its minimum.
    """
    return float(np.sqrt(2 * penalty * tolerance))


def balanced(y: np.ndarray, classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Weights that make every class count the same, and y as (N, K) numbers; what is unknown weighs nothing.

    Classes: weights (N, 1) that sum to 1. Labels: (N, K), each column sums to 1.
    """
    if classes is not None:
        counts = np.bincount(y, minlength=classes)
        weight = 1 / (counts[y] * (counts > 0).sum())
        return weight[:, None], np.eye(classes)[y]
    coded = ~np.isnan(y)
    positive = np.where(coded, y, 0.0)
    counts = np.stack([coded.sum(0) - positive.sum(0), positive.sum(0)])  # (2, K)
    there = (counts > 0).sum(0)
    each = np.divide(1.0, counts * there, out=np.zeros_like(counts), where=counts > 0)
    return np.where(coded, np.where(positive == 1, each[1], each[0]), 0.0), positive


def _loss_and_slope(logits, goal, weight, classes):
    if classes is not None:
        logits = logits - logits.max(1, keepdims=True)
        odds = np.exp(logits)
        total = odds.sum(1, keepdims=True)
        loss = float(weight[:, 0] @ (np.log(total[:, 0]) - np.einsum("nk,nk->n", logits, goal)))
        odds *= weight / total
        odds -= weight * goal
        return loss, odds
    loss = float((weight * (-log_expit(logits) + (1 - goal) * logits)).sum())
    return loss, weight * (expit(logits) - goal)


def _losses(logits, goal, weight, classes) -> np.ndarray:
    if classes is not None:
        return np.full(goal.shape[1], _loss_and_slope(logits, goal, weight, classes)[0])
    return (weight * (-log_expit(logits) + (1 - goal) * logits)).sum(0)


def ridge(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    penalties: tuple[float, ...] = PENALTIES,
) -> Fit:
    """Ridge regression of each column on the rows where it is known, its penalty chosen on validation rows.

    Parameters
    ----------
    train, validation : (x, y)
        x (N, D) standardised, y (N, K) float64, nan unknown.
    """
    (x, y), (x_val, y_val) = train, validation
    coefficients, bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    chosen, residual = np.zeros(y.shape[1]), 0.0
    patterns, which = np.unique(np.isnan(y), axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):  # columns that are known on the same rows are solved together
        columns, rows = np.flatnonzero(which.ravel() == number), ~patterns[:, number]
        if not rows.any():
            continue
        part, goal = x[rows], y[np.ix_(rows, columns)]
        centre, mean = part.mean(0), goal.mean(0)
        axes, variance = principal(part - centre)
        turned = (part - centre) @ axes
        along = turned.T @ (goal - mean) / len(part)  # (R, k)
        least = np.full(len(columns), np.inf)
        for penalty in penalties:
            theta = axes @ (along / (variance[:, None] + penalty))
            error = np.nanmean((x_val @ theta + (mean - centre @ theta) - y_val[:, columns]) ** 2, axis=0)
            better = error < least
            least = np.where(better, error, least)
            coefficients[:, columns[better]] = theta[:, better]
            bias[columns[better]] = (mean - centre @ theta)[better]
            chosen[columns[better]] = penalty
        off = part @ coefficients[:, columns] + bias[columns] - goal
        slope = (part - centre).T @ off / len(part) + chosen[columns] * coefficients[:, columns]
        residual = max(residual, float(np.linalg.norm(slope, axis=0).max()))
    return Fit(
        predict=lambda new: new @ coefficients + bias,
        converged=True,
        gradient=residual,
        steps=1,
        penalty=float(np.median(chosen)),
    )


def principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes (D, R) of rows and the mean square (R,) along each; axes without any are left out.

    A penalised solution lies in the span of the rows, so nothing is lost when there are fewer rows than columns.
    """
    count, width = x.shape
    if width <= count:
        variance, axes = np.linalg.eigh(x.T @ x / count)
    else:
        variance, left = np.linalg.eigh(x @ x.T / count)
        axes = x.T @ left / np.sqrt(np.maximum(variance * count, 1e-300))
    kept = variance > 1e-12 * max(variance[-1], 1e-300)
    return np.ascontiguousarray(axes[:, kept]), variance[kept]
