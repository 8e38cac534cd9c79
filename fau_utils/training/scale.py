"""What pretraining on many faces takes: bytes, operations, hours, money, and what runs out first.

Nothing here is measured. Rates come in as arguments, from a benchmark on the machine in question, and the rest is
multiplication; so each number of the table can be checked by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from fau_utils.models.flops import Work, mae_work

_TAR = 512
"""A tar file writes a header of one block for each file and fills its last block."""


@dataclass(frozen=True)
class Pretraining:
    """What is to be done.

    Attributes
    ----------
    faces, epochs, batch_size : int
        The recipe of FMAE by default: 9 million faces, 50 epochs, 512 faces in a step.
    model : str
        ``small``, ``base`` or ``large``.
    ratio : float
        Share of the patches that is hidden.
    stored : int
        Side in pixels of the faces on the disk.
    jpeg_bytes : float
        Mean size of a face as JPEG. At 256 px and quality 90 about 0.3 bytes per pixel; measure your own.
    decoder_dim, decoder_depth : int, optional
        Other than published: for small encoders most of the work is the decoder's.
    """

    faces: int = 9_000_000
    epochs: int = 50
    batch_size: int = 512
    model: str = "large"
    ratio: float = 0.75
    stored: int = 256
    jpeg_bytes: float = 20_000
    decoder_dim: int | None = None
    decoder_depth: int | None = None

    @property
    def views(self) -> int:
        """Faces shown in all."""
        return self.faces * self.epochs

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return -(-self.views // self.batch_size)

    @property
    def work(self) -> Work:
        """Operations of one face."""
        own = {"decoder_dim": self.decoder_dim, "decoder_depth": self.decoder_depth}
        return mae_work(self.model, ratio=self.ratio, **{k: v for k, v in own.items() if v is not None})

    @property
    def shard_bytes(self) -> int:
        """All faces as JPEG in tar files."""
        return round(self.faces * (_TAR + _TAR * -(-self.jpeg_bytes // _TAR)))

    @property
    def array_bytes(self) -> int:
        """All faces as uint8 arrays."""
        return self.faces * 3 * self.stored**2


@dataclass(frozen=True)
class Machine:
    """What there is to do it with. Rates are measured ones, not those of a data sheet.

    Attributes
    ----------
    gpus : int
    flops : float
        Operations per second that one GPU reaches *in this training step*: utilisation included.
    faces_per_second : float, optional
        Measured rate of one GPU; used instead of `flops` when given.
    cores : int
        For decoding, all machines together.
    decoded_per_core : float
        Faces per second that one core reads, decodes and crops.
    disk : float
        Bytes per second that all readers get together.
    network : float
        Bytes per second between two GPUs over the slowest link: within a machine ten times that between machines.
    price : float
        Of one GPU for one hour.
    """

    gpus: int = 1
    flops: float = 400e12
    faces_per_second: float | None = None
    cores: int = 16
    decoded_per_core: float = 600.0
    disk: float = 1e9
    network: float = 50e9
    price: float = 3.0

    def __post_init__(self) -> None:
        rates = (self.gpus, self.flops, self.cores, self.decoded_per_core, self.disk, self.network)
        if min(*rates, self.faces_per_second or 1.0) <= 0:
            raise ValueError(f"expected rates and counts above 0, found {self}")


def limits(task: Pretraining, machine: Machine, *, form: str = "jpeg") -> dict[str, float]:
    """Faces per second that each part could sustain if it were alone; the smallest is what happens.

    Parameters
    ----------
    form : {"jpeg", "arrays"}
        How faces lie on the disk. Arrays need no decoding.

    Returns
    -------
    dict
        ``gpu``, ``decoding``, ``disk`` and ``network``. The network carries, in each step, the float32 gradient of
        every parameter twice through a ring, less one part in `gpus`, while the GPUs compute.
    """
    if form not in ("jpeg", "arrays"):
        raise ValueError(f"expected form 'jpeg' or 'arrays', found {form!r}")
    own = machine.faces_per_second or machine.flops / task.work.training
    size = (task.shard_bytes if form == "jpeg" else task.array_bytes) / task.faces
    exchanged = 2 * (machine.gpus - 1) / machine.gpus * 4 * task.work.parameters
    return {
        "gpu": own * machine.gpus,
        "decoding": machine.cores * machine.decoded_per_core if form == "jpeg" else float("inf"),
        "disk": machine.disk / size,
        "network": task.batch_size * machine.network / exchanged if exchanged else float("inf"),
    }


def arithmetic(task: Pretraining, machine: Machine, *, form: str = "jpeg") -> dict[str, float | str]:
    """One row of the table; see :func:`table` for the columns."""
    rates = limits(task, machine, form=form)
    limit = min(rates, key=rates.get)
    seconds = task.views / rates[limit]
    size = task.shard_bytes if form == "jpeg" else task.array_bytes
    hours = seconds / 3600 * machine.gpus
    return {
        "model": task.model,
        "GPUs": machine.gpus,
        "data (GB)": size / 1e9,
        "views (M)": task.views / 1e6,
        "GFLOP per view": task.work.training / 1e9,
        "EFLOP": task.work.training * task.views / 1e18,
        "decoder (%)": 100 * task.work.decoder / task.work.forward,
        "faces/s the GPUs want": rates["gpu"],
        "cores the GPUs want": rates["gpu"] / machine.decoded_per_core if form == "jpeg" else 0.0,
        "MB/s the GPUs want": rates["gpu"] * size / task.faces / 1e6,
        "faces/s": rates[limit],
        "limit": limit,
        "days": seconds / 86_400,
        "GPU hours": hours,
        "cost": hours * machine.price,
    }


def table(
    task: Pretraining,
    machine: Machine,
    *,
    models: Sequence[str] = ("small", "base", "large"),
    gpus: Sequence[int] = (1, 4, 8, 32),
    form: str = "jpeg",
) -> pd.DataFrame:
    """The arithmetic for some models on some numbers of GPUs.

    Cores, disk and network stay those of `machine` while GPUs are added: that shows where they run out. Where
    `machine.faces_per_second` is given it belongs to one model, so give `models` with one name.

    Returns
    -------
    DataFrame
        ``GFLOP per view`` is forward and backward; ``faces/s`` what is left after the ``limit``; GPUs that wait are
        paid for like the others.
    """
    if machine.faces_per_second and len(models) > 1:
        raise ValueError(
            f"expected one model with a measured faces_per_second, found {list(models)}; pass flops for several"
        )
    rows = [
        arithmetic(replace(task, model=model), replace(machine, gpus=count), form=form)
        for model in models
        for count in gpus
    ]
    return pd.DataFrame(rows)


def most_gpus(task: Pretraining, machine: Machine, *, form: str = "jpeg", most: int = 1024) -> tuple[int, str]:
    """The number of GPUs (up to `most`) after which another would wait, and for what; ``gpu`` when none does."""
    for count in range(1, most):
        rates = limits(task, replace(machine, gpus=count + 1), form=form)
        limit = min(rates, key=rates.get)
        if limit != "gpu":
            return count, limit
    return most, "gpu"
