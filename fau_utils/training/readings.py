"""Losses that stay on the device until a row of the history is due, and what happens when one is not finite."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from lightning.fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor

from fau_utils.batch import Batch
from fau_utils.methods.contract import Losses


class NotFinite(FloatingPointError):
    """A loss or a gradient that is not a number, or infinite.

    Attributes
    ----------
    step : int
        Counted from 1.
    batch : Path
        The faces of that step in this process, as the learner saw them: a safetensors file with the fields of a
        :class:`~fau_utils.batch.Batch`.
    """

    def __init__(self, message: str, *, step: int, batch: Path):
        super().__init__(message)
        self.step, self.batch = step, batch


class Readings:
    """Losses and norms of gradients stay on the device and are read together, so that no step waits for the host.

    Parameters
    ----------
    every : int
        Steps between readings.
    """

    def __init__(self, *, every: int):
        self.every = every
        self.kept: list[Tensor] = []
        self.names: list[str] = []

    def add(self, losses: Losses, *, norm: Tensor | None = None) -> None:
        """Keep the losses of a step, and the norm of its gradient, where there is one, to see that it is finite."""
        self.names = ["loss", *losses.parts]
        parts = [losses.total, *losses.parts.values(), losses.total.new_zeros(()) if norm is None else norm]
        self.kept.append(torch.stack([part.detach().float().reshape(()) for part in parts]))

    @property
    def due(self) -> bool:
        return len(self.kept) >= self.every

    def values(self, *, fabric: Fabric) -> Tensor:
        """What was kept, averaged over the processes, (steps, 1 + parts + 1) float32 on the CPU. The host waits."""
        values = torch.stack(self.kept)
        return (values if fabric.world_size == 1 else fabric.all_reduce(values)).cpu()

    def read(self, values: Tensor) -> dict[str, float]:
        """Means of :meth:`values` over the steps since the last reading, which are then forgotten."""
        self.kept = []
        return dict(zip(self.names, values.mean(0).tolist(), strict=False))  # without the norm


def first_bad(values: Tensor) -> tuple[int, str] | None:
    """Row of the first step whose loss or gradient is not finite, and what it was; or None."""
    rows = (~values[:, [0, -1]].isfinite()).any(1).nonzero().flatten()
    if not len(rows):
        return None
    loss, norm = values[rows[0], [0, -1]].tolist()
    return int(rows[0]), f"the gradient's norm was {norm}" if math.isfinite(loss) else f"the loss was {loss}"


def refuse_not_finite(
    values: Tensor,
    *,
    step: int,
    rate: Callable[[int], float],
    batch: Callable[[int], Batch],
    folder: Path | None,
    rank: int = 0,
) -> None:
    """Stop at the first step whose loss or gradient is not finite.

    Parameters
    ----------
    values : Tensor
        From :meth:`Readings.values`.
    step : int
        The latest step, from 0.
    rate, batch : callable
        Learning rate and faces of a step.
    folder : Path, optional
        Where the faces are written; by default a new temporary one.
    rank : int
        Of this process, for the file's name.

    Raises
    ------
    NotFinite
    """
    found = first_bad(values)
    if found is None:
        return
    row, what = found
    at = step - len(values) + 1 + row
    folder = Path(tempfile.mkdtemp(prefix="fau-")) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"not-finite-step-{at + 1}{f'-process-{rank}' if rank else ''}.safetensors"
    seen = dict(batch(at).to("cpu", non_blocking=False)._present())
    save_file({name: value.contiguous() for name, value in seen.items()}, path)
    raise NotFinite(
        f"{what} at step {at + 1}, learning rate {rate(at):.2e}; its {len(seen['image'])} faces are in {path}; lower "
        "the learning rate, lengthen the warm-up, or look for faces that are not finite",
        step=at + 1,
        batch=path,
    )
