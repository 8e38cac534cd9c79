"""From one process to many: who takes part, and how they are started.

Each process runs the same program on its own device and its own part of every batch; gradients are averaged. How the
processes come to be is the only difference between a laptop, a machine with eight GPUs and a cluster:

* ``ddp``: this program starts itself again, once per further device. For scripts and for ``fau train``.
* ``ddp_notebook``: copies of a notebook's kernel, by fork; on GPUs before anything has touched CUDA.
* ``ddp_spawn``: new interpreters that import the function. For tests and other programs.
* ``fsdp``: as ``ddp``, with weights, gradients and the optimiser's moments divided among processes
  (:mod:`fau_utils.training.divided`).
* under ``torchrun`` or ``srun`` the processes are there already, and are found by their environment.

Two processes give the loss curve of one, up to rounding: they share its very batches and mirrored faces, and
:func:`fau_utils.methods.contract.masked_bce` averages over the coded labels of all. What differs: random numbers
that a method draws itself (dropout, masks), which are each process's own; batch norms on a CPU
(:func:`synchronise_batch_norm`); and means over faces, where a batch cannot be divided evenly, by one face in a share.
"""

import logging
import os
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, Strategy
from torch import nn
from torch.multiprocessing import ProcessRaisedException

from fau_utils.training.device import resolve
from fau_utils.training.divided import dividing
from fau_utils.training.quiet import quiet_lightning

log = logging.getLogger(__name__)

Way = Literal["auto", "ddp", "ddp_notebook", "ddp_spawn", "fsdp"]

# what a person can put right is a ValueError, also when another process raised it
_LAST_WORDS = re.compile(r"^(?:ValueError|FloatingPointError|[\w.]*SealError): (.+)\Z", re.MULTILINE | re.DOTALL)

_START = {"ddp": "popen", "ddp_notebook": "fork", "ddp_spawn": "spawn"}


def launch(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call ``function(fabric, *arguments)`` in every process; returns what the first one returns.

    Parameters
    ----------
    function : callable
        At the top level of a module for ``ddp_spawn``, which pickles it with its arguments.
    **options
        Of :func:`fabric_for`.

    Raises
    ------
    ValueError
        As :func:`fabric_for`; what another process raised as one; and when a parameter got no gradient, with what
        to do about it.
    """
    fabric = fabric_for(**options)
    try:
        with quiet_lightning():
            return fabric.launch(_Call(function, arguments))
    except (RuntimeError, ProcessRaisedException) as error:
        if "finished reduction in the prior iteration" in str(error):
            raise ValueError(
                "with several processes every parameter needs a gradient in every step, and some got none; pass "
                "unused=True (slower), or set unused_parameters = True on the method's class for fau train"
            ) from error
        if isinstance(error, ProcessRaisedException) and (said := _LAST_WORDS.search(str(error))):
            raise ValueError(said[1].strip()) from error
        raise


class _Call:
    """A function with its arguments: Fabric would take apart arguments that it is given."""

    def __init__(self, function: Callable[..., Any], arguments: tuple):
        self._function, self._arguments = function, arguments

    def __call__(self, fabric: Fabric) -> Any:
        return self._function(fabric, *self._arguments)


def fabric_for(
    *,
    device: torch.device | str = "auto",
    devices: int | None = None,
    nodes: int | None = None,
    strategy: Way = "auto",
    precision: str | None = None,
    unused: bool = False,
) -> Fabric:
    """A Fabric for some number of processes, not launched yet.

    Parameters
    ----------
    device : torch.device or str
        Kind of device: ``auto`` is CUDA where there is any. One of several GPUs can be named when it is to be the
        only one.
    devices : int, optional
        Processes per node, each with a device of its own (on a CPU: with a share of its cores). By default 1, or
        as many as ``torchrun`` has started.
    nodes : int, optional
        By default 1, or as many as ``torchrun`` has started.
    strategy : {"auto", "ddp", "ddp_notebook", "ddp_spawn", "fsdp"}
        ``auto`` is one process, or ``ddp`` (in a notebook ``ddp_notebook``) for several.
    precision : str, optional
        As :func:`fau_utils.training.fit`.
    unused : bool
        Look for parameters without a gradient after each forward pass, which costs time.

    Raises
    ------
    ValueError
        A number that is not positive or that does not fit the machine or ``torchrun``, or a strategy that needs
        another device.
    """
    if strategy not in get_args(Way):
        raise ValueError(f"expected a strategy of {', '.join(get_args(Way))}, found {strategy!r}")
    started = started_outside()
    if started is not None:
        for name, asked, found in (("devices", devices, started[0]), ("nodes", nodes, started[1])):
            if asked is not None and asked != found:
                raise ValueError(f"torchrun started {found} {name}, {asked} are asked for; leave --{name} to torchrun")
        devices, nodes = started
    devices, nodes = 1 if devices is None else devices, 1 if nodes is None else nodes
    if devices < 1 or nodes < 1:
        raise ValueError(f"expected at least one device and one node, found {devices} and {nodes}")

    device = resolve(device)
    cuda = device.type == "cuda"
    if cuda and devices > torch.cuda.device_count():
        raise ValueError(f"{devices} GPUs are asked for, this machine has {torch.cuda.device_count()}")
    if strategy == "fsdp" and not cuda and is_first():
        log.warning("fsdp on a CPU saves no memory, as its processes share it; ddp is faster")
    many = devices * nodes > 1
    # one device without a strategy is the named one; several are counted from the first
    which: Any = [device.index] if cuda and not many else devices
    with quiet_lightning():
        return Fabric(
            accelerator=device.type,
            devices=which,
            num_nodes=nodes,
            strategy=_strategy(strategy, world=devices * nodes, started=started is not None, unused=unused),
            precision=precision or ("bf16-mixed" if cuda else "32-true"),
        )


def started_outside() -> tuple[int, int] | None:
    """Processes per node and nodes, when ``torchrun`` has started this process; else None."""
    if not torch.distributed.is_available() or not torch.distributed.is_torchelastic_launched():
        return None
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    return local, int(os.environ["WORLD_SIZE"]) // local


def is_first() -> bool:
    """Whether this process is the one that writes and speaks: before launching judged by its environment."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


def synchronise_batch_norm(module: nn.Module, fabric: Fabric) -> nn.Module:
    """Let batch norms see the faces of all processes, so that several behave as one; in place.

    Only CUDA can do this. On CPUs each process normalises by its own part of the batch, which is another training
    than one process does, and a warning says so.
    """
    norms = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())
    if fabric.world_size == 1 or not norms:
        return module
    if fabric.device.type != "cuda":
        if fabric.is_global_zero:
            log.warning(
                "batch norms see only the faces of their own process on a CPU; use larger batches or one process"
            )
        return module
    return nn.SyncBatchNorm.convert_sync_batchnorm(module)


def _strategy(way: Way, *, world: int, started: bool, unused: bool) -> Strategy | str:
    if way == "fsdp":
        return dividing(world=world)
    if way == "auto":
        if world == 1:
            return "auto"
        way = "ddp_notebook" if _in_notebook() and not started else "ddp"
    start = "popen" if started else _START[way]
    return DDPStrategy(start_method=start, find_unused_parameters=unused, gradient_as_bucket_view=True)


def _in_notebook() -> bool:
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
