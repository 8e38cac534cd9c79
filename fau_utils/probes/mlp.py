"""A probe with one hidden layer: finds what is there but not along a line."""

import numpy as np
import torch
from torch import Tensor, nn

from fau_utils.models.seeded import seeded
from fau_utils.probes.linear import Fit, balanced


def mlp(
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    *,
    classes: int | None = None,
    regression: bool = False,
    together: bool = False,
    seed: int = 0,
    hidden: int = 256,
    batch_size: int = 256,
    lr: float = 2e-3,
    weight_decay: float = 1e-2,
    epochs: int = 400,
    patience: int = 15,
    device: torch.device | str = "cpu",
) -> Fit:
    """Two linear layers with a GELU between, by AdamW, until no output has got better on validation rows for
    `patience` epochs. The weights of the best epoch are kept. It has converged when patience ended it and not `epochs`.

    Parameters
    ----------
    train, validation : (x, y)
        x (N, D) standardised. y (N,) classes, (N, K) labels in {0, 1, nan}, or (N, K) values with nan.
    classes : int, optional
        Number of classes, when y holds classes.
    regression : bool
        Whether y holds values. They are standardised by training rows.
    together : bool
        Whether outputs are the parts of one answer (landmarks). Otherwise each keeps the weights of its own best
        epoch: an output that features say nothing of is over-fitted soon, and must not end the training of others.
    seed : int
        Decides the initial weights and the order.
    """
    y, y_val = train[1], validation[1]
    shift, spread = 0.0, 1.0
    if regression:
        known, count = ~np.isnan(y), np.maximum((~np.isnan(y)).sum(0), 1)
        shift = np.where(known, y, 0.0).sum(0) / count
        spread = np.sqrt((np.where(known, y - shift, 0.0) ** 2).sum(0) / count)
        spread = np.where(spread > 0, spread, 1.0)
        y, y_val = (y - shift) / spread, (y_val - shift) / spread
    data = _tensors(train[0], y, classes, regression, device)
    held = _tensors(validation[0], y_val, classes, regression, device)
    width = classes if classes is not None else y.shape[1]
    with seeded(seed):
        network = nn.Sequential(nn.Linear(train[0].shape[1], hidden), nn.GELU(), nn.Linear(hidden, width)).to(device)

    @torch.no_grad()
    def held_loss() -> np.ndarray:
        loss = _loss(network(held[0]), held[1], held[2], classes, regression).cpu().numpy()
        return loss.mean(keepdims=True) if together else loss

    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    order = np.random.default_rng([seed, 78])
    count = len(y)
    steps = max(1, round(count / batch_size))
    # by a share of the first loss: of a loss that goes to 0, a share can be gained for ever
    least = held_loss()  # (G,), of each output that is chosen for by itself
    enough = 1e-3 * least
    best, waited, epoch = [_weights(network)] * len(least), 0, 0
    while epoch < epochs and waited < patience:
        epoch += 1
        shuffled = torch.from_numpy(order.permutation(count)).to(device)
        for rows in shuffled.tensor_split(steps):
            x, goal, weight = (value[rows] for value in data)
            # weights of all rows sum to 1 in each column: this is an unbiased estimate of that sum
            loss = _loss(network(x), goal, weight, classes, regression).mean() * (count / len(rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        now = held_loss()
        better = now < least - enough
        if better.any():
            weights = _weights(network)
            best = [weights if b else old for b, old in zip(better, best, strict=True)]
        least = np.where(better, now, least)
        waited = 0 if better.any() else waited + 1

    @torch.no_grad()
    def predict(new: np.ndarray) -> np.ndarray:
        x, out = _float(new, device), None
        for epoch_weights in {id(weights): weights for weights in best}.values():
            given = torch.func.functional_call(network, epoch_weights, (x,)).double().cpu().numpy()
            mine = np.array([weights is epoch_weights for weights in best])
            out = given if out is None else np.where(mine, given, out)
        return out * spread + shift

    return Fit(predict=predict, converged=waited >= patience, gradient=float("nan"), steps=epoch, penalty=0.0)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def _tensors(x, y, classes, regression, device) -> tuple[Tensor, Tensor, Tensor]:
    if regression:
        coded = ~np.isnan(y)
        weight, goal = coded / np.maximum(coded.sum(0), 1), np.where(coded, y, 0.0)
    else:
        weight, goal = balanced(y, classes)
    if classes is not None:
        return _float(x, device), torch.from_numpy(y).to(device), _float(weight, device)
    return _float(x, device), _float(goal, device), _float(weight, device)


def _float(value: np.ndarray, device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value, dtype="float32")).to(device)


def _loss(out: Tensor, goal: Tensor, weight: Tensor, classes: int | None, regression: bool) -> Tensor:
    """Of each output, (K,); classes have one, (1,)."""
    if classes is not None:
        return (nn.functional.cross_entropy(out, goal, reduction="none") * weight[:, 0]).sum()[None]
    if regression:
        element = (out - goal).square()
    else:
        element = nn.functional.binary_cross_entropy_with_logits(out, goal, reduction="none")
    return (element * weight).sum(0)
